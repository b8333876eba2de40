//! `Debug` of the types that applications put into their own. It shows no data of a visitor.

use std::fmt;

use crate::batch::Batch;
use crate::session::login::LogIn;
use crate::session::{OwnedSession, Session};
use crate::sessions::Sessions;
use crate::setup::SessionFairing;
use crate::store::Memory;
#[cfg(feature = "redis")]
use crate::store::Redis;
use crate::testing::Spy;
use crate::user_sessions::UserSessions;

macro_rules! opaque {
    ($($name:literal: $type:ty $(, <$parameter:ident>)?;)*) => {$(
        impl $(<$parameter>)? fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name).finish_non_exhaustive()
            }
        }
    )*};
}

opaque! {
    "Batch": Batch<'_>;
    "LogIn": LogIn<'_>;
    "OwnedSession": OwnedSession;
    "Sessions": Sessions;
    "UserSessions": UserSessions<'_>;
    "SessionFairing": SessionFairing;
    "Memory": Memory;
    "Spy": Spy<S>, <S>;
}

#[cfg(feature = "redis")]
opaque! {
    "Redis": Redis;
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("info", &self.info()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rocket::local::blocking::Client;
    use rocket::request::FromRequest;
    use rocket::{get, routes};

    use super::*;

    #[derive(Debug)]
    struct Guard<'r>(#[allow(dead_code, reason = "it is only shown")] Session<'r>);

    #[rocket::async_trait]
    impl<'r> FromRequest<'r> for Guard<'r> {
        type Error = crate::Error;

        async fn from_request(
            request: &'r rocket::Request<'_>,
        ) -> rocket::request::Outcome<Self, Self::Error> {
            let session = rocket::outcome::try_outcome!(request.guard().await);
            rocket::request::Outcome::Success(Self(session))
        }
    }

    #[get("/")]
    #[allow(clippy::needless_pass_by_value, reason = "Rocket passes guards so")]
    fn shown(guard: Guard<'_>) -> String {
        format!("{guard:?}")
    }

    #[test]
    fn guard_of_an_application_that_holds_a_session_can_be_shown() {
        let rocket = rocket::build().attach(Session::fairing()).mount("/", routes![shown]);
        let client = Client::untracked(rocket).unwrap();
        let page = client.get("/").dispatch().into_string();
        assert_eq!(page.as_deref(), Some("Guard(Session { info: None, .. })"));
    }
}
