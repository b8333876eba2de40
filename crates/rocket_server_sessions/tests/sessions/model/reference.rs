//! The model: what the crate's documentation says, without a store, a cookie or concurrency.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::steps::What;

const IDLE: Duration = Duration::from_hours(24);
const FIRST_IDLE: Duration = Duration::from_hours(1);
const LIFETIME: Duration = Duration::from_hours(36);
const TOMBSTONE: Duration = Duration::from_secs(30);

/// The content of a cookie.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    place: usize,
    created: SystemTime,
    has_user: bool,
}

/// What a response does to the cookie.
#[derive(Debug)]
pub enum Cookie {
    Kept,
    Set(Token),
    Cleared,
}

/// A response. Without a body, it is a conflict.
#[derive(Debug)]
pub struct Expected {
    pub body: Option<String>,
    pub cookie: Cookie,
}

/// What the store holds in the place of a token.
#[derive(Clone)]
enum Place {
    Live(Record),
    Dead {
        is_destroyed: bool,
        until: SystemTime,
    },
    /// Nothing, but for an entry in the index of a user whose session has expired.
    Gone(Option<&'static str>),
}

#[derive(Clone)]
struct Record {
    created: SystemTime,
    expires: SystemTime,
    /// When it was last touched, if ever.
    seen: Option<SystemTime>,
    user: Option<&'static str>,
    fields: Fields,
}

#[derive(Clone, Default)]
struct Fields {
    counts: BTreeMap<&'static str, u64>,
    text: Option<&'static str>,
}

/// All places that have ever existed.
#[derive(Default)]
pub struct Reference {
    places: Vec<Place>,
}

fn answer(body: impl Into<String>, cookie: Cookie) -> Expected {
    Expected { body: Some(body.into()), cookie }
}

fn conflict() -> Expected {
    Expected { body: None, cookie: Cookie::Kept }
}

impl Reference {
    pub fn flush(&mut self) {
        self.places.fill(Place::Gone(None));
    }

    /// Whether anything expires within `margin`, or expired that recently.
    pub fn is_near_an_expiry(&self, now: SystemTime, margin: Duration) -> bool {
        let is_near = |expires: SystemTime| now + margin >= expires && now <= expires + margin;
        self.places.iter().any(|place| match place {
            Place::Live(record) => is_near(record.expires) || is_near(record.created + LIFETIME),
            Place::Dead { until, .. } => is_near(*until),
            Place::Gone(_) => false,
        })
    }

    /// How many seconds each record has left, and each tombstone, the shortest first.
    pub fn times_to_live(&self, now: SystemTime) -> [Vec<u64>; 2] {
        let mut times = [Vec::new(), Vec::new()];
        for place in &self.places {
            let (which, expires) = match place {
                Place::Live(record) => (0, record.expires),
                Place::Dead { until, .. } => (1, *until),
                Place::Gone(_) => continue,
            };
            let left = expires.duration_since(now).unwrap_or_default();
            times[which].push(left.as_secs());
        }
        for times in &mut times {
            times.sort_unstable();
        }
        times
    }

    pub fn visit(&mut self, token: Option<Token>, what: What, now: SystemTime) -> Expected {
        self.expire(now);
        let token = token.filter(|it| now < it.created + LIFETIME);
        match what {
            What::Sessions(user) => self.list(user, now),
            What::DestroyAll(user) => self.destroy_all(token, user, now),
            What::LogIn(user) => self.log_in(token, user, now),
            What::User if !token.is_some_and(|it| it.has_user) => answer("none", Cookie::Kept),
            _ => self.visit_own(token, what, now),
        }
    }

    /// Operations that concern only the visitor's own session.
    fn visit_own(&mut self, token: Option<Token>, what: What, now: SystemTime) -> Expected {
        let place = token.map(|it| self.places[it.place].clone());
        match (what, token, place) {
            (What::Regenerate, Some(token), Some(Place::Live(record))) => {
                self.rotate(token, record, token.has_user, now)
            }
            (What::Destroy, Some(token), Some(Place::Live(_))) => {
                self.places[token.place] = dead(true, now);
                answer("destroyed", Cookie::Cleared)
            }
            (What::Destroy, _, Some(Place::Dead { is_destroyed: true, .. })) => {
                answer("destroyed", Cookie::Kept)
            }
            (What::Destroy, _, Some(Place::Gone(_))) => answer("destroyed", Cookie::Cleared),
            (What::Destroy, None, _) => answer("destroyed", Cookie::Kept),
            (What::Regenerate, _, None | Some(Place::Gone(_))) => {
                answer("regenerated", Cookie::Kept)
            }
            (_, Some(token), Some(Place::Live(mut record))) => {
                let body = record.fields.change(what, record.user);
                record.touch(now);
                self.places[token.place] = Place::Live(record);
                answer(body, Cookie::Kept)
            }
            (_, _, Some(Place::Dead { .. })) if !what.is_read() => conflict(),
            _ => self.visit_without_a_session(what, now),
        }
    }

