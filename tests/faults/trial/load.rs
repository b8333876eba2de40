//! Concurrent visitors, and how they were served.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{ScopedJoinHandle, scope, sleep};
use std::time::{Duration, Instant};

use test_support::app::{Reply, Visitor};

use super::tracked_visitor::TrackedVisitor;

/// How long a request may take, whatever happens.
const LONGEST: Duration = Duration::from_secs(1);

/// The maximum median time of refused requests while the breaker is open.
const REFUSAL: Duration = Duration::from_millis(20);

/// By how much a request may take longer on a machine that is busy with other tests, in addition to
/// the longest request that needs no store. Printed figures do not include these allowances.
const SLACK: Duration = Duration::from_millis(250);

/// Paths that need no store, so no fault may affect them.
const STORELESS: [&str; 4] = ["/health/live", "/health/ready", "/static/style.css", "/about"];

/// How a load was served.
#[derive(Default)]
pub struct Tally {
    pub served: usize,
    pub longest: Duration,
    /// The times of requests that got 503, the shortest first.
    pub refusals: Vec<Duration>,
    /// The times of requests that need no store, the shortest first.
    storeless: Vec<Duration>,
}

/// Every visitor of `crowd` views a page again and again, while `stranger` requests paths that need no
/// store.
pub fn run(crowd: &mut [TrackedVisitor], mut stranger: Visitor, lasting: Duration) -> Tally {
    let until = Instant::now() + lasting;
    let is_over = AtomicBool::new(false);
    scope(|threads| {
        let storeless = threads.spawn(|| {
            let mut times = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                for path in STORELESS {
                    let reply = stranger.get(path);
                    assert_eq!(reply.status, 200, "{path}");
                    times.push(reply.took);
                }
                sleep(Duration::from_millis(20));
            }
            times.sort_unstable();
            times
        });
        let crowd: Vec<_> =
            crowd.iter_mut().map(|it| threads.spawn(move || view_until(it, until))).collect();
        let parts: Vec<_> = crowd.into_iter().map(ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        let mut tally = Tally::default();
        for part in parts {
            tally.add(part.expect("every response is one that visitors may get"));
        }
        tally.storeless = storeless.join().expect("what needs no store is served throughout");
        tally.assert_in_time();
        tally
    })
}

fn view_until(visitor: &mut TrackedVisitor, until: Instant) -> Tally {
    let mut tally = Tally::default();
    // At least once, even if a busy machine has started late.
    loop {
        tally.note(&visitor.view());
        if Instant::now() >= until {
            return tally;
        }
        sleep(Duration::from_millis(10));
    }
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.served += other.served;
        self.longest = self.longest.max(other.longest);
        for (all, further) in
            [(&mut self.refusals, other.refusals), (&mut self.storeless, other.storeless)]
        {
            all.extend(further);
            all.sort_unstable();
        }
    }

    fn note(&mut self, reply: &Reply) {
        self.longest = self.longest.max(reply.took);
        match reply.status {
            503 => self.refusals.push(reply.took),
            _ => self.served += 1,
        }
    }

    pub fn median_refusal(&self) -> Duration {
        median(&self.refusals)
    }

    pub fn longest_storeless(&self) -> Duration {
        self.storeless.last().copied().unwrap_or_default()
    }

    fn assert_in_time(&self) {
        let (longest, storeless) = (self.longest, self.longest_storeless());
        assert!(longest <= LONGEST + SLACK + storeless, "a request took {longest:?}");
        assert!(storeless <= LONGEST, "a request that needs no store took {storeless:?}");
    }

    /// Checks that the store was down, and that only the first requests waited for it.
    pub fn assert_outage(&self) {
        assert!(self.refusals.len() > 20, "only {} were refused", self.refusals.len());
        let (refusal, storeless) = (self.median_refusal(), median(&self.storeless));
        assert!(
            refusal <= REFUSAL + 2 * storeless,
            "half of the refusals took {refusal:?} or longer"
        );
    }

    /// Checks that every request was served.
    pub fn assert_all_served(&self) {
        let refused = self.refusals.len();
        assert!(refused == 0 && self.served > 0, "{refused} refused, {} served", self.served);
    }
}

fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
