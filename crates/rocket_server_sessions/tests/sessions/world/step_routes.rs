//! The application's routes for requests of several steps: with a pause between them, after the
//! headers were sent, or cancelled halfway.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rocket::futures::future::FutureExt;
use rocket::futures::{SinkExt, StreamExt};
use rocket::response::stream::TextStream;
use rocket::tokio::time::sleep;
use rocket::{Route, State, get, routes};
use rocket_server_sessions::{self as session, Error, Session};
use rocket_ws::{Channel, Message, WebSocket};

use super::gate::Gate;
use super::{COUNT, TEXT};

pub fn routes() -> Vec<Route> {
    routes![
        verdict,
        both,
        hold,
        late,
        stream,
        socket,
        give_up,
        give_up_and_remember,
        spawn,
        overtaken
    ]
}

/// The results of the steps of tasks.
pub type Verdicts = Arc<Mutex<Vec<String>>>;

/// One operation on the session's field `a`.
async fn step(session: Session<'_>, name: &str) -> session::Result<String> {
    let done = |(): ()| name.to_owned();
    match name {
        "nothing" => Ok(done(())),
        "text" => Ok(session.get(TEXT.at("a")).await?.unwrap_or_else(|| "none".into())),
        "user" => Ok(session.user().await?.map_or_else(|| "none".into(), |user| user.name)),
        "count" => Ok(session.increment(COUNT.at("a"), 1).await?.to_string()),
        "view" => {
            let now = session.batch().increment(COUNT.at("a"), 1).commit().await?;
            Ok(now.get(COUNT.at("a"))?.unwrap_or_default().to_string())
        }
        // Two fields, which are always equal.
        "pair" => {
            let batch = session.batch().increment(COUNT.at("a"), 1).increment(COUNT.at("b"), 1);
            let now = batch.commit().await?;
            let of = |item| now.get(COUNT.at(item)).map(Option::unwrap_or_default);
            Ok(format!("{} {}", of("a")?, of("b")?))
        }
        "set" => session.insert(TEXT.at("a"), &"secret".to_owned()).await.map(done),
        "regenerate" => session.regenerate().await.map(done),
        "log-in" => session.log_in("alice", "phone").await.map(done),
        "log-in-bob" => session.log_in("bob", "phone").await.map(done),
        "remember" => session.remember_me(true).await.map(done),
        "remember-for" => session.remember_me(Duration::from_hours(14 * 24)).await.map(done),
        "destroy" => session.destroy().await.map(done),
        "fill" => {
            session.batch().increment(COUNT.at("long"), 1).commit().await?;
            Ok(done(()))
        }
        other => panic!("unknown step {other}"),
    }
}

/// The result of a step as text.
fn verdict_on(result: session::Result<String>) -> String {
    match result {
        Ok(text) => text,
        Err(Error::Unavailable { .. }) => "nothing was changed".into(),
        Err(Error::OutcomeUnknown { .. }) => "outcome unknown".into(),
        Err(error) => error.status().code.to_string(),
    }
}

#[get("/verdict/<name>")]
async fn verdict(name: &str, session: Session<'_>) -> String {
    verdict_on(step(session, name).await)
}

#[get("/both/<first>/<then>")]
async fn both(first: &str, then: &str, session: Session<'_>) -> session::Result<String> {
    let first = step(session, first).await?;
    Ok(format!("{first}, {}", step(session, then).await?))
}

/// Waits at the gate between the two.
#[get("/hold/<first>/<then>")]
async fn hold(
    first: &str,
    then: &str,
    session: Session<'_>,
    gate: &State<Arc<Gate>>,
) -> session::Result<String> {
    let first = step(session, first).await?;
    gate.pass().await;
    Ok(format!("{first}, {}", step(session, then).await?))
}

/// A task that takes a step after the response, between two passes of the gate.
#[get("/spawn/<name>")]
fn spawn(name: String, session: Session<'_>, gate: &State<Arc<Gate>>) -> &'static str {
    let (session, gate) = (session.into_owned(), gate.inner().clone());
    rocket::tokio::spawn(async move {
        gate.pass().await;
        verdict_on(step(session.session(), &name).await);
        gate.pass().await;
    });
    "started"
}

/// A task that takes a step, and is overtaken by the response while its store holds a call at the
/// gate. The verdict is kept for the test.
#[get("/overtaken/<name>")]
async fn overtaken(
    name: String,
    session: Session<'_>,
    gate: &State<Arc<Gate>>,
    verdicts: &State<Verdicts>,
) -> &'static str {
    let (session, verdicts) = (session.into_owned(), verdicts.inner().clone());
    let held = gate.inner().clone();
    rocket::tokio::spawn(async move {
        let verdict = verdict_on(step(session.session(), &name).await);
        verdicts.lock().unwrap().push(verdict);
        held.pass().await;
    });
    gate.reached().await;
    "answered"
}

/// A step after the headers were sent.
#[get("/late/<name>")]
fn late<'r>(name: &'r str, session: Session<'r>) -> TextStream![String + 'r] {
    TextStream! {
        yield verdict_on(step(session, name).await);
    }
}

/// The same step again and again, each after a pass of the gate.
#[get("/stream/<times>/<name>")]
fn stream<'r>(
    times: usize,
    name: &'r str,
    session: Session<'r>,
    gate: &'r State<Arc<Gate>>,
) -> TextStream![String + 'r] {
    TextStream! {
        for _ in 0..times {
            gate.pass().await;
            yield verdict_on(step(session, name).await) + ", ";
        }
    }
}

/// Each text from the browser is a step.
#[get("/socket")]
fn socket(socket: WebSocket, session: Session<'_>) -> Channel<'_> {
    socket.channel(move |mut stream| {
        Box::pin(async move {
            while let Some(message) = stream.next().await {
                if let Message::Text(name) = message? {
                    stream.send(Message::Text(verdict_on(step(session, &name).await))).await?;
                }
            }
            Ok(())
        })
    })
}

/// Polls a step this many times, a millisecond apart, and then drops it.
#[get("/give-up/<polls>/<name>")]
async fn give_up(polls: usize, name: &str, session: Session<'_>) -> String {
    give_up_after(polls, name, session).await
}

async fn give_up_after(polls: usize, name: &str, session: Session<'_>) -> String {
    let mut step = pin!(step(session, name).fuse());
    for _ in 0..polls {
        if let Some(result) = step.as_mut().now_or_never() {
            return verdict_on(result);
        }
        sleep(Duration::from_millis(1)).await;
    }
    "given up".into()
}

/// Gives up a step, and then remembers the visitor for two weeks.
#[get("/give-up-and-remember/<polls>/<name>")]
async fn give_up_and_remember(
    polls: usize,
    name: &str,
    session: Session<'_>,
) -> session::Result<()> {
    give_up_after(polls, name, session).await;
    session.remember_me(Duration::from_hours(14 * 24)).await
}
