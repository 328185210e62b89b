//! What a manager asks: the same day with another policy or other staff.

mod centre;

use std::collections::BTreeSet;

use acd::{CallOutcome, Queue, Record, RecordKind};
use centre::{HOUR, MINUTE, START, documents, names, worker};
use people::whatif::{self, RecordedCall, RecordedChange, Report, compare, from_records};
use people::{Arrival, Arrivals, Break, Curve, Habits, Line, Manners, Plan, Repeat, Shift, Spread};

/// A morning with a rush, breaks, impatience and repeat calls.
fn morning(agents: usize) -> Plan {
    let curve =
        Curve { from: START, interval_ms: 30 * MINUTE, calls: vec![30.0, 80.0, 120.0, 60.0, 30.0, 20.0], rounds: 1 };
    let habits = Habits {
        patience: Spread::Exponential { mean_ms: 90_000 },
        talk: Spread::LogNormal { mean_ms: 150_000, deviation_percent: 70 },
        population: 400,
        repeat: Repeat { abandoned: 0.3, ..Repeat::default() },
        ..Habits::default()
    };
    let manners = Manners { ignores: 0.02, ..Manners::default() };
    let mut workers: Vec<_> = names(agents).map(|name| worker(name, START + 4 * HOUR, manners.clone())).collect();
    for (at, worker) in workers.iter_mut().enumerate() {
        let at = START + HOUR + at as u64 * 5 * MINUTE;
        worker.shifts[0].breaks = vec![Break { at, length_ms: 10 * MINUTE, reason: "tea".into() }];
    }
    Plan {
        lines: vec![Line { number: "8800".into(), arrivals: Arrivals::Curve(curve), habits }],
        workers,
        ..Plan::default()
    }
}

fn queue() -> Queue {
    Queue { wrap_up_seconds: 15, ring_seconds: 12, ..Queue::default() }
}

fn run(agents: usize, queue: Queue, seed: u64) -> Report {
    whatif::run(documents(agents, queue), morning(agents), seed, START + 5 * HOUR).expect("documents are sound")
}

#[test]
fn the_same_seed_gives_the_same_report_to_the_byte() {
    let (first, second) = (run(12, queue(), 4), run(12, queue(), 4));
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    assert_eq!(compare(&first, &first).to_string(), compare(&second, &second).to_string());
    assert_ne!(first, run(12, queue(), 5));
}

#[test]
fn every_call_and_every_minute_is_accounted_for() {
    let report = run(12, queue(), 1);
    let all = report.whole;
    assert!(all.offered > 250, "{all:?}");
    assert_eq!(all.offered, all.answered + all.abandoned + all.refused + all.failed);
    assert_eq!((all.failed, all.unfinished, report.places_lost), (0, 0, 0));
    assert_eq!(report.queues, [("sales".to_owned(), all)]);
    assert_eq!(report.agents.iter().map(|agent| agent.calls).sum::<u64>(), all.answered);
    for agent in &report.agents {
        let parts = agent.talk_ms + agent.wrap_up_ms + agent.ring_ms + agent.ready_ms + agent.not_ready_ms;
        assert_eq!(agent.signed_in_ms, parts);
        let late = agent.signed_in_ms.abs_diff(4 * HOUR);
        assert!(late < HOUR / 2, "{}: {} ms off the shift", agent.name, late);
        assert!(agent.not_ready_ms >= 10 * MINUTE, "{} had tea", agent.name);
    }
    // Talking is the agents' and the callers' alike.
    assert_eq!(report.agents.iter().map(|agent| agent.talk_ms).sum::<u64>(), all.talk_ms);
}

#[test]
fn fewer_agents_serve_the_same_callers_worse() {
    let (many, few) = (run(20, queue(), 2), run(11, queue(), 2));
    assert!(few.whole.service_level_permille() < many.whole.service_level_permille());
    assert!(few.whole.abandonment_permille() > many.whole.abandonment_permille());
    assert!(few.whole.asa_ms() > many.whole.asa_ms());
    assert!(few.occupancy_permille() > many.occupancy_permille());
}

#[test]
fn a_short_line_refuses_whom_a_long_one_would_serve() {
    let (long, short) = (run(11, queue(), 2), run(11, Queue { waiting_max: 1, ..queue() }, 2));
    assert_eq!(long.whole.refused, 0);
    assert!(short.whole.refused > 10, "{:?}", short.whole);
    assert!(short.whole.longest_wait_ms < long.whole.longest_wait_ms);
    let table = compare(&long, &short).to_string();
    let refused = table.lines().find(|line| line.starts_with("all ") && line.contains("refused")).expect("a row");
    assert!(refused.ends_with(&short.whole.refused.to_string()), "{refused}");
}

