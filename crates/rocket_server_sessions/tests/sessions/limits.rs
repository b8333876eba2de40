//! Many fields at once, and sums that do not fit: a refused change has no effect, and other
//! requests are not affected.

use std::sync::{Arc, Mutex};

use rocket::futures::future::join_all;
use rocket::http::Status;
use rocket::tokio::join;

use redis::Commands;

use crate::proxy::{self, Action};
use crate::world::{REDIS, Visitor, World, on_every_store};

on_every_store![
    async fn thousands_of_fields_at_once_are_kept_and_others_are_served_meanwhile(world: World) {
        let mut other = world.visitor();
        other.get("/set/a/x").await;
        for _ in 0..4 {
            let (mut visitor, mut beside) = (world.visitor(), other.clone());
            let (page, text) = join!(visitor.get("/insert-many/5000"), beside.get("/text/a"));
            assert_eq!((page.status, text.status), (Status::Ok, Status::Ok));
            assert_eq!(visitor.body("/fields").await, "5000");
            visitor.body("/set/a/cart").await;
            let (page, text) =
                join!(visitor.get("/log-in-with-many/alice/5001"), beside.get("/text/a"));
            assert_eq!((page.status, text.status), (Status::Ok, Status::Ok));
            assert_eq!(visitor.body("/text/a").await, "cart");
            assert_eq!(visitor.body("/user").await, "alice");
            assert_eq!(visitor.body("/fields").await, "5002");
            visitor.body("/insert-many/5002").await;
            assert_eq!(visitor.body("/fields").await, "5003");
            visitor.body("/remove-many/5002").await;
            assert_eq!(visitor.body("/fields").await, "1");
        }
        let mut new = world.visitor();
        new.body("/log-in-with-many/bob/5000").await;
        assert_eq!(new.body("/fields").await, "5000");
        assert_eq!(other.body("/text/a").await, "x");
    }

    async fn too_many_changes_are_refused_and_nothing_changes(world: World) {
        let world = world.reconfigured("session.max_record_size", 1_000_000).await;
        let mut visitor = world.visitor();
        let page = visitor.get("/insert-many/10001").await;
        assert_eq!((page.status.code, page.set_cookies.len()), (413, 0));
        visitor.body("/insert-many/10000").await;
        let cookie = visitor.cookie.clone();
        for path in ["/insert-many/10001", "/remove-many/10001", "/log-in-with-many/alice/10001"] {
            assert_eq!(visitor.get(path).await.status.code, 413, "{path}");
        }
        assert_eq!(visitor.cookie, cookie);
        assert_eq!(visitor.body("/fields").await, "10000");
        assert_eq!(visitor.body("/user").await, "none");
        visitor.body("/remove-many/10000").await;
        assert_eq!(visitor.body("/fields").await, "0");
    }

    async fn sum_that_does_not_fit_leaves_the_field_as_it_was(world: World) {
        let mut visitor = world.visitor();
        visitor.body("/set-small/255").await;
        for by in [1, -256, i64::MIN, i64::MAX] {
            let path = format!("/add-to-small/{by}");
            assert_eq!(visitor.body(&path).await, "does not fit", "{by}");
            assert_eq!(visitor.body("/small").await, "255");
        }
        assert_eq!(visitor.body("/add-to-small/-255").await, "0");
        let page = visitor.body("/add-to-small-and-set/300/5").await;
        assert_eq!(page, "does not fit");
        assert_eq!(visitor.body("/small").await, "5", "the other change was made");
    }

    async fn sum_that_does_not_fit_creates_neither_field_nor_session(world: World) {
        for by in [-1, 256, i64::MIN] {
            let mut visitor = world.visitor();
            let path = format!("/add-to-small/{by}");
            let page = visitor.get(&path).await;
            assert_eq!(page.body, "does not fit");
            assert_eq!(page.set_cookies.len(), 0);
            assert_eq!(world.store.round_trips(), 0);
            visitor.body("/set/a/x").await;
            assert_eq!(visitor.body(&path).await, "does not fit");
            assert_eq!(visitor.body("/fields").await, "1");
            world.store.take_calls();
        }
    }

    async fn sum_that_does_not_fit_is_never_seen(world: World) {
        let mut visitor = world.visitor();
        visitor.body("/set-small/250").await;
        let mut visitors = vec![visitor.clone(); 60];
        let pages = visitors.iter_mut().enumerate().map(async |(at, it)| {
            let path = if at % 3 == 0 { "/small" } else { "/add-to-small/1" };
            it.body(path).await
        });
        let mut sums = Vec::new();
        for (at, body) in join_all(pages).await.into_iter().enumerate() {
            match body.parse::<i64>() {
                Ok(value) if at % 3 == 0 => assert!((250..=255).contains(&value), "{value}"),
                Ok(sum) => sums.push(sum),
                Err(_) => assert_eq!(body, "does not fit"),
            }
        }
        sums.sort_unstable();
        assert_eq!(sums, [251, 252, 253, 254, 255]);
        assert_eq!(visitor.body("/small").await, "255");
    }

    async fn sum_that_does_not_fit_does_not_revive_a_session_that_is_being_destroyed(world: World) {
        let mut visitor = world.visitor();
        visitor.body("/set-small/255").await;
        let page = visitor.get("/add-to-small-and-destroy/1").await;
        assert!([200, 409].contains(&page.status.code), "{}", page.status);
        assert_eq!(visitor.cookie, None, "the cookie is removed");
        assert_eq!(visitor.body("/small").await, "none");
        world.keys.assert_all_have_a_ttl();
        assert_eq!(world.keys.of_type("hash").len(), 0);
    }
];

