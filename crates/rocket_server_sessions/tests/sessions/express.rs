//! Importing sessions from Express: each is imported exactly once, and a log-out ends it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, Mac};
use redis::Commands;
use rocket::figment::Figment;
use rocket::futures::future::join_all;
use rocket::http::{Header, Status};
use rocket::tokio::runtime::Runtime;
use rocket::tokio::time::sleep;
use rocket_server_sessions::express::{Import, NewSession, OldSession};
use rocket_server_sessions::store::Redis;
use rocket_server_sessions::testing::Call;
use rocket_server_sessions::{Clock, Event, Rejection, Result, Session};
use sha2::Sha256;
use test_support::{RedisServer, RedisView};

use crate::cost::documented_imports;
use crate::proxy::{self, Action};
use crate::world::{
    CLUSTER, COUNT, DEADLINE, KEY, NAME, OTHER_KEY, OnEachStore, REDIS, TEXT, World, cluster_store,
    figment, new_prefix, on_every_store, open_store, redis_store,
};

const SECRET: &str = "keyboard cat";

/// As connect-redis stores it. According to `expires`, it expired long ago.
const RECORD: &str = r#"{"cookie":{"originalMaxAge":60000,"expires":"2020-01-01T00:00:00.000Z","httpOnly":true,"path":"/"},"views":3,"note":"kept"}"#;

fn carry_over(old: &OldSession) -> Result<NewSession> {
    let mut new = NewSession::default();
    if let Some(views) = old.get::<i64>("views")? {
        new = new.insert(COUNT.at("a"), views);
    }
    if let Some(note) = old.get::<String>("note")? {
        new = new.insert(TEXT.at("a"), note);
    }
    if let Some(user) = old.get::<String>("user")? {
        new = new.log_in(&user, "before");
    }
    if let Some(seconds) = old.get::<u64>("at")? {
        new = new.logged_in_at(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    }
    Ok(new)
}

/// An application that replaces one with Express.
struct Migration {
    world: World,
    /// The prefix of the old records, and that of the claims.
    old: String,
    claims: String,
    server: Box<dyn RedisView + Send + Sync>,
}

impl Migration {
    async fn new(
        world: World,
        server: impl RedisView + Send + Sync + 'static,
        open: impl FnOnce(&str) -> Redis,
    ) -> Self {
        let (old, claims) = (format!("sess-{}", new_prefix()), new_prefix());
        // In Redis, claims lie beside sessions.
        let claims = if world.prefix.is_empty() { claims } else { world.prefix.clone() };
        let import = Import::new("another", carry_over).previous_secret(SECRET).prefix(&old);
        let import = import.redis(open(&claims));
        let world = world.rebuilt(|it| it.import(import)).await;
        Self { world, old, claims, server: Box::new(server) }
    }

    /// With the old records behind a proxy at `url`.
    async fn through(url: &str) -> Self {
        let world = World::through(url).await;
        Self::new(world, REDIS.client(), |prefix| open_store(prefix, url, DEADLINE)).await
    }

    fn key(&self, id: &str) -> String {
        format!("{}{id}", self.old)
    }

    /// A visitor of Express, with a session.
    fn visitor(&self, id: &str, record: &str) -> Visitor<'_> {
        let key = self.key(id);
        self.server.connect_to(&key).set_ex::<_, _, ()>(&key, record, 3600).unwrap();
        Visitor { migration: self, id: id.to_owned(), old: Some(signed(id, SECRET)), own: None }
    }

    fn record(&self, id: &str) -> Option<String> {
        let key = self.key(id);
        self.server.connect_to(&key).get(&key).unwrap()
    }

    fn claims(&self) -> usize {
        self.server.keys(&format!("{}express:", self.claims)).len()
    }
}

impl OnEachStore for Migration {
    async fn in_memory() -> Self {
        Self::new(World::memory().await, REDIS.client(), redis_store).await
    }

    async fn in_redis() -> Self {
        Self::new(World::redis().await, REDIS.client(), redis_store).await
    }

    async fn in_a_cluster() -> Self {
        Self::new(World::cluster().await, &*CLUSTER, cluster_store).await
    }

