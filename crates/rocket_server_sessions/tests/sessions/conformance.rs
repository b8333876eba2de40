//! What every store must do, asked of the store itself.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rocket::futures::future::join_all;
use rocket_server_sessions::store::{
    Answer, Entry, Fields, Live, Memory, Op, Outcome, PublicId, Read, RecordId, Request, Rotation,
    Standing, Store, Successor, TokenHash, Trace, USER,
};
use rocket_server_sessions::testing::ManualClock;

use crate::world::on_every_store;

const HOUR: Duration = Duration::from_secs(3600);

/// A record of one session for each test thread, found by one of six secrets.
fn record(seed: usize) -> RecordId {
    thread_local! {
        static HANDLE: PublicId = PublicId::parse(&uuid::Uuid::now_v7().to_string()).unwrap();
    }
    let text = format!("{}{}", "A".repeat(20), ["AA", "AQ", "Ag", "Aw", "BA", "BQ"][seed]);
    RecordId { id: HANDLE.with(|id| *id), token_hash: TokenHash::parse(&text).unwrap() }
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn request(ops: &[Op], read: Read) -> Request {
    Request { ops: ops.to_vec(), read, ttl: None }
}

fn insert(name: &str, value: &str) -> Op {
    Op::Insert(name.into(), value.into())
}

fn increment(name: &str, by: i64) -> Op {
    Op::Increment(name.into(), by)
}

async fn live(store: &dyn Store, record: RecordId, ops: &[Op], read: Read) -> Live {
    match store.apply(record, &request(ops, read)).await.unwrap() {
        Answer::Live(live) => live,
        other => panic!("{other:?}"),
    }
}

async fn all(store: &dyn Store, record: RecordId) -> Fields {
    live(store, record, &[], Read::Everything).await.fields
}

fn rotation(from: RecordId, to: RecordId) -> Rotation {
    // Stores keep milliseconds.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let until = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now).unwrap() + 5000);
    Rotation {
        from,
        to: Successor { token_hash: to.token_hash, until },
        tombstone_ttl: HOUR,
        ttl: None,
    }
}

fn entry(record: RecordId, seconds: u64) -> Entry {
    Entry { record, written: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) }
}

/// A session other than that of [`record`].
fn stranger() -> RecordId {
    RecordId { id: PublicId::parse(&uuid::Uuid::now_v7().to_string()).unwrap(), ..record(0) }
}

