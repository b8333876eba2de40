//! What stores do with records, tokens and the indexes of users.

use rocket::futures::future::join_all;

use super::{
    ANSWERS, HOUR, Rule, Trial, all, applied, assert_dead, at, create, increment, insert, log_in,
    rotation, status, stranger, values,
};
use crate::store::{
    Death, DestroyResult, IndexEntry, LoggedIn, RecordStatus, RotateResult, Rotation, Selection,
    TimeToLive,
};

pub(super) const RULES: &[Rule] = rules![
    destroyed_record_is_dead_for_every_operation,
    rotation_moves_the_record_and_leaves_a_dead_token,
    only_one_of_many_rotations_wins,
    rotation_to_a_place_that_is_taken_changes_nothing,
    settling_reports_whether_a_record_exists_and_keeps_it_that_way,
    log_in_names_the_user_and_keeps_the_fields,
    log_in_of_another_user_destroys_the_session,
    session_of_a_user_is_destroyed_for_that_user_only,
    time_of_a_touch_is_kept,
    index_holds_each_place_once_with_its_latest_time,
    indexes_of_two_users_are_separate,
    statuses_are_in_the_order_of_the_records,
];

async fn destroyed_record_is_dead_for_every_operation(store: Trial<'_>) {
    let id = store.record(0);
    create(&*store, id, &[("a", "1")]).await;
    assert_eq!(store.destroy(id, None).await.expect(ANSWERS), DestroyResult::Destroyed(None));
    assert_dead(&*store, id, Death::Destroyed).await;
}

async fn rotation_moves_the_record_and_leaves_a_dead_token(store: Trial<'_>) {
    let (from, to) = (store.record(0), store.record(1));
    create(&*store, from, &[("a", "1")]).await;
    assert_eq!(store.rotate(&rotation(from, to)).await.expect(ANSWERS), RotateResult::Rotated);
    assert_eq!(all(&*store, to).await, values(&[("a", "1")]));
    assert_dead(&*store, from, Death::Rotated).await;
    assert_eq!(
        all(&*store, to).await,
        values(&[("a", "1")]),
        "no operation with the old token has changed it"
    );
}

async fn only_one_of_many_rotations_wins(store: Trial<'_>) {
    let from = store.record(0);
    create(&*store, from, &[("a", "1")]).await;
    let rotations: Vec<_> = (1..6).map(|seed| rotation(from, store.record(seed))).collect();
    let results = join_all(rotations.iter().map(|it| store.rotate(it))).await;
    let results = results.into_iter().map(|it| it.expect(ANSWERS));
    let (won, lost): (Vec<_>, Vec<_>) = results.partition(|it| *it == RotateResult::Rotated);
    assert_eq!((won.len(), lost), (1, vec![RotateResult::Dead(Death::Rotated); 4]));
}

async fn rotation_to_a_place_that_is_taken_changes_nothing(store: Trial<'_>) {
    let (from, to) = (store.record(0), store.record(1));
    create(&*store, from, &[("a", "1")]).await;
    assert!(!store.settle(to).await.expect(ANSWERS), "settling bars the place");
    assert_eq!(store.rotate(&rotation(from, to)).await.expect(ANSWERS), RotateResult::Barred);
    let login = log_in(from, to, "alice");
    assert_eq!(store.rotate(&login).await.expect(ANSWERS), RotateResult::Barred);
    assert_eq!(all(&*store, from).await, values(&[("a", "1")]));
}

async fn settling_reports_whether_a_record_exists_and_keeps_it_that_way(store: Trial<'_>) {
    create(&*store, store.record(0), &[("a", "1")]).await;
    assert!(store.settle(store.record(0)).await.expect(ANSWERS));
    assert_eq!(
        all(&*store, store.record(0)).await,
        values(&[("a", "1")]),
        "the record was not changed"
    );
    assert!(!store.settle(store.record(1)).await.expect(ANSWERS));
    assert!(!store.create(store.record(1), &values(&[("a", "1")]), HOUR).await.expect(ANSWERS));
}

async fn log_in_names_the_user_and_keeps_the_fields(store: Trial<'_>) {
    let (from, to) = (store.record(0), store.record(1));
    create(&*store, from, &[("a", "1")]).await;
    let login = log_in(from, to, "alice");
    assert_eq!(store.rotate(&login).await.expect(ANSWERS), RotateResult::Rotated);
    let found = status(&*store, to).await;
    assert_eq!(found, RecordStatus::Live { seen: None, user: login.user.clone() });
    assert_eq!(
        LoggedIn::from_fields(&all(&*store, to).await),
        login.user,
        "the user is among the fields"
    );
    assert_eq!(all(&*store, to).await.get("a").map(String::as_str), Some("1"));
    let again = log_in(to, store.record(2), "alice");
    assert_eq!(store.rotate(&again).await.expect(ANSWERS), RotateResult::Rotated);
}

