//! The settings of the cookie. Their defaults depend on each other, and some combinations are
//! invalid.

use figment::Figment;

use super::same_site::SameSite;
use super::settings::COOKIE_NAME;
use super::table::Table;

/// The cookie's name, and when browsers keep and return it.
pub(super) struct CookieSettings {
    pub(super) name: String,
    pub(super) insecure_http: bool,
    pub(super) same_site: SameSite,
}

impl CookieSettings {
    /// The default name without `Secure`.
    const INSECURE_NAME: &'static str = "session";

    /// The longest name. A browser refuses a cookie whose name and value have more than 4096 bytes.
    const MAX_NAME: usize = 256;

    /// Reads the settings. Defaults follow the settings: a name with a prefix, and
    /// `same_site = "none"`, need `Secure`.
    pub(super) fn read(table: &mut Table<'_>, serves: Serves) -> Self {
        let name: Option<String> = table.get("cookie_name");
        let same_site: Option<SameSite> = table.get("same_site");
        let insecure_http: Option<bool> = table.get("insecure_http");
        let needs_secure =
            same_site == Some(SameSite::None) || name.as_deref().is_some_and(is_prefixed);
        let insecure_http =
            insecure_http.unwrap_or(serves == Serves::HttpInDevelopment && !needs_secure);
        let default = if insecure_http { Self::INSECURE_NAME } else { COOKIE_NAME };
        Self {
            name: name.unwrap_or_else(|| default.to_owned()),
            insecure_http,
            same_site: same_site.unwrap_or_default(),
        }
    }

    /// Rejects values that are invalid or do not fit together.
    pub(super) fn check(&self, table: &mut Table<'_>, serves: Serves) {
        table.check(
            "cookie_name",
            (1..=Self::MAX_NAME).contains(&self.name.len()) && self.name.bytes().all(is_token),
        );
        if !self.insecure_http {
            return;
        }
        if is_prefixed(&self.name) {
            table.refuse(
                "cookie_name",
                "has a prefix that browsers only accept with `Secure`, but `insecure_http` is set; \
                 choose a name without the prefix, or remove `insecure_http`",
            );
        }
        if self.same_site == SameSite::None {
            table.refuse(
                "same_site",
                "is \"none\", which browsers only accept with `Secure`, but `insecure_http` is \
                 set; remove one of the two",
            );
        }
        if serves == Serves::CloudRun {
            table.refuse(
                "insecure_http",
                "is `true`, but this is Cloud Run (K_SERVICE is set), which serves HTTPS, so the \
                 cookie must have `Secure`; remove the setting",
            );
        }
    }
}

/// How visitors reach the application, as far as the configuration tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serves {
    /// The profile is `debug`, without TLS: most likely over plain HTTP.
    HttpInDevelopment,
    /// The platform serves HTTPS.
    CloudRun,
    /// Anything else: most likely HTTPS.
    Https,
}

impl Serves {
    pub(super) fn of(figment: &Figment) -> Self {
        let has_tls = || figment.extract::<rocket::Config>().is_ok_and(|it| it.tls_enabled());
        if std::env::var_os("K_SERVICE").is_some_and(|name| !name.is_empty()) {
            Self::CloudRun
        } else if figment.profile() == rocket::Config::DEBUG_PROFILE && !has_tls() {
            Self::HttpInDevelopment
        } else {
            Self::Https
        }
    }
}

/// RFC 6265bis, section 4.1.3: names with these beginnings, in any case, need `Secure`.
fn is_prefixed(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["__host-", "__secure-", "__http-"].iter().any(|prefix| name.starts_with(prefix))
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use figment::providers::{Format, Toml};

    use super::super::settings::Config;
    use super::*;

    fn read(profile: &'static str, toml: &str) -> Result<Config, String> {
        let text = format!("[default.session]\n{toml}");
        let figment = Figment::from(Toml::string(&text).nested()).select(profile);
        Config::extract(&figment)
            .map_err(|it| it.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn plain_http_works_only_in_the_debug_profile_unless_settings_say_otherwise() {
        for (profile, toml, name, insecure_http) in [
            ("debug", "", "session", true),
            ("release", "", "__Host-session", false),
            ("staging", "", "__Host-session", false),
            ("debug", "insecure_http = false", "__Host-session", false),
            ("release", "insecure_http = true", "session", true),
            ("debug", "cookie_name = 'sid'", "sid", true),
            ("release", "cookie_name = 'sid'", "sid", false),
            ("debug", "cookie_name = '__Host-sid'", "__Host-sid", false),
            ("debug", "cookie_name = '__secure-sid'", "__secure-sid", false),
            ("debug", "cookie_name = '__Host-Http-sid'", "__Host-Http-sid", false),
            ("debug", "cookie_name = '__session'", "__session", true),
            ("debug", "same_site = 'none'", "__Host-session", false),
            ("debug", "same_site = 'strict'", "session", true),
        ] {
            let config = read(profile, toml).unwrap();
            let read = (config.cookie_name.as_str(), config.insecure_http);
            assert_eq!(read, (name, insecure_http), "{profile}: {toml}");
        }
    }

    #[test]
    fn settings_that_browsers_refuse_without_secure_are_refused_with_a_remedy() {
        for (toml, blamed) in [
            ("insecure_http = true\ncookie_name = '__Host-sid'", "cookie_name"),
            ("insecure_http = true\ncookie_name = '__SECURE-sid'", "cookie_name"),
            ("insecure_http = true\nsame_site = 'none'", "same_site"),
        ] {
            for profile in ["debug", "release"] {
                let text = read(profile, toml).unwrap_err();
                assert!(text.starts_with(&format!("`session.{blamed}` ")), "{text}");
                assert!(text.contains("`insecure_http` is set"), "{text}");
                assert!(text.contains("remove") && text.lines().count() == 1, "{text}");
            }
        }
    }

    #[test]
    fn cookie_name_must_be_a_token() {
        for name in ["__session", "connect.sid", "a", "!#$%&'*+-.^_`|~09AZ", "__Host-"] {
            let toml = format!("cookie_name = \"{name}\"");
            assert_eq!(read("release", &toml).unwrap().cookie_name, name);
        }
        let long = "a".repeat(257);
        for name in ["", "a b", "a=b", "a;b", "a,b", "a\\tb", "sitzung\u{e4}", "(a)", &long] {
            let text = read("release", &format!("cookie_name = \"{name}\"")).unwrap_err();
            assert!(text.starts_with("`session.cookie_name` must be"), "{text}");
        }
    }
}