#[test]
fn under_another_policy_the_same_callers_come() {
    let callers = |wrap_up_seconds| {
        let mut seen = Vec::new();
        let mut plan = morning(12);
        plan.lines[0].habits.repeat = Repeat::default();
        let queue = Queue { wrap_up_seconds, ..queue() };
        let mut watch = |record: &Record| {
            if let RecordKind::Call(call) = &record.kind {
                seen.push((call.offered_ms, call.caller.to_string()));
            }
        };
        whatif::run_watched(documents(12, queue), plan, 6, START + 5 * HOUR, &mut watch).expect("sound");
        seen.sort_unstable();
        seen
    };
    let calm = callers(0);
    assert!(calm.len() > 250);
    assert_eq!(calm, callers(60));
}

#[test]
fn one_who_does_all_the_work_is_unfair() {
    let agent = |name: &str, talk_ms| whatif::AgentFigures {
        name: name.into(),
        signed_in_ms: 1_000,
        talk_ms,
        ..whatif::AgentFigures::default()
    };
    let of = |talks: &[u64]| Report { agents: talks.iter().map(|ms| agent("a", *ms)).collect(), ..Report::default() };
    assert_eq!(of(&[500, 500, 500, 500]).gini_permille(), Some(0));
    assert_eq!(of(&[0, 0, 0, 900]).gini_permille(), Some(750), "(n - 1) / n for one of n");
    assert_eq!(of(&[100, 300]).gini_permille(), Some(250));
    assert_eq!(of(&[0, 0]).gini_permille(), None);
    assert_eq!(of(&[]).gini_permille(), None);
}

/// What was written down on a morning, as a consumer of records has it.
fn recorded(agents: usize, seed: u64) -> (Vec<RecordedCall>, Vec<RecordedChange>, Report) {
    let (mut calls, mut changes) = (Vec::new(), Vec::new());
    let mut watch = |record: &Record| match &record.kind {
        RecordKind::Call(call) => calls.push(RecordedCall {
            number: call.number.to_string(),
            caller: call.caller.to_string(),
            offered_ms: call.offered_ms,
            answered_ms: call.answered_ms,
            ended_ms: call.ended_ms,
            outcome: call.outcome,
            agent: call.agent.to_string(),
            waited_ms: if call.answered_ms > 0 { call.answered_ms } else { call.ended_ms } - call.offered_ms,
        }),
        RecordKind::Agent(agent) => changes.push(RecordedChange {
            agent: agent.agent.to_string(),
            at: record.at,
            from: agent.from.to_string(),
            to: agent.to.to_string(),
            reason: agent.reason.to_string(),
        }),
        _ => {}
    };
    let report = whatif::run_watched(documents(agents, queue()), morning(agents), seed, START + 5 * HOUR, &mut watch)
        .expect("documents are sound");
    (calls, changes, report)
}

#[test]
fn a_recorded_morning_replayed_is_nearly_the_morning_it_was() {
    let (calls, changes, was) = recorded(12, 3);
    let replay = from_records(&calls, &changes);
    let is = whatif::run(documents(12, queue()), replay.plan, 99, replay.until_ms + HOUR).expect("documents are sound");
    let near = |what: &str, is: u64, was: u64, off: u64| assert!(is.abs_diff(was) <= off, "{what}: {is}, was {was}");
    near("offered", is.whole.offered, was.whole.offered, was.whole.offered / 50);
    near("answered", is.whole.answered, was.whole.answered, was.whole.offered / 20);
    let level = |report: &Report| report.whole.service_level_permille().expect("calls came");
    near("service level", level(&is), level(&was), 60);
    let occupancy = |report: &Report| report.occupancy_permille().expect("agents came");
    near("occupancy", occupancy(&is), occupancy(&was), 40);
    assert!(is.whole.abandoned > 0, "the impatient are still impatient");
}

