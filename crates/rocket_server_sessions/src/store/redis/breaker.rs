//! The circuit breaker: while Redis does not answer, no request waits for it.

use std::time::{Duration, Instant};

use metrics::Gauge;
use parking_lot::Mutex;

use super::jitter::jittered;
use super::metrics::open_breakers;
use crate::store::error::StoreError;

/// How many consecutive connection failures open the breaker. Single failures are normal, for
/// example when a proxy restarts.
const TOLERANCE: u32 = 3;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A used-up quota is not refilled within seconds, and every command is billed.
const QUOTA_PAUSE: Duration = Duration::from_secs(30);

/// If a probe is overdue by this much, the process was frozen, and the breaker's state is outdated.
const STALE: Duration = Duration::from_secs(2);

/// Failures that do not open the breaker are logged at most this often.
const WARNING_PAUSE: Duration = Duration::from_mins(1);

/// How bad a failure is for the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Only this connection failed.
    Connection,
    /// The server does not answer.
    Down,
    /// The account's quota is used up.
    Quota,
}

pub(super) struct Breaker {
    /// The gauge of open breakers.
    open: Gauge,
    state: Mutex<State>,
    warned: Mutex<Option<Instant>>,
    /// The prefix of log messages: empty, or `host:port: `.
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
        Self { open: open_breakers(), state, warned: Mutex::default(), server }
    }

    /// Lets a request pass, or refuses it immediately.
    pub(super) fn admit(&self) -> Result<(), StoreError> {
        match *self.state.lock() {
            State::Open(outage) if Instant::now() < outage.probe_due + STALE => {
                let retry_after = outage.pause.max(Duration::from_secs(1));
                Err(StoreError {
                    retry_after,
                    ..StoreError::refused("Redis is known to be unavailable")
                })
            }
            _ => Ok(()),
        }
    }

    /// Records that a request was answered, which closes the breaker.
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

    /// Records a failure. If it opens the breaker, returns the pause before the next probe. The
    /// caller must then [probe](Self::probed) until the breaker lets requests pass.
    pub(super) fn failed(&self, severity: Severity, why: &str) -> Option<Duration> {
        let mut state = self.state.lock();
        let now = Instant::now();
        let outage = match *state {
            State::Open(_) => return None,
            State::Closed { failures }
                if severity == Severity::Connection && failures + 1 < TOLERANCE =>
            {
                *state = State::Closed { failures: failures + 1 };
                drop(state);
                self.warn(why);
                return None;
            }
            State::Closed { .. } => {
                Outage { began: now, attempts: 0, pause: FIRST_PAUSE, probe_due: now }
            }
            State::HalfOpen(outage) => Outage { attempts: outage.attempts + 1, ..outage },
        };
        let is_news = matches!(*state, State::Closed { .. });
        let outage = outage.paused(severity, now);
        self.change(&mut state, State::Open(outage));
        drop(state);
        if is_news {
            log::error!("Redis is unavailable, requests get 503 until it answers: {why}");
        }
        Some(outage.pause)
    }

    /// Logs why a request failed, at most once per [`WARNING_PAUSE`].
    pub(super) fn warn(&self, why: &str) {
        let now = Instant::now();
        let mut warned = self.warned.lock();
        if warned.is_none_or(|at| now.duration_since(at) > WARNING_PAUSE) {
            *warned = Some(now);
            log::warn!("a request to Redis failed: {why}");
        }
    }

    /// Records the result of a probe. Returns the pause before the next one, or `None` once
    /// requests may pass.
    pub(super) fn probed(&self, has_answered: bool) -> Option<Duration> {
        let mut state = self.state.lock();
        let State::Open(outage) = *state else { return None };
        if has_answered {
            self.change(&mut state, State::HalfOpen(outage));
            return None;
        }
        let outage = Outage { attempts: outage.attempts + 1, ..outage };
        let outage = outage.paused(Severity::Down, Instant::now());
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
    /// The next pause: twice as long each time, up to a limit.
    fn paused(self, severity: Severity, now: Instant) -> Self {
        let pause = match severity {
            Severity::Quota => QUOTA_PAUSE,
            _ => (FIRST_PAUSE * 2_u32.saturating_pow(self.attempts.min(8))).min(LONGEST_PAUSE),
        };
        let pause = jittered(pause);
        Self { pause, probe_due: now + pause, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLIS: Duration = Duration::from_millis(1);

    fn breaker() -> Breaker {
        Breaker::new(String::new())
    }

    /// Whether `pause` is a jittered `length`.
    fn is_jittered(pause: Duration, length: Duration) -> bool {
        (length / 2..=length).contains(&pause)
    }

    #[test]
    fn silence_opens_it_at_once_and_one_driver_probes() {
        let breaker = breaker();
        assert!(breaker.admit().is_ok());
        let pause = breaker.failed(Severity::Down, "silence").unwrap();
        assert!(is_jittered(pause, 100 * MILLIS), "{pause:?}");
        assert_eq!(breaker.admit().unwrap_err().retry_after, Duration::from_secs(1));
        assert_eq!(breaker.failed(Severity::Down, "silence"), None);
    }

    #[test]
    fn third_broken_connection_in_a_row_opens_it() {
        let breaker = breaker();
        let fail = || breaker.failed(Severity::Connection, "reset");
        assert_eq!((fail(), fail()), (None, None));
        breaker.succeeded();
        assert_eq!((fail(), fail()), (None, None), "not in a row");
        assert!(breaker.admit().is_ok());
        assert!(fail().is_some());
        assert!(breaker.admit().is_err());
    }

    #[test]
    fn pauses_grow_to_a_second_and_are_random() {
        let breaker = breaker();
        breaker.failed(Severity::Down, "silence");
        for length in [200, 400, 800] {
            let pause = breaker.probed(false).unwrap();
            assert!(is_jittered(pause, length * MILLIS), "{length}: {pause:?}");
        }
        let longest: Vec<_> = (0..20).map(|_| breaker.probed(false).unwrap()).collect();
        assert!(longest.iter().all(|pause| is_jittered(*pause, 1000 * MILLIS)), "{longest:?}");
        assert!(longest.iter().any(|pause| *pause != longest[0]), "{longest:?}");
    }

    #[test]
    fn probe_that_is_answered_lets_requests_pass_and_their_answer_closes_it() {
        let breaker = breaker();
        breaker.failed(Severity::Down, "silence");
        assert_eq!(breaker.probed(true), None);
        assert!(breaker.admit().is_ok());
        let pause = breaker.failed(Severity::Connection, "reset").unwrap();
        assert!(is_jittered(pause, 200 * MILLIS), "no tolerance until it is closed: {pause:?}");
        breaker.probed(true);
        breaker.succeeded();
        assert_eq!(breaker.failed(Severity::Connection, "reset"), None);
    }

    #[test]
    fn used_up_quota_is_not_probed_before_the_pause_that_callers_are_told() {
        let breaker = breaker();
        let pause = breaker.failed(Severity::Quota, "used up").unwrap();
        assert!(is_jittered(pause, 30_000 * MILLIS), "{pause:?}");
        assert_eq!(breaker.admit().unwrap_err().retry_after, pause);
        let State::Open(outage) = *breaker.state.lock() else { panic!("the breaker is not open") };
        assert!(outage.probe_due >= outage.began + pause);
    }

    #[test]
    fn breaker_whose_probe_is_long_overdue_lets_requests_pass() {
        let began = Instant::now();
        for (overdue, is_refusing) in [(1000, true), (3000, false)] {
            // As if this much time had passed.
            let probe_due = began.checked_sub(overdue * MILLIS).unwrap();
            let outage = Outage { began, attempts: 0, pause: MILLIS, probe_due };
            let breaker = breaker();
            *breaker.state.lock() = State::Open(outage);
            assert_eq!(breaker.admit().is_err(), is_refusing, "{overdue}");
        }
    }
}
