//! What every store must do, asked of the store itself.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rocket::futures::future::join_all;
use rocket_server_sessions::store::{
    Applied, Death, DestroyResult, Fields, IndexEntry, LoggedIn, Memory, Op, OpResult, PublicId,
    RecordId, RecordStatus, RotateResult, Rotation, Store, TokenHash, Update, UpdateResult, Values,
};
use rocket_server_sessions::testing::ManualClock;

use crate::world::on_every_store;

const HOUR: Duration = Duration::from_hours(1);

/// A place of one session for each test thread: one of six tokens.
fn record(seed: usize) -> RecordId {
    thread_local! {
        static ID: PublicId = new_id();
    }
    let text = format!("{}{}", "A".repeat(20), ["AA", "AQ", "Ag", "Aw", "BA", "BQ"][seed]);
    RecordId { id: ID.with(|id| *id), token_hash: TokenHash::parse(&text).unwrap() }
}

/// A place of a session other than that of [`record`].
fn stranger() -> RecordId {
    RecordId { id: new_id(), ..record(0) }
}

fn new_id() -> PublicId {
    PublicId::parse(&uuid::Uuid::now_v7().to_string()).unwrap()
}

/// Stores keep whole seconds.
fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn update(ops: &[Op], read: Fields) -> Update {
    Update { ops: ops.to_vec(), read, max_size: None }
}

fn look() -> Update {
    update(&[], Fields::All)
}

fn insert(name: &str, value: &str) -> Op {
    Op::Insert(name.into(), value.into())
}

fn increment(name: &str, by: i64) -> Op {
    Op::Increment(name.into(), by)
}

fn exchange(field: &str, current: Option<&str>, new: &str) -> Op {
    let current = current.map(str::to_owned);
    Op::CompareExchange { field: field.to_owned(), current, new: new.to_owned() }
}

fn op_field(op: &Op) -> &str {
    match op {
        Op::CompareExchange { field, .. } => field,
        other => panic!("{other:?}"),
    }
}

/// Changes of every kind that become other commands.
fn changes() -> Vec<Vec<Op>> {
    vec![
        vec![],
        vec![increment("a", 1)],
        vec![Op::Remove("a".into())],
        vec![insert("a", "2")],
        vec![Op::Take("a".into())],
        vec![exchange("a", None, "2")],
        vec![exchange("a", Some("1"), "2")],
        vec![increment("a", 1), increment("b", 1)],
    ]
}

fn rotation(from: RecordId, to: RecordId) -> Rotation {
    Rotation { from, to: to.token_hash, ttl: HOUR, seen: None, user: None, fields: Values::new() }
}

fn log_in(from: RecordId, to: RecordId, user: &str) -> Rotation {
    let (user, label) = (user.to_owned(), "phone".to_owned());
    let login = LoggedIn { user, since: at(1_800_000_000), label };
    Rotation { user: Some(login), ..rotation(from, to) }
}

async fn applied(store: &dyn Store, record: RecordId, ops: &[Op], read: Fields) -> Applied {
    match store.update(record, &update(ops, read)).await.unwrap() {
        UpdateResult::Applied(applied) => applied,
        other => panic!("{other:?}"),
    }
}

async fn all(store: &dyn Store, record: RecordId) -> Values {
    applied(store, record, &[], Fields::All).await.fields
}

async fn create(store: &dyn Store, record: RecordId, pairs: &[(&str, &str)]) {
    assert!(store.create(record, &values(pairs), HOUR).await.unwrap());
}

async fn status(store: &dyn Store, record: RecordId) -> RecordStatus {
    store.status(&[record]).await.unwrap().remove(0)
}

/// Every operation finds the token dead, and changes nothing.
async fn assert_dead(store: &dyn Store, record: RecordId, death: Death) {
    for ops in changes() {
        for read in [Fields::All, Fields::Some(vec!["a".into()])] {
            let found = store.update(record, &update(&ops, read)).await.unwrap();
            assert_eq!(found, UpdateResult::Dead(death), "{ops:?}");
        }
    }
    store.touch(record, at(1_800_000_000), HOUR).await.unwrap();
    let to = RecordId { token_hash: self::record(5).token_hash, ..record };
    for rotation in [rotation(record, to), log_in(record, to, "alice")] {
        assert_eq!(store.rotate(&rotation).await.unwrap(), RotateResult::Dead(death));
    }
    for user in [None, Some("alice")] {
        assert_eq!(store.destroy(record, user).await.unwrap(), DestroyResult::Dead(death));
    }
    assert!(!store.create(record, &values(&[("a", "1")]), HOUR).await.unwrap(), "nothing returns");
    assert!(!store.settle(record).await.unwrap());
    assert_eq!(status(store, record).await, RecordStatus::Dead);
}

