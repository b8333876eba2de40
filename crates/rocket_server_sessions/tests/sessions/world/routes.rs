//! A small application: each operation of a session is a path.

use std::time::Duration;

use rocket::http::{CookieJar, Header, Status};
use rocket::{Catcher, Request, Responder, Route, catch, catchers, get, routes};
use rocket_server_sessions::{self as session, Error, Key, Session};

pub const COUNT: Key<i64> = Key::new("count");
pub const TEXT: Key<String> = Key::new("text");
const LIST: Key<Vec<String>> = Key::new("list");

pub fn routes() -> Vec<Route> {
    routes![
        count,
        view,
        peek,
        set,
        text,
        take,
        remove,
        remove_items,
        look_and_count,
        fields,
        regenerate,
        destroy,
        remember,
        remember_only,
        remember_for,
        remember_for_and_count,
        id,
        store,
        plain,
        two,
        together,
        fail,
        destroy_and_count,
        cookies,
        shown_once,
        retry_after,
        busy,
        cached,
        why,
        append,
        clear,
        lenient,
        lenient_snapshot,
        lenient_update,
        pop,
        list,
    ]
}

pub fn catchers() -> Vec<Catcher> {
    catchers![conflict]
}

/// Why there was a conflict, as far as the session knows.
#[catch(409)]
fn conflict(request: &Request<'_>) -> String {
    format!("{:?}", Session::of(request).unwrap().rejection())
}

#[get("/why")]
async fn why(session: Session<'_>) -> session::Result<String> {
    session.increment(COUNT, 1).await?;
    Ok(format!("{:?}", session.rejection()))
}

#[get("/count/<item>")]
async fn count(item: &str, session: Session<'_>) -> session::Result<String> {
    Ok(session.increment(COUNT.at(item), 1).await?.to_string())
}

#[get("/view/<item>")]
async fn view(item: &str, session: Session<'_>) -> session::Result<String> {
    let now = session.batch().increment(COUNT.at(item), 1).commit().await?;
    Ok(now.get(COUNT.at(item))?.unwrap_or_default().to_string())
}

#[get("/peek/<item>")]
async fn peek(item: &str, session: Session<'_>) -> session::Result<String> {
    Ok(session.get(COUNT.at(item)).await?.unwrap_or_default().to_string())
}

