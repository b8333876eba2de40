//! Seeded bugs: what the simulation must find.

use super::reply::Command;

/// A rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    None,
}

impl Mutation {
    /// Changes a command on its way.
    pub(super) fn apply(self, command: Command) -> Command {
        command
    }
}
