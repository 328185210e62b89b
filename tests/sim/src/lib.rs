//! The whole system in one thread under one seed: real shards, real consensus, simulated disks, wires, gateways and
//! people, and an oracle that says what must always hold. No real clock, no real socket, no dice but the seed's.
//!
//! [`run`] plays one scenario. [`shrink`] makes a failing one small. What each invariant is: [`Invariant`].

pub mod dialogs;
mod gateway;
mod judge;
mod link;
mod machine;
mod mover;
mod mutant;
mod network;
mod node_process;
mod people;
mod reference;
mod scenario;
mod shrink;
mod verdict;
mod world;

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
};

pub use mutant::Mutant;
pub use scenario::{Agent, Caller, Fault, FaultKind, Length, Scenario, Us};
pub use shrink::{Shrunk, shrink};
pub use verdict::{Failure, Invariant};
pub use world::{Figures, Naps};

thread_local! {
    static PANICKED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Plays a scenario.
///
/// # Errors
/// What did not hold, first of all.
pub fn run(scenario: &Scenario, mutant: Option<Mutant>) -> Result<Figures, Failure> {
    play(scenario, mutant, false).0
}

/// Plays a scenario and tells what happened.
pub fn tell(scenario: &Scenario, mutant: Option<Mutant>) -> (Result<Figures, Failure>, Vec<(Us, String)>) {
    play(scenario, mutant, true)
}

fn play(scenario: &Scenario, mutant: Option<Mutant>, aloud: bool) -> (Result<Figures, Failure>, Vec<(Us, String)>) {
    let mut world = world::World::new(scenario.clone(), mutant, aloud);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|info| PANICKED.with(|text| *text.borrow_mut() = info.to_string())));
    let played = catch_unwind(AssertUnwindSafe(|| world.run()));
    std::panic::set_hook(before);
    let result = played.unwrap_or_else(|_| {
        let what = PANICKED.with(RefCell::take);
        Err(Failure { invariant: Invariant::Panic, at_us: 0, what })
    });
    (result, world.story().to_vec())
}
