//! The contract of [`Store`], as a test that every store passes.

use std::future::Future;
use std::ops::{Deref, RangeInclusive};
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use crate::store::{
    Applied, Death, DestroyResult, LoggedIn, Op, PublicId, RecordId, RecordStatus, RotateResult,
    Rotation, Selection, Store, TimeToLive, TokenHash, Update, UpdateResult, Values,
};

/// Declares which functions are rules.
macro_rules! rules {
    ($($rule:ident),* $(,)?) => {
        &[$((stringify!($rule), |store| Box::pin($rule(store)))),*]
    };
}

mod fields;
mod increments;
mod life;

/// Checks that a store keeps the contract of [`Store`], rule by rule. The store may hold other
/// records: each rule uses its own sessions.
///
/// It does not check whether records expire in time.
///
/// ```
/// use rocket_server_sessions::store::Memory;
/// use rocket_server_sessions::testing::conformance;
///
/// # rocket::async_test(
/// async {
///     conformance(&Memory::new(1000)).await;
/// }
/// # );
/// ```
///
/// # Panics
///
/// If the store breaks a rule, or fails. The rule's name is printed first.
pub async fn conformance(store: &dyn Store) {
    for (name, rule) in fields::RULES.iter().chain(increments::RULES).chain(life::RULES) {
        println!("conformance: {name}");
        rule(Trial { store, id: new_id() }).await;
    }
}

/// A rule. Its name says what it checks.
type Rule = (&'static str, for<'s> fn(Trial<'s>) -> Pin<Box<dyn Future<Output = ()> + Send + 's>>);

/// A store, and the session that a rule uses.
#[derive(Clone, Copy)]
struct Trial<'s> {
    store: &'s dyn Store,
    id: PublicId,
}

impl Trial<'_> {
    /// A record of the session, under one of six tokens.
    fn record(self, number: usize) -> RecordId {
        RecordId { id: self.id, token_hash: token(number) }
    }

    /// A user whom no other rule uses.
    fn user(self, name: &str) -> String {
        format!("{name} {}", self.id)
    }
}

impl Deref for Trial<'_> {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        self.store
    }
}

const HOUR: Duration = Duration::from_hours(1);

const ANSWERS: &str = "the store answers";

fn token(number: usize) -> TokenHash {
    let text = format!("{}{}", "A".repeat(20), ["AA", "AQ", "Ag", "Aw", "BA", "BQ"][number]);
    TokenHash::parse(&text).expect("it has the right length")
}

/// A record of another session.
fn stranger() -> RecordId {
    RecordId { id: new_id(), token_hash: token(0) }
}

fn new_id() -> PublicId {
    PublicId::new(SystemTime::now())
}

/// Stores keep whole seconds.
fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn update(ops: &[Op], read: Selection) -> Update {
    Update { ops: ops.to_vec(), read, max_size: None }
}

fn look() -> Update {
    update(&[], Selection::All)
}

fn insert(name: &str, value: &str) -> Op {
    Op::Insert(name.into(), value.into())
}

fn increment(name: &str, by: i64) -> Op {
    Op::Increment { field: name.into(), by, range: i64::MIN..=i64::MAX }
}

fn increment_within(name: &str, by: i64, range: RangeInclusive<i64>) -> Op {
    Op::Increment { field: name.into(), by, range }
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

/// Changes of each kind that the Redis store encodes as different commands.
fn changes() -> Vec<Vec<Op>> {
    vec![
        vec![],
        vec![increment("a", 1)],
        vec![increment_within("a", 1, 0..=255)],
        vec![increment_within("a", 300, 0..=255)],
        vec![Op::Remove("a".into())],
        vec![insert("a", "2")],
        vec![Op::Take("a".into())],
        vec![exchange("a", None, "2")],
        vec![exchange("a", Some("1"), "2")],
        vec![increment("a", 1), increment("b", 1)],
    ]
}

fn rotation(from: RecordId, to: RecordId) -> Rotation {
    Rotation {
        from,
        to: to.token_hash,
        ttl: TimeToLive::fixed(HOUR),
        seen: None,
        user: None,
        fields: Values::new(),
    }
}

fn log_in(from: RecordId, to: RecordId, user: &str) -> Rotation {
    let login = LoggedIn::new(user, "phone", at(1_800_000_000));
    Rotation { user: Some(login), ..rotation(from, to) }
}

async fn applied(store: &dyn Store, record: RecordId, ops: &[Op], read: Selection) -> Applied {
    match store.update(record, &update(ops, read)).await.expect(ANSWERS) {
        UpdateResult::Applied(applied) => applied,
        other => panic!("{other:?}"),
    }
}

async fn all(store: &dyn Store, record: RecordId) -> Values {
    applied(store, record, &[], Selection::All).await.fields
}

async fn create(store: &dyn Store, record: RecordId, pairs: &[(&str, &str)]) {
    assert!(store.create(record, &values(pairs), HOUR).await.expect(ANSWERS));
}

async fn status(store: &dyn Store, record: RecordId) -> RecordStatus {
    store.status(&[record]).await.expect(ANSWERS).remove(0)
}

/// Every operation finds the token dead, and changes nothing.
async fn assert_dead(store: &dyn Store, record: RecordId, death: Death) {
    for ops in changes() {
        for read in [Selection::All, Selection::Some(vec!["a".into()])] {
            let found = store.update(record, &update(&ops, read)).await.expect(ANSWERS);
            assert_eq!(found, UpdateResult::Dead(death), "{ops:?}");
        }
    }
    store.touch(record, at(1_800_000_000), TimeToLive::fixed(HOUR)).await.expect(ANSWERS);
    let to = RecordId { token_hash: token(5), ..record };
    for rotation in [rotation(record, to), log_in(record, to, "alice")] {
        assert_eq!(store.rotate(&rotation).await.expect(ANSWERS), RotateResult::Dead(death));
    }
    for user in [None, Some("alice")] {
        assert_eq!(store.destroy(record, user).await.expect(ANSWERS), DestroyResult::Dead(death));
    }
    assert!(
        !store.create(record, &values(&[("a", "1")]), HOUR).await.expect(ANSWERS),
        "nothing returns"
    );
    assert!(!store.settle(record).await.expect(ANSWERS));
    assert_eq!(status(store, record).await, RecordStatus::Dead);
}
