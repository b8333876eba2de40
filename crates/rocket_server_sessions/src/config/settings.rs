//! The settings and their defaults.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use figment::Figment;

use super::cookie_settings::{CookieSettings, SameSite, Serves};
use super::duration::Written;
use super::redis_url::RedisUrl;
use super::secret_key::SecretKey;
use super::session_variable;
use super::setting_error::SettingError;
use super::table::Table;
use crate::id::PublicId;
use crate::store::TimeToLive;

/// The settings of `[default.session]` in Rocket's configuration.
///
/// Durations are numbers of seconds or strings such as `"90s"`, `"15m"` or `"1day 12h"`. Unknown
/// keys and invalid values fail the launch; each error names the key and where it was set. If a
/// default conflicts with another setting, it is adjusted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where Redis is: `redis://` or, encrypted, `rediss://[user:password@]host[:port][/database]`.
    /// If it is unset or empty, sessions are kept in the process's memory.
    ///
    /// For a cluster, use `redis-cluster://…` or `rediss-cluster://…`, with further servers as
    /// `?node=host:port&node=…`. For Sentinel, use `redis-sentinel://…` or `rediss-sentinel://…`,
    /// with `?sentinelServiceName=NAME` and further sentinels as `&node=…`. The user, password and
    /// database apply to the master; `sentinelUsername` and `sentinelPassword` apply to the
    /// sentinels.
    ///
    /// _Default:_ unset.
    pub url: Option<RedisUrl>,

    /// A PEM file of certificate authorities to trust for `rediss://` in addition to the public ones.
    ///
    /// _Default:_ unset.
    pub ca_file: Option<PathBuf>,

    /// A PEM file with the certificate to show to a server that demands one, followed by those that
    /// lead to its authority. `client_key_file` must be set as well.
    ///
    /// _Default:_ unset.
    pub client_cert_file: Option<PathBuf>,

    /// A PEM file with the private key of `client_cert_file`, not encrypted.
    ///
    /// _Default:_ unset.
    pub client_key_file: Option<PathBuf>,

    /// The name that the server's certificate must have. Set it if you reach the server by another
    /// name or address, such as through a tunnel. With a cluster or sentinels, it applies to all
    /// servers.
    ///
    /// _Default:_ the host in `url`.
    pub tls_server_name: Option<String>,

    /// The prefix of every key in Redis. Applications that share a Redis need different prefixes.
    ///
    /// _Default:_ `"session:"`.
    pub prefix: String,

    /// The cookie's name. With the prefix `__Host-`, browsers refuse a cookie of this name that
    /// another host or a plain connection has set, so use it unless something in front of the
    /// application demands another name. Firebase Hosting only passes on the cookie `__session`.
    ///
    /// _Default:_ `"__Host-session"`, or `"session"` if `insecure_http` is `true`.
    pub cookie_name: String,

    /// Whether the cookie has no `Secure`, so that clients keep and return it over plain HTTP.
    /// Anybody on the network can then read it and take over the session.
    ///
    /// Outside the `debug` profile, the launch warns if it is `true`. On Cloud Run, it must not be.
    ///
    /// _Default:_ `false`. In the `debug` profile `true`, except with TLS, on Cloud Run, or if
    /// `cookie_name` or `same_site` needs `Secure`.
    pub insecure_http: bool,

    /// Which requests from other sites carry the cookie.
    ///
    /// _Default:_ `"lax"`.
    pub same_site: SameSite,

    /// How long a session may be unused before it expires.
    ///
    /// _Default:_ `"1day"`, limited to the range from `first_idle_timeout` to `absolute_lifetime`.
    pub idle_timeout: Duration,

    /// The idle timeout until the browser has sent the cookie back once. Most bots never do, so
    /// their sessions expire early.
    ///
    /// _Default:_ `"1h"`, or `idle_timeout` if that is shorter.
    pub first_idle_timeout: Duration,

    /// The maximum age of a session, regardless of use.
    ///
    /// _Default:_ `"30days"`, or `idle_timeout` if that is longer.
    pub absolute_lifetime: Duration,

    /// Whether the cookie is kept when the browser is closed.
    /// [`Session::remember_me`](crate::Session::remember_me) changes it for one session.
    ///
    /// _Default:_ `true`.
    pub remember_me: bool,

    /// Earlier values of `secret_key`, newest first, in the same format. Their cookies are still
    /// accepted, and are encrypted again with `secret_key`.
    ///
    /// _Default:_ `[]`.
    pub previous_keys: Vec<SecretKey>,

    /// The maximum size of a field's value, in bytes of JSON.
    ///
    /// _Default:_ `16384`, or `max_record_size` if that is smaller.
    pub max_field_size: usize,

    /// The maximum size of a record, in bytes of names and values together.
    ///
    /// _Default:_ `65536`, or `max_field_size` if that is larger.
    pub max_record_size: usize,

    /// The maximum number of [logged-in](crate::Session::log_in) sessions per user. Further log-ins
    /// destroy the oldest.
    ///
    /// _Default:_ `100`.
    pub max_user_sessions: usize,

    /// The maximum number of sessions in the memory store. At 1 KB each, the default is 100 MB.
    ///
    /// _Default:_ `100000`.
    pub memory_capacity: usize,

    /// How long a request may wait for the store in total: in the queue, for a connection, and for
    /// the reply. After that, operations fail with a 503.
    ///
    /// _Default:_ `"900ms"`.
    pub deadline: Duration,

    /// The number of connections to Redis, or to each master of a cluster. One connection serves
    /// many requests at a time.
    ///
    /// _Default:_ `1`.
    pub connections: u32,

    /// How many requests may wait for Redis at the same time. Further ones fail with a 503
    /// immediately.
    ///
    /// _Default:_ `2048`.
    pub queue: usize,

    /// How reads behave during an outage.
    ///
    /// _Default:_ `"refuse"`.
    pub on_outage: OnOutage,
}

