//! The sealed cookie: what a browser holds of its session, and how it is read back.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use cookie::{Cookie, CookieJar, Key};
use rocket::Request;

use super::config::Config;
use super::event::{Deadline, Rejection};
use super::id::{PublicId, Token, unix};
use super::store::RecordId;

/// The first field of every ticket. Another version is another format, and is not read.
const VERSION: &str = "1";

/// A sealed ticket is about 160 bytes long; what is much longer is none of ours.
const MAX_SEALED: usize = 512;

/// Two cookies of ours are one too many already; nobody gets more of them opened.
const MAX_CANDIDATES: usize = 4;

/// What the cookie says, once opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) id: PublicId,
    pub(super) secret: Token,
    /// When the two clocks were last set, to the second.
    pub(super) touched: SystemTime,
    pub(super) stage: Stage,
    pub(super) persistence: Persistence,
    pub(super) owner: Owner,
}

/// Whether the visitor is known to send cookies back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The cookie was sent once and has not been seen since: the record's time is short.
    First,
    /// The cookie came back.
    Returning,
}

/// Whose session it is, as far as the cookie tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nobody's, unless it was bound by a request that could give no cookie.
    Visitor,
    /// A user's; the record says whose.
    User,
}

/// How long a browser keeps the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// As long as the session can live: the visitor is remembered when the browser is closed.
    Persistent,
    /// Until the browser is closed.
    BrowserSession,
}

impl Ticket {
    pub(super) fn record(&self) -> RecordId {
        RecordId { id: self.id, token_hash: self.secret.token_hash() }
    }

    /// When the session lapses if it is not used.
    pub(super) fn idle_expiry(&self, config: &Config) -> SystemTime {
        self.touched + self.idle_timeout(config)
    }

    fn idle_timeout(&self, config: &Config) -> Duration {
        match self.stage {
            Stage::First => config.first_idle_timeout,
            Stage::Returning => config.idle_timeout,
        }
    }

    /// Which deadline has passed, if any.
    pub(super) fn expired(&self, config: &Config, now: SystemTime) -> Option<Deadline> {
        if now >= config.absolute_expiry(self.id) {
            Some(Deadline::Absolute)
        } else if now >= self.idle_expiry(config) {
            Some(Deadline::Idle)
        } else {
            None
        }
    }

    /// Whether the next round trip should set both clocks anew: the cookie has come back for the
    /// first time, or a tenth of the idle timeout has passed.
    pub(super) fn is_touch_due(&self, config: &Config, now: SystemTime) -> bool {
        self.stage == Stage::First || now >= self.touched + config.idle_timeout / 10
    }

    /// Seconds until the earlier of the two deadlines.
    fn max_age(&self, config: &Config, now: SystemTime) -> u64 {
        let deadline = self.idle_expiry(config).min(config.absolute_expiry(self.id));
        deadline.duration_since(now).unwrap_or_default().as_secs()
    }

    /// Of two tickets of one session, the fresher one was given later.
    fn freshness(&self) -> (SystemTime, Stage) {
        (self.touched, self.stage)
    }

    fn write(&self) -> String {
        let stage = match self.stage {
            Stage::First => 'f',
            Stage::Returning => 'r',
        };
        let persistence = match self.persistence {
            Persistence::Persistent => 'p',
            Persistence::BrowserSession => 'b',
        };
        let owner = match self.owner {
            Owner::Visitor => "",
            Owner::User => "u",
        };
        let (id, secret) = (self.id, self.secret.encode());
        let touched = unix(self.touched).as_secs();
        format!("{VERSION}.{id}.{secret}.{touched}.{stage}{persistence}{owner}")
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let mut next = || parts.next();
        if next()? != VERSION {
            return None;
        }
        let id = PublicId::parse(next()?)?;
        let secret = Token::parse(next()?)?;
        // 32 bits of seconds reach to the year 2106, and no sum with a timeout can overflow.
        let touched = Duration::from_secs(next()?.parse::<u32>().ok()?.into());
        let flags = next()?;
        let (flags, owner) = match flags.strip_suffix('u') {
            Some(flags) => (flags, Owner::User),
            None => (flags, Owner::Visitor),
        };
        let (stage, persistence) = match flags {
            "fp" => (Stage::First, Persistence::Persistent),
            "fb" => (Stage::First, Persistence::BrowserSession),
            "rp" => (Stage::Returning, Persistence::Persistent),
            "rb" => (Stage::Returning, Persistence::BrowserSession),
            _ => return None,
        };
        let touched = SystemTime::UNIX_EPOCH + touched;
        let ticket = Self { id, secret, touched, stage, persistence, owner };
        next().is_none().then_some(ticket)
    }
}

