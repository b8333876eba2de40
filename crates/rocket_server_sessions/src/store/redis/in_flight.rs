//! The requests that were sent on one connection and not answered yet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use redis::Value;

use super::answers::Answered;
use super::decoder::Unreadable;
use super::limit::{Limit, Room};
use super::request::Request;
use crate::store::error::StoreError;

/// The maximum number of bytes in flight, unless a single request is larger.
const MAX_BYTES: usize = 4 << 20;

/// The requests in flight on a connection, in the order in which they are answered.
pub(super) struct InFlight {
    sent: VecDeque<Sent>,
    bytes: usize,
    /// When a request was last answered, or the first one was sent.
    progress: Instant,
    /// A moving average of the time that answers took.
    round_trip: Duration,
    limit: Limit,
}

struct Sent {
    /// `None` for a PING.
    request: Option<Request>,
    at: Instant,
    /// How many requests were in flight before it.
    ahead: usize,
    missing: usize,
    values: Vec<Value>,
    /// Set if one of its replies cannot be parsed.
    error: Option<StoreError>,
}

/// A reply that does not belong to any request.
#[derive(Debug)]
pub(super) struct Unsolicited;

impl InFlight {
    /// `patience` is the time after which an answer counts as slow. `round_trip` is how long the
    /// server took to answer when the connection was opened. If that was longer than `patience`,
    /// the process may have been frozen meanwhile.
    pub(super) fn new(now: Instant, patience: Duration, round_trip: Duration) -> Self {
        Self {
            sent: VecDeque::new(),
            bytes: 0,
            progress: now,
            round_trip: round_trip.min(patience),
            limit: Limit::new(patience),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Since when there was no answer, if requests are in flight.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.progress)
    }

    pub(super) fn room(&self) -> Room {
        let bytes = if self.is_empty() { usize::MAX } else { MAX_BYTES.saturating_sub(self.bytes) };
        Room { requests: self.limit.allowed().saturating_sub(self.sent.len()), bytes }
    }

    /// Estimates whether a request can be answered in time. With nothing in flight, a request with
    /// more than half of its time left is sent in any case, so that an estimate that is too high
    /// gets corrected.
    pub(super) fn can_answer(&self, request: &Request, now: Instant) -> bool {
        let left = request.deadline.saturating_duration_since(now);
        let is_fresh = left * 2 > request.deadline.saturating_duration_since(request.queued_at);
        if self.is_empty() {
            return is_fresh || left > self.round_trip;
        }
        // Add a quarter, because more requests may be in flight now.
        left > self.round_trip * 5 / 4
    }

    pub(super) fn push(&mut self, request: Request, now: Instant) {
        self.bytes += request.packed.len();
        self.push_sent(Some(request), now);
    }

    pub(super) fn push_ping(&mut self, now: Instant) {
        self.push_sent(None, now);
    }

    fn push_sent(&mut self, request: Option<Request>, now: Instant) {
        if self.is_empty() {
            self.progress = now;
        }
        let missing = request.as_ref().map_or(1, |request| request.replies);
        let values = Vec::with_capacity(missing);
        let ahead = self.sent.len();
        self.sent.push_back(Sent { request, at: now, ahead, missing, values, error: None });
    }

    /// Assigns the next reply, which arrived within the last `lag`. Returns the request that it
    /// completes.
    pub(super) fn accept(
        &mut self,
        reply: Result<Value, Unreadable>,
        now: Instant,
        lag: Duration,
    ) -> Result<Option<Answered>, Unsolicited> {
        let first = self.sent.front_mut().ok_or(Unsolicited)?;
        match reply {
            Ok(value) => first.values.push(value),
            Err(Unreadable::TooLarge) => {
                first.error = Some(StoreError::outcome_unknown("a reply of Redis is too large"));
            }
            Err(Unreadable::Malformed) => {
                first.error = Some(StoreError::outcome_unknown("a reply of Redis cannot be read"));
            }
        }
        first.missing -= 1;
        if first.missing > 0 {
            return Ok(None);
        }
        let Some(Sent { request, at, ahead, values, error, .. }) = self.sent.pop_front() else {
            return Ok(None);
        };
        self.progress = now;
        let Some(request) = request else {
            let is_pong = matches!(&values[..], [Value::SimpleString(text)] if text == "PONG");
            return if is_pong { Ok(None) } else { Err(Unsolicited) };
        };
        self.bytes -= request.packed.len();
        let took = now.saturating_duration_since(at);
        // Lower the estimate quickly, because a high one refuses requests that could be answered.
        let weight = if took < self.round_trip { 2 } else { 8 };
        self.round_trip = (self.round_trip * (weight - 1) + took) / weight;
        // Ignore the delay that this process has added.
        self.limit.answered(ahead, took.saturating_sub(lag));
        Ok(Some(Answered { request, answer: error.map_or(Ok(values), Err) }))
    }

