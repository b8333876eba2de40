//! Choosing what happens next, if several things can.

use super::random::Random;

/// Something that can happen next, with all that a choice depends on.
#[derive(Clone, Debug, Default)]
pub(super) struct Option {
    /// Identifies it, in any order of events. Without a name, it is assumed to depend on everything
    /// else.
    pub(super) name: std::option::Option<Name>,
    pub(super) reads: Vec<u64>,
    pub(super) writes: Vec<u64>,
}

/// A unit of a pipeline: the request, whether the work is detached, the pipeline, and the unit.
pub(super) type Name = (usize, bool, usize, usize);

impl Option {
    /// Whether the order of the two makes no difference.
    fn is_independent_of(&self, other: &Self) -> bool {
        let is_disjoint = |one: &[u64], two: &[u64]| one.iter().all(|key| !two.contains(key));
        self.name.is_some()
            && other.name.is_some()
            && is_disjoint(&self.writes, &other.writes)
            && is_disjoint(&self.writes, &other.reads)
            && is_disjoint(&self.reads, &other.writes)
    }
}

/// Decides what happens next.
pub(super) trait Choose {
    /// Chooses an option. `None` if everything that could follow was explored in another order.
    fn choose(&mut self, options: &[Option]) -> std::option::Option<usize>;

    /// Whether all possible events are offered at any time. If not, events whose order obviously
    /// makes no difference are offered once.
    fn is_free(&self) -> bool;
}

/// Always chooses the first option.
pub(super) struct First;

impl Choose for First {
    fn choose(&mut self, _: &[Option]) -> std::option::Option<usize> {
        Some(0)
    }

    fn is_free(&self) -> bool {
        false
    }
}

/// Chooses at random, from a seed.
pub(super) struct Dice {
    pub(super) random: Random,
    pub(super) is_free: bool,
}

impl Choose for Dice {
    fn choose(&mut self, options: &[Option]) -> std::option::Option<usize> {
        Some(self.random.below(options.len()))
    }

    fn is_free(&self) -> bool {
        self.is_free
    }
}

/// Explores all orders, depth first: each run changes the last choice that has an alternative.
/// Orders that only swap independent steps are left out (Godefroid's sleep sets).
pub(super) struct Walk {
    path: Vec<Node>,
    at: usize,
    /// The case that is explored, for messages.
    case: String,
}

struct Node {
    options: Vec<Option>,
    chosen: usize,
    /// Options that were explored before, and that are independent of every step since.
    asleep: Vec<Option>,
}

impl Node {
    /// The next choice, from `first` on, that leads to an unexplored order.
    fn awake(&self, first: usize) -> std::option::Option<usize> {
        let is_asleep = |option: &Option| {
            option.name.is_some() && self.asleep.iter().any(|it| it.name == option.name)
        };
        (first..self.options.len()).find(|at| !is_asleep(&self.options[*at]))
    }

    /// The options that are asleep after the chosen step.
    fn asleep_after(&self) -> Vec<Option> {
        let chosen = &self.options[self.chosen];
        let before = self.asleep.iter().chain(&self.options[..self.chosen]);
        before.filter(|it| it.is_independent_of(chosen)).cloned().collect()
    }
}

impl Choose for Walk {
    fn choose(&mut self, options: &[Option]) -> std::option::Option<usize> {
        if self.at == self.path.len() {
            let asleep = self.path.last().map(Node::asleep_after).unwrap_or_default();
            let mut node = Node { options: options.to_vec(), chosen: 0, asleep };
            node.chosen = node.awake(0)?;
            self.path.push(node);
        }
        let node = &self.path[self.at];
        let (now, then) = (options.len(), node.options.len());
        assert_eq!(now, then, "the same choices lead to the same state, in {}", self.case);
        self.at += 1;
        Some(node.chosen)
    }

    fn is_free(&self) -> bool {
        false
    }
}

impl Walk {
    pub(super) fn new(case: String) -> Self {
        Self { path: Vec::new(), at: 0, case }
    }

    /// Starts again, with the same choices.
    pub(super) fn again(&mut self) {
        self.at = 0;
    }

    /// Goes back to the last choice that has an alternative. Returns `false` if there is none.
    pub(super) fn step(&mut self) -> bool {
        self.at = 0;
        while let Some(node) = self.path.last_mut() {
            if let Some(next) = node.awake(node.chosen + 1) {
                node.chosen = next;
                return true;
            }
            self.path.pop();
        }
        false
    }
}
