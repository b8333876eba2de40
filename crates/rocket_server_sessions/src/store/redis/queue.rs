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
    inner: Mutex<Inner>,
    /// How many requests may wait.
    capacity: usize,
    /// While every connection is full, how long the first of them may have waited.
    patience: Duration,
    metrics: Metrics,
}

struct Inner {
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
        let inner = Inner { requests: VecDeque::new(), seats, is_closed: false };
        Self { inner: Mutex::new(inner), capacity, patience, metrics }
    }

    /// Adds a request. Returns the seats that need a driver, which are taken from now on.
    ///
    /// # Errors
    ///
    /// So many wait that this one would not be answered in time.
    pub(super) fn push(&self, request: Request) -> Result<Vec<usize>, StoreError> {
        let mut inner = self.inner.lock();
        let is_late = |first: &Request| request.queued_at > first.queued_at + self.patience;
        // A driver with room takes what waits as soon as it runs.
        let is_full = !inner.is_any(&[Stage::Open]) && inner.is_any(&[Stage::Full]);
        if inner.requests.len() >= self.capacity
            || (is_full && inner.requests.front().is_some_and(is_late))
        {
            return Err(StoreError::refused("too many requests wait for Redis"));
        }
        self.metrics.queue_depth.increment(1);
        inner.requests.push_back(request);
        let vacant = inner.fill();
        inner.wake_one();
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
        let mut inner = self.inner.lock();
        let mut bytes = 0;
        let fitting = inner.requests.iter().take(room.requests).take_while(|request| {
            bytes += request.packed.len();
            bytes <= room.bytes
        });
        let fitting = fitting.count();
        taken.extend(inner.requests.drain(..fitting));
        let stage = if inner.requests.is_empty() { Stage::Open } else { Stage::Full };
        let seat = &mut inner.seats[seat];
        seat.stage = stage;
        if !seat.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            seat.waker = Some(waker.clone());
        }
        if stage == Stage::Full {
            // Another driver may have room.
            inner.wake_one();
        }
        let is_closed = inner.is_closed;
        drop(inner);
        self.metrics.taken(fitting);
        !is_closed
    }

    /// Puts back what was taken and not sent.
    pub(super) fn put_back(&self, taken: &mut Vec<Request>) {
        self.metrics.queue_depth.increment(number(taken.len()));
        let mut inner = self.inner.lock();
        taken.drain(..).rev().for_each(|request| inner.requests.push_front(request));
    }

    /// Waits until requests wait that no other driver takes. Returns `false` if none will ever come.
    pub(super) async fn wait(&self, seat: usize) -> bool {
        self.set(seat, Stage::Unconnected);
        poll_fn(|cx| {
            let mut inner = self.inner.lock();
            if inner.is_closed {
                return Poll::Ready(false);
            }
            if !inner.requests.is_empty() && !inner.is_any(&[Stage::Open, Stage::Connecting]) {
                return Poll::Ready(true);
            }
            inner.seats[seat].waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Says what a driver is about to do. Whatever waits is left to the others.
    pub(super) fn set(&self, seat: usize, stage: Stage) {
        let mut inner = self.inner.lock();
        inner.seats[seat] = Seat { stage, waker: None };
        inner.wake_one();
    }

    /// A driver has ended. What it leaves behind is refused if there is no other.
    pub(super) fn leave(&self, seat: usize) {
        self.set(seat, Stage::Vacant);
        let inner = self.inner.lock();
        if inner.seats.iter().all(|seat| seat.stage == Stage::Vacant) {
            self.clear(inner);
        }
    }

    /// Whether any driver is connected.
    pub(super) fn is_served(&self) -> bool {
        self.inner.lock().is_any(&[Stage::Open, Stage::Full])
    }

    /// Refuses everything that waits.
    pub(super) fn refuse_all(&self, why: &StoreError) {
        for request in self.clear(self.inner.lock()) {
            request.answer(Err(why.clone()));
        }
    }

    fn clear(&self, mut inner: MutexGuard<'_, Inner>) -> VecDeque<Request> {
        let requests = std::mem::take(&mut inner.requests);
        drop(inner);
        self.metrics.taken(requests.len());
        requests
    }

    /// Nobody will ask any more: the drivers end.
    pub(super) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.is_closed = true;
        inner.seats.iter().filter_map(|seat| seat.waker.as_ref()).for_each(Waker::wake_by_ref);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inner.lock().is_closed
    }
}

/// How much a driver can take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) requests: usize,
    pub(super) bytes: usize,
}

impl Inner {
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
