//! `make load-acd`: how fast a shard applies commands, how it grows, what a row costs, what a snapshot costs. The last line is
//! JSON. With an argument only that strategy is measured, for a profiler. Never asserts: figures are for people and for the notes.
#![allow(clippy::print_stdout, reason = "a program that prints figures")]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use acd::*;

const AGENTS: usize = 5_000;
const QUEUES: usize = 200;
const SKILLS: usize = 50;
const WAITING: usize = 10_000;
const COMMANDS: usize = 400_000;

/// A centre that is busy all the time: whoever hangs up is followed by the next.
struct Load {
    shard: Shard,
    dice: fastrand::Rng,
    now: u64,
    number: u64,
    born: u64,
    out: Output,
    /// Legs that ring, calls that talk with the agent's leg, legs to be reported gone.
    ringing: VecDeque<(u64, u32)>,
    talking: VecDeque<u64>,
    gone: VecDeque<(u64, u32)>,
    spent: Duration,
    applies: Vec<u32>,
    decisions: u64,
    keep: bool,
    kinds: BTreeMap<&'static str, (u64, Duration)>,
}

impl Load {
    fn new(strategy: Strategy, agents: usize) -> Self {
        let mut dice = fastrand::Rng::with_seed(7);
        let skill = |number: usize| format!("skill{number:02}");
        let queue = |number: usize| format!("queue{number:03}");
        let mut documents: Vec<Document> =
            (0..SKILLS).map(|number| Document::Skill(Skill { name: skill(number) })).collect();
        for number in 0..QUEUES {
            documents.push(Document::Queue(Box::new(Queue {
                name: queue(number),
                strategy,
                wait_seconds_max: 7_200,
                tiers: vec![Tier { tier: 2, after_seconds: 20 }],
                steps: vec![ProgressiveStep { agents: 1, seconds: 5 }, ProgressiveStep { agents: 3, seconds: 10 }],
                chooser: Some(Chooser { endpoint: "http://127.0.0.1:1".to_owned(), deadline_ms: 500 }),
                ..Queue::default()
            })));
            for asked in 0..4 {
                let skills = match asked {
                    0 | 1 => Vec::new(),
                    _ => vec![SkillDemand { skill: skill((number * 4 + asked) % SKILLS), level: 30 }],
                };
                documents.push(Document::Number(Number {
                    name: format!("{number:03}{asked}"),
                    queue: queue(number),
                    skills,
                    ..Number::default()
                }));
            }
        }
        for number in 0..agents {
            let mut queues: Vec<usize> = (0..4).map(|_| dice.usize(..QUEUES)).collect();
            queues.sort_unstable();
            queues.dedup();
            let mut skills: Vec<usize> = (0..8).map(|_| dice.usize(..SKILLS)).collect();
            skills.sort_unstable();
            skills.dedup();
            documents.push(Document::Agent(Agent {
                name: format!("agent{number:05}"),
                contact: format!("sip:agent{number:05}@127.0.0.1:15080"),
                queues: queues
                    .into_iter()
                    .map(|number| Membership {
                        queue: queue(number),
                        tier: 1 + dice.u32(..2),
                        weight: 1 + dice.u32(..3),
                    })
                    .collect(),
                skills: skills
                    .into_iter()
                    .map(|number| SkillLevel { skill: skill(number), level: 1 + dice.u32(..100) })
                    .collect(),
                start: StartState::Ready,
                ..Agent::default()
            }));
        }
        let mut load = Load {
            shard: Shard::new(),
            dice,
            now: 1_700_000_000_000,
            number: 0,
            born: 0,
            out: Output::default(),
            ringing: VecDeque::new(),
            talking: VecDeque::new(),
            gone: VecDeque::new(),
            spent: Duration::ZERO,
            applies: Vec::new(),
            decisions: 0,
            keep: false,
            kinds: BTreeMap::new(),
        };
        load.apply(Command::Configure { version: 1, documents });
        load.apply(Command::AttachGateway { gateway: "g1".to_owned(), incarnation: 1, sip: String::new() });
        load
    }

