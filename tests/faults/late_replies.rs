//! Replies that arrive too late must not reach another request. Tests the Redis store directly.

use std::time::Duration;

use rocket::tokio;
use rocket_server_sessions::Config;
use rocket_server_sessions::store::{
    Op, OpResult, PublicId, RecordId, Redis, RedisSettings, Selection, Store, StoreErrorKind,
    TokenHash, Update, UpdateResult, Values,
};

use crate::proxy::{self, Proxy};
use test_support::{RedisServer, wait_for};

/// Two sessions that share one connection, with counts that cannot be confused.
struct Pair {
    store: Redis,
    proxy: Proxy,
    records: [RecordId; 2],
}

const BASES: [i64; 2] = [1_000_000, 2_000_000];

/// How long a request waits. It is short, because each round takes this long.
const DEADLINE: Duration = Duration::from_millis(40);

impl Pair {
    async fn new(redis: &RedisServer, number: usize) -> Self {
        let proxy = Proxy::before(redis.port);
        let mut config = Config::default();
        config.prefix = format!("pair{number}:");
        config.deadline = DEADLINE;
        config.connections = 1;
        let settings = RedisSettings::from_config(&config, &proxy.url().as_str().into());
        let store = Redis::open(&settings).unwrap();
        let records = ["AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBA"].map(|text| RecordId {
            id: PublicId::parse("01a20ae1-f18c-7d29-891b-262bdedc1ea2").unwrap(),
            token_hash: TokenHash::parse(text).unwrap(),
        });
        let pair = Self { store, proxy, records };
        for (record, base) in records.into_iter().zip(BASES) {
            let fields = Values::from([("views".to_owned(), base.to_string())]);
            while pair.store.create(record, &fields, DEADLINE * 10_000).await.is_err() {}
        }
        pair
    }

    /// Counts a view. Returns the sum, or an error that says whether it may have been counted.
    async fn view(&self, which: usize) -> Result<i64, StoreErrorKind> {
        let ops = vec![Op::Increment { field: "views".into(), by: 1, range: i64::MIN..=i64::MAX }];
        let update = Update::new(ops, Selection::Some(vec![]));
        match self.store.update(self.records[which], &update).await {
            Ok(UpdateResult::Applied(applied)) => match applied.results[..] {
                [OpResult::Count(sum)] => Ok(sum),
                ref other => panic!("{other:?}"),
            },
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault.kind),
        }
    }
}

/// In each round, one session's reply is too late, and the other session sends the next request.
/// Neither ever sees the other's count, and no count is lost or added.
async fn late_replies(redis: &RedisServer, number: usize, rounds: usize) {
    let pair = Pair::new(redis, number).await;
    let mut acknowledged = [0_i64; 2];
    let mut unsure = [0_i64; 2];
    let mut late = 0;
    while late < rounds {
        let turn = late % 2;
        pair.proxy.set(proxy::late(DEADLINE * 5 / 4));
        let mut is_first = true;
        for which in [turn, 1 - turn, turn] {
            loop {
                let result = pair.view(which).await;
                if std::mem::take(&mut is_first) {
                    pair.proxy.set(proxy::faultless());
                    late += usize::from(result == Err(StoreErrorKind::OutcomeUnknown));
                }
                match result {
                    Ok(sum) => {
                        let least = BASES[which] + acknowledged[which] + 1;
                        assert!((least..=least + unsure[which]).contains(&sum), "{sum}, {least}");
                        acknowledged[which] += 1;
                        break;
                    }
                    Err(StoreErrorKind::OutcomeUnknown) => unsure[which] += 1,
                    Err(StoreErrorKind::Refused) => tokio::time::sleep(DEADLINE / 8).await,
                }
            }
        }
    }
}

async fn many_late_replies(rounds: usize) {
    const PAIRS: usize = 20;
    let redis = RedisServer::start();
    let rounds = rounds / PAIRS;
    let pairs = (0..PAIRS).map(|number| late_replies(&redis, number, rounds));
    rocket::futures::future::join_all(pairs).await;
    println!("A10 {} late replies: no visitor got another's count", rounds * PAIRS);
}

#[rocket::async_test]
async fn a10_late_reply_is_never_the_next_visitors() {
    many_late_replies(200).await;
}

#[rocket::async_test]
#[ignore = "ten thousand rounds take minutes"]
async fn a10_ten_thousand_late_replies_are_never_the_next_visitors() {
    many_late_replies(10_000).await;
}

#[rocket::async_test]
async fn orphan_whose_answer_was_lost_does_not_stay_for_ever() {
    let redis = RedisServer::start();
    let pair = Pair::new(&redis, 0).await;
    let ttls = || -> Vec<i64> {
        let ttl = |key| redis::cmd("TTL").arg(key).query(&mut redis.connect()).unwrap();
        redis.keys("pair0:").iter().map(ttl).collect()
    };
    let lost = format!("pair0:{{{}}}:{}", pair.records[0].id, "A".repeat(22));
    redis::cmd("DEL").arg(&lost).exec(&mut redis.connect()).unwrap();
    pair.proxy.set(proxy::swallowing());
    assert_eq!(pair.view(0).await, Err(StoreErrorKind::OutcomeUnknown));
    wait_for("the view to arrive", || ttls().contains(&-1));
    pair.proxy.set(proxy::faultless());
    let start = std::time::Instant::now();
    while ttls().contains(&-1) {
        assert!(start.elapsed() < Duration::from_secs(10), "the orphan stays for ever");
        let _ = pair.view(1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(ttls().iter().all(|ttl| *ttl > 0), "{:?}", ttls());
}
