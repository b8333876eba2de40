//! Each seeded bug is found: so each rule is looked after.

use super::cases::{pairs, slow};
use super::chance::try_seeds;
use super::exhaustive::{Search, explore_all};
use super::mutation::Mutation;

#[test]
fn every_seeded_bug_is_found() {
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        let is_enough = |failures| failures > 0;
        let tries = [(slow(0), Search::Every), (pairs(0), Search::Every), (pairs(1), Search::Some(20))];
        let found = tries.iter().find_map(|(cases, search)| {
            explore_all(cases, mutation, *search, is_enough).1.into_iter().next()
        });
        let found = found.or_else(|| try_seeds(0..2000, mutation, 1).pop());
        println!("{mutation:?}: {}", found.as_deref().unwrap_or("MISSED"));
        if found.is_none() {
            missed.push(mutation);
        }
    }
    assert_eq!(missed, [], "no rule has noticed");
}
