//! The content of a page that counts its views.

use rocket_server_sessions::Rejection;

use super::counts::Counts;
use super::layout::Layout;
use super::relative_time::RelativeTime;

/// The content of a page, for any format of the response.
pub(super) struct PageView<'r> {
    pub(super) layout: Layout<'r>,
    pub(super) counts: Counts,
    /// The instances that have answered, by their ids.
    pub(super) instances: Vec<String>,
    /// The name of the store that holds the session.
    pub(super) store: &'static str,
    pub(super) created: RelativeTime,
    /// When the session expires if it is not used again.
    pub(super) expires: RelativeTime,
    /// Whether the browser has sent the session's cookie.
    pub(super) is_returning: bool,
    /// Why a cookie that the browser has sent was ignored.
    pub(super) rejection: Option<Rejection>,
}