    fn apply(&mut self, command: Command) {
        self.number += 1;
        let id = CommandId { sender: 1, number: self.number };
        let entry = Entry { at: self.now, id, settled_below: self.number.saturating_sub(50), trace: None, command };
        let kind = kind_of(&entry.command);
        let begin = Instant::now();
        let _ = self.shard.apply(entry, &mut self.out);
        let spent = begin.elapsed();
        self.spent += spent;
        let kind = self.kinds.entry(kind).or_default();
        kind.0 += 1;
        kind.1 += spent;
        if self.keep {
            self.applies.push(spent.as_nanos() as u32);
        }
        for (_, order) in self.out.orders.drain(..) {
            match order.want {
                Want::Ring(_) => self.ringing.push_back((order.call, order.leg)),
                Want::Join { .. } if order.leg == 1 => self.talking.push_back(order.call),
                Want::Gone { .. } => self.gone.push_back((order.call, order.leg)),
                _ => {}
            }
        }
        let decided = |record: &&Record| matches!(record.kind, RecordKind::Decision(_));
        self.decisions += self.out.records.iter().filter(decided).count() as u64;
        self.out.records.clear();
        for ask in std::mem::take(&mut self.out.asks) {
            let agents = ask.candidates.first().map(|candidate| candidate.agent.to_string()).into_iter().collect();
            self.apply(Command::ChooseAgents { call: ask.call, ask: ask.ask, agents });
        }
    }

    fn offer(&mut self) {
        self.born += 1;
        let number = format!("{:03}{}", self.dice.usize(..QUEUES), self.dice.u8(..4));
        self.apply(Command::OfferCall {
            call: self.born,
            gateway: "g1".to_owned(),
            incarnation: 1,
            number,
            caller: format!("+4930{:07}", self.born),
            caller_name: String::new(),
            passport: Vec::new(),
        });
    }

    /// Reports what the gateway has to report; answers what rings.
    fn settle(&mut self) {
        while let Some((call, leg)) = self.gone.pop_front() {
            self.apply(Command::EndLeg {
                call,
                leg,
                cause: EndCause::Ordered,
                sip_status: 0,
                tenure: 0,
                moved_to: Vec::new(),
            });
        }
        while let Some((call, leg)) = self.ringing.pop_front() {
            self.apply(Command::AnswerLeg { call, leg, passport: Vec::new(), tenure: 0 });
        }
        while self.shard.next_deadline().is_some_and(|at| at <= self.now) {
            self.apply(Command::AdvanceClock);
        }
    }

    /// So many wait, and everybody who can work works.
    fn fill(&mut self, waiting: usize) {
        while (self.shard.totals().calls_waiting as usize) < waiting {
            for _ in 0..(waiting - self.shard.totals().calls_waiting as usize).min(5_000) {
                self.offer();
                self.settle();
            }
        }
    }

    /// One talk ends, the next begins, another caller comes.
    fn turn(&mut self) {
        self.now += 3;
        let Some(call) = self.talking.pop_front() else { return self.offer() };
        self.apply(Command::EndLeg {
            call,
            leg: 1,
            cause: EndCause::Hangup,
            sip_status: 0,
            tenure: 0,
            moved_to: Vec::new(),
        });
        self.settle();
        self.offer();
        self.settle();
    }

    fn run(&mut self, commands: usize) -> f64 {
        (self.spent, self.decisions) = (Duration::ZERO, 0);
        self.kinds.clear();
        let first = self.number;
        while self.number - first < commands as u64 {
            self.turn();
        }
        (self.number - first) as f64 / self.spent.as_secs_f64()
    }
}

fn kind_of(command: &Command) -> &'static str {
    match command {
        Command::OfferCall { .. } => "offer",
        Command::AnswerLeg { .. } => "answer",
        Command::EndLeg { cause: EndCause::Hangup, .. } => "hang up",
        Command::EndLeg { .. } => "leg gone",
        Command::AdvanceClock => "clock",
        _ => "other",
    }
}

/// Resident memory in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// What rows and a snapshot cost.
struct Rows {
    call_bytes: usize,
    agent_bytes: usize,
    written: Duration,
    read: Duration,
    longest: Duration,
}

