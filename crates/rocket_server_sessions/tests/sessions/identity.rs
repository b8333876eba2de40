//! Which session a request uses if its cookie is replaced meanwhile: by a rotation, a log-in or a
//! destroy in another request, or by a thief with a copy of the cookie.

use rocket::futures::future::join_all;
use rocket::http::Status;

use crate::world::{World, on_every_store};

on_every_store![
    async fn only_the_new_cookie_reads_what_is_written_after_a_rotation(world: World) {
        // The thief is faster: the visitor's rotation fails, and nothing is written.
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let mut thief = visitor.clone();
        thief.body("/regenerate").await;
        assert_eq!(visitor.get("/both/regenerate/set").await.status, Status::Conflict);
        assert_eq!(thief.body("/text/a").await, "none");
        // The visitor is faster: the thief's cookie is dead at once.
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let mut thief = visitor.clone();
        visitor.body("/both/regenerate/set").await;
        assert_eq!(thief.body("/text/a").await, "none");
        assert_eq!(visitor.body("/text/a").await, "secret");
    }

    async fn late_response_does_not_undo_a_log_in(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let mut poll = visitor.clone();
        let late = poll
            .get_held("/hold/count/nothing", async || {
                visitor.body("/log-in/alice/phone").await;
            })
            .await;
        assert_eq!((late.status, late.set_cookies), (Status::Ok, vec![]));
        world.advance(6).await;
        assert_eq!(visitor.body("/user").await, "alice");
    }

    async fn request_that_outlasts_a_log_in_sets_no_cookie(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let mut slow = visitor.clone();
        let late = slow
            .get_held("/hold/nothing/count", async || {
                visitor.body("/log-in/alice/phone").await;
                world.advance(6).await;
            })
            .await;
        assert_eq!((late.status, late.set_cookies), (Status::Conflict, vec![]));
        assert_eq!(visitor.body("/peek/a").await, "1");
    }

    async fn two_hundred_log_ins_leave_no_tombstone_for_more_than_half_a_minute(world: World) {
        let mut visitor = world.visitor();
        for _ in 0..200 {
            visitor.body("/log-in/alice/phone").await;
        }
        world.advance(31).await;
        assert_eq!(world.keys.of_type("string"), Vec::<String>::new());
        assert_eq!(visitor.body("/user").await, "alice");
        assert_eq!(visitor.body("/sessions/alice").await, "phone");
    }

    async fn one_of_eight_concurrent_rotations_wins_and_the_others_conflict(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let pages = join_all((0..8).map(async |_| visitor.clone().get("/regenerate").await)).await;
        let (won, lost): (Vec<_>, Vec<_>) = pages.iter().partition(|it| it.status == Status::Ok);
        assert_eq!((won.len(), won[0].set_cookies.len()), (1, 1));
        assert!(lost.iter().all(|it| it.status == Status::Conflict && it.set_cookies.is_empty()));
        assert_eq!(visitor.body("/peek/a").await, "0", "with the old cookie");
    }

    async fn remember_me_alone_sends_the_cookie_again(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        let page = visitor.get("/remember-only/false").await;
        assert_eq!((page.status, page.set_cookies.len()), (Status::Ok, 1));
        assert!(!page.set_cookies[0].contains("Max-Age"), "{:?}", page.set_cookies);
        assert_eq!(visitor.body("/count/a").await, "3", "it is the same session");
    }

    async fn what_was_read_in_one_session_is_not_written_into_another(world: World) {
        for end in ["/destroy", "/log-out-everywhere/alice"] {
            let mut visitor = world.visitor();
            visitor.body("/log-in/alice/phone").await;
            let mut other = visitor.clone();
            let late = visitor
                .get_held("/hold/view/set", async || {
                    other.body(end).await;
                })
                .await;
            assert_eq!((late.status, late.set_cookies), (Status::Conflict, vec![]), "{end}");
            assert_eq!(visitor.body("/text/a").await, "none", "{end}");
        }
    }
];

#[rocket::async_test]
async fn clocks_of_instances_may_be_an_hour_apart() {
    for ahead in [300, 3_700] {
        let behind = World::redis().await;
        let world = behind.instance_ahead_by(ahead).await;
        let mut visitor = behind.visitor();
        visitor.get("/count/a").await;
        let mut elsewhere = world.visitor();
        elsewhere.cookie.clone_from(&visitor.cookie);
        assert_eq!(elsewhere.body("/count/a").await, "2", "{ahead}: a first cookie");
        assert_eq!(visitor.body("/count/a").await, "3", "{ahead}");
        for mut rotating in [visitor.clone(), elsewhere.clone()] {
            rotating.cookie.clone_from(&visitor.cookie);
            rotating.body("/regenerate").await;
            for mut old in [visitor.clone(), elsewhere.clone()] {
                old.cookie.clone_from(&visitor.cookie);
                assert_eq!(old.body("/peek/a").await, "0", "{ahead}: dead at once, everywhere");
            }
            visitor.cookie.clone_from(&rotating.cookie);
        }
        assert_eq!(visitor.body("/peek/a").await, "3", "{ahead}");
    }
}