#[test]
fn a_replay_with_more_staff_serves_those_who_had_given_up() {
    let (calls, changes, was) = recorded(11, 3);
    let gave_up = calls.iter().filter(|call| call.outcome == CallOutcome::Abandoned).count();
    assert!(gave_up > 20);
    let after = documents(25, queue());
    let replay = from_records(&calls, &changes).with_newcomers(&documents(11, queue()), &after);
    let is = whatif::run(after, replay.plan, 1, replay.until_ms + HOUR).expect("sound");
    assert_eq!(is.agents.len(), 25);
    assert!(is.whole.answered > was.whole.answered, "{:?} of {:?}", is.whole, was.whole);
    assert!(is.whole.abandoned < gave_up as u64 / 2, "{:?}", is.whole);
    assert!(is.whole.offered < was.whole.offered, "who is served at first does not ring again");
    let people = |calls: &[RecordedCall]| calls.iter().map(|call| call.caller.clone()).collect::<BTreeSet<_>>().len();
    assert!(is.whole.offered >= people(&calls) as u64, "and yet everybody rang");
}

#[test]
fn a_replay_without_an_agent_is_a_morning_without_them() {
    let (calls, changes, was) = recorded(12, 3);
    let replay = from_records(&calls, &changes).with_newcomers(&documents(12, queue()), &documents(9, queue()));
    let is = whatif::run(documents(9, queue()), replay.plan, 1, replay.until_ms + HOUR).expect("sound");
    assert_eq!((is.agents.len(), was.agents.len()), (9, 12));
    assert!(is.whole.abandoned > was.whole.abandoned && is.occupancy_permille() > was.occupancy_permille());
}

#[test]
fn a_recorded_repeat_comes_only_if_the_first_call_was_in_vain() {
    let call = |minute: u64, answered: bool| RecordedCall {
        number: "8800".into(),
        caller: "101".into(),
        offered_ms: START + minute * MINUTE,
        answered_ms: if answered { START + (minute + 1) * MINUTE } else { 0 },
        ended_ms: START + (minute + 2) * MINUTE,
        outcome: if answered { CallOutcome::Completed } else { CallOutcome::Abandoned },
        agent: String::new(),
        waited_ms: if answered { MINUTE } else { 2 * MINUTE },
    };
    let replay = from_records(&[call(0, false), call(10, false), call(20, true), call(200, true)], &[]);
    let Arrivals::List(list) = &replay.plan.lines[0].arrivals else { panic!("recorded calls are a list") };
    assert_eq!(list.iter().map(|arrival| arrival.is_repeat).collect::<Vec<_>>(), [false, true, true, false]);
    let offered = |agents: usize| {
        let mut plan = replay.plan.clone();
        plan.workers = names(agents).map(|name| worker(name, START + 5 * HOUR, Manners::default())).collect();
        whatif::run(documents(1, queue()), plan, 1, START + 5 * HOUR).expect("sound").whole.offered
    };
    assert_eq!(offered(0), 4);
    assert_eq!(offered(1), 2);
}

#[test]
fn shifts_and_breaks_are_read_from_changes_of_state() {
    let change = |minute: u64, from: &str, to: &str, reason: &str| RecordedChange {
        agent: "ann".into(),
        at: START + minute * MINUTE,
        from: from.into(),
        to: to.into(),
        reason: reason.into(),
    };
    let changes = [
        change(0, "logged-out", "not-ready", "logged-in"),
        change(1, "not-ready", "ready", "asked"),
        change(10, "ready", "reserved", ""),
        change(11, "reserved", "not-ready", "rona"),
        change(12, "not-ready", "ready", "asked"),
        change(30, "ready", "not-ready", "lunch"),
        change(60, "not-ready", "ready", "asked"),
        change(70, "ready", "reserved", ""),
        change(71, "reserved", "talking", ""),
        change(90, "talking", "logged-out", "logged-out"),
    ];
    let replay = from_records(&[], &changes);
    let [ann] = &replay.plan.workers[..] else { panic!("one agent was recorded") };
    let pause = |minute: u64, length: u64, reason: &str| Break {
        at: START + minute * MINUTE,
        length_ms: length * MINUTE,
        reason: reason.into(),
    };
    let breaks = vec![pause(0, 1, "logged-in"), pause(30, 30, "lunch")];
    assert_eq!(ann.shifts, [Shift { from: START, until: START + 90 * MINUTE, breaks }]);
    assert_eq!(ann.manners.answer, Spread::Recorded(vec![MINUTE].into()));
    assert_eq!(ann.manners.ignores, 0.5);
    assert_eq!((replay.from_ms, replay.until_ms), (START, START + 90 * MINUTE));
}

#[test]
fn nothing_recorded_is_nobody_and_no_call() {
    let replay = from_records(&[], &[]);
    let report = whatif::run(documents(2, queue()), replay.plan, 1, START).expect("sound");
    assert_eq!(report.whole.offered, 0);
    assert!(report.agents.is_empty());
    assert!(compare(&report, &report).rows.iter().any(|row| row.before == "-"));
}

