//! What a server says about a slot that it does not have, or no longer has.

use redis::{ServerError, Value};

use crate::store::StoreError;
use crate::store::redis::pipeline::Pipeline;

/// Where a refused unit is to be sent.
pub(super) enum Redirect {
    /// There, now and later.
    Moved(String),
    /// There, this once.
    Ask(String),
    /// To the same server, in a moment.
    Wait,
}

/// Returns the replies of the units that were carried out, and where to send the others. The others come
/// last: what has moved away does not move back between two commands.
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
            None => return Err(StoreError::unanswered("the session moved to and fro meanwhile")),
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
