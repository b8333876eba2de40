//! The guard `User`, and guards that applications build on it.

use rocket::http::Status;
use rocket::local::asynchronous::Client;
use rocket::outcome::try_outcome;
use rocket::request::{FromRequest, Outcome, Request};
use rocket_server_sessions::store::StoreError;
use rocket_server_sessions::testing::Call;
use rocket_server_sessions::{Error, Session};

use crate::world::{Held, World, figment, on_every_store};

on_every_store![
    async fn guard_knows_the_user_and_forwards_to_the_next_route_if_there_is_none(world: World) {
        let mut visitor = world.visitor();
        assert_eq!(visitor.body("/account").await, "log in first");
        assert_eq!(visitor.get("/members").await.status, Status::Unauthorized);
        assert_eq!(visitor.body("/account-if-any").await, "nobody");
        assert_eq!(world.store.round_trips(), 0, "without a session, no user is logged in");
        visitor.get("/log-in/alice/phone").await;
        assert_eq!(visitor.body("/account").await, "alice on phone");
        assert_eq!(visitor.body("/members").await, "alice");
        assert_eq!(visitor.body("/account-if-any").await, "alice");
        visitor.get("/destroy").await;
        assert_eq!(visitor.get("/members").await.status, Status::Unauthorized);
    }

    async fn many_guards_of_a_request_read_the_store_once(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/log-in/alice/phone").await;
        visitor.get("/user-only").await;
        world.settled().await;
        world.store.take_calls();
        assert_eq!(visitor.body("/thrice").await, "alice alice alice");
        assert!(matches!(world.store.take_calls()[..], [Call::Update(_)]));
    }

    async fn custom_guard_can_forward_and_fail(world: World) {
        let mut visitor = world.visitor();
        assert_eq!(visitor.get("/admin").await.status, Status::Unauthorized);
        visitor.get("/log-in/alice/phone").await;
        assert_eq!(visitor.get("/admin").await.status, Status::Forbidden);
        visitor.get("/log-in/root/phone").await;
        assert_eq!(visitor.body("/admin").await, "root");
        visitor.get("/set/theme/dark").await;
        assert_eq!(visitor.body("/themed").await, "dark");
        world.store.fail(Some(StoreError::refused("down")));
        for path in ["/themed", "/admin", "/members", "/account"] {
            let page = visitor.get(path).await;
            assert_eq!(page.status, Status::ServiceUnavailable, "{path}");
            assert!(page.retry_after.is_some() && page.set_cookies.is_empty(), "{path}");
        }
    }

    async fn nobody_is_let_in_while_an_outage_makes_visitors_anonymous(world: World) {
        let world = world.reconfigured("session.on_outage", "anonymous").await;
        let mut visitor = world.visitor();
        visitor.get("/log-in/root/phone").await;
        world.store.fail(Some(StoreError::refused("down")));
        for path in ["/members", "/admin"] {
            let page = visitor.get(path).await;
            assert_eq!((page.status, page.set_cookies.len()), (Status::Unauthorized, 0), "{path}");
        }
        assert_eq!(visitor.body("/account").await, "log in first");
        world.store.fail(None);
        assert_eq!(visitor.body("/admin").await, "root", "the user is still logged in");
    }

    async fn guard_has_the_time_of_the_log_in(world: World) {
        let mut visitor = world.visitor();
        assert_eq!(visitor.body("/logged-in-for").await, "nobody");
        visitor.get("/log-in/alice/phone").await;
        world.advance(700).await;
        let age: u64 = visitor.body("/logged-in-for").await.parse().unwrap();
        assert!((700..=701).contains(&age), "{age}");
        visitor.get("/log-in/alice/phone").await;
        let age: u64 = visitor.body("/logged-in-for").await.parse().unwrap();
        assert!(age <= 1, "{age}");
    }
];

#[rocket::async_test]
async fn guard_that_is_answered_after_a_log_in_does_not_name_the_previous_user() {
    let world = World::holding(Held::Update).await;
    let mut visitor = world.visitor();
    visitor.get("/log-in/alice/phone").await;
    assert_eq!(visitor.body("/guard-beside-log-in/bob").await, "bob");
}

#[derive(Debug)]
struct Guard<'r>(#[expect(dead_code, reason = "only `Debug` reads it")] Session<'r>);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Guard<'r> {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        Outcome::Success(Self(try_outcome!(request.guard().await)))
    }
}

#[rocket::async_test]
async fn guard_that_holds_a_session_can_derive_debug() {
    #[rocket::get("/")]
    #[expect(clippy::needless_pass_by_value, reason = "Rocket passes guards by value")]
    fn shown(guard: Guard<'_>) -> String {
        format!("{guard:?}")
    }

    let rocket = rocket::custom(figment()).attach(Session::fairing());
    let client = Client::untracked(rocket.mount("/", rocket::routes![shown])).await.unwrap();
    let page = client.get("/").dispatch().await.into_string().await;
    assert_eq!(page.as_deref(), Some("Guard(Session { info: None, .. })"));
}
