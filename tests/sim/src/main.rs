//! `sim`: plays seeds, and when one fails, makes it small and tells its story.
#![allow(clippy::print_stdout)] // it is a command

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use sim::{Failure, Length, Mutant, Scenario};

/// The whole system in one thread under one seed.
#[derive(Debug, Parser)]
struct Args {
    /// Play this seed only, and tell its figures.
    #[arg(long)]
    seed: Option<u64>,
    /// Play so many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Ten virtual minutes each instead of one.
    #[arg(long)]
    long: bool,
    /// Tell the whole story of the seed, whether it fails or not.
    #[arg(long)]
    story: bool,
    /// Do not make a failing scenario small.
    #[arg(long)]
    whole: bool,
    /// Play with this bug put in, to see that it is caught.
    #[arg(long)]
    mutant: Option<String>,
    /// Look for a seed that catches each mutant.
    #[arg(long)]
    mutants: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let length = if args.long { Length::Long } else { Length::Short };
    let mutant = match args.mutant.as_deref().map(|name| (name, Mutant::named(name))) {
        Some((name, None)) => {
            println!("{name} is no mutant; they are {:?}", Mutant::ALL);
            return ExitCode::FAILURE;
        }
        Some((_, mutant)) => mutant,
        None => None,
    };
    if args.mutants {
        return catch_all(length, args.seeds.min(100));
    }
    let seeds = args.seed.map_or(args.from..args.from + args.seeds, |seed| seed..seed + 1);
    let began = Instant::now();
    let (mut calls, mut commands, mut decisions, mut over_us, mut leaders) = (0, 0, 0, 0, 0);
    let (mut arrived, mut undone, mut sleeps) = (0, 0, 0);
    for seed in seeds.clone() {
        let scenario = Scenario::draw(seed, length);
        if args.story {
            let (result, story) = sim::tell(&scenario, mutant);
            story.iter().for_each(|(at_us, what)| println!("{:>9.3} {what}", *at_us as f64 / 1e6));
            println!("{result:#?}");
            continue;
        }
        match sim::run(&scenario, mutant) {
            Ok(figures) => {
                if args.seed.is_some() {
                    println!("{figures:#?}");
                }
                calls += figures.calls;
                commands += figures.commands;
                decisions += figures.decisions;
                leaders += figures.leaders;
                arrived += figures.arrived;
                undone += figures.undone;
                sleeps += figures.naps.iter().map(|naps| naps.sleeps).sum::<u64>();
                over_us += figures.over_us;
            }
            Err(failure) => {
                tell_failure(&args, &scenario, &failure, mutant);
                return ExitCode::FAILURE;
            }
        }
    }
    let count = seeds.end - seeds.start;
    println!(
        "{count} seeds hold: {calls} calls, {commands} commands, {decisions} decisions, {leaders} leaders, {arrived} moves \
         arrived, {undone} undone, {sleeps} times asleep, {} virtual minutes in {:.1} s",
        over_us / 60_000_000,
        began.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}

fn tell_failure(args: &Args, scenario: &Scenario, failure: &Failure, mutant: Option<Mutant>) {
    println!("seed {} fails {failure}", scenario.seed);
    if !args.whole {
        let small = sim::shrink(scenario, failure, mutant);
        let (faults, callers, agents) =
            (small.scenario.faults.len(), small.scenario.callers.len(), small.scenario.agents.len());
        println!("\nmade small in {} plays: {faults} faults, {callers} callers, {agents} agents\n", small.plays);
        let (result, story) = sim::tell(&small.scenario, mutant);
        story.iter().for_each(|(at_us, what)| println!("{:>9.3} {what}", *at_us as f64 / 1e6));
        match result {
            Err(failure) => println!("\n{failure}"),
            Ok(_) => println!("\nthe small story does not fail when told: this is a bug of the simulator"),
        }
    }
    let long = if args.long { " --long" } else { "" };
    let mutant = mutant.map(|mutant| format!(" --mutant {mutant:?}")).unwrap_or_default();
    println!("\nreplay: cargo run -p sim -- --seed {}{long}{mutant}", scenario.seed);
}

fn catch_all(length: Length, seeds: u64) -> ExitCode {
    let mut missed = 0;
    for mutant in Mutant::ALL {
        // Most break several things; one that has an invariant of its own is listed with a seed that shows it.
        let told = |failure: &Failure| mutant.breaks().is_none_or(|invariant| failure.invariant == invariant);
        let caught = (1..=seeds).find_map(|seed| {
            let failure = sim::run(&Scenario::draw(seed, length), Some(mutant)).err()?;
            told(&failure).then_some((seed, failure))
        });
        match caught {
            Some((seed, failure)) => println!("| `{mutant:?}` | {seed} | {:?} | {failure} |", failure.invariant),
            None => {
                missed += 1;
                println!("| `{mutant:?}` | - | - | not caught within {seeds} seeds |");
            }
        }
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
