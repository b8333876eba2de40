//! The metrics and spans that a recorder and a subscriber receive from the crate.

#![expect(clippy::float_cmp, reason = "counts are whole numbers")]

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit,
    set_default_local_recorder,
};
use rocket::futures::future::join_all;
use rocket::http::Status;
use rocket_server_sessions::Config;
use rocket_server_sessions::store::{Redis, RedisSettings, Store, StoreError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::set_default;
use tracing::{Level, Subscriber};

use crate::world::World;
use test_support::{RedisServer, wait_for};

/// The sum of each series, by name and labels.
#[derive(Default)]
struct Counts(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

/// The value of a gauge.
fn shown(gauge: &AtomicU64) -> f64 {
    f64::from_bits(gauge.load(Ordering::Relaxed))
}

impl Counts {
    fn series(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<_> = key.labels().map(metrics::Label::value).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        self.0.lock().unwrap().entry(name).or_default().clone()
    }

    /// The series that are not zero.
    fn all(&self) -> BTreeMap<String, u64> {
        let series = self.0.lock().unwrap();
        let counts = series.iter().map(|(name, it)| (name.clone(), it.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    fn starting_with(&self, name: &str) -> Vec<(String, u64)> {
        let all = self.all().into_iter();
        all.filter_map(|(it, count)| Some((it.strip_prefix(name)?.to_owned(), count))).collect()
    }
}

struct Observations(Arc<AtomicU64>);

impl HistogramFn for Observations {
    fn record(&self, value: f64) {
        assert!((0.0..1.0).contains(&value), "{value}");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl metrics::Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Observations(self.series(key))))
    }
}

fn counts<const N: usize>(expected: [(&str, u64); N]) -> Vec<(String, u64)> {
    expected.map(|(name, count)| (name.to_owned(), count)).into()
}

#[rocket::async_test]
async fn each_event_is_counted_once_by_its_kind_and_rejections_by_the_reason() {
    let recorder = Counts::default();
    let _guard = set_default_local_recorder(&recorder);
    let world = World::memory().await;
    let mut visitor = world.visitor();
    for path in ["/count/a", "/count/a", "/regenerate", "/log-in/alice/phone"] {
        visitor.get(path).await;
    }
    let mut late = visitor.clone();
    visitor.get("/destroy").await;
    late.get("/peek/a").await;
    for cookie in ["__Host-session=forged", "__Host-session=again"] {
        world.get("/peek/a", Some(cookie)).await;
    }
    visitor.get("/count/a").await;
    world.advance(2 * 86_400).await;
    visitor.get("/view/a").await;
    world.advance(40 * 86_400).await;
    visitor.get("/peek/a").await;

    let expected = counts([
        ("created", 3),
        ("destroyed", 1),
        ("expired", 1),
        ("logged_in", 1),
        ("regenerated", 1),
        ("rejected", 4),
        ("returned", 1),
        ("touched", 1),
    ]);
    assert_eq!(recorder.starting_with("session_events_total "), expected);
    let sum: u64 = expected.iter().map(|(_, count)| count).sum();
    assert_eq!(world.take_events().len() as u64, sum);
    let expected = counts([("cut_off", 2), ("destroyed", 1), ("missing", 1)]);
    assert_eq!(recorder.starting_with("session_rejections_total "), expected);
}

#[rocket::async_test]
async fn each_call_of_the_store_is_timed_once_by_its_outcome() {
    let recorder = Counts::default();
    let _guard = set_default_local_recorder(&recorder);
    let world = World::memory().await;
    let mut visitor = world.visitor();
    for path in ["/count/a", "/count/a", "/regenerate", "/log-in/alice/phone", "/sessions/alice"] {
        visitor.get(path).await;
    }
    world.store.fail(Some(StoreError::refused("down")));
    visitor.get("/count/a").await;
    world.store.fail(Some(StoreError::outcome_unknown("slow")));
    visitor.get("/count/a").await;
    visitor.get("/regenerate").await;
    world.store.fail(None);
    visitor.get("/destroy").await;

    let timed = recorder.starting_with("session_store_seconds ");
    let calls: u64 = timed.iter().map(|(_, count)| count).sum();
    assert_eq!(calls, world.store.round_trips() as u64, "{timed:?}");
    let of = |name: &str| timed.iter().find(|(it, _)| it == name).map_or(0, |(_, count)| *count);
    for (name, expected) in [
        ("create ok", 1),
        ("rotate ok", 2),
        ("destroy ok", 1),
        ("update refused", 1),
        ("update unknown", 1),
        ("status unknown", 1),
    ] {
        assert_eq!(of(name), expected, "{name}: {timed:?}");
    }
}

#[rocket::async_test]
async fn call_that_the_deadline_cuts_off_is_timed_as_unknown() {
    let recorder = Counts::default();
    let _guard = set_default_local_recorder(&recorder);
    let server = RedisServer::start();
    let world = World::on(&server).await;
    // The deadline of the request passes before that of the store.
    let world = world.reconfigured("session.deadline", "50ms").await;
    server.signal("STOP");
    assert_eq!(world.visitor().get("/count/a").await.status, Status::ServiceUnavailable);
    server.signal("CONT");
    let timed = recorder.starting_with("session_store_seconds ");
    assert!(timed.contains(&("create unknown".to_owned(), 1)), "{timed:?}");
}

#[rocket::async_test]
async fn open_breakers_add_up_and_are_removed_with_their_stores() {
    let recorder = Counts::default();
    let _guard = set_default_local_recorder(&recorder);
    let settings = RedisSettings::from_config(&Config::default(), &"redis://127.0.0.1:1".into());
    let stores = [Redis::open(&settings).unwrap(), Redis::open(&settings).unwrap()];
    let open = recorder.0.lock().unwrap()["session_redis_breaker_open "].clone();
    let waiting = recorder.0.lock().unwrap()["session_redis_queue_depth "].clone();
    for (store, breakers) in stores.iter().zip(1_u8..) {
        assert!(store.index("alice").await.is_err());
        wait_for("the breaker to show", || shown(&open) == f64::from(breakers));
        assert!(store.index("alice").await.is_err());
        assert_eq!(shown(&open), f64::from(breakers), "it opens once");
    }
    drop(stores);
    wait_for("the breakers to be gone", || shown(&open) == 0.0);
    assert_eq!(shown(&waiting), 0.0);
}

#[rocket::async_test]
async fn requests_that_a_full_queue_refuses_do_not_count_as_waiting() {
    let recorder = Counts::default();
    let _guard = set_default_local_recorder(&recorder);
    // It accepts connections, but never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", mute.local_addr().unwrap());
    let mut config = Config::default();
    (config.queue, config.connections) = (1, 1);
    let store = Redis::open(&RedisSettings::from_config(&config, &url.as_str().into())).unwrap();
    let refusals = join_all((0..50).map(|_| store.index("alice"))).await;
    let is_full =
        |it: &Result<_, StoreError>| it.as_ref().is_err_and(|it| it.message.contains("too many"));
    assert!(refusals.iter().any(is_full), "{refusals:?}");
    let waiting = recorder.0.lock().unwrap()["session_redis_queue_depth "].clone();
    // Its only driver is in an outage, and looks at the queue afterwards.
    drop(store);
    wait_for("the queue to be empty", || shown(&waiting) == 0.0);
}

/// Spans as texts: the name, and the fields in the order in which they were recorded.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("rocket_server_sessions")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        assert_eq!(*span.metadata().level(), Level::DEBUG);
        let mut text = span.metadata().name().to_owned();
        span.record(&mut Fields(&mut text));
        let mut spans = self.0.lock().unwrap();
        spans.push(text);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut spans = self.0.lock().unwrap();
        let at = usize::try_from(id.into_u64()).unwrap() - 1;
        values.record(&mut Fields(&mut spans[at]));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[rocket::async_test]
async fn each_call_of_the_store_is_a_span_that_names_the_session_and_no_secret() {
    let world = World::redis().await;
    let spans = Spans::default();
    let _guard = set_default(spans.clone());
    let mut visitor = world.visitor();
    let mut cookies = Vec::new();
    for path in
        ["/count/a", "/set/a/hunter2", "/regenerate", "/log-in/alice/phone", "/sessions/alice"]
    {
        visitor.get(path).await;
        world.settled().await;
        cookies.extend(visitor.cookie.clone());
    }
    let id = visitor.body("/id").await;
    world.store.fail(Some(StoreError::refused("down")));
    visitor.get("/count/a").await;

    let spans = spans.0.lock().unwrap().clone();
    assert_eq!(spans.len(), world.store.round_trips(), "{spans:#?}");
    let span = |operation: &str, rest: &str| {
        format!("session_store operation=\"{operation}\" store=\"Redis\"{rest}")
    };
    let of_session = format!(" id={id} outcome=\"ok\"");
    assert_eq!(spans[0], span("create", &of_session));
    assert_eq!(spans[1], span("update", &of_session));
    assert_eq!(spans[2], span("touch", &of_session));
    assert_eq!(spans[3], span("rotate", &of_session));
    assert!(spans.contains(&span("index_add", &of_session)), "{spans:#?}");
    assert!(spans.contains(&span("index", " outcome=\"ok\"")), "{spans:#?}");
    let failed = format!(" id={id} outcome=\"refused\"");
    assert_eq!(spans.last(), Some(&span("update", &failed)));
    let text = spans.join("\n");
    for secret in ["alice", "phone", "hunter2", "count", &world.prefix] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    for key in world.keys.of_type("hash").iter().chain(&world.keys.of_type("string")) {
        let token_hash = key.rsplit(':').next().unwrap();
        assert!(!text.contains(token_hash), "{text}");
    }
    assert!(cookies.iter().all(|cookie| !text.contains(&cookie[..16])), "{text}");
}
