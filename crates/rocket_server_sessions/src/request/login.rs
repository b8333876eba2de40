//! Who is logged in to the request's session.

use super::session::RequestSession;
use crate::error::Result;
use crate::store::{LOGIN, LoggedIn, USER};

impl RequestSession {
    /// The user who is logged in. Always reads the store.
    pub(crate) async fn login(&self) -> Result<Option<LoggedIn>> {
        if !self.may_have_user() {
            return Ok(None);
        }
        Ok(LoggedIn::from_fields(&self.read(&[USER, LOGIN]).await?))
    }

    /// The user who is logged in. Reads the store at most once for each token that the request has.
    pub(crate) async fn known_login(&self) -> Result<Option<LoggedIn>> {
        let record = || self.identity().map(|it| it.record);
        let before = record();
        if let Some((known, login)) = &*self.known_login.lock()
            && Some(*known) == before
        {
            return Ok(login.clone());
        }
        let login = self.login().await?;
        // The token may have changed meanwhile: then the answer is about another record.
        if let Some(record) = before.filter(|it| Some(*it) == record()) {
            *self.known_login.lock() = Some((record, login.clone()));
        }
        Ok(login)
    }
}
