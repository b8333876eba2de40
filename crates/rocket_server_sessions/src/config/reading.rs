//! Reads each setting from its key, then checks that the settings fit together.

use std::time::Duration;

use figment::Figment;

use super::cookie_settings::{CookieSettings, Serves};
use super::duration::Written;
use super::session_variable;
use super::setting_error::SettingError;
use super::settings::{Config, MAX_LIFETIME, MAX_RECORD};
use super::store_url::{Place, StoreUrl};
use super::table::Table;

const SECOND: Duration = Duration::from_secs(1);

impl Config {
    /// Reads and checks `session` in a figment's selected profile.
    ///
    /// # Errors
    ///
    /// One error for each invalid setting. It contains the setting's name and where it was set, and
    /// no secrets.
    pub fn extract(figment: &Figment) -> Result<Self, Vec<SettingError>> {
        let figment = session_variable::with_variable(figment).map_err(|error| vec![error])?;
        let mut table = Table::open(&figment)?;
        let serves = Serves::of(&figment);
        let cookie = CookieSettings::read(&mut table, serves);
        cookie.check(&mut table, serves);
        let config = Self::read(&mut table, cookie);
        config.check_url(&mut table, serves);
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
            url: table.get("url").filter(|url: &StoreUrl| !url.is_empty()),
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

    /// Rejects an invalid URL, and settings that do not apply to it.
    fn check_url(&self, table: &mut Table<'_>, serves: Serves) {
        const FOR_TLS: [&str; 4] =
            ["ca_file", "client_cert_file", "client_key_file", "tls_server_name"];
        match self.url.as_ref().map(StoreUrl::locate) {
            Some(Err(why)) => table.refuse("url", why),
            Some(Ok(Place::Redis(location))) if !location.is_encrypted => {
                table.refuse_given(
                    &FOR_TLS,
                    "is set, but `url` begins with `redis`, which is not encrypted; write `rediss` \
                     instead",
                );
            }
            Some(Ok(Place::Redis(_))) | None => {}
            Some(Ok(Place::File(_))) => {
                table.refuse_given(
                    &[&FOR_TLS[..], &["connections"]].concat(),
                    "is a setting of Redis, but `url` names a SQLite file; remove one of the two",
                );
                table.refuse_given(
                    &["prefix"],
                    "is a setting of Redis, but `url` names a SQLite file; remove it, and give each \
                     application a file of its own",
                );
                if serves == Serves::CloudRun {
                    table.refuse(
                        "url",
                        "names a SQLite file, but this is Cloud Run (K_SERVICE is set), where each \
                         instance has files of its own and loses them when it stops; use Redis",
                    );
                }
            }
        }
    }

    /// Rejects invalid values. The messages are in `rules`.
    fn check(&self, table: &mut Table<'_>) {
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
}

#[cfg(test)]
mod tests {
    use super::super::settings::{DAY, HOUR};
    use super::*;

    fn read(toml: &str) -> Result<Config, String> {
        use figment::providers::{Format, Toml};
        let text = format!("[default.session]\n{toml}");
        let figment = Figment::from(Toml::string(&text).nested());
        Config::extract(&figment)
            .map_err(|it| it.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn defaults_follow_the_settings_that_are_set() {
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
    fn error_names_a_setting_that_was_set() {
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
    fn all_errors_are_reported_at_once_in_plain_words() {
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
    fn redis_setting_is_refused_with_a_sqlite_file() {
        for (key, value) in [("prefix", "'a:'"), ("connections", "2"), ("ca_file", "'a'")] {
            let text = read(&format!("url = 'sqlite:sessions.db'\n{key} = {value}")).unwrap_err();
            let start =
                format!("`session.{key}` is a setting of Redis, but `url` names a SQLite file");
            assert!(text.starts_with(&start), "{text}");
        }
        assert!(read("url = 'sqlite:sessions.db'\nqueue = 100\ndeadline = '1s'").is_ok());
    }

    #[test]
    fn tls_setting_is_refused_without_encryption() {
        for key in ["ca_file", "client_cert_file", "client_key_file", "tls_server_name"] {
            let text = read(&format!("url = 'redis://h'\n{key} = 'a'")).unwrap_err();
            assert!(text.starts_with(&format!("`session.{key}` is set, but")), "{text}");
            assert!(read(&format!("url = 'rediss://h'\n{key} = 'a'")).is_ok());
        }
    }
}
