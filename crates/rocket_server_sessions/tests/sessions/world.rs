//! A small application on the session layer, its store, and visitors with cookies.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use rocket::http::{Header, Status};
use rocket::local::asynchronous::Client;
use rocket::response::stream::TextStream;
use rocket::{Build, Rocket, get, routes};
use rocket_server_sessions::store::{Memory, Redis, Settings, Store};
use rocket_server_sessions::testing::{ManualClock, Spy};
use rocket_server_sessions::{self as session, Config, Error, Event, Key, Session, UserSessions};

use test_support::RedisServer;
use test_support::cluster::Cluster;

pub const NAME: &str = "__Host-session";
pub const KEY: &str = "0GfnRvWV8Hd0TtPtKKmvyWjAKxIGWRRMVZWcIPWGFTI=";

pub const COUNT: Key<i64> = Key::new("count");
pub const TEXT: Key<String> = Key::new("text");

#[get("/count/<item>")]
async fn count(item: &str, session: Session<'_>) -> session::Result<String> {
    Ok(session.increment(COUNT.at(item), 1).await?.to_string())
}

#[get("/view/<item>")]
async fn view(item: &str, session: Session<'_>) -> session::Result<String> {
    let now = session.batch().increment(COUNT.at(item), 1).commit().await?;
    Ok(now.get(COUNT.at(item))?.unwrap_or_default().to_string())
}

#[get("/peek/<item>")]
async fn peek(item: &str, session: Session<'_>) -> session::Result<String> {
    Ok(session.get(COUNT.at(item)).await?.unwrap_or_default().to_string())
}

