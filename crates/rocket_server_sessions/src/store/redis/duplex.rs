//! Sends requests and receives replies concurrently on one connection.

use std::future::Future;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rocket::tokio::task::yield_now;
use rocket::tokio::time::{Sleep, sleep};

use super::answers::Answers;
use super::breaker::Severity;
use super::in_flight::InFlight;
use super::outbox::Outbox;
use super::pool::{PING_AFTER_IDLE, Pooled};
use super::queue::Stage;
use super::request::Request;
use super::transport::Transport;
use super::upstream::Upstream;
use crate::store::error::StoreError;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// How long a connection that was idle may take to answer a PING.
const PING_TIMEOUT: Duration = Duration::from_millis(250);

/// Unsolicited replies are detected when nothing is in flight. On a busy connection, a PING is sent
/// this often to check that replies still match.
const PING_WHILE_BUSY: Duration = Duration::from_millis(500);

/// If an answer is overdue by this much, the process was frozen. Redis is then not considered down.
const FREEZE: Duration = Duration::from_secs(1);

pub(super) struct Duplex<'s> {
    upstream: &'s Upstream,
    seat: usize,
    transport: Transport,
    in_flight: InFlight,
    outbox: Outbox,
    /// Reused buffers; empty between polls.
    taken: Vec<Request>,
    answers: Answers,
    timer: Pin<Box<Sleep>>,
    /// The deadline of a PING. Nothing else is sent until it is answered.
    ping_due: Option<Instant>,
    /// When this task last ran.
    turned: Instant,
    /// When replies and requests last certainly matched.
    matched: Instant,
    has_answered: bool,
    /// Whether this task has yielded since it was woken.
    has_yielded: bool,
    /// Set when the connection should be replaced after its last reply. Nothing more is sent.
    is_retiring: bool,
    /// Set if an error of the server has opened the breaker: the pause before the first probe.
    opened: Option<Duration>,
}

/// Why a connection has ended.
pub(super) enum End {
    /// Nothing has failed; another connection may be opened.
    Retired,
    Failed(Severity, String),
}

impl<'s> Duplex<'s> {
    pub(super) fn new(
        upstream: &'s Upstream,
        seat: usize,
        connection: Pooled,
    ) -> std::io::Result<Self> {
        let now = Instant::now();
        let patience = upstream.deadline.mul_f32(0.5);
        let in_flight = InFlight::new(now, patience, connection.round_trip);
        Ok(Self {
            upstream,
            seat,
            transport: Transport::new(connection)?,
            in_flight,
            outbox: Outbox::default(),
            taken: Vec::new(),
            answers: Answers::default(),
            timer: Box::pin(sleep(upstream.deadline)),
            ping_due: None,
            turned: now,
            matched: now,
            has_answered: false,
            has_yielded: false,
            is_retiring: false,
            opened: None,
        })
    }

    /// Runs until the connection ends, or must not be used any more.
    pub(super) async fn run(&mut self) -> End {
        poll_fn(|cx| {
            let turned = self.turn(cx);
            self.turned = Instant::now();
            turned.map_or_else(Poll::Ready, |()| Poll::Pending)
        })
        .await
    }

    /// Closes the connection. Returns the answers that are still to be handed out, and the pause to
    /// make if the breaker was opened.
    pub(super) fn finish(mut self) -> (Answers, Option<Duration>) {
        self.answers.break_off(self.in_flight.give_up());
        (self.answers, self.opened)
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        self.receive(cx)?;
        self.has_yielded = !self.has_yielded && self.upstream.queue.has_requests();
        if self.has_yielded {
            // Yield once, so that concurrent requests share a write. The runtime wakes this task
            // when it has run the others; `wake_by_ref` would wake another thread each time.
            let _ = pin!(yield_now()).poll(cx);
            return Ok(());
        }
        self.take(cx)?;
        self.send(cx)?;
        self.watch(cx)
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while let Poll::Ready(received) = self.transport.poll_receive(cx) {
            let decoded = self.decode();
            if matches!(decoded, Err(End::Failed(..))) {
                // Replies can no longer be matched to requests.
                self.answers.refuse();
            }
            self.deliver()?;
            decoded?;
            if let Err(error) = received {
                let is_closed = error.kind() == ErrorKind::UnexpectedEof;
                return Err(if is_closed && self.is_idle() && self.has_answered {
                    End::Retired
                } else {
                    self.failed(Severity::Connection, &error)
                });
            }
        }
        Ok(())
    }

    /// Assigns the received replies to requests.
    fn decode(&mut self) -> Result<(), End> {
        let now = Instant::now();
        // What is received now may have arrived at any time since then.
        let lag = now - self.turned;
        loop {
            let decoder = &mut self.transport.connection().decoder;
            let Some(reply) =
                decoder.next_reply().map_err(|error| self.failed(Severity::Connection, &error))?
            else {
                break;
            };
            match self.in_flight.accept(reply, now, lag) {
                Ok(answered) => self.answers.extend(answered),
                Err(_) => return Err(self.unsolicited()),
            }
        }
        if !self.in_flight.is_empty() {
            return Ok(());
        }
        self.matched = now;
        let is_empty = self.transport.connection().decoder.is_empty();
        if is_empty { Ok(()) } else { Err(self.unsolicited()) }
    }

