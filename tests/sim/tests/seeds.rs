//! Two hundred bad minutes of a whole system. `SIM_SEEDS=1000` plays more of them; `make sim SEED=n` plays one and, when
//! it fails, makes it small and tells its story.

use sim::{Length, Naps, Scenario};

/// Seeds of each of the four tests, which run side by side.
const SEEDS: u64 = 50;

#[test]
fn whatever_breaks_the_first_quarter_holds() {
    hold(0);
}

#[test]
fn whatever_breaks_the_second_quarter_holds() {
    hold(1);
}

#[test]
fn whatever_breaks_the_third_quarter_holds() {
    hold(2);
}

#[test]
fn whatever_breaks_the_last_quarter_holds() {
    hold(3);
}

#[test]
fn the_same_seed_is_the_same_minute_byte_for_byte() {
    for seed in [1, 7, 1234] {
        let play = || sim::run(&Scenario::draw(seed, Length::Short), None).expect("it holds");
        let (one, other) = (play(), play());
        assert_eq!(one, other, "seed {seed}");
        let (told, story) = sim::tell(&Scenario::draw(seed, Length::Short), None);
        assert_eq!(told.expect("it holds").trace, one.trace, "telling changes nothing");
        assert!(story.len() > 100);
    }
}

#[test]
fn other_seeds_are_other_minutes() {
    let trace = |seed| sim::run(&Scenario::draw(seed, Length::Short), None).expect("it holds").trace;
    assert_ne!(trace(1), trace(2));
}

#[test]
fn a_fault_that_cannot_happen_fails_the_run() {
    let mut scenario = Scenario::draw(1, Length::Short);
    let fault = |at_us, for_us, kind| sim::Fault { at_us, for_us, kind };
    scenario.faults = vec![
        fault(5_000_000, 20_000_000, sim::FaultKind::Crash(0)),
        fault(10_000_000, 0, sim::FaultKind::SetClock(0, 500)),
    ];
    let failure = sim::run(&scenario, None).expect_err("a dead node has no clock");
    assert_eq!(failure.invariant, sim::Invariant::Asked, "{failure}");
}

/// Found by longer runs, and kept.
#[test]
fn seeds_that_once_failed_hold() {
    for seed in [64, 201, 231, 252, 345, 406, 523] {
        sim::run(&Scenario::draw(seed, Length::Short), None).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
    }
}

fn hold(quarter: u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = number("SIM_SEEDS").map_or(SEEDS, |seeds| seeds.div_ceil(4));
    let (mut calls, mut decisions, mut leaders, mut faults) = (0, 0, 0, std::collections::BTreeMap::new());
    let (mut homeless, mut given_up) = (0, 0);
    let (mut arrived, mut undone, mut movers, mut answers, mut dark_us) = (0, 0, 0, 0, 0);
    let mut naps = [Naps::default(); 2];
    for seed in 1 + quarter * seeds..=(quarter + 1) * seeds {
        let played = sim::run(&Scenario::draw(seed, Length::Short), None);
        let figures = played.unwrap_or_else(|failure| panic!("{failure}; make sim SEED={seed} tells the story"));
        calls += figures.calls as u64;
        decisions += figures.decisions;
        leaders += figures.leaders;
        homeless += figures.homeless;
        given_up += figures.given_up;
        arrived += figures.arrived;
        undone += figures.undone;
        movers += figures.movers;
        answers += figures.answers;
        dark_us = figures.dark_us.max(dark_us);
        for (sum, one) in naps.iter_mut().zip(figures.naps) {
            (sum.sleeps, sum.wakes) = (sum.sleeps + one.sleeps, sum.wakes + one.wakes);
        }
        figures.faults.into_iter().for_each(|(name, count)| *faults.entry(name).or_insert(0) += count);
    }
    eprintln!(
        "{seeds} seeds: {calls} calls, {decisions} decisions, {leaders} leaders, {homeless} homeless, {given_up} given up; \
         {arrived} moves arrived, {undone} undone by {movers} movers, {dark_us} us dark at most; {naps:?}, {answers} answers; {faults:?}"
    );
    // Otherwise the seeds ask for too little.
    assert!(calls > 20 * seeds && decisions > 20 * seeds && leaders > 2 * seeds);
    assert!(homeless > seeds / 5, "hardly a call was ever without a gateway");
    assert!(seeds < 50 || faults.len() >= 17, "some fault was never asked for: {faults:?}");
    if seeds < 50 {
        return;
    }
    assert!(arrived > seeds / 2 && undone > seeds / 10, "moves hardly ever end in both ways: {arrived}, {undone}");
    assert!(movers > arrived + undone + seeds / 10, "hardly a mover died on its way");
    assert!(answers > 20 * seeds, "hardly a question was answered");
    let slept = |naps: &Naps| naps.sleeps > 5 * seeds && naps.wakes > 5 * seeds;
    assert!(naps.iter().all(slept), "a shard hardly slept, or was never woken: {naps:?}");
}
