//! Sessions against a model of them: whatever visitors do in whatever order, with old cookies too,
//! each store answers as the model does.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::{Config as Cases, TestRunner};
use rocket::http::Status;
use rocket::tokio::runtime::Runtime;
use rocket_server_sessions::{Clock, Config};

use crate::world::{NAME, REDIS, World};

#[derive(Clone, Debug)]
enum Step {
    /// A request by a visitor, with the cookie that they got so many cookies ago.
    Visit {
        visitor: usize,
        age: usize,
        what: What,
    },
    Advance(u64),
    Flush,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Count(&'static str),
    View(&'static str),
    Peek(&'static str),
    Set(&'static str),
    Text,
    Take,
    Remove,
    Regenerate,
    End,
}

impl What {
    fn path(self) -> String {
        match self {
            Self::Count(item) => format!("/count/{item}"),
            Self::View(item) => format!("/view/{item}"),
            Self::Peek(item) => format!("/peek/{item}"),
            Self::Set(value) => format!("/set/t/{value}"),
            Self::Text => "/text/t".into(),
            Self::Take => "/take/t".into(),
            Self::Remove => "/remove/t".into(),
            Self::Regenerate => "/regenerate".into(),
            Self::End => "/destroy".into(),
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let item = || prop_oneof!["a", "b"].prop_map(|it| if it == "a" { "a" } else { "b" });
    let what = prop_oneof![
        item().prop_map(What::Count),
        item().prop_map(What::View),
        item().prop_map(What::Peek),
        item().prop_map(What::Set),
        any::<u8>().prop_map(|number| match number % 5 {
            0 => What::Text,
            1 => What::Take,
            2 => What::Remove,
            3 => What::Regenerate,
            _ => What::End,
        }),
    ];
    let age = prop_oneof![3 => 0..1_usize, 1 => 0..4_usize];
    let visit = (0..3_usize, age, what);
    // Both sides of every limit: the overlap, the first timeout, a touch, the idle timeout.
    let seconds = prop_oneof![0..8_u64, 3_590..3_610_u64, 8_630..8_650_u64, 86_390..86_410_u64];
    let step = prop_oneof![
        12 => visit.prop_map(|(visitor, age, what)| Step::Visit { visitor, age, what }),
        2 => seconds.prop_map(Step::Advance),
        1 => (0..8_u8).prop_map(|it| if it == 0 { Step::Flush } else { Step::Advance(1) }),
    ];
    vec(step, 1..40)
}

/// What a cookie says.
#[derive(Clone, Debug)]
struct Ticket {
    session: usize,
    secret: usize,
    touched: SystemTime,
    is_returning: bool,
}

/// What the store has of a session.
#[derive(Debug, Default)]
struct Record {
    is_dead: bool,
    counts: BTreeMap<&'static str, u64>,
    text: Option<&'static str>,
    /// For each secret that was replaced, until when it still leads to the next.
    followed_until: Vec<SystemTime>,
}

#[derive(Default)]
struct Model {
    sessions: Vec<Record>,
    config: Config,
}

/// What a response does to the cookie.
#[derive(Debug)]
enum Cookie {
    Kept,
    Set(Ticket),
    Cleared,
}

impl Model {
    fn is_expired(&self, ticket: &Ticket, now: SystemTime) -> bool {
        let timeout = if ticket.is_returning {
            self.config.idle_timeout
        } else {
            self.config.first_idle_timeout
        };
        now >= ticket.touched + timeout
    }

    fn is_touch_due(&self, ticket: &Ticket, now: SystemTime) -> bool {
        !ticket.is_returning || now >= ticket.touched + self.config.idle_timeout / 10
    }

    /// Whether a cookie leads to its record, if only by way of successors.
    fn leads(&self, ticket: &Ticket, now: SystemTime) -> bool {
        let record = &self.sessions[ticket.session];
        !record.is_dead && record.followed_until[ticket.secret..].iter().all(|until| now < *until)
    }

    fn visit(&mut self, ticket: Option<&Ticket>, what: What, now: SystemTime) -> (String, Cookie) {
        let ticket = ticket.filter(|it| !self.is_expired(it, now));
        if let What::End = what {
            let Some(ticket) = ticket else { return ("ended".into(), Cookie::Kept) };
            // By a secret whose overlap is over, only the cookie is dropped.
            if self.leads(ticket, now) {
                self.sessions[ticket.session].is_dead = true;
            }
            return ("ended".into(), Cookie::Cleared);
        }
        let Some(ticket) = ticket.filter(|it| self.leads(it, now)) else {
            return self.begin(what, now);
        };
        let is_due = self.is_touch_due(ticket, now);
        let record = &mut self.sessions[ticket.session];
        let is_holder = ticket.secret == record.followed_until.len();
        let mut renewed = ticket.clone();
        if is_due {
            (renewed.touched, renewed.is_returning) = (whole_seconds(now), true);
        }
        let mut is_set = is_due && is_holder;
        let body = match what {
            What::Regenerate => {
                if is_holder {
                    record.followed_until.push(now + std::time::Duration::from_secs(5));
                    renewed.secret += 1;
                    is_set = true;
                }
                "regenerated".into()
            }
            _ => record.change(what),
        };
        (body, if is_set { Cookie::Set(renewed) } else { Cookie::Kept })
    }

    /// A request without a session: writes that leave something begin one.
    fn begin(&mut self, what: What, now: SystemTime) -> (String, Cookie) {
        let mut record = Record::default();
        let body = match what {
            What::Regenerate => "regenerated".into(),
            _ => record.change(what),
        };
        if record.counts.is_empty() && record.text.is_none() {
            return (body, Cookie::Kept);
        }
        self.sessions.push(record);
        let session = self.sessions.len() - 1;
        let touched = whole_seconds(now);
        (body, Cookie::Set(Ticket { session, secret: 0, touched, is_returning: false }))
    }
}

impl Record {
    fn change(&mut self, what: What) -> String {
        match what {
            What::Count(item) | What::View(item) => {
                let count = self.counts.entry(item).or_default();
                *count += 1;
                count.to_string()
            }
            What::Peek(item) => self.counts.get(item).copied().unwrap_or_default().to_string(),
            What::Set(value) => {
                self.text = Some(value);
                "set".into()
            }
            What::Text => self.text.unwrap_or("none").into(),
            What::Take => self.text.take().unwrap_or("none").into(),
            What::Remove => {
                self.text = None;
                "removed".into()
            }
            What::Regenerate | What::End => unreachable!("these change no field"),
        }
    }
}

/// The cookie holds whole seconds.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

async fn compare(world: World, steps: &[Step], flush: impl Fn(&World)) {
    let mut model = Model::default();
    let mut held: [Vec<(String, Ticket)>; 3] = Default::default();
    for (number, step) in steps.iter().enumerate() {
        let (visitor, age, what) = match step {
            Step::Visit { visitor, age, what } => (*visitor, *age, *what),
            Step::Advance(seconds) => {
                world.advance(*seconds).await;
                continue;
            }
            Step::Flush => {
                flush(&world);
                model.sessions.iter_mut().for_each(|it| it.is_dead = true);
                continue;
            }
        };
        let held = &mut held[visitor];
        let chosen = held.len().checked_sub(age + 1).map(|at| held[at].clone());
        let now = world.clock.now();
        let (body, cookie) = model.visit(chosen.as_ref().map(|it| &it.1), what, now);
        let header = chosen.map(|(value, _)| format!("{NAME}={value}"));
        let page = world.get(&what.path(), header.as_deref()).await;
        let seen = (page.status, page.body.as_str());
        assert_eq!(seen, (Status::Ok, body.as_str()), "step {number}: {step:?}");
        let sets = page.set_cookies.as_slice();
        match (cookie, sets) {
            (Cookie::Kept, []) => {}
            (Cookie::Cleared, [header]) => {
                assert!(header.contains("Max-Age=0;"), "step {number}: {header}");
            }
            (Cookie::Set(ticket), [header]) => {
                let (_, rest) = header.split_once('=').unwrap();
                let value = rest.split(';').next().unwrap();
                assert!(!value.is_empty(), "step {number}: {header}");
                held.push((value.to_owned(), ticket));
            }
            (expected, found) => panic!("step {number}, {step:?}: {expected:?}, {found:?}"),
        }
    }
}

fn run(cases: u32, one: impl Fn(Vec<Step>)) {
    let config = Cases { cases, failure_persistence: None, ..Cases::default() };
    let result = TestRunner::new(config).run(&steps(), |steps| {
        one(steps);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn sessions_in_redis_do_what_the_model_does() {
    let runtime = Runtime::new().unwrap();
    run(150, |steps| {
        runtime.block_on(async {
            let world = World::redis().await;
            compare(world, &steps, |world| {
                for key in REDIS.keys(&world.prefix) {
                    redis::cmd("DEL").arg(key).exec(&mut REDIS.connect()).unwrap();
                }
            })
            .await;
        });
    });
}

#[test]
fn sessions_in_memory_do_what_the_model_does() {
    let runtime = Runtime::new().unwrap();
    run(300, |mut steps| {
        // Nothing takes a record out of the memory store but its time.
        steps.retain(|step| !matches!(step, Step::Flush));
        runtime.block_on(async { compare(World::memory().await, &steps, |_| {}).await });
    });
}
