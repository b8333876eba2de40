//! The metric of page views.

use metrics::{Counter, counter, describe_counter};

use super::page::Page;

const VIEWS: &str = "site_views_total";

/// How many views each page has had from all visitors.
///
/// The counters are looked up once: finding one by its labels takes longer than counting.
pub(super) struct ViewMetrics([(Page, Counter); Page::ALL.len()]);

impl ViewMetrics {
    /// Registers the counters with the recorder of metrics, if one is installed.
    pub(super) fn register() -> Self {
        describe_counter!(VIEWS, "Views that were counted, by page.");
        Self(Page::ALL.map(|page| (page, counter!(VIEWS, "page" => page.path()))))
    }

    pub(super) fn increment(&self, page: Page) {
        if let Some((_, counter)) = self.0.iter().find(|(counted, _)| *counted == page) {
            counter.increment(1);
        }
    }
}
