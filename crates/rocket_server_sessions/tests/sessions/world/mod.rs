//! A small application on each store, with a clock that tests move, and visitors with cookies.

#[cfg(feature = "sqlite")]
pub mod database;
mod every_store;
mod gate;
mod held_store;
mod limit_routes;
mod redis_keys;
mod routes;
mod socket;
mod step_routes;
mod user_routes;
mod visitor;

pub use every_store::OnEachStore;
pub(crate) use every_store::on_every_store;
pub use gate::Gate;
pub use held_store::Held;
pub use routes::{COUNT, TEXT};
pub use socket::{Server, Socket};
pub use step_routes::Verdicts;
pub use visitor::{Page, Visitor};

pub use test_support::app::KEY;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant, SystemTime};

use rocket::figment::Figment;
use rocket::local::asynchronous::Client;
use rocket::tokio::task::yield_now;
use rocket::tokio::time::sleep;
use rocket::{Build, Rocket, Route};
use rocket_server_sessions::store::{Memory, Redis, RedisSettings, Store};
use rocket_server_sessions::testing::{ManualClock, Spy};
use rocket_server_sessions::{Clock, Config, Event, Session, SessionFairing};
use test_support::{Cluster, RedisServer};

use held_store::HeldStore;
use redis_keys::RedisKeys;

/// Another key than [`KEY`].
pub const OTHER_KEY: &str = "/mbHb1DFzVXk/WeFDROyhLLyMVTjFyFcKyF3GWTa1Ho=";

/// The name of the session's cookie.
pub const NAME: &str = "__Host-session";

/// Long, because a test machine may be busy. Tests of deadlines set their own.
pub const DEADLINE: Duration = Duration::from_secs(3);

/// Each world fetches the slot map again, which may take longer on a busy machine.
const CLUSTER_DEADLINE: Duration = Duration::from_secs(3);

/// One Redis for the whole suite; each world has a prefix of its own.
pub static REDIS: LazyLock<RedisServer> = LazyLock::new(RedisServer::start);

/// One cluster for the whole suite.
pub static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(0));

type SpiedStore = Spy<Arc<dyn Store>>;

/// An application and its store, with a clock, and a spy between the two.
pub struct World {
    pub client: Client,
    pub store: Arc<SpiedStore>,
    pub clock: ManualClock,
    pub prefix: String,
    pub keys: RedisKeys,
    pub gate: Arc<Gate>,
    events: Arc<Mutex<Vec<Event>>>,
    figment: Figment,
}

impl World {
    pub async fn memory() -> Self {
        let clock = ManualClock::now();
        let memory = Memory::with_clock(10_000, clock.clone());
        Self::new(Arc::new(memory), clock, String::new(), RedisKeys::none()).await
    }

    /// In memory, with a store that holds some calls at the gate.
    pub async fn holding(held: Held) -> Self {
        let clock = ManualClock::now();
        let gate = Arc::<Gate>::default();
        let store = Memory::with_clock(10_000, clock.clone());
        let store = Arc::new(HeldStore { store, gate: gate.clone(), held });
        Self::with_gate(store, clock, String::new(), RedisKeys::none(), gate).await
    }

    #[cfg(feature = "sqlite")]
    pub async fn sqlite() -> Self {
        let clock = ManualClock::now();
        let store = database::new_store(clock.clone());
        Self::new(Arc::new(store), clock, String::new(), RedisKeys::none()).await
    }

    pub async fn redis() -> Self {
        Self::redis_at(SystemTime::now()).await
    }

    /// On Redis, at the given time.
    pub async fn redis_at(time: SystemTime) -> Self {
        let prefix = new_prefix();
        let store = redis_store(&prefix);
        let keys = RedisKeys::new(prefix.clone(), REDIS.client());
        Self::new(Arc::new(store), ManualClock::at(time), prefix, keys).await
    }

    pub async fn cluster() -> Self {
        let prefix = new_prefix();
        let store = cluster_store(&prefix);
        let keys = RedisKeys::new(prefix.clone(), &*CLUSTER);
        let world = Self::new(Arc::new(store), ManualClock::now(), prefix, keys).await;
        world.reconfigured("session.deadline", CLUSTER_DEADLINE.as_secs()).await
    }

    /// On the suite's Redis, reached through a proxy at `url`.
    pub async fn through(url: &str) -> Self {
        Self::on_url(url, &REDIS, DEADLINE).await
    }

    /// On a Redis server of the test's own.
    pub async fn on(server: &RedisServer) -> Self {
        Self::on_url(&server.url(), server, DEADLINE).await
    }

    /// On a Redis server, reached by a URL, with a deadline for sessions and store.
    pub async fn on_url(url: &str, server: &RedisServer, deadline: Duration) -> Self {
        let prefix = new_prefix();
        let store = open_store(&prefix, url, deadline);
        let keys = RedisKeys::new(prefix.clone(), server.client());
        let world = Self::new(Arc::new(store), ManualClock::now(), prefix, keys).await;
        world.with_deadline(deadline).await
    }

