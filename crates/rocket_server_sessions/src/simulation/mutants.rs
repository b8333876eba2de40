//! The simulation finds each seeded bug, so each rule is effective.

use super::cases::{pairs, slow};
use super::chance::try_seeds;
use super::exhaustive::{Search, explore_all};
use super::mutation::Mutation;

/// The first run that breaks a rule.
fn find(mutation: Mutation) -> Option<String> {
    let tries =
        [(slow(0), Search::UpTo(50)), (pairs(0), Search::UpTo(30)), (pairs(1), Search::Some(10))];
    let mut found = tries.iter().filter_map(|(cases, search)| {
        explore_all(cases, mutation, *search, |failures| failures > 0).1.into_iter().next()
    });
    found.next().or_else(|| try_seeds(0..2000, mutation, 1).pop())
}

#[test]
#[ignore = "takes two to four minutes"]
fn every_seeded_bug_is_found() {
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        let found = find(mutation);
        println!("{mutation:?}: {}", found.as_deref().unwrap_or("MISSED"));
        if found.is_none() {
            missed.push(mutation);
        }
    }
    assert_eq!(missed, [], "no rule was broken");
}

/// For bugs that you add to the code by hand.
#[test]
#[ignore = "it fails unless the code has a bug"]
fn code_has_a_bug() {
    let found = find(Mutation::None);
    println!("FOUND: {}", found.as_deref().unwrap_or("nothing"));
    assert!(found.is_some(), "no rule was broken");
}
