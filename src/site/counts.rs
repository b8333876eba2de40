//! The counts of all pages.

use rocket_server_sessions::Snapshot;
use serde::{Serialize, Serializer};

use super::page::Page;

/// The counts of all pages, one of which is the current page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub(super) page: Page,
    /// In the order of [`Page::ALL`].
    views: [u64; Page::ALL.len()],
}

impl Counts {
    /// Reads the counts from a session. A damaged count is 0 until the next view of its page
    /// repairs it.
    pub(super) fn of(page: Page, snapshot: &Snapshot) -> Self {
        let views = |page: Page| snapshot.get(page.views()).ok().flatten().unwrap_or_default();
        let views = Page::ALL.map(|page| views(page).try_into().unwrap_or_default());
        Self { page, views }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Page, u64)> {
        Page::ALL.into_iter().zip(self.views)
    }

    /// The count of the current page.
    pub(super) fn current(&self) -> u64 {
        self.iter().find(|(page, _)| *page == self.page).map_or(0, |(_, views)| views)
    }

    pub(super) fn total(&self) -> u64 {
        self.views.into_iter().fold(0, u64::saturating_add)
    }

    pub(super) fn highest(&self) -> u64 {
        self.views.into_iter().max().unwrap_or_default()
    }
}

/// `{"page":"/foo","views":3,"pages":{"/":1,"/foo":3,"/bar":0}}`
impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            page: &'static str,
            views: u64,
            #[serde(serialize_with = "by_path")]
            pages: &'a Counts,
        }
        fn by_path<S: Serializer>(counts: &Counts, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(counts.iter().map(|(page, views)| (page.path(), views)))
        }
        Shape { page: self.page.path(), views: self.current(), pages: self }.serialize(serializer)
    }
}
