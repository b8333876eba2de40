//! The cases: which requests run concurrently.

use super::plan::Plan;
use super::start::Start;
use super::step::Step;

/// Concurrent requests, and the state in which they begin.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) start: Start,
    pub(super) plans: Vec<Plan>,
    pub(super) faults: usize,
}

/// What one request does.
pub(super) const OPERATIONS: [&[Step]; 20] = [
    &[Step::View],
    &[Step::Increment],
    &[Step::Get],
    &[Step::Insert],
    &[Step::InsertTooLarge],
    &[Step::Update],
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

/// Rarer operations. They send the same commands as others, so not every order is explored.
pub(super) const RARE: [&[Step]; 6] = [
    &[Step::Small],
    &[Step::Small, Step::Small],
    &[Step::Clear],
    &[Step::LogInWith("alice")],
    &[Step::RememberFor, Step::Get],
    &[Step::RememberFor, Step::LogInWith("bob")],
];

/// What Alice does on her other device.
const ELSEWHERE: [&[Step]; 3] =
    [&[Step::DestroyAll("alice")], &[Step::DestroyOthers("alice")], &[Step::List("alice")]];

/// Long requests.
pub(super) const SLOW: [&[Step]; 10] = [
    &[Step::Wait(20), Step::Insert],
    &[Step::Wait(26), Step::Insert],
    &[Step::Wait(35), Step::View],
    &[Step::Get, Step::Wait(20), Step::Insert],
    &[Step::Get, Step::Wait(35), Step::Insert],
    &[Step::Insert, Step::Wait(6)],
    &[Step::Remember, Step::Wait(6)],
    &[Step::Wait(35), Step::Destroy],
    &[Step::Wait(35), Step::LogIn("alice")],
    &[Step::Wait(35), Step::Regenerate, Step::Insert],
];

/// Operations that change which session a browser has.
pub(super) const IDENTITY: [&[Step]; 6] = [
    &[Step::Regenerate],
    &[Step::LogIn("alice")],
    &[Step::LogIn("bob")],
    &[Step::Destroy],
    &[Step::DestroyAll("alice")],
    &[Step::Regenerate, Step::Insert],
];

fn plan(browser: usize, steps: &[Step]) -> Plan {
    Plan { browser, steps: steps.to_vec() }
}

/// All pairs of operations, from each state: of one browser; of a browser and Alice's other device;
/// of a browser and a thief who has its cookie.
pub(super) fn pairs(faults: usize) -> Vec<Case> {
    let mut plans = Vec::new();
    for (at, first) in OPERATIONS.iter().enumerate() {
        for second in &OPERATIONS[at..] {
            plans.push(vec![plan(0, first), plan(0, second)]);
        }
        for elsewhere in ELSEWHERE {
            plans.push(vec![plan(0, first), plan(1, elsewhere)]);
        }
        for identity in IDENTITY {
            plans.push(vec![plan(0, identity), plan(2, first)]);
        }
    }
    from_everywhere(&plans, faults)
}

/// A slow request, and one that changes the browser's session.
pub(super) fn slow(faults: usize) -> Vec<Case> {
    let mut plans = Vec::new();
    for slow in SLOW {
        for other in IDENTITY.into_iter().chain([&[Step::View][..]]) {
            plans.push(vec![plan(0, slow), plan(0, other)]);
        }
    }
    from_everywhere(&plans, faults)
}

fn from_everywhere(plans: &[Vec<Plan>], faults: usize) -> Vec<Case> {
    let from = |start| plans.iter().map(move |plans| Case { start, plans: plans.clone(), faults });
    Start::ALL.into_iter().flat_map(from).collect()
}