    /// Reads find nothing, and writes that leave something create a session.
    fn visit_without_a_session(&mut self, what: What, now: SystemTime) -> Expected {
        let mut fields = Fields::default();
        let body = fields.change(what, None);
        let is_empty = fields.counts.is_empty() && fields.text.is_none();
        let cookie = if is_empty { Cookie::Kept } else { self.create(fields, None, now) };
        answer(body, cookie)
    }

    fn create(&mut self, fields: Fields, user: Option<&'static str>, now: SystemTime) -> Cookie {
        let created = cut(now, Duration::from_millis(1));
        let expires = now + if user.is_some() { IDLE } else { FIRST_IDLE };
        self.places.push(Place::Live(Record { created, expires, seen: None, user, fields }));
        Cookie::Set(Token { place: self.places.len() - 1, created, has_user: user.is_some() })
    }

    fn rotate(
        &mut self,
        token: Token,
        mut record: Record,
        has_user: bool,
        now: SystemTime,
    ) -> Expected {
        record.see(now);
        let place = self.places.len();
        self.places[token.place] = dead(false, now);
        self.places.push(Place::Live(record));
        answer("regenerated", Cookie::Set(Token { place, has_user, ..token }))
    }

    fn log_in(&mut self, token: Option<Token>, user: &'static str, now: SystemTime) -> Expected {
        let logged_in = |cookie| answer("logged in", cookie);
        if let Some(token) = token
            && let Place::Live(mut record) = self.places[token.place].clone()
        {
            if record.user.is_none_or(|it| it == user) {
                record.user = Some(user);
                return logged_in(self.rotate(token, record, true, now).cookie);
            }
            // Another user's session is destroyed, and none of its data is kept.
            self.places[token.place] = dead(true, now);
        }
        logged_in(self.create(Fields::default(), Some(user), now))
    }

    fn destroy_all(
        &mut self,
        token: Option<Token>,
        user: &'static str,
        now: SystemTime,
    ) -> Expected {
        let all = self.places_of(user);
        for place in &all {
            self.places[*place] = dead(true, now);
        }
        for place in &mut self.places {
            if matches!(place, Place::Gone(Some(it)) if *it == user) {
                *place = Place::Gone(None);
            }
        }
        let is_own = token.is_some_and(|it| all.contains(&it.place));
        let cookie = if is_own { Cookie::Cleared } else { Cookie::Kept };
        answer(all.len().to_string(), cookie)
    }

    /// Lists a user's sessions, and bars the places of those that have expired: they might be those
    /// of a log-in in progress.
    fn list(&mut self, user: &str, now: SystemTime) -> Expected {
        for place in &mut self.places {
            if matches!(place, Place::Gone(Some(it)) if *it == user) {
                *place = dead(true, now);
            }
        }
        answer(vec!["phone"; self.places_of(user).len()].join(" "), Cookie::Kept)
    }

    fn places_of(&self, user: &str) -> Vec<usize> {
        let is_theirs = |place: &Place| match place {
            Place::Live(record) => record.user == Some(user),
            _ => false,
        };
        (0..self.places.len()).filter(|at| is_theirs(&self.places[*at])).collect()
    }

    /// Removes what has expired.
    pub fn expire(&mut self, now: SystemTime) {
        for place in &mut self.places {
            let (expires, entry) = match place {
                Place::Live(record) => (record.expires, record.user),
                Place::Dead { until, .. } => (*until, None),
                Place::Gone(_) => continue,
            };
            if now >= expires {
                *place = Place::Gone(entry);
            }
        }
    }
}

fn dead(is_destroyed: bool, now: SystemTime) -> Place {
    Place::Dead { is_destroyed, until: now + TOMBSTONE }
}

fn cut(time: SystemTime, unit: Duration) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let cut = since - since % unit.as_nanos();
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(cut).unwrap())
}

impl What {
    fn is_read(self) -> bool {
        matches!(self, Self::Peek(_) | Self::Text | Self::User)
    }
}

impl Record {
    /// At the first return of the cookie, and then after a tenth of the idle timeout.
    fn touch(&mut self, now: SystemTime) {
        if self.seen.is_none_or(|seen| now >= seen + IDLE / 10) {
            self.see(now);
        }
    }

    fn see(&mut self, now: SystemTime) {
        self.seen = Some(cut(now, Duration::from_secs(1)));
        self.expires = (now + IDLE).min(self.created + LIFETIME);
    }
}

impl Fields {
    /// Performs an operation on the fields, and returns the page's text.
    fn change(&mut self, what: What, user: Option<&str>) -> String {
        match what {
            What::Count(item) | What::View(item) => self.count(item).to_string(),
            What::Pair => format!("{} {}, nothing", self.count("a"), self.count("b")),
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
            What::User => user.unwrap_or("none").into(),
            What::Regenerate
            | What::Destroy
            | What::LogIn(_)
            | What::Sessions(_)
            | What::DestroyAll(_) => unreachable!("these change no field"),
        }
    }

    fn count(&mut self, item: &'static str) -> u64 {
        let count = self.counts.entry(item).or_default();
        *count += 1;
        *count
    }
}
