//! Who a session is: a public id, and a secret that proves it.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

/// Names a session, publicly: it may be logged and shown, and proves nothing.
///
/// It is a UUID of version 7, so it carries the session's birth to the millisecond, and it stays
/// the same for as long as the session lives, also when its secret is [regenerated].
///
/// [regenerated]: crate::Session::regenerate
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicId(Uuid);

impl PublicId {
    /// A new id, born at `now`.
    pub(super) fn born(now: SystemTime) -> Self {
        let millis = u64::try_from(unix(now).as_millis()).unwrap_or(u64::MAX);
        let mut random = [0; 10];
        fill(&mut random);
        Self(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// Reads a id as [`fmt::Display`] writes it; `None` where the text is not a UUID of version 7.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let uuid = Uuid::try_parse(text).ok()?;
        (uuid.get_version_num() == 7).then_some(Self(uuid))
    }

    /// When the session began, to the millisecond.
    #[must_use]
    pub fn birth(self) -> SystemTime {
        let (secs, nanos) = self.0.get_timestamp().map_or((0, 0), |time| time.to_unix());
        SystemTime::UNIX_EPOCH + Duration::new(secs, nanos)
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// What only the visitor's browser holds: 32 bytes of the operating system's generator.
///
/// OWASP ASVS 5.0 (7.2.3) asks for 128 bits at least. It is never logged and never stored; a
/// store knows its [`TokenHash`] alone.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token([u8; 32]);

impl Token {
    pub(super) fn generate() -> Self {
        let mut bytes = [0; 32];
        fill(&mut bytes);
        Self(bytes)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    pub(super) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub(super) fn token_hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

/// The first 128 bits of the SHA-256 of a session's secret: enough to find the record, not to
/// make the cookie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 16]);

impl TokenHash {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let hash = Sha256::digest(bytes);
        let mut start = [0; 16];
        start.copy_from_slice(&hash[..16]);
        Self(start)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// 22 characters of base64url, as they stand in a store's keys.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Eight hexadecimal digits for people, who want to see whether it is another one. They say
    /// nothing about the key that the record is stored under.
    #[must_use]
    pub fn short(&self) -> String {
        let hash = Sha256::digest(self.0);
        format!("{:02x}{:02x} {:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint([redacted])")
    }
}

/// The time since the Unix epoch; zero for a clock that stands before it.
pub(super) fn unix(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system has a random generator");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handle_carries_its_birth() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123);
        assert_eq!(PublicId::born(now).birth(), now);
    }

    #[test]
    fn handle_of_another_version_is_refused() {
        assert!(PublicId::parse("f47ac10b-58cc-4372-a567-0e02b2c3d479").is_none());
        let id = PublicId::born(SystemTime::now());
        assert_eq!(PublicId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = Token::generate();
        let token_hash = secret.token_hash();
        let shown = format!("{secret:?} {token_hash:?}");
        assert!(!shown.contains(&secret.encode()) && !shown.contains(&token_hash.encode()));
        assert!(shown.contains("Secret") && shown.contains("Fingerprint"), "{shown}");
    }

    #[test]
    fn short_form_tells_fingerprints_apart() {
        let fingerprints: Vec<_> = (0..3).map(|_| Token::generate().token_hash()).collect();
        let short: Vec<_> = fingerprints.iter().map(TokenHash::short).collect();
        assert!(short[0] != short[1] && short[1] != short[2] && short[2] != short[0], "{short:?}");
    }
}
