//! Concurrent requests, and connections that break in between: each response tells the truth, and
//! every key has a time to live.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use redis::Commands;
use rocket::futures::future::join_all;
use rocket::http::Status;
use rocket::tokio::join;
use rocket::tokio::time::sleep;

use crate::proxy::{self, Action, after, find, get_elsewhere};
use crate::world::{REDIS, World, on_every_store};

on_every_store![
    async fn refused_insert_leaves_the_inserts_of_others_alone(world: World) {
        let world = world.reconfigured("session.max_field_size", 190).await;
        let world = world.reconfigured("session.max_record_size", 200).await;
        let mut visitor = world.visitor();
        visitor.get(&format!("/set/filler/{}", "x".repeat(20))).await;
        let too_large = format!("/set/a/{}", "x".repeat(180));
        for round in 0..50 {
            let (mut accepted, mut refused) = (visitor.clone(), visitor.clone());
            let path = format!("/set/a/{round}");
            let (refused, accepted) = join!(refused.get(&too_large), accepted.get(&path));
            assert_eq!((refused.status.code, accepted.status.code), (413, 200));
            assert_eq!(visitor.body("/text/a").await, round.to_string());
        }
    }

    async fn operation_that_is_dropped_leaves_the_session_reachable(world: World) {
        for (step, polls) in [("regenerate", 6), ("log-in", 12), ("count", 6)] {
            for polls in 1..polls {
                let mut visitor = world.visitor();
                visitor.get("/set/a/kept").await;
                visitor.get(&format!("/give-up/{polls}/{step}")).await;
                sleep(Duration::from_millis(10)).await;
                world.advance(31).await;
                assert_eq!(visitor.body("/text/a").await, "kept", "{step}, {polls} polls");
                let user = visitor.body("/user").await;
                assert!(user == "none" || step == "log-in", "{step}, {polls} polls: {user}");
                assert_eq!(visitor.body("/log-out-everywhere/alice").await == "1", user == "alice");
            }
        }
    }

    async fn visitor_is_remembered_even_if_the_first_write_was_dropped(world: World) {
        for polls in 1..6 {
            let mut visitor = world.visitor();
            visitor.get(&format!("/give-up-and-remember/{polls}/count")).await;
            let before = visitor.cookie.clone();
            world.advance(2 * 24 * 3600).await;
            visitor.get("/count/a").await;
            assert!(before.is_none() || visitor.cookie == before, "{polls} polls");
        }
    }

    async fn first_write_that_is_dropped_leaves_no_record_without_a_cookie(world: World) {
        for polls in 1..6 {
            let mut visitor = world.visitor();
            visitor.get(&format!("/give-up/{polls}/count")).await;
            sleep(Duration::from_millis(10)).await;
            let records = world.keys.of_type("hash").len();
            assert!(records == 0 || visitor.cookie.is_some(), "{polls} polls");
            visitor.get("/destroy").await;
        }
    }
];

#[rocket::async_test]
async fn log_out_everywhere_takes_effect_before_or_after_a_concurrent_log_in() {
    for start in [None, Some("/count/a"), Some("/log-in/bob/phone")] {
        for chunks in 0.. {
            let (world, trap) = proxy::trap().await;
            let elsewhere = Arc::new(world.instance_ahead_by(0).await);
            let mut visitor = world.visitor();
            if let Some(path) = start {
                visitor.get(path).await;
            }
            let destroyed: Arc<Mutex<String>> = Arc::default();
            let (result, other) = (destroyed.clone(), elsewhere.clone());
            trap.set(after(chunks, move |_| {
                let log_out = move || {
                    let count = get_elsewhere(&other, None, "/log-out-everywhere/alice");
                    *result.lock().unwrap() = count;
                };
                Action::Split(0, Box::new(log_out))
            }));
            let page = visitor.get("/log-in/alice/phone").await;
            if !trap.has_sprung() {
                break;
            }
            let case = format!("{start:?}, before chunk {chunks}: {}", page.status);
            let user = visitor.body("/user").await;
            assert!([200, 409].contains(&page.status.code), "{case}");
            let is_logged_in = page.status == Status::Ok && *destroyed.lock().unwrap() == "0";
            assert_eq!(user == "alice", is_logged_in, "{case}");
            let found = world.visitor().body("/log-out-everywhere/alice").await;
            assert_eq!(
                found == "1",
                is_logged_in,
                "{case}: the index contains a session that is logged in"
            );
        }
    }
}

