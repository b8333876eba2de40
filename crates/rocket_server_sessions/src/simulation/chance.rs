//! Three and four requests, in a random order and with random faults.

use std::thread;
use std::time::Instant;

use super::cases::{Case, OPERATIONS, RARE, SLOW};
use super::choice::Dice;
use super::exhaustive::{run, runtime};
use super::machine::Machine;
use super::mutation::Mutation;
use super::plan::Plan;
use super::random::Random;
use super::start::Start;
use super::step::Step;

/// How many runs are made, unless `SIMULATION_RUNS` says so.
const RUNS: u64 = 1500;

fn case(random: &mut Random) -> Case {
    let start = *random.pick(&Start::ALL);
    let count = 3 + random.below(2);
    let plan = |random: &mut Random| {
        let browser = *random.pick(&[0, 0, 0, 0, 1, 2]);
        let of = match random.below(8) {
            0 => &SLOW[..],
            1 | 2 => &RARE[..],
            _ => &OPERATIONS[..],
        };
        let mut steps = random.pick(of).to_vec();
        if random.below(4) == 0 {
            let of = if random.below(4) == 0 { &RARE[..] } else { &OPERATIONS[..] };
            steps.extend(*random.pick(of));
        }
        // Usually, a task has sent its first commands when the response is sent.
        if random.below(5) == 0 {
            let at = random.below(steps.len());
            let pauses = [
                &[Step::Spawn][..],
                &[Step::Spawn],
                &[Step::Spawn, Step::Wait(6)],
                &[Step::Spawn, Step::Wait(35)],
            ];
            steps.splice(at..at, random.pick(&pauses).iter().copied());
        }
        Plan { browser, steps }
    };
    let plans = (0..count).map(|_| plan(random)).collect();
    Case { start, plans, faults: *random.pick(&[0, 0, 1, 1, 2]) }
}

/// Makes runs with these seeds, and returns the failures, up to a limit.
pub(super) fn try_seeds(
    seeds: std::ops::Range<u64>,
    mutation: Mutation,
    enough: usize,
) -> Vec<String> {
    runtime().block_on(async {
        let mut machine = Machine::new(mutation).await;
        let mut starts = Start::prepare(&machine).await;
        let mut failures = Vec::new();
        for seed in seeds {
            let mut random = Random::new(seed);
            let case = case(&mut random);
            let mut from = starts[&case.start].clone();
            from.keyspace.is_full = random.below(10) == 0;
            let dice = || Dice { random: Random::new(seed ^ u64::MAX), is_free: true };
            if let Err(why) = run(&machine, &from, &case, &mut dice(), |it| *it = dice()).await {
                failures.push(format!("seed {seed}, from {:?}: {why}", case.start));
                machine = Machine::new(mutation).await;
                starts = Start::prepare(&machine).await;
            }
            if failures.len() == enough {
                break;
            }
        }
        failures
    })
}

/// To repeat a single run, set `SIMULATION_SEED` to its seed and `SIMULATION_RUNS` to 1.
#[test]
fn many_requests_in_random_orders_keep_every_rule() {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse().ok());
    let first = number("SIMULATION_SEED").unwrap_or(0_u64);
    let runs = number("SIMULATION_RUNS").unwrap_or(RUNS);
    let start = Instant::now();
    let failures: Vec<_> = thread::scope(|scope| {
        let middle = first + runs.div_ceil(2);
        let halves = [first..middle, middle..first + runs];
        let threads = halves.map(|it| scope.spawn(|| try_seeds(it, Mutation::None, 20)));
        threads.into_iter().flat_map(|it| it.join().unwrap()).collect()
    });
    println!("seeds {first} to {}: {:?}", first + runs, start.elapsed());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
