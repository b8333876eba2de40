//! Each store against the contract of `Store`, and what only the memory store does.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rocket_server_sessions::store::{
    Memory, PublicId, RecordId, RecordStatus, RotateResult, Rotation, Store, TimeToLive, TokenHash,
    Values,
};
use rocket_server_sessions::testing::{ManualClock, conformance};

use crate::world::on_every_store;

const HOUR: Duration = Duration::from_hours(1);

on_every_store![
    async fn store_keeps_every_rule(store: Arc<dyn Store>) {
        conformance(&*store).await;
    }
];

/// A record of one session: one of six tokens.
fn record(seed: usize) -> RecordId {
    let id = PublicId::parse("01a20d6d-5a00-71c7-a340-8ca596f18ea6").unwrap();
    let text = format!("{}{}", "A".repeat(20), ["AA", "AQ", "Ag", "Aw", "BA", "BQ"][seed]);
    RecordId { id, token_hash: TokenHash::parse(&text).unwrap() }
}

async fn create(store: &Memory, record: RecordId) {
    assert!(store.create(record, &Values::new(), HOUR).await.unwrap());
}

async fn status(store: &Memory, record: RecordId) -> RecordStatus {
    store.status(&[record]).await.unwrap().remove(0)
}

#[rocket::async_test]
async fn memory_lets_records_expire() {
    let clock = ManualClock::now();
    let store = Memory::with_clock(10, clock.clone());
    create(&store, record(0)).await;
    for _ in 0..2 {
        clock.advance(Duration::from_secs(3599));
        store.touch(record(0), SystemTime::now(), TimeToLive::fixed(HOUR)).await.unwrap();
        assert!(matches!(status(&store, record(0)).await, RecordStatus::Live { .. }));
    }
    clock.advance(HOUR);
    assert_eq!(status(&store, record(0)).await, RecordStatus::Gone);
    assert!(store.is_empty());
}

#[rocket::async_test]
async fn full_memory_evicts_what_expires_first() {
    let store = Memory::new(3);
    for (seed, hours) in [2, 1, 3, 4].into_iter().enumerate() {
        store.create(record(seed), &Values::new(), HOUR * hours).await.unwrap();
    }
    assert_eq!(store.len(), 3);
    assert_eq!(status(&store, record(1)).await, RecordStatus::Gone);
    assert!(matches!(status(&store, record(3)).await, RecordStatus::Live { .. }));
}

#[rocket::async_test]
async fn full_memory_evicts_tombstones_before_records() {
    let store = Memory::new(3);
    create(&store, record(0)).await;
    for seed in 1..5 {
        create(&store, record(seed)).await;
        store.destroy(record(seed), None).await.unwrap();
    }
    assert!(matches!(status(&store, record(0)).await, RecordStatus::Live { .. }));
    // Full of records, a rotation keeps the record rather than its tombstone.
    let store = Memory::new(3);
    for seed in 0..3 {
        create(&store, record(seed)).await;
    }
    let rotation = Rotation::new(record(0), record(3).token_hash, TimeToLive::fixed(HOUR));
    let rotated = store.rotate(&rotation).await.unwrap();
    assert_eq!(rotated, RotateResult::Rotated);
    for live in [record(1), record(2), record(3)] {
        assert!(matches!(status(&store, live).await, RecordStatus::Live { .. }));
    }
}