/// How reads behave during an outage. Writes always fail, and no cookie is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnOutage {
    /// Reads fail, like writes.
    #[default]
    Refuse,
    /// Reads return nothing, as if there were no session. A logged-in user appears logged out.
    /// Later writes in the same request fail.
    Anonymous,
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// RFC 6265bis, section 5.5: browsers limit a cookie's age to 400 days.
pub(crate) const MAX_LIFETIME: Duration = Duration::from_hours(400 * 24);

/// A record must fit into a reply; see `framing::MAX_REPLY`.
const MAX_RECORD: usize = 8 << 20;

impl Default for Config {
    fn default() -> Self {
        Self {
            url: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            tls_server_name: None,
            prefix: "session:".to_owned(),
            cookie_name: CookieSettings::SECURE_NAME.to_owned(),
            insecure_http: false,
            same_site: SameSite::Lax,
            idle_timeout: DAY,
            first_idle_timeout: HOUR,
            absolute_lifetime: 30 * DAY,
            remember_me: true,
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
    /// The key of the settings in Rocket's configuration.
    pub const KEY: &'static str = "session";

    /// Reads and checks `session` in a figment's selected profile.
    ///
    /// # Errors
    ///
    /// One error for each invalid setting. It contains the setting's name and where it was set, and
    /// no secrets.
    pub fn extract(figment: &Figment) -> Result<Self, Vec<SettingError>> {
        let figment = session_variable::with_variable(figment).map_err(|error| vec![error])?;
        let mut table = Table::open(&figment)?;
        let cookie = CookieSettings::read(&mut table, Serves::of(&figment));
        cookie.check(&mut table, Serves::of(&figment));
        let config = Self::read(&mut table, cookie);
        config.check(&mut table);
        table.finish()?;
        Ok(config)
    }

    /// Reads the table and fills in defaults.
    fn read(table: &mut Table<'_>, cookie: CookieSettings) -> Self {
        let default = Self::default();
        let mut duration = |key| table.get(key).map(|Written(duration)| duration);
        let idle_timeout: Option<Duration> = duration("idle_timeout");
        let first_idle_timeout: Option<Duration> = duration("first_idle_timeout");
        let absolute_lifetime: Option<Duration> = duration("absolute_lifetime");
        let deadline: Option<Duration> = duration("deadline");
        let idle_timeout = idle_timeout.unwrap_or_else(|| {
            let longest = absolute_lifetime.unwrap_or(MAX_LIFETIME);
            default.idle_timeout.max(first_idle_timeout.unwrap_or_default()).min(longest)
        });
        let max_field_size: Option<usize> = table.get("max_field_size");
        let max_record_size: Option<usize> = table.get("max_record_size");
        Self {
            url: table.get("url").filter(|url: &RedisUrl| !url.is_empty()),
            ca_file: table.get("ca_file"),
            client_cert_file: table.get("client_cert_file"),
            client_key_file: table.get("client_key_file"),
            tls_server_name: table.get("tls_server_name"),
            prefix: table.get("prefix").unwrap_or(default.prefix),
            cookie_name: cookie.name,
            insecure_http: cookie.insecure_http,
            same_site: cookie.same_site,
            idle_timeout,
            first_idle_timeout: first_idle_timeout
                .unwrap_or(default.first_idle_timeout.min(idle_timeout)),
            absolute_lifetime: absolute_lifetime
                .unwrap_or(default.absolute_lifetime.max(idle_timeout)),
            remember_me: table.get("remember_me").unwrap_or(default.remember_me),
            previous_keys: table.get("previous_keys").unwrap_or(default.previous_keys),
            max_field_size: max_field_size.unwrap_or_else(|| {
                default.max_field_size.min(max_record_size.unwrap_or(usize::MAX))
            }),
            max_record_size: max_record_size
                .unwrap_or_else(|| default.max_record_size.max(max_field_size.unwrap_or_default())),
            max_user_sessions: table.get("max_user_sessions").unwrap_or(default.max_user_sessions),
            memory_capacity: table.get("memory_capacity").unwrap_or(default.memory_capacity),
            deadline: deadline.unwrap_or(default.deadline),
            connections: table.get("connections").unwrap_or(default.connections),
            queue: table.get("queue").unwrap_or(default.queue),
            on_outage: table.get("on_outage").unwrap_or(default.on_outage),
        }
    }

    /// Rejects invalid values. The messages are in `rules`.
    fn check(&self, table: &mut Table<'_>) {
        let for_tls = [
            ("ca_file", self.ca_file.is_some()),
            ("client_cert_file", self.client_cert_file.is_some()),
            ("client_key_file", self.client_key_file.is_some()),
            ("tls_server_name", self.tls_server_name.is_some()),
        ];
        match self.url.as_ref().map(RedisUrl::locate) {
            Some(Err(why)) => table.refuse("url", why),
            Some(Ok(location)) if !location.is_encrypted => {
                for (key, _) in for_tls.into_iter().filter(|(_, is_set)| *is_set) {
                    table.refuse(
                        key,
                        "is set, but `url` begins with `redis`, which is not encrypted; write \
                         `rediss` instead",
                    );
                }
            }
            _ => {}
        }
        let is_printable = |it: u8| it.is_ascii_graphic() && !b"{}*?[]\\".contains(&it);
        table.check(
            "prefix",
            (1..=64).contains(&self.prefix.len()) && self.prefix.bytes().all(is_printable),
        );
        let shortest = 10 * SECOND;
        let (first, idle, absolute) =
            (self.first_idle_timeout, self.idle_timeout, self.absolute_lifetime);
        table.check("idle_timeout", (shortest..=MAX_LIFETIME).contains(&idle));
        table.check("first_idle_timeout", (shortest..=idle).contains(&first));
        table.check("absolute_lifetime", (idle.max(shortest)..=MAX_LIFETIME).contains(&absolute));
        let deadlines = Duration::from_millis(10)..=30 * SECOND;
        table.check("deadline", deadlines.contains(&self.deadline));
        let (field, record) = (self.max_field_size, self.max_record_size);
        table.check("max_field_size", (1..=record.min(MAX_RECORD)).contains(&field));
        table.check("max_record_size", (1..=MAX_RECORD).contains(&record));
        table.check("max_user_sessions", (1..=1000).contains(&self.max_user_sessions));
        table.check("memory_capacity", self.memory_capacity > 0);
        table.check("connections", (1..=64).contains(&self.connections));
        table.check("queue", (1..=1_000_000).contains(&self.queue));
    }

    /// All settings and their values, without secrets.
    pub(crate) fn shown(&self) -> Vec<(&'static str, String)> {
        let text = |it: &dyn std::fmt::Debug| format!("{it:?}");
        let duration = |it| humantime::format_duration(it).to_string();
        let unset = || "unset".to_owned();
        let path = |it: &Option<PathBuf>| match it {
            Some(path) => path.display().to_string(),
            None => unset(),
        };
        let on_outage = match self.on_outage {
            OnOutage::Refuse => "refuse",
            OnOutage::Anonymous => "anonymous",
        };
        vec![
            ("url", self.url.as_ref().map_or_else(unset, |it| text(it))),
            ("ca_file", path(&self.ca_file)),
            ("client_cert_file", path(&self.client_cert_file)),
            ("client_key_file", path(&self.client_key_file)),
            ("tls_server_name", self.tls_server_name.clone().unwrap_or_else(unset)),
            ("prefix", self.prefix.clone()),
            ("cookie_name", self.cookie_name.clone()),
            ("insecure_http", self.insecure_http.to_string()),
            ("same_site", self.same_site.as_str().to_owned()),
            ("idle_timeout", duration(self.idle_timeout)),
            ("first_idle_timeout", duration(self.first_idle_timeout)),
            ("absolute_lifetime", duration(self.absolute_lifetime)),
            ("remember_me", self.remember_me.to_string()),
            ("previous_keys", format!("{} of them", self.previous_keys.len())),
            ("max_field_size", self.max_field_size.to_string()),
            ("max_record_size", self.max_record_size.to_string()),
            ("max_user_sessions", self.max_user_sessions.to_string()),
            ("memory_capacity", self.memory_capacity.to_string()),
            ("deadline", duration(self.deadline)),
            ("connections", self.connections.to_string()),
            ("queue", self.queue.to_string()),
            ("on_outage", on_outage.to_owned()),
        ]
    }

    /// When a session expires, regardless of use.
    pub(crate) fn absolute_expiry(&self, id: PublicId) -> SystemTime {
        id.created() + self.absolute_lifetime
    }

    /// The time to live, from `now` on, of a record whose cookie has come back.
    pub(crate) fn ttl(&self, id: PublicId, now: SystemTime) -> TimeToLive {
        let max = self.absolute_expiry(id).duration_since(now).unwrap_or_default();
        TimeToLive { idle: self.idle_timeout.min(max), max }
    }

    /// The time to live of a new record.
    pub(crate) fn first_ttl(&self) -> Duration {
        self.first_idle_timeout
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::RULES;
    use super::*;

    fn read(toml: &str) -> Result<Config, String> {
        use figment::providers::{Format, Toml};
        let text = format!("[default.session]\n{toml}");
        let figment = Figment::from(Toml::string(&text).nested());
        Config::extract(&figment)
            .map_err(|it| it.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn what_is_unset_follows_what_is_set() {
        const MINUTE: Duration = Duration::from_mins(1);
        for (toml, first, idle, absolute) in [
            ("", HOUR, DAY, 30 * DAY),
            ("idle_timeout = '20m'", 20 * MINUTE, 20 * MINUTE, 30 * DAY),
            ("idle_timeout = '60days'", HOUR, 60 * DAY, 60 * DAY),
            ("idle_timeout = 10", 10 * SECOND, 10 * SECOND, 30 * DAY),
            ("absolute_lifetime = '30m'", 30 * MINUTE, 30 * MINUTE, 30 * MINUTE),
            ("first_idle_timeout = '2days'", 2 * DAY, 2 * DAY, 30 * DAY),
            ("first_idle_timeout = '40days'", 40 * DAY, 40 * DAY, 40 * DAY),
        ] {
            let config = read(toml).unwrap();
            let times = (config.first_idle_timeout, config.idle_timeout, config.absolute_lifetime);
            assert_eq!(times, (first, idle, absolute), "{toml}");
        }
        for (toml, field, record) in [
            ("", 16_384, 65_536),
            ("max_field_size = 100000", 100_000, 100_000),
            ("max_record_size = 1000", 1000, 1000),
        ] {
            let config = read(toml).unwrap();
            assert_eq!((config.max_field_size, config.max_record_size), (field, record), "{toml}");
        }
    }

    #[test]
    fn error_blames_a_setting_that_was_set() {
        for (toml, blamed) in [
            ("idle_timeout = '401days'", "idle_timeout"),
            ("idle_timeout = 9", "idle_timeout"),
            ("absolute_lifetime = 9", "absolute_lifetime"),
            ("first_idle_timeout = '401days'", "first_idle_timeout"),
            ("idle_timeout = '2h'\nabsolute_lifetime = '1h'", "absolute_lifetime"),
            ("idle_timeout = '2h'\nfirst_idle_timeout = '3h'", "first_idle_timeout"),
            ("max_record_size = 0", "max_record_size"),
            ("max_field_size = 9000000", "max_field_size"),
            ("max_field_size = 0", "max_field_size"),
        ] {
            let text = read(toml).unwrap_err();
            assert!(text.starts_with(&format!("`session.{blamed}` ")), "{toml}: {text}");
            assert_eq!(text.lines().count(), 1, "{toml}: {text}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_in_peoples_words() {
        let text =
            read("queue = 'many'\nidel_timeout = 1\nremember_me = 1\nprefix = 7").unwrap_err();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[0].contains("did you mean `idle_timeout`?"), "{text}");
        assert!(
            text.contains("`session.remember_me` must be `true` or `false`; it is 1"),
            "{text}"
        );
        assert!(text.contains("must be a number from 1 to 1000000; it is \"many\""), "{text}");
        assert!(!text.contains("``"), "{text}");
    }

    #[test]
    fn attribute_that_cannot_be_set_is_refused_with_the_reason_and_the_remedy() {
        for (toml, told) in [
            ("cookie_domain = 'example.com'", "every subdomain"),
            ("cookie_path = '/shop'", "`cookie_name`"),
            ("http_only = false", "scripts"),
            ("secure = false", "`insecure_http`"),
            ("max_age = 60", "`absolute_lifetime`"),
            ("partitioned = true", "is not supported"),
        ] {
            let text = read(toml).unwrap_err();
            assert!(text.contains(told), "{text}");
        }
    }

    #[test]
    fn every_setting_has_a_rule_and_is_shown() {
        let shown = Config::default().shown();
        let shown: Vec<_> = shown.iter().map(|(key, _)| *key).collect();
        let rules: Vec<_> = RULES.iter().map(|(key, _)| *key).collect();
        assert_eq!(shown, rules);
    }

    #[test]
    fn setting_of_tls_for_a_connection_that_is_not_encrypted_is_refused() {
        for key in ["ca_file", "client_cert_file", "client_key_file", "tls_server_name"] {
            let text = read(&format!("url = 'redis://h'\n{key} = 'a'")).unwrap_err();
            assert!(text.starts_with(&format!("`session.{key}` is set, but")), "{text}");
            assert!(read(&format!("url = 'rediss://h'\n{key} = 'a'")).is_ok());
        }
    }
}
