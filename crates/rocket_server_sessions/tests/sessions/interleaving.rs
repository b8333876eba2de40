//! Other requests between two commands of one request, and side effects that must not remain.

use std::thread;
use std::time::{Duration, Instant};

use redis::Commands;
use rocket::http::Status;

use crate::proxy::{self, Action, Trap, find};
use crate::world::{KEY, OTHER_KEY, REDIS, Visitor, World};

/// What a rotation by another request does.
fn rotate(from: &str) {
    let to = format!("{}}}:{}", from.split_once('}').unwrap().0, "A".repeat(22));
    let _: () = REDIS.connect().rename(from, &to).unwrap();
    let _: () = REDIS.connect().set_ex(from, "rotated", 30).unwrap();
}

/// Rotates a record before the next such command.
fn rotate_before(trap: &Trap, command: &'static str, key: String) {
    trap.set(move |bytes| {
        let (at, key) = (find(bytes, command)?, key.clone());
        Some(Action::Split(at, Box::new(move || rotate(&key))))
    });
}

/// A visitor of a session that is two views old.
async fn returning(world: &World) -> Visitor<'_> {
    let mut visitor = world.visitor();
    visitor.get("/count/b").await;
    visitor.get("/count/b").await;
    world.settled().await;
    visitor
}

/// Requests a page while its record is rotated before a command: the status, and the count that is
/// in the record then.
async fn rotated_before(command: &'static str, path: &str) -> (Status, i64) {
    let (world, trap) = proxy::trap().await;
    let mut visitor = returning(&world).await;
    rotate_before(&trap, command, world.keys.only());
    let page = visitor.get(path).await;
    assert!(trap.has_sprung(), "the rotation happened in between");
    assert_eq!(page.set_cookies, Vec::<String>::new());
    let record = world.keys.of_type("hash").remove(0);
    let count: Option<i64> = REDIS.connect().hget(record, "count:a").unwrap();
    (page.status, count.unwrap_or_default())
}

#[rocket::async_test]
async fn increment_that_comes_after_a_rotation_changes_nothing_and_says_so() {
    for path in ["/count/a", "/view/a", "/verdict/pair"] {
        let command = if path == "/verdict/pair" { "*" } else { "*4\r\n$7\r\nHINCRBY" };
        let (status, count) = rotated_before(command, path).await;
        assert!(status == Status::Conflict || path == "/verdict/pair", "{path}: {status}");
        assert_eq!(count, 0, "{path}");
    }
}

#[rocket::async_test]
async fn increment_that_comes_before_a_rotation_moves_with_the_record() {
    // The increment was carried out, so the request must not say that nothing was changed.
    for (path, read) in [("/count/a", "*4\r\n$5\r\nHMGET"), ("/view/a", "*2\r\n$7\r\nHGETALL")] {
        let (status, count) = rotated_before(read, path).await;
        assert_eq!(count, 1, "{path}");
        assert_ne!(status, Status::Conflict, "{path}");
    }
}

#[rocket::async_test]
async fn cookie_is_not_sent_again_if_the_record_is_rotated_between_an_increment_and_its_check() {
    let (world, trap) = proxy::trap().await;
    let cookie = returning(&world).await.cookie;
    let world = world.reconfigured("secret_key", OTHER_KEY).await;
    let world = world.reconfigured("session.previous_keys", vec![KEY]).await;
    world.take_events();
    let mut visitor = Visitor { cookie, ..world.visitor() };
    rotate_before(&trap, "*4\r\n$5\r\nHMGET", world.keys.only());
    let page = visitor.get("/count/a").await;
    assert!(trap.has_sprung(), "the rotation happened in between");
    assert_eq!((page.body.as_str(), page.set_cookies.len()), ("1", 0));
    assert_eq!(world.take_events(), [], "the record is neither touched nor found live");
}

#[rocket::async_test]
async fn increment_on_an_orphan_begins_a_new_session() {
    let world = World::redis().await;
    let mut visitor = returning(&world).await;
    let key = world.keys.only();
    let _: () = REDIS.connect().del(&key).unwrap();
    // Another request's increment, whose check follows later or never.
    let _: () = REDIS.connect().hset(&key, "count:a", 1).unwrap();
    let page = visitor.get("/count/a").await;
    assert_eq!((page.body.as_str(), page.set_cookies.len()), ("1", 1));
    assert_eq!(visitor.body("/peek/a").await, "1");
    world.keys.assert_all_have_a_ttl();
    assert_ne!(world.keys.only(), key);
}

#[rocket::async_test]
async fn touch_of_a_tombstone_does_not_change_its_ttl() {
    let (world, trap) = proxy::trap().await;
    let mut visitor = world.visitor();
    visitor.get("/count/b").await;
    let record = world.keys.only();
    // Nothing else of this request is a script.
    rotate_before(&trap, "*8\r\n$4\r\nEVAL", record.clone());
    visitor.get("/fields").await;
    world.settled().await;
    assert!(trap.has_sprung(), "the rotation happened in between");
    let ttl: i64 = REDIS.connect().ttl(&record).unwrap();
    assert!((1..=30).contains(&ttl), "{ttl}");
    assert_eq!(REDIS.connect().get::<_, String>(&record).unwrap(), "rotated");
}

