//! Every order of two requests, from every state that a session can be in.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use rocket::tokio::runtime::{Builder, Runtime};

use super::cases::{Case, pairs, slow};
use super::choice::{Choose, Dice, Walk};
use super::machine::{Machine, Snapshot};
use super::mutation::Mutation;
use super::random::Random;
use super::scheduler::Run;
use super::start::Start;

/// How many orders were tried, and the first one that broke a rule.
pub(super) struct Found {
    pub(super) runs: usize,
    pub(super) failure: Option<String>,
}

/// A runtime whose clock is paused.
pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Makes one run. If it breaks a rule, `again` resets the choices, and the run is printed.
pub(super) async fn run<C: Choose>(
    machine: &Machine,
    from: &Snapshot,
    case: &Case,
    choice: &mut C,
    again: impl FnOnce(&mut C),
) -> Result<(), String> {
    let result = Run::new(machine, choice, from, &case.plans, case.faults, false).complete().await;
    let Err(why) = result else { return Ok(()) };
    if machine.mutation == Mutation::None {
        again(choice);
        println!("--- from {:?}, with up to {} faults:", case.start, case.faults);
        let mut shown = Run::new(machine, choice, from, &case.plans, case.faults, true);
        println!("!!! {:?}\n", shown.complete().await);
    }
    Err(why)
}

/// Which orders of a case are explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    Every,
    /// The first orders, up to this number. If there are more, as many random ones are added.
    UpTo(usize),
    /// This many random orders.
    Some(usize),
}

impl Search {
    /// Reads an environment variable: `every`, or a number, which `of` turns into a search.
    fn from_env(name: &str, of: fn(usize) -> Self, default: usize) -> Self {
        match std::env::var(name).as_deref() {
            Ok("every") => Self::Every,
            Ok(count) => {
                of(count.parse().unwrap_or_else(|_| panic!("{name} is `every` or a number")))
            }
            Err(_) => of(default),
        }
    }
}

async fn explore(machine: &Machine, from: &Snapshot, case: &Case, search: Search) -> Found {
    let (limit, samples) = match search {
        Search::Every => (usize::MAX, 0),
        Search::UpTo(count) => (count, count),
        Search::Some(count) => (0, count),
    };
    let mut runs = 0;
    let mut walk = Walk::new(format!("{case:?}"));
    while runs < limit {
        runs += 1;
        if let Err(why) = run(machine, from, case, &mut walk, Walk::again).await {
            return Found { runs, failure: Some(why) };
        }
        if !walk.step() {
            return Found { runs, failure: None };
        }
    }
    for seed in 0..samples {
        runs += 1;
        let seed = u64::try_from(seed).expect("the number of samples fits");
        let dice = || Dice { random: Random::new(seed), is_free: false };
        if let Err(why) = run(machine, from, case, &mut dice(), |it| *it = dice()).await {
            return Found { runs, failure: Some(why) };
        }
    }
    Found { runs, failure: None }
}

/// Explores cases on all processors. Returns the number of runs, and the failures.
pub(super) fn explore_all(
    cases: &[Case],
    mutation: Mutation,
    search: Search,
    is_enough: impl Fn(usize) -> bool + Sync,
) -> (usize, Vec<String>) {
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let explore_some = || {
        runtime().block_on(async {
            let mut machine = Machine::new(mutation).await;
            let mut starts = Start::prepare(&machine).await;
            let (mut runs, mut failures) = (0, Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(case) = cases.get(number) else { break };
                if is_enough(failed.load(Ordering::Relaxed)) {
                    break;
                }
                if number % 500 == 0 {
                    println!("case {number} of {}, {runs} runs here", cases.len());
                }
                let found = explore(&machine, &starts[&case.start], case, search).await;
                runs += found.runs;
                if let Some(why) = found.failure {
                    failed.fetch_add(1, Ordering::Relaxed);
                    let steps: Vec<_> =
                        case.plans.iter().map(|it| (it.browser, &it.steps)).collect();
                    failures.push(format!("{:?} {steps:?}: {why}", case.start));
                    // A run that was in progress is left behind.
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
        // A rule may be broken before any two requests overlap.
        let broken = |_| (0, vec!["a rule is broken by a request alone".to_owned()]);
        threads.into_iter().map(|it| it.join().unwrap_or_else(broken)).collect::<Vec<_>>()
    });
    let runs = found.iter().map(|(runs, _)| runs).sum();
    (runs, found.into_iter().flat_map(|(_, failures)| failures).collect())
}

fn assert_all_hold(what: &str, cases: &[Case], search: Search) {
    let start = Instant::now();
    let (runs, failures) = explore_all(cases, Mutation::None, search, |_| false);
    println!("{what}: {} cases, {runs} runs, {:?}", cases.len(), start.elapsed());
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
}

/// `SIMULATION_ORDERS=every` also explores all orders of the few cases that have thousands.
#[test]
fn every_order_of_two_requests_keeps_every_rule() {
    let search = Search::from_env("SIMULATION_ORDERS", Search::UpTo, 60);
    assert_all_hold("pairs", &pairs(0), search);
}

#[test]
fn every_order_of_a_slow_request_and_another_keeps_every_rule() {
    let search = Search::from_env("SIMULATION_ORDERS", Search::UpTo, 60);
    assert_all_hold("slow requests", &slow(0), search);
}

/// With a fault at some point. `SIMULATION_FAULTS` sets how many orders of each case are explored;
/// `every` takes hours.
#[test]
fn orders_of_two_requests_with_a_fault_keep_every_rule() {
    let search = Search::from_env("SIMULATION_FAULTS", Search::Some, 2);
    let cases: Vec<_> = pairs(1).into_iter().chain(slow(1)).collect();
    assert_all_hold("pairs with a fault", &cases, search);
}