    #[cfg(feature = "sqlite")]
    async fn in_sqlite() -> Self {
        Self::new(World::sqlite().await, REDIS.client(), redis_store).await
    }

    async fn run(self, test: impl AsyncFnOnce(Self)) {
        let keys = self.world.keys.clone();
        test(self).await;
        keys.assert_all_have_a_ttl();
    }
}

/// A browser with a session of Express.
#[derive(Clone)]
struct Visitor<'m> {
    migration: &'m Migration,
    id: String,
    old: Option<String>,
    own: Option<String>,
}

struct Page {
    status: Status,
    body: String,
}

impl Visitor<'_> {
    async fn get(&mut self, path: &str) -> Page {
        let old = self.old.as_ref().map(|it| format!("connect.sid={it}"));
        let own = self.own.as_ref().map(|it| format!("{NAME}={it}"));
        let cookies: Vec<_> = old.into_iter().chain(own).collect();
        let page = self.migration.world.get(path, Some(&cookies.join("; "))).await;
        for cookie in &page.set_cookies {
            let (name, rest) = cookie.split_once('=').unwrap();
            let is_kept = !cookie.contains("Max-Age=0;");
            let value = is_kept.then(|| rest.split(';').next().unwrap().to_owned());
            match name {
                "connect.sid" => self.old = value,
                NAME => self.own = value,
                _ => panic!("{cookie}"),
            }
        }
        Page { status: page.status, body: page.body }
    }

    async fn body(&mut self, path: &str) -> String {
        let page = self.get(path).await;
        assert_eq!(page.status, Status::Ok, "{path}: {}", page.body);
        page.body
    }

    /// The same browser, as if no response had reached it.
    fn without_our_cookie(&self) -> Self {
        Self { old: Some(signed(&self.id, SECRET)), own: None, ..self.clone() }
    }
}

/// The cookie that Express sets.
fn signed(id: &str, secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(id.as_bytes());
    let signature = STANDARD_NO_PAD.encode(mac.finalize().into_bytes());
    format!("s%3A{id}.{}", signature.replace('+', "%2B").replace('/', "%2F"))
}

