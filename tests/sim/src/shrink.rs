//! Makes a failing scenario small: leaves out faults and people, by halves and then one by one, and keeps what still
//! fails in the same way.

use crate::{Failure, Invariant, Mutant, Scenario, run};

/// A small scenario that fails as the large one did.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// What is left of it.
    pub scenario: Scenario,
    /// How it fails.
    pub failure: Failure,
    /// How often it was played.
    pub plays: u32,
}

/// Plays at most so many times.
const PLAYS_MAX: u32 = 400;

/// Leaves out whatever the failure does not need.
#[must_use]
pub fn shrink(scenario: &Scenario, failure: &Failure, mutant: Option<Mutant>) -> Shrunk {
    let mut best = Shrunk { scenario: scenario.clone(), failure: failure.clone(), plays: 0 };
    loop {
        let size = weight(&best.scenario);
        leave_out(&mut best, mutant, |scenario| &mut scenario.faults);
        leave_out(&mut best, mutant, |scenario| &mut scenario.callers);
        leave_out(&mut best, mutant, |scenario| &mut scenario.agents);
        if weight(&best.scenario) == size || best.plays >= PLAYS_MAX {
            return best;
        }
    }
}

fn weight(scenario: &Scenario) -> usize {
    scenario.faults.len() + scenario.callers.len() + scenario.agents.len()
}

fn leave_out<T>(best: &mut Shrunk, mutant: Option<Mutant>, part: impl Fn(&mut Scenario) -> &mut Vec<T>) {
    let mut size = part(&mut best.scenario).len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < part(&mut best.scenario).len() && best.plays < PLAYS_MAX {
            let mut smaller = best.scenario.clone();
            let rows = part(&mut smaller);
            rows.drain(from..(from + size).min(rows.len()));
            best.plays += 1;
            match run(&smaller, mutant) {
                Err(failure) if same(failure.invariant, best.failure.invariant) => {
                    best.scenario = smaller;
                    best.failure = failure;
                }
                Ok(_) | Err(_) => from += size,
            }
        }
        size /= 2;
    }
}

fn same(one: Invariant, other: Invariant) -> bool {
    one == other
}