/// Lets another instance request a page in the middle of a request, at each place in turn. Then
/// checks the two responses.
async fn at_each_place_in(
    path: &str,
    elsewhere: &'static str,
    check: impl AsyncFn(&mut Visitor<'_>, String, String),
) {
    for place in 0.. {
        let (world, trap) = proxy::trap().await;
        let other = Arc::new(world.instance_ahead_by(0).await);
        let mut visitor = world.visitor();
        visitor.body("/set-small/255").await;
        visitor.body("/small").await;
        world.settled().await;
        let got: Arc<Mutex<String>> = Arc::default();
        let (result, cookie) = (got.clone(), visitor.cookie.clone());
        trap.set(proxy::after(place, move |_| {
            let request = move || {
                let page = proxy::get_elsewhere(&other, cookie.as_deref(), elsewhere);
                *result.lock().unwrap() = page;
            };
            Action::Split(0, Box::new(request))
        }));
        let body = visitor.body(path).await;
        if !trap.has_sprung() {
            assert!(place > 0, "there is a place for the other request");
            break;
        }
        let got = got.lock().unwrap().clone();
        check(&mut visitor, body, got).await;
    }
}

#[rocket::async_test]
async fn value_that_another_request_sets_is_not_undone() {
    at_each_place_in("/add-to-small/1", "/set-small/0", async |visitor, sum, _| {
        let held = visitor.body("/small").await;
        let is_first = sum == "does not fit" && held == "0";
        assert!(is_first || (sum == "1" && held == "1"), "{sum}, {held}");
    })
    .await;
}

#[rocket::async_test]
async fn concurrent_reader_sees_the_old_value() {
    at_each_place_in("/add-to-small/1", "/small", async |visitor, sum, seen| {
        assert_eq!((sum.as_str(), seen.as_str()), ("does not fit", "255"));
        assert_eq!(visitor.body("/small").await, "255");
    })
    .await;
}

#[rocket::async_test]
async fn connection_that_breaks_at_a_sum_that_does_not_fit_leaves_the_field_as_it_was() {
    for place in 0.. {
        let (world, trap) = proxy::trap().await;
        let mut visitor = world.visitor();
        visitor.body("/set-small/255").await;
        visitor.body("/small").await;
        world.settled().await;
        trap.set(proxy::after(place, |bytes| Action::CloseAfter(bytes.len())));
        visitor.get("/add-to-small/1").await;
        if !trap.has_sprung() {
            assert!(place > 0);
            break;
        }
        assert_eq!(visitor.body("/small").await, "255", "{place}");
    }
}

#[rocket::async_test]
async fn update_of_a_text_that_is_not_utf_8_fails_at_once_and_changes_nothing() {
    let world = World::redis().await;
    let mut visitor = world.visitor();
    visitor.body("/append/a/x").await;
    let (key, text) = (world.keys.only(), b"[\"\xff\"]");
    let _: () = REDIS.connect().hset(&key, "list:a", text).unwrap();
    assert_eq!(visitor.get("/append/a/y").await.status.code, 500, "not 503 at the deadline");
    let held: Vec<u8> = REDIS.connect().hget(&key, "list:a").unwrap();
    assert_eq!(held, text);
}