on_every_store![
    async fn created_record_reads_back(store: Arc<dyn Store>) {
        let (id, pairs) = (record(0), [("a", "1"), ("b", "\"x\"")]);
        create(&*store, id, &pairs).await;
        assert_eq!(all(&*store, id).await, values(&pairs));
        assert_eq!(store.update(record(1), &look()).await.unwrap(), UpdateResult::Gone);
        assert_eq!(store.update(stranger(), &look()).await.unwrap(), UpdateResult::Gone);
    }

    async fn record_is_not_created_twice(store: Arc<dyn Store>) {
        create(&*store, record(0), &[("a", "1")]).await;
        assert!(!store.create(record(0), &values(&[("a", "2"), ("b", "2")]), HOUR).await.unwrap());
        assert_eq!(all(&*store, record(0)).await, values(&[("a", "1")]), "it is left alone");
    }

    async fn operation_on_nothing_leaves_nothing(store: Arc<dyn Store>) {
        let id = record(0);
        for ops in changes() {
            for read in [Fields::All, Fields::Some(vec!["a".into()])] {
                let found = store.update(id, &update(&ops, read)).await.unwrap();
                assert_eq!(found, UpdateResult::Gone, "{ops:?}");
                assert_eq!(status(&*store, id).await, RecordStatus::Gone, "{ops:?}");
            }
        }
        store.touch(id, at(1_800_000_000), HOUR).await.unwrap();
        for rotation in [rotation(id, record(1)), log_in(id, record(1), "alice")] {
            assert_eq!(store.rotate(&rotation).await.unwrap(), RotateResult::Gone);
        }
        for user in [None, Some("alice")] {
            assert_eq!(store.destroy(id, user).await.unwrap(), DestroyResult::Gone);
        }
        let found = store.status(&[id, record(1)]).await.unwrap();
        assert_eq!(found, [RecordStatus::Gone, RecordStatus::Gone]);
    }

    async fn changes_are_carried_out_in_order(store: Arc<dyn Store>) {
        let id = record(0);
        create(&*store, id, &[("a", "1"), ("d", "1")]).await;
        let ops = [
            insert("b", "5"),
            increment("b", 2),
            increment("c", -3),
            Op::Remove("a".into()),
            insert("d", "true"),
            Op::Take("d".into()),
        ];
        let results = applied(&*store, id, &ops, Fields::Some(vec![])).await.results;
        let expected = [
            OpResult::Done,
            OpResult::Count(7),
            OpResult::Count(-3),
            OpResult::Done,
            OpResult::Done,
            OpResult::Taken(Some("true".into())),
        ];
        assert_eq!(results, expected);
        assert_eq!(all(&*store, id).await, values(&[("b", "7"), ("c", "-3")]));
    }

    async fn reads_show_the_record_after_the_changes(store: Arc<dyn Store>) {
        let id = record(0);
        create(&*store, id, &[("a", "1"), ("c", "3")]).await;
        let seen = applied(&*store, id, &[increment("a", 1), insert("b", "2")], Fields::All).await;
        assert_eq!(seen.fields, values(&[("a", "2"), ("b", "2"), ("c", "3")]));
        let names = Fields::Some(vec!["c".into(), "x".into(), "a".into()]);
        for ops in [&[][..], &[increment("b", 1)], &[insert("b", "1")]] {
            let seen = applied(&*store, id, ops, names.clone()).await;
            assert_eq!(seen.fields, values(&[("a", "2"), ("c", "3")]), "{ops:?}");
        }
    }

    async fn increments_beside_each_other_are_all_different(store: Arc<dyn Store>) {
        let id = record(0);
        create(&*store, id, &[]).await;
        let ops = [increment("a", 1)];
        let all = join_all((0..500).map(|_| applied(&*store, id, &ops, Fields::All))).await;
        let mut counts: Vec<_> = all.iter().map(|it| it.results[0].clone()).collect();
        counts.sort_by_key(|it| if let OpResult::Count(count) = it { *count } else { 0 });
        assert_eq!(counts, (1..=500).map(OpResult::Count).collect::<Vec<_>>());
        let is_consistent = |it: &Applied| match it.results[..] {
            [OpResult::Count(count)] => it.fields["a"] == count.to_string(),
            _ => false,
        };
        assert!(all.iter().all(is_consistent), "each sees its own count in the record");
    }

    async fn increment_of_text_or_past_64_bits_is_refused_and_changes_nothing(
        store: Arc<dyn Store>,
    ) {
        let (id, max) = (record(0), i64::MAX.to_string());
        let pairs = [("text", "\"x\""), ("float", "1.5"), ("most", &max)];
        create(&*store, id, &pairs).await;
        let ops = [increment("text", 1), increment("float", 1), increment("most", 1)];
        let refused = applied(&*store, id, &ops, Fields::Some(vec![])).await.results;
        assert_eq!(refused, vec![OpResult::NotAnInteger; 3]);
        for op in ops {
            let results = applied(&*store, id, &[op], Fields::Some(vec![])).await.results;
            assert_eq!(results, [OpResult::NotAnInteger]);
        }
        assert_eq!(all(&*store, id).await, values(&pairs));
    }

    async fn counts_keep_all_their_64_bits(store: Arc<dyn Store>) {
        for start in [i64::MAX - 2, i64::MIN, (1 << 53) - 1, -(1 << 53) - 1] {
            let id = stranger();
            create(&*store, id, &[("n", &start.to_string())]).await;
            let alone = applied(&*store, id, &[increment("n", 1)], Fields::All).await;
            assert_eq!(alone.results, [OpResult::Count(start + 1)]);
            let ops = [increment("n", 1), insert("b", "1")];
            let in_a_batch = applied(&*store, id, &ops, Fields::All).await;
            assert_eq!(in_a_batch.results[0], OpResult::Count(start + 2));
            assert_eq!(in_a_batch.fields["n"], (start + 2).to_string());
        }
    }

    async fn exchange_is_made_only_if_the_field_holds_what_was_read(store: Arc<dyn Store>) {
        let id = record(0);
        create(&*store, id, &[("a", "1")]).await;
        let cases = [
            (exchange("a", None, "2"), OpResult::Changed(Some("1".into())), Some("1")),
            (exchange("a", Some("01"), "2"), OpResult::Changed(Some("1".into())), Some("1")),
            (exchange("a", Some("1"), "2"), OpResult::Done, Some("2")),
            (exchange("a", Some("1"), "3"), OpResult::Changed(Some("2".into())), Some("2")),
            (exchange("b", Some("1"), "2"), OpResult::Changed(None), None),
            (exchange("b", Some(""), "2"), OpResult::Changed(None), None),
            (exchange("b", None, ""), OpResult::Done, Some("")),
            (exchange("b", Some(""), "4"), OpResult::Done, Some("4")),
        ];
        for (op, result, held) in cases {
            let seen = applied(&*store, id, std::slice::from_ref(&op), Fields::All).await;
            assert_eq!(seen.results, [result], "{op:?}");
            assert_eq!(seen.fields.get(op_field(&op)).map(String::as_str), held, "{op:?}");
        }
    }

    async fn refused_exchange_fails_alone(store: Arc<dyn Store>) {
        let id = record(0);
        create(&*store, id, &[("a", "1")]).await;
        let ops = [insert("a", "2"), exchange("a", Some("1"), "3"), increment("b", 1)];
        let seen = applied(&*store, id, &ops, Fields::All).await;
        let changed = OpResult::Changed(Some("2".into()));
        assert_eq!(seen.results, [OpResult::Done, changed, OpResult::Count(1)]);
        assert_eq!(seen.fields, values(&[("a", "2"), ("b", "1")]));
    }

    async fn of_many_exchanges_one_wins(store: Arc<dyn Store>) {
        let id = record(0);
        create(&*store, id, &[("a", "0")]).await;
        let ops: Vec<_> = (1..100).map(|it| exchange("a", Some("0"), &it.to_string())).collect();
        let calls =
            ops.iter().map(|op| applied(&*store, id, std::slice::from_ref(op), Fields::All));
        let all = join_all(calls).await;
        let won = all.iter().filter(|it| it.results == [OpResult::Done]);
        assert_eq!(won.count(), 1);
    }

    async fn clear_deletes_what_is_the_applications(store: Arc<dyn Store>) {
        let id = record(0);
        let many: Vec<_> = (0..2500).map(|it| (format!("field {it}"), it.to_string())).collect();
        let fields: Values = many.into_iter().collect();
        assert!(store.create(id, &fields, HOUR).await.unwrap());
        let to = RecordId { token_hash: record(1).token_hash, ..id };
        store.rotate(&log_in(id, to, "alice")).await.unwrap();
        let login = applied(&*store, to, &[], Fields::All).await.fields.len() - 2500;
        let seen = applied(&*store, to, &[insert("a", "1"), Op::Clear], Fields::All).await;
        assert_eq!(seen.results, [OpResult::Done, OpResult::Done]);
        assert_eq!(seen.fields.len(), login);
        let seen = applied(&*store, to, &[Op::Clear, insert("a", "1")], Fields::All).await;
        assert_eq!(seen.fields.len(), login + 1);
        assert!(matches!(status(&*store, to).await, RecordStatus::Live { user: Some(_), .. }));
    }

    async fn take_gives_a_field_once(store: Arc<dyn Store>) {
        let id = record(0);
        create(&*store, id, &[("a", "1")]).await;
        let ops = [Op::Take("a".into())];
        let takers = (0..20).map(|_| applied(&*store, id, &ops, Fields::Some(vec![])));
        let all = join_all(takers).await;
        let count =
            |wanted: OpResult| all.iter().filter(|it| it.results == [wanted.clone()]).count();
        assert_eq!(count(OpResult::Taken(Some("1".into()))), 1);
        assert_eq!(count(OpResult::Taken(None)), 19);
    }

    async fn update_past_the_size_limit_changes_nothing(store: Arc<dyn Store>) {
        let id = record(0);
        create(&*store, id, &[("a", "1234"), ("n", "7")]).await;
        for (ops, size) in [
            (vec![insert("b", "12345")], 13),
            (vec![insert("a", "1234567890")], 13),
            (vec![increment("count", 1)], 13),
            (vec![increment("n", 1), insert("b", "12345"), Op::Remove("n".into())], 11),
        ] {
            let update = Update { max_size: Some(10), ..update(&ops, Fields::All) };
            let found = store.update(id, &update).await.unwrap();
            assert!(matches!(found, UpdateResult::TooLarge(it) if it >= size), "{found:?}");
            assert_eq!(all(&*store, id).await, values(&[("a", "1234"), ("n", "7")]));
        }
        let fits = [insert("b", "12"), Op::Remove("x".into())];
        let update = Update { max_size: Some(10), ..update(&fits, Fields::All) };
        assert!(matches!(store.update(id, &update).await.unwrap(), UpdateResult::Applied(_)));
    }

    async fn destroyed_record_is_dead_for_every_operation(store: Arc<dyn Store>) {
        let id = record(0);
        create(&*store, id, &[("a", "1")]).await;
        assert_eq!(store.destroy(id, None).await.unwrap(), DestroyResult::Destroyed(None));
        assert_dead(&*store, id, Death::Destroyed).await;
    }

    async fn rotation_moves_the_record_and_leaves_a_dead_token(store: Arc<dyn Store>) {
        let (from, to) = (record(0), record(1));
        create(&*store, from, &[("a", "1")]).await;
        assert_eq!(store.rotate(&rotation(from, to)).await.unwrap(), RotateResult::Rotated);
        assert_eq!(all(&*store, to).await, values(&[("a", "1")]));
        assert_dead(&*store, from, Death::Rotated).await;
        assert_eq!(all(&*store, to).await, values(&[("a", "1")]), "and nothing has reached it");
    }

    async fn of_many_rotations_one_wins(store: Arc<dyn Store>) {
        let from = record(0);
        create(&*store, from, &[("a", "1")]).await;
        let rotations: Vec<_> = (1..6).map(|seed| rotation(from, record(seed))).collect();
        let results = join_all(rotations.iter().map(|it| store.rotate(it))).await;
        let results = results.into_iter().map(Result::unwrap);
        let (won, lost): (Vec<_>, Vec<_>) = results.partition(|it| *it == RotateResult::Rotated);
        assert_eq!((won.len(), lost), (1, vec![RotateResult::Dead(Death::Rotated); 4]));
    }

    async fn rotation_to_a_place_that_is_taken_changes_nothing(store: Arc<dyn Store>) {
        let (from, to) = (record(0), record(1));
        create(&*store, from, &[("a", "1")]).await;
        assert!(!store.settle(to).await.unwrap(), "it bars the place");
        assert_eq!(store.rotate(&rotation(from, to)).await.unwrap(), RotateResult::Barred);
        let login = log_in(from, to, "alice");
        assert_eq!(store.rotate(&login).await.unwrap(), RotateResult::Barred);
        assert_eq!(all(&*store, from).await, values(&[("a", "1")]));
    }

    async fn settling_tells_whether_a_record_has_come_to_be_and_keeps_it_so(store: Arc<dyn Store>) {
        create(&*store, record(0), &[("a", "1")]).await;
        assert!(store.settle(record(0)).await.unwrap());
        assert_eq!(all(&*store, record(0)).await, values(&[("a", "1")]), "it is left alone");
        assert!(!store.settle(record(1)).await.unwrap());
        assert!(!store.create(record(1), &values(&[("a", "1")]), HOUR).await.unwrap());
    }

    async fn log_in_names_the_user_and_keeps_the_fields(store: Arc<dyn Store>) {
        let (from, to) = (record(0), record(1));
        create(&*store, from, &[("a", "1")]).await;
        let login = log_in(from, to, "alice");
        assert_eq!(store.rotate(&login).await.unwrap(), RotateResult::Rotated);
        let found = status(&*store, to).await;
        assert_eq!(found, RecordStatus::Live { seen: None, user: login.user });
        assert_eq!(all(&*store, to).await.get("a").map(String::as_str), Some("1"));
        let again = log_in(to, record(2), "alice");
        assert_eq!(store.rotate(&again).await.unwrap(), RotateResult::Rotated);
    }

    async fn log_in_of_another_user_destroys_the_first_ones_session(store: Arc<dyn Store>) {
        let (from, to) = (record(0), record(1));
        create(&*store, from, &[]).await;
        store.rotate(&log_in(from, to, "alice")).await.unwrap();
        let other = store.rotate(&log_in(to, record(2), "bob")).await.unwrap();
        assert_eq!(other, RotateResult::OtherUser("alice".into()));
        assert_dead(&*store, to, Death::Destroyed).await;
        assert_eq!(status(&*store, record(2)).await, RecordStatus::Gone);
    }

    async fn session_of_a_user_is_destroyed_by_that_user_alone(store: Arc<dyn Store>) {
        let (from, to) = (record(0), record(1));
        create(&*store, from, &[]).await;
        let not_theirs = store.destroy(from, Some("alice")).await.unwrap();
        assert_eq!(not_theirs, DestroyResult::NotTheirs, "no user is logged in");
        store.rotate(&log_in(from, to, "alice")).await.unwrap();
        let not_theirs = store.destroy(to, Some("bob")).await.unwrap();
        assert_eq!(not_theirs, DestroyResult::NotTheirs);
        let destroyed = store.destroy(to, Some("alice")).await.unwrap();
        assert_eq!(destroyed, DestroyResult::Destroyed(Some("alice".into())));
    }

    async fn touch_is_remembered(store: Arc<dyn Store>) {
        let id = record(0);
        create(&*store, id, &[("a", "1")]).await;
        assert_eq!(applied(&*store, id, &[], Fields::All).await.seen, None);
        let now = at(1_800_000_000);
        store.touch(id, now, HOUR).await.unwrap();
        for ops in [&[][..], &[increment("a", 1)], &[insert("a", "1")]] {
            for read in [Fields::All, Fields::Some(vec!["a".into()])] {
                let seen = applied(&*store, id, ops, read).await;
                assert_eq!((seen.seen, seen.fields.len()), (Some(now), 1), "{ops:?}");
            }
        }
        let later = at(1_800_000_100);
        let rotation = Rotation { seen: Some(later), ..rotation(id, record(1)) };
        store.rotate(&rotation).await.unwrap();
        assert_eq!(applied(&*store, record(1), &[], Fields::All).await.seen, Some(later));
    }

    async fn any_text_survives(store: Arc<dyn Store>) {
        let id = record(0);
        let pairs = [("quote\"\r\n\0", "\"\\u0000\""), ("ключ 🗝", "\"значение\""), ("", "")];
        create(&*store, id, &pairs).await;
        assert_eq!(all(&*store, id).await, values(&pairs));
        for (name, value) in pairs {
            applied(&*store, id, &[insert(name, &value.repeat(2))], Fields::All).await;
        }
        let expected = pairs.map(|(name, value)| (name.to_owned(), value.repeat(2)));
        assert_eq!(all(&*store, id).await, Values::from(expected));
    }

    async fn index_holds_each_place_once_with_its_latest_time(store: Arc<dyn Store>) {
        assert_eq!(store.index("u").await.unwrap(), []);
        let entry = |record, seconds| IndexEntry { record, written: at(seconds) };
        let (first, second) = (entry(record(0), 1), entry(record(1), 2));
        assert_eq!(store.index_add("u", first.clone(), HOUR).await.unwrap(), [first]);
        let latest = entry(record(0), 3);
        store.index_add("u", second.clone(), HOUR).await.unwrap();
        let mut all = store.index_add("u", latest.clone(), HOUR).await.unwrap();
        all.sort_by_key(|it| it.written);
        assert_eq!(all, [second.clone(), latest]);
        store.index_remove("u", &[record(0), stranger()]).await.unwrap();
        assert_eq!(store.index("u").await.unwrap(), [second]);
        store.index_remove("u", &[record(1)]).await.unwrap();
        assert_eq!(store.index("u").await.unwrap(), []);
    }

    async fn indexes_of_two_users_are_apart(store: Arc<dyn Store>) {
        let entry = |record| IndexEntry { record, written: at(1) };
        let (a, b) = (entry(record(0)), entry(stranger()));
        store.index_add("alice", a.clone(), HOUR).await.unwrap();
        store.index_add("bob", b.clone(), HOUR).await.unwrap();
        store.index_remove("bob", &[a.record]).await.unwrap();
        assert_eq!(store.index("alice").await.unwrap(), [a]);
        assert_eq!(store.index("bob").await.unwrap(), [b]);
    }

    async fn status_is_told_of_many_places_in_their_order(store: Arc<dyn Store>) {
        let (free, dead) = (stranger(), stranger());
        create(&*store, free, &[("a", "1")]).await;
        create(&*store, dead, &[]).await;
        store.destroy(dead, None).await.unwrap();
        let found = store.status(&[stranger(), free, dead, free]).await.unwrap();
        let live = RecordStatus::Live { seen: None, user: None };
        assert_eq!(found, [RecordStatus::Gone, live.clone(), RecordStatus::Dead, live]);
    }
];

