//! The cookie's attribute `SameSite`.

/// Which requests from other sites carry the cookie: the cookie's attribute `SameSite`.
///
/// With any of them, a route that changes something needs the guard
/// [`SameOrigin`](crate::SameOrigin), or the fairing's
/// [`require_same_origin`](crate::SessionFairing::require_same_origin).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SameSite {
    /// Only links and other top-level navigations that use `GET`.
    #[default]
    Lax,
    /// None of them. A visitor who follows a link from another site, such as webmail, is not
    /// recognized until the next request. A session that such a request begins gets no cookie,
    /// unless a user logs in: it must not replace the cookie that the browser may hold. Without a
    /// cookie, what the session has stored is lost, for example a CSRF token.
    Strict,
    /// All of them, so that other sites can embed your pages and post forms to them, as some log-in
    /// services do (`response_mode=form_post`). Needs `Secure`.
    ///
    /// Other sites can then send requests in the visitor's name: every route that changes something
    /// must check where a request comes from. Safari, Firefox and others block or partition such
    /// cookies in embedded pages anyway.
    None,
}

impl SameSite {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Lax => "lax",
            Self::Strict => "strict",
            Self::None => "none",
        }
    }
}