#[rocket::async_test]
async fn interrupted_destroy_can_be_repeated() {
    let (world, trap) = proxy::trap().await;
    let mut visitor = returning(&world).await;
    trap.set(|bytes| find(bytes, "EVAL").map(|_| Action::Close));
    let page = visitor.get("/destroy").await;
    assert!(trap.has_sprung());
    assert_eq!((page.status, page.set_cookies.len()), (Status::ServiceUnavailable, 0));
    assert_eq!(visitor.body("/destroy").await, "destroyed");
    assert_eq!((visitor.cookie.as_ref(), world.keys.of_type("hash").len()), (None, 0));
}

#[rocket::async_test]
async fn two_operations_of_one_request_share_the_deadline() {
    let (world, pause) = proxy::paused().await;
    let cookie = returning(&world).await.cookie;
    let world = world.with_deadline(Duration::from_secs(1)).await;
    let mut visitor = Visitor { cookie, ..world.visitor() };
    *pause.lock().unwrap() = Duration::from_millis(550);
    assert_eq!(visitor.get("/count/a").await.status, Status::Ok, "one operation is in time");
    let start = Instant::now();
    let page = visitor.get("/two").await;
    let took = start.elapsed();
    assert_eq!(page.status, Status::ServiceUnavailable);
    assert!(took < Duration::from_millis(1_500), "{took:?}");
}

#[rocket::async_test]
async fn time_that_a_handler_spends_elsewhere_does_not_count_toward_the_deadline() {
    let (world, pause) = proxy::paused().await;
    returning(&world).await;
    let world = world.with_deadline(Duration::from_millis(500)).await;
    *pause.lock().unwrap() = Duration::from_millis(20);
    assert_eq!(world.visitor().body("/busy/1000").await, "2", "longer than the deadline");
}

#[rocket::async_test]
async fn session_that_was_regenerated_often_can_be_destroyed_from_elsewhere() {
    let (world, pause) = proxy::paused().await;
    let mut thief = world.visitor();
    thief.body("/log-in/alice/phone").await;
    for _ in 0..200 {
        thief.body("/regenerate").await;
    }
    world.settled().await;
    *pause.lock().unwrap() = Duration::from_millis(4);
    world.store.take_calls();
    let page = world.visitor().get("/log-out-everywhere/alice").await;
    let trips = world.store.round_trips();
    let still = thief.body("/user").await;
    assert_eq!((page.status, still.as_str()), (Status::Ok, "none"), "{trips} round trips");
}

#[rocket::async_test]
async fn rotation_of_an_orphan_leaves_no_permanent_key() {
    let world = World::redis().await;
    let mut visitor = returning(&world).await;
    let key = world.keys.only();
    let _: () = REDIS.connect().del(&key).unwrap();
    let _: () = REDIS.connect().hset(&key, "count:a", 1).unwrap();
    let _: () = REDIS.connect().expire(&key, 60).unwrap();
    assert_eq!(visitor.get("/regenerate").await.status, Status::Ok);
    world.keys.assert_all_have_a_ttl();
    assert_eq!(visitor.body("/fields").await, "0");
}

#[rocket::async_test]
async fn count_past_the_size_limit_is_kept_if_another_request_has_incremented_it() {
    let (world, trap) = proxy::trap().await;
    let world = world.reconfigured("session.max_field_size", 190).await;
    let world = world.reconfigured("session.max_record_size", 200).await;
    let mut visitor = world.visitor();
    visitor.body(&format!("/set/a/{}", "x".repeat(185))).await;
    let record = world.keys.only();
    let key = record.clone();
    trap.set(move |bytes| {
        // The only script of that request takes the count back.
        let (at, key) = (find(bytes, "EVAL")?, key.clone());
        let count = move || REDIS.connect().hincr::<_, _, _, ()>(&key, "count:long", 1).unwrap();
        Some(Action::Split(at, Box::new(count)))
    });
    assert_eq!(visitor.body("/verdict/fill").await, "fill", "the count is not taken back");
    assert!(trap.has_sprung(), "another request has incremented it in between");
    let count: i64 = REDIS.connect().hget(&record, "count:long").unwrap();
    assert_eq!(count, 2);
    // Without the other request, nothing is left.
    let _: () = REDIS.connect().hdel(&record, "count:long").unwrap();
    assert_eq!(visitor.body("/verdict/fill").await, "413");
    assert!(!REDIS.connect().hexists::<_, _, bool>(&record, "count:long").unwrap());
}

#[rocket::async_test]
async fn outcome_of_a_count_that_could_not_be_taken_back_is_unknown() {
    let (world, trap) = proxy::trap().await;
    let world = world.reconfigured("session.max_field_size", 190).await;
    let world = world.reconfigured("session.max_record_size", 200).await;
    let mut visitor = world.visitor();
    visitor.body(&format!("/set/a/{}", "x".repeat(185))).await;
    trap.set(|bytes| find(bytes, "EVAL").map(|_| Action::Close));
    assert_eq!(visitor.body("/verdict/fill").await, "outcome unknown");
    assert!(trap.has_sprung());
}

#[rocket::async_test]
async fn destroy_does_not_wait_for_the_index() {
    let url = proxy::start(|bytes| match find(bytes, "HDEL") {
        Some(at) => Action::Split(at, Box::new(|| thread::sleep(Duration::from_secs(2)))),
        None => Action::Forward,
    });
    let world = World::through(&url).await;
    let mut visitor = world.visitor();
    visitor.body("/log-in/alice/phone").await;
    let start = Instant::now();
    let page = visitor.get("/destroy").await;
    assert_eq!((page.status, visitor.cookie.as_deref()), (Status::Ok, None));
    assert!(start.elapsed() < Duration::from_millis(1_500), "{:?}", start.elapsed());
}
