//! Session ids and tokens.

#[cfg(all(test, feature = "redis"))]
use std::cell::RefCell;
use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rocket::http::impl_from_uri_param_identity;
use rocket::http::uri::fmt::{Formatter, Path, UriDisplay};
use rocket::request::FromParam;
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use crate::time::unix;

/// The public id of a session. It is safe to log and display, and grants no access.
///
/// It is a UUID v7, which contains the creation time in milliseconds. It stays the same when the
/// token [changes].
///
/// ```
/// use rocket_server_sessions::PublicId;
///
/// let id = PublicId::parse("01a20ae1-f18c-7d29-891b-262bdedc1ea2").unwrap();
/// assert_eq!(id.to_string(), "01a20ae1-f18c-7d29-891b-262bdedc1ea2");
/// assert!(PublicId::parse("f47ac10b-58cc-4372-a567-0e02b2c3d479").is_none(), "version 4");
/// ```
///
/// [changes]: crate::Session::regenerate
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicId(Uuid);

impl PublicId {
    /// The id of no session.
    #[cfg(feature = "express")]
    pub(crate) const NIL: Self = Self(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000));

    /// A new id, created at `now`.
    pub(crate) fn new(now: SystemTime) -> Self {
        let millis = u64::try_from(unix(now).as_millis()).unwrap_or(u64::MAX);
        let mut random = [0; 10];
        fill(&mut random);
        Self(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// Parses a UUID. `None` if it is not a version 7 UUID.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::of(Uuid::try_parse(text).ok()?)
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        Self::of(Uuid::from_bytes(bytes))
    }

    fn of(uuid: Uuid) -> Option<Self> {
        (uuid.get_version_num() == 7).then_some(Self(uuid))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// When the session was created, to the millisecond.
    #[must_use]
    pub fn created(self) -> SystemTime {
        let (secs, nanos) = self.0.get_timestamp().map_or((0, 0), |time| time.to_unix());
        SystemTime::UNIX_EPOCH + Duration::new(secs, nanos)
    }
}

/// An id can be a route parameter. If the segment is not an id, the request is forwarded to the
/// next matching route.
///
/// ```
/// use rocket_server_sessions::{PublicId, Result, User, UserSessions};
///
/// #[rocket::post("/log-out/<id>")]
/// async fn log_out(id: PublicId, user: User, users: UserSessions<'_>) -> Result<()> {
///     users.destroy(&user.name, id).await.map(drop)
/// }
///
/// # let id = PublicId::parse("01a20ae1-f18c-7d29-891b-262bdedc1ea2").unwrap();
/// let uri = rocket::uri!(log_out(id));
/// # assert_eq!(uri, "/log-out/01a20ae1-f18c-7d29-891b-262bdedc1ea2");
/// ```
impl<'a> FromParam<'a> for PublicId {
    type Error = &'a str;

    fn from_param(param: &'a str) -> Result<Self, Self::Error> {
        Self::parse(param).ok_or(param)
    }
}

impl UriDisplay<Path> for PublicId {
    fn fmt(&self, f: &mut Formatter<'_, Path>) -> fmt::Result {
        f.write_value(self.to_string())
    }
}

impl_from_uri_param_identity!([Path] PublicId);

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The secret in a session's cookie: 32 random bytes from the operating system.
///
/// OWASP ASVS 5.0 (7.2.3) requires at least 128 bits. Tokens are never logged. Stores only see the
/// [`TokenHash`]; the claim of an import from Express contains the token, encrypted.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token([u8; 32]);

impl Token {
    pub(crate) fn generate() -> Self {
        let mut bytes = [0; 32];
        fill(&mut bytes);
        Self(bytes)
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash(short_hash(&self.0))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

/// The first 128 bits of the SHA-256 of a session's token. It identifies the record, but the cookie
/// cannot be derived from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 16]);

impl TokenHash {
    /// The hash of no token.
    pub(crate) const NIL: Self = Self([0; 16]);

    /// Parses the output of [`encode`](Self::encode).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Returns 22 characters of base64url, as used in keys.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Appends the output of [`encode`](Self::encode).
    #[cfg(feature = "redis")]
    pub(crate) fn encode_into(&self, text: &mut String) {
        URL_SAFE_NO_PAD.encode_string(self.0, text);
    }

    /// Eight hexadecimal digits for display. They are derived from the hash and do not reveal it.
    #[must_use]
    pub fn short(&self) -> String {
        let hash = Sha256::digest(self.0);
        format!("{:02x}{:02x} {:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash([redacted])")
    }
}

/// The first 128 bits of the SHA-256 of `bytes`.
pub(crate) fn short_hash(bytes: &[u8]) -> [u8; 16] {
    let hash = Sha256::digest(bytes);
    let mut start = [0; 16];
    start.copy_from_slice(&hash[..16]);
    start
}

fn fill(bytes: &mut [u8]) {
    #[cfg(all(test, feature = "redis"))]
    if GENERATOR.with_borrow_mut(|it| it.as_mut().map(|fill| fill(bytes))).is_some() {
        return;
    }
    getrandom::fill(bytes).expect("the operating system has a random generator");
}

/// Fills in random bytes.
#[cfg(all(test, feature = "redis"))]
type Generator = Box<dyn FnMut(&mut [u8])>;

#[cfg(all(test, feature = "redis"))]
thread_local! {
    /// What a test uses instead of the operating system's generator.
    static GENERATOR: RefCell<Option<Generator>> = const { RefCell::new(None) };
}

/// Makes new ids and tokens of this thread consist of what `fill` writes, so that a test can be
/// repeated.
#[cfg(all(test, feature = "redis"))]
pub(crate) fn fill_with(fill: impl FnMut(&mut [u8]) + 'static) {
    GENERATOR.set(Some(Box::new(fill)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_id_tells_when_the_session_was_created() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123);
        let id = PublicId::new(now);
        assert_eq!(id.created(), now);
        assert_eq!(PublicId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn debug_shows_no_token_and_no_hash() {
        let token = Token::generate();
        let hash = token.hash();
        let shown = format!("{token:?} {hash:?}");
        assert_eq!(shown, "Token([redacted]) TokenHash([redacted])");
    }

    #[test]
    fn short_form_tells_hashes_apart() {
        let hashes: Vec<_> = (0..3).map(|_| Token::generate().hash()).collect();
        let short: Vec<_> = hashes.iter().map(TokenHash::short).collect();
        assert!(short[0] != short[1] && short[1] != short[2] && short[2] != short[0], "{short:?}");
    }
}
