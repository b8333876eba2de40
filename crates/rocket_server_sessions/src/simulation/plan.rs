//! The requests that browsers will send.

use super::step::Step;

/// A request: which browser sends it, and what its handler does.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) browser: usize,
    pub(super) steps: Vec<Step>,
}
