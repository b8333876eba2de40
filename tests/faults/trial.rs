//! A fault under load, and what must hold before, during and after it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{ScopedJoinHandle, scope, sleep};
use std::time::{Duration, Instant};

use redis::Commands;

use test_support::app::{App, KEY, Reply, Visitor};
use test_support::cluster::Cluster;
use test_support::{RedisServer, wait_for};

/// How long a request may take, whatever happens.
const ANSWER: Duration = Duration::from_secs(1);

/// What half of the refused requests may take at most while the breaker is open.
const REFUSAL: Duration = Duration::from_millis(20);

/// What a machine that is busy with other tests may add to a single request. So may what a request
/// that asks no store has taken meanwhile. Neither is in a figure that is printed.
const SLACK: Duration = Duration::from_millis(250);

/// How soon after the end of a fault a page must be served.
const HEALING: Duration = Duration::from_secs(3);

/// Visitors who come at the same time.
const CROWD: u64 = 8;

/// What must answer as ever, whatever the store does.
const ASIDE: [&str; 4] = ["/health/live", "/health/ready", "/static/style.css", "/about"];

/// What keeps the records, seen from behind.
pub trait Keeper {
    /// Every key there is.
    fn all_keys(&self) -> Vec<String>;

    /// A connection to where a key is.
    fn connect_to(&self, key: &str) -> redis::Connection;
}

impl Keeper for RedisServer {
    fn all_keys(&self) -> Vec<String> {
        self.keys("")
    }

    fn connect_to(&self, _: &str) -> redis::Connection {
        self.connect()
    }
}

impl Keeper for Cluster {
    fn all_keys(&self) -> Vec<String> {
        self.keys("")
    }

    fn connect_to(&self, key: &str) -> redis::Connection {
        self.connect(key)
    }
}

/// An application under watch, with a crowd of visitors whose every view is counted here too.
pub struct Trial {
    name: String,
    pub app: App,
    crowd: Vec<Regular>,
    baseline: Usage,
    storm: Tally,
    healing: Option<Duration>,
    /// What must stay until the end.
    kept: Vec<Box<dyn std::any::Any>>,
}

/// A visitor with a session.
struct Regular {
    visitor: Visitor,
    /// The count to start from: another one for each, so that nobody's can be mistaken.
    base: u64,
    /// Views that were answered.
    acknowledged: u64,
    /// Views that were answered by 503 and may have been counted or not.
    unsure: u64,
}

/// What a load came to.
#[derive(Default)]
pub struct Tally {
    pub served: usize,
    pub longest: Duration,
    /// What requests took that got 503, from the shortest to the longest.
    pub refusals: Vec<Duration>,
    /// What requests took that ask no store, from the shortest to the longest.
    asides: Vec<Duration>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.served += other.served;
        self.longest = self.longest.max(other.longest);
        for (all, further) in
            [(&mut self.refusals, other.refusals), (&mut self.asides, other.asides)]
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

    fn longest_aside(&self) -> Duration {
        self.asides.last().copied().unwrap_or_default()
    }

    fn assert_in_time(&self) {
        let (longest, aside) = (self.longest, self.longest_aside());
        assert!(longest <= ANSWER + SLACK + aside, "a request took {longest:?}");
        assert!(aside <= ANSWER, "a request that needs no store took {aside:?}");
    }

    /// Nobody was served, and after the first requests nobody waited.
    pub fn assert_outage(&self) {
        assert!(self.refusals.len() > 20, "only {} were refused", self.refusals.len());
        let (refusal, aside) = (median(&self.refusals), median(&self.asides));
        assert!(refusal <= REFUSAL + 2 * aside, "half of the refusals took {refusal:?} and more");
    }

    /// Everybody was served.
    pub fn assert_unnoticed(&self) {
        let refused = self.refusals.len();
        assert!(refused == 0 && self.served > 0, "{refused} refused, {} served", self.served);
    }
}

fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

impl Trial {
    /// Starts the application on the Redis at `url`, which leads to `redis`, with a crowd that is
    /// served already.
    pub fn start(name: impl Into<String>, redis: &impl Keeper, url: &str) -> Self {
        Self::start_with(name, redis, url, &[])
    }

    pub fn start_with(
        name: impl Into<String>,
        redis: &impl Keeper,
        url: &str,
        env: &[(&str, &str)],
    ) -> Self {
        let mut all = vec![("REDIS_URL", url), ("ROCKET_SECRET_KEY", KEY)];
        all.extend(env);
        let app = App::start(&all);
        let crowd = (1..=CROWD).map(|number| Regular::new(&app, redis, number)).collect();
        let mut trial = Self {
            name: name.into(),
            baseline: Usage::default(),
            app,
            crowd,
            storm: Tally::default(),
            healing: None,
            kept: Vec::new(),
        };
        trial.calm();
        trial.baseline = Usage::of(trial.app.pid());
        trial
    }

