//! Redirections: the replies of a server that does not have a slot.

use redis::{ServerError, Value};

use crate::store::error::StoreError;
use crate::store::redis::pipeline::Pipeline;

/// Where to send a unit that was redirected.
pub(super) enum Redirect {
    /// `MOVED`: to this server, from now on.
    Moved(String),
    /// `ASK`: to this server, once.
    Ask(String),
    /// `TRYAGAIN`: to the slot's owner, a moment later.
    Wait,
}

/// Returns the replies of the units that were applied, and where to send the others. After a
/// redirected unit, all later ones must be redirected too; anything else is an error, because the
/// rest is sent again as a whole.
pub(super) fn split(
    pipeline: &Pipeline,
    replies: Vec<Value>,
) -> Result<(Vec<Vec<Value>>, Option<Redirect>), StoreError> {
    let mut replies = replies.into_iter();
    let mut done = Vec::with_capacity(pipeline.units.len());
    let mut redirect = None;
    for unit in &pipeline.units {
        let own: Vec<_> = replies.by_ref().take(unit.replies).collect();
        match own.iter().find_map(read) {
            Some(found) => drop(redirect.get_or_insert(found)),
            None if redirect.is_none() => done.push(own),
            None => {
                return Err(StoreError::outcome_unknown(
                    "the session's slot was moved repeatedly during the request",
                ));
            }
        }
    }
    Ok((done, redirect))
}

/// `MOVED slot host:port`, `ASK slot host:port`, `TRYAGAIN …`
fn read(reply: &Value) -> Option<Redirect> {
    let Value::ServerError(error) = reply else { return None };
    let place =
        |error: &ServerError| Some(error.details()?.split_ascii_whitespace().nth(1)?.to_owned());
    match error.code() {
        "MOVED" => place(error).map(Redirect::Moved),
        "ASK" => place(error).map(Redirect::Ask),
        "TRYAGAIN" => Some(Redirect::Wait),
        _ => None,
    }
}
