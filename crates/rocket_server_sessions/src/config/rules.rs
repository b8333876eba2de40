//! Descriptions of valid values, and the list of secret settings.

/// Every key of `[default.session]`, with a description of its valid values.
pub(super) const RULES: [(&str, &str); 22] = [
    ("url", "must be a URL such as `rediss://user:password@host:6379` or `sqlite:sessions.db`"),
    ("ca_file", "must be the path of a PEM file"),
    ("client_cert_file", "must be the path of a PEM file"),
    ("client_key_file", "must be the path of a PEM file"),
    ("tls_server_name", "must be the name in the server's certificate"),
    (
        "prefix",
        "must be 1 to 64 printable ASCII characters, without spaces and without any of {}*?[]\\",
    ),
    (
        "cookie_name",
        "must be 1 to 256 letters, digits or characters of !#$%&'*+-.^_`|~, as in \"__Host-session\"",
    ),
    ("insecure_http", "must be `true` or `false`"),
    ("same_site", "must be `lax`, `strict` or `none`"),
    (
        "idle_timeout",
        "must be a duration from 10 seconds to 400 days: a number of seconds, or a string such \
         as \"90s\", \"15m\" or \"1day\"",
    ),
    ("first_idle_timeout", "must be a duration from 10 seconds to `idle_timeout`, such as \"15m\""),
    (
        "absolute_lifetime",
        "must be a duration from `idle_timeout` to 400 days, after which browsers drop \
         cookies, such as \"30days\"",
    ),
    ("remember_me", "must be `true` or `false`"),
    (
        "previous_keys",
        "must be a list of keys, separated by commas, each 32 or 64 random bytes in base64, as \
         `openssl rand -base64 32` prints them",
    ),
    ("max_field_size", "must be a number of bytes from 1 to `max_record_size`"),
    (
        "max_record_size",
        "must be a number of bytes from `max_field_size` to 8388608: a record is read as a whole",
    ),
    ("max_user_sessions", "must be a number from 1 to 1000"),
    ("memory_capacity", "must be a number, 1 or more"),
    ("deadline", "must be a duration from 10 milliseconds to 30 seconds, such as \"900ms\""),
    ("connections", "must be a number from 1 to 64"),
    ("queue", "must be a number from 1 to 1000000"),
    ("on_outage", "must be `refuse` or `anonymous`"),
];

/// Unsupported keys, with the reason and what to do instead.
const REFUSED: [(&[&str], &str); 7] = [
    (
        &["cookie_domain", "domain"],
        "cannot be set: with a domain, every subdomain could read and replace the cookie, and \
         browsers refuse a `__Host-` cookie that has one; serve everything that shares a session \
         from one host, or log in at each host",
    ),
    (
        &["cookie_path", "path"],
        "cannot be set: the path is `/`, because another path would not hide the cookie from other \
         applications on the host, and browsers refuse a `__Host-` cookie with another path; to \
         run two applications on one host, give each its own `cookie_name`",
    ),
    (
        &["http_only", "httponly", "cookie_http_only", "cookie_httponly"],
        "cannot be set: the cookie is always `HttpOnly`, so that no injected script can steal it; \
         give scripts what they need in a response",
    ),
    (
        &["secure", "cookie_secure"],
        "cannot be set: the cookie is `Secure` unless `insecure_http` is `true`, which is the \
         default in the `debug` profile",
    ),
    (&["cookie_same_site", "cookie_samesite"], "is called `same_site`"),
    (
        &["max_age", "cookie_max_age", "expires", "lifetime", "ttl", "timeout"],
        "is not a setting: set `idle_timeout` for the time without use and `absolute_lifetime` for \
         the maximum age, which also applies to the cookie; with `remember_me = false`, the browser \
         drops the cookie when it is closed",
    ),
    (
        &["partitioned", "cookie_partitioned"],
        "is not supported: a partitioned cookie is a different one on each site that embeds yours",
    ),
];

/// Describes the valid values of a key.
pub(super) fn rule(key: &str) -> Option<&'static str> {
    RULES.iter().find(|(known, _)| *known == key).map(|(_, rule)| *rule)
}

/// The message for an unknown key.
pub(super) fn why_unknown(key: &str) -> String {
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| refused.contains(&key)) {
        return (*why).to_owned();
    }
    let known = RULES.iter().map(|(known, _)| *known);
    if let Some(known) = nearest(key, known.clone()) {
        return format!("is not a setting; did you mean `{known}`?");
    }
    let known: Vec<_> = known.map(|key| format!("`{key}`")).collect();
    format!("is not a setting; the settings are {}", known.join(", "))
}

/// Whether a value must not be shown. `express` is the table in which applications keep the secret
/// of an import from Express.
pub(super) fn is_secret(key: &str) -> bool {
    ["url", "previous_keys", "secret_key", "express"].contains(&key)
}

/// Returns the most similar known name.
pub(super) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let distance = |known: &str| strsim::osa_distance(&name, known);
    known
        .map(|known| (distance(known), known))
        .filter(|(distance, known)| *distance <= (known.len() / 3).min(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::super::settings::MAX_RECORD;
    use super::*;

    #[test]
    fn rule_of_the_record_size_states_the_limit() {
        let rule = rule("max_record_size").unwrap();
        assert!(rule.contains(&format!(" to {MAX_RECORD}:")), "{rule}");
    }

    #[test]
    fn misspelt_name_leads_to_the_one_that_was_meant_and_another_word_to_none() {
        let names = || RULES.iter().map(|(key, _)| *key);
        for (misspelt, meant) in [
            ("idel_timeout", Some("idle_timeout")),
            ("idle-timeout", Some("idle_timeout")),
            ("PREFIX", Some("prefix")),
            ("connection", Some("connections")),
            ("cookiename", Some("cookie_name")),
            ("samesite", Some("same_site")),
            ("insecure-http", Some("insecure_http")),
            ("size", None),
        ] {
            assert_eq!(nearest(misspelt, names()), meant, "{misspelt}");
        }
        assert_eq!(nearest("prot", ["port", "ident"].into_iter()), Some("port"));
        assert_eq!(nearest("sport", ["port"].into_iter()), Some("port"));
    }
}
