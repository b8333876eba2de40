//! Log in, list your devices, and log out of any of them.
//!
//! Run `cargo run -p rocket_server_sessions --example login`, and open <http://localhost:8080> in
//! two browsers. To keep the example short, it does not check a password.

use rocket::form::Form;
use rocket::http::RawStr;
use rocket::request::{FromRequest, Outcome, Request};
use rocket::response::Redirect;
use rocket::response::content::RawHtml;
use rocket::{FromForm, get, launch, post, routes};
use rocket_server_sessions::{
    self as session, ActiveSession, PublicId, Session, User, UserSessions,
};

#[get("/")]
async fn home(
    user: User,
    session: Session<'_>,
    users: UserSessions<'_>,
) -> session::Result<RawHtml<String>> {
    let own = session.info().map(|info| info.id);
    let item = |login: &ActiveSession| {
        let here = if Some(login.id) == own { " (here)" } else { "" };
        let (label, id) = (escape(&login.label), login.id);
        format!(
            "<li>{label}{here} \
             <form method=post action=/log-out/{id}><button>Log out</button></form>"
        )
    };
    let devices: Vec<_> = users.list(&user.name).await?.iter().map(item).collect();
    Ok(RawHtml(format!(
        "<!doctype html><title>Devices</title><h1>Hello {}</h1><ul>{}</ul>\
         <form method=post action=/log-out-others><button>Log out everywhere else</button></form>",
        escape(&user.name),
        devices.concat(),
    )))
}

/// Where the request goes if no user is logged in.
#[get("/", rank = 2)]
fn log_in_first() -> RawHtml<&'static str> {
    RawHtml(SIGN_IN)
}

const SIGN_IN: &str = "<!doctype html><title>Sign in</title><form method=post action=/sign-in>\
     <label>Name <input name=name required></label><button>Sign in</button></form>";

#[derive(FromForm)]
struct SignIn {
    #[field(validate = len(1..=64))]
    name: String,
}

#[post("/sign-in", data = "<form>")]
async fn sign_in(
    form: Form<SignIn>,
    session: Session<'_>,
    browser: Browser<'_>,
) -> session::Result<Redirect> {
    session.log_in(&form.name, browser.0).await?;
    Ok(Redirect::to("/"))
}

#[post("/log-out/<id>")]
async fn log_out(id: PublicId, user: User, users: UserSessions<'_>) -> session::Result<Redirect> {
    users.destroy(&user.name, id).await?;
    Ok(Redirect::to("/"))
}

#[post("/log-out-others")]
async fn log_out_others(
    user: User,
    session: Session<'_>,
    users: UserSessions<'_>,
) -> session::Result<Redirect> {
    if let Some(own) = session.info() {
        users.destroy_others(&user.name, own.id).await?;
    }
    Ok(Redirect::to("/"))
}

/// The browser's `User-Agent`.
struct Browser<'r>(&'r str);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Browser<'r> {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let name = request.headers().get_one("User-Agent").unwrap_or("unknown browser");
        Outcome::Success(Self(name))
    }
}

fn escape(text: &str) -> String {
    RawStr::new(text).html_escape().into_owned()
}

#[launch]
pub(crate) fn rocket() -> _ {
    rocket::build()
        .attach(Session::fairing().require_same_origin())
        .mount("/", routes![home, log_in_first, sign_in, log_out, log_out_others])
}