    /// A moment without a fault: everybody is served.
    pub fn calm(&mut self) {
        self.load(Duration::from_millis(200)).assert_unnoticed();
    }

    /// A time with a fault: every answer is one that visitors may get.
    pub fn storm(&mut self, lasting: Duration) -> &Tally {
        let tally = self.load(lasting);
        self.storm.add(tally);
        &self.storm
    }

    /// How long it takes until everybody is served again, though nobody has ended the fault.
    pub fn outlast(&mut self, patience: Duration) -> Duration {
        let start = Instant::now();
        loop {
            let tally = self.load(Duration::from_millis(100));
            let is_over = tally.refusals.is_empty();
            self.storm.add(tally);
            if is_over {
                break;
            }
            assert!(start.elapsed() < patience, "still refused after {:?}", start.elapsed());
        }
        self.healing = Some(start.elapsed());
        start.elapsed()
    }

    /// A storm for as long as the work takes, and a moment longer.
    pub fn storm_during(&mut self, work: impl FnOnce() + Send) {
        scope(|threads| {
            let work = threads.spawn(work);
            while !work.is_finished() {
                self.storm(Duration::from_millis(100));
            }
            work.join().expect("the work is done");
        });
        self.storm(Duration::from_millis(200));
    }

    /// Nobody was refused in any storm.
    pub fn assert_unnoticed(&self) {
        self.storm.assert_unnoticed();
    }

    /// Holds something that the application needs for as long as the trial lasts.
    pub fn keep(&mut self, what: impl std::any::Any) {
        self.kept.push(Box::new(what));
    }

    fn load(&mut self, lasting: Duration) -> Tally {
        let until = Instant::now() + lasting;
        let is_over = AtomicBool::new(false);
        let mut stranger = self.app.visitor();
        let crowd = &mut self.crowd;
        scope(|threads| {
            let aside = threads.spawn(|| {
                let mut asides = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    for path in ASIDE {
                        let reply = stranger.get(path);
                        assert_eq!(reply.status, 200, "{path}");
                        asides.push(reply.took);
                    }
                    sleep(Duration::from_millis(20));
                }
                asides.sort_unstable();
                asides
            });
            let crowd: Vec<_> = crowd
                .iter_mut()
                .map(|regular| {
                    threads.spawn(move || {
                        let mut tally = Tally::default();
                        // At least once, however late a busy machine has begun.
                        loop {
                            tally.note(&regular.view());
                            if Instant::now() >= until {
                                return tally;
                            }
                            sleep(Duration::from_millis(10));
                        }
                    })
                })
                .collect();
            let parts: Vec<_> = crowd.into_iter().map(ScopedJoinHandle::join).collect();
            is_over.store(true, Ordering::Relaxed);
            let mut tally = Tally::default();
            for part in parts {
                tally.add(part.expect("every visitor got what visitors may get"));
            }
            tally.asides = aside.join().expect("what needs no store goes on");
            tally.assert_in_time();
            tally
        })
    }

    /// The fault has ended: within moments everybody is served again.
    pub fn heal(&mut self) {
        let start = Instant::now();
        loop {
            let replies: Vec<_> = self.crowd.iter_mut().map(|it| it.view().status).collect();
            if replies.iter().all(|status| *status == 200) {
                break;
            }
            assert!(start.elapsed() < HEALING, "not healed after {:?}", start.elapsed());
            sleep(Duration::from_millis(10));
        }
        self.healing = Some(start.elapsed());
        self.calm();
    }

    /// Visitors who come once and never again.
    pub fn strangers(&self, number: usize) {
        for _ in 0..number {
            let reply = self.app.visitor().get("/bar");
            assert!([200, 503].contains(&reply.status), "{}", reply.status);
        }
    }

    /// Checks what must be true afterwards, and prints the trial's row.
    ///
    /// `outages` is how often the log may say that Redis is away.
    pub fn end(mut self, redis: &impl Keeper, outages: std::ops::RangeInclusive<usize>) {
        let mut acknowledged = 0;
        let mut counted_unanswered = 0;
        for regular in &mut self.crowd {
            let (unsure, reply) = (regular.unsure, regular.view());
            assert_eq!(reply.status, 200);
            acknowledged += regular.acknowledged;
            counted_unanswered += unsure - regular.unsure;
        }
        assert_keys_are_ours_and_mortal(redis);
        self.baseline.assert_regained(self.app.pid());
        let all = self.app.log();
        let (_, log) = all.split_once("launched").expect("the application says that it is there");
        let times = |text: &str| log.matches(text).count();
        let (downs, ups) = (times("ERROR Redis is unavailable"), times("WARN Redis answers again"));
        assert!(outages.contains(&downs) && downs == ups, "{downs} down, {ups} up:\n{log}");
        assert!(log.lines().count() < 20 + 2 * downs, "no line for each request:\n{log}");
        assert!(!log.contains("panicked"), "{log}");
        for secret in self.crowd.iter().filter_map(|it| it.visitor.cookie.as_deref()) {
            assert!(!log.contains(secret) && !log.contains(KEY), "{log}");
        }
        let millis = |time: Duration| format!("{} ms", time.as_millis().max(1));
        let statuses = match (self.storm.served, self.storm.refusals.len()) {
            (served, 0) => format!("200 × {served}"),
            (0, refused) => format!("503 × {refused}"),
            (served, refused) => format!("200 × {served}, 503 × {refused}"),
        };
        let refusal = match self.storm.refusals.as_slice() {
            [] => "–".to_owned(),
            _ => millis(median(&self.storm.refusals)),
        };
        println!(
            "| {} | {statuses} | {} | {refusal} | {} | 0 of {acknowledged} | {counted_unanswered} | {} |",
            self.name,
            millis(self.storm.longest),
            millis(self.storm.longest_aside()),
            self.healing.map_or("–".to_owned(), millis),
        );
    }
}

