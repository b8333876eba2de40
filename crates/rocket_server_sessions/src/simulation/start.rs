//! The states that a session can be in when requests begin.

use std::collections::HashMap;

use super::browser::Browser;
use super::machine::{Machine, Snapshot};
use super::operations::Step;
use super::scheduler::{First, Run};

/// What the first browser holds. The second one is always that of Alice, who is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Start {
    /// No cookie.
    Nothing,
    /// The cookie of a session that has just begun, and was not sent back yet.
    New,
    Returning,
    /// Alice's.
    LoggedIn,
    /// The token was replaced, and the browser has the new one …
    Rotated,
    /// … or the old one still.
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

    /// Brings each of them about, by requests.
    pub(super) async fn prepare(machine: &Machine) -> HashMap<Self, Snapshot> {
        let empty = machine.snapshot(vec![Browser::default(), Browser::default()]);
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
        let requests: &[(usize, Vec<Step>)] = &match self {
            Self::Nothing => vec![],
            Self::New => vec![(0, begin)],
            Self::Returning | Self::Vanished => vec![(0, begin), (0, vec![Step::View])],
            Self::LoggedIn => {
                vec![(0, begin), (0, vec![Step::View]), (0, vec![Step::LogIn("alice")])]
            }
            Self::Rotated | Self::Outdated => {
                vec![(0, begin), (0, vec![Step::View]), (0, vec![Step::Regenerate])]
            }
            Self::Destroyed => vec![(0, begin), (0, vec![Step::View]), (0, vec![Step::Destroy])],
        };
        let mut before = None;
        for (browser, steps) in requests {
            before.clone_from(&run.browsers[0].cookie);
            run.request_alone(*browser, steps.clone()).await.expect("nothing is beside it");
        }
        let mut browsers = run.browsers.clone();
        if matches!(self, Self::Outdated | Self::Destroyed) {
            browsers[0].cookie = before;
        }
        if self == Self::Vanished {
            let place = browsers[0].cookie.as_deref().and_then(|it| machine.place(it)).unwrap();
            machine.server.keyspace.borrow_mut().remove(place.as_bytes()).expect("it was there");
        }
        Snapshot { has_vanished: self == Self::Vanished, ..machine.snapshot(browsers) }
    }
}
