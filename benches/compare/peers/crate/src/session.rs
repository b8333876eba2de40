//! The routes that races.py needs: regenerating, logging in and out, and slow requests.

use page::SLOW;
use rocket::response::Redirect;
use rocket::response::content::RawJson;
use rocket::tokio::time::sleep;
use rocket::{Route, get, post, routes};
use rocket_server_sessions::{Key, Result, Session, UserSessions};

const RIGHTS: Key<String> = Key::new("rights");
const NOTE: Key<String> = Key::new("note");

pub fn routes() -> Vec<Route> {
    routes![regenerate, destroy, elevate, log_in, log_out_everywhere, rights, slow_read, slow_write]
}

#[post("/regenerate")]
async fn regenerate(session: Session<'_>) -> Result<Redirect> {
    session.regenerate().await?;
    Ok(Redirect::to("/session"))
}

#[post("/destroy")]
async fn destroy(session: Session<'_>) -> Result<Redirect> {
    session.destroy().await?;
    Ok(Redirect::to("/session"))
}

#[post("/elevate")]
async fn elevate(session: Session<'_>) -> Result<Redirect> {
    session.regenerate().await?;
    session.insert(RIGHTS, &"admin".to_owned()).await?;
    Ok(Redirect::to("/session"))
}

#[post("/log-in?<user>")]
async fn log_in(user: &str, session: Session<'_>) -> Result<Redirect> {
    session.log_in(user, "a browser").await?;
    Ok(Redirect::to("/session"))
}

#[post("/log-out-everywhere")]
async fn log_out_everywhere(
    session: Session<'_>,
    users: UserSessions<'_>,
) -> Result<RawJson<String>> {
    let destroyed = match session.user().await? {
        Some(user) => users.destroy_all(&user.name).await?,
        None => 0,
    };
    Ok(RawJson(format!(r#"{{"destroyed":{destroyed}}}"#)))
}

#[get("/rights")]
async fn rights(session: Session<'_>) -> Result<RawJson<String>> {
    let fields = session.snapshot().await?;
    let rights = session.user().await?.map(|user| user.name).or(fields.get(RIGHTS)?);
    let note = fields.get(NOTE)?;
    let json = |text: Option<String>| text.map_or("null".to_owned(), |it| format!("{it:?}"));
    Ok(RawJson(format!(r#"{{"rights":{},"note":{}}}"#, json(rights), json(note))))
}

#[get("/slow-read")]
async fn slow_read(session: Session<'_>) -> Result<&'static str> {
    session.get(NOTE).await?;
    sleep(SLOW).await;
    Ok("read")
}

#[get("/slow-write")]
async fn slow_write(session: Session<'_>) -> Result<&'static str> {
    session.get(NOTE).await?;
    sleep(SLOW).await;
    session.insert(NOTE, &"late".to_owned()).await?;
    Ok("written")
}
