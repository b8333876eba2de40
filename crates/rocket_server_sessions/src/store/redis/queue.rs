//! Requests that wait for a connection, and the drivers that take them.

use std::collections::VecDeque;
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rocket::futures::future::poll_fn;

use super::metrics::{Metrics, number};
use super::request::Request;
use crate::store::StoreError;

/// The requests of one server, and a seat for each driver.
pub(super) struct Queue {
    state: Mutex<State>,
    /// How many requests may wait.
    capacity: usize,
    /// While every connection is full, how long the first of them may have waited.
    patience: Duration,
    metrics: Metrics,
}

struct State {
    requests: VecDeque<Request>,
    seats: Vec<Seat>,
    is_closed: bool,
}

#[derive(Default)]
struct Seat {
    stage: Stage,
    /// Wakes the driver if it has something to do.
    waker: Option<Waker>,
}

/// What a driver is about to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is none, or its runtime has ended.
    #[default]
    Vacant,
    /// It connects as soon as requests wait that no other driver takes.
    Unconnected,
    Connecting,
    /// It takes requests.
    Open,
    /// It takes requests again as soon as some have been answered.
    Full,
    /// It takes none, and must not be woken.
    Resting,
}

impl Queue {
    pub(super) fn new(
        capacity: usize,
        drivers: usize,
        patience: Duration,
        metrics: Metrics,
    ) -> Self {
        let seats = std::iter::repeat_with(Seat::default).take(drivers).collect();
        let state = State { requests: VecDeque::new(), seats, is_closed: false };
        Self { state: Mutex::new(state), capacity, patience, metrics }
    }

    /// Adds a request. Returns the seats that need a driver, which are taken from now on.
    ///
    /// # Errors
    ///
    /// So many wait that this one would not be answered in time.
    pub(super) fn push(&self, request: Request) -> Result<Vec<usize>, StoreError> {
        let mut state = self.state.lock();
        let is_late = |first: &Request| request.queued_at > first.queued_at + self.patience;
        // A driver with room takes what waits as soon as it runs.
        let is_full = !state.is_any(&[Stage::Open]) && state.is_any(&[Stage::Full]);
        if state.requests.len() >= self.capacity
            || (is_full && state.requests.front().is_some_and(is_late))
        {
            return Err(StoreError::refused("too many requests wait for Redis"));
        }
        self.metrics.queue_depth.increment(1);
        state.requests.push_back(request);
        let vacant = state.fill();
        state.wake_one();
        Ok(vacant)
    }

    /// Moves requests to `taken`, the oldest first: as many as there is room for. If none are left,
    /// the driver is woken when others come. Returns `false` if none will ever come.
    pub(super) fn take(
        &self,
        seat: usize,
        room: Room,
        waker: &Waker,
        taken: &mut Vec<Request>,
    ) -> bool {
        let mut state = self.state.lock();
        let mut bytes = 0;
        let fitting = state.requests.iter().take(room.requests).take_while(|request| {
            bytes += request.packed.len();
            bytes <= room.bytes
        });
        let fitting = fitting.count();
        taken.extend(state.requests.drain(..fitting));
        let stage = if state.requests.is_empty() { Stage::Open } else { Stage::Full };
        let seat = &mut state.seats[seat];
        seat.stage = stage;
        if !seat.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            seat.waker = Some(waker.clone());
        }
        if stage == Stage::Full {
            // Another driver may have room.
            state.wake_one();
        }
        let is_closed = state.is_closed;
        drop(state);
        self.metrics.taken(fitting);
        !is_closed
    }

    /// Puts back what was taken and not sent.
    pub(super) fn put_back(&self, taken: &mut Vec<Request>) {
        self.metrics.queue_depth.increment(number(taken.len()));
        let mut state = self.state.lock();
        taken.drain(..).rev().for_each(|request| state.requests.push_front(request));
    }

    /// Waits until requests wait that no other driver takes. Returns `false` if none will ever come.
    pub(super) async fn wait(&self, seat: usize) -> bool {
        self.set(seat, Stage::Unconnected);
        poll_fn(|cx| {
            let mut state = self.state.lock();
            if state.is_closed {
                return Poll::Ready(false);
            }
            if !state.requests.is_empty() && !state.is_any(&[Stage::Open, Stage::Connecting]) {
                return Poll::Ready(true);
            }
            state.seats[seat].waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Says what a driver is about to do. Whatever waits is left to the others.
    pub(super) fn set(&self, seat: usize, stage: Stage) {
        let mut state = self.state.lock();
        state.seats[seat] = Seat { stage, waker: None };
        state.wake_one();
    }

    /// A driver has ended. What it leaves behind is refused if there is no other.
    pub(super) fn leave(&self, seat: usize) {
        self.set(seat, Stage::Vacant);
        let state = self.state.lock();
        if state.seats.iter().all(|seat| seat.stage == Stage::Vacant) {
            self.clear(state);
        }
    }

    /// Whether any driver is connected.
    pub(super) fn is_served(&self) -> bool {
        self.state.lock().is_any(&[Stage::Open, Stage::Full])
    }

    /// Refuses everything that waits.
    pub(super) fn refuse_all(&self, why: &StoreError) {
        for request in self.clear(self.state.lock()) {
            request.answer(Err(why.clone()));
        }
    }

    fn clear(&self, mut state: MutexGuard<'_, State>) -> VecDeque<Request> {
        let requests = std::mem::take(&mut state.requests);
        drop(state);
        self.metrics.taken(requests.len());
        requests
    }

    /// Nobody will ask any more: the drivers end.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.seats.iter().filter_map(|seat| seat.waker.as_ref()).for_each(Waker::wake_by_ref);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }
}

/// How much a driver can take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) requests: usize,
    pub(super) bytes: usize,
}

impl State {
    fn is_any(&self, stages: &[Stage]) -> bool {
        self.seats.iter().any(|seat| stages.contains(&seat.stage))
    }

    /// Takes the seats that have no driver, and returns them.
    fn fill(&mut self) -> Vec<usize> {
        let vacant = self.seats.iter_mut().enumerate().filter(|(_, it)| it.stage == Stage::Vacant);
        let filled = vacant.map(|(number, seat)| {
            seat.stage = Stage::Unconnected;
            number
        });
        filled.collect()
    }

    /// Wakes the first driver that can take a request: it takes all that it has room for. Another one
    /// connects only if each that is connected is full.
    fn wake_one(&self) {
        if self.requests.is_empty() {
            return;
        }
        let first = |stage| self.seats.iter().find(|seat| seat.stage == stage);
        let seat = [Stage::Open, Stage::Connecting, Stage::Unconnected].into_iter().find_map(first);
        if let Some(waker) = seat.and_then(|seat| seat.waker.as_ref()) {
            waker.wake_by_ref();
        }
    }
}
