//! The core with people before it is a queueing system: what theory says of one comes out of it.

mod centre;

use centre::{HOUR, START, documents, steady};
use people::{Spread, whatif};

const TALK_MS: u64 = 180_000;

fn exponential(mean_ms: u64) -> Spread {
    Spread::Exponential { mean_ms }
}

fn near(what: &str, seen: f64, told: f64, within: f64) {
    assert!((seen / told - 1.0).abs() < within, "{what}: seen {seen:.4}, theory says {told:.4}");
}

/// Probability of waiting with `agents` and an offered load in Erlang, by the recursion over Erlang B.
fn erlang_c(agents: usize, load: f64) -> f64 {
    let blocked = (1..=agents).fold(1.0, |blocked, n| load * blocked / (n as f64 + load * blocked));
    let free = 1.0 - load / agents as f64;
    blocked / (free + (1.0 - free) * blocked)
}

/// Steady state of Palm's M/M/c+M: (share who abandon, mean callers waiting), rates per hour.
fn erlang_a(agents: usize, arrive: f64, serve: f64, leave: f64) -> (f64, f64) {
    let (mut weight, mut total, mut waiting) = (1.0, 1.0, 0.0);
    for n in 1..4_000usize {
        let over = n.saturating_sub(agents) as f64;
        weight *= arrive / (n.min(agents) as f64 * serve + over * leave);
        total += weight;
        waiting += over * weight;
    }
    let waiting = waiting / total;
    (leave * waiting / arrive, waiting)
}

#[test]
fn endless_patience_waits_as_erlang_c_says() {
    let (agents, per_hour, hours) = (10, 160.0, 3_000);
    let plan = steady(agents, per_hour, hours, Spread::Never, exponential(TALK_MS));
    let horizon = START + (hours + 20) * HOUR;
    let report = whatif::run(documents(agents, acd::Queue::default()), plan, 11, horizon).expect("documents are sound");

    let load = per_hour * TALK_MS as f64 / HOUR as f64;
    let asa = erlang_c(agents, load) * TALK_MS as f64 / (agents as f64 - load);
    let figures = report.whole;
    assert_eq!((figures.abandoned, figures.refused, figures.failed, figures.unfinished), (0, 0, 0, 0));
    assert_eq!(figures.answered, figures.offered);
    near("calls", figures.offered as f64, per_hour * hours as f64, 0.01);
    near("average speed of answer, ms", figures.wait_ms as f64 / figures.answered as f64, asa, 0.05);
    // Those who waited at most 20 s: 1 - C exp(-(c - a) t / h).
    let within = 1.0 - erlang_c(agents, load) * f64::exp(-(agents as f64 - load) * 20_000.0 / TALK_MS as f64);
    near("service level", figures.within as f64 / figures.offered as f64, within, 0.01);
    assert_eq!(report.places_lost, 0);
}

#[test]
fn impatient_callers_leave_as_erlang_a_says() {
    let (agents, per_hour, hours, patience_ms) = (10, 220.0, 2_000, 120_000);
    let plan = steady(agents, per_hour, hours, exponential(patience_ms), exponential(TALK_MS));
    let horizon = START + (hours + 20) * HOUR;
    let report = whatif::run(documents(agents, acd::Queue::default()), plan, 5, horizon).expect("documents are sound");

    let hour = HOUR as f64;
    let (abandons, waiting) = erlang_a(agents, per_hour, hour / TALK_MS as f64, hour / patience_ms as f64);
    let figures = report.whole;
    near("share who abandon", figures.abandoned as f64 / figures.offered as f64, abandons, 0.03);
    // Little: callers waiting = arrivals x time each spends waiting.
    let wait = (figures.wait_ms + figures.abandon_ms) as f64 / figures.offered as f64;
    near("mean wait of all, ms", wait, waiting / per_hour * hour, 0.03);
}

#[test]
fn a_full_line_refuses_as_often_as_theory_says() {
    let (agents, per_hour, hours, line) = (8, 170.0, 800, 3);
    let queue = acd::Queue { waiting_max: line, ..acd::Queue::default() };
    let plan = steady(agents, per_hour, hours, Spread::Never, exponential(TALK_MS));
    let horizon = START + (hours + 20) * HOUR;
    let report = whatif::run(documents(agents, queue), plan, 2, horizon).expect("documents are sound");

    // M/M/c/K: a call is refused when all agents and all places are taken.
    let load = per_hour * TALK_MS as f64 / HOUR as f64;
    let weights: Vec<f64> = (1..=agents + line as usize)
        .scan(1.0, |weight, n| {
            *weight *= load / n.min(agents) as f64;
            Some(*weight)
        })
        .collect();
    let refused = weights[weights.len() - 1] / (1.0 + weights.iter().sum::<f64>());
    let figures = report.whole;
    assert_eq!(figures.answered + figures.refused, figures.offered);
    near("share who are refused", figures.refused as f64 / figures.offered as f64, refused, 0.03);
}

#[test]
fn agents_are_as_occupied_as_the_load_they_carry() {
    let (agents, per_hour, hours) = (20, 320.0, 300);
    let mut plan = steady(agents, per_hour, hours, Spread::Never, exponential(TALK_MS));
    for worker in &mut plan.workers {
        worker.shifts[0].until = START + hours * HOUR;
    }
    let report = whatif::run(documents(agents, acd::Queue::default()), plan, 3, START + hours * HOUR).expect("sound");
    near("occupancy, permille", report.occupancy_permille().expect("somebody was there") as f64, 800.0, 0.02);
    let gini = report.gini_permille().expect("somebody worked");
    assert!(gini < 20, "longest idle deals evenly: {gini}");
}
