//! What the parts of a view cost: `cargo bench`. Needs redis-server.
//!
//! Requests go through Rocket's local client. `request_bare` measures its own cost, which is part of the
//! others. `benches/compare/run` measures the whole application, over sockets.

use std::time::Duration;

use cloud_run_sessions::{config, site};
use divan::Bencher;
use figment::Figment;
use rocket::http::{Header, Status};
use rocket::local::blocking::Client;
use rocket::tokio::runtime::Builder;
use rocket::{get, routes};
use rocket_server_sessions::store::{
    Memory, Op, PublicId, RecordId, Redis, RedisSettings, Selection, Store, TokenHash, Update,
    UpdateResult, Values,
};
use rocket_server_sessions::{self as session, Config, Key, Session};
use test_support::RedisServer;

fn main() {
    divan::main();
}

/// A visitor with a session.
struct Visitor {
    client: Client,
    cookie: String,
}

impl Visitor {
    /// Begins a session by requesting `path`.
    fn of(rocket: rocket::Rocket<rocket::Build>, path: &'static str) -> Self {
        let client = Client::untracked(rocket).expect("it ignites");
        let mut visitor = Self { client, cookie: String::new() };
        visitor.cookie = visitor.get(path, "text/html").expect("a cookie is set");
        // The first return of the cookie causes a touch.
        if let Some(renewed) = visitor.get(path, "text/html") {
            visitor.cookie = renewed;
        }
        visitor
    }

    /// Requests a page, and returns the cookie that it sets, if any.
    fn get(&self, path: &'static str, accept: &'static str) -> Option<String> {
        let mut request = self.client.get(path).header(Header::new("Accept", accept));
        if !self.cookie.is_empty() {
            request = request.header(Header::new("Cookie", self.cookie.clone()));
        }
        let response = request.dispatch();
        let set = response.headers().get_one("Set-Cookie");
        let cookie = set.and_then(|it| it.split(';').next()).map(str::to_owned);
        assert_eq!(response.status(), Status::Ok);
        response.into_bytes();
        cookie
    }
}

const COUNT: Key<i64> = Key::new("count");

#[get("/bare")]
fn bare() -> &'static str {
    "seen"
}

#[get("/opened")]
fn opened(session: Session<'_>) -> &'static str {
    if session.info().is_some() { "known" } else { "unknown" }
}

#[get("/begun")]
async fn begun(session: Session<'_>) -> session::Result<&'static str> {
    session.increment(COUNT, 1).await?;
    Ok("begun")
}

/// An application of three short routes, with sessions in memory.
fn small() -> rocket::Rocket<rocket::Build> {
    rocket::custom(quiet()).attach(Session::fairing()).mount("/", routes![bare, opened, begun])
}

/// A visitor of the whole application, with sessions in `store`.
fn whole(store: impl Store) -> Visitor {
    let rocket = rocket::custom(quiet());
    Visitor::of(rocket.attach(Session::fairing().store(store)).attach(site::stage()), "/foo")
}

fn quiet() -> Figment {
    config::figment().merge(("log_level", "off")).merge(("session.memory_capacity", 1000))
}

fn redis(server: &RedisServer) -> Redis {
    let config = Config::default();
    let url = server.url().as_str().into();
    Redis::open(&RedisSettings::from_config(&config, &url)).expect("it opens")
}

/// A request without a session.
#[divan::bench]
fn request_bare(bencher: Bencher<'_, '_>) {
    let visitor = Visitor::of(small(), "/begun");
    bencher.bench_local(|| visitor.get("/bare", "text/html"));
}

/// A request whose cookie is decrypted.
#[divan::bench]
fn request_with_cookie_opened(bencher: Bencher<'_, '_>) {
    let visitor = Visitor::of(small(), "/begun");
    bencher.bench_local(|| visitor.get("/opened", "text/html"));
}

/// A request that begins a session in memory: its cookie is encrypted.
#[divan::bench]
fn request_with_cookie_sealed(bencher: Bencher<'_, '_>) {
    let client = Client::untracked(small()).expect("it ignites");
    let visitor = Visitor { client, cookie: String::new() };
    bencher.bench_local(|| visitor.get("/begun", "text/html"));
}

/// The one call of the store in a view.
fn counted(bencher: Bencher<'_, '_>, store: &impl Store) {
    let id = "01a20ae1-f18c-7d29-891b-262bdedc1ea2";
    let record = RecordId {
        id: PublicId::parse(id).expect("a public id"),
        token_hash: TokenHash::parse("AAAAAAAAAAAAAAAAAAAAAA").expect("a token hash"),
    };
    let fields: Values =
        ["views:/", "views:/foo", "views:/bar"].map(|it| (it.to_owned(), "1".to_owned())).into();
    let op = Op::Increment { field: "views:/foo".to_owned(), by: 1, range: i64::MIN..=i64::MAX };
    let update = Update::new(vec![op], Selection::All);
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let create = store.create(record, &fields, Duration::from_mins(10));
    runtime.block_on(create).expect("it is made");
    bencher.bench_local(|| {
        let result = runtime.block_on(store.update(record, &update));
        assert!(matches!(result, Ok(UpdateResult::Applied(_))));
    });
}

#[divan::bench]
fn store_memory(bencher: Bencher<'_, '_>) {
    counted(bencher, &Memory::new(1000));
}

/// One call at a time, so calls do not share a transaction: `cargo bench --bench micro --features sqlite`.
#[cfg(feature = "sqlite")]
#[divan::bench]
fn store_sqlite(bencher: Bencher<'_, '_>) {
    let path = std::env::temp_dir().join(format!("micro-{}.db", std::process::id()));
    counted(bencher, &rocket_server_sessions::store::Sqlite::open(&path).expect("it opens"));
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
}

/// One call at a time, so most of the time is spent waiting.
#[divan::bench]
fn store_redis(bencher: Bencher<'_, '_>) {
    let server = RedisServer::start();
    counted(bencher, &redis(&server));
}

/// A whole view in memory, as JSON: no template.
#[divan::bench]
fn view_in_memory_as_json(bencher: Bencher<'_, '_>) {
    let visitor = whole(Memory::new(1000));
    bencher.bench_local(|| visitor.get("/foo", "application/json"));
}

/// A whole view in memory, as HTML. The difference to JSON is the rendering.
#[divan::bench]
fn view_in_memory_as_html(bencher: Bencher<'_, '_>) {
    let visitor = whole(Memory::new(1000));
    bencher.bench_local(|| visitor.get("/foo", "text/html"));
}

/// A whole view in Redis: one at a time, so most of the time is spent waiting.
#[divan::bench]
fn view_in_redis_as_html(bencher: Bencher<'_, '_>) {
    let server = RedisServer::start();
    let visitor = whole(redis(&server));
    bencher.bench_local(|| visitor.get("/foo", "text/html"));
}
