//! A small centre and its plan for the stories of this folder.
#![allow(dead_code, unreachable_pub, clippy::useless_conversion, clippy::needless_update)]

use acd::{Agent, Document, Membership, Number, Queue};
use people::{Arrivals, Curve, Habits, Line, Manners, Plan, Shift, Spread, Worker};

pub const START: u64 = 1_700_000_000_000;
pub const MINUTE: u64 = 60_000;
pub const HOUR: u64 = 60 * MINUTE;

/// One number, one queue, so many agents.
pub fn documents(agents: usize, queue: Queue) -> Vec<Document> {
    let queue = Queue { name: "sales".into(), ..queue };
    let mut documents = vec![
        Document::Queue(queue.into()),
        Document::Number(Number { name: "8800".into(), queue: "sales".into(), ..Number::default() }),
    ];
    documents.extend(names(agents).map(|name| {
        let queues = vec![Membership { queue: "sales".into(), ..Membership::default() }];
        Document::Agent(Agent { name, queues, ..Agent::default() })
    }));
    documents
}

pub fn names(agents: usize) -> impl Iterator<Item = String> {
    (1..=agents).map(|at| format!("a{at:03}"))
}

pub fn worker(name: String, until: u64, manners: Manners) -> Worker {
    Worker { name, shifts: vec![Shift { from: START, until, breaks: Vec::new() }], pace: 1.0, manners }
}

/// Poisson arrivals at one rate, agents who pick up at once and never leave.
pub fn steady(agents: usize, calls_per_hour: f64, hours: u64, patience: Spread, talk: Spread) -> Plan {
    let manners = Manners { answer: Spread::Exactly { ms: 0 }, ..Manners::default() };
    let curve = Curve { from: START, interval_ms: HOUR, calls: vec![calls_per_hour], rounds: hours as u32 };
    let habits = Habits { patience, talk, ..Habits::default() };
    Plan {
        lines: vec![Line { number: "8800".into(), arrivals: Arrivals::Curve(curve), habits }],
        workers: names(agents).map(|name| worker(name, START + (hours + 24) * HOUR, manners.clone())).collect(),
        ..Plan::default()
    }
}
