//! The error pages: what happened, and what the visitor can do. They make no round trip.

use std::ops::Not;

use rocket::http::Status;
use rocket::response::content::RawHtml;
use rocket::serde::json::Json;
use rocket::{Either, Request, catch};
use rocket_dyn_templates::Template;
use rocket_server_sessions::Session;
use serde::Serialize;

use super::format::Format;
use super::layout::Layout;

#[catch(default)]
pub(super) fn page<'r>(
    status: Status,
    request: &'r Request<'_>,
) -> Either<RawHtml<Template>, Json<Error<'r>>> {
    let error = Error {
        layout: None,
        status: Code { code: status.code, reason: status.reason_lossy() },
        text: ErrorText::of(status, request),
        again: None,
    };
    match Format::preferred_by(request) {
        Format::Html => {
            let layout = Layout::of(request);
            let again = again(status, request, layout.as_ref());
            let error = Error { layout, again, ..error };
            Either::Left(RawHtml(Template::render("error", error)))
        }
        Format::Json => Either::Right(Json(error)),
    }
}

/// Returns where to try again, if the same request may succeed now or a moment later.
fn again(
    status: Status,
    request: &Request<'_>,
    layout: Option<&Layout<'_>>,
) -> Option<&'static str> {
    if ![409, 425, 503].contains(&status.code) {
        return None;
    }
    // The session's actions are not pages. They are started from the session's page.
    let is_action = request.uri().path().starts_with("/session/");
    if is_action { Some("/session") } else { layout?.current_path() }
}

/// The context of the error page's template, and the body of an error as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Error<'r> {
    #[serde(flatten)]
    layout: Option<Layout<'r>>,
    status: Code,
    #[serde(flatten)]
    text: ErrorText,
    #[serde(skip_serializing_if = "Option::is_none")]
    again: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Code {
    code: u16,
    reason: &'static str,
}

#[derive(Debug, Serialize)]
struct ErrorText {
    title: &'static str,
    /// What happened.
    what: &'static str,
    /// What the visitor can do.
    todo: &'static str,
    /// Whether what the request was to change may have been changed.
    #[serde(skip_serializing_if = "Not::not")]
    is_outcome_unknown: bool,
}

impl ErrorText {
    fn of(status: Status, request: &Request<'_>) -> Self {
        let is_outcome_unknown = Session::of(request).is_ok_and(|it| it.is_outcome_unknown());
        let (title, what, todo) = match status.code {
            403 => (
                "That came from another site.",
                "A page of another site sent this request, so nothing was changed.",
                "If you meant to do this, do it on this site.",
            ),
            404 => (
                "There is no such page.",
                "Nothing is at this address, and nothing was counted.",
                "Check the address, or start from Home.",
            ),
            409 => (
                "Your session has just changed.",
                "Another request was faster: it renewed your session or ended it. This one changed \
                 nothing.",
                "Load the page again. If that does not help, your session was ended elsewhere: try \
                 again in half a minute.",
            ),
            413 => (
                "That is too much.",
                "The request is larger than this site accepts, and nothing was changed.",
                "Send less.",
            ),
            425 => (
                "You have not viewed this page yet.",
                "Your browser asked for the page before you opened it, and nothing was counted.",
                "Load the page to view it.",
            ),
            503 if is_outcome_unknown => (
                "The store did not answer in time.",
                "This request may have been counted or carried out: the store did not confirm it.",
                "Wait a moment, load the page again, and look.",
            ),
            503 => (
                "The store does not answer.",
                "This request needs the store that holds your counts. Nothing was counted or changed.",
                "Wait a moment and load the page again.",
            ),
            400..500 => (
                "That request makes no sense here.",
                "The server did not understand the request, and nothing was changed.",
                "Start again from Home.",
            ),
            _ => (
                "Something broke.",
                "This is our fault, and it has been logged.",
                "Load the page again. If it stays broken, come back later.",
            ),
        };
        Self { title, what, todo, is_outcome_unknown }
    }
}
