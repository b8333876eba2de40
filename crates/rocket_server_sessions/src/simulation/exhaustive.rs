//! Every order of two requests, from every state that a session can be in.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rocket::tokio::runtime::{Builder, Runtime};

use super::machine::{Machine, Snapshot};
use super::mutation::Mutation;
use super::operations::Step;
use super::scheduler::{Choose, Plan, Run};
use super::start::Start;

/// Goes through all orders: each time the last choice that can be made otherwise is.
#[derive(Default)]
struct Walk {
    path: Vec<(usize, usize)>,
    at: usize,
    /// What is gone through, for messages.
    case: String,
}

impl Choose for Walk {
    fn choose(&mut self, count: usize) -> usize {
        if self.at == self.path.len() {
            self.path.push((0, count));
        }
        let (chosen, known) = self.path[self.at];
        assert_eq!(known, count, "the same choices lead to the same state: {} {:?}", self.case, self.path);
        self.at += 1;
        chosen
    }

    fn is_free(&self) -> bool {
        false
    }
}

impl Walk {
    /// Goes back to the last choice that is left; `false` if there is none.
    fn step(&mut self) -> bool {
        self.at = 0;
        while let Some((chosen, count)) = self.path.pop() {
            if chosen + 1 < count {
                self.path.push((chosen + 1, count));
                return true;
            }
        }
        false
    }
}

/// Requests beside each other, and from where.
pub(super) struct Case {
    pub(super) start: Start,
    pub(super) plans: Vec<Plan>,
    pub(super) faults: usize,
}

/// What was found: how many orders were gone through, and the first one that broke a rule.
pub(super) struct Found {
    pub(super) runs: usize,
    pub(super) failure: Option<String>,
}

/// A runtime whose time stands still.
pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Goes through all orders of a case, or as many as are allowed.
pub(super) async fn explore(machine: &Machine, from: &Snapshot, case: &Case, limit: usize) -> Found {
    let case_name = format!("{:?} {:?}", case.start, case.plans);
    let mut walk = Walk { case: case_name, ..Walk::default() };
    let mut runs = 0;
    loop {
        runs += 1;
        let result =
            Run::new(machine, &mut walk, from, &case.plans, case.faults, false).complete().await;
        if let Err(why) = result {
            walk.at = 0;
            println!("--- from {:?}, with {} faults:", case.start, case.faults);
            let again =
                Run::new(machine, &mut walk, from, &case.plans, case.faults, true).complete().await;
            println!("!!! {}", again.as_ref().err().unwrap_or(&"it does not happen again".into()));
            return Found { runs, failure: Some(why) };
        }
        if !walk.step() || runs == limit {
            return Found { runs, failure: None };
        }
    }
}

/// What one request does, in the pairs.
pub(super) const OPERATIONS: [&[Step]; 19] = [
    &[Step::View],
    &[Step::Increment],
    &[Step::Get],
    &[Step::Insert],
    &[Step::InsertTooLarge],
    &[Step::Take],
    &[Step::Remove],
    &[Step::Batch],
    &[Step::Snapshot],
    &[Step::Regenerate],
    &[Step::LogIn("alice")],
    &[Step::LogIn("bob")],
    &[Step::Destroy],
    &[Step::DestroyAll("alice")],
    &[Step::DestroyOthers("alice")],
    &[Step::List("alice")],
    &[Step::Remember, Step::Get],
    &[Step::User, Step::Insert],
    &[Step::Regenerate, Step::Insert],
];

/// All pairs of operations by one browser, from each state.
pub(super) fn pairs(faults: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for start in Start::ALL {
        for (at, first) in OPERATIONS.iter().enumerate() {
            for second in &OPERATIONS[at..] {
                let plan = |steps: &[Step]| Plan { browser: 0, steps: steps.to_vec() };
                cases.push(Case { start, plans: vec![plan(first), plan(second)], faults });
            }
        }
    }
    cases
}

/// Explores cases on all processors. Says how many runs were made, and what was found.
pub(super) fn explore_all(cases: &[Case], mutation: Mutation, limit: usize) -> (usize, Vec<String>) {
    let next = AtomicUsize::new(0);
    let explore_some = || {
        runtime().block_on(async {
            let mut machine = Machine::new(mutation).await;
            let mut starts = Start::prepare(&machine).await;
            let (mut runs, mut failures) = (0, Vec::new());
            while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                let from = &starts[&case.start];
                let begin = std::time::Instant::now();
                let found = explore(&machine, from, case, limit).await;
                runs += found.runs;
                let steps: Vec<_> = case.plans.iter().map(|it| &it.steps).collect();
                if std::env::var_os("SIM_TIMES").is_some() {
                    println!("{:?} {:?} {steps:?} {}", begin.elapsed(), case.start, found.runs);
                }
                if let Some(why) = found.failure {
                    failures.push(format!("{:?} {steps:?}: {why}", case.start));
                    // What was amid a run is left behind.
                    machine = Machine::new(mutation).await;
                    starts = Start::prepare(&machine).await;
                }
            }
            (runs, failures)
        })
    };
    let found = thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(2, Into::into);
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(explore_some)).collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect::<Vec<_>>()
    });
    let runs = found.iter().map(|(runs, _)| runs).sum();
    (runs, found.into_iter().flat_map(|(_, failures)| failures).collect())
}

#[test]
fn every_order_of_two_requests_keeps_every_rule() {
    let start = std::time::Instant::now();
    let cases = pairs(0);
    let (runs, failures) = explore_all(&cases, Mutation::None, 1_000_000);
    println!("{} cases, {runs} runs, {:?}", cases.len(), start.elapsed());
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
}
