//! What others do between two commands of one request: a rotation, a loss, an outage. And what
//! their traces must not do later.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use redis::Commands;
use rocket::http::Status;
use rocket_server_sessions::Config;
use rocket_server_sessions::store::StoreError;

use crate::proxy::{self, Action, find};
use crate::world::{REDIS, Visitor, World, figment};

/// What a rotation elsewhere does.
fn rotate(from: &str) {
    let to = format!("{}}}:{}", from.split_once('}').unwrap().0, "A".repeat(22));
    let mut redis = REDIS.connect();
    let _: () = redis.rename(from, &to).unwrap();
    let tombstone = format!("{} 9999999999999", "A".repeat(22));
    let _: () = redis.set_ex(from, tombstone, 3600).unwrap();
}

/// A world, and the key of a record in it that is rotated before the next such command, once it is
/// named here.
async fn rotating_before(command: &'static str) -> (World, Arc<Mutex<Option<String>>>) {
    let key: Arc<Mutex<Option<String>>> = Arc::default();
    let armed = key.clone();
    let url = proxy::start(move |bytes| {
        let Some(at) = find(bytes, command) else { return Action::Forward };
        let Some(key) = armed.lock().unwrap().take() else { return Action::Forward };
        Action::Split(at, Box::new(move || rotate(&key)))
    });
    (World::through(&url).await, key)
}

/// A visitor of a session that is two views old.
async fn returning(world: &World) -> Visitor<'_> {
    let mut visitor = world.visitor();
    visitor.get("/count/b").await;
    visitor.get("/count/b").await;
    visitor
}

async fn rotated_before(command: &'static str, path: &str, expected: &str) {
    let (world, key) = rotating_before(command).await;
    let mut visitor = returning(&world).await;
    *key.lock().unwrap() = Some(world.keys.only());
    assert_eq!(visitor.body(path).await, expected, "counted once");
    assert!(key.lock().unwrap().is_none(), "the rotation has come between");
}

#[rocket::async_test]
async fn first_bare_increment_beside_a_rotation_counts_once() {
    rotated_before("*3\r\n$5\r\nHMGET", "/count/a", "1").await;
}

#[rocket::async_test]
async fn view_whose_pipeline_a_rotation_splits_counts_once() {
    rotated_before("*2\r\n$7\r\nHGETALL", "/view/a", "1").await;
}

#[rocket::async_test]
async fn view_that_fails_after_a_rotation_has_split_it_does_not_say_that_nothing_was_changed() {
    let (world, key) = rotating_before("*2\r\n$7\r\nHGETALL").await;
    let mut visitor = returning(&world).await;
    *key.lock().unwrap() = Some(world.keys.only());
    world.store.fail_after(1, StoreError::refused("down"));
    assert_eq!(visitor.body("/verdict/view").await, "outcome unknown");
    world.store.fail(None);
    assert_eq!(visitor.body("/peek/a").await, "1", "it was counted");
}

#[rocket::async_test]
async fn bare_increment_on_a_stub_begins_a_new_session() {
    let world = World::redis().await;
    let mut visitor = world.visitor();
    visitor.get("/count/a").await;
    visitor.get("/count/a").await;
    let key = world.keys.only();
    let _: () = REDIS.connect().del(&key).unwrap();
    // Another request's increment, whose check has not come yet, or never comes.
    let _: () = REDIS.connect().hset(&key, "count:a", 1).unwrap();
    let page = visitor.get("/count/a").await;
    let ttl: i64 = REDIS.connect().ttl(world.keys.only()).unwrap();
    let read = visitor.body("/peek/a").await;
    assert_eq!(
        (page.body.as_str(), page.set_cookies.len(), read.as_str(), ttl > 0),
        ("1", 1, "1", true)
    );
}

