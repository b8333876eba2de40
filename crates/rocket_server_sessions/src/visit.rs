//! One request's view of its session: which it is, and what becomes of the cookie.

use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rocket::Request;
use rocket::tokio;

use super::cookie::{Owner, Persistence, Stage, Ticket, removal};
use super::event::Event;
use super::layer::Sessions;
use super::store::RecordId;

/// The state that all session guards of one request share.
pub(super) struct RequestState {
    state: Mutex<State>,
    /// Held while the visit gets another identity, so that one request makes one session.
    pub(super) turnstile: tokio::sync::Mutex<()>,
}

struct State {
    holding: Option<Holding>,
    cookie: CookieChange,
    persistence: Persistence,
    outage: Option<Duration>,
    waiting: Waiting,
    is_answered: bool,
}

/// How long a request has waited for the store, however many operations wait at a time.
#[derive(Default)]
struct Waiting {
    operations: usize,
    since: Option<Instant>,
    before: Duration,
}

impl Waiting {
    fn so_far(&self) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// An operation that waits. It ends with this value.
pub(super) struct Wait<'v>(&'v RequestState);

impl Wait<'_> {
    /// How long the request has waited in all.
    pub(super) fn so_far(&self) -> Duration {
        self.0.state.lock().waiting.so_far()
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let waiting = &mut self.0.state.lock().waiting;
        waiting.operations -= 1;
        if waiting.operations == 0 {
            (waiting.before, waiting.since) = (waiting.so_far(), None);
        }
    }
}

/// The session that a request belongs to.
#[derive(Clone)]
pub(super) struct Holding {
    pub(super) ticket: Ticket,
    pub(super) record: RecordId,
    pub(super) is_touch_due: bool,
    pub(super) role: Role,
}

/// By which right a request reaches its record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// By the ticket itself.
    Holder,
    /// By a tombstone that names a successor. Only the one who rotated knows the new secret, so
    /// such a request gives no cookie.
    Follower,
}

/// What the response does to the browser's cookie.
#[derive(Clone, Copy)]
enum CookieChange {
    Keep,
    Set,
    Clear,
}

impl RequestState {
    /// Reads the request's cookie. No round trip.
    pub(super) fn resolve(request: &Request<'_>, layer: &Sessions) -> Self {
        let config = &layer.config;
        let now = layer.clock.now();
        let opened = layer.keys.open(&config.cookie_name, request).unwrap_or_else(|rejection| {
            layer.tell(Event::Rejected(rejection));
            None
        });
        let holding = opened.and_then(|it| {
            if let Some(deadline) = it.ticket.expired(config, now) {
                layer.tell(Event::Expired(it.ticket.id, deadline));
                return None;
            }
            Some(Holding {
                record: it.ticket.record(),
                is_touch_due: it.is_key_old || it.ticket.is_touch_due(config, now),
                ticket: it.ticket,
                role: Role::Holder,
            })
        });
        let persistence = match &holding {
            Some(holding) => holding.ticket.persistence,
            None if config.remember_me => Persistence::Persistent,
            None => Persistence::BrowserSession,
        };
        Self {
            state: Mutex::new(State {
                holding,
                cookie: CookieChange::Keep,
                persistence,
                outage: None,
                waiting: Waiting::default(),
                is_answered: false,
            }),
            turnstile: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn holding(&self) -> Option<Holding> {
        self.state.lock().holding.clone()
    }

    pub(super) fn persistence(&self) -> Persistence {
        self.state.lock().persistence
    }

    /// How long the browser is to keep the cookie; the next round trip says so.
    pub(super) fn persist(&self, persistence: Persistence) {
        let mut state = self.state.lock();
        if state.persistence != persistence {
            state.persistence = persistence;
            if let Some(holding) = &mut state.holding {
                holding.ticket.persistence = persistence;
                holding.is_touch_due = true;
            }
        }
    }

    /// Makes the next round trip a touch, whether it is due or not.
    pub(super) fn demand_touch(&self) {
        if let Some(holding) = &mut self.state.lock().holding {
            holding.is_touch_due = true;
        }
    }

    /// The record at `record` is a user's now.
    pub(super) fn bound(&self, record: RecordId) {
        let mut state = self.state.lock();
        if let Some(holding) = state.holding.as_mut().filter(|it| it.record == record) {
            holding.ticket.owner = Owner::User;
            state.cookie = CookieChange::Set;
        }
    }

    /// The store has made, or moved, the record of `ticket`: the browser gets it.
    pub(super) fn issue(&self, ticket: Ticket) {
        let mut state = self.state.lock();
        let record = ticket.record();
        let role = Role::Holder;
        state.holding = Some(Holding { ticket, record, is_touch_due: false, role });
        state.cookie = CookieChange::Set;
    }

    /// The store has set the record's time to live anew: the cookie's clocks go with it.
    pub(super) fn touched(&self, record: RecordId, now: SystemTime) {
        let mut state = self.state.lock();
        let Some(holding) = state.holding.as_mut().filter(|it| it.record == record) else { return };
        holding.is_touch_due = false;
        holding.ticket.touched = now;
        holding.ticket.stage = Stage::Returning;
        state.cookie = CookieChange::Set;
    }

    /// The record has moved to `successor`.
    pub(super) fn follow(&self, record: RecordId, successor: RecordId) {
        let mut state = self.state.lock();
        if let Some(holding) = state.holding.as_mut().filter(|it| it.record == record) {
            holding.record = successor;
            holding.is_touch_due = false;
            holding.role = Role::Follower;
        }
    }

    /// The record is not there any more: the request has no session.
    pub(super) fn forget(&self, record: RecordId) {
        let mut state = self.state.lock();
        if state.holding.as_ref().is_some_and(|it| it.record == record) {
            state.holding = None;
        }
    }

    /// The session was ended: the browser is to drop its cookie.
    pub(super) fn ended(&self) {
        let mut state = self.state.lock();
        state.holding = None;
        state.cookie = CookieChange::Clear;
    }

    /// Another operation begins to wait for the store.
    pub(super) fn wait(&self) -> Wait<'_> {
        let waiting = &mut self.state.lock().waiting;
        waiting.operations += 1;
        waiting.since.get_or_insert_with(Instant::now);
        Wait(self)
    }

    /// Whether the response has gone, and its headers with it.
    pub(super) fn is_answered(&self) -> bool {
        self.state.lock().is_answered
    }

    pub(super) fn outage(&self) -> Option<Duration> {
        self.state.lock().outage
    }

    pub(super) fn suffered(&self, retry_after: Duration) {
        self.state.lock().outage = Some(retry_after);
    }

    /// The `Set-Cookie` value that the response carries, if any. It is asked for once, at the end.
    pub(super) fn set_cookie(&self, layer: &Sessions) -> Option<String> {
        let mut state = self.state.lock();
        state.is_answered = true;
        match (state.cookie, &state.holding) {
            (CookieChange::Clear, _) => Some(removal(&layer.config)),
            (CookieChange::Set, Some(Holding { ticket, role: Role::Holder, .. })) => {
                Some(layer.keys.seal(ticket, &layer.config, layer.clock.now()))
            }
            _ => None,
        }
    }
}
