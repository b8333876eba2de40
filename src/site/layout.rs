//! The parts that all pages share: the navigation, and the name of the instance.

use rocket::http::Status;
use rocket::outcome::Outcome;
use rocket::request::{self, FromRequest, Request};
use serde::Serialize;

use super::instance::Instance;
use super::page::Page;

/// The part of a template's context that all pages share.
#[derive(Debug, Serialize)]
pub(super) struct Layout<'r> {
    pub(super) nav: Vec<Link>,
    pub(super) instance: &'r Instance,
}

/// A link of the navigation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Link {
    path: &'static str,
    title: &'static str,
    current: bool,
}

impl<'r> Layout<'r> {
    /// Returns `None` if the site is not attached.
    pub(super) fn of(request: &'r Request<'_>) -> Option<Self> {
        let instance = request.rocket().state::<Instance>()?;
        let here = request.uri().path();
        let pages = Page::ALL.map(|page| (page.path(), page.title()));
        let nav = pages
            .into_iter()
            .chain([("/session", "Session"), ("/about", "About")])
            .map(|(path, title)| Link { path, title, current: here == path })
            .collect();
        Some(Self { nav, instance })
    }

    /// The requested page, if it is one of the navigation.
    pub(super) fn current_path(&self) -> Option<&'static str> {
        self.nav.iter().find(|link| link.current).map(|link| link.path)
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Layout<'r> {
    type Error = &'static str;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        match Self::of(request) {
            Some(layout) => Outcome::Success(layout),
            None => Outcome::Error((Status::InternalServerError, "the site is not attached")),
        }
    }
}
