//! `[default.session]`: every setting, its default, and what makes it wrong.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cookie::Key;
use figment::Figment;
use serde::de::{Deserialize, Deserializer, Error as _};

use super::id::PublicId;

/// The settings of `[default.session]`, as Rocket's figment gives them.
///
/// A length of time is a number of seconds, or a text such as `"90s"`, `"15m"`, `"1day 12h"`.
/// Unknown keys and impossible values fail the launch, naming where they were set.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where Redis is: `redis://` or, encrypted, `rediss://[user:password@]host[:port][/database]`.
    /// Where it is unset, sessions live in the process's memory.
    ///
    /// A cluster is `redis-cluster://…` or `rediss-cluster://…`, with further servers as
    /// `?node=host:port&node=…`. The master that sentinels name is `redis-sentinel://…` or
    /// `rediss-sentinel://…`, with `?sentinelServiceName=NAME` and further sentinels as `&node=…`; user,
    /// password and database are the master's, and the sentinels' own are `sentinelUsername` and
    /// `sentinelPassword`.
    ///
    /// _Default:_ unset.
    pub url: Option<RedisUrl>,

    /// A PEM file of certificate authorities to trust for `rediss://` beside the public ones.
    /// _Default:_ unset.
    pub ca_file: Option<std::path::PathBuf>,

    /// What every key in Redis begins with. Two applications on one Redis need two prefixes.
    /// _Default:_ `"session:"`.
    pub prefix: String,

    /// The cookie's name; it must begin with `__Host-`, by which browsers refuse a cookie that
    /// another host or a plain connection has planted.
    /// _Default:_ `"__Host-session"`.
    pub cookie_name: String,

    /// A session that was not used for so long has lapsed.
    /// _Default:_ `"1day"`.
    #[serde(deserialize_with = "duration")]
    pub idle_timeout: Duration,

    /// The idle timeout until the cookie has come back once. A robot never sends it back, so its
    /// record is gone soon: at 250 bytes, a million robots' visits a day hold 10 MB and not 250.
    /// _Default:_ `"1h"`.
    #[serde(deserialize_with = "duration")]
    pub first_idle_timeout: Duration,

    /// A session ends at this age, however much it is used.
    /// _Default:_ `"30days"`.
    #[serde(deserialize_with = "duration")]
    pub absolute_lifetime: Duration,

    /// After the secret was regenerated, how long requests that are still on their way with the
    /// old one are let through.
    /// _Default:_ `"5s"`.
    #[serde(deserialize_with = "duration")]
    pub regenerate_overlap: Duration,

    /// Whether a new cookie outlives the browser's own session.
    /// [`Session::remember_me`](super::Session::remember_me) changes it for one session.
    /// _Default:_ `true`.
    pub persistent: bool,

    /// Keys that have sealed cookies before `secret_key` did, newest first; each as `secret_key`
    /// is written. Their cookies are still read, and sealed anew.
    /// _Default:_ `[]`.
    pub previous_keys: Vec<SecretKey>,

    /// The longest value of one field, in bytes of JSON.
    /// _Default:_ `16384`.
    pub max_field_size: usize,

    /// The largest record, in bytes of names and values together.
    /// _Default:_ `65536`.
    pub max_record_size: usize,

    /// How many sessions one user may have, of those that [`bind`](super::Session::log_in) ties to a
    /// user; where there are more, the oldest sign-ins end.
    /// _Default:_ `100`.
    pub max_user_sessions: usize,

    /// How many sessions the memory store holds. At 1 KB each the default is 100 MB.
    /// _Default:_ `100000`.
    pub memory_capacity: usize,

    /// How long a request waits for the store in all: in the queue, for a connection, and for the
    /// reply. After it, 503.
    /// _Default:_ `"900ms"`.
    #[serde(deserialize_with = "duration")]
    pub deadline: Duration,

    /// How many connections to Redis at most; in a cluster, to each master. One carries any number
    /// of requests at a time. Another one is opened once those that there are have no room.
    /// _Default:_ `1`.
    pub connections: u32,

    /// How many requests may wait for Redis at a time; further ones get 503 at once.
    /// _Default:_ `2048`.
    pub queue: usize,

    /// What becomes of operations that only read while the store is away.
    /// _Default:_ `"refuse"`.
    pub on_outage: OnOutage,
}

/// What becomes of operations that only read while the store is away. Writes fail in any case, and
/// no cookie is touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnOutage {
    /// They fail, as writes do: nobody is shown a page as if they had no session.
    #[default]
    Refuse,
    /// They find nothing, as for somebody without a session: pages that only look go on, and
    /// whoever was signed in seems not to be. What the same request writes afterwards fails.
    Anonymous,
}

