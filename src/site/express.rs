//! The setting `[default.express]`: imports the sessions of the Express demo.
//!
//! The demo of express-session counts views in `req.session.views`: one number, or a number for each
//! path. Paths that are not pages here are ignored.

use std::collections::BTreeMap;

use figment::Figment;
use rocket_server_sessions::express::{Import, NewSession, OldSession};
use rocket_server_sessions::{self as session, Session, SessionFairing, SettingError};
use serde::Deserialize;

use super::page::Page;

/// The setting: which sessions are imported.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Express {
    secret: Option<Secret>,
    prefix: Option<String>,
    cookie_name: Option<String>,
    cookie_domain: Option<String>,
    cookie_path: Option<String>,
}

/// A secret, or a list with the current one first, as express-session takes them.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a secret, or a list of secrets, the current one first")]
enum Secret {
    One(String),
    Several(Vec<String>),
}

impl Express {
    pub(crate) const KEY: &str = "express";

    /// Reads the setting. `None` if it is not set.
    pub(crate) fn extract(figment: &Figment) -> Result<Option<Self>, Vec<SettingError>> {
        match figment.extract_inner::<Self>(Self::KEY) {
            Ok(express) if !express.has_secrets() => {
                let mut error = figment::Error::from(NO_SECRET.to_owned()).with_path(SECRET);
                error.metadata = figment.find_metadata(Self::KEY).cloned();
                Err(SettingError::all(error))
            }
            Ok(express) => Ok(Some(express)),
            Err(_) if !figment.contains(Self::KEY) => Ok(None),
            Err(error) => Err(SettingError::all(error)),
        }
    }

    /// The fairing of sessions, with the import if it is set.
    pub(crate) fn sessions(figment: &Figment) -> SessionFairing {
        let sessions = Session::fairing();
        match Self::extract(figment) {
            Ok(Some(express)) => sessions.import(express.import()),
            // The site's stage reports errors.
            Ok(None) | Err(_) => sessions,
        }
    }

    fn import(&self) -> Import {
        let secrets = self.secrets();
        let current = secrets.first().map_or("", String::as_str);
        let mut import = Import::new(current, carry_over);
        for secret in secrets.iter().skip(1) {
            import = import.previous_secret(secret);
        }
        if let Some(prefix) = &self.prefix {
            import = import.prefix(prefix);
        }
        if let Some(name) = &self.cookie_name {
            import = import.cookie_name(name);
        }
        if let Some(domain) = &self.cookie_domain {
            import = import.cookie_domain(domain);
        }
        if let Some(path) = &self.cookie_path {
            import = import.cookie_path(path);
        }
        import
    }

    fn has_secrets(&self) -> bool {
        let secrets = self.secrets();
        !secrets.is_empty() && !secrets.iter().any(String::is_empty)
    }

    fn secrets(&self) -> &[String] {
        match &self.secret {
            Some(Secret::One(secret)) => std::slice::from_ref(secret),
            Some(Secret::Several(secrets)) => secrets,
            None => &[],
        }
    }
}

const SECRET: &str = "express.secret";
const NO_SECRET: &str = "it must be the `secret` of express-session, or a list of its secrets";

/// The field `views` of the demo's sessions.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number, or a number for each path")]
enum Views {
    Home(i64),
    ByPath(BTreeMap<String, i64>),
}

fn carry_over(old: &OldSession) -> session::Result<NewSession> {
    let views = match old.get::<Views>("views")? {
        None => BTreeMap::new(),
        Some(Views::Home(views)) => BTreeMap::from([(Page::Home.path().to_owned(), views)]),
        Some(Views::ByPath(views)) => views,
    };
    let counts = Page::ALL.into_iter().filter_map(|page| Some((page, *views.get(page.path())?)));
    Ok(counts.fold(NewSession::default(), |new, (page, views)| new.insert(page.views(), views)))
}