async fn log_in_of_another_user_destroys_the_session(store: Trial<'_>) {
    let (from, to) = (store.record(0), store.record(1));
    create(&*store, from, &[]).await;
    store.rotate(&log_in(from, to, "alice")).await.expect(ANSWERS);
    let other = store.rotate(&log_in(to, store.record(2), "bob")).await.expect(ANSWERS);
    assert_eq!(other, RotateResult::OtherUser("alice".into()));
    assert_dead(&*store, to, Death::Destroyed).await;
    assert_eq!(status(&*store, store.record(2)).await, RecordStatus::Gone);
}

async fn session_of_a_user_is_destroyed_for_that_user_only(store: Trial<'_>) {
    let (from, to) = (store.record(0), store.record(1));
    create(&*store, from, &[]).await;
    let not_theirs = store.destroy(from, Some("alice")).await.expect(ANSWERS);
    assert_eq!(not_theirs, DestroyResult::NotTheirs, "no user is logged in");
    store.rotate(&log_in(from, to, "alice")).await.expect(ANSWERS);
    let not_theirs = store.destroy(to, Some("bob")).await.expect(ANSWERS);
    assert_eq!(not_theirs, DestroyResult::NotTheirs);
    let destroyed = store.destroy(to, Some("alice")).await.expect(ANSWERS);
    assert_eq!(destroyed, DestroyResult::Destroyed(Some("alice".into())));
}

async fn time_of_a_touch_is_kept(store: Trial<'_>) {
    let id = store.record(0);
    create(&*store, id, &[("a", "1")]).await;
    assert_eq!(applied(&*store, id, &[], Selection::All).await.seen, None);
    let now = at(1_800_000_000);
    store.touch(id, now, TimeToLive::fixed(HOUR)).await.expect(ANSWERS);
    for ops in [&[][..], &[increment("a", 1)], &[insert("a", "1")]] {
        for read in [Selection::All, Selection::Some(vec!["a".into()])] {
            let seen = applied(&*store, id, ops, read).await;
            assert_eq!((seen.seen, seen.fields.len()), (Some(now), 1), "{ops:?}");
        }
    }
    let later = at(1_800_000_100);
    let rotation = Rotation { seen: Some(later), ..rotation(id, store.record(1)) };
    store.rotate(&rotation).await.expect(ANSWERS);
    assert_eq!(applied(&*store, store.record(1), &[], Selection::All).await.seen, Some(later));
}

async fn index_holds_each_place_once_with_its_latest_time(store: Trial<'_>) {
    assert_eq!(store.index(&store.user("u")).await.expect(ANSWERS), []);
    let entry = |record, seconds| IndexEntry { record, written: at(seconds) };
    let (first, second) = (entry(store.record(0), 1), entry(store.record(1), 2));
    assert_eq!(
        store.index_add(&store.user("u"), first.clone(), HOUR).await.expect(ANSWERS),
        [first]
    );
    let latest = entry(store.record(0), 3);
    store.index_add(&store.user("u"), second.clone(), HOUR).await.expect(ANSWERS);
    let mut all = store.index_add(&store.user("u"), latest.clone(), HOUR).await.expect(ANSWERS);
    all.sort_by_key(|it| it.written);
    assert_eq!(all, [second.clone(), latest]);
    store.index_remove(&store.user("u"), &[store.record(0), stranger()]).await.expect(ANSWERS);
    assert_eq!(store.index(&store.user("u")).await.expect(ANSWERS), [second]);
    store.index_remove(&store.user("u"), &[store.record(1)]).await.expect(ANSWERS);
    assert_eq!(store.index(&store.user("u")).await.expect(ANSWERS), []);
}

async fn indexes_of_two_users_are_separate(store: Trial<'_>) {
    let entry = |record| IndexEntry { record, written: at(1) };
    let (a, b) = (entry(store.record(0)), entry(stranger()));
    store.index_add(&store.user("alice"), a.clone(), HOUR).await.expect(ANSWERS);
    store.index_add(&store.user("bob"), b.clone(), HOUR).await.expect(ANSWERS);
    store.index_remove(&store.user("bob"), &[a.record]).await.expect(ANSWERS);
    assert_eq!(store.index(&store.user("alice")).await.expect(ANSWERS), [a]);
    assert_eq!(store.index(&store.user("bob")).await.expect(ANSWERS), [b]);
}

async fn statuses_are_in_the_order_of_the_records(store: Trial<'_>) {
    let (free, dead) = (stranger(), stranger());
    create(&*store, free, &[("a", "1")]).await;
    create(&*store, dead, &[]).await;
    store.destroy(dead, None).await.expect(ANSWERS);
    let found = store.status(&[stranger(), free, dead, free]).await.expect(ANSWERS);
    let live = RecordStatus::Live { seen: None, user: None };
    assert_eq!(found, [RecordStatus::Gone, live.clone(), RecordStatus::Dead, live]);
}