#[rocket::async_test]
async fn touch_that_meets_a_tombstone_leaves_its_ttl() {
    let world = World::redis().await;
    let mut visitor = world.visitor();
    visitor.body("/log-in/alice/phone").await;
    visitor.get("/count/a").await;
    world.advance(10_000);
    let mut late = visitor.clone();
    let old = world.keys.of_type("hash").into_iter().find(|it| !it.contains("user:")).unwrap();
    visitor.get("/regenerate").await;
    let before: i64 = REDIS.connect().ttl(&old).unwrap();
    assert_eq!(late.get("/view/a").await.status, Status::Ok);
    let after: i64 = REDIS.connect().ttl(&old).unwrap();
    assert!(after > before - 10, "{before} -> {after}");
    // And without the tombstone, the session is still found.
    let _: () = REDIS.connect().del(&old).unwrap();
    world.advance(61);
    assert_eq!(visitor.body("/log-out-everywhere/alice").await, "1");
    assert_eq!(visitor.body("/user").await, "nobody");
}

#[rocket::async_test]
async fn touch_with_the_second_of_two_rotations_leaves_the_ttl_of_tombstones() {
    let world = World::redis().await;
    let mut visitor = world.visitor();
    visitor.body("/log-in/alice/phone").await;
    visitor.get("/count/a").await;
    world.advance(10_000);
    let mut late = visitor.clone();
    visitor.get("/regenerate").await;
    late.get("/regenerate").await;
    let ttls: Vec<i64> =
        world.keys.of_type("string").iter().map(|key| REDIS.connect().ttl(key).unwrap()).collect();
    assert!(ttls.iter().all(|ttl| *ttl > 2_000_000), "{ttls:?}");
}

#[rocket::async_test]
async fn end_that_was_interrupted_can_be_repeated() {
    let cut = Arc::new(Mutex::new(None::<usize>));
    let armed = cut.clone();
    let url = proxy::start(move |bytes| {
        let mut cut = armed.lock().unwrap();
        let Some(left) = cut.as_mut() else { return Action::Forward };
        if find(bytes, "MULTI").is_none() {
            return Action::Forward;
        }
        if *left == 0 {
            *cut = None;
            return Action::Close;
        }
        *left -= 1;
        Action::Forward
    });
    let world = World::through(&url).await;
    let mut visitor = world.visitor();
    visitor.get("/count/a").await;
    visitor.get("/count/a").await;
    let mut late = visitor.clone();
    visitor.get("/regenerate").await;
    *cut.lock().unwrap() = Some(1);
    assert_eq!(late.get("/end").await.status, Status::ServiceUnavailable);
    assert_eq!(late.body("/end").await, "ended");
    assert_eq!(visitor.body("/peek/a").await, "0", "it was said to have ended");
}

#[rocket::async_test]
async fn cookie_of_the_first_user_does_not_show_the_second() {
    let world = World::memory().await;
    let mut visitor = world.visitor();
    visitor.body("/log-in/alice/phone").await;
    let mut alice = visitor.clone();
    visitor.body("/log-in/bob/phone").await;
    assert_ne!(alice.body("/user").await, "bob");
}

#[rocket::async_test]
async fn two_operations_of_one_request_share_the_deadline() {
    let (world, pause) = proxy::paused().await;
    let mut visitor = world.visitor();
    visitor.get("/count/a").await;
    visitor.get("/two").await;
    *pause.lock().unwrap() = Duration::from_millis(600);
    let start = Instant::now();
    let page = visitor.get("/two").await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?} {}", page.status);
}

#[rocket::async_test]
async fn time_that_a_handler_takes_for_itself_is_not_held_against_the_store() {
    let (world, pause) = proxy::paused().await;
    *pause.lock().unwrap() = Duration::from_millis(20);
    assert_eq!(world.visitor().body("/busy/1000").await, "2", "longer than the deadline");
}

#[rocket::async_test]
async fn session_that_was_regenerated_often_can_be_ended_from_elsewhere() {
    let (world, pause) = proxy::paused().await;
    let mut thief = world.visitor();
    thief.body("/log-in/alice/phone").await;
    for _ in 0..200 {
        thief.body("/regenerate").await;
    }
    *pause.lock().unwrap() = Duration::from_millis(4);
    world.store.take_calls();
    let page = world.visitor().get("/log-out-everywhere/alice").await;
    let trips = world.store.round_trips();
    let still = thief.body("/user").await;
    assert_eq!((page.status, still.as_str()), (Status::Ok, "nobody"), "{trips} round trips");
}

