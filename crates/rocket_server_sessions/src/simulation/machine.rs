//! What all runs share: the application, the simulated Redis, and the clocks.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rocket::http::Header;
use rocket::local::asynchronous::Client;
use rocket::tokio;

use super::browser::Browser;
use super::keyspace::Keyspace;
use super::mutation::Mutation;
use super::operations;
use super::random::Random;
use super::server::Server;
use super::world::World;
use crate::sessions::Sessions;
use crate::store::Redis;
use crate::testing::ManualClock;
use crate::{Clock as _, Config, Session, SessionFairing};

/// Where a session is found: the name of its record's key.
pub(super) type Place = String;

/// The state of everything when a run begins.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) keyspace: Keyspace,
    pub(super) browsers: Vec<Browser>,
    pub(super) now: SystemTime,
    /// Determines the next ids and tokens.
    pub(super) seed: u64,
}

pub(super) struct Machine {
    pub(super) client: Client,
    pub(super) server: Server,
    pub(super) world: World,
    pub(super) mutation: Mutation,
    store: Arc<Redis>,
    clock: ManualClock,
    places: RefCell<HashMap<String, Option<Place>>>,
    /// Hashes of the states in which runs have ended.
    ends: RefCell<HashSet<u64>>,
}

impl Machine {
    pub(super) async fn new(mutation: Mutation) -> Self {
        Self::with(mutation, |it, _| it).await
    }

    /// With another fairing.
    pub(super) async fn with(
        mutation: Mutation,
        change: impl FnOnce(SessionFairing, Arc<Redis>) -> SessionFairing,
    ) -> Self {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        let (world, clock) = (World::default(), ManualClock::at(now));
        let store = Arc::new(Redis::simulated(world.clone(), &Config::default().prefix));
        let figment = rocket::Config::figment()
            .merge(("log_level", "off"))
            .merge(("secret_key", "hPRYyVRiMyxpw5sBB1XeCMN1kFsDCqKvBi2QJxBVHQk="));
        let sessions = Session::fairing().store(store.clone()).clock(clock.clone());
        let rocket = rocket::custom(figment)
            .attach(change(sessions, store.clone()))
            .manage(world.clone())
            .mount("/", rocket::routes![operations::run]);
        let client = Client::untracked(rocket).await.expect("the application starts");
        let (server, places, ends) = (Server::new(), RefCell::default(), RefCell::default());
        Self { client, server, world, mutation, store, clock, places, ends }
    }

    /// The initial state, before any request.
    pub(super) fn empty(&self) -> Snapshot {
        Snapshot { seed: 0, ..self.snapshot(vec![Browser::default(); 3]) }
    }

    pub(super) fn restore(&self, snapshot: &Snapshot) {
        *self.server.keyspace.borrow_mut() = snapshot.keyspace.clone();
        self.clock.set(snapshot.now);
        self.store.forget_orphans();
        Random::decide_ids(snapshot.seed);
    }

    pub(super) fn snapshot(&self, browsers: Vec<Browser>) -> Snapshot {
        let keyspace = self.server.keyspace.borrow().clone();
        Snapshot { keyspace, browsers, now: self.clock.now(), seed: 1 }
    }

    pub(super) async fn advance(&self, time: Duration) {
        let milliseconds = u64::try_from(time.as_millis()).expect("a run is short");
        self.server.keyspace.borrow_mut().advance(milliseconds);
        self.clock.advance(time);
        tokio::time::advance(time).await;
    }

    /// Whether no run has ended in this state yet. What follows a run depends only on this state.
    pub(super) fn is_new(&self, browsers: &[Browser]) -> bool {
        let mut hasher = DefaultHasher::new();
        Hash::hash(&*self.server.keyspace.borrow(), &mut hasher);
        self.clock.now().hash(&mut hasher);
        for browser in browsers {
            browser.cookie.as_deref().and_then(|it| self.place(it)).hash(&mut hasher);
        }
        self.ends.borrow_mut().insert(hasher.finish())
    }

    /// The place that a `Cookie` or `Set-Cookie` value leads to. `None` for a removal.
    pub(super) fn place(&self, cookie: &str) -> Option<Place> {
        let pair = cookie.split(';').next().unwrap_or_default();
        if let Some(known) = self.places.borrow().get(pair) {
            return known.clone();
        }
        let place = self.open(pair);
        self.places.borrow_mut().insert(pair.to_owned(), place.clone());
        place
    }

    fn open(&self, pair: &str) -> Option<Place> {
        let mut request = self.client.get("/");
        request.add_header(Header::new("Cookie", pair.to_owned()));
        let sessions = self.client.rocket().state::<Sessions>().expect("the fairing is attached");
        let sessions = &sessions.shared;
        let config = &sessions.config;
        let opened = sessions.keys.open(&config.cookie_name, request.inner()).ok()??;
        let record = opened.value.record();
        Some(format!("{}{{{}}}:{}", config.prefix, record.id, record.token_hash.encode()))
    }
}