on_every_store![
    async fn record_that_was_never_made_is_gone(store: Arc<dyn Store>) {
        for read in [Read::Everything, Read::Some(vec!["a".into()])] {
            assert_eq!(store.apply(record(0), &request(&[], read)).await.unwrap(), Answer::Gone);
        }
        assert_eq!(store.trace(record(0)).await.unwrap(), Trace::Gone);
    }

    async fn created_record_reads_back(store: Arc<dyn Store>) {
        let (id, made) = (record(0), fields(&[("a", "1"), ("b", "\"x\"")]));
        store.create(id, made.clone(), HOUR).await.unwrap();
        assert_eq!(all(&*store, id).await, made);
        assert_eq!(
            store.apply(record(1), &request(&[], Read::Everything)).await.unwrap(),
            Answer::Gone
        );
    }

    async fn changes_are_carried_out_in_order(store: Arc<dyn Store>) {
        let id = record(0);
        store.create(id, fields(&[("a", "1"), ("d", "1")]), HOUR).await.unwrap();
        let ops = [
            insert("b", "5"),
            increment("b", 2),
            increment("c", -3),
            Op::Remove("a".into()),
            insert("d", "true"),
        ];
        let replaced = |before: Option<&str>| Outcome::Replaced(before.map(str::to_owned));
        let outcomes = live(&*store, id, &ops, Read::Some(vec![])).await.outcomes;
        let expected = [
            replaced(None),
            Outcome::Count(7),
            Outcome::Count(-3),
            Outcome::Done,
            replaced(Some("1")),
        ];
        assert_eq!(outcomes, expected);
        assert_eq!(all(&*store, id).await, fields(&[("b", "7"), ("c", "-3"), ("d", "true")]));
    }

    async fn reads_show_the_record_after_the_changes(store: Arc<dyn Store>) {
        let id = record(0);
        store.create(id, fields(&[("a", "1")]), HOUR).await.unwrap();
        let seen =
            live(&*store, id, &[increment("a", 1), insert("b", "2")], Read::Everything).await;
        assert_eq!(seen.fields, fields(&[("a", "2"), ("b", "2")]));
    }

    async fn some_fields_can_be_read(store: Arc<dyn Store>) {
        let id = record(0);
        store.create(id, fields(&[("a", "1"), ("b", "2"), ("c", "3")]), HOUR).await.unwrap();
        let names = vec!["c".into(), "x".into(), "a".into()];
        let seen = live(&*store, id, &[], Read::Some(names)).await;
        assert_eq!(seen.fields, fields(&[("a", "1"), ("c", "3")]));
    }

    async fn increments_beside_each_other_are_all_different(store: Arc<dyn Store>) {
        let id = record(0);
        store.create(id, Fields::new(), HOUR).await.unwrap();
        let ops = [increment("a", 1)];
        let answers = join_all((0..500).map(|_| live(&*store, id, &ops, Read::Everything))).await;
        let mut counts: Vec<_> = answers.into_iter().map(|live| live.outcomes[0].clone()).collect();
        counts.sort_by_key(|it| if let Outcome::Count(count) = it { *count } else { 0 });
        assert_eq!(counts, (1..=500).map(Outcome::Count).collect::<Vec<_>>());
    }

    async fn increment_of_text_or_past_64_bits_is_refused_and_changes_nothing(
        store: Arc<dyn Store>,
    ) {
        let (id, max) = (record(0), i64::MAX.to_string());
        let made = fields(&[("text", "\"x\""), ("float", "1.5"), ("most", &max)]);
        store.create(id, made.clone(), HOUR).await.unwrap();
        let ops = [increment("text", 1), increment("float", 1), increment("most", 1)];
        let outcomes = live(&*store, id, &ops, Read::Some(vec![])).await.outcomes;
        assert_eq!(outcomes, vec![Outcome::NotAnInteger; 3]);
        assert_eq!(all(&*store, id).await, made);
    }

    async fn take_gives_a_field_once(store: Arc<dyn Store>) {
        let id = record(0);
        store.create(id, fields(&[("a", "1")]), HOUR).await.unwrap();
        let ops = [Op::Take("a".into())];
        let answers = join_all((0..20).map(|_| live(&*store, id, &ops, Read::Some(vec![])))).await;
        let taken = answers.iter().filter(|it| it.outcomes == [Outcome::Taken(Some("1".into()))]);
        assert_eq!(taken.count(), 1);
        let missed = answers.iter().filter(|it| it.outcomes == [Outcome::Taken(None)]);
        assert_eq!(missed.count(), 19);
    }

    async fn stub_of_a_write_to_nowhere_is_gone_and_can_be_discarded(store: Arc<dyn Store>) {
        let id = record(0);
        let write = request(&[increment("a", 1)], Read::Everything);
        assert_eq!(store.apply(id, &write).await.unwrap(), Answer::Gone);
        assert_eq!(store.apply(id, &write).await.unwrap(), Answer::Gone, "a stub is no record");
        store.discard(id).await.unwrap();
        assert_eq!(store.trace(id).await.unwrap(), Trace::Gone);
    }

    async fn ended_record_is_a_tombstone_for_every_operation(store: Arc<dyn Store>) {
        let id = record(0);
        store.create(id, fields(&[("a", "1")]), HOUR).await.unwrap();
        assert_eq!(store.end(id, HOUR).await.unwrap(), Trace::Live);
        for op in
            [increment("a", 1), insert("a", "2"), Op::Remove("a".into()), Op::Take("a".into())]
        {
            for read in [Read::Everything, Read::Some(vec!["a".into()])] {
                let answer =
                    store.apply(id, &request(std::slice::from_ref(&op), read)).await.unwrap();
                assert_eq!(answer, Answer::Tombstone(vec![]), "{op:?}");
            }
        }
        let read = request(&[], Read::Everything);
        assert_eq!(store.apply(id, &read).await.unwrap(), Answer::Tombstone(vec![]));
        assert_eq!(store.trace(id).await.unwrap(), Trace::Ended);
    }

    async fn end_of_nothing_makes_nothing(store: Arc<dyn Store>) {
        assert_eq!(store.end(record(0), HOUR).await.unwrap(), Trace::Gone);
        assert_eq!(store.trace(record(0)).await.unwrap(), Trace::Gone);
    }

    async fn end_says_what_it_has_replaced(store: Arc<dyn Store>) {
        let (id, next) = (record(0), record(1));
        store.create(id, Fields::new(), HOUR).await.unwrap();
        let rotation = rotation(id, next);
        store.rotate(rotation).await.unwrap();
        assert_eq!(store.end(id, HOUR).await.unwrap(), Trace::Rotated(rotation.to));
        assert_eq!(store.end(id, HOUR).await.unwrap(), Trace::Ended);
    }

    async fn rotation_moves_the_record_and_names_the_successor(store: Arc<dyn Store>) {
        let from = record(0);
        let to = RecordId { token_hash: record(1).token_hash, ..from };
        store.create(from, fields(&[("a", "1")]), HOUR).await.unwrap();
        let rotation = rotation(from, to);
        assert_eq!(store.rotate(rotation).await.unwrap(), Answer::Live(Live::default()));
        assert_eq!(all(&*store, to).await, fields(&[("a", "1")]));
        let write = request(&[increment("a", 1)], Read::Some(vec![]));
        assert_eq!(store.apply(from, &write).await.unwrap(), Answer::Tombstone(vec![]));
        assert_eq!(store.trace(from).await.unwrap(), Trace::Rotated(rotation.to));
    }

    async fn of_many_rotations_one_wins(store: Arc<dyn Store>) {
        let from = record(0);
        store.create(from, fields(&[("a", "1")]), HOUR).await.unwrap();
        let rotations = (1..6).map(|seed| {
            let to = RecordId { token_hash: record(seed).token_hash, ..from };
            store.rotate(rotation(from, to))
        });
        let answers = join_all(rotations).await.into_iter().map(Result::unwrap);
        let (won, lost): (Vec<_>, Vec<_>) = answers.partition(|it| matches!(it, Answer::Live(_)));
        assert_eq!((won.len(), lost), (1, vec![Answer::Tombstone(vec![]); 4]));
    }

    async fn rotation_of_nothing_leaves_nothing(store: Arc<dyn Store>) {
        let from = record(0);
        let to = RecordId { token_hash: record(1).token_hash, ..from };
        assert_eq!(store.rotate(rotation(from, to)).await.unwrap(), Answer::Gone);
        store.discard(from).await.unwrap();
        assert_eq!(store.trace(from).await.unwrap(), Trace::Gone);
        assert_eq!(store.trace(to).await.unwrap(), Trace::Gone);
    }

    async fn any_text_survives(store: Arc<dyn Store>) {
        let id = record(0);
        let made =
            fields(&[("quote\"\r\n\0", "\"\\u0000\""), ("ключ 🗝", "\"значение\""), ("", "")]);
        store.create(id, made.clone(), HOUR).await.unwrap();
        assert_eq!(all(&*store, id).await, made);
    }

    async fn list_holds_each_session_once_with_its_latest_entry(store: Arc<dyn Store>) {
        assert_eq!(store.list("u").await.unwrap(), []);
        let (first, second) = (entry(record(0), 1), entry(record(1), 2));
        let other = entry(stranger(), 3);
        assert_eq!(store.enlist("u", first.clone(), HOUR).await.unwrap(), [first]);
        assert_eq!(store.enlist("u", second.clone(), HOUR).await.unwrap().len(), 1);
        store.enlist("u", other.clone(), HOUR).await.unwrap();
        let mut list = store.list("u").await.unwrap();
        list.sort_by_key(|it| it.written);
        assert_eq!(list, [second, other]);
    }

    async fn struck_sessions_leave_the_list_and_the_others_stay(store: Arc<dyn Store>) {
        let entries = [entry(record(0), 1), entry(stranger(), 2), entry(stranger(), 3)];
        for entry in &entries {
            store.enlist("u", entry.clone(), HOUR).await.unwrap();
        }
        let struck = [entries[0].record.id, entries[2].record.id];
        store.strike("u", &struck).await.unwrap();
        assert_eq!(store.list("u").await.unwrap(), [entries[1].clone()]);
        store.strike("u", &[entries[1].record.id]).await.unwrap();
        store.strike("u", &struck).await.unwrap();
        assert_eq!(store.list("u").await.unwrap(), []);
    }

    async fn lists_of_two_users_are_apart(store: Arc<dyn Store>) {
        let (a, b) = (entry(record(0), 1), entry(stranger(), 2));
        store.enlist("alice", a.clone(), HOUR).await.unwrap();
        store.enlist("bob", b.clone(), HOUR).await.unwrap();
        store.strike("bob", &[a.record.id]).await.unwrap();
        assert_eq!(store.list("alice").await.unwrap(), [a]);
        assert_eq!(store.list("bob").await.unwrap(), [b]);
    }

    async fn inspection_tells_how_each_record_stands(store: Arc<dyn Store>) {
        let (bound, free, ended) = (stranger(), stranger(), stranger());
        store.create(bound, fields(&[(USER, "\"u\"")]), HOUR).await.unwrap();
        store.create(free, fields(&[("a", "1")]), HOUR).await.unwrap();
        store.create(ended, fields(&[]), HOUR).await.unwrap();
        store.end(ended, HOUR).await.unwrap();
        let standings = store.inspect(&[stranger(), bound, ended, free]).await.unwrap();
        let [Standing::Gone, live, Standing::Tombstone, Standing::Live { user: None, .. }] =
            &standings[..]
        else {
            panic!("{standings:?}")
        };
        let Standing::Live { user: Some(user), ttl } = live else { panic!("{live:?}") };
        assert_eq!(user, "\"u\"");
        assert!(*ttl <= HOUR && *ttl > Duration::from_secs(3540), "{ttl:?}");
    }
];