#[test]
fn refused_settings_show_no_secret() {
    for (key, value) in [
        ("session", "{url=\"rediss://default:HUNTER2@host:6379\""),
        ("session.previous_keys", "HUNTER2HUNTER2HUNTER2HUNTER2HUNTER2HUNTER2HU="),
    ] {
        let errors = Config::extract(&figment().merge((key, value))).unwrap_err();
        let text = errors.iter().map(ToString::to_string).collect::<String>();
        assert!(!text.contains("HUNTER2"), "{text}");
    }
}

#[rocket::async_test]
async fn rotation_of_a_stub_leaves_no_key() {
    let world = World::redis().await;
    let mut visitor = world.visitor();
    visitor.get("/count/a").await;
    visitor.get("/count/a").await;
    let key = world.keys.only();
    let _: () = REDIS.connect().del(&key).unwrap();
    let _: () = REDIS.connect().hset(&key, "count:a", 1).unwrap();
    assert_eq!(visitor.get("/regenerate").await.status, Status::Ok);
    let left: Vec<(String, i64)> = REDIS
        .keys(&world.prefix)
        .into_iter()
        .map(|key| (key.clone(), REDIS.connect().ttl(&key).unwrap()))
        .collect();
    assert_eq!(left, vec![]);
}

#[test]
fn error_of_a_wrong_type_shows_no_field() {
    let source = serde_json::from_str::<i64>("\"alice@example.com\"").unwrap_err();
    let error = rocket_server_sessions::Error::Deserialize { field: "mail".into(), source };
    assert!(!error.to_string().contains("alice"), "{error}");
}

#[rocket::async_test]
async fn count_beside_one_that_is_taken_back_is_kept() {
    let key: Arc<Mutex<Option<String>>> = Arc::default();
    let armed = key.clone();
    let url = proxy::start(move |bytes| {
        let Some(at) = find(bytes, "*4\r\n$7\r\nHINCRBY") else { return Action::Forward };
        if find(bytes, "$2\r\n-1\r\n").is_none() {
            return Action::Forward;
        }
        let key = armed.lock().unwrap().take().unwrap();
        let count = move || {
            let _: () = REDIS.connect().hincr(&key, "count:long", 1).unwrap();
        };
        Action::Split(at, Box::new(count))
    });
    let world = World::through(&url).await.reconfigured("session.max_field_size", 190).await;
    let world = world.reconfigured("session.max_record_size", 200).await;
    let mut visitor = world.visitor();
    visitor.body(&format!("/set/a/{}", "x".repeat(185))).await;
    *key.lock().unwrap() = Some(world.keys.only());
    assert_eq!(visitor.body("/verdict/fill").await, "413");
    assert!(key.lock().unwrap().is_none(), "somebody has counted meanwhile");
    let count: i64 = REDIS.connect().hget(world.keys.only(), "count:long").unwrap();
    assert_eq!(count, 1);
    // Alone, it leaves nothing.
    let _: () = REDIS.connect().hdel(world.keys.only(), "count:long").unwrap();
    *key.lock().unwrap() = Some("elsewhere".into());
    assert_eq!(visitor.body("/verdict/fill").await, "413");
    assert!(!REDIS.connect().hexists::<_, _, bool>(world.keys.only(), "count:long").unwrap());
}

#[rocket::async_test]
async fn end_does_not_fail_where_only_the_list_is_late() {
    let url = proxy::start(|bytes| match find(bytes, "HDEL") {
        Some(at) => Action::Split(at, Box::new(|| thread::sleep(Duration::from_secs(2)))),
        None => Action::Forward,
    });
    let world = World::through(&url).await;
    let mut visitor = world.visitor();
    visitor.body("/log-in/alice/phone").await;
    let page = visitor.get("/end").await;
    assert_eq!((page.status, visitor.cookie.as_deref()), (Status::Ok, None));
}
