//! The page of the visitor's session, and the actions that regenerate and destroy it.

use std::time::SystemTime;

use rocket::http::Status;
use rocket::response::Redirect;
use rocket::response::content::RawHtml;
use rocket::serde::json::Json;
use rocket::{Either, get, post, uri};
use rocket_dyn_templates::Template;
use rocket_server_sessions::{self as session, Info, SameOrigin, Session, Snapshot};
use serde::Serialize;

use super::cookie_notice::CookieNotice;
use super::counts::Counts;
use super::format::Format;
use super::layout::Layout;
use super::page::Page;
use super::relative_time::RelativeTime;
use super::visit::Visit;

const DESTROYED: &str = "You are forgotten. Nothing of your session is left.";
const RENEWED: &str = "Your ticket has a new token, as its hash shows. Your public id is the same, and \
     your counts are kept.";

/// The parameters name the action that was just done. The page only confirms it if it is true,
/// because any site can link here.
#[get("/?<destroyed>&<renewed>")]
pub(super) async fn show<'r>(
    destroyed: Option<bool>,
    renewed: Option<&str>,
    session: Session<'r>,
    layout: Layout<'r>,
    format: Format,
    visit: Visit,
) -> Result<session::Result<Either<RawHtml<Template>, Json<Body>>>, Status> {
    visit.refuse_speculation()?;
    Ok(body(destroyed, renewed, session, layout, format).await)
}

async fn body<'r>(
    destroyed: Option<bool>,
    renewed: Option<&str>,
    session: Session<'r>,
    layout: Layout<'r>,
    format: Format,
) -> session::Result<Either<RawHtml<Template>, Json<Body>>> {
    let snapshot = session.snapshot().await?;
    let info = session.info().filter(|_| !snapshot.is_empty());
    if format == Format::Json {
        let exact = |time| RelativeTime::new(time, time).exact;
        let session = info.map(|info| Details::new(info, &snapshot, session.store_name(), exact));
        return Ok(Either::Right(Json(Body { session })));
    }
    let now = SystemTime::now();
    let relative = |time| RelativeTime::new(time, now);
    let details = info.map(|info| Details::new(info, &snapshot, session.store_name(), relative));
    let notice = match &details {
        None if destroyed == Some(true) => Some(DESTROYED),
        None => session.rejection().map(|why| CookieNotice::Rejected(why).text()),
        Some(session) if renewed == Some(&session.token_hash) => Some(RENEWED),
        Some(_) => None,
    };
    let context = Context { layout, session: details, notice };
    Ok(Either::Left(RawHtml(Template::render("session", context))))
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
    session: Option<Details<RelativeTime>>,
    notice: Option<&'static str>,
}

/// The page as JSON. `session` is `null` if there is none.
#[derive(Debug, Serialize)]
pub(super) struct Body {
    session: Option<Details<String>>,
}

/// The parts of a session that are not secret, with its times as `T`.
#[derive(Debug, Serialize)]
struct Details<T> {
    id: String,
    token_hash: String,
    created: T,
    last_seen: Option<T>,
    idle_expiry: Option<T>,
    absolute_expiry: T,
    store: &'static str,
    views: u64,
    fields: usize,
}

impl<T> Details<T> {
    fn new(
        info: Info,
        snapshot: &Snapshot,
        store: &'static str,
        time: impl Fn(SystemTime) -> T,
    ) -> Self {
        Self {
            id: info.id.to_string(),
            token_hash: info.token_hash.short(),
            created: time(info.created),
            last_seen: info.last_seen.map(&time),
            idle_expiry: info.idle_expiry.map(&time),
            absolute_expiry: time(info.absolute_expiry),
            store,
            views: Counts::of(Page::Home, snapshot).total(),
            fields: snapshot.len(),
        }
    }
}