    /// Returns all requests in flight, which will not be answered.
    pub(super) fn give_up(&mut self) -> impl Iterator<Item = Request> {
        std::mem::take(&mut self.sent).into_iter().filter_map(|sent| sent.request)
    }
}

#[cfg(test)]
mod tests {
    use super::super::limit::FIRST_LIMIT;
    use super::super::pipeline::Pipeline;
    use super::super::request::{Answer, Reply};
    use super::*;

    const MILLIS: Duration = Duration::from_millis(1);

    fn request(now: Instant, patience: Duration) -> (Request, Reply) {
        let mut pipeline = Pipeline::default();
        pipeline.command("HGET", "a", "x");
        pipeline.command("HGET", "b", "x");
        Request::new(pipeline, now, now + patience)
    }

    fn replies(in_flight: &mut InFlight, replies: &[i64], now: Instant) -> Vec<Answer> {
        let accepted = replies
            .iter()
            .map(|it| in_flight.accept(Ok(Value::Int(*it)), now, Duration::ZERO).unwrap());
        accepted.flatten().map(|answered| answered.answer).collect()
    }

    #[test]
    fn replies_are_assigned_in_order_and_unwanted_ones_are_skipped() {
        let now = Instant::now();
        let mut in_flight = InFlight::new(now, 500 * MILLIS, Duration::ZERO);
        let (first, gone) = request(now, 1000 * MILLIS);
        let (second, _reply) = request(now, 1000 * MILLIS);
        in_flight.push(first, now);
        in_flight.push(second, now);
        drop(gone);
        let answers = replies(&mut in_flight, &[1, 2, 3, 4], now);
        assert_eq!(answers[1].as_ref().unwrap(), &[Value::Int(3), Value::Int(4)]);
        assert!(in_flight.is_empty());
        assert!(
            in_flight.accept(Ok(Value::Int(5)), now, Duration::ZERO).is_err(),
            "no request waits for this reply"
        );
    }

    #[test]
    fn reply_that_cannot_be_read_fails_its_own_request_alone() {
        let now = Instant::now();
        let mut in_flight = InFlight::new(now, 500 * MILLIS, Duration::ZERO);
        for _ in 0..2 {
            in_flight.push(request(now, 1000 * MILLIS).0, now);
        }
        assert!(
            in_flight.accept(Err(Unreadable::TooLarge), now, Duration::ZERO).unwrap().is_none()
        );
        let answers = replies(&mut in_flight, &[2, 3, 4], now);
        assert!(answers[0].is_err() && answers[1].is_ok());
    }

    #[test]
    fn any_reply_to_a_ping_but_pong_breaks_the_connection() {
        let now = Instant::now();
        let mut in_flight = InFlight::new(now, 500 * MILLIS, Duration::ZERO);
        in_flight.push_ping(now);
        assert!(
            in_flight
                .accept(Ok(Value::SimpleString("PONG".to_owned())), now, Duration::ZERO)
                .is_ok()
        );
        in_flight.push_ping(now);
        assert!(in_flight.accept(Ok(Value::Int(1)), now, Duration::ZERO).is_err());
    }

    #[test]
    fn request_is_refused_if_less_time_is_left_than_answers_take_unless_it_is_fresh_and_alone() {
        let start = Instant::now();
        let mut in_flight = InFlight::new(start, 500 * MILLIS, Duration::ZERO);
        for _ in 0..40 {
            in_flight.push(request(start, 1000 * MILLIS).0, start);
            replies(&mut in_flight, &[1, 2], start + 100 * MILLIS);
        }
        let (late, _reply) = request(start, 50 * MILLIS);
        assert!(in_flight.can_answer(&late, start));
        in_flight.push(request(start, 1000 * MILLIS).0, start);
        assert!(!in_flight.can_answer(&late, start));
        assert!(in_flight.can_answer(&request(start, 150 * MILLIS).0, start));
    }

