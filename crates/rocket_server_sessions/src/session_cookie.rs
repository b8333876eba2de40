//! The encrypted session cookie.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::time::OffsetDateTime;
use cookie::{Cookie, CookieJar, Key};
use rocket::Request;

use crate::config::{Config, SameSite};
use crate::event::Rejection;
use crate::id::{PublicId, Token};
use crate::store::RecordId;

/// The format version: the first byte. Other versions are rejected.
const VERSION: u8 = 2;

/// Version, flags, public id, token.
const LENGTH: usize = 1 + 1 + 16 + 32;

/// The length of every encrypted value: nonce, base64url of the above, tag, all in base64url.
const SEALED_LENGTH: usize = base64url_length(12 + base64url_length(LENGTH) + 16);

const fn base64url_length(bytes: usize) -> usize {
    (bytes * 8).div_ceil(6)
}

/// How many cookies of our name are opened in one request. Usually there is one.
const MAX_CANDIDATES: usize = 4;

/// The decrypted cookie. Only `is_remembered` can change without a new token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CookieValue {
    pub(crate) id: PublicId,
    pub(crate) token: Token,
    /// Whether the cookie is persistent.
    pub(crate) is_remembered: bool,
    /// Whether a user is logged in. The name is in the record.
    pub(crate) has_user: bool,
}

impl CookieValue {
    const REMEMBERED: u8 = 1;
    const USER: u8 = 2;

    pub(crate) fn record(&self) -> RecordId {
        RecordId { id: self.id, token_hash: self.token.hash() }
    }

    fn write(&self) -> String {
        let mut flags = 0;
        if self.is_remembered {
            flags |= Self::REMEMBERED;
        }
        if self.has_user {
            flags |= Self::USER;
        }
        let mut bytes = vec![VERSION, flags];
        bytes.extend(self.id.as_bytes());
        bytes.extend(self.token.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn read(text: &str) -> Option<Self> {
        let bytes: [u8; LENGTH] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let [VERSION, flags, rest @ ..] = bytes else { return None };
        if flags & !(Self::REMEMBERED | Self::USER) != 0 {
            return None;
        }
        let (id, token) = rest.split_at(16);
        Some(Self {
            id: PublicId::from_bytes(id.try_into().ok()?)?,
            token: Token::from_bytes(token.try_into().ok()?),
            is_remembered: flags & Self::REMEMBERED != 0,
            has_user: flags & Self::USER != 0,
        })
    }
}

/// The keys that decrypt cookies. The first one also encrypts them.
pub(crate) struct KeyRing {
    first: Key,
    previous: Vec<Key>,
}

/// A decrypted cookie.
pub(crate) struct Opened {
    pub(crate) value: CookieValue,
    /// Whether it was encrypted with a previous key.
    pub(crate) is_key_old: bool,
    /// Whether it came in double quotes.
    pub(crate) is_quoted: bool,
}

impl KeyRing {
    pub(crate) fn new(first: Key, previous: Vec<Key>) -> Self {
        Self { first, previous }
    }

    /// Decrypts the request's session cookie. `None` if there is no cookie of our name.
    pub(crate) fn open(
        &self,
        name: &str,
        request: &Request<'_>,
    ) -> Result<Option<Opened>, Rejection> {
        let mut found: Option<Opened> = None;
        let mut rejection = None;
        let values = candidates(name, request).filter(|it| !it.is_empty());
        for value in values.take(MAX_CANDIDATES) {
            let opened = match self.unseal(name, value) {
                Ok(opened) => opened,
                Err(why) => {
                    rejection.get_or_insert(why);
                    continue;
                }
            };
            match &found {
                Some(other) if other.value.token != opened.value.token => {
                    return Err(Rejection::Ambiguous);
                }
                Some(_) => {}
                None => found = Some(opened),
            }
        }
        match rejection {
            Some(why) if found.is_none() => Err(why),
            _ => Ok(found),
        }
    }

    fn unseal(&self, name: &str, value: &str) -> Result<Opened, Rejection> {
        let (value, is_quoted) = unquoted(value);
        let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if value.len() > SEALED_LENGTH || !value.bytes().all(is_ours) {
            return Err(Rejection::Malformed);
        }
        if value.len() < SEALED_LENGTH {
            return Err(Rejection::CutOff);
        }
        let (value, is_key_old) = self.decrypt(name, value).ok_or(Rejection::InvalidCookie)?;
        Ok(Opened { value, is_key_old, is_quoted })
    }

    /// Decrypts a value. Also returns whether it was encrypted with a previous key.
    pub(crate) fn decrypt(&self, name: &str, value: &str) -> Option<(CookieValue, bool)> {
        let value = from_cookie(value);
        let jar = CookieJar::new();
        let open = |key: &Key| {
            let cookie = Cookie::new(name.to_owned(), value.clone());
            CookieValue::read(jar.private(key).decrypt(cookie)?.value())
        };
        if let Some(value) = open(&self.first) {
            return Some((value, false));
        }
        self.previous.iter().find_map(open).map(|value| (value, true))
    }

    /// Encrypts a value. It can only be decrypted under the same name.
    pub(crate) fn encrypt(&self, name: &str, value: &CookieValue) -> String {
        let mut jar = CookieJar::new();
        jar.private_mut(&self.first).add(Cookie::new(name.to_owned(), value.write()));
        to_cookie(jar.get(name).map(Cookie::value).unwrap_or_default())
    }

    /// The `Set-Cookie` value that sets the cookie. It lasts for the rest of the session's absolute
    /// lifetime, or for the browser's own session.
    pub(crate) fn seal(&self, value: &CookieValue, config: &Config, now: SystemTime) -> String {
        let name = config.cookie_name.as_str();
        let mut cookie = attributes(Cookie::new(name, self.encrypt(name, value)), config);
        if value.is_remembered {
            let expiry = config.absolute_expiry(value.id);
            let rest = expiry.duration_since(now).unwrap_or_default();
            let rest = Duration::from_secs((rest + Duration::from_millis(999)).as_secs());
            cookie.set_max_age(rest.try_into().unwrap_or(cookie::time::Duration::MAX));
            // For clients that do not know Max-Age.
            cookie.set_expires(OffsetDateTime::from(now + rest));
        }
        cookie.to_string()
    }
}

/// The `Set-Cookie` value that removes the cookie.
pub(crate) fn removal(config: &Config) -> String {
    let mut cookie = attributes(Cookie::new(config.cookie_name.as_str(), ""), config);
    cookie.make_removal();
    cookie.to_string()
}

/// The prefix `__Host-` requires `Secure`, `Path=/` and no `Domain` (RFC 6265bis, section 4.1.3.2).
fn attributes<'c>(mut cookie: Cookie<'c>, config: &Config) -> Cookie<'c> {
    cookie.set_path("/");
    cookie.set_secure(!config.insecure_http);
    cookie.set_http_only(true);
    cookie.set_same_site(match config.same_site {
        SameSite::Lax => cookie::SameSite::Lax,
        SameSite::Strict => cookie::SameSite::Strict,
        SameSite::None => cookie::SameSite::None,
    });
    cookie
}

