//! Error pages: what happened, and what to do. None touches a session.

use rocket::http::Status;
use rocket::serde::json::Json;
use rocket::{Either, Request, catch};
use rocket_dyn_templates::Template;
use serde::Serialize;

use super::frame::Frame;

#[catch(default)]
pub(super) fn page<'r>(
    status: Status,
    request: &'r Request<'_>,
) -> Either<Template, Json<Error<'r>>> {
    let Words { title, what, todo } = Words::about(status);
    let frame = Frame::of(request);
    let reason = status.reason_lossy();
    let status = Code { code: status.code, reason };
    let again = frame.as_ref().and_then(Frame::here).filter(|_| status.code == 503);
    let error = Error { frame, status, title, what, todo, again };
    if request.accept().is_some_and(|accept| accept.preferred().is_json()) {
        return Either::Right(Json(Error { frame: None, again: None, ..error }));
    }
    Either::Left(Template::render("error", error))
}

#[derive(Debug, Serialize)]
pub(super) struct Error<'r> {
    #[serde(flatten)]
    frame: Option<Frame<'r>>,
    status: Code,
    title: &'static str,
    what: &'static str,
    todo: &'static str,
    /// Where the same may go well a moment later.
    #[serde(skip_serializing_if = "Option::is_none")]
    again: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Code {
    code: u16,
    reason: &'static str,
}

struct Words {
    title: &'static str,
    what: &'static str,
    todo: &'static str,
}

impl Words {
    fn about(status: Status) -> Self {
        let (title, what, todo) = match status.code {
            403 => (
                "That came from another site.",
                "This request was sent by a page that is not ours, so nothing was changed.",
                "If it was you who wanted it, do it from the page here.",
            ),
            404 => (
                "There is no such page.",
                "Nothing stands at this address, and nothing was counted.",
                "Check the address, or start from Home.",
            ),
            413 => (
                "That is too much.",
                "The request was larger than this site takes, and nothing was changed.",
                "Send less.",
            ),
            503 => (
                "The store does not answer.",
                "Your counts are kept outside this server, and the way there is blocked just now.",
                "Wait a moment and load the page again.",
            ),
            400..500 => (
                "That request makes no sense here.",
                "The server could not make out what was asked, and nothing was changed.",
                "Start again from Home.",
            ),
            _ => (
                "Something broke.",
                "The fault is ours, and it was written down.",
                "Load the page again. If it stays broken, come back later.",
            ),
        };
        Self { title, what, todo }
    }
}
