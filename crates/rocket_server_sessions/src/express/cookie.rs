//! The signed cookie of express-session.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, Mac};
use percent_encoding::percent_decode_str;
use rocket::Request;
use sha2::Sha256;

use crate::session_cookie::{candidates, unquoted};

/// The longest id. Express makes 32 characters, unless the application has a `genid`.
const MAX_LENGTH: usize = 256;

/// The length of an HMAC-SHA256 in bytes.
const SIGNATURE_LENGTH: usize = 32;

/// A cookie that looks signed, but not with any of the secrets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unverified;

/// The id of an old session, whose signature was verified.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct OldId(String);

impl OldId {
    #[cfg(test)]
    pub(crate) fn new(id: &str) -> Self {
        Self(id.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Finds the cookie in a request, and verifies it with one of the secrets. Like Express, reads the
    /// first cookie of that name only.
    pub(super) fn of(
        request: &Request<'_>,
        name: &str,
        secrets: &[String],
    ) -> Result<Option<Self>, Unverified> {
        let value = candidates(name, request).next();
        value.map_or(Ok(None), |value| Self::verify(unquoted(value).0, secrets))
    }

    fn verify(value: &str, secrets: &[String]) -> Result<Option<Self>, Unverified> {
        let Some((id, signature)) = read(value) else { return Ok(None) };
        let is_signed_with = |secret: &String| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
            mac.update(id.as_bytes());
            // Compares in constant time.
            mac.verify_slice(&signature).ok()
        };
        secrets.iter().find_map(is_signed_with).map(|()| Some(Self(id))).ok_or(Unverified)
    }
}

/// Reads `s:<id>.<signature>`, which is percent-encoded. The signature is the HMAC-SHA256 of the id, in
/// base64 without padding. `None` for anything that does not look like that.
fn read(value: &str) -> Option<(String, Vec<u8>)> {
    let value = percent_decode_str(value).decode_utf8().ok()?;
    let (id, signature) = value.strip_prefix("s:")?.rsplit_once('.')?;
    // Braces would put the claim into another slot of a cluster.
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"{}".contains(&byte);
    if id.is_empty() || id.len() > MAX_LENGTH || !id.bytes().all(is_plain) {
        return None;
    }
    let signature = STANDARD_NO_PAD.decode(signature).ok()?;
    (signature.len() == SIGNATURE_LENGTH).then(|| (id.to_owned(), signature))
}

impl std::fmt::Debug for OldId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OldId([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As express-session 1.19.0 sets them; see `tests/express/fixtures.js` of the workspace.
    const SIGNED: &str =
        "s%3APZ2oUXaX3o7pHMcz2Yzhf8QK4sW3w0Pa.SQnvpUDs5QrRB7lmSWOR6RiMH%2B5khCbiS5alEeAPgC8";
    const SIGNED_WITH_OLDER: &str =
        "s%3APZ2oUXaX3o7pHMcz2Yzhf8QK4sW3w0Pa.3lIpz5a9UxKVJDZ%2BJaRY0bMEUVpOK4z%2BNf9gZRHmAbU";
    const WITH_A_DOT: &str = "s%3Aa.b.sKNesNyAbFAJ%2BfsoA7qNx4Tsyo%2Br5keVpJkZSzFMXZw";
    const ID: &str = "PZ2oUXaX3o7pHMcz2Yzhf8QK4sW3w0Pa";

    fn verify(value: &str, secrets: &[&str]) -> Option<String> {
        let secrets: Vec<_> = secrets.iter().map(|it| (*it).to_owned()).collect();
        OldId::verify(value, &secrets).ok().flatten().map(|OldId(id)| id)
    }

    #[test]
    fn cookie_that_express_has_signed_gives_its_id() {
        assert_eq!(verify(SIGNED, &["keyboard cat"]).as_deref(), Some(ID));
        assert_eq!(verify(&SIGNED.replace("%3A", ":"), &["keyboard cat"]).as_deref(), Some(ID));
        assert_eq!(verify(WITH_A_DOT, &["keyboard cat"]).as_deref(), Some("a.b"));
    }

    #[test]
    fn cookie_that_was_signed_before_the_secret_changed_is_accepted() {
        assert_eq!(verify(SIGNED_WITH_OLDER, &["keyboard cat"]), None);
        assert_eq!(verify(SIGNED_WITH_OLDER, &["keyboard cat", "older"]).as_deref(), Some(ID));
    }

    #[test]
    fn cookie_with_anything_changed_is_refused() {
        let plain = SIGNED.replace("%3A", ":").replace("%2B", "+");
        for at in 0..plain.len() {
            let mut bytes = plain.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(verify(&changed, &["keyboard cat"]), None, "{changed}");
        }
    }

    #[test]
    fn signature_of_another_secret_is_told_from_a_value_that_is_not_signed() {
        let verify = |value| OldId::verify(value, &["another".to_owned()]).is_err();
        assert!(verify(SIGNED));
        for value in ["", "id", "s:id.AAAA", "s%3A.AAAA"] {
            assert!(!verify(value), "{value}");
        }
    }

    #[test]
    fn value_that_is_no_signed_cookie_is_refused() {
        for value in [
            "",
            "s:",
            "s:.",
            "s%3A",
            ID,
            "s:id",
            "s:id.",
            "s:.AAAA",
            "j:{}",
            "s:id.not base64",
            "%FF%FE",
            &SIGNED[..SIGNED.len() - 1],
            &format!("{SIGNED}="),
            &SIGNED.replace("s%3A", ""),
        ] {
            assert_eq!(verify(value, &["keyboard cat", ""]), None, "{value}");
        }
    }
}
