//! Claims: which new session an old one becomes.

use std::sync::Arc;
use std::time::Duration;

use cookie::Cookie;
use figment::Figment;
use rocket::Request;

use super::cookie::{OldId, Unverified};
use super::import::Import;
use super::new_session::NewSession;
use super::old_session::OldSession;
use crate::config::{Config, Place, SettingError, StoreUrl};
use crate::error::Result;
use crate::finding::Finding;
use crate::limited_log::LogLimit;
use crate::session_cookie::{CookieValue, KeyRing};
use crate::store::{ClaimReply, Redis, RedisSettings, StoreError};

/// Imports old sessions.
pub(crate) struct Importer {
    import: Import,
    redis: Arc<Redis>,
    /// For old sessions that cannot be taken over.
    log: LogLimit,
    /// For cookies that no secret verifies.
    unverified: LogLimit,
}

/// What an old session becomes.
pub(crate) enum Claim {
    /// Nothing: there is no old session.
    Nothing,
    /// Nothing: there is an old session, but it cannot be used.
    Unusable,
    /// It was imported before, into this session; or it was empty.
    Closed(Option<CookieValue>),
    /// A session that has this identity.
    Open(CookieValue, OldSession),
}

/// The words that a claim begins with. The scripts know them, too.
const OPEN: &str = "open ";
const CLOSED: &str = "closed ";

impl Importer {
    pub(crate) fn open(
        import: &Import,
        figment: &Figment,
        config: &Config,
        url: Option<&StoreUrl>,
    ) -> Result<Self, Vec<SettingError>> {
        let error = |key: &str, why: &str| {
            vec![SettingError::new(figment, &format!("{}.{key}", Config::KEY), why)]
        };
        if let Some(why) = import.mistake() {
            return Err(vec![SettingError::new(figment, "Import", why)]);
        }
        let redis = match (&import.redis, url) {
            (Some(redis), _) => redis.clone(),
            (None, Some(url)) if matches!(url.locate(), Ok(Place::File(_))) => {
                return Err(error("url", NOT_REDIS));
            }
            (None, Some(url)) => Redis::open(&RedisSettings::from_config(config, url))
                .map(Arc::new)
                .map_err(|wrong| error(wrong.key(), &wrong.to_string()))?,
            (None, None) => return Err(error("url", NO_REDIS)),
        };
        let (log, unverified) = (LogLimit::new(), LogLimit::new());
        Ok(Self { import: import.clone(), redis, log, unverified })
    }

    /// Checks whether the old sessions can be imported, unless one of the checks before has failed.
    /// Blocks.
    pub(crate) fn probe_after(&self, findings: &[Finding]) -> Option<Finding> {
        Finding::are_ok(findings).then(|| self.redis.probe_claims(&self.import.prefix))
    }

    /// The old session of a request. Does no I/O.
    pub(crate) fn find(&self, request: &Request<'_>) -> Result<Option<OldId>, Unverified> {
        OldId::of(request, &self.import.cookie_name, &self.import.secrets)
    }

    /// Logs that a cookie's signature fits no secret. Anybody can send such a cookie.
    pub(crate) fn report_unverified(&self) {
        if let Some(left_out) = self.unverified.due() {
            log::warn!(
                "a cookie `{}` of Express is signed with none of the import's secrets, so its visitor \
                 begins a new session: if this continues, check that the secrets are exactly the \
                 `secret` of express-session, including earlier ones{left_out}",
                self.import.cookie_name
            );
        }
    }