/// Comes first of all: what was freed before would be taken again and not be seen.
fn measure_rows() -> Rows {
    let before = resident();
    let mut load = Load::new(Strategy::LongestIdle, 10_000);
    let with_agents = resident();
    load.fill(90_000);
    let with_calls = resident();
    let calls = load.born as usize;
    let agent_bytes = (with_agents - before) / 10_000;
    let call_bytes = (with_calls - with_agents) / calls;
    println!("memory: {agent_bytes} bytes per agent (documents included), {call_bytes} per call ({calls} calls)");

    let begin = Instant::now();
    load.shard.begin_save();
    let mut longest = begin.elapsed();
    let first = longest;
    let mut slices = 1;
    let bytes = loop {
        let slice = Instant::now();
        let done = load.shard.save_slice(4_096);
        longest = longest.max(slice.elapsed());
        slices += 1;
        if let Some(bytes) = done {
            break bytes;
        }
        load.turn(); // the shard goes on
    };
    let written = begin.elapsed();
    let begin = Instant::now();
    let restored = Shard::restore(&bytes).unwrap();
    let read = begin.elapsed();
    println!(
        "snapshot: {} bytes of {} calls and 10000 agents; written in {written:.0?} ({slices} slices, first {first:.1?}, longest {longest:.1?}), read in {read:.0?}",
        bytes.len(),
        restored.totals().calls_waiting + restored.totals().calls_talking,
    );
    Rows { call_bytes, agent_bytes, written, read, longest }
}

fn main() {
    let rows = std::env::args().nth(1).is_none().then(measure_rows);
    println!("{AGENTS} agents, {SKILLS} skills, {QUEUES} queues, {WAITING} waiting; {COMMANDS} commands each");
    println!(
        "{:>16} {:>12} {:>10} {:>10} {:>10} {:>10}",
        "strategy", "commands/s", "decisions", "p50 us", "p99 us", "max us"
    );
    let (mut slowest, mut worst_p99) = (f64::MAX, 0.0_f64);
    for strategy in
        Strategy::ALL.into_iter().filter(|strategy| std::env::args().nth(1).is_none_or(|only| only == strategy.name()))
    {
        let mut load = Load::new(strategy, AGENTS);
        load.fill(WAITING);
        load.run(COMMANDS / 4);
        let per_second = load.run(COMMANDS);
        let decisions = load.decisions;
        load.keep = true;
        load.run(COMMANDS / 2);
        load.applies.sort_unstable();
        let at = |share: f64| f64::from(load.applies[((load.applies.len() - 1) as f64 * share) as usize]) / 1000.0;
        let name = strategy.name();
        println!(
            "{name:>16} {per_second:>12.0} {decisions:>10} {:>10.2} {:>10.2} {:>10.1}",
            at(0.5),
            at(0.99),
            at(1.0)
        );
        let kinds: Vec<String> = load
            .kinds
            .iter()
            .map(|(kind, (count, spent))| format!("{kind} {count} x {} ns", spent.as_nanos() as u64 / count))
            .collect();
        println!("{:>16} {}", "", kinds.join(", "));
        slowest = slowest.min(per_second);
        worst_p99 = worst_p99.max(at(0.99));
        load.shard.audit().unwrap();
    }

    let Some(Rows { call_bytes, agent_bytes, written, read, longest }) = rows else { return };
    let mut rates = Vec::new();
    for waiting in [1_000, 10_000, 99_000] {
        let mut load = Load::new(Strategy::LongestIdle, AGENTS);
        load.fill(waiting);
        load.run(COMMANDS / 4);
        let rate = load.run(COMMANDS);
        println!("{waiting:>7} waiting: {rate:.0} commands/s");
        rates.push(rate);
    }
    let growth = rates[0] / rates[2];

    println!(
        "{{\"commands_per_second\":{slowest:.0},\"apply_p99_us\":{worst_p99:.2},\"growth_100x\":{growth:.2},\"bytes_per_call\":{call_bytes},\"bytes_per_agent\":{agent_bytes},\"snapshot_write_ms\":{},\"snapshot_read_ms\":{},\"snapshot_stop_ms\":{:.1}}}",
        written.as_millis(),
        read.as_millis(),
        longest.as_secs_f64() * 1000.0,
    );
}