#[rocket::async_test]
async fn memory_lets_records_lapse() {
    let clock = ManualClock::now();
    let store = Memory::with_clock(10, Arc::new(clock.clone()));
    store.create(record(0), fields(&[("a", "1")]), HOUR).await.unwrap();
    assert!(!store.is_empty());
    clock.advance(Duration::from_secs(3599));
    let (id, touch) = (record(0), Request { ttl: Some(HOUR), ..request(&[], Read::Everything) });
    assert!(matches!(store.apply(id, &touch).await.unwrap(), Answer::Live(_)));
    clock.advance(Duration::from_secs(3599));
    assert!(matches!(store.apply(id, &touch).await.unwrap(), Answer::Live(_)));
    clock.advance(HOUR);
    assert!(matches!(store.apply(id, &touch).await.unwrap(), Answer::Gone));
    assert!(store.is_empty());
}

#[rocket::async_test]
async fn memory_is_bounded_and_gives_up_what_lapses_soonest() {
    let store = Memory::new(3);
    let ids: Vec<_> = (0..4).map(record).collect();
    for (id, hours) in ids.iter().zip([2, 1, 3, 4]) {
        store.create(*id, Fields::new(), HOUR * hours).await.unwrap();
    }
    assert_eq!(store.len(), 3);
    assert_eq!(store.trace(ids[1]).await.unwrap(), Trace::Gone);
    assert_eq!(store.trace(ids[3]).await.unwrap(), Trace::Live);
}

#[rocket::async_test]
async fn memory_gives_up_tombstones_before_records() {
    let store = Memory::new(3);
    let ids: Vec<_> = (0..5).map(record).collect();
    store.create(ids[0], Fields::new(), HOUR).await.unwrap();
    for id in &ids[1..5] {
        store.create(*id, Fields::new(), HOUR).await.unwrap();
        store.end(*id, 30 * HOUR).await.unwrap();
    }
    assert_eq!(store.trace(ids[0]).await.unwrap(), Trace::Live);
    // Full of records, a rotation keeps the record rather than its tombstone.
    store.create(ids[1], Fields::new(), 2 * HOUR).await.unwrap();
    store.create(ids[2], Fields::new(), 2 * HOUR).await.unwrap();
    let to = Successor { token_hash: ids[3].token_hash, until: SystemTime::now() };
    let rotation = Rotation { from: ids[0], to, tombstone_ttl: 30 * HOUR, ttl: None };
    assert!(matches!(store.rotate(rotation).await.unwrap(), Answer::Live(_)));
    for live in [ids[1], ids[2], ids[3]] {
        assert_eq!(store.trace(live).await.unwrap(), Trace::Live);
    }
}