#[test]
fn an_answer_counts_as_within_only_up_to_the_threshold() {
    // One agent, two callers at once: the first is answered after 4 s, the second when the first has talked.
    let at = |talk_ms| {
        let call = |caller: &str| Arrival {
            at: START + MINUTE,
            caller: caller.into(),
            talk_ms: Some(talk_ms),
            ..Arrival::default()
        };
        let arrivals = Arrivals::List(vec![call("101"), call("102")]);
        let habits = Habits { patience: Spread::Never, hangs_up_first: 1.0, ..Habits::default() };
        let manners = Manners { answer: Spread::Exactly { ms: 4_000 }, ..Manners::default() };
        let plan = Plan {
            lines: vec![Line { number: "8800".into(), arrivals, habits }],
            workers: vec![worker("a001".into(), START + HOUR, manners)],
            ..Plan::default()
        };
        let report = whatif::run(documents(1, Queue::default()), plan, 1, START + HOUR).expect("sound");
        assert_eq!(report.whole.answered, 2);
        (report.whole.within, report.whole.longest_wait_ms)
    };
    // 4 + 12 + 4 s is the threshold of 20 to the millisecond.
    assert_eq!(at(12_000), (2, 20_000));
    assert_eq!(at(12_001), (1, 20_001));
}

#[test]
fn agents_whom_the_plan_does_not_know_do_not_work() {
    let mut documents = documents(2, Queue::default());
    for document in &mut documents {
        if let acd::Document::Agent(agent) = document {
            agent.start = acd::StartState::Ready;
        }
    }
    let mut plan = morning(1);
    plan.workers[0].shifts[0].breaks.clear();
    let report = whatif::run(documents, plan, 1, START + HOUR).expect("sound");
    assert_eq!(report.agents.iter().map(|agent| agent.name.as_str()).collect::<Vec<_>>(), ["a001"]);
}

#[test]
fn who_abandoned_keeps_the_patience_they_showed() {
    let call = |second: u64, waited_ms: u64| RecordedCall {
        number: "8800".into(),
        caller: format!("1{second}"),
        offered_ms: START + second * 1_000,
        answered_ms: 0,
        ended_ms: START + second * 1_000 + waited_ms,
        outcome: CallOutcome::Abandoned,
        agent: String::new(),
        waited_ms,
    };
    let replay = from_records(&[call(0, 1_234), call(1, 77_000), call(2, 5_000)], &[]);
    let mut ends = Vec::new();
    let mut watch = |record: &Record| {
        if let RecordKind::Call(call) = &record.kind {
            ends.push(call.ended_ms - call.offered_ms);
        }
    };
    whatif::run_watched(documents(1, queue()), replay.plan, 5, START + HOUR, &mut watch).expect("sound");
    assert_eq!(ends, [1_234, 5_000, 77_000]);
}

#[test]
fn who_was_served_is_more_patient_than_they_had_to_be() {
    let call = |at: u64, waited_ms: u64, served: bool| RecordedCall {
        number: "8800".into(),
        caller: format!("1{at}"),
        offered_ms: START + at * 1_000,
        answered_ms: if served { START + at * 1_000 + waited_ms } else { 0 },
        ended_ms: START + at * 1_000 + waited_ms + u64::from(served) * MINUTE,
        outcome: if served { CallOutcome::Completed } else { CallOutcome::Abandoned },
        agent: String::new(),
        waited_ms,
    };
    let calls: Vec<RecordedCall> = (0..100).map(|at| call(at, 1_000 + at * 900, at % 3 == 0)).collect();
    let replay = from_records(&calls, &[]);
    let mut waits = Vec::new();
    let mut watch = |record: &Record| {
        if let RecordKind::Call(call) = &record.kind {
            waits.push((call.offered_ms, call.ended_ms - call.offered_ms));
        }
    };
    whatif::run_watched(documents(1, queue()), replay.plan, 5, START + 50 * HOUR, &mut watch).expect("sound");
    waits.sort_unstable();
    assert_eq!(waits.len(), calls.len(), "nobody works, so all leave in the end");
    for (call, (_, wait)) in calls.iter().zip(&waits) {
        match call.outcome {
            CallOutcome::Abandoned => assert_eq!(*wait, call.waited_ms),
            _ => assert!(*wait > call.waited_ms, "{wait} of one who waited {}", call.waited_ms),
        }
    }
}
