//! How long a session and its cookie are kept.

use std::time::Duration;

/// How long a session and its cookie are kept. Pass a `bool` or a [`Duration`] to
/// [`Session::remember_me`](crate::Session::remember_me).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RememberMe {
    /// The browser drops the cookie when it is closed.
    No,
    /// The cookie is kept when the browser is closed. The session has the configured idle timeout,
    /// unless an earlier request has set a [duration](Self::For).
    Yes,
    /// The cookie is kept when the browser is closed. The session expires if it is not used for
    /// this long, or for the configured idle timeout if that is longer. The absolute lifetime still
    /// applies.
    For(Duration),
}

impl From<bool> for RememberMe {
    fn from(is_remembered: bool) -> Self {
        if is_remembered { Self::Yes } else { Self::No }
    }
}

impl From<Duration> for RememberMe {
    fn from(idle_timeout: Duration) -> Self {
        Self::For(idle_timeout)
    }
}
