//! Importing sessions from Express: each is imported exactly once, and a log-out ends it.
//!
//! - `import`: what becomes of an old session. `cookie`: which cookies are used, and how they are removed.
//! - `log_out`: how old sessions end.
//! - `interruption`: imports that are cut off, and other requests between their steps.
//! - `operation`: settings, checks and costs.

mod cookie;
mod import;
mod interruption;
mod log_out;
mod operation;

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, Mac};
use redis::Commands;
use rocket::http::Status;
use rocket_server_sessions::Result;
use rocket_server_sessions::express::{Import, NewSession, OldSession};
use rocket_server_sessions::store::Redis;
use sha2::Sha256;
use test_support::RedisView;

use crate::world::{
    CLUSTER, COUNT, DEADLINE, NAME, OnEachStore, REDIS, TEXT, World, cluster_store, new_prefix,
    open_store, redis_store,
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
        Self::beside(world, url).await
    }

    /// With the old records on a Redis of their own, behind a proxy at `url`.
    async fn beside(world: World, url: &str) -> Self {
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
