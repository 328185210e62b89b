//! Bugs put in on purpose, each with the seed of `mutants.md` that catches it and the invariant that it breaks.

use std::collections::BTreeMap;

use sim::{Length, Mutant, Scenario};

const LIST: &str = include_str!("../mutants.md");

#[test]
fn each_mutant_is_caught_by_its_seed() {
    let listed = listed();
    for mutant in Mutant::ALL {
        let name = format!("{mutant:?}");
        let (seed, invariant) = listed.get(&name).unwrap_or_else(|| panic!("{name} is not in mutants.md"));
        assert!((1..=100).contains(seed), "{name} must be caught within a hundred seeds");
        let scenario = Scenario::draw(*seed, Length::Short);
        let failure = sim::run(&scenario, Some(mutant)).expect_err(&name);
        assert_eq!(format!("{:?}", failure.invariant), *invariant, "{name}: {failure}");
    }
    assert_eq!(listed.len(), Mutant::ALL.len(), "mutants.md lists one that is no more");
}

#[test]
fn a_failing_story_is_made_small() {
    let (mutant, seed) = (Some(Mutant::ForgottenBreak), listed()["ForgottenBreak"].0);
    let scenario = Scenario::draw(seed, Length::Short);
    let failure = sim::run(&scenario, mutant).expect_err("a mutant");
    let small = sim::shrink(&scenario, &failure, mutant);
    assert_eq!(small.failure.invariant, failure.invariant);
    assert!(small.scenario.faults.is_empty(), "no fault is needed for it: {:?}", small.scenario.faults);
    assert!(small.scenario.callers.len() <= 8 && small.scenario.agents.len() <= 2, "hardly anybody is needed for it");
    let replayed = sim::run(&small.scenario, mutant).expect_err("the small one fails too");
    assert_eq!(replayed, small.failure);
}

/// Seed and invariant by the mutant's name, from the table.
fn listed() -> BTreeMap<String, (u64, String)> {
    let rows = LIST.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
        (cells[1].clone(), (cells[2].parse().expect("a seed"), cells[3].clone()))
    })
    .collect()
}
