//! Counts a visitor's views of each page.
//!
//! Run `cargo run -p rocket_server_sessions --example counter`, and open
//! <http://localhost:8080/anything>.

use rocket::{get, launch, routes};
use rocket_server_sessions::{self as session, Key, Session};

const VIEWS: Key<i64> = Key::new("views");

#[get("/<page>")]
async fn page(page: &str, session: Session<'_>) -> session::Result<String> {
    // The visitor chooses the field's name, so use a batch: it limits the size of the session.
    let now = session.batch().increment(VIEWS.at(page), 1).commit().await?;
    let views = now.get(VIEWS.at(page))?.unwrap_or_default();
    Ok(format!("you viewed this page {views} times\n"))
}

#[launch]
pub(crate) fn rocket() -> _ {
    rocket::build().attach(Session::fairing()).mount("/", routes![page])
}
