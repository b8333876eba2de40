//! The page of the visitor's session, and the actions that regenerate and destroy it.

use std::time::SystemTime;

use rocket::response::Redirect;
use rocket::{get, post, uri};
use rocket_dyn_templates::Template;
use rocket_server_sessions::{self as session, Info, SameOrigin, Session, Snapshot};
use serde::Serialize;

use super::counts::Counts;
use super::layout::Layout;
use super::page::Page;
use super::relative_time::RelativeTime;

const DESTROYED: &str = "You are forgotten. Nothing of your session is left.";
const RENEWED: &str = "Your ticket has a new token, as its hash shows. Your public id is the same, and \
     your counts are kept.";

/// The parameters name the action that was just done. The page only confirms it if it is true,
/// because any site can link here.
#[get("/?<destroyed>&<renewed>")]
pub(super) async fn show(
    destroyed: Option<bool>,
    renewed: Option<&str>,
    session: Session<'_>,
    layout: Layout<'_>,
) -> session::Result<Template> {
    let snapshot = session.snapshot().await?;
    let info = session.info().filter(|_| !snapshot.is_empty());
    let session = info.map(|info| Details::new(info, &snapshot, session.store()));
    let notice = match &session {
        None if destroyed == Some(true) => Some(DESTROYED),
        Some(session) if renewed == Some(&session.token_hash) => Some(RENEWED),
        _ => None,
    };
    Ok(Template::render("session", Context { layout, session, notice }))
}

#[post("/regenerate")]
pub(super) async fn regenerate(
    _same: SameOrigin,
    session: Session<'_>,
) -> session::Result<Redirect> {
    session.regenerate().await?;
    let renewed = session.info().map(|info| info.token_hash.short());
    Ok(Redirect::to(uri!("/session", show(_, renewed.as_deref()))))
}

#[post("/destroy")]
pub(super) async fn destroy(_same: SameOrigin, session: Session<'_>) -> session::Result<Redirect> {
    session.destroy().await?;
    Ok(Redirect::to(uri!("/session", show(Some(true), _))))
}

#[derive(Debug, Serialize)]
struct Context<'r> {
    #[serde(flatten)]
    layout: Layout<'r>,
    session: Option<Details>,
    notice: Option<&'static str>,
}

/// The parts of a session that are not secret.
#[derive(Debug, Serialize)]
struct Details {
    id: String,
    token_hash: String,
    created: RelativeTime,
    last_seen: Option<RelativeTime>,
    idle_expiry: Option<RelativeTime>,
    absolute_expiry: RelativeTime,
    store: &'static str,
    views: u64,
    fields: usize,
}

impl Details {
    fn new(info: Info, snapshot: &Snapshot, store: &'static str) -> Self {
        let now = SystemTime::now();
        let time = |time| RelativeTime::new(time, now);
        Self {
            id: info.id.to_string(),
            token_hash: info.token_hash.short(),
            created: time(info.created),
            last_seen: info.last_seen.map(time),
            idle_expiry: info.idle_expiry.map(time),
            absolute_expiry: time(info.absolute_expiry),
            store,
            views: Counts::of(Page::Home, snapshot).total(),
            fields: snapshot.len(),
        }
    }
}
