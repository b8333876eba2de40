//! The visitor's own session: what it is made of, a new secret for it, and its end.

use std::time::SystemTime;

use rocket::response::Redirect;
use rocket::{get, post};
use rocket_dyn_templates::Template;
use serde::Serialize;

use super::frame::Frame;
use super::moment::Moment;
use super::page::Page;
use rocket_server_sessions::{self as session, SameOrigin, Session};

/// The page. What was just done, it says only as far as it is true: anybody may link to it.
#[get("/?<ended>&<renewed>")]
pub(super) async fn show(
    ended: Option<bool>,
    renewed: Option<&str>,
    session: Session<'_>,
    frame: Frame<'_>,
) -> session::Result<Template> {
    let snapshot = session.snapshot().await?;
    let now = SystemTime::now();
    let views = |page: &Page| snapshot.get(page.views()).ok().flatten().unwrap_or_default().max(0);
    let own = session.info().filter(|_| !snapshot.is_empty()).map(|info| Own {
        id: info.id.to_string(),
        token_hash: info.token_hash.short(),
        began: Moment::seen_from(now, info.created),
        touched: Moment::seen_from(now, info.last_seen.unwrap_or(now)),
        idle_expiry: Moment::seen_from(now, info.idle_expiry.unwrap_or(info.absolute_expiry)),
        absolute_expiry: Moment::seen_from(now, info.absolute_expiry),
        store: session.store(),
        views: Page::ALL.iter().map(views).fold(0, i64::saturating_add),
        fields: snapshot.len(),
    });
    let notice = match &own {
        None if ended == Some(true) => Some(ENDED),
        Some(own) if renewed == Some(&own.token_hash) => Some(RENEWED),
        _ => None,
    };
    Ok(Template::render("session", Context { frame, session: own, notice }))
}

#[post("/regenerate")]
pub(super) async fn regenerate(
    _same: SameOrigin,
    session: Session<'_>,
) -> session::Result<Redirect> {
    session.regenerate().await?;
    Ok(match session.info() {
        Some(info) => {
            let token_hash = info.token_hash.short().replace(' ', "+");
            Redirect::to(format!("/session?renewed={token_hash}"))
        }
        None => Redirect::to("/session"),
    })
}

#[post("/end")]
pub(super) async fn end(_same: SameOrigin, session: Session<'_>) -> session::Result<Redirect> {
    session.destroy().await?;
    Ok(Redirect::to("/session?ended=true"))
}

const ENDED: &str = "You are forgotten. Nothing of your session is left.";
const RENEWED: &str = "Your ticket has a new secret: see its token_hash. The id is as it was, and \
     your counts came along.";

#[derive(Debug, Serialize)]
struct Context<'r> {
    #[serde(flatten)]
    frame: Frame<'r>,
    session: Option<Own>,
    notice: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Own {
    id: String,
    token_hash: String,
    began: Moment,
    touched: Moment,
    idle_expiry: Moment,
    absolute_expiry: Moment,
    store: &'static str,
    views: i64,
    fields: usize,
}
