//! How many requests may be in flight on a connection.

use std::time::Duration;

/// How many requests may be in flight at first.
pub(super) const FIRST_LIMIT: usize = 512;

/// The limit never falls below this.
const LEAST_LIMIT: usize = 32;

/// The limit never rises above this.
const MAX_LIMIT: usize = 8192;

/// The limit grows by one per this many answers, which is a quarter per round trip.
const ANSWERS_TO_GROW: usize = 4;

/// How much more a connection can take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) requests: usize,
    pub(super) bytes: usize,
}

/// How many requests may be in flight, adjusted like TCP's congestion window: more while answers
/// are fast, fewer when they are slow. Excess requests stay in the queue, where they can be refused
/// safely.
pub(super) struct Limit {
    allowed: usize,
    /// Answers since the limit last grew.
    credit: usize,
    /// How long an answer may take.
    patience: Duration,
    /// The shortest round trip so far: a lower bound given by the distance to Redis.
    shortest: Duration,
}

impl Limit {
    pub(super) fn new(patience: Duration) -> Self {
        Self { allowed: FIRST_LIMIT, credit: 0, patience, shortest: Duration::MAX }
    }

    pub(super) fn allowed(&self) -> usize {
        self.allowed
    }

    /// Adjusts the limit to an answer that took `took`, with `ahead` requests in flight before it.
    pub(super) fn answered(&mut self, ahead: usize, took: Duration) {
        self.shortest = self.shortest.min(took);
        let patience = self.patience.max(self.shortest * 3 / 2);
        if took > patience {
            // As many as are answered within `patience` at this rate.
            let bearable = ahead as u128 * patience.as_nanos() / took.as_nanos();
            let bearable = usize::try_from(bearable).unwrap_or(usize::MAX);
            self.allowed = self.allowed.min(bearable).max(LEAST_LIMIT);
        } else if ahead >= self.allowed / 2 {
            // Grow only if at least half of the limit was used.
            self.credit += 1;
            if self.credit == ANSWERS_TO_GROW {
                self.allowed = (self.allowed + 1).min(MAX_LIMIT);
                self.credit = 0;
            }
        }
    }
}
