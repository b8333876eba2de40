//! The settings of an import.

use std::fmt;
use std::sync::Arc;

use super::new_session::NewSession;
use super::old_session::OldSession;
use crate::error::Result;
use crate::store::{Redis, hash_tag};

/// Makes a new session of an old one.
pub(super) type CarryOver = dyn Fn(&OldSession) -> Result<NewSession> + Send + Sync;

/// The settings of an import: which Express sessions are imported, and how they are converted. See
/// the [module documentation](super).
///
/// ```
/// use rocket_server_sessions::Session;
/// use rocket_server_sessions::express::{Import, NewSession};
///
/// let import = Import::new("the secret", |_| Ok(NewSession::default()))
///     .previous_secret("the secret before")
///     .cookie_name("sid")
///     .prefix("shop:");
/// let rocket = rocket::build().attach(Session::fairing().import(import));
/// ```
#[derive(Clone)]
pub struct Import {
    pub(super) secrets: Vec<String>,
    pub(super) cookie_name: String,
    pub(super) cookie_domain: Option<String>,
    pub(super) cookie_path: Option<String>,
    pub(super) prefix: String,
    pub(super) redis: Option<Arc<Redis>>,
    pub(super) carry_over: Arc<CarryOver>,
}

impl Import {
    /// Takes over the sessions whose cookies are signed with `secret`, the `secret` of
    /// express-session.
    ///
    /// `carry_over` converts an old session into a new one. It may be called more than once for the
    /// same session, so it should have no side effects.
    #[must_use]
    pub fn new(
        secret: &str,
        carry_over: impl Fn(&OldSession) -> Result<NewSession> + Send + Sync + 'static,
    ) -> Self {
        Self {
            secrets: vec![secret.to_owned()],
            cookie_name: "connect.sid".to_owned(),
            cookie_domain: None,
            cookie_path: None,
            prefix: "sess:".to_owned(),
            redis: None,
            carry_over: Arc::new(carry_over),
        }
    }

    /// Also accepts cookies that are signed with an earlier secret, such as the second item of
    /// express-session's `secret` array.
    #[must_use]
    pub fn previous_secret(mut self, secret: &str) -> Self {
        self.secrets.push(secret.to_owned());
        self
    }

    /// The `name` of express-session. _Default:_ `connect.sid`.
    #[must_use]
    pub fn cookie_name(self, name: &str) -> Self {
        Self { cookie_name: name.to_owned(), ..self }
    }

    /// The `cookie.domain` of express-session. Browsers remove the old cookie only if the response names
    /// it. Old records contain it, so this is for cookies whose record is gone. _Default:_ none.
    #[must_use]
    pub fn cookie_domain(self, domain: &str) -> Self {
        Self { cookie_domain: Some(domain.to_owned()), ..self }
    }

    /// The `cookie.path` of express-session, for the same purpose as
    /// [`cookie_domain`](Self::cookie_domain). _Default:_ `/`.
    #[must_use]
    pub fn cookie_path(self, path: &str) -> Self {
        Self { cookie_path: Some(path.to_owned()), ..self }
    }

    /// The `prefix` of connect-redis. _Default:_ `sess:`.
    #[must_use]
    pub fn prefix(self, prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..self }
    }

    /// The Redis in which the old sessions are. _Default:_ that of `url` in `[default.session]`, unless
    /// the application has a custom store.
    ///
    /// Claims are stored there too, under the prefix of this `Redis`, which must be the same on all
    /// instances.
    #[must_use]
    pub fn redis(self, redis: impl Into<Arc<Redis>>) -> Self {
        Self { redis: Some(redis.into()), ..self }
    }

    /// What is wrong with the settings.
    pub(super) fn mistake(&self) -> Option<&'static str> {
        let is_printable = |it: &str| it.bytes().all(|byte| byte.is_ascii_graphic());
        let is_name =
            |it: &str| is_printable(it) && !it.is_empty() && !it.contains(['=', ';', ',']);
        let is_host = |it: &String| {
            !it.is_empty()
                && it.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        };
        let is_path = |it: &String| it.starts_with('/') && is_printable(it) && !it.contains(';');
        let (domain, path) = (self.cookie_domain.as_ref(), self.cookie_path.as_ref());
        let is_scoped = domain.is_some() || path.is_some_and(|it| it != "/");
        let has_braces = self.prefix.contains(['{', '}']);
        if self.secrets.iter().any(String::is_empty) {
            Some("has an empty secret; pass the `secret` of express-session")
        } else if !is_name(&self.cookie_name) {
            Some("has a `cookie_name` that no cookie can have; pass the `name` of express-session")
        } else if domain.is_some_and(|it| !is_host(it)) {
            Some(
                "has a `cookie_domain` that is no host name; pass the `cookie.domain` of express-session",
            )
        } else if path.is_some_and(|it| !is_path(it)) {
            Some(
                "has a `cookie_path` that no cookie can have; pass the `cookie.path` of express-session",
            )
        } else if self.cookie_name.starts_with("__Host-") && is_scoped {
            Some(
                "has a `cookie_domain` or a `cookie_path`, but no cookie whose name begins with `__Host-` can have one; remove it",
            )
        } else if !is_printable(&self.prefix) || has_braces && hash_tag(&self.prefix).is_none() {
            Some("has a `prefix` with spaces, control characters or a single brace")
        } else {
            None
        }
    }
}

impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Import")
            .field("cookie_name", &self.cookie_name)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let import = |secret| Import::new(secret, |_| Ok(NewSession::default()));
        let scoped = |name| import("cat").cookie_name(name).cookie_domain(".example.com");
        for good in [
            import("cat"),
            import("cat").prefix(""),
            import("cat").prefix("{shop}:s:"),
            scoped("__Secure-sid").cookie_path("/shop"),
            import("cat").cookie_name("__Host-sid").cookie_path("/"),
        ] {
            assert_eq!(good.mistake(), None, "{good:?}");
        }
        for bad in [
            import(""),
            import("cat").previous_secret(""),
            import("cat").cookie_name(""),
            import("cat").cookie_name("a=b"),
            import("cat").prefix("my shop:"),
            import("cat").prefix("shop}:"),
            import("cat").cookie_domain(""),
            import("cat").cookie_domain("https://example.com"),
            import("cat").cookie_domain("example.com; Path=/"),
            import("cat").cookie_path(""),
            import("cat").cookie_path("shop"),
            import("cat").cookie_path("/; Domain=a"),
            scoped("__Host-sid"),
            import("cat").cookie_name("__Host-sid").cookie_path("/shop"),
        ] {
            assert!(bad.mistake().is_some(), "{bad:?}");
        }
    }
}
