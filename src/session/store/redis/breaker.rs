//! The circuit breaker: while Redis does not answer, nobody waits for it.

use std::time::{Duration, Instant};

use metrics::Gauge;
use parking_lot::Mutex;

use super::metrics::open_breakers;
use crate::session::store::Fault;

/// Failures of connections that worked before, in a row, until the breaker opens. One at a time is
/// what a restart of a proxy or a killed connection looks like.
const TOLERANCE: u32 = 3;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A quota is not refilled within seconds, and every further command is billed.
const QUOTA_PAUSE: Duration = Duration::from_secs(30);

/// A probe that is overdue by so much was never made: the process was frozen, and whatever the
/// breaker knew is old.
const STALE: Duration = Duration::from_secs(2);

/// How bad a failure is for the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gravity {
    /// This connection failed; another may do.
    Connection,
    /// Nobody answers.
    Down,
    /// The account's commands are used up.
    Quota,
}

pub(super) struct Breaker {
    /// How many breakers are open: this one adds itself to it.
    open: Gauge,
    state: Mutex<State>,
    /// What tells the server from others in the log: nothing, or its place and a colon.
    server: String,
}

#[derive(Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open(Outage),
    HalfOpen(Outage),
}

#[derive(Clone, Copy)]
struct Outage {
    began: Instant,
    attempts: u32,
    pause: Duration,
    probe_due: Instant,
}

impl Breaker {
    pub(super) fn new(server: String) -> Self {
        let state = Mutex::new(State::Closed { failures: 0 });
        Self { open: open_breakers(), state, server }
    }

    /// Lets a request pass, or refuses it at once.
    pub(super) fn admit(&self) -> Result<(), Fault> {
        match *self.state.lock() {
            State::Open(outage) if Instant::now() < outage.probe_due + STALE => {
                let retry_after = outage.pause.max(Duration::from_secs(1));
                Err(Fault { retry_after, ..Fault::refused("Redis is known to be unavailable") })
            }
            _ => Ok(()),
        }
    }

    /// A request was answered.
    pub(super) fn succeeded(&self) {
        let mut state = self.state.lock();
        match *state {
            State::Closed { failures: 0 } => {}
            State::Closed { .. } => *state = State::Closed { failures: 0 },
            State::Open(outage) | State::HalfOpen(outage) => {
                self.change(&mut state, State::Closed { failures: 0 });
                drop(state);
                let seconds = outage.began.elapsed().as_secs_f32();
                log::warn!("Redis answers again: {}after {seconds:.1} s", self.server);
            }
        }
    }

    /// Something failed. The pause to make before the next probe, where it is the caller that has
    /// opened the breaker: it must [probe](Self::probed) until the breaker lets requests pass.
    pub(super) fn failed(&self, gravity: Gravity, why: &str) -> Option<Duration> {
        let mut state = self.state.lock();
        let now = Instant::now();
        let outage = match *state {
            State::Open(_) => return None,
            State::Closed { failures }
                if gravity == Gravity::Connection && failures + 1 < TOLERANCE =>
            {
                *state = State::Closed { failures: failures + 1 };
                return None;
            }
            State::Closed { .. } => {
                Outage { began: now, attempts: 0, pause: FIRST_PAUSE, probe_due: now }
            }
            State::HalfOpen(outage) => Outage { attempts: outage.attempts + 1, ..outage },
        };
        let is_news = matches!(*state, State::Closed { .. });
        let outage = outage.paused(gravity, now);
        self.change(&mut state, State::Open(outage));
        drop(state);
        if is_news {
            let server = &self.server;
            log::error!("Redis is unavailable, requests get 503 until it answers: {server}{why}");
        }
        Some(outage.pause)
    }

    /// What a probe has found. The pause to make before the next one; `None` once requests pass.
    pub(super) fn probed(&self, has_answered: bool) -> Option<Duration> {
        let mut state = self.state.lock();
        let State::Open(outage) = *state else { return None };
        if has_answered {
            self.change(&mut state, State::HalfOpen(outage));
            return None;
        }
        let outage = Outage { attempts: outage.attempts + 1, ..outage };
        let outage = outage.paused(Gravity::Down, Instant::now());
        *state = State::Open(outage);
        Some(outage.pause)
    }

    fn change(&self, state: &mut State, next: State) {
        match (state.is_open(), next.is_open()) {
            (false, true) => self.open.increment(1),
            (true, false) => self.open.decrement(1),
            _ => {}
        }
        *state = next;
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        if self.state.get_mut().is_open() {
            self.open.decrement(1);
        }
    }
}

impl State {
    fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }
}

impl Outage {
    /// The next pause: twice as long each time, up to a limit, and never the same on two instances.
    fn paused(self, gravity: Gravity, now: Instant) -> Self {
        let pause = match gravity {
            Gravity::Quota => QUOTA_PAUSE,
            _ => (FIRST_PAUSE * 2_u32.saturating_pow(self.attempts.min(8))).min(LONGEST_PAUSE),
        };
        let mut random = [0; 1];
        getrandom::fill(&mut random).expect("the operating system has a random generator");
        let pause = pause.mul_f32(0.5 + f32::from(random[0]) / 512.0);
        Self { pause, probe_due: now + pause, ..self }
    }
}

/// The last failures of connections, so that a request need not wait for a connection that will not
/// come: r2d2 itself tells only that time has run out.
#[derive(Default)]
pub(super) struct Failures {
    last: Mutex<Option<(Instant, String)>>,
    /// When an idle connection was last found dead.
    lost_touch: Mutex<Option<Instant>>,
}

impl Failures {
    pub(super) fn record(&self, why: String) {
        *self.last.lock() = Some((Instant::now(), why));
    }

    /// A connection that was idle for long did not answer.
    pub(super) fn lose_touch(&self) {
        *self.lost_touch.lock() = Some(Instant::now());
    }

    /// Whether one did not, not longer ago than this.
    pub(super) fn has_lost_touch(&self, within: Duration) -> bool {
        self.lost_touch.lock().is_some_and(|at| at.elapsed() < within)
    }

    pub(super) fn since(&self, start: Instant) -> Option<String> {
        self.last.lock().as_ref().filter(|(at, _)| *at >= start).map(|(_, why)| why.clone())
    }
}