    pub async fn with_deadline(self, deadline: Duration) -> Self {
        self.reconfigured("session.deadline", format!("{}ms", deadline.as_millis())).await
    }

    async fn new(
        store: Arc<dyn Store>,
        clock: ManualClock,
        prefix: String,
        keys: RedisKeys,
    ) -> Self {
        Self::with_gate(store, clock, prefix, keys, Arc::default()).await
    }

    async fn with_gate(
        store: Arc<dyn Store>,
        clock: ManualClock,
        prefix: String,
        keys: RedisKeys,
        gate: Arc<Gate>,
    ) -> Self {
        let store = Arc::new(Spy::new(store));
        let figment = figment().merge(("session.deadline", DEADLINE.as_secs()));
        let events = Arc::default();
        let rocket = build(&store, &clock, &events, &gate, &figment, |it| it);
        let client = Client::untracked(rocket).await.unwrap();
        Self { client, store, clock, prefix, keys, gate, events, figment }
    }

    /// Another instance of the application on the same Redis, whose clock is ahead by `seconds`.
    pub async fn instance_ahead_by(&self, seconds: u64) -> Self {
        let store = Arc::new(redis_store(&self.prefix));
        let clock = ManualClock::at(self.clock.now() + Duration::from_secs(seconds));
        Self::new(store, clock, self.prefix.clone(), self.keys.clone()).await
    }

    /// The same store behind an application with another configuration.
    pub async fn reconfigured<T: serde::Serialize>(self, key: &str, value: T) -> Self {
        let figment = self.figment.merge((key, value));
        Self { figment, ..self }.rebuilt(|it| it).await
    }

    /// The same store behind an application with another fairing.
    pub async fn rebuilt(self, change: impl FnOnce(SessionFairing) -> SessionFairing) -> Self {
        let Self { store, clock, events, gate, figment, .. } = &self;
        let rocket = build(store, clock, events, gate, figment, change);
        let client = Client::untracked(rocket).await.unwrap();
        Self { client, ..self }
    }

    /// Serves the application on its own port, for what a local client cannot do.
    pub async fn serve(&self) -> Server {
        let figment = self.figment.clone().merge(("port", 0));
        let rocket = build(&self.store, &self.clock, &self.events, &self.gate, &figment, |it| it);
        Server::launch(rocket).await
    }

    pub fn visitor(&self) -> Visitor<'_> {
        Visitor { world: self, cookie: None }
    }

    /// Waits until the store has finished background work, such as a touch.
    pub async fn settled(&self) {
        let start = Instant::now();
        // Twice in a row, because work that makes several calls is idle between two of them.
        let mut times_idle = 0;
        while times_idle < 2 {
            assert!(start.elapsed() < Duration::from_secs(5), "the store is still busy");
            if self.store.is_idle() {
                times_idle += 1;
                yield_now().await;
            } else {
                times_idle = 0;
                sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Lets time pass, for the application and for its store.
    pub async fn advance(&self, seconds: u64) {
        self.settled().await;
        let by = Duration::from_secs(seconds);
        self.clock.advance(by);
        self.keys.advance(by);
    }

    /// The events since the last call.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

fn build(
    store: &Arc<SpiedStore>,
    clock: &ManualClock,
    events: &Arc<Mutex<Vec<Event>>>,
    gate: &Arc<Gate>,
    figment: &Figment,
    change: impl FnOnce(SessionFairing) -> SessionFairing,
) -> Rocket<Build> {
    let events = events.clone();
    let sessions = Session::fairing()
        .store(store.clone())
        .clock(clock.clone())
        .observer(move |event| events.lock().unwrap().push(event));
    let sessions = change(sessions);
    let routes =
        [routes(), step_routes::routes(), user_routes::routes(), limit_routes::routes()].concat();
    rocket::custom(figment.clone())
        .attach(sessions)
        .manage(gate.clone())
        .manage(step_routes::Verdicts::default())
        .manage(Arc::new(clock.clone()))
        .mount("/", routes)
        .register("/", routes::catchers())
}

/// The routes that need nothing but sessions.
pub fn routes() -> Vec<Route> {
    routes::routes()
}

pub fn figment() -> Figment {
    Figment::from(rocket::Config {
        log_level: rocket::config::LogLevel::Off,
        ..rocket::Config::debug_default()
    })
    .merge(("secret_key", KEY))
    // The cookie is that of the release profile.
    .merge(("session.insecure_http", false))
}

pub fn redis_store(prefix: &str) -> Redis {
    open_store(prefix, &REDIS.url(), DEADLINE)
}

pub fn cluster_store(prefix: &str) -> Redis {
    open_store(prefix, &CLUSTER.url(), CLUSTER_DEADLINE)
}

pub fn open_store(prefix: &str, url: &str, deadline: Duration) -> Redis {
    let mut config = Config::default();
    config.deadline = deadline;
    prefix.clone_into(&mut config.prefix);
    Redis::open(&RedisSettings::from_config(&config, &url.into())).unwrap()
}

/// A prefix of keys that no other test uses.
pub fn new_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}:", NEXT.fetch_add(1, Ordering::Relaxed))
}