/// The jar writes padded base64. The cookie has base64url without padding, because some clients
/// quote or truncate values that contain `=`, `+` or `/`.
fn to_cookie(sealed: &str) -> String {
    sealed.trim_end_matches('=').replace('+', "-").replace('/', "_")
}

fn from_cookie(value: &str) -> String {
    let mut sealed = value.replace('-', "+").replace('_', "/");
    while !sealed.len().is_multiple_of(4) {
        sealed.push('=');
    }
    sealed
}

/// The values of the cookies with exactly this name.
///
/// They are read from the raw header, because Rocket's jar percent-decodes and trims names: there,
/// a cookie `%5F%5FHost-session`, which any subdomain can set, would be accepted as ours. A request
/// without that header comes from Rocket's local client, which only fills the jar.
pub(crate) fn candidates<'r>(
    name: &'r str,
    request: &'r Request<'_>,
) -> impl Iterator<Item = &'r str> {
    let mut headers = request.headers().get("cookie").peekable();
    let jar = match headers.peek() {
        Some(_) => None,
        None => request.cookies().get(name).map(Cookie::value),
    };
    let raw = headers.flat_map(|header| header.split(';')).filter_map(move |pair| {
        let (found, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
        (found == name).then_some(value)
    });
    raw.chain(jar)
}

/// A client may send the value in double quotes (RFC 6265, section 4.1.1). Returns the value
/// without them, and whether there were any.
pub(crate) fn unquoted(value: &str) -> (&str, bool) {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or((value, false), |inner| (inner, true))
}

#[cfg(test)]
mod tests;