    #[test]
    fn new_connection_knows_its_round_trip_from_being_opened() {
        let now = Instant::now();
        let in_flight = InFlight::new(now, 500 * MILLIS, 100 * MILLIS);
        let (request, _reply) = request(now, 1000 * MILLIS);
        assert!(in_flight.can_answer(&request, now + 899 * MILLIS));
        assert!(!in_flight.can_answer(&request, now + 901 * MILLIS));
    }

    #[test]
    fn freeze_while_connecting_is_not_mistaken_for_the_round_trip() {
        let now = Instant::now();
        let mut in_flight = InFlight::new(now, 400 * MILLIS, 5000 * MILLIS);
        in_flight.push(request(now, 900 * MILLIS).0, now);
        assert!(in_flight.can_answer(&request(now, 900 * MILLIS).0, now));
    }

    /// Simulates a server that answers `each_milli` requests per millisecond, in order, while
    /// requests fill all the room. Returns the answers per second and the longest time that one
    /// took, after warming up.
    fn simulate(each_milli: usize, round_trip: usize) -> (usize, usize) {
        let start = Instant::now();
        let mut in_flight = InFlight::new(start, 360 * MILLIS, Duration::ZERO);
        let at = |milli: usize| start + MILLIS * u32::try_from(milli).unwrap();
        let mut sent = VecDeque::new();
        let (mut answered, mut longest) = (0, 0);
        for milli in 0..8_000 {
            for _ in 0..in_flight.room().requests {
                in_flight.push(request(at(milli), 900 * MILLIS).0, at(milli));
                sent.push_back(milli);
            }
            for _ in 0..each_milli {
                let Some(due) = sent.front().filter(|sent| *sent + round_trip <= milli) else {
                    break;
                };
                if milli >= 6_000 {
                    answered += 1;
                    longest = longest.max(milli - due);
                }
                sent.pop_front();
                replies(&mut in_flight, &[1, 2], at(milli));
            }
        }
        (answered / 2, longest)
    }

    #[test]
    fn slow_server_is_kept_busy_and_nothing_takes_longer_than_the_deadline() {
        for (each_milli, round_trip) in [(1, 0), (1, 80), (4, 10), (10, 110)] {
            let (answered, longest) = simulate(each_milli, round_trip);
            assert!(answered >= each_milli * 950, "{each_milli} {round_trip}: {answered}");
            assert!(longest < 700, "{each_milli} {round_trip}: {longest} ms");
        }
    }

    #[test]
    fn process_that_is_too_busy_to_read_does_not_consider_redis_slow() {
        let start = Instant::now();
        let mut in_flight = InFlight::new(start, 360 * MILLIS, Duration::ZERO);
        for _ in 0..100 {
            in_flight.push(request(start, 900 * MILLIS).0, start);
        }
        let (late, lag) = (start + 800 * MILLIS, 790 * MILLIS);
        for _ in 0..200 {
            in_flight.accept(Ok(Value::Int(1)), late, lag).unwrap();
        }
        assert_eq!(in_flight.limit.allowed(), FIRST_LIMIT);
    }

    #[test]
    fn answers_that_come_in_bursts_raise_the_limit_too() {
        let start = Instant::now();
        let mut in_flight = InFlight::new(start, 360 * MILLIS, Duration::ZERO);
        for burst in 1..=3 {
            let now = start + 80 * MILLIS * burst;
            let room = in_flight.room().requests;
            assert_eq!(room, in_flight.limit.allowed());
            for _ in 0..room {
                in_flight.push(request(now, 900 * MILLIS).0, now);
            }
            for _ in 0..room {
                replies(&mut in_flight, &[1, 2], now + 80 * MILLIS);
            }
        }
        assert!(in_flight.limit.allowed() > FIRST_LIMIT * 5 / 4, "{}", in_flight.limit.allowed());
    }

    #[test]
    fn long_round_trip_does_not_bound_throughput() {
        for (each_milli, round_trip) in [(40, 50), (1, 500)] {
            let (answered, _) = simulate(each_milli, round_trip);
            assert!(answered >= each_milli * 950, "{each_milli} {round_trip}: {answered}");
        }
    }
}
