//! What release 0.1.0 has given to browsers and left in Redis is read by the release under test. The
//! texts are what it wrote, once; they stay as they are when the formats change.

use std::time::{Duration, SystemTime};

use redis::Commands;

use crate::world::{REDIS, Visitor, World};

const HANDLE: &str = "01a20d6d-5a00-71c7-a340-8ca596f18ea6";

/// The cookie at the second view, and where its record is.
const COOKIE: &str = "zvhPm1Pu3F9AG/BGxcC9okVHRqhdyHYBFNN2CtVBfTC4zbJoyz1IaV9eCo3hsKofu7Rcdgzl/AG8Iydk3\
                      V10LGwqlv3J/ycqXGXxni+7uTjMlg1j6zMwpcpw1LgC7QDxanYjLFiAvUcCh2epzuRQZo1q9KToJsuj8\
                      AXGPQ==";
const RECORD: &str = "gB4EK1FzK-zhs0wN9BimDw";

/// The same after Alice has signed in.
const HER_COOKIE: &str = "j4CJI3zw9bmCeR9ajjiSu1h8Qbt2wXTOAr/uu2QaYouhi8/o255lCFEMnXuYcMzpX5barnHJcGxMv\
                          SVblPSXTA7Zufa8ZvP+Fd1bZokEuMtoDyJWhn7kekE73Y5FhlC5ZlQtqB++cCuvcv/zNxxshrr7m\
                          K6GdOyQglSQy7A=";
const HER_RECORD: &str = "JG8Pdo2gAmo_84rTJQHvLA";

/// Two seconds after that, so that the old cookie is still followed.
const NOW: Duration = Duration::from_secs(1_795_521_662);

async fn world() -> World {
    World::redis_at(SystemTime::UNIX_EPOCH + NOW).await
}

fn key(world: &World, record: &str) -> String {
    format!("{}{{{HANDLE}}}:{record}", world.prefix)
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
async fn session_of_release_0_1_0_goes_on() {
    let world = world().await;
    let fields = [("@handle", HANDLE), ("count:a", "41"), ("text:colour", "\"blue\"")];
    put(&key(&world, RECORD), &fields);
    let mut visitor = visitor(&world, COOKIE);
    assert_eq!(visitor.body("/view/a").await, "42");
    assert_eq!(visitor.body("/text/colour").await, "blue");
    assert_eq!(world.keys.only(), key(&world, RECORD));
}

#[rocket::async_test]
async fn sign_in_of_release_0_1_0_goes_on() {
    let world = world().await;
    let user = "{\"user\":\"alice\",\"since\":1795521660,\"label\":\"phone\"}";
    put(
        &key(&world, HER_RECORD),
        &[("@handle", HANDLE), ("@user", user), ("count:a", "41"), ("text:colour", "\"blue\"")],
    );
    let entry = format!("{HER_RECORD} 1795521660");
    put(&format!("{}user:{{K9gGyX8OAK8aH8Myj6djqQ}}", world.prefix), &[(HANDLE, &entry)]);
    let tombstone = format!("{HER_RECORD} 1795521665000");
    let _: () = REDIS.connect().set_ex(key(&world, RECORD), tombstone, 3600).unwrap();

    let mut alice = visitor(&world, HER_COOKIE);
    assert_eq!(alice.body("/user").await, "alice");
    assert_eq!(alice.body("/sessions/alice").await, "phone");
    assert_eq!(alice.body("/count/a").await, "42");
    let mut late = visitor(&world, COOKIE);
    assert_eq!(late.body("/count/a").await, "43", "her old cookie leads to the same session");
    assert_eq!(alice.body("/log-out-everywhere/alice").await, "1");
    assert_eq!(alice.body("/text/colour").await, "none");
}

#[rocket::async_test]
async fn session_that_ended_under_release_0_1_0_stays_ended() {
    let world = world().await;
    let _: () = REDIS.connect().set_ex(key(&world, RECORD), "", 3600).unwrap();
    let mut visitor = visitor(&world, COOKIE);
    assert_eq!(visitor.body("/count/a").await, "1");
    let ended: String = REDIS.connect().get(key(&world, RECORD)).unwrap();
    assert_eq!(ended, "", "nothing was counted there");
}
