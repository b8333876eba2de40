//! A value that is read, changed and written back: no update is lost.

use std::collections::BTreeSet;

use rocket::futures::future::join_all;

use crate::world::{World, on_every_store};

on_every_store![
    async fn concurrent_updates_are_all_kept(world: World) {
        const COUNT: usize = 40;
        let mut visitor = world.visitor();
        visitor.get("/append/list/first").await;
        visitor.get("/list/list").await;
        let mut visitors: Vec<_> = (0..COUNT).map(|_| visitor.clone()).collect();
        let paths: Vec<_> = (0..COUNT).map(|number| format!("/append/list/{number}")).collect();
        let pages = join_all(visitors.iter_mut().zip(&paths).map(|(it, path)| it.get(path))).await;
        let lengths: BTreeSet<usize> = pages.iter().map(|it| it.body.parse().unwrap()).collect();
        assert_eq!(lengths, (2..=COUNT + 1).collect(), "each update has seen a different list");
        let list = visitor.body("/list/list").await;
        let found: BTreeSet<_> = list.split(' ').map(str::to_owned).collect();
        let expected = (0..COUNT).map(|it| it.to_string()).chain(["first".to_owned()]);
        assert_eq!(found, expected.collect());
    }

    async fn first_update_creates_the_session(world: World) {
        let mut visitor = world.visitor();
        let page = visitor.get("/append/list/a").await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("1", 1));
        assert_eq!(visitor.body("/append/list/b").await, "2");
        assert_eq!(visitor.body("/list/list").await, "a b");
    }

    async fn update_that_changes_nothing_writes_nothing(world: World) {
        let mut visitor = world.visitor();
        let page = visitor.get("/pop/list").await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("none", 0));
        assert_eq!(world.store.round_trips(), 0);
        visitor.get("/append/list/a").await;
        visitor.get("/list/list").await;
        assert_eq!(visitor.body("/pop/list").await, "a");
        world.settled().await;
        world.store.take_calls();
        assert_eq!(visitor.body("/pop/list").await, "none");
        assert_eq!(world.store.round_trips(), 1);
    }

    async fn update_past_a_limit_is_refused_and_the_old_value_stays(world: World) {
        let world = world.reconfigured("session.max_field_size", 12).await;
        let mut visitor = world.visitor();
        visitor.get("/append/list/1234").await;
        assert_eq!(visitor.get("/append/list/5678").await.status.code, 413);
        assert_eq!(visitor.body("/list/list").await, "1234");
    }

    async fn update_in_a_destroyed_session_is_a_conflict(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/append/list/a").await;
        let mut late = visitor.clone();
        visitor.get("/destroy").await;
        assert_eq!(late.get("/append/list/b").await.status.code, 409);
        let mut fresh = world.visitor();
        assert_eq!(fresh.body("/append/list/c").await, "1");
    }
];
