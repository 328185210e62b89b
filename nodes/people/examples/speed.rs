//! Prints how many seconds of a centre of 500 agents (or as many as the argument says) one second of a core simulates. `cargo run --release -p people
//! --example speed`. Reads the clock, which the package itself never does.
#![allow(clippy::print_stdout, clippy::useless_conversion, clippy::needless_update)]

use std::time::Instant;

use acd::{Agent, Document, Membership, Number, Queue};
use people::{Arrivals, Curve, Habits, Line, Manners, Plan, Repeat, Shift, Spread, Worker, whatif};

const HOUR_MS: u64 = 3_600_000;
const START: u64 = 1_700_000_000_000;
const AGENTS: usize = 500;
const QUEUES: usize = 20;
const HOURS: u64 = 8;

fn documents(agents: usize) -> Vec<Document> {
    let queue = |at: usize| format!("q{at}");
    let queues = (0..QUEUES)
        .map(|at| Document::Queue(Queue { name: queue(at), wrap_up_seconds: 20, ..Queue::default() }.into()));
    let numbers = (0..QUEUES)
        .map(|at| Document::Number(Number { name: format!("8800{at:02}"), queue: queue(at), ..Number::default() }));
    let agents = (0..agents).map(|at| {
        let queues = (0..3).map(|more| Membership { queue: queue((at + more * 7) % QUEUES), ..Membership::default() });
        Document::Agent(Agent { name: format!("a{at:03}"), queues: queues.collect(), ..Agent::default() })
    });
    queues.chain(numbers).chain(agents).collect()
}

fn plan(agents: usize) -> Plan {
    // 3 s to answer, 180 s of talk, 20 s of wrap-up: 17.7 calls an hour and agent at full occupancy.
    let per_hour = agents as f64 * 17.7 * 0.87;
    let curve = || Curve {
        from: START,
        interval_ms: HOUR_MS,
        calls: vec![per_hour / QUEUES as f64; HOURS as usize],
        rounds: 1,
    };
    let habits = || Habits {
        patience: Spread::Exponential { mean_ms: 120_000 },
        talk: Spread::LogNormal { mean_ms: 180_000, deviation_percent: 80 },
        repeat: Repeat { abandoned: 0.4, ..Repeat::default() },
        ..Habits::default()
    };
    let lines = (0..QUEUES).map(|at| Line {
        number: format!("8800{at:02}"),
        arrivals: Arrivals::Curve(curve()),
        habits: habits(),
    });
    let workers = (0..agents).map(|at| Worker {
        name: format!("a{at:03}"),
        shifts: vec![Shift { from: START, until: START + HOURS * HOUR_MS, breaks: Vec::new() }],
        pace: 0.8 + 0.4 * at as f64 / agents as f64,
        manners: Manners { ignores: 0.01, ..Manners::default() },
    });
    Plan { lines: lines.collect(), workers: workers.collect(), ..Plan::default() }
}

/// What this process has had of a core, where the system tells.
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds / 1e9)
}

fn main() -> Result<(), acd::Rejection> {
    let agents = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(AGENTS);
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let report = whatif::run(documents(agents), plan(agents), 1, START + HOURS * HOUR_MS)?;
    let wall = began.elapsed().as_secs_f64();
    let spent = cpu_seconds().zip(cpu).map_or(wall, |(after, before)| after - before);
    let simulated = (report.until_ms - report.from_ms) as f64 / 1000.0;
    println!("{}", whatif::compare(&report, &report));
    println!(
        "{agents} agents, {QUEUES} queues, {} calls, {} commands, {simulated:.0} s simulated in {spent:.3} s of a core ({wall:.3} s): {:.0} x real time, {:.1} us a command",
        report.whole.offered,
        report.commands,
        simulated / spent,
        spent * 1e6 / report.commands as f64
    );
    Ok(())
}
