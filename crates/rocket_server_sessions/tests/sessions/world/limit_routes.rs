//! The application's routes that reach limits: many fields at once, and a counter of a narrow
//! type.

use rocket::tokio::join;
use rocket::{Route, get, routes};
use rocket_server_sessions::{self as session, Error, Key, Session};

const MANY: Key<u8> = Key::new("m");
const SMALL: Key<u8> = Key::new("small");

pub fn routes() -> Vec<Route> {
    routes![
        insert_many,
        log_in_with_many,
        remove_many,
        small,
        set_small,
        add_to_small,
        add_to_small_and_set,
        add_to_small_and_destroy,
    ]
}

#[get("/insert-many/<count>")]
async fn insert_many(count: usize, session: Session<'_>) -> session::Result<()> {
    let batch = (0..count).fold(session.batch(), |batch, at| batch.insert(MANY.at(at), 1));
    batch.commit().await.map(drop)
}

#[get("/log-in-with-many/<user>/<count>")]
async fn log_in_with_many(user: &str, count: usize, session: Session<'_>) -> session::Result<()> {
    let log_in = session.log_in(user, "phone");
    (0..count).fold(log_in, |log_in, at| log_in.insert(MANY.at(at), 2)).await
}

#[get("/remove-many/<count>")]
async fn remove_many(count: usize, session: Session<'_>) -> session::Result<()> {
    let batch = (0..count).fold(session.batch(), |batch, at| batch.remove(MANY.at(at)));
    batch.commit().await.map(drop)
}

#[get("/small")]
async fn small(session: Session<'_>) -> session::Result<String> {
    Ok(session.get(SMALL).await?.map_or_else(|| "none".into(), |it| it.to_string()))
}

#[get("/set-small/<value>")]
async fn set_small(value: u8, session: Session<'_>) -> session::Result<()> {
    session.insert(SMALL, value).await
}

fn shown<T: ToString>(result: session::Result<T>) -> session::Result<String> {
    match result {
        Ok(value) => Ok(value.to_string()),
        Err(Error::OutOfRange { .. }) => Ok("does not fit".into()),
        Err(error) => Err(error),
    }
}

#[get("/add-to-small/<by>")]
async fn add_to_small(by: i64, session: Session<'_>) -> session::Result<String> {
    shown(session.increment(SMALL, by).await)
}

#[get("/add-to-small-and-set/<by>/<value>")]
async fn add_to_small_and_set(by: i64, value: u8, session: Session<'_>) -> session::Result<String> {
    let batch = session.batch().increment(SMALL, by).insert(SMALL, value);
    shown(batch.commit().await.map(|_| "done"))
}

/// Both at once.
#[get("/add-to-small-and-destroy/<by>")]
async fn add_to_small_and_destroy(by: i64, session: Session<'_>) -> session::Result<String> {
    let (sum, destroyed) = join!(session.increment(SMALL, by), session.destroy());
    destroyed?;
    shown(sum)
}