impl Default for Config {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const DAY: u64 = 24 * 60 * MINUTE;
        Self {
            url: None,
            ca_file: None,
            prefix: "session:".into(),
            cookie_name: "__Host-session".into(),
            idle_timeout: Duration::from_secs(DAY),
            first_idle_timeout: Duration::from_secs(60 * MINUTE),
            absolute_lifetime: Duration::from_secs(30 * DAY),
            regenerate_overlap: Duration::from_secs(5),
            persistent: true,
            previous_keys: Vec::new(),
            max_field_size: 16 << 10,
            max_record_size: 64 << 10,
            max_user_sessions: 100,
            memory_capacity: 100_000,
            deadline: Duration::from_millis(900),
            connections: 1,
            queue: 2048,
            on_outage: OnOutage::Refuse,
        }
    }
}

impl Config {
    /// Where the settings stand in Rocket's configuration.
    pub const KEY: &'static str = "session";

    /// A record outlives its cookie by so much, so that it is never gone while the cookie counts.
    const TTL_MARGIN: Duration = Duration::from_secs(60);

    /// Reads `session` of a figment's selected profile and checks it.
    ///
    /// # Errors
    ///
    /// One error for each thing that is wrong, with the key and the place where it was set, and
    /// without any password or key.
    pub fn extract(figment: &Figment) -> Result<Self, Vec<figment::Error>> {
        let config = match figment.extract_inner::<Self>(Self::KEY) {
            // An empty variable is how a deployment says "none".
            Ok(config) => Self { url: config.url.filter(|url| !url.0.is_empty()), ..config },
            Err(error) if error.missing() => Self::default(),
            Err(error) => return Err(error.into_iter().map(redacted).collect()),
        };
        let wrong: Vec<_> = config
            .wrong()
            .into_iter()
            .map(|(key, message)| located(figment, &format!("{}.{key}", Self::KEY), &message))
            .collect();
        if wrong.is_empty() { Ok(config) } else { Err(wrong) }
    }

    /// The keys whose values cannot work, and why.
    fn wrong(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let mut check = |is_fine: bool, key: &'static str, why: &str| {
            if !is_fine {
                wrong.push((key, why.to_owned()));
            }
        };
        let second = Duration::from_secs(1);
        let years = 400 * 24 * 3600 * second;
        check(self.idle_timeout >= 10 * second, "idle_timeout", "must be 10 seconds at least");
        check(
            (10 * second..=self.idle_timeout).contains(&self.first_idle_timeout),
            "first_idle_timeout",
            "must be 10 seconds at least, and at most `idle_timeout`",
        );
        check(
            (self.idle_timeout..=years).contains(&self.absolute_lifetime),
            "absolute_lifetime",
            "must be at least `idle_timeout`, and at most 400 days, past which browsers drop cookies",
        );
        check(
            self.regenerate_overlap <= 60 * second,
            "regenerate_overlap",
            "must be 60 seconds at most: for so long an old cookie still works",
        );
        check(
            (Duration::from_millis(10)..=30 * second).contains(&self.deadline),
            "deadline",
            "must be between 10 milliseconds and 30 seconds",
        );
        check(
            (1..=64).contains(&self.connections),
            "connections",
            "must be between 1 and 64; each is a thread that serves many requests at a time",
        );
        check((1..=1_000_000).contains(&self.queue), "queue", "must be between 1 and 1000000");
        check(
            (1..=1000).contains(&self.max_user_sessions),
            "max_user_sessions",
            "must be between 1 and 1000",
        );
        check(self.memory_capacity > 0, "memory_capacity", "must be 1 at least");
        check(self.max_field_size > 0, "max_field_size", "must be 1 byte at least");
        check(
            self.max_record_size >= self.max_field_size,
            "max_record_size",
            "must be at least `max_field_size`",
        );
        check(
            self.max_record_size <= 8 << 20,
            "max_record_size",
            "must be at most 8388608 bytes: a record is read whole",
        );
        let is_plain =
            |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !b"{}*?[]\\".contains(&b));
        check(
            !self.prefix.is_empty() && self.prefix.len() <= 64 && is_plain(&self.prefix),
            "prefix",
            "must be 1 to 64 printable ASCII characters without spaces and none of {}*?[]\\",
        );
        let is_token =
            |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        check(
            self.cookie_name.strip_prefix("__Host-").is_some_and(|rest| !rest.is_empty())
                && is_token(&self.cookie_name),
            "cookie_name",
            "must begin with `__Host-` and go on with letters, digits, `-`, `_` or `.`",
        );
        wrong
    }

    pub(super) fn absolute_expiry(&self, id: PublicId) -> SystemTime {
        id.birth() + self.absolute_lifetime
    }

    /// A record's time to live once its cookie has come back.
    pub(super) fn ttl(&self) -> Duration {
        self.idle_timeout + Self::TTL_MARGIN
    }

    /// A new record's time to live.
    pub(super) fn first_ttl(&self) -> Duration {
        self.first_idle_timeout + Self::TTL_MARGIN
    }

    /// As long as any session could live that is on a user's list now.
    pub(super) fn list_ttl(&self) -> Duration {
        self.absolute_lifetime + Self::TTL_MARGIN
    }

    /// As long as the session could live.
    pub(super) fn rest(&self, id: PublicId, now: SystemTime) -> Duration {
        let rest = self.absolute_expiry(id).duration_since(now).unwrap_or_default();
        rest + Self::TTL_MARGIN
    }

    /// As long as a cookie that is out there now could be accepted.
    pub(super) fn tombstone_ttl(&self, id: PublicId, now: SystemTime) -> Duration {
        self.rest(id, now).min(self.ttl())
    }
}

