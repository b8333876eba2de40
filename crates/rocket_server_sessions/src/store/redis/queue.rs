//! Requests that wait for a connection, and the drivers that take them.

use std::collections::VecDeque;
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rocket::futures::future::poll_fn;

use super::limit::Room;
use super::metrics::{Metrics, number};
use super::request::Request;
use crate::store::error::StoreError;

/// The waiting requests of one server, and the state of each driver.
pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// The maximum number of waiting requests.
    capacity: usize,
    /// How long the first request may have waited while all connections are full.
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
    /// Wakes the driver when there is something to do.
    waker: Option<Waker>,
}

/// The state of a driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is no driver, or its runtime has ended.
    #[default]
    Vacant,
    /// It connects as soon as there are requests that no other driver takes.
    Unconnected,
    Connecting,
    /// It takes requests.
    Open,
    /// It takes requests again when some have been answered.
    Full,
    /// It takes no requests, and must not be woken.
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

    /// Adds a request. Returns the seats for which the caller must start drivers.
    ///
    /// # Errors
    ///
    /// If the queue is full, or all connections are full and the first request has waited too long.
    pub(super) fn push(&self, request: Request) -> Result<Vec<usize>, StoreError> {
        let mut inner = self.inner.lock();
        let is_late = |first: &Request| request.queued_at > first.queued_at + self.patience;
        // A driver with room takes the waiting requests as soon as it runs.
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

    /// Whether any requests are waiting.
    pub(super) fn has_requests(&self) -> bool {
        !self.inner.lock().requests.is_empty()
    }

    /// Moves requests to `taken`, the oldest first, as many as there is room for. If none are left,
    /// the driver is woken when there are more. Returns `false` if the queue is closed.
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

    /// Puts requests back that were taken and not sent.
    pub(super) fn put_back(&self, taken: &mut Vec<Request>) {
        self.metrics.queue_depth.increment(number(taken.len()));
        let mut inner = self.inner.lock();
        taken.drain(..).rev().for_each(|request| inner.requests.push_front(request));
    }

    /// Waits until there are requests that no other driver takes. Returns `false` if the queue is
    /// closed.
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

    /// Sets the state of a driver, and wakes another one if requests are waiting.
    pub(super) fn set(&self, seat: usize, stage: Stage) {
        let mut inner = self.inner.lock();
        inner.seats[seat] = Seat { stage, waker: None };
        inner.wake_one();
    }

    /// Removes a driver. If it was the last one, all waiting requests are refused.
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

    /// Refuses all waiting requests.
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

    /// Closes the queue and stops the drivers.
    pub(super) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.is_closed = true;
        inner.seats.iter().filter_map(|seat| seat.waker.as_ref()).for_each(Waker::wake_by_ref);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inner.lock().is_closed
    }
}

impl Inner {
    fn is_any(&self, stages: &[Stage]) -> bool {
        self.seats.iter().any(|seat| stages.contains(&seat.stage))
    }

    /// Marks the vacant seats as taken, and returns them.
    fn fill(&mut self) -> Vec<usize> {
        let vacant = self.seats.iter_mut().enumerate().filter(|(_, it)| it.stage == Stage::Vacant);
        let filled = vacant.map(|(number, seat)| {
            seat.stage = Stage::Unconnected;
            number
        });
        filled.collect()
    }

    /// Wakes the first driver that can take requests. It takes as many as it has room for. Another
    /// driver connects only if all connected ones are full.
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
