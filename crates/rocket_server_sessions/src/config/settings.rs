//! The settings and their defaults.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::same_site::SameSite;
use super::secret_key::SecretKey;
use super::store_url::StoreUrl;
use crate::id::PublicId;

/// The settings of `[default.session]` in Rocket's configuration.
///
/// Durations are numbers of seconds or strings such as `"90s"`, `"15m"` or `"1day 12h"`. Unknown
/// keys and invalid values fail the launch; each error names the key and where it was set. If a
/// default conflicts with another setting, it is adjusted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where sessions live. For Redis, use `redis://[user:password@]host[:port][/database]`, or
    /// `rediss://…` for TLS. For a file, use `sqlite:sessions.db`. If it is unset or empty,
    /// sessions are kept in the process's memory.
    ///
    /// For a cluster, use `redis-cluster://…` or `rediss-cluster://…`, with more servers as
    /// `?node=host:port&node=…`. For Sentinel, use `redis-sentinel://…` or `rediss-sentinel://…`,
    /// with `?sentinelServiceName=NAME` and more sentinels as `&node=…`. The user, password and
    /// database apply to the master; `sentinelUsername` and `sentinelPassword` apply to the
    /// sentinels.
    ///
    /// A file needs the cargo feature `sqlite`. A relative path is relative to the working
    /// directory. On Cloud Run, the launch fails: an instance's files are lost when it stops.
    ///
    /// _Default:_ unset.
    pub url: Option<StoreUrl>,

    /// A PEM file of certificate authorities to trust for `rediss://` in addition to the public
    /// ones.
    ///
    /// _Default:_ unset.
    pub ca_file: Option<PathBuf>,

    /// A PEM file with the client certificate for a server that requires one, followed by any
    /// intermediate certificates. `client_key_file` must be set as well. Both files are read at
    /// launch only: restart the application when the certificate is renewed.
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

    /// The prefix of every key in Redis. Applications that share a Redis server need different
    /// prefixes. Applications cannot share a SQLite file.
    ///
    /// _Default:_ `"session:"`.
    pub prefix: String,

    /// The cookie's name. With the prefix `__Host-`, browsers refuse a cookie of this name that was
    /// set by another host or over plain HTTP, so use it unless something in front of the
    /// application requires another name. Firebase Hosting only passes on the cookie `__session`.
    ///
    /// _Default:_ `"__Host-session"`, or `"session"` if `insecure_http` is `true`.
    pub cookie_name: String,

    /// Whether the cookie has no `Secure`, so that clients keep and return it over plain HTTP.
    /// Anyone on the network can then read it and take over the session.
    ///
    /// If it is `true`, the launch fails on Cloud Run. Elsewhere, a warning is logged at launch,
    /// except in the `debug` profile.
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
    /// their sessions expire early. Sessions with a logged-in user, or with a duration set by
    /// [`remember_me`](crate::Session::remember_me), get their full idle timeout at once.
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

    /// The maximum number of [logged-in](crate::Session::log_in) sessions per user. One more
    /// log-in destroys the oldest.
    ///
    /// _Default:_ `100`.
    pub max_user_sessions: usize,

    /// The maximum number of entries in the memory store: sessions, tombstones and indexes. At 1 KB
    /// each, the default needs 100 MB.
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

    /// How many requests may wait for Redis or SQLite at the same time. Any more fail with a 503
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
#[non_exhaustive]
pub enum OnOutage {
    /// Reads fail, like writes.
    #[default]
    Refuse,
    /// Reads return nothing, as if there were no session. A logged-in user appears logged out.
    /// Later writes in the same request fail.
    Anonymous,
}

pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const DAY: Duration = Duration::from_hours(24);

/// RFC 6265bis, section 5.5: browsers limit a cookie's age to 400 days.
pub(crate) const MAX_LIFETIME: Duration = Duration::from_hours(400 * 24);

/// The largest `max_record_size`. A record is read as a whole.
pub(crate) const MAX_RECORD: usize = 8 << 20;

/// The cookie's default name. With `Secure`, the prefix makes browsers refuse a cookie that was set
/// by another host or over plain HTTP.
pub(super) const COOKIE_NAME: &str = "__Host-session";

impl Default for Config {
    fn default() -> Self {
        Self {
            url: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            tls_server_name: None,
            prefix: "session:".to_owned(),
            cookie_name: COOKIE_NAME.to_owned(),
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

    /// The time to live of a new record.
    pub(crate) fn first_ttl(&self) -> Duration {
        self.first_idle_timeout
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::RULES;
    use super::*;

    #[test]
    fn every_setting_has_a_rule_and_is_shown() {
        let shown = Config::default().shown();
        let shown: Vec<_> = shown.iter().map(|(key, _)| *key).collect();
        let rules: Vec<_> = RULES.iter().map(|(key, _)| *key).collect();
        assert_eq!(shown, rules);
    }
}