on_every_store![
    async fn session_continues_where_express_left_it(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        assert_eq!(visitor.body("/count/a").await, "4");
        assert_eq!(visitor.body("/text/a").await, "kept");
        assert_eq!(visitor.body("/count/a").await, "5");
        assert_eq!(old.record("id"), None);
        assert!(visitor.own.is_some() && visitor.old.is_none(), "the cookies were not exchanged");
        let events = old.world.take_events();
        let imported = events.iter().filter(|it| matches!(it, Event::Imported(_))).count();
        assert_eq!(imported, 1, "{events:?}");
    }

    async fn every_first_operation_imports(old: Migration) {
        for (number, (path, body)) in [
            ("/view/a", "4"),
            ("/peek/a", "3"),
            ("/text/a", "kept"),
            ("/fields", "2"),
            ("/append/list/x", "1"),
            ("/user", "none"),
            ("/regenerate", "regenerated"),
            ("/remember-for/14", ""),
            ("/log-in/alice/new", "logged in"),
        ]
        .into_iter()
        .enumerate()
        {
            let mut visitor = old.visitor(&format!("id{number}"), RECORD);
            assert_eq!(visitor.body(path).await, body, "{path}");
            assert_eq!(visitor.body("/text/a").await, "kept", "{path}");
        }
    }

    async fn user_stays_logged_in_and_can_be_logged_out_everywhere(old: Migration) {
        let mut visitor = old.visitor("id", r#"{"user":"alice","note":"hers"}"#);
        assert_eq!(visitor.body("/user").await, "alice");
        assert_eq!(visitor.body("/log-out-everywhere/alice").await, "1");
        for mut visitor in [visitor.clone(), visitor.without_our_cookie()] {
            assert_eq!(visitor.body("/user").await, "none");
            assert_eq!(visitor.body("/text/a").await, "none");
        }
    }

    async fn requests_at_once_share_one_session(old: Migration) {
        let visitor = old.visitor("id", RECORD);
        let mut visitors = vec![visitor; 12];
        let bodies = join_all(visitors.iter_mut().map(|it| it.body("/count/a"))).await;
        let mut counts: Vec<u32> = bodies.iter().map(|it| it.parse().unwrap()).collect();
        counts.sort_unstable();
        assert_eq!(counts, (4..16).collect::<Vec<_>>());
        for (number, visitor) in visitors.iter_mut().enumerate() {
            assert_eq!(visitor.body("/count/a").await, (16 + number).to_string());
        }
    }

    async fn visitor_whose_first_response_was_lost_continues_in_the_same_session(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        assert_eq!(visitor.body("/count/a").await, "4");
        assert_eq!(visitor.without_our_cookie().body("/count/a").await, "5");
        old.world.advance(3600).await;
        assert_eq!(visitor.without_our_cookie().body("/count/a").await, "6");
        assert_eq!(visitor.body("/count/a").await, "7");
    }

    async fn log_out_ends_the_old_cookie_too(old: Migration) {
        for (number, path) in ["/peek/a", "/destroy"].into_iter().enumerate() {
            let mut visitor = old.visitor(&format!("id{number}"), RECORD);
            visitor.get(path).await;
            assert_eq!(visitor.body("/destroy").await, "destroyed");
            let mut again = visitor.without_our_cookie();
            assert_eq!(again.body("/text/a").await, "none");
            assert_eq!(again.get("/count/a").await.status, Status::Conflict);
            old.world.advance(31).await;
            let mut again = visitor.without_our_cookie();
            assert_eq!(again.body("/text/a").await, "none");
            assert_eq!(again.body("/count/a").await, "1", "a new session");
            assert_eq!(again.old, None);
        }
    }

    async fn log_out_or_log_in_ends_the_old_session_of_a_browser_with_both_cookies(old: Migration) {
        for (number, path) in
            ["/destroy", "/log-out-everywhere/bob", "/log-in/bob/y"].into_iter().enumerate()
        {
            for is_imported in [false, true] {
                let id = format!("id{number}{is_imported}");
                let mut visitor = old.visitor(&id, r#"{"user":"alice","note":"hers"}"#);
                let cookie = visitor.old.clone();
                if is_imported {
                    assert_eq!(visitor.clone().body("/user").await, "alice");
                }
                visitor.old = None;
                visitor.body("/log-in/bob/x").await;
                visitor.old = cookie;
                assert_eq!(visitor.body("/user").await, "bob", "{path}");
                visitor.body(path).await;
                assert_eq!((visitor.old.clone(), old.record(&id)), (None, None), "{path}");
                let mut again = visitor.without_our_cookie();
                assert_eq!(again.body("/user").await, "none", "{path}");
            }
        }
    }

    async fn log_out_ends_an_old_session_that_cannot_be_carried_over(old: Migration) {
        for (number, record) in [r#"{"user":"alice","views":"many"}"#, "no JSON"].iter().enumerate()
        {
            let id = format!("id{number}");
            let mut visitor = old.visitor(&id, record);
            assert_eq!(visitor.body("/destroy").await, "destroyed");
            assert_eq!((visitor.old.clone(), old.record(&id)), (None, None), "{record}");
            assert_eq!(visitor.without_our_cookie().body("/user").await, "none");
        }
    }

    async fn imported_log_in_is_not_a_recent_one_unless_the_application_says_so(old: Migration) {
        let age = async |record: &str, id: &str| -> u64 {
            old.visitor(id, record).body("/logged-in-for").await.parse().unwrap()
        };
        assert!(age(r#"{"user":"alice"}"#, "unknown").await > 365 * 24 * 3600);
        let now = old.world.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let at = |seconds: u64| format!(r#"{{"user":"alice","at":{seconds}}}"#);
        assert_eq!(age(&at(now - 600), "known").await, 600);
        assert_eq!(age(&at(now + 600), "ahead").await, 0);
    }

    async fn cookie_that_no_secret_verifies_is_counted_and_an_unsigned_one_is_not(old: Migration) {
        let unverified = Event::Rejected(Rejection::UnverifiedOldCookie);
        let mut visitor = old.visitor("id", RECORD);
        for (cookie, count) in [
            (signed("id", "keyboard cat\n"), 1),
            (signed("id", SECRET), 0),
            ("s%3Aid.AAAA".to_owned(), 0),
            ("else".to_owned(), 0),
        ] {
            (visitor.old, visitor.own) = (Some(cookie.clone()), None);
            visitor.get("/text/a").await;
            let events = old.world.take_events();
            assert_eq!(events.iter().filter(|it| **it == unverified).count(), count, "{cookie}");
        }
    }

    async fn old_cookie_in_a_handshake_of_another_origin_is_not_used(old: Migration) {
        for (number, (origin, body)) in
            [("https://evil.example", "none"), ("null", "none"), ("https://shop.example", "kept")]
                .into_iter()
                .enumerate()
        {
            let visitor = old.visitor(&format!("id{number}"), RECORD);
            let mut request = old.world.client.get("/text/a");
            request.add_header(Header::new("Host", "shop.example"));
            request
                .add_header(Header::new("Cookie", format!("connect.sid={}", visitor.old.unwrap())));
            request.add_header(Header::new("Sec-WebSocket-Key", "x"));
            request.add_header(Header::new("Origin", origin));
            let response = request.dispatch().await;
            assert_eq!(response.into_string().await.unwrap(), body, "{origin}");
        }
    }

    async fn old_cookie_gives_no_access_after_the_token_was_replaced(old: Migration) {
        for (number, path) in ["/regenerate", "/log-in/alice/x"].into_iter().enumerate() {
            let mut visitor = old.visitor(&format!("id{number}"), RECORD);
            visitor.get(path).await;
            assert_eq!(visitor.body("/text/a").await, "kept");
            for seconds in [0, 31] {
                old.world.advance(seconds).await;
                assert_eq!(visitor.without_our_cookie().body("/text/a").await, "none");
            }
        }
    }

    async fn record_that_express_writes_back_is_ignored_and_removed(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        visitor.get("/count/a").await;
        old.visitor("id", r#"{"views":100}"#);
        assert_eq!(visitor.without_our_cookie().body("/count/a").await, "5");
        assert_eq!(old.record("id"), None);
        visitor.get("/destroy").await;
        old.world.advance(31).await;
        old.visitor("id", r#"{"views":100}"#);
        assert_eq!(visitor.without_our_cookie().body("/count/a").await, "1");
    }

    async fn session_cookie_takes_precedence_over_the_old_cookie(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        let cookie = visitor.old.take();
        assert_eq!(visitor.body("/count/a").await, "1");
        visitor.old = cookie;
        assert_eq!(visitor.body("/count/a").await, "2");
        assert_eq!(old.record("id").as_deref(), Some(RECORD));
        visitor.own = Some("A".repeat(127));
        assert_eq!(visitor.body("/count/a").await, "4", "ours was not valid");
    }

    async fn request_that_does_not_use_its_session_imports_nothing(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        assert_eq!(visitor.body("/plain").await, "plain");
        assert_eq!(visitor.body("/id").await, "none");
        assert_eq!((old.record("id").as_deref(), old.claims()), (Some(RECORD), 0));
    }

    async fn forged_cookie_leads_to_nothing(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        visitor.old = Some(signed("id", "guessed"));
        assert_eq!(visitor.body("/text/a").await, "none");
        assert_eq!(visitor.body("/count/a").await, "1");
        assert_eq!((old.record("id").as_deref(), old.claims()), (Some(RECORD), 0));
    }

    async fn cookie_without_a_record_begins_a_new_session(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        let key = old.key("id");
        old.server.connect_to(&key).del::<_, ()>(&key).unwrap();
        assert_eq!(visitor.body("/text/a").await, "none");
        assert_eq!(visitor.old, None, "it would cost a round trip at each request");
        assert_eq!(visitor.without_our_cookie().body("/count/a").await, "1");
        assert_eq!(old.claims(), 0);
    }

    async fn old_session_that_becomes_an_empty_one_is_removed(old: Migration) {
        let mut visitor = old.visitor("id", r#"{"cookie":{}}"#);
        assert_eq!(visitor.body("/fields").await, "0");
        assert_eq!((old.record("id"), visitor.own.clone()), (None, None));
        assert_eq!(visitor.body("/count/a").await, "1");
        assert_eq!(visitor.body("/count/a").await, "2");
    }

    async fn session_that_cannot_be_imported_is_kept_and_its_visitor_gets_a_new_one(
        old: Migration,
    ) {
        let large = format!(r#"{{"note":"{}"}}"#, "x".repeat(20_000));
        for (number, record) in [r#"{"views":"many"}"#, "no JSON", "[]", r#"{"user":""}"#, &large]
            .into_iter()
            .enumerate()
        {
            let id = format!("id{number}");
            let mut visitor = old.visitor(&id, record);
            assert_eq!(visitor.body("/count/a").await, "1", "{record}");
            assert_eq!(visitor.body("/count/a").await, "2", "{record}");
            assert_eq!(old.record(&id).as_deref(), Some(record));
        }
        let (mut visitor, key) = (old.visitor("hash", ""), old.key("hash"));
        let mut redis = old.server.connect_to(&key);
        redis.del::<_, ()>(&key).unwrap();
        redis.hset::<_, _, _, ()>(&key, "a", "b").unwrap();
        assert_eq!(visitor.body("/count/a").await, "1");
    }

    async fn old_cookie_that_another_site_sends_is_not_used(old: Migration) {
        let visitor = old.visitor("id", RECORD);
        for is_imported in [false, true] {
            if is_imported {
                visitor.clone().get("/count/a").await;
            }
            let mut request = old.world.client.get("/text/a");
            let cookie = format!("connect.sid={}", signed("id", SECRET));
            request.add_header(Header::new("Cookie", cookie));
            request.add_header(Header::new("Sec-Fetch-Site", "cross-site"));
            request.add_header(Header::new("Sec-Fetch-Dest", "iframe"));
            let response = request.dispatch().await;
            assert_eq!(response.headers().get("Set-Cookie").count(), 0);
            assert_eq!(response.into_string().await.unwrap(), "none", "imported: {is_imported}");
        }
    }

    async fn old_cookie_leads_to_nothing_after_the_absolute_lifetime(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        visitor.get("/count/a").await;
        old.world.advance(31 * 24 * 3600).await;
        assert_eq!(visitor.without_our_cookie().body("/text/a").await, "none");
        assert_eq!(visitor.without_our_cookie().body("/count/a").await, "1");
    }

    async fn imported_session_has_its_full_idle_timeout_at_once(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        visitor.get("/count/a").await;
        old.world.advance(23 * 3600).await;
        assert_eq!(visitor.body("/count/a").await, "5");
    }
];

/// Two instances on one Redis, and what happens between two chunks of commands of the first.
struct Instances {
    first: Migration,
    second: &'static Migration,
    plan: Arc<Mutex<Option<Planned>>>,
}

type Planned = (usize, Box<dyn FnOnce(&[u8]) -> Action + Send>);

impl Instances {
    async fn new() -> Self {
        let plan = Arc::<Mutex<Option<Planned>>>::default();
        let planned = plan.clone();
        let url = proxy::start(move |bytes| {
            let mut plan = planned.lock().unwrap();
            match plan.take() {
                Some((0, act)) => act(bytes),
                Some((chunks, act)) => {
                    *plan = Some((chunks - 1, act));
                    Action::Forward
                }
                None => Action::Forward,
            }
        });
        let first = Migration::through(&url).await;
        let world = first.world.instance_ahead_by(0).await;
        let import = Import::new(SECRET, carry_over).prefix(&first.old);
        let import = import.redis(redis_store(&first.claims));
        let (old, claims) = (first.old.clone(), first.claims.clone());
        let world = world.rebuilt(|it| it.import(import)).await;
        let server = Box::new(REDIS.client());
        let second = Box::leak(Box::new(Migration { world, old, claims, server }));
        // Both have a connection from now on.
        for instance in [&first, &*second] {
            instance.visitor("warm", RECORD).get("/count/a").await;
        }
        Self { first, second, plan }
    }

    /// Plans an action for the chunk after this many others.
    fn plan(&self, chunks: usize, act: impl FnOnce(&[u8]) -> Action + Send + 'static) {
        *self.plan.lock().unwrap() = Some((chunks, Box::new(act)));
    }

    /// Whether it has happened. Cancels it otherwise.
    fn has_happened(&self) -> bool {
        self.plan.lock().unwrap().take().is_none()
    }
}

/// Requests a page, again while the store is down.
async fn patiently(visitor: &mut Visitor<'_>, path: &str) -> String {
    for _ in 0..100 {
        let page = visitor.get(path).await;
        match page.status {
            Status::Ok => return page.body,
            Status::ServiceUnavailable => sleep(Duration::from_millis(100)).await,
            status => panic!("{path}: {status} {}", page.body),
        }
    }
    panic!("the store does not recover");
}

/// A process that dies looks like a connection that breaks: its commands are executed or not, and
/// no others follow.
#[rocket::async_test]
async fn import_that_is_interrupted_anywhere_is_completed_by_the_next_request() {
    let instances = Instances::new().await;
    let mut points = 0;
    for user in ["", r#","user":"alice""#] {
        let record = RECORD.replace(r#","note""#, &format!(r#"{user},"note""#));
        for is_sent in [false, true] {
            for chunk in 0.. {
                let id = new_prefix();
                let mut visitor = instances.first.visitor(&id, &record);
                instances.plan(chunk, move |bytes| {
                    if is_sent { Action::CloseAfter(bytes.len()) } else { Action::Close }
                });
                let page = visitor.get("/count/a").await;
                if !instances.has_happened() {
                    assert_eq!(page.status, Status::Ok);
                    break;
                }
                points += 1;
                let context = format!("{user} {is_sent} {chunk}: {}", page.status);
                assert!(page.status == Status::Ok || visitor.own.is_none(), "{context}");
                let count = patiently(&mut visitor, "/peek/a").await;
                assert!(["3", "4"].contains(&count.as_str()), "{context}: {count}");
                assert_eq!(visitor.body("/text/a").await, "kept", "{context}");
                assert_eq!(instances.first.record(&id), None, "{context}");
                let is_alice = visitor.body("/user").await == "alice";
                assert_eq!(is_alice, !user.is_empty(), "{context}");
                let mut again = visitor.without_our_cookie();
                assert_eq!(again.body("/peek/a").await, count, "{context}: one session");
                visitor.body("/destroy").await;
                instances.first.world.advance(31).await;
                let mut again = visitor.without_our_cookie();
                assert_eq!(again.body("/text/a").await, "none", "{context}: logged out");
            }
        }
    }
    assert!(points >= 14, "claim, index, create, close, each cut twice: {points}");
    let records = instances.first.world.keys.of_type("hash");
    let left: Vec<_> = records.iter().filter(|it| !it.contains("user:")).collect();
    assert_eq!(left.len(), 5, "those that were not cut off: {left:?}");
}

#[rocket::async_test]
async fn concurrent_requests_end_in_one_session_and_none_undoes_a_log_out() {
    let instances = Instances::new().await;
    let mut points = 0;
    for meanwhile in [&["/count/a"][..], &["/count/a", "/destroy"], &["/log-in/alice/x"]] {
        for user in ["", r#","user":"alice""#] {
            let record = RECORD.replace(r#","note""#, &format!(r#"{user},"note""#));
            for chunk in 0.. {
                let id = new_prefix();
                let mut visitor = instances.first.visitor(&id, &record);
                let mut other = Visitor {
                    migration: instances.second,
                    id,
                    old: visitor.old.clone(),
                    own: None,
                };
                let result = Arc::<Mutex<_>>::default();
                let sent = result.clone();
                instances.plan(chunk, move |_| {
                    let work = move || {
                        let runtime = Runtime::new().unwrap();
                        let bodies = runtime.block_on(async {
                            let mut bodies = Vec::new();
                            for path in meanwhile {
                                bodies.push(other.body(path).await);
                            }
                            bodies
                        });
                        *sent.lock().unwrap() = Some((bodies, other.own));
                    };
                    Action::Split(0, Box::new(work))
                });
                let page = visitor.get("/count/a").await;
                if !instances.has_happened() {
                    assert_eq!(page.status, Status::Ok);
                    break;
                }
                points += 1;
                let (bodies, own) = result.lock().unwrap().take().expect("it was waited for");
                let context =
                    format!("{meanwhile:?} {user} {chunk}: {} {}", page.status, page.body);
                let mut other = Visitor { own, old: None, ..visitor.clone() };
                if meanwhile.len() == 2 {
                    assert_eq!(bodies, ["4", "destroyed"], "{context}");
                    instances.first.world.advance(31).await;
                } else if meanwhile[0] == "/count/a" {
                    let mut counts = [page.body.as_str(), bodies[0].as_str()];
                    counts.sort_unstable();
                    assert_eq!(counts, ["4", "5"], "{context}");
                    assert_eq!(visitor.body("/count/a").await, "6", "{context}");
                    assert_eq!(other.body("/count/a").await, "7", "{context}");
                    continue;
                } else {
                    assert_eq!(other.body("/text/a").await, "kept", "{context}");
                }
                // The old cookie gives access to nothing, nor does what this request was given.
                for mut visitor in [visitor.without_our_cookie(), visitor.clone()] {
                    visitor.old = None;
                    assert_eq!(visitor.body("/text/a").await, "none", "{context}");
                }
                let mut visitor = visitor.without_our_cookie();
                assert_eq!(visitor.body("/text/a").await, "none", "{context}");
            }
        }
    }
    assert!(points >= 20, "{points}");
}

#[rocket::async_test]
async fn forged_or_missing_cookie_costs_no_round_trip() {
    let chunks = Arc::<AtomicUsize>::default();
    let counted = chunks.clone();
    let url = proxy::start(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Action::Forward
    });
    let old = Migration::through(&url).await;
    for cookie in [None, Some(signed("id", "guessed")), Some("s%3Aid.AAAA".to_owned())] {
        let mut visitor = old.visitor("id", RECORD);
        visitor.old = cookie;
        for path in ["/text/a", "/user", "/destroy", "/fields"] {
            visitor.body(path).await;
        }
    }
    assert_eq!(chunks.load(Ordering::SeqCst), 0);
}

#[rocket::async_test]
async fn claim_of_an_earlier_key_is_understood_and_one_of_an_unknown_key_is_not_used() {
    let old = Migration::in_redis().await;
    let mut visitor = old.visitor("id", RECORD);
    assert_eq!(visitor.body("/count/a").await, "4");
    let (prefix, claims) = (old.old.clone(), old.claims.clone());
    let mut world = old.world;
    for (previous, count) in [(vec![KEY], "5"), (vec![], "1")] {
        let import = Import::new(SECRET, carry_over).prefix(&prefix);
        let import = import.redis(redis_store(&claims));
        world = world.reconfigured("secret_key", OTHER_KEY).await;
        world = world.reconfigured("session.previous_keys", previous).await;
        world = world.rebuilt(|it| it.import(import)).await;
        let header = format!("connect.sid={}", signed("id", SECRET));
        assert_eq!(world.get("/count/a", Some(&header)).await.body, count);
    }
}

#[rocket::async_test]
async fn removal_of_the_old_cookie_has_the_scope_that_it_was_set_with() {
    let old = Migration::in_redis().await;
    let record = r#"{"cookie":{"path":"/shop","domain":"example.com"},"views":1}"#;
    let visitor = old.visitor("id", record);
    let header = format!("connect.sid={}", visitor.old.unwrap());
    let page = old.world.get("/count/a", Some(&header)).await;
    let removal = page.set_cookies.iter().find(|it| it.starts_with("connect.sid=;")).unwrap();
    assert!(removal.contains("Path=/shop") && removal.contains("Domain=example.com"), "{removal}");
    assert!(removal.contains("Max-Age=0"), "{removal}");
}

#[rocket::async_test]
async fn scope_that_no_header_can_have_is_not_used() {
    let old = Migration::in_redis().await;
    let record = r#"{"cookie":{"path":"/; Domain=a","domain":"a\r\nX: y"},"views":1}"#;
    let visitor = old.visitor("id", record);
    let header = format!("connect.sid={}", visitor.old.unwrap());
    let page = old.world.get("/count/a", Some(&header)).await;
    let removal = page.set_cookies.iter().find(|it| it.starts_with("connect.sid=;")).unwrap();
    assert!(removal.contains("Path=/;") && !removal.contains("Domain"), "{removal}");
}

#[rocket::async_test]
async fn import_that_cannot_work_fails_the_launch_and_says_why() {
    let errors = |figment: Figment, import: Import| {
        let opened = Session::fairing().import(import).open(&figment);
        let errors = opened.err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect::<String>()
    };
    let import = |secret| Import::new(secret, carry_over);
    let with_url = || figment().merge(("session.url", "redis://127.0.0.1:1"));
    assert!(errors(figment(), import(SECRET)).starts_with("`session.url` is not set"));
    assert!(errors(with_url(), import("")).contains("empty secret"));
    assert_eq!(errors(with_url(), import(SECRET)), "");
}

#[rocket::async_test]
async fn import_costs_what_the_documentation_says() {
    let server = RedisServer::start();
    let mut measured = BTreeMap::new();
    for (row, operation) in [
        ("of a session that is imported", 1),
        ("of one with a user who is logged in", 1),
        ("of one that was imported before", 1),
        ("without a record", 0),
    ] {
        let trips = Arc::<AtomicUsize>::default();
        let counted = trips.clone();
        let url = proxy::before(server.port, move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Action::Forward
        });
        let world = World::on_url(&url, &server, DEADLINE).await;
        let open = |prefix: &str| open_store(prefix, &url, DEADLINE);
        let old = Migration::new(world, server.client(), open).await;
        old.visitor("warm", r#"{"user":"warm"}"#).get("/peek/a").await;
        let record = if row.contains("user") { r#"{"user":"alice","views":3}"# } else { RECORD };
        let mut visitor = old.visitor("id", record);
        if row.contains("before") {
            visitor.clone().get("/peek/a").await;
        } else if row.contains("without") {
            let key = old.key("id");
            server.connect().del::<_, ()>(&key).unwrap();
        }
        old.world.settled().await;
        old.world.store.take_calls();
        server.reset_commands();
        trips.store(0, Ordering::SeqCst);
        visitor.body("/peek/a").await;
        old.world.settled().await;
        let (mut commands, mut trips) =
            (server.commands(), trips.load(Ordering::SeqCst) - operation);
        let calls = old.world.store.take_calls();
        let touches = calls.iter().filter(|it| matches!(it, Call::Touch(_))).count();
        trips -= touches;
        let mut aside = ["hmget"].repeat(operation);
        aside.extend(["eval", "hmget", "hset", "expire"].repeat(touches));
        for command in aside {
            *commands.get_mut(command).unwrap() -= 1;
        }
        commands.retain(|name, count| *count > 0 && name != "ping");
        measured.insert(row, (trips, commands));
    }
    let documented = documented_imports().into_iter().map(|(row, (trips, commands))| {
        let mut counts = BTreeMap::new();
        for command in commands.into_iter().flatten() {
            *counts.entry(command).or_insert(0) += 1;
        }
        (row, (trips, counts))
    });
    assert_eq!(measured, documented.collect());
}

#[cfg(feature = "sqlite")]
#[test]
fn import_with_a_sqlite_file_asks_for_the_redis_of_express() {
    let database = crate::world::database::Database::new();
    let figment = figment().merge(("session.url", database.url()));
    let opened = Session::fairing().import(Import::new(SECRET, carry_over)).open(&figment);
    let text = opened.expect_err("there is no Redis")[0].to_string();
    assert!(text.contains("names a SQLite file") && text.contains("`Import::redis`"), "{text}");
}