#[rocket::async_test]
async fn batch_during_a_destroy_is_applied_completely_or_not_at_all() {
    for part in 1..8 {
        let (world, trap) = proxy::trap().await;
        let elsewhere = Arc::new(world.instance_ahead_by(0).await);
        let mut visitor = world.visitor();
        for _ in 0..5 {
            visitor.get("/verdict/pair").await;
        }
        let (cookie, other) = (visitor.cookie.clone(), elsewhere.clone());
        trap.set(after(0, move |bytes| {
            // Between two commands, if there are two.
            let second = find(&bytes[1..], "*4\r\n$7\r\nHINCRBY").map(|at| at + 1);
            let at = if part == 1 { second } else { None }.unwrap_or(bytes.len() * part / 8);
            let destroy = move || drop(get_elsewhere(&other, cookie.as_deref(), "/destroy"));
            Action::Split(at, Box::new(destroy))
        }));
        let page = visitor.get("/both/pair/nothing").await;
        assert!(trap.has_sprung());
        assert_eq!((page.status, page.set_cookies), (Status::Conflict, vec![]), "part {part}");
        assert_eq!(visitor.body("/fields").await, "0");
    }
}

#[rocket::async_test]
async fn every_key_has_a_ttl_if_the_connection_breaks_during_a_log_in() {
    for chunks in 0.. {
        for command in 1.. {
            let (world, trap) = proxy::trap().await;
            let mut visitor = world.visitor();
            visitor.get("/count/a").await;
            let is_past_the_end = Arc::new(Mutex::new(false));
            let past = is_past_the_end.clone();
            trap.set(after(chunks, move |bytes| {
                let starts = (1..bytes.len()).filter(|at| bytes[at - 1..].starts_with(b"\n*"));
                if let Some(at) = starts.clone().nth(command - 1) {
                    Action::CloseAfter(at)
                } else {
                    *past.lock().unwrap() = true;
                    Action::CloseAfter(bytes.len())
                }
            }));
            visitor.get("/log-in/alice/phone").await;
            if !trap.has_sprung() {
                return;
            }
            world.keys.assert_all_have_a_ttl();
            if *is_past_the_end.lock().unwrap() {
                break;
            }
        }
    }
}

#[rocket::async_test]
async fn increment_that_arrives_long_after_its_request_leaves_no_permanent_key() {
    let (world, trap) = proxy::trap_with_deadline(Duration::from_secs(4)).await;
    let (mut visitor, mut other) = (world.visitor(), world.visitor());
    visitor.get("/count/a").await;
    let lost = world.keys.only();
    other.get("/count/a").await;
    let _: () = REDIS.connect().del(&lost).unwrap();
    trap.set(after(0, |_| Action::Split(0, Box::new(|| thread::sleep(Duration::from_secs(3))))));
    visitor.get("/give-up/20/count").await;
    assert!(trap.has_sprung());
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(7) {
        sleep(Duration::from_millis(50)).await;
        other.get("/count/a").await;
    }
    world.keys.assert_all_have_a_ttl();
}

#[rocket::async_test]
async fn concurrent_views_of_a_record_with_another_marker_are_all_served() {
    for _ in 0..20 {
        let world = World::redis().await;
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let other = "0190a0a0-0000-7000-8000-000000000000";
        let markers = [("@id", other), ("@handle", other)];
        let _: () = REDIS.connect().hset_multiple(world.keys.only(), &markers).unwrap();
        let pages = join_all((0..12).map(async |_| visitor.clone().get("/view/a").await)).await;
        let statuses: Vec<_> = pages.iter().map(|it| it.status.code).collect();
        assert_eq!(statuses, [200; 12]);
    }
}
