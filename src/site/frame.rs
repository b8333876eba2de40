//! What stands around every page: the navigation, and who has answered.

use rocket::http::Status;
use rocket::outcome::Outcome;
use rocket::request::{self, FromRequest, Request};
use serde::Serialize;

use super::instance::Instance;
use super::page::Page;

/// The part of a template's context that all pages share.
#[derive(Debug, Serialize)]
pub(super) struct Frame<'r> {
    pub(super) nav: Vec<Link>,
    pub(super) instance: &'r Instance,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Link {
    path: &'static str,
    title: &'static str,
    current: bool,
}

impl<'r> Frame<'r> {
    pub(super) fn of(request: &'r Request<'_>) -> Option<Self> {
        let instance = request.rocket().state::<Instance>()?;
        let here = request.uri().path();
        let pages = Page::ALL.iter().map(|page| (page.path, page.title));
        let nav = pages
            .chain([("/session", "Session"), ("/about", "About")])
            .map(|(path, title)| Link { path, title, current: here == path })
            .collect();
        Some(Self { nav, instance })
    }

    /// The path that was asked for, if the navigation has it.
    pub(super) fn here(&self) -> Option<&'static str> {
        self.nav.iter().find(|link| link.current).map(|link| link.path)
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Frame<'r> {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, ()> {
        match Self::of(request) {
            Some(frame) => Outcome::Success(frame),
            None => Outcome::Error((Status::InternalServerError, ())),
        }
    }
}