/// An error without the text that was set: it may be a password or a key.
fn redacted(mut error: figment::Error) -> figment::Error {
    use figment::error::{Actual, Kind};
    if let Kind::InvalidType(actual @ Actual::Str(_), _)
    | Kind::InvalidValue(actual @ Actual::Str(_), _) = &mut error.kind
    {
        *actual = Actual::Other("a text".to_owned());
    }
    error
}

/// An error about the key at `path` that says where it was set.
pub(super) fn located(figment: &Figment, path: &str, message: &str) -> figment::Error {
    let mut error = figment::Error::from(format!("`{path}` {message}")).with_path(path);
    error.profile = Some(figment.profile().clone());
    error.metadata = figment.find_metadata(path).cloned();
    error
}

/// The address of a Redis, password included; it is shown without it.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// The whole address. Not for a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RedisUrl {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.split_once("://").map_or("?", |(scheme, _)| scheme);
        // What follows may be a password of sentinels.
        let (place, _) = self.0.split_once('?').unwrap_or((&self.0, ""));
        let host = place.rsplit_once('@').map_or("[redacted]", |(_, host)| host);
        write!(f, "{scheme}://{host}")
    }
}

impl<'de> Deserialize<'de> for RedisUrl {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        // The text is never part of an error: it may hold a password.
        let wrong = || D::Error::custom("must be a text: `rediss://user:password@host:port`");
        let url = String::deserialize(de).map_err(|_| wrong())?;
        Ok(Self(url.trim().to_owned()))
    }
}

/// A key that seals cookies.
#[derive(Clone)]
pub struct SecretKey(pub(super) Key);

impl SecretKey {
    /// What is wrong with a text that is no key.
    pub(super) const FORM: &'static str =
        "must be 32 or 64 random bytes in base64, as `openssl rand -base64 32` makes them";

    /// Reads a key as Rocket's `secret_key` is written: 44 or 88 characters of base64, or 64 of
    /// hex. One byte over and over is no key.
    fn parse(text: &str) -> Option<Self> {
        let bytes = match text.len() {
            44 | 88 => STANDARD.decode(text).ok()?,
            64 => (0..64)
                .step_by(2)
                .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
                .collect::<Option<Vec<_>>>()?,
            _ => return None,
        };
        if bytes.iter().all(|byte| Some(byte) == bytes.first()) {
            return None;
        }
        Some(Self(match bytes.len() {
            0..32 => return None,
            32..64 => Key::derive_from(&bytes),
            _ => Key::from(&bytes),
        }))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey([redacted])")
    }
}

impl<'de> Deserialize<'de> for SecretKey {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let wrong = || D::Error::custom(Self::FORM);
        let text = String::deserialize(de).map_err(|_| wrong())?;
        Self::parse(text.trim()).ok_or_else(wrong)
    }
}

fn duration<'de, D: Deserializer<'de>>(de: D) -> Result<Duration, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Given {
        Seconds(u64),
        Text(String),
    }
    let wrong = || {
        D::Error::custom(
            "must be a number of seconds, or a text such as \"90s\", \"15m\" or \"1day\"",
        )
    };
    match Given::deserialize(de).map_err(|_| wrong())? {
        Given::Seconds(seconds) => Ok(Duration::from_secs(seconds)),
        Given::Text(text) => humantime::parse_duration(&text).map_err(|_| wrong()),
    }
}
