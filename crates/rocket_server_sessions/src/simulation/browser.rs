//! Browsers, as far as they matter to sessions: they keep a cookie, and send it back.

/// What a browser holds: the name and value of the session's cookie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Browser {
    pub(super) cookie: Option<String>,
}

impl Browser {
    /// Applies a response's `Set-Cookie` header.
    pub(super) fn take(&mut self, set_cookie: &str) {
        let pair = set_cookie.split(';').next().unwrap_or_default();
        let is_removal = set_cookie.contains("Max-Age=0");
        self.cookie = (!is_removal).then(|| pair.to_owned());
    }
}
