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
    self as session, ActiveSession, PublicId, SameOrigin, Session, UserSessions,
};

#[get("/")]
async fn home(session: Session<'_>, users: UserSessions<'_>) -> session::Result<RawHtml<String>> {
    let Some(user) = session.user().await? else {
        return Ok(RawHtml(SIGN_IN.to_owned()));
    };
    let own = session.info().map(|info| info.id);
    let item = |login: &ActiveSession| {
        let here = if Some(login.id) == own { " (here)" } else { "" };
        let (label, id) = (escape(&login.label), login.id);
        format!(
            "<li>{label}{here} \
             <form method=post action=/log-out/{id}><button>Log out</button></form>"
        )
    };
    let devices: Vec<_> = users.list(&user).await?.iter().map(item).collect();
    Ok(RawHtml(format!(
        "<!doctype html><title>Devices</title><h1>Hello {}</h1><ul>{}</ul>\
         <form method=post action=/log-out-others><button>Log out everywhere else</button></form>",
        escape(&user),
        devices.concat(),
    )))
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
    _same: SameOrigin,
    form: Form<SignIn>,
    session: Session<'_>,
    browser: Browser<'_>,
) -> session::Result<Redirect> {
    session.log_in(&form.name, browser.0).await?;
    Ok(Redirect::to("/"))
}

#[post("/log-out/<id>")]
async fn log_out(
    _same: SameOrigin,
    id: &str,
    session: Session<'_>,
    users: UserSessions<'_>,
) -> session::Result<Redirect> {
    if let (Some(user), Some(id)) = (session.user().await?, PublicId::parse(id)) {
        users.destroy(&user, id).await?;
    }
    Ok(Redirect::to("/"))
}

#[post("/log-out-others")]
async fn log_out_others(
    _same: SameOrigin,
    session: Session<'_>,
    users: UserSessions<'_>,
) -> session::Result<Redirect> {
    if let (Some(user), Some(own)) = (session.user().await?, session.info()) {
        users.destroy_others(&user, own.id).await?;
    }
    Ok(Redirect::to("/"))
}

/// What the browser calls itself.
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
        .attach(Session::fairing())
        .mount("/", routes![home, sign_in, log_out, log_out_others])
}
