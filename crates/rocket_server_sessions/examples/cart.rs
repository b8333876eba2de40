//! A cart: typed values in the session, and a message that is shown once.
//!
//! Run `cargo run -p rocket_server_sessions --example cart`, and open <http://localhost:8080>.

use std::collections::BTreeMap;

use rocket::form::Form;
use rocket::response::Redirect;
use rocket::response::content::RawHtml;
use rocket::serde::{Deserialize, Serialize};
use rocket::{FromForm, FromFormField, get, launch, post, routes};
use rocket_server_sessions::{self as session, Key, SameOrigin, Session};

/// The number of each fruit, in a field of its own, so that no tab overwrites another's change.
const FRUIT: Key<u32> = Key::new("fruit");
const DELIVERY: Key<Delivery> = Key::new("delivery");
const NOTICE: Key<String> = Key::new("notice");

#[derive(Clone, Copy, Debug, FromFormField)]
enum Fruit {
    Apple,
    Pear,
}

impl Fruit {
    fn name(self) -> &'static str {
        match self {
            Self::Apple => "apple",
            Self::Pear => "pear",
        }
    }
}

#[derive(Debug, Serialize, Deserialize, FromForm)]
#[serde(crate = "rocket::serde")]
struct Delivery {
    floor: u8,
    leave_at_door: bool,
}

#[get("/")]
async fn show(session: Session<'_>) -> session::Result<RawHtml<String>> {
    // The message and the cart in one round trip; without a session, in none.
    let now = session.batch().take(NOTICE).commit().await?;
    let notice = now.get(NOTICE)?.unwrap_or_default();
    let counts: BTreeMap<_, _> = now.items(FRUIT)?.into_iter().collect();
    let delivery = now.get(DELIVERY)?;
    Ok(RawHtml(format!(
        "<!doctype html><title>Cart</title><p>{notice}</p><p>{counts:?}, {delivery:?}</p>\
         <form method=post action=/add><button name=fruit value=apple>An apple</button>\
         <button name=fruit value=pear>A pear</button></form>\
         <form method=post action=/deliver><input name=floor type=number value=0>\
         <label><input name=leave_at_door type=checkbox> leave at door</label>\
         <button>Deliver</button></form>"
    )))
}

#[derive(FromForm)]
struct Add {
    fruit: Fruit,
}

#[post("/add", data = "<form>")]
async fn add(
    _same: SameOrigin,
    form: Form<Add>,
    session: Session<'_>,
) -> session::Result<Redirect> {
    let name = form.fruit.name();
    let notice = format!("One more {name}.");
    session.batch().increment(FRUIT.at(name), 1).insert(NOTICE, notice).commit().await?;
    Ok(Redirect::to("/"))
}

#[post("/deliver", data = "<delivery>")]
async fn deliver(
    _same: SameOrigin,
    delivery: Form<Delivery>,
    session: Session<'_>,
) -> session::Result<Redirect> {
    session.insert(DELIVERY, &*delivery).await?;
    Ok(Redirect::to("/"))
}

#[launch]
pub(crate) fn rocket() -> _ {
    rocket::build().attach(Session::fairing()).mount("/", routes![show, add, deliver])
}
