//! The pages that count their views. To add one, add a variant here and to [`Page::ALL`], and a
//! template whose name `templates` lists.

use rocket::request::FromParam;
use rocket_server_sessions::{Field, Key};

/// A page that counts its views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Page {
    Home,
    Foo,
    Bar,
}

impl Page {
    pub(super) const ALL: [Self; 3] = [Self::Home, Self::Foo, Self::Bar];

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Home => "/",
            Self::Foo => "/foo",
            Self::Bar => "/bar",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Home => "Home",
            Self::Foo => "Foo",
            Self::Bar => "Bar",
        }
    }

    pub(super) fn template(self) -> &'static str {
        match self {
            Self::Home => "index",
            Self::Foo => "foo",
            Self::Bar => "bar",
        }
    }

    /// The session's field that holds the count.
    pub(super) fn views(self) -> Field<i64> {
        let key: Key<i64> = match self {
            Self::Home => Key::new("views:/"),
            Self::Foo => Key::new("views:/foo"),
            Self::Bar => Key::new("views:/bar"),
        };
        key.into()
    }
}

/// The page at `/<segment>`.
impl<'r> FromParam<'r> for Page {
    type Error = &'r str;

    fn from_param(segment: &'r str) -> Result<Self, Self::Error> {
        let is_here = |page: &Self| page.path().strip_prefix('/') == Some(segment);
        Self::ALL.into_iter().find(is_here).ok_or(segment)
    }
}