    /// Claims an old session for the identity `proposed`, unless another request has claimed it before.
    pub(crate) async fn claim(
        &self,
        old: &OldId,
        keys: &KeyRing,
        proposed: &CookieValue,
        ttl: Duration,
    ) -> Result<Claim, StoreError> {
        let proposed = format!("{OPEN}{}", keys.encrypt(&context(old), proposed));
        let (claim, record) = match self.redis.claim(&self.key(old), &proposed, ttl).await? {
            ClaimReply::Nothing => return Ok(Claim::Nothing),
            ClaimReply::NoText => {
                self.report("it is not a string, as connect-redis writes them");
                return Ok(Claim::Unusable);
            }
            ClaimReply::Closed(claim) if claim == CLOSED => return Ok(Claim::Closed(None)),
            ClaimReply::Closed(claim) => (claim, None),
            ClaimReply::Open { claim, record } => (claim, Some(record)),
        };
        let sealed = claim.strip_prefix(OPEN).or_else(|| claim.strip_prefix(CLOSED));
        let Some((identity, _)) = sealed.and_then(|it| keys.decrypt(&context(old), it)) else {
            self.report("no key decrypts its claim; is an earlier key missing in `previous_keys`?");
            return Ok(Claim::Unusable);
        };
        let Some(record) = record else { return Ok(Claim::Closed(Some(identity))) };
        let Ok(old) = OldSession::parse(&record) else {
            self.report("its record is not a JSON object");
            return Ok(Claim::Unusable);
        };
        Ok(Claim::Open(identity, old))
    }

    /// Removes the old record. From now on, its cookie leads to `identity`. Returns `false` if another
    /// request has ended the old session meanwhile, so that its cookie leads to nothing.
    pub(crate) async fn close(
        &self,
        old: &OldId,
        keys: &KeyRing,
        identity: Option<&CookieValue>,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let sealed = identity.map(|it| keys.encrypt(&context(old), it)).unwrap_or_default();
        let claim = format!("{CLOSED}{sealed}");
        Ok(self.redis.close_claim(&self.key(old), &claim, ttl).await? != CLOSED)
    }

    /// Removes the old record. From now on, its cookie leads to nothing.
    pub(crate) async fn end(&self, old: &OldId, ttl: Duration) -> Result<(), StoreError> {
        self.redis.end_claim(&self.key(old), CLOSED, ttl).await
    }

    /// Makes a new session of an old one.
    pub(crate) fn carry_over(&self, old: &OldSession) -> Result<NewSession> {
        (self.import.carry_over)(old)
    }

    /// Logs why an old session is not imported. Many may have the same fault.
    pub(crate) fn report(&self, why: &str) {
        if let Some(left_out) = self.log.due() {
            log::error!(
                "a session of Express cannot be imported, so its visitor begins a new one: \
                 {why}{left_out}"
            );
        }
    }

    /// The `Set-Cookie` value that removes the old cookie, with the scope that its record names. If that
    /// is gone, with the scope in the settings.
    pub(crate) fn removal(&self, old: Option<&OldSession>) -> String {
        let Import { cookie_name, cookie_path, cookie_domain, .. } = &self.import;
        let (path, domain) = old
            .and_then(OldSession::cookie_scope)
            .unwrap_or((cookie_path.as_deref(), cookie_domain.as_deref()));
        let mut cookie = Cookie::new(cookie_name.as_str(), "");
        cookie.set_path(path.unwrap_or("/"));
        // Browsers demand it of the prefixes `__Host-` and `__Secure-`.
        cookie.set_secure(cookie_name.starts_with("__"));
        if let Some(domain) = domain {
            cookie.set_domain(domain);
        }
        cookie.make_removal();
        cookie.to_string()
    }

    fn key(&self, old: &OldId) -> String {
        format!("{}{}", self.import.prefix, old.as_str())
    }
}

/// What a claim is bound to. It is not the name of a cookie, so a claim cannot be used as one.
fn context(old: &OldId) -> String {
    format!("express:{}", old.as_str())
}

const NO_REDIS: &str = "is not set, or not used because of a custom store; set it to the URL of the Redis \
                        with Express's sessions, or pass that Redis to `Import::redis`";

const NOT_REDIS: &str = "names a SQLite file, and Express's sessions are in a Redis; pass that Redis to \
                         `Import::redis`";
