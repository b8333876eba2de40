//! The application's paths for users and all their sessions.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rocket::http::Status;
use rocket::outcome::try_outcome;
use rocket::request::{FromRequest, Outcome};
use rocket::{Request, Route, State, get, routes};
use rocket_server_sessions::testing::ManualClock;
use rocket_server_sessions::{self as session, Clock, Key, PublicId, Session, User, UserSessions};

use super::{Gate, TEXT};

pub const ROLE: Key<String> = Key::new("role");

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
        log_out_everywhere,
        log_in_as,
        log_in_only_as,
        logged_in_for,
        logged_in_within,
        account,
        log_in_first,
        account_if_any,
        members,
        thrice,
        admin,
        themed,
        guard_beside_log_in,
    ]
}

#[get("/log-in/<user>/<label>")]
async fn log_in(user: &str, label: &str, session: Session<'_>) -> session::Result<&'static str> {
    session.log_in(user, label).await.map(|()| "logged in")
}

/// Logs in, and stores a role and a text in the same step.
#[get("/log-in-as/<user>/<role>")]
async fn log_in_as(user: &str, role: &str, session: Session<'_>) -> session::Result<String> {
    let user = if user == "empty" { "" } else { user };
    session.log_in(user, "phone").insert(ROLE, role).insert(TEXT.at("role"), role).await?;
    Ok(session.snapshot().await?.get(ROLE)?.unwrap_or_default())
}

#[get("/log-in-only-as/<user>/<role>")]
async fn log_in_only_as(user: &str, role: &str, session: Session<'_>) -> session::Result<()> {
    session.log_in(user, "phone").insert(ROLE, role).await
}

#[get("/logged-in-for")]
async fn logged_in_for(
    session: Session<'_>,
    clock: &State<Arc<ManualClock>>,
) -> session::Result<String> {
    let age = |time: SystemTime| clock.now().duration_since(time).unwrap_or_default().as_secs();
    let user = session.user().await?;
    Ok(user.map_or_else(|| "nobody".into(), |user| age(user.logged_in_at).to_string()))
}

#[get("/logged-in-within/<seconds>")]
async fn logged_in_within(
    seconds: u64,
    _user: Option<User>,
    session: Session<'_>,
) -> session::Result<String> {
    Ok(session.logged_in_within(Duration::from_secs(seconds)).await?.to_string())
}

#[get("/account")]
fn account(user: User) -> String {
    user.name + " on " + &user.label
}

#[get("/account", rank = 2)]
fn log_in_first() -> &'static str {
    "log in first"
}

#[get("/account-if-any")]
fn account_if_any(user: Option<User>) -> String {
    user.map_or_else(|| "nobody".into(), |user| user.name)
}

#[get("/members")]
fn members(user: User) -> String {
    user.name
}

#[get("/thrice")]
fn thrice(a: User, b: User, c: Member) -> String {
    [a.name, b.name, c.0.name].join(" ")
}

struct Member(User);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Member {
    type Error = session::Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        request.guard::<User>().await.map(Self)
    }
}

struct Admin(User);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Admin {
    type Error = session::Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let user = try_outcome!(request.guard::<User>().await);
        if user.name == "root" {
            Outcome::Success(Self(user))
        } else {
            Outcome::Forward(Status::Forbidden)
        }
    }
}

#[get("/admin")]
fn admin(admin: Admin) -> String {
    admin.0.name
}

struct Theme(String);

impl Theme {
    async fn of(request: &Request<'_>) -> session::Result<Self> {
        let session = Session::of(request)?;
        Ok(Self(session.get(TEXT.at("theme")).await?.unwrap_or_default()))
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Theme {
    type Error = session::Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Self::of(request).await.map_or_else(Outcome::from, Outcome::Success)
    }
}

#[get("/themed")]
fn themed(theme: Theme) -> String {
    theme.0
}

/// The user according to a guard that read the store before another user logged in, and got the
/// answer afterwards.
struct UserAfterLogIn(String);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for UserAfterLogIn {
    type Error = session::Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let user = async {
            let gate = request.rocket().state::<Arc<Gate>>().unwrap();
            let name: String = request.param(1).unwrap().unwrap();
            let session = Session::of(request)?;
            let log_in = async {
                gate.reached().await;
                let result = session.log_in(&name, "phone").await;
                gate.open();
                result
            };
            let (_, result) = rocket::tokio::join!(User::of(request), log_in);
            result?;
            gate.open();
            User::of(request).await
        };
        let name = |user: Option<User>| UserAfterLogIn(user.map_or_else(String::new, |it| it.name));
        user.await.map(name).map_or_else(Outcome::from, Outcome::Success)
    }
}

#[get("/guard-beside-log-in/<_>")]
fn guard_beside_log_in(user: UserAfterLogIn) -> String {
    user.0
}

#[get("/user")]
async fn user(session: Session<'_>) -> session::Result<String> {
    let (asked, seen) = (session.user().await?, session.snapshot().await?.user());
    assert_eq!(asked, seen);
    Ok(asked.map_or_else(|| "none".into(), |user| user.name))
}

#[get("/user-only")]
async fn user_only(session: Session<'_>) -> session::Result<String> {
    Ok(session.user().await?.map_or_else(|| "none".into(), |user| user.name))
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