/// The keys that open cookies. The first seals them.
pub(super) struct KeyRing {
    first: Key,
    previous: Vec<Key>,
}

/// A ticket that one of our keys has sealed.
pub(super) struct Opened {
    pub(super) ticket: Ticket,
    /// Whether the key that sealed it is not the first any more.
    pub(super) is_key_old: bool,
}

impl KeyRing {
    pub(super) fn new(first: Key, previous: Vec<Key>) -> Self {
        Self { first, previous }
    }

    /// The one ticket among a request's cookies; `None` where there is no cookie of our name.
    pub(super) fn open(
        &self,
        name: &str,
        request: &Request<'_>,
    ) -> Result<Option<Opened>, Rejection> {
        let mut found: Option<Opened> = None;
        let mut is_unsealed = false;
        for value in candidates(name, request).take(MAX_CANDIDATES) {
            let Some(opened) = self.unseal(name, &value) else {
                is_unsealed |= !value.is_empty();
                continue;
            };
            match &found {
                Some(other) if other.ticket.record() != opened.ticket.record() => {
                    return Err(Rejection::Ambiguous);
                }
                Some(other) if other.ticket.freshness() >= opened.ticket.freshness() => {}
                _ => found = Some(opened),
            }
        }
        if found.is_none() && is_unsealed {
            return Err(Rejection::InvalidCookie);
        }
        Ok(found)
    }

    fn unseal(&self, name: &str, value: &str) -> Option<Opened> {
        let jar = CookieJar::new();
        let open = |key: &Key| {
            let cookie = Cookie::new(name.to_owned(), value.to_owned());
            Ticket::read(jar.private(key).decrypt(cookie)?.value())
        };
        if let Some(ticket) = open(&self.first) {
            return Some(Opened { ticket, is_key_old: false });
        }
        let ticket = self.previous.iter().find_map(open)?;
        Some(Opened { ticket, is_key_old: true })
    }

    /// The `Set-Cookie` value that gives a browser its ticket.
    ///
    /// `__Host-` in the name makes browsers insist on `Secure`, `Path=/` and no `Domain`
    /// (RFC 6265bis, section 4.1.3.2).
    pub(super) fn seal(&self, ticket: &Ticket, config: &Config, now: SystemTime) -> String {
        let name = config.cookie_name.as_str();
        let mut jar = CookieJar::new();
        jar.private_mut(&self.first).add(Cookie::new(name.to_owned(), ticket.write()));
        let value = jar.get(name).map(Cookie::value).unwrap_or_default();
        match ticket.persistence {
            Persistence::Persistent => {
                let max_age = ticket.max_age(config, now);
                format!("{name}={value}; Max-Age={max_age}; {ATTRIBUTES}")
            }
            Persistence::BrowserSession => format!("{name}={value}; {ATTRIBUTES}"),
        }
    }
}

/// The `Set-Cookie` value that takes the ticket away.
pub(super) fn removal(config: &Config) -> String {
    format!("{}=; Max-Age=0; {ATTRIBUTES}", config.cookie_name)
}

const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";

