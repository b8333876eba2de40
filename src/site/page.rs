//! The pages that count. A further one is a line here and a template.

use rocket_server_sessions::{Field, Key};

/// How often the visitor has viewed each page: `views:/foo`.
const VIEWS: Key<i64> = Key::new("views");

/// A page that counts its views. Its template bears the name of its path's one segment, and
/// `index` for the root.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) path: &'static str,
    pub(super) title: &'static str,
    pub(super) template: &'static str,
}

impl Page {
    pub(super) const ALL: &[Self] = &[
        Self { path: "/", title: "Home", template: "index" },
        Self { path: "/foo", title: "Foo", template: "foo" },
        Self { path: "/bar", title: "Bar", template: "bar" },
    ];

    pub(super) const HOME: &Self = &Self::ALL[0];

    /// The page at `/<segment>`.
    pub(super) fn at(segment: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|page| page.path.strip_prefix('/') == Some(segment))
    }

    /// The field of the session that holds its count.
    pub(super) fn views(&self) -> Field<i64> {
        VIEWS.at(self.path)
    }
}
