//! A fault under load, and what must hold before, during and after it.

mod load;
mod tracked_visitor;
mod usage;

pub use load::Tally;
pub use usage::Usage;

use std::any::Any;
use std::ops::RangeInclusive;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use redis::Commands;

use test_support::app::{App, KEY};
use test_support::{RedisView, wait_for};

use tracked_visitor::TrackedVisitor;

/// How long it may take after the end of a fault until every page is served.
const RECOVERY: Duration = Duration::from_secs(3);

/// The number of concurrent visitors.
const CROWD: u64 = 8;

/// An application, with a crowd of visitors whose every view is counted by the test too.
pub struct Trial {
    name: String,
    pub app: App,
    crowd: Vec<TrackedVisitor>,
    baseline: Usage,
    /// How all requests during a fault were served.
    fault: Tally,
    recovery: Option<Duration>,
    /// Values that must not be dropped before the end.
    kept: Vec<Box<dyn Any>>,
}

impl Trial {
    /// Starts the application on the Redis at `url`, which leads to `redis`, with a crowd that has
    /// been served already.
    pub fn start(name: impl Into<String>, redis: &impl RedisView, url: &str) -> Self {
        Self::start_with(name, redis, url, &[])
    }

    pub fn start_with(
        name: impl Into<String>,
        redis: &impl RedisView,
        url: &str,
        env: &[(&str, &str)],
    ) -> Self {
        let mut all = vec![("REDIS_URL", url), ("ROCKET_SECRET_KEY", KEY)];
        all.extend(env);
        let app = App::start(&all);
        let crowd = (1..=CROWD).map(|number| TrackedVisitor::new(&app, redis, number)).collect();
        let mut trial = Self {
            name: name.into(),
            baseline: Usage::default(),
            app,
            crowd,
            fault: Tally::default(),
            recovery: None,
            kept: Vec::new(),
        };
        trial.steady();
        trial.baseline = Usage::of(trial.app.pid());
        trial
    }

    /// Runs the load without a fault for a moment: every request is served.
    pub fn steady(&mut self) {
        self.load(Duration::from_millis(200)).assert_all_served();
    }

    /// Runs the load during a fault: every response is one that visitors may get.
    pub fn with_fault(&mut self, lasting: Duration) -> &Tally {
        let tally = self.load(lasting);
        self.fault.add(tally);
        &self.fault
    }

    /// The same for as long as the work takes, and a moment longer.
    pub fn with_fault_during(&mut self, work: impl FnOnce() + Send) {
        scope(|threads| {
            let work = threads.spawn(work);
            while !work.is_finished() {
                self.with_fault(Duration::from_millis(100));
            }
            work.join().expect("the work is done");
        });
        self.with_fault(Duration::from_millis(200));
    }

    /// Waits until every request is served again although the fault continues, and returns how long it
    /// took.
    pub fn outlast(&mut self, at_most: Duration) -> Duration {
        let start = Instant::now();
        loop {
            let tally = self.load(Duration::from_millis(100));
            let is_over = tally.refusals.is_empty();
            self.fault.add(tally);
            if is_over {
                break;
            }
            assert!(start.elapsed() < at_most, "still refused after {:?}", start.elapsed());
        }
        self.recovery = Some(start.elapsed());
        start.elapsed()
    }

    /// Call this after the end of the fault: every request is served again soon.
    pub fn assert_recovers(&mut self) {
        let start = Instant::now();
        loop {
            let replies: Vec<_> = self.crowd.iter_mut().map(|it| it.view().status).collect();
            if replies.iter().all(|status| *status == 200) {
                break;
            }
            assert!(start.elapsed() < RECOVERY, "not recovered after {:?}", start.elapsed());
            sleep(Duration::from_millis(10));
        }
        self.recovery = Some(start.elapsed());
        self.steady();
    }

    /// Checks that no request was refused during any fault.
    pub fn assert_all_served(&self) {
        self.fault.assert_all_served();
    }

    /// Holds what the application needs for as long as the trial lasts.
    pub fn keep(&mut self, what: impl Any) {
        self.kept.push(Box::new(what));
    }

    /// Visitors who view one page and never return.
    pub fn strangers(&self, number: usize) {
        for _ in 0..number {
            let reply = self.app.visitor().get("/bar");
            assert!([200, 503].contains(&reply.status), "{}", reply.status);
        }
    }

    /// Checks what must hold afterwards, and prints the trial's row.
    ///
    /// `outages` is how often the log may say that Redis is unavailable.
    pub fn end(mut self, redis: &impl RedisView, outages: RangeInclusive<usize>) {
        let mut acknowledged = 0;
        let mut counted_unanswered = 0;
        for visitor in &mut self.crowd {
            let unsure = visitor.unsure();
            assert_eq!(visitor.view().status, 200);
            acknowledged += visitor.acknowledged();
            counted_unanswered += unsure - visitor.unsure();
        }
        assert_keys_have_the_prefix_and_a_ttl(redis);
        self.baseline.assert_regained(self.app.pid());
        self.assert_log(outages);
        self.print_row(acknowledged, counted_unanswered);
    }

    fn load(&mut self, lasting: Duration) -> Tally {
        load::run(&mut self.crowd, self.app.visitor(), lasting)
    }

    fn assert_log(&self, outages: RangeInclusive<usize>) {
        let all = self.app.log();
        let (_, log) = all.split_once("launched").expect("the application logs that it runs");
        let times = |text: &str| log.matches(text).count();
        let (downs, ups) = (times("ERROR Redis is unavailable"), times("WARN Redis answers again"));
        assert!(outages.contains(&downs) && downs == ups, "{downs} down, {ups} up:\n{log}");
        assert!(log.lines().count() < 20 + 2 * downs, "no line for each request:\n{log}");
        assert!(!log.contains("panicked"), "{log}");
        for secret in self.crowd.iter().filter_map(TrackedVisitor::cookie) {
            assert!(!log.contains(secret) && !log.contains(KEY), "{log}");
        }
    }

    fn print_row(&self, acknowledged: u64, counted_unanswered: u64) {
        let millis = |time: Duration| format!("{} ms", time.as_millis().max(1));
        let statuses = match (self.fault.served, self.fault.refusals.len()) {
            (served, 0) => format!("200 × {served}"),
            (0, refused) => format!("503 × {refused}"),
            (served, refused) => format!("200 × {served}, 503 × {refused}"),
        };
        let refusal = match self.fault.refusals.as_slice() {
            [] => "–".to_owned(),
            _ => millis(self.fault.median_refusal()),
        };
        println!(
            "| {} | {statuses} | {} | {refusal} | {} | 0 of {acknowledged} | {counted_unanswered} | {} |",
            self.name,
            millis(self.fault.longest),
            millis(self.fault.longest_storeless()),
            self.recovery.map_or("–".to_owned(), millis),
        );
    }
}

/// Every key belongs to a session, and expires by itself.
pub fn assert_keys_have_the_prefix_and_a_ttl(redis: &impl RedisView) {
    for key in redis.keys("") {
        assert!(key.starts_with("session:{"), "{key}");
        let ttl: i64 = redis.connect_to(&key).ttl(&key).unwrap();
        assert!(ttl > 0 || ttl == -2, "{key} has no time to live");
    }
}

/// What the application has logged, once it has reported that Redis is unavailable.
pub fn log_of_an_outage(app: &App) -> String {
    wait_for("the log", || app.log().contains("ERROR Redis is unavailable"));
    app.log()
}
