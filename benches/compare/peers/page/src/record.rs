//! The content of a session, and the part that a page shows.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::PAGES;

/// A session of a program whose library stores it as one value.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Record {
    /// Seconds since the Unix epoch.
    pub began: u64,
    /// The processes that have answered.
    pub instances: Vec<String>,
    /// How often each page was viewed, by path.
    pub views: BTreeMap<String, u64>,
}

impl Record {
    /// The content of a session that begins now.
    #[must_use]
    pub fn begin() -> Self {
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { began, ..Self::default() }
    }

    /// Counts a view that the process `instance` answers.
    pub fn count(&mut self, path: &str, instance: &str) {
        *self.views.entry(path.to_owned()).or_default() += 1;
        if !self.instances.iter().any(|it| it == instance) {
            self.instances.push(instance.to_owned());
        }
    }

    /// What a page shows of the session.
    #[must_use]
    pub fn shown(&self) -> Shown<'_> {
        Shown {
            views: PAGES.map(|page| self.views.get(page.path).copied().unwrap_or_default()),
            began: UNIX_EPOCH + Duration::from_secs(self.began),
            instances: &self.instances,
        }
    }
}

/// What a page shows of a session.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// How often each page was viewed, in the order of [`PAGES`].
    pub views: [u64; PAGES.len()],
    /// When the session began.
    pub began: SystemTime,
    /// The processes that have answered.
    pub instances: &'a [String],
}

impl Shown<'_> {
    pub(crate) fn total(&self) -> u64 {
        self.views.iter().sum()
    }

    pub(crate) fn highest(&self) -> u64 {
        self.views.into_iter().max().unwrap_or_default().max(1)
    }
}
