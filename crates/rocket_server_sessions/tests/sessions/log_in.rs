//! Logging in: the session's data, its cookie, and the user's name.

use rocket::http::Status;
use rocket_server_sessions::testing::Call;

use crate::users::{calls, logged_in};
use crate::world::{Visitor, World, on_every_store};

on_every_store![
    async fn log_in_is_recent_until_its_time_is_over_and_again_after_the_next(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        assert_eq!(visitor.body("/logged-in-within/600").await, "false", "nobody is logged in");
        visitor.get("/log-in/alice/phone").await;
        assert_eq!(visitor.body("/logged-in-within/600").await, "true");
        world.advance(599).await;
        assert_eq!(visitor.body("/logged-in-within/600").await, "true");
        world.advance(2).await;
        assert_eq!(visitor.body("/logged-in-within/600").await, "false");
        visitor.get("/log-in/alice/phone").await;
        assert_eq!(visitor.body("/logged-in-within/600").await, "true");
    }

    async fn asking_how_recent_the_log_in_is_costs_nothing_after_a_guard(world: World) {
        let mut visitor = logged_in(&world, "alice", "phone").await;
        visitor.get("/user").await;
        calls(&world).await;
        visitor.get("/logged-in-within/600").await;
        assert!(matches!(calls(&world).await[..], [Call::Update(_)]));
    }

    async fn log_in_stores_data_in_the_same_step_and_keeps_a_guests_data(world: World) {
        let mut visitor = world.visitor();
        assert_eq!(visitor.body("/log-in-as/alice/admin").await, "admin");
        assert_eq!(visitor.body("/text/role").await, "admin");
        let mut guest = world.visitor();
        guest.get("/set/cart/tea").await;
        guest.get("/set/role/guest").await;
        world.settled().await;
        world.store.take_calls();
        assert_eq!(guest.body("/log-in-as/alice/editor").await, "editor");
        let log_in = &calls(&world).await[..2];
        assert!(matches!(log_in, [Call::IndexAdd, Call::Rotate(_)]), "{log_in:?}");
        assert_eq!(guest.body("/text/cart").await, "tea", "the guest's cart is kept");
        assert_eq!(guest.body("/text/role").await, "editor");
        let mut other = guest.clone();
        assert_eq!(other.body("/log-in-as/bob/reader").await, "reader");
        assert_eq!(
            other.body("/text/cart").await,
            "none",
            "another session does not get alice's data"
        );
    }

    async fn log_in_with_data_past_a_limit_logs_nobody_in(world: World) {
        let world = world.reconfigured("session.max_field_size", 10).await;
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let path = format!("/log-in-as/alice/{}", "x".repeat(10));
        assert_eq!(visitor.get(&path).await.status.code, 413);
        assert_eq!(visitor.body("/user").await, "none");
        assert_eq!(visitor.body("/sessions/alice").await, "");
    }

    async fn log_in_without_a_name_is_refused(world: World) {
        let mut visitor = world.visitor();
        let page = visitor.get("/log-in-as/empty/admin").await;
        assert_eq!((page.status.code, page.set_cookies.len()), (500, 0));
        assert_eq!(world.store.round_trips(), 0);
    }

    async fn log_in_keeps_the_data_and_changes_the_cookie(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/set/cart/apple").await;
        visitor.get("/count/a").await;
        let (before, id) = (visitor.cookie.clone(), visitor.body("/id").await);
        assert_eq!(visitor.body("/user").await, "none");
        let page = visitor.get("/log-in/alice/phone").await;
        assert_eq!((page.status, page.set_cookies.len()), (Status::Ok, 1));
        assert_ne!(visitor.cookie, before);
        assert_eq!(visitor.body("/id").await, id);
        assert_eq!(visitor.body("/user").await, "alice");
        assert_eq!(visitor.body("/text/cart").await, "apple");
        assert_eq!(visitor.body("/fields").await, "2", "the crate's own fields are not shown");
    }

    async fn cookie_from_before_the_log_in_is_dead_at_once(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let mut before = visitor.clone();
        visitor.get("/log-in/alice/phone").await;
        assert_eq!(before.body("/user").await, "none");
        assert_eq!(before.body("/peek/a").await, "0");
        assert_eq!(before.get("/count/a").await.status, Status::Conflict);
        assert_eq!(visitor.body("/peek/a").await, "1");
    }

    async fn log_in_with_a_dead_token_begins_a_fresh_session(world: World) {
        for end in ["/regenerate", "/destroy", "/log-in/bob/x"] {
            let mut thief = world.visitor();
            thief.get("/set/cart/apple").await;
            let mut visitor = thief.clone();
            thief.get(end).await;
            let page = visitor.get("/log-in/alice/phone").await;
            assert_eq!((page.status, page.set_cookies.len()), (Status::Ok, 1), "{end}");
            assert_eq!(visitor.body("/user").await, "alice");
            assert_eq!(
                visitor.body("/text/cart").await,
                "none",
                "{end}: the data of the old session is gone"
            );
            assert_ne!(thief.body("/user").await, "alice");
            assert_ne!(thief.body("/id").await, visitor.body("/id").await);
        }
    }

    async fn oldest_log_in_is_destroyed_if_there_are_too_many(world: World) {
        let world = world.reconfigured("session.max_user_sessions", 2).await;
        let mut old = world.visitor();
        old.get("/count/a").await;
        let mut visitors = Vec::new();
        for label in ["a", "b", "c"] {
            world.advance(1).await;
            visitors.push(logged_in(&world, "alice", label).await);
            world.settled().await;
        }
        assert_eq!(visitors[2].body("/sessions/alice").await, "c b");
        assert_eq!(visitors[0].body("/user").await, "none");
        // The session is older than the others, but its log-in is the latest.
        world.advance(1).await;
        assert_eq!(old.body("/log-in/alice/old").await, "logged in");
        world.settled().await;
        assert_eq!(old.body("/sessions/alice").await, "old c");
        assert_eq!(old.body("/peek/a").await, "1");
        assert_eq!(visitors[1].body("/user").await, "none");
        // A destroyed session does not count.
        visitors[2].get("/destroy").await;
        world.settled().await;
        logged_in(&world, "alice", "d").await;
        world.settled().await;
        assert_eq!(old.body("/user").await, "alice");
    }

    async fn session_that_changes_its_user_leaves_the_first_users_list(world: World) {
        let mut visitor = logged_in(&world, "alice", "phone").await;
        visitor.get("/set/cart/apple").await;
        let mut alice = visitor.clone();
        assert_eq!(visitor.body("/log-in/bob/phone").await, "logged in");
        assert_eq!(visitor.body("/user").await, "bob");
        assert_eq!(visitor.body("/text/cart").await, "none", "bob does not get alice's data");
        assert_eq!(alice.body("/user").await, "none");
        assert_eq!(visitor.body("/sessions/alice").await, "");
        assert_eq!(visitor.body("/log-out-everywhere/alice").await, "0");
        assert_eq!(visitor.body("/user").await, "bob");
    }

    async fn session_that_logs_in_again_is_listed_once(world: World) {
        let mut visitor = logged_in(&world, "alice", "phone").await;
        let before = visitor.cookie.clone();
        visitor.get("/set/cart/apple").await;
        assert_eq!(visitor.body("/log-in/alice/again").await, "logged in");
        assert_ne!(visitor.cookie, before);
        assert_eq!(visitor.body("/text/cart").await, "apple");
        assert_eq!(visitor.body("/sessions/alice").await, "again");
    }

    async fn overlong_user_is_refused_and_an_overlong_label_is_truncated(world: World) {
        let mut visitor = world.visitor();
        let page = visitor.get(&format!("/log-in/{}/x", "u".repeat(257))).await;
        assert_eq!((page.status.code, page.set_cookies.len()), (413, 0));
        assert_eq!(world.store.round_trips(), 0);
        visitor.get(&format!("/log-in/alice/{}", "l".repeat(500))).await;
        assert_eq!(visitor.body("/sessions/alice").await, "l".repeat(120));
        let longest = world.get(&format!("/log-in/{}/phone", "u".repeat(256)), None).await;
        assert_eq!(longest.status, Status::Ok);
    }

    async fn odd_users_and_labels_survive(world: World) {
        let (user, label) = ("%7Ba%7D%20%22%E2%9C%93", "a%20b%20%20c%22%E2%9C%93%0Ad");
        let mut visitor = logged_in(&world, user, label).await;
        assert_eq!(visitor.body("/user").await, "{a} \"✓");
        assert_eq!(visitor.body(&format!("/sessions/{user}")).await, "a b  c\"✓d");
    }
];

#[rocket::async_test]
async fn log_in_far_in_the_future_is_not_recent() {
    let world = World::redis().await;
    let ahead = world.instance_ahead_by(3_600).await;
    let visitor = logged_in(&ahead, "alice", "phone").await;
    let mut here = Visitor { world: &world, ..visitor };
    assert_eq!(here.body("/logged-in-within/3601").await, "true");
    assert_eq!(here.body("/logged-in-within/600").await, "false");
}
