//! Three and four requests, in an order and with faults that chance decides.

use std::thread;
use std::time::Instant;

use super::cases::{Case, OPERATIONS, SLOW};
use super::choice::Dice;
use super::exhaustive::{run, runtime};
use super::machine::Machine;
use super::mutation::Mutation;
use super::random::Random;
use super::scheduler::Plan;
use super::start::Start;

/// How many runs each of two threads makes, unless `SIMULATION_RUNS` says so.
const RUNS: u64 = 1500;

fn case(random: &mut Random) -> Case {
    let start = *random.pick(&Start::ALL);
    let count = 3 + random.below(2);
    let plan = |random: &mut Random| {
        let browser = *random.pick(&[0, 0, 0, 0, 1, 2]);
        let of = if random.below(8) == 0 { &SLOW[..] } else { &OPERATIONS[..] };
        let mut steps = random.pick(of).to_vec();
        if random.below(4) == 0 {
            steps.extend(*random.pick(&OPERATIONS));
        }
        Plan { browser, steps }
    };
    let plans = (0..count).map(|_| plan(random)).collect();
    Case { start, plans, faults: *random.pick(&[0, 0, 1, 1, 2]) }
}

/// Makes runs with these seeds, and returns the first that breaks a rule.
pub(super) fn try_seeds(seeds: std::ops::Range<u64>, mutation: Mutation) -> Result<(), String> {
    runtime().block_on(async {
        let machine = Machine::new(mutation).await;
        let starts = Start::prepare(&machine).await;
        for seed in seeds {
            let mut random = Random::new(seed);
            let case = case(&mut random);
            let mut from = starts[&case.start].clone();
            from.keyspace.is_full = random.below(10) == 0;
            let dice = || Dice(Random::new(seed ^ u64::MAX));
            let result = run(&machine, &from, &case, &mut dice(), |it| *it = dice()).await;
            result.map_err(|why| format!("seed {seed}, from {:?}: {why}", case.start))?;
        }
        Ok(())
    })
}

/// Any of the runs can be made alone: `SIMULATION_SEED` is the first one.
#[test]
fn many_requests_in_random_orders_keep_every_rule() {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse().ok());
    let first = number("SIMULATION_SEED").unwrap_or(0_u64);
    let runs = number("SIMULATION_RUNS").unwrap_or(RUNS);
    let start = Instant::now();
    let results: Vec<_> = thread::scope(|scope| {
        let halves = [first..first + runs.div_ceil(2), first + runs.div_ceil(2)..first + runs];
        let threads = halves.map(|it| scope.spawn(|| try_seeds(it, Mutation::None)));
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    println!("seeds {first} to {}: {:?}", first + runs, start.elapsed());
    let failures: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
