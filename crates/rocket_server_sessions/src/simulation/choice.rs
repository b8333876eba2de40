//! Who decides what comes next, where several things can.

use super::random::Random;

/// Something that can happen next, as far as choosing needs to know it.
#[derive(Clone, Debug, Default)]
pub(super) struct Option {
    /// What tells it from others, in whatever order they have come about. Without one, it is taken to
    /// bear on everything else.
    pub(super) name: std::option::Option<Name>,
    pub(super) reads: Vec<u64>,
    pub(super) writes: Vec<u64>,
}

/// A unit of a pipeline: whose it is, whether it is detached, which of theirs, and which unit of it.
pub(super) type Name = (usize, bool, usize, usize);

impl Option {
    /// Whether it comes to the same which of the two happens first.
    fn is_independent_of(&self, other: &Self) -> bool {
        let is_disjoint = |one: &[u64], two: &[u64]| one.iter().all(|key| !two.contains(key));
        self.name.is_some()
            && other.name.is_some()
            && is_disjoint(&self.writes, &other.writes)
            && is_disjoint(&self.writes, &other.reads)
            && is_disjoint(&self.reads, &other.writes)
    }
}

/// Decides what comes next.
pub(super) trait Choose {
    /// One of the options. `None`: whatever comes now was gone through in another order.
    fn choose(&mut self, options: &[Option]) -> std::option::Option<usize>;

    /// Whether everything that can happen is offered at any time. If not, what obviously comes to
    /// the same in another order is offered once.
    fn is_free(&self) -> bool;
}

/// The first of everything.
pub(super) struct First;

impl Choose for First {
    fn choose(&mut self, _: &[Option]) -> std::option::Option<usize> {
        Some(0)
    }

    fn is_free(&self) -> bool {
        false
    }
}

/// Chance, as a seed has it.
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

/// Goes through all orders, depth first: each time the last choice that can be made otherwise is. What
/// would only swap steps that do not bear on each other is left out (Godefroid's sleep sets).
pub(super) struct Walk {
    path: Vec<Node>,
    at: usize,
    /// What is gone through, for messages.
    case: String,
}

struct Node {
    options: Vec<Option>,
    chosen: usize,
    /// What was gone through before, and no step since has borne on.
    asleep: Vec<Option>,
}

impl Node {
    /// The next choice that is worth making, from `first` on.
    fn awake(&self, first: usize) -> std::option::Option<usize> {
        let is_asleep = |option: &Option| {
            option.name.is_some() && self.asleep.iter().any(|it| it.name == option.name)
        };
        (first..self.options.len()).find(|at| !is_asleep(&self.options[*at]))
    }

    /// What is asleep after the chosen step.
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

    /// Begins at the start again, with the same choices.
    pub(super) fn again(&mut self) {
        self.at = 0;
    }

    /// Goes back to the last choice that is left; `false` if there is none.
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