#[rocket::async_test]
async fn memory_lets_records_expire() {
    let clock = ManualClock::now();
    let store = Memory::with_clock(10, Arc::new(clock.clone()));
    create(&store, record(0), &[("a", "1")]).await;
    for _ in 0..2 {
        clock.advance(Duration::from_secs(3599));
        store.touch(record(0), at(1), HOUR).await.unwrap();
        assert!(matches!(status(&store, record(0)).await, RecordStatus::Live { .. }));
    }
    clock.advance(HOUR);
    assert_eq!(status(&store, record(0)).await, RecordStatus::Gone);
    assert!(store.is_empty());
}

#[rocket::async_test]
async fn memory_is_bounded_and_gives_up_what_expires_soonest() {
    let store = Memory::new(3);
    for (seed, hours) in [2, 1, 3, 4].into_iter().enumerate() {
        store.create(record(seed), &Values::new(), HOUR * hours).await.unwrap();
    }
    assert_eq!(store.len(), 3);
    assert_eq!(status(&store, record(1)).await, RecordStatus::Gone);
    assert!(matches!(status(&store, record(3)).await, RecordStatus::Live { .. }));
}

#[rocket::async_test]
async fn memory_gives_up_tombstones_before_records() {
    let store = Memory::new(3);
    create(&store, record(0), &[]).await;
    for seed in 1..5 {
        create(&store, record(seed), &[]).await;
        store.destroy(record(seed), None).await.unwrap();
    }
    assert!(matches!(status(&store, record(0)).await, RecordStatus::Live { .. }));
    // Full of records, a rotation keeps the record rather than its tombstone.
    let store = Memory::new(3);
    for seed in 0..3 {
        create(&store, record(seed), &[]).await;
    }
    let rotated = store.rotate(&rotation(record(0), record(3))).await.unwrap();
    assert_eq!(rotated, RotateResult::Rotated);
    for live in [record(1), record(2), record(3)] {
        assert!(matches!(status(&store, live).await, RecordStatus::Live { .. }));
    }
}
