//! The states that a session can be in when requests begin.

use std::collections::HashMap;

use super::choice::First;
use super::machine::{Machine, Snapshot};
use super::scheduler::Run;
use super::step::Step;

/// What the first browser has. Alice is logged in in the second browser. The third one is a
/// thief's, with the same cookie as the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Start {
    /// No cookie.
    Nothing,
    /// The cookie of a new session, which was not sent back yet.
    New,
    Returning,
    /// The cookie of a session in which Alice is logged in.
    LoggedIn,
    /// The token was replaced, and the browser has the new one …
    Rotated,
    /// … or still has the old one.
    Outdated,
    /// Another browser with the same cookie has destroyed the session.
    Destroyed,
    /// The store has lost it.
    Vanished,
}

impl Start {
    pub(super) const ALL: [Self; 8] = [
        Self::Nothing,
        Self::New,
        Self::Returning,
        Self::LoggedIn,
        Self::Rotated,
        Self::Outdated,
        Self::Destroyed,
        Self::Vanished,
    ];

    /// Creates each of these states by sending requests.
    pub(super) async fn prepare(machine: &Machine) -> HashMap<Self, Snapshot> {
        let empty = machine.empty();
        let mut starts = HashMap::new();
        for start in Self::ALL {
            starts.insert(start, start.bring_about(machine, &empty).await);
        }
        starts
    }

    async fn bring_about(self, machine: &Machine, empty: &Snapshot) -> Snapshot {
        let mut first = First;
        let mut run = Run::new(machine, &mut first, empty, &[], 0, false);
        let begin = vec![Step::Batch, Step::InsertFirst];
        let own = match self {
            Self::Nothing => vec![],
            Self::New => vec![begin],
            Self::Returning | Self::Vanished => vec![begin, vec![Step::View]],
            Self::LoggedIn => {
                vec![begin, vec![Step::View], vec![Step::LogIn("alice")]]
            }
            Self::Rotated | Self::Outdated => {
                vec![begin, vec![Step::View], vec![Step::Regenerate]]
            }
            Self::Destroyed => vec![begin, vec![Step::View], vec![Step::Destroy]],
        };
        let mut before = None;
        for steps in own {
            before.clone_from(&run.browsers[0].cookie);
            run.request_alone(0, steps).await.expect("a request alone succeeds");
        }
        for steps in [vec![Step::LogIn("alice")], vec![Step::View]] {
            run.request_alone(1, steps).await.expect("a request alone succeeds");
        }
        let mut browsers = run.browsers.clone();
        if matches!(self, Self::Outdated | Self::Destroyed) {
            browsers[0].cookie = before;
        }
        browsers[2] = browsers[0].clone();
        if self == Self::Vanished {
            let place = browsers[0].cookie.as_deref().and_then(|it| machine.place(it)).unwrap();
            machine.server.keyspace.borrow_mut().remove(place.as_bytes()).expect("it was there");
        }
        machine.snapshot(browsers)
    }
}
