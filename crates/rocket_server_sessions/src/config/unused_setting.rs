//! Unused settings.

use std::fmt;

use figment::value::{Dict, Value};
use figment::{Figment, Profile};

use super::rules::nearest;
use super::setting_error::place;
use super::settings::Config;

/// An unknown setting, profile or variable, which Rocket silently ignores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusedSetting {
    message: String,
    is_about_sessions: bool,
}

impl UnusedSetting {
    /// Finds settings that neither Rocket nor this crate reads. `known` lists the keys that your
    /// application reads.
    ///
    /// The fairing only warns about names similar to `session`, because it does not know your
    /// application's keys.
    ///
    /// ```
    /// use rocket::figment::Figment;
    /// use rocket_server_sessions::UnusedSetting;
    ///
    /// let figment = Figment::from(rocket::Config::default());
    /// let figment = figment.merge(("prot", 8080)).merge(("metrics_port", 9090));
    /// let unused = UnusedSetting::find(&figment, &["metrics_port"]);
    /// assert!(unused[0].to_string().contains("did you mean `port`?"));
    /// # assert_eq!(unused.len(), 1);
    /// ```
    #[must_use]
    pub fn find(figment: &Figment, known: &[&str]) -> Vec<Self> {
        let rockets: Dict = Figment::from(rocket::Config::default()).extract().unwrap_or_default();
        let mut names: Vec<_> = rockets.keys().map(String::as_str).collect();
        // Rocket reads the variables ROCKET_CONFIG and ROCKET_PROFILE itself.
        names.extend([Config::KEY, "secret_key", "config", "profile"]);
        names.extend(known);
        let given: Dict = figment.extract().unwrap_or_default();
        let mut keys = Self::keys(figment, "", &given, &names);
        // Rocket's tables. Limits may have any name.
        for (table, value) in rockets.iter().filter(|(table, _)| *table != "limits") {
            if let (Some(known), Some(given)) =
                (value.as_dict(), given.get(table).and_then(Value::as_dict))
            {
                let known: Vec<_> = known.keys().map(String::as_str).collect();
                keys.extend(Self::keys(figment, &format!("{table}."), given, &known));
            }
        }
        let profiles = figment.profiles().chain([figment.profile()]);
        let mut profiles: Vec<_> =
            profiles.filter_map(|it| Self::profile(figment, it, &names)).collect();
        profiles.dedup();
        [keys, profiles].concat()
    }

    /// Finds likely misspellings of `session`.
    pub(crate) fn about_sessions(figment: &Figment) -> Vec<Self> {
        Self::find(figment, &[]).into_iter().filter(|it| it.is_about_sessions).collect()
    }

    /// Returns `true` if the fairing warns about it.
    #[must_use]
    pub fn is_about_sessions(&self) -> bool {
        self.is_about_sessions
    }

    fn keys(figment: &Figment, table: &str, given: &Dict, names: &[&str]) -> Vec<Self> {
        let unused = given.keys().filter(|key| !names.contains(&key.as_str()));
        unused.map(|key| Self::key(figment, table, key, names)).collect()
    }

    fn key(figment: &Figment, table: &str, key: &str, names: &[&str]) -> Self {
        let meant = nearest(key, names.iter().copied());
        let path = format!("{table}{key}");
        let remedy = match (path.as_str(), meant) {
            (path, _) if path.starts_with("session_") => {
                let key = &path["session_".len()..];
                format!("; all session settings go into one variable: ROCKET_SESSION='{{{key}=…}}'")
            }
            ("tls", _) => "; this build of Rocket does not serve TLS".to_owned(),
            (_, Some(meant)) => format!("; did you mean `{meant}`?"),
            (_, None) => String::new(),
        };
        let place = place(figment, &path).map(|it| format!(" (set in {it})")).unwrap_or_default();
        let message = format!("the setting `{path}` has no effect{remedy}{place}");
        Self { message, is_about_sessions: meant == Some(Config::KEY) }
    }

    /// The first part of a table's name may be any profile. So a profile is only reported if its
    /// name is similar to a known one, or if it is selected and has no settings.
    fn profile(figment: &Figment, profile: &Profile, names: &[&str]) -> Option<Self> {
        const USUAL: [&str; 4] = ["default", "global", "debug", "release"];
        let name = profile.as_str().as_str();
        if USUAL.contains(&name) {
            return None;
        }
        let meant = nearest(name, names.iter().copied());
        let is_selected = profile == figment.profile();
        let message = if let Some(meant) = meant {
            format!(
                "the table `[{name}]` has no effect, because `{name}` is read as a profile; write \
                 `[default.{meant}]`"
            )
        } else if is_selected && !figment.profiles().any(|it| it == profile) {
            let meant = nearest(name, USUAL.into_iter());
            let meant = meant.map(|it| format!("; did you mean `{it}`?")).unwrap_or_default();
            format!("there are no settings for the selected profile `{name}`{meant}")
        } else if !is_selected && let Some(meant) = nearest(name, USUAL.into_iter()) {
            format!("the profile `{name}` has no effect; did you mean `{meant}`?")
        } else {
            return None;
        };
        Some(Self { message, is_about_sessions: meant == Some(Config::KEY) })
    }
}

impl fmt::Display for UnusedSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use figment::providers::{Format, Toml};

    use super::*;

    fn find(toml: &str) -> Vec<String> {
        let figment = Figment::from(rocket::Config::debug_default())
            .merge(Toml::string(toml).nested())
            .select("debug");
        let found = UnusedSetting::find(&figment, &["metrics_port"]);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn unknown_names_are_found_with_the_nearest_known_one() {
        for (toml, told) in [
            ("[default.sesion]\nprefix = 'a'", "`session`"),
            ("[session]\nprefix = 'a'", "`[default.session]`"),
            ("[sessions]\nprefix = 'a'", "`[default.session]`"),
            ("[limits]\nform = 1", "`[default.limits]`"),
            ("[default]\nprot = 8080", "`port`"),
            ("[debug]\nadress = '::1'", "`address`"),
            ("[default]\nmetric_port = 1", "`metrics_port`"),
            ("[default]\nsomething = 1", "`something`"),
            ("[default.tls]\nkey = 'a'", "does not serve TLS"),
            (
                "[default.shutdown]\ngarce = 1",
                "`shutdown.garce` has no effect; did you mean `grace`?",
            ),
            ("[defualt]\nport = 1", "`default`"),
            ("[relase]\nport = 1", "`release`"),
        ] {
            let found = find(toml);
            assert!(found.len() == 1 && found[0].contains(told), "{toml}: {found:?}");
        }
    }

    #[test]
    fn names_that_are_read_are_not_reported() {
        let found = find(
            "[default]\nport = 1\nmetrics_port = 2\nsecret_key = 'a'\n[default.session]\n\
             prefix = 'a'\n[release]\nport = 3\n[global.limits]\nform = 1\n[staging]\nport = 4",
        );
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn selected_profile_without_settings_is_reported() {
        let figment = Figment::from(rocket::Config::debug_default()).select("relase");
        let found = UnusedSetting::find(&figment, &[]);
        assert!(found[0].to_string().contains("did you mean `release`?"), "{found:?}");
    }
}
