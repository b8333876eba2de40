//! The release under test reads the cookies and records that release 0.1.0 wrote. The texts here
//! were written by it, and must not be changed when the formats change.

use std::time::{Duration, SystemTime};

use redis::Commands;
use rocket::http::Status;

use crate::world::{REDIS, Visitor, World};

const ID: &str = "01a20d6d-5a00-7821-8bac-53223b107d43";

/// The first cookie, and the place of its record.
const COOKIE: &str = "zQhXiLtlMJXuDzPDfFuWNc5sIiVF89QnQ2_9POGbloz8wDIQ9aFJBgd9byDvdopNOeWUnL84WBZAAGzG6j2y\
                      ISZ0XhrrEOkjIwbB7OouJ-MbZfvxVU4V72Eg6YtFdwQ";
const PLACE: &str = "Na8Vjy8uc5dhzo04ZkvpKg";

/// The same after Alice has logged in.
const HER_COOKIE: &str = "YHcRegxgkoOtDdVnunNBVVAqwQsWzkr_FWOMj3cDqfoAkiPnWE4gMs7xJEOq3eqeM04B6SU9WOpLIylo\
                          BXMNMO1Bj2oRxhXMPyJTBoEVo4ETkWa5qYZiGfNeO77R-ug";
const HER_PLACE: &str = "zL09jsi60DjkmLVAnLtiww";
const HER_INDEX: &str = "user:{K9gGyX8OAK8aH8Myj6djqQ}";

/// A second after that.
const NOW: Duration = Duration::from_secs(1_795_521_601);

async fn world() -> World {
    World::redis_at(SystemTime::UNIX_EPOCH + NOW).await
}

fn key(world: &World, place: &str) -> String {
    format!("{}{{{ID}}}:{place}", world.prefix)
}

fn put(key: &str, fields: &[(&str, &str)]) {
    let mut redis = REDIS.connect();
    let _: () = redis.hset_multiple(key, fields).unwrap();
    let _: () = redis.expire(key, 3600).unwrap();
}

fn visitor<'w>(world: &'w World, cookie: &str) -> Visitor<'w> {
    Visitor { world, cookie: Some(cookie.to_owned()) }
}

#[rocket::async_test]
async fn session_of_release_0_1_0_is_still_valid() {
    let world = world().await;
    put(&key(&world, PLACE), &[("@id", ID), ("count:a", "41"), ("text:colour", "\"blue\"")]);
    let mut visitor = visitor(&world, COOKIE);
    assert_eq!(visitor.body("/view/a").await, "42");
    assert_eq!(visitor.body("/text/colour").await, "blue");
    world.settled().await;
    assert_eq!(world.keys.only(), key(&world, PLACE));
}

#[rocket::async_test]
async fn log_in_of_release_0_1_0_is_still_valid() {
    let world = world().await;
    let record = [
        ("@id", ID),
        ("@seen", "1795521600"),
        ("@user", "alice"),
        ("@login", "1795521600 phone"),
        ("text:colour", "\"blue\""),
    ];
    put(&key(&world, HER_PLACE), &record);
    let entry = (format!("{ID}:{HER_PLACE}"), "1795521600");
    put(&format!("{}{HER_INDEX}", world.prefix), &[(&entry.0, entry.1)]);
    let _: () = REDIS.connect().set_ex(key(&world, PLACE), "rotated", 29).unwrap();

    let mut alice = visitor(&world, HER_COOKIE);
    assert_eq!(alice.body("/user").await, "alice");
    assert_eq!(alice.body("/sessions/alice").await, "phone");
    assert_eq!(alice.body("/text/colour").await, "blue");
    let mut late = visitor(&world, COOKIE);
    assert_eq!(late.get("/count/a").await.status, Status::Conflict, "her old cookie is dead");
    assert_eq!(alice.body("/log-out-everywhere/alice").await, "1");
    assert_eq!(alice.body("/text/colour").await, "none");
}

#[rocket::async_test]
async fn session_that_was_destroyed_under_release_0_1_0_stays_destroyed() {
    let world = world().await;
    let _: () = REDIS.connect().set_ex(key(&world, PLACE), "destroyed", 29).unwrap();
    let mut visitor = visitor(&world, COOKIE);
    assert_eq!(visitor.body("/text/colour").await, "none");
    assert_eq!(visitor.get("/count/a").await.status, Status::Conflict);
    assert_eq!(world.keys.only(), key(&world, PLACE));
}