#[get("/set/<item>/<value>")]
async fn set(item: &str, value: String, session: Session<'_>) -> session::Result<&'static str> {
    session.insert(TEXT.at(item), &value).await.map(|()| "set")
}

#[get("/text/<item>")]
async fn text(item: &str, session: Session<'_>) -> session::Result<String> {
    Ok(session.get(TEXT.at(item)).await?.unwrap_or_else(|| "none".into()))
}

#[get("/take/<item>")]
async fn take(item: &str, session: Session<'_>) -> session::Result<String> {
    Ok(session.take(TEXT.at(item)).await?.unwrap_or_else(|| "none".into()))
}

#[get("/remove/<item>")]
async fn remove(item: &str, session: Session<'_>) -> session::Result<&'static str> {
    session.remove(TEXT.at(item)).await.map(|()| "removed")
}

#[get("/remove-items")]
async fn remove_items(session: Session<'_>) -> session::Result<()> {
    session.remove_items(TEXT).await
}

#[get("/clear")]
async fn clear(session: Session<'_>) -> session::Result<()> {
    session.clear().await
}

/// The key of a later release that replaces `TEXT`.
const NUMBER: Key<u32> = Key::new("text").lenient();

#[get("/lenient/<item>")]
async fn lenient(item: &str, session: Session<'_>) -> session::Result<String> {
    Ok(session.get_or_default(NUMBER.at(item)).await?.to_string())
}

#[get("/lenient-snapshot/<item>")]
async fn lenient_snapshot(item: &str, session: Session<'_>) -> session::Result<String> {
    Ok(session.snapshot().await?.get_or_default(NUMBER.at(item))?.to_string())
}

#[get("/lenient-update/<item>")]
async fn lenient_update(item: &str, session: Session<'_>) -> session::Result<String> {
    let add = |number: &mut u32| {
        *number += 1;
        number.to_string()
    };
    session.update(NUMBER.at(item), add).await
}

/// Appends, and returns the length of the list.
#[get("/append/<list>/<text>")]
async fn append(list: &str, text: &str, session: Session<'_>) -> session::Result<String> {
    let add = |list: &mut Vec<String>| {
        list.push(text.to_owned());
        list.len()
    };
    Ok(session.update(LIST.at(list), add).await?.to_string())
}

#[get("/pop/<list>")]
async fn pop(list: &str, session: Session<'_>) -> session::Result<String> {
    let popped = session.update(LIST.at(list), Vec::pop).await?;
    Ok(popped.unwrap_or_else(|| "none".into()))
}

#[get("/list/<list>")]
async fn list(list: &str, session: Session<'_>) -> session::Result<String> {
    Ok(session.get(LIST.at(list)).await?.unwrap_or_default().join(" "))
}

#[get("/look-and-count")]
async fn look_and_count(session: Session<'_>) -> session::Result<String> {
    session.snapshot().await?;
    Ok(session.increment(COUNT, 1).await?.to_string())
}

#[get("/fields")]
async fn fields(session: Session<'_>) -> session::Result<String> {
    Ok(session.snapshot().await?.len().to_string())
}

#[get("/regenerate")]
async fn regenerate(session: Session<'_>) -> session::Result<&'static str> {
    session.regenerate().await.map(|()| "regenerated")
}

#[get("/destroy")]
async fn destroy(session: Session<'_>) -> session::Result<&'static str> {
    session.destroy().await.map(|()| "destroyed")
}

#[get("/remember/<persistently>")]
async fn remember(persistently: bool, session: Session<'_>) -> session::Result<String> {
    session.remember_me(persistently).await?;
    Ok(session.increment(COUNT, 1).await?.to_string())
}

#[get("/remember-only/<persistently>")]
async fn remember_only(persistently: bool, session: Session<'_>) -> session::Result<()> {
    session.remember_me(persistently).await
}

#[get("/remember-for/<days>")]
async fn remember_for(days: u64, session: Session<'_>) -> session::Result<()> {
    session.remember_me(Duration::from_hours(24 * days)).await
}

#[get("/remember-for-and-count/<days>")]
async fn remember_for_and_count(days: u64, session: Session<'_>) -> session::Result<String> {
    session.remember_me(Duration::from_hours(24 * days)).await?;
    Ok(session.increment(COUNT.at("a"), 1).await?.to_string())
}

#[get("/id")]
fn id(session: Session<'_>) -> String {
    session.info().map_or_else(|| "none".into(), |info| info.id.to_string())
}

#[get("/store")]
fn store(session: Session<'_>) -> &'static str {
    session.store_name()
}

#[get("/plain")]
fn plain() -> &'static str {
    "plain"
}

#[get("/two")]
async fn two(a: Session<'_>, b: Session<'_>) -> session::Result<String> {
    a.increment(COUNT, 1).await?;
    Ok(b.increment(COUNT, 1).await?.to_string())
}

#[get("/together")]
async fn together(session: Session<'_>) -> session::Result<String> {
    let (a, b, c) = rocket::tokio::join!(
        session.increment(COUNT, 1),
        session.increment(COUNT, 1),
        session.increment(COUNT, 1)
    );
    for count in [a, b, c] {
        count?;
    }
    Ok(session.get(COUNT).await?.unwrap_or_default().to_string())
}

#[get("/fail")]
async fn fail(session: Session<'_>) -> Result<Status, Error> {
    session.increment(COUNT, 1).await?;
    Ok(Status::ImATeapot)
}

#[get("/destroy-and-count")]
async fn destroy_and_count(session: Session<'_>) -> session::Result<String> {
    session.destroy().await?;
    Ok(session.increment(COUNT, 1).await?.to_string())
}

#[get("/cookies")]
async fn cookies(session: Session<'_>, jar: &CookieJar<'_>) -> session::Result<String> {
    jar.add(("theme", "dark"));
    Ok(session.increment(COUNT, 1).await?.to_string())
}

/// Takes a text and counts, in one round trip.
#[get("/shown-once/<item>")]
async fn shown_once(item: &str, session: Session<'_>) -> session::Result<String> {
    let now = session.batch().take(TEXT.at(item)).increment(COUNT, 1).commit().await?;
    Ok(now.get(TEXT.at(item))?.unwrap_or_else(|| "none".into()))
}

/// After how many seconds to try again, according to a second operation after the first has failed.
#[get("/retry-after")]
async fn retry_after(session: Session<'_>) -> String {
    session.increment(COUNT, 1).await.unwrap_err();
    let error = session.increment(COUNT, 1).await.unwrap_err();
    error.retry_after().unwrap().as_secs().to_string()
}

/// Counts, is busy with something else for this many milliseconds, and counts again.
#[get("/busy/<millis>")]
async fn busy(millis: u64, session: Session<'_>) -> session::Result<String> {
    session.increment(COUNT, 1).await?;
    rocket::tokio::time::sleep(Duration::from_millis(millis)).await;
    Ok(session.increment(COUNT, 1).await?.to_string())
}

#[derive(Responder)]
struct Cached(String, Header<'static>);

#[get("/cached/<how>")]
async fn cached(how: &str, session: Session<'_>) -> session::Result<Cached> {
    let count = session.increment(COUNT, 1).await?;
    Ok(Cached(count.to_string(), Header::new("Cache-Control", how.to_owned())))
}
