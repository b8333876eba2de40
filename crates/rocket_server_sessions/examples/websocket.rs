//! A session in a websocket.
//!
//! Run `cargo run -p rocket_server_sessions --example websocket`, and open <http://localhost:8080>.
//!
//! The page begins the session, because a websocket cannot set a cookie. Each operation has a
//! deadline of its own, and works again after an outage.

use rocket::futures::{SinkExt, StreamExt};
use rocket::response::content::RawHtml;
use rocket::{get, launch, post, routes};
use rocket_server_sessions::{self as session, Error, Key, SameOrigin, Session};
use rocket_ws::{Channel, Message, WebSocket};

const CLICKS: Key<u64> = Key::new("clicks");

const PAGE: &str = "<!doctype html><title>Clicks</title><button>Click</button> <output></output>\
     <form method=post action=/leave><button>Leave</button></form>\
     <script>
       const socket = new WebSocket(`ws://${location.host}/clicks`);
       document.querySelector('button').onclick = () => socket.send('click');
       socket.onmessage = event => document.querySelector('output').value = event.data;
     </script>";

#[get("/")]
async fn page(session: Session<'_>) -> session::Result<RawHtml<&'static str>> {
    session.increment(CLICKS, 0).await?;
    Ok(RawHtml(PAGE))
}

/// Browsers send the origin of every websocket, so the guard refuses those of other sites.
#[get("/clicks")]
fn clicks(_same: SameOrigin, socket: WebSocket, session: Session<'_>) -> Channel<'_> {
    socket.channel(move |mut stream| {
        Box::pin(async move {
            while let Some(message) = stream.next().await {
                if !message?.is_text() {
                    continue;
                }
                let answer = match session.increment(CLICKS, 1).await {
                    Ok(clicks) => format!("{clicks} clicks"),
                    // Logged out, expired or replaced: the page has to be loaded again.
                    Err(Error::Conflict) => break,
                    Err(error) if error.retry_after().is_some() => "try again".to_owned(),
                    Err(error) => {
                        log::error!("{error}");
                        break;
                    }
                };
                stream.send(Message::Text(answer)).await?;
            }
            stream.close(None).await
        })
    })
}

/// Ends the websockets of this visitor, too, at their next click.
#[post("/leave")]
async fn leave(_same: SameOrigin, session: Session<'_>) -> session::Result<()> {
    session.destroy().await
}

#[launch]
pub(crate) fn rocket() -> _ {
    rocket::build().attach(Session::fairing()).mount("/", routes![page, clicks, leave])
}