/// The values of the cookies that bear exactly our name.
///
/// They are read from the raw header, since Rocket's jar percent-decodes and trims names: there, a
/// cookie `%5F%5FHost-session`, which any subdomain can set, would pass for ours. A request that
/// has no such header comes from Rocket's local client, which fills the jar alone.
fn candidates<'r>(name: &'r str, request: &'r Request<'_>) -> impl Iterator<Item = Cow<'r, str>> {
    let headers = request.headers();
    let raw = headers.get("cookie").flat_map(|header| header.split(';')).filter_map(move |pair| {
        let (found, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
        (found == name && value.len() <= MAX_SEALED)
            .then(|| percent_encoding::percent_decode_str(value).decode_utf8().ok())
            .flatten()
    });
    let jar = (!headers.contains("cookie"))
        .then(|| request.cookies().get(name).map(|cookie| cookie.value().into()))
        .flatten();
    raw.chain(jar)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            id: PublicId::born(SystemTime::now()),
            secret: Token::generate(),
            touched: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
            stage: Stage::First,
            persistence: Persistence::Persistent,
            owner: Owner::Visitor,
        }
    }

    #[test]
    fn ticket_reads_what_it_wrote() {
        let ticket = ticket();
        assert_eq!(Ticket::read(&ticket.write()), Some(ticket));
    }

    /// An earlier release reads it while both serve, and after a way back.
    #[test]
    fn ticket_is_written_as_release_0_1_0_did() {
        let user = Ticket {
            id: PublicId::parse("01a20d6d-5a00-71c7-a340-8ca596f18ea6").unwrap(),
            secret: Token::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").unwrap(),
            stage: Stage::Returning,
            owner: Owner::User,
            ..ticket()
        };
        assert_eq!(
            user.write(),
            "1.01a20d6d-5a00-71c7-a340-8ca596f18ea6.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\
             .1790000000.rpu"
        );
        let visitor = Ticket { stage: Stage::First, owner: Owner::Visitor, ..user };
        assert!(visitor.write().ends_with(".1790000000.fp"), "{}", visitor.write());
    }

    #[test]
    fn ticket_with_anything_changed_is_refused() {
        let text = ticket().write();
        for wrong in [
            text.replacen('1', "2", 1),
            format!("{text}."),
            format!("{text}x"),
            text.replace(".fp", ".xx"),
            text.replace(".1790000000.", ".-1."),
            text.replace(".1790000000.", ".4294967296."),
            String::new(),
        ] {
            assert_eq!(Ticket::read(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ring_opens_what_an_older_key_sealed_and_says_so() {
        let (old, new, other) = (Key::generate(), Key::generate(), Key::generate());
        let (ticket, config) = (ticket(), Config::default());
        let header = KeyRing::new(old.clone(), vec![]).seal(&ticket, &config, ticket.touched);
        let value = header.split_once('=').unwrap().1.split(';').next().unwrap();
        let name = &config.cookie_name;
        let opened = KeyRing::new(new.clone(), vec![old]).unseal(name, value).unwrap();
        assert!(opened.is_key_old && opened.ticket == ticket);
        assert!(KeyRing::new(new, vec![other]).unseal(name, value).is_none());
    }

    proptest::proptest! {
        #[test]
        fn text_that_is_no_ticket_is_never_read_as_one(text in r".*") {
            proptest::prop_assert!(Ticket::read(&text).is_none());
        }

        #[test]
        fn changed_ticket_is_another_or_none(at in 0..200_usize, byte in proptest::char::any()) {
            let mut text = ticket().write();
            let at = at % text.len();
            text.replace_range(at..=at, &byte.to_string());
            if let Some(ticket) = Ticket::read(&text) {
                proptest::prop_assert_eq!(Ticket::read(&ticket.write()), Some(ticket));
            }
        }

        #[test]
        fn no_value_opens_that_the_ring_has_not_sealed(value in r"[ -~]{0,400}") {
            let ring = KeyRing::new(Key::generate(), vec![Key::generate()]);
            proptest::prop_assert!(ring.unseal("__Host-session", &value).is_none());
        }

        #[test]
        fn sealed_value_with_anything_changed_opens_nothing(
            at in 0..400_usize,
            byte in proptest::char::range(' ', '~'),
        ) {
            let (key, ticket, config) = (Key::generate(), ticket(), Config::default());
            let ring = KeyRing::new(key, vec![]);
            let header = ring.seal(&ticket, &config, ticket.touched);
            let sealed = header.split_once('=').unwrap().1.split(';').next().unwrap();
            let at = at % sealed.len();
            let mut value = sealed.to_owned();
            value.replace_range(at..=at, &byte.to_string());
            if value != sealed {
                proptest::prop_assert!(ring.unseal(&config.cookie_name, &value).is_none());
            }
        }
    }
}