impl Regular {
    fn new(app: &App, redis: &impl Keeper, number: u64) -> Self {
        let before: BTreeSet<_> = redis.all_keys().into_iter().collect();
        let mut visitor = app.visitor();
        visitor.get("/foo");
        // The cookie comes back: from now on there is no reason for another one.
        visitor.get("/foo");
        let key = redis.all_keys().into_iter().find(|key| !before.contains(key)).unwrap();
        let base = number * 1_000_000;
        let _: () = redis.connect_to(&key).hset(&key, "views:/foo", base).unwrap();
        Self { visitor, base, acknowledged: 0, unsure: 0 }
    }

    /// Views a page, and judges the answer.
    fn view(&mut self) -> Reply {
        let cookie = self.visitor.cookie.clone();
        let reply = self.visitor.get("/foo");
        assert_eq!(reply.header("set-cookie"), None, "a good cookie is left alone");
        assert_eq!(self.visitor.cookie, cookie);
        for name in ["content-security-policy", "x-content-type-options", "referrer-policy"] {
            assert!(reply.header(name).is_some(), "{name} is missing: {}", reply.head);
        }
        match reply.status {
            200 => {
                let views = reply.views();
                let least = self.base + self.acknowledged + 1;
                assert!(
                    (least..=least + self.unsure).contains(&views),
                    "{views} is neither {least} nor one of {} more",
                    self.unsure
                );
                self.acknowledged += 1;
                // Some of the views that nobody has acknowledged have been counted.
                self.base += views - least;
                self.unsure -= views - least;
            }
            503 => {
                assert!(reply.header("retry-after").is_some(), "{}", reply.head);
                self.unsure += 1;
            }
            other => panic!("status {other}: {}\n{}", reply.head, reply.body),
        }
        reply
    }
}

/// A connection that is kept for one view after the other.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(BufReader::new(stream))
    }

    /// Views a page: the status, and what it took.
    pub fn view(&mut self, cookie: &str) -> (u16, Duration) {
        let request = format!(
            "GET /foo HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\
             Cookie: {cookie}\r\n\r\n"
        );
        let start = Instant::now();
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut status, mut length, mut line) = (0, 0, String::new());
        while line != "\r\n" {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the connection was closed");
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(rest) = line.to_lowercase().strip_prefix("content-length: ") {
                length = rest.trim().parse().unwrap();
            }
        }
        self.0.read_exact(&mut vec![0; length]).unwrap();
        (status, start.elapsed())
    }
}

/// Every key is a session's, and will vanish by itself.
pub fn assert_keys_are_ours_and_mortal(redis: &impl Keeper) {
    for key in redis.all_keys() {
        assert!(key.starts_with("session:{"), "{key}");
        let ttl: i64 = redis.connect_to(&key).ttl(&key).unwrap();
        assert!(ttl > 0 || ttl == -2, "{key} has no time to live");
    }
}

/// What a process holds, as Linux tells it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub threads: u64,
    pub descriptors: u64,
    pub memory_kb: u64,
}

impl Usage {
    pub fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
            .expect("these tests read /proc, which Linux has: run them there, or in a container");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|it| it.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
        Self { threads: number("Threads:"), descriptors, memory_kb: number("VmRSS:") }
    }

    /// Nothing has piled up since.
    pub fn assert_regained(self, pid: u32) {
        // The threads that read files come and go with their use.
        const SPARE: u64 = 12;
        const SPARE_KB: u64 = 48 << 10;
        wait_for("threads, descriptors and memory to be as before", || {
            let now = Self::of(pid);
            now.threads <= self.threads + SPARE
                && now.descriptors <= self.descriptors + SPARE
                && now.memory_kb <= self.memory_kb + SPARE_KB
        });
    }
}
