//! The application's paths for users and all their sessions.

use std::time::{SystemTime, UNIX_EPOCH};

use rocket::{Route, get, routes};
use rocket_server_sessions::{self as session, PublicId, Session, UserSessions};

pub fn routes() -> Vec<Route> {
    routes![
        log_in,
        user,
        user_only,
        sessions,
        last_seen,
        log_out,
        log_out_id,
        log_out_others,
        log_out_everywhere
    ]
}

#[get("/log-in/<user>/<label>")]
async fn log_in(user: &str, label: &str, session: Session<'_>) -> session::Result<&'static str> {
    session.log_in(user, label).await.map(|()| "logged in")
}

#[get("/user")]
async fn user(session: Session<'_>) -> session::Result<String> {
    let (asked, seen) = (session.user().await?, session.snapshot().await?.user());
    assert_eq!(asked, seen);
    Ok(asked.unwrap_or_else(|| "none".into()))
}

#[get("/user-only")]
async fn user_only(session: Session<'_>) -> session::Result<String> {
    Ok(session.user().await?.unwrap_or_else(|| "none".into()))
}

#[get("/sessions/<user>")]
async fn sessions(user: &str, users: UserSessions<'_>) -> session::Result<String> {
    let active = users.list(user).await?;
    Ok(active.into_iter().map(|it| it.label).collect::<Vec<_>>().join(" "))
}

#[get("/last-seen/<user>")]
async fn last_seen(user: &str, users: UserSessions<'_>) -> session::Result<String> {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs().to_string();
    let active = users.list(user).await?;
    Ok(active.into_iter().map(|it| seconds(it.last_seen)).collect::<Vec<_>>().join(" "))
}

#[get("/log-out/<user>/<label>")]
async fn log_out(user: &str, label: &str, users: UserSessions<'_>) -> session::Result<String> {
    let active = users.list(user).await?;
    let Some(session) = active.iter().find(|it| it.label == label) else {
        return Ok("unknown".into());
    };
    Ok(users.destroy(user, session.id).await?.to_string())
}

#[get("/log-out-id/<user>/<id>")]
async fn log_out_id(user: &str, id: &str, users: UserSessions<'_>) -> session::Result<String> {
    Ok(users.destroy(user, PublicId::parse(id).unwrap()).await?.to_string())
}

#[get("/log-out-others/<user>")]
async fn log_out_others(
    user: &str,
    session: Session<'_>,
    users: UserSessions<'_>,
) -> session::Result<String> {
    let own = session.info().unwrap().id;
    Ok(users.destroy_others(user, own).await?.to_string())
}

#[get("/log-out-everywhere/<user>")]
async fn log_out_everywhere(user: &str, users: UserSessions<'_>) -> session::Result<String> {
    Ok(users.destroy_all(user).await?.to_string())
}