    /// Hands out answers. Before that, tells the breaker about a failure, and closes the connection
    /// if nothing else is in flight: a caller that is refused may try again at once.
    fn deliver(&mut self) -> Result<(), End> {
        if self.answers.is_empty() {
            return Ok(());
        }
        self.has_answered = true;
        if let Some((severity, why)) = self.answers.judge(self.upstream) {
            // Another server may be behind the next connection.
            self.retire();
            let why = format!("{}{why}", self.upstream.name);
            self.opened = self.upstream.failed(severity, &why).or(self.opened);
        }
        if self.is_retiring && self.is_idle() {
            return Err(End::Retired);
        }
        self.answers.hand_out();
        Ok(())
    }

    fn take(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        loop {
            let is_idle = self.is_idle();
            if self.is_retiring {
                return if is_idle { Err(End::Retired) } else { Ok(()) };
            }
            if self.ping_due.is_some() && !is_idle {
                return Ok(());
            }
            self.ping_due = None;
            let queue = &self.upstream.queue;
            if !queue.take(self.seat, self.in_flight.room(), cx.waker(), &mut self.taken) {
                return Err(End::Retired);
            }
            if self.taken.is_empty() {
                return Ok(());
            }
            if self.is_fit(is_idle)? {
                self.begin();
            } else {
                queue.put_back(&mut self.taken);
            }
        }
    }

    /// Whether the connection may be used for the requests that were taken.
    fn is_fit(&mut self, is_idle: bool) -> Result<bool, End> {
        let has_answered = self.has_answered;
        let connection = self.transport.connection();
        if is_idle && connection.is_disturbed() {
            self.upstream.queue.put_back(&mut self.taken);
            return Err(if has_answered {
                End::Retired
            } else {
                self.failed(Severity::Connection, &"it closes connections immediately")
            });
        }
        let generation = connection.generation;
        if !self.upstream.is_current(generation) {
            self.retire();
            return Ok(false);
        }
        if is_idle && connection.idle() > PING_AFTER_IDLE {
            self.ping();
            self.ping_due = Some(Instant::now() + PING_TIMEOUT);
            return Ok(false);
        }
        Ok(true)
    }

    /// Starts the requests that can be answered in time, and refuses the others.
    fn begin(&mut self) {
        let now = Instant::now();
        let (mut requests, mut commands) = (0, 0);
        for request in self.taken.drain(..) {
            if !self.in_flight.can_answer(&request, now) {
                request.answer(Err(StoreError::refused("Redis is too slow to answer in time")));
            } else if request.begin() {
                requests += 1;
                commands += request.commands;
                self.outbox.push(&request.packed);
                self.in_flight.push(request, now);
            }
        }
        self.upstream.metrics.sent(requests, commands);
        if now.duration_since(self.matched) > PING_WHILE_BUSY {
            self.ping();
        }
    }

    fn ping(&mut self) {
        self.matched = Instant::now();
        self.outbox.push(PING);
        self.in_flight.push_ping(self.matched);
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let sent = self.outbox.send(&mut self.transport, cx);
        sent.map_err(|error| self.failed(Severity::Connection, &error))
    }

    /// Ends the connection if nothing is answered for slightly less than a request's deadline, so
    /// that the breaker is open before callers give up.
    fn watch(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while let Some(since) = self.in_flight.waiting_since() {
            let due = self.ping_due.unwrap_or(since + self.upstream.deadline.mul_f32(0.95));
            let now = Instant::now();
            if now >= due {
                return Err(self.stalled(now - due));
            }
            if self.timer.is_elapsed() || self.timer.deadline() > due.into() {
                self.timer.as_mut().reset(due.into());
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                break;
            }
        }
        Ok(())
    }

    fn stalled(&mut self, overdue: Duration) -> End {
        if self.ping_due.is_some() {
            return End::Retired;
        }
        let is_skipping = self.transport.connection().decoder.is_skipping();
        let severity =
            if overdue > FREEZE || is_skipping { Severity::Connection } else { Severity::Down };
        self.failed(severity, &"it accepts commands but does not reply in time")
    }

    fn retire(&mut self) {
        self.is_retiring = true;
        self.upstream.queue.set(self.seat, Stage::Resting);
    }

    fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.outbox.is_empty()
    }

    fn unsolicited(&self) -> End {
        self.failed(Severity::Connection, &"it sends unsolicited replies")
    }

    fn failed(&self, severity: Severity, why: &dyn std::fmt::Display) -> End {
        End::Failed(severity, format!("{}{why}", self.upstream.name))
    }
}
