//! Fuzzes the endpoint for a while: `cargo run -p sip --example fuzz -- --seconds 60 --seed 1`.
//! Each seed of the run is printed before it begins, so that a failure can be had again with it and `--rounds`.
#![allow(clippy::print_stdout, clippy::expect_used)]

use std::time::{Duration, Instant};

#[path = "../tests/fuzzing/mod.rs"]
mod fuzzing;

/// Inputs of one seed; then everything is closed and must be gone.
const ROUNDS: u64 = 20_000;

fn main() {
    let seconds = argument("--seconds").unwrap_or(10);
    let first = argument("--seed").unwrap_or(1);
    let rounds = argument("--rounds").unwrap_or(ROUNDS);
    let begun = Instant::now();
    let mut seed = first;
    while begun.elapsed() < Duration::from_secs(seconds) {
        println!("seed {seed}");
        let mut fuzzer = fuzzing::Fuzzer::new(seed);
        for _ in 0..rounds {
            fuzzer.round();
        }
        fuzzer.close();
        println!("  {rounds} inputs, {} messages sent, {} effects: {:?}", fuzzer.sent, fuzzer.effects, fuzzer.reached);
        seed += 1;
    }
}

fn argument(name: &str) -> Option<u64> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.next()?;
    Some(arguments.next()?.parse().expect("a number"))
}
