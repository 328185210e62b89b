//! A day on which everything happens that people do: every strategy serves it, and every call is concluded.

mod centre;

use std::collections::BTreeMap;

use acd::{Action, Callback, Caller, Document, Queue, Record, RecordKind, Strategy};
use centre::{HOUR, MINUTE, START, documents, names, worker};
use people::whatif::{Report, run_watched};
use people::{Arrivals, Break, Curve, Habits, Line, Manners, Plan, Press, Repeat, Spread, Target};

const AGENTS: usize = 14;

fn plan() -> Plan {
    let targets = vec![
        Target::Agent("a001".into()),
        Target::Agent("a007".into()),
        Target::Queue("sales".into()),
        Target::Number("84957777".into()),
    ];
    let manners = Manners {
        ignores: 0.03,
        busy: 0.02,
        rejects: 0.02,
        holds: 0.2,
        transfers: 0.1,
        consults: 0.15,
        conferences: 0.3,
        targets,
        wrap_up: Some(Spread::Exponential { mean_ms: 9_000 }),
        ..Manners::default()
    };
    let habits = Habits {
        patience: Spread::Exponential { mean_ms: 90_000 },
        talk: Spread::LogNormal { mean_ms: 120_000, deviation_percent: 80 },
        population: 300,
        vips: vec!["111".into()],
        vip_share: 0.1,
        repeat: Repeat { abandoned: 0.4, refused: 0.4, ..Repeat::default() },
        presses: vec![Press {
            digits: "1".into(),
            share: 0.2,
            after: Spread::Uniform { from_ms: 5_000, to_ms: 60_000 },
        }],
        ..Habits::default()
    };
    let curve = Curve { from: START, interval_ms: HOUR, calls: vec![250.0, 400.0, 200.0], rounds: 1 };
    let mut workers: Vec<_> = names(AGENTS).map(|name| worker(name, START + 12 * HOUR, manners.clone())).collect();
    for (at, worker) in workers.iter_mut().enumerate() {
        let at = START + 20 * MINUTE + at as u64 * 7 * MINUTE;
        worker.shifts[0].breaks = vec![Break { at, length_ms: 10 * MINUTE, reason: "tea".into() }];
    }
    Plan {
        lines: vec![Line { number: "8800".into(), arrivals: Arrivals::Curve(curve), habits }],
        workers,
        ..Plan::default()
    }
}

fn day(strategy: Strategy, seed: u64) -> (Report, BTreeMap<String, u32>) {
    let queue = Queue {
        strategy,
        wrap_up_seconds: 20,
        rona_max: 3,
        steps: vec![acd::ProgressiveStep { agents: 1, seconds: 5 }, acd::ProgressiveStep { agents: 2, seconds: 10 }],
        callback: Some(Callback::default()),
        keys: vec![('1', Action::TakeCallback)],
        chooser: Some(acd::Chooser { endpoint: "http://chooser.invalid".into(), deadline_ms: 0 }),
        ..Queue::default()
    };
    let mut documents = documents(AGENTS, queue);
    let caller = Caller { name: "vip".into(), numbers: vec!["111".into()], priority: 1, ..Caller::default() };
    documents.push(Document::Caller(caller));
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    let mut watch = |record: &Record| {
        let kind = match &record.kind {
            RecordKind::Transfer(transfer) => format!("{} {}", transfer.kind, transfer.result),
            RecordKind::Agent(agent) => agent.to.to_owned(),
            RecordKind::Call(call) if call.callback => format!("called back, {}", call.outcome.name()),
            RecordKind::Call(call) => call.outcome.name().to_owned(),
            RecordKind::Decision(_) | RecordKind::Interval(_) => return,
        };
        *kinds.entry(kind).or_default() += 1;
    };
    let report = run_watched(documents, plan(), seed, START + 12 * HOUR, &mut watch).expect("documents are sound");
    (report, kinds)
}

#[test]
fn every_strategy_concludes_every_call() {
    for strategy in Strategy::ALL {
        let (report, kinds) = day(strategy, 1);
        let all = report.whole;
        let name = strategy.name();
        assert!(all.offered > 800, "{name}: {all:?}");
        assert_eq!(all.offered, all.answered + all.abandoned + all.refused + all.failed, "{name}");
        assert_eq!((all.failed, all.unfinished), (0, 0), "{name}: {kinds:?}");
        assert!(all.answered * 10 > all.offered * 7, "{name}: {all:?}");
        assert!(report.refusals * 50 < report.commands, "{name}: {} of {}", report.refusals, report.commands);
        for kind in ["held", "consulting", "blind done", "consult done", "completed", "abandoned"] {
            assert!(kinds.contains_key(kind), "{name}: no {kind} in {kinds:?}");
        }
        assert!(kinds.keys().any(|kind| kind.starts_with("called back")), "{name}: {kinds:?}");
    }
}

#[test]
fn a_busy_day_is_the_same_every_time() {
    for strategy in [Strategy::LongestIdle, Strategy::Random, Strategy::Progressive] {
        assert_eq!(day(strategy, 7), day(strategy, 7));
    }
}