#[get("/set/<item>/<value>")]
async fn set(item: &str, value: String, session: Session<'_>) -> session::Result<&'static str> {
    session.insert(TEXT.at(item), &value).await.map(|()| "set")
}

#[get("/text/<item>")]
async fn text(item: &str, session: Session<'_>) -> session::Result<String> {
    Ok(session.get(TEXT.at(item)).await?.unwrap_or_else(|| "none".into()))
}

#[get("/take/<item>")]
async fn take(item: &str, session: Session<'_>) -> session::Result<String> {
    Ok(session.take(TEXT.at(item)).await?.unwrap_or_else(|| "none".into()))
}

#[get("/remove/<item>")]
async fn remove(item: &str, session: Session<'_>) -> session::Result<&'static str> {
    session.remove(TEXT.at(item)).await.map(|()| "removed")
}

#[get("/look-and-count")]
async fn look_and_count(session: Session<'_>) -> session::Result<String> {
    session.snapshot().await?;
    Ok(session.increment(COUNT, 1).await?.to_string())
}

#[get("/fields")]
async fn fields(session: Session<'_>) -> session::Result<String> {
    Ok(session.snapshot().await?.len().to_string())
}

#[get("/regenerate")]
async fn regenerate(session: Session<'_>) -> session::Result<&'static str> {
    session.regenerate().await.map(|()| "regenerated")
}

#[get("/end")]
async fn end(session: Session<'_>) -> session::Result<&'static str> {
    session.destroy().await.map(|()| "ended")
}

#[get("/remember/<persistently>")]
async fn remember(persistently: bool, session: Session<'_>) -> session::Result<String> {
    session.remember_me(persistently);
    Ok(session.increment(COUNT, 1).await?.to_string())
}

#[get("/idle")]
fn idle(session: Session<'_>) -> String {
    session.info().map_or_else(|| "nobody".into(), |info| info.id.to_string())
}

#[get("/store")]
fn store(session: Session<'_>) -> &'static str {
    session.store()
}

#[get("/plain")]
fn plain() -> &'static str {
    "plain"
}

#[get("/two")]
async fn two(a: Session<'_>, b: Session<'_>) -> session::Result<String> {
    a.increment(COUNT, 1).await?;
    Ok(b.increment(COUNT, 1).await?.to_string())
}

#[get("/together")]
async fn together(session: Session<'_>) -> session::Result<String> {
    let (a, b, c) = rocket::tokio::join!(
        session.increment(COUNT, 1),
        session.increment(COUNT, 1),
        session.increment(COUNT, 1)
    );
    for count in [a, b, c] {
        count?;
    }
    Ok(session.get(COUNT).await?.unwrap_or_default().to_string())
}

#[get("/fail")]
async fn fail(session: Session<'_>) -> Result<Status, Error> {
    session.increment(COUNT, 1).await?;
    Ok(Status::ImATeapot)
}

#[get("/anew")]
async fn anew(session: Session<'_>) -> session::Result<String> {
    session.destroy().await?;
    Ok(session.increment(COUNT, 1).await?.to_string())
}

#[get("/cookies")]
async fn cookies(
    session: Session<'_>,
    jar: &rocket::http::CookieJar<'_>,
) -> session::Result<String> {
    jar.add(("theme", "dark"));
    Ok(session.increment(COUNT, 1).await?.to_string())
}

/// Takes a text and counts, in one round trip.
#[get("/shown-once/<item>")]
async fn shown_once(item: &str, session: Session<'_>) -> session::Result<String> {
    let now = session.batch().take(TEXT.at(item)).increment(COUNT, 1).commit().await?;
    Ok(now.get(TEXT.at(item))?.unwrap_or_else(|| "none".into()))
}

/// What a second operation says, after the first has failed: in how many seconds to try again.
#[get("/patience")]
async fn patience(session: Session<'_>) -> String {
    session.increment(COUNT, 1).await.unwrap_err();
    let error = session.increment(COUNT, 1).await.unwrap_err();
    error.retry_after().unwrap().as_secs().to_string()
}

/// Counts, is busy with something else for so many milliseconds, and counts again.
#[get("/busy/<millis>")]
async fn busy(millis: u64, session: Session<'_>) -> session::Result<String> {
    session.increment(COUNT, 1).await?;
    rocket::tokio::time::sleep(Duration::from_millis(millis)).await;
    Ok(session.increment(COUNT, 1).await?.to_string())
}

/// Counts while the response is on its way already.
#[get("/late")]
fn late(session: Session<'_>) -> TextStream![String + '_] {
    TextStream! {
        yield match session.increment(COUNT, 1).await {
            Ok(count) => count.to_string(),
            Err(Error::Unavailable { .. }) => "nothing was changed".into(),
            Err(error) => error.to_string(),
        };
    }
}

#[derive(rocket::Responder)]
struct Cached(String, Header<'static>);

#[get("/cached/<how>")]
async fn cached(how: &str, session: Session<'_>) -> session::Result<Cached> {
    let count = session.increment(COUNT, 1).await?;
    Ok(Cached(count.to_string(), Header::new("Cache-Control", how.to_owned())))
}

#[get("/bind/<user>/<label>")]
async fn bind(user: &str, label: &str, session: Session<'_>) -> session::Result<&'static str> {
    session.log_in(user, label).await.map(|()| "bound")
}

#[get("/user")]
async fn user(session: Session<'_>) -> session::Result<String> {
    let (asked, seen) = (session.user().await?, session.snapshot().await?.user());
    assert_eq!(asked, seen);
    Ok(asked.unwrap_or_else(|| "nobody".into()))
}

#[get("/signed-in")]
async fn signed_in(session: Session<'_>) -> session::Result<String> {
    Ok(session.user().await?.unwrap_or_else(|| "nobody".into()))
}

#[get("/logins/<user>")]
async fn logins(user: &str, users: UserSessions<'_>) -> session::Result<String> {
    let logins = users.list(user).await?;
    Ok(logins.into_iter().map(|it| it.label).collect::<Vec<_>>().join(" "))
}

#[get("/touched/<user>")]
async fn touched(user: &str, users: UserSessions<'_>) -> session::Result<String> {
    let seconds = |time: std::time::SystemTime| {
        time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string()
    };
    let logins = users.list(user).await?;
    Ok(logins.into_iter().map(|it| seconds(it.touched)).collect::<Vec<_>>().join(" "))
}

#[get("/log-out/<user>/<label>")]
async fn log_out(user: &str, label: &str, users: UserSessions<'_>) -> session::Result<String> {
    let logins = users.list(user).await?;
    let Some(login) = logins.iter().find(|it| it.label == label) else {
        return Ok("unknown".into());
    };
    Ok(users.destroy(user, login.id).await?.to_string())
}

#[get("/log-out-id/<user>/<id>")]
async fn log_out_handle(user: &str, id: &str, users: UserSessions<'_>) -> session::Result<String> {
    Ok(users.destroy(user, session::PublicId::parse(id).unwrap()).await?.to_string())
}

#[get("/log-out-others/<user>")]
async fn log_out_others(
    user: &str,
    session: Session<'_>,
    users: UserSessions<'_>,
) -> session::Result<String> {
    let own = session.info().unwrap().id;
    Ok(users.destroy_others(user, own).await?.to_string())
}

#[get("/log-out-everywhere/<user>")]
async fn log_out_everywhere(user: &str, users: UserSessions<'_>) -> session::Result<String> {
    Ok(users.destroy_all(user).await?.to_string())
}

/// What an operation says of a failure.
#[get("/verdict/<operation>")]
async fn verdict(operation: &str, session: Session<'_>) -> &'static str {
    let result = match operation {
        "view" => session.batch().increment(COUNT.at("a"), 1).commit().await.map(drop),
        "regenerate" => session.regenerate().await,
        "bind" => session.log_in("bob", "phone").await,
        "fill" => session.batch().increment(COUNT.at("long"), 1).commit().await.map(drop),
        _ => unreachable!(),
    };
    match result {
        Ok(()) => "done",
        Err(Error::Unavailable { .. }) => "nothing was changed",
        Err(Error::OutcomeUnknown { .. }) => "nobody knows",
        Err(_) => "refused",
    }
}

pub fn routes() -> Vec<rocket::Route> {
    routes![
        verdict,
        patience,
        busy,
        late,
        cached,
        shown_once,
        look_and_count,
        bind,
        user,
        signed_in,
        logins,
        touched,
        log_out,
        log_out_handle,
        log_out_others,
        log_out_everywhere,
        count,
        view,
        peek,
        set,
        text,
        take,
        remove,
        fields,
        regenerate,
        end,
        remember,
        idle,
        store,
        plain,
        two,
        together,
        fail,
        anew,
        cookies
    ]
}

/// An application on a store, with its clock and a spy between.
pub struct World {
    pub client: Client,
    pub store: Arc<Spy<Arc<dyn Store>>>,
    pub clock: ManualClock,
    pub prefix: String,
    list_keys: fn(&str) -> Vec<String>,
    events: Arc<Mutex<Vec<Event>>>,
    figment: rocket::figment::Figment,
}

/// One Redis for the whole suite; each world has a prefix of its own.
pub static REDIS: LazyLock<RedisServer> = LazyLock::new(RedisServer::start);

/// One cluster, likewise.
pub static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(0));

pub fn redis_store(prefix: &str) -> Redis {
    open_store(prefix, &REDIS.url())
}

pub fn cluster_store(prefix: &str) -> Redis {
    open_store(prefix, &CLUSTER.url())
}

fn open_store(prefix: &str, url: &str) -> Redis {
    let mut config = Config::default();
    prefix.clone_into(&mut config.prefix);
    Redis::open(&Settings::from_config(&config, &url.into())).unwrap()
}

pub fn new_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}:", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn figment() -> rocket::figment::Figment {
    rocket::figment::Figment::from(rocket::Config {
        log_level: rocket::config::LogLevel::Off,
        ..rocket::Config::debug_default()
    })
    .merge(("secret_key", KEY))
}

impl World {
    pub async fn memory() -> Self {
        let clock = ManualClock::now();
        let memory = Memory::with_clock(10_000, Arc::new(clock.clone()));
        Self::new(Arc::new(memory), clock, String::new(), figment()).await
    }

    pub async fn redis() -> Self {
        Self::redis_at(SystemTime::now()).await
    }

    /// On Redis, at another time than the present.
    pub async fn redis_at(time: SystemTime) -> Self {
        let prefix = new_prefix();
        let store = Arc::new(redis_store(&prefix));
        Self::new(store, ManualClock::at(time), prefix, figment()).await
    }

    pub async fn cluster() -> Self {
        let world = Self::through(&CLUSTER.url()).await;
        Self { list_keys: |prefix| CLUSTER.keys(prefix), ..world }
    }

    /// On Redis as it is reached by another address.
    pub async fn through(url: &str) -> Self {
        let prefix = new_prefix();
        let store = open_store(&prefix, url);
        Self::new(Arc::new(store), ManualClock::now(), prefix, figment()).await
    }

    /// This world's keys of one type in Redis.
    pub fn keys_of_type(&self, kind: &str) -> Vec<String> {
        let is_it = |key: &String| {
            redis::cmd("TYPE").arg(key).query::<String>(&mut REDIS.connect()).unwrap() == kind
        };
        REDIS.keys(&self.prefix).into_iter().filter(is_it).collect()
    }

    async fn new(
        store: Arc<dyn Store>,
        clock: ManualClock,
        prefix: String,
        figment: rocket::figment::Figment,
    ) -> Self {
        let store = Arc::new(Spy::new(store));
        let events = Arc::default();
        let rocket = build(&store, &clock, &events, &figment);
        let client = Client::untracked(rocket).await.unwrap();
        let list_keys = |prefix: &str| REDIS.keys(prefix);
        Self { client, store, clock, prefix, list_keys, events, figment }
    }

    /// The same store behind an application with another configuration.
    pub async fn reconfigured<T: serde::Serialize>(self, key: &str, value: T) -> Self {
        let figment = self.figment.merge((key, value));
        let rocket = build(&self.store, &self.clock, &self.events, &figment);
        let client = Client::untracked(rocket).await.unwrap();
        Self { client, figment, ..self }
    }

    pub fn visitor(&self) -> Visitor<'_> {
        Visitor { world: self, cookie: None }
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// What has happened since the last time.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }

    /// The one key of this world in Redis.
    pub fn only_key(&self) -> String {
        let keys = (self.list_keys)(&self.prefix);
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys[0].clone()
    }
}

fn build(
    store: &Arc<Spy<Arc<dyn Store>>>,
    clock: &ManualClock,
    events: &Arc<Mutex<Vec<Event>>>,
    figment: &rocket::figment::Figment,
) -> Rocket<Build> {
    let events = events.clone();
    let sessions = Session::fairing()
        .store(store.clone())
        .clock(clock.clone())
        .observer(move |event| events.lock().unwrap().push(event));
    rocket::custom(figment.clone()).attach(sessions).mount("/", routes())
}

/// A browser, as far as cookies go.
#[derive(Clone)]
pub struct Visitor<'w> {
    pub world: &'w World,
    pub cookie: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub struct Page {
    pub status: Status,
    pub body: String,
    pub set_cookies: Vec<String>,
    pub retry_after: Option<String>,
    pub cache_control: Option<String>,
}

impl Visitor<'_> {
    /// Requests a page, and keeps the session's cookie as a browser would.
    pub async fn get(&mut self, path: &str) -> Page {
        let header = self.cookie.as_ref().map(|value| format!("{NAME}={value}"));
        let page = self.world.get(path, header.as_deref()).await;
        for cookie in page.set_cookies.iter().filter(|it| it.starts_with(NAME)) {
            let (pair, attributes) = cookie.split_once("; ").unwrap();
            let value = pair.split_once('=').unwrap().1.to_owned();
            self.cookie = (!attributes.contains("Max-Age=0;")).then_some(value);
        }
        page
    }

    pub async fn body(&mut self, path: &str) -> String {
        let page = self.get(path).await;
        assert_eq!(page.status, Status::Ok, "{path}: {}", page.body);
        page.body
    }
}

impl World {
    pub async fn get(&self, path: &str, cookies: Option<&str>) -> Page {
        let mut request = self.client.get(path.to_owned());
        if let Some(cookies) = cookies {
            request.add_header(Header::new("Cookie", cookies.to_owned()));
        }
        let response = request.dispatch().await;
        let status = response.status();
        let header = |name: &str| response.headers().get_one(name).map(str::to_owned);
        let (retry_after, cache_control) = (header("Retry-After"), header("Cache-Control"));
        let set_cookies = response.headers().get("Set-Cookie").map(str::to_owned).collect();
        let body = response.into_string().await.unwrap_or_default();
        Page { status, body, set_cookies, retry_after, cache_control }
    }
}

/// Runs each test against memory, Redis, and a cluster.
macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        mod in_memory {
            $(#[rocket::async_test]
            async fn $name() {
                super::$name(crate::world::World::memory().await).await;
            })*
        }
        mod in_redis {
            $(#[rocket::async_test]
            async fn $name() {
                super::$name(crate::world::World::redis().await).await;
            })*
        }
        mod in_a_cluster {
            $(#[rocket::async_test]
            async fn $name() {
                super::$name(crate::world::World::cluster().await).await;
            })*
        }
    };
}
pub(crate) use on_every_store;
