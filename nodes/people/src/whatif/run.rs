//! The runner: deeds become commands, orders become senses, time leaps to whatever is next; never judges.

use std::collections::VecDeque;

use acd::{Command, CommandId, Document, EndCause, Entry, Output, Record, Rejection, Shard, StartState, Want};

use super::command::{GATEWAY, INCARNATION, command};
use super::report::Report;
use super::tally::Tally;
use crate::plan::Plan;
use crate::words::{Deed, Sense};
use crate::{People, Timestamp};

/// How often the lines are looked at for callers who lost their place.
const LOOK_MS: u64 = 60_000;
/// The only sender but the leader's own clock.
const SENDER: u64 = 1;

/// Lets people meet a shard of these documents from the plan's first moment until `horizon` (Unix milliseconds) and
/// says how it went. The plan alone says who is at work: agents start logged out, those without a contact get one.
///
/// # Errors
/// What the shard says of the documents.
pub fn run(documents: Vec<Document>, plan: Plan, seed: u64, horizon: Timestamp) -> Result<Report, Rejection> {
    run_watched(documents, plan, seed, horizon, &mut |_| {})
}

/// As [`run`], and shows every record the shard writes.
///
/// # Errors
/// What the shard says of the documents.
pub fn run_watched(
    documents: Vec<Document>,
    plan: Plan,
    seed: u64,
    horizon: Timestamp,
    watch: &mut dyn FnMut(&Record),
) -> Result<Report, Rejection> {
    let start = plan.begins().unwrap_or(horizon);
    let mut centre = Centre {
        shard: Shard::new(),
        people: People::new(plan, seed, start),
        tally: Tally::new(&documents),
        out: Output::default(),
        numbers: 0,
        commands: 0,
        errands: VecDeque::new(),
        watch,
    };
    let attach =
        Command::AttachGateway { gateway: GATEWAY.to_owned(), incarnation: INCARNATION, sip: GATEWAY.to_owned() };
    centre.apply(start, Command::SetRules { version: acd::RULES })?;
    centre.apply(start, attach)?;
    let documents = documents.into_iter().map(made_reachable).collect();
    centre.apply(start, Command::Configure { version: 1, documents })?;
    let last = centre.run(start, horizon);
    let Centre { shard, tally, commands, .. } = centre;
    Ok(tally.report(&shard, start, last, commands))
}

struct Centre<'a> {
    shard: Shard,
    people: People,
    tally: Tally,
    out: Output,
    numbers: u64,
    commands: u64,
    /// What the gateway and the leader's node answer at once.
    errands: VecDeque<Command>,
    watch: &'a mut dyn FnMut(&Record),
}

impl Centre<'_> {
    fn run(&mut self, start: Timestamp, horizon: Timestamp) -> Timestamp {
        let mut deeds = Vec::new();
        let (mut now, mut look) = (start, start);
        loop {
            let next = [self.people.next(), self.shard.next_deadline()].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= horizon) else { break };
            now = now.max(next);
            if now >= look {
                self.tally.look(&self.shard);
                look = now + LOOK_MS;
            }
            if self.shard.next_deadline().is_some_and(|due| due <= now) {
                // The clock may be refused nothing.
                let _ = self.apply(now, Command::AdvanceClock);
                self.run_errands(now);
            }
            self.people.act(now, &mut deeds);
            for deed in deeds.drain(..) {
                self.carry_out(now, deed);
            }
        }
        // Time passes until the horizon, unless nobody is left for whom it would.
        if !self.people.is_quiet() {
            now = now.max(horizon);
        }
        let _ = self.apply(now, Command::AdvanceClock);
        self.run_errands(now);
        now
    }

    fn carry_out(&mut self, now: Timestamp, deed: Deed) {
        let refused = self.apply(now, command(deed.clone())).is_err();
        self.tally.see_deed(&deed, refused);
        if refused {
            self.people.sense(now, &Sense::Refused { deed });
        }
        self.run_errands(now);
    }

    fn apply(&mut self, at: Timestamp, command: Command) -> Result<(), Rejection> {
        let id = if matches!(command, Command::AdvanceClock | Command::Configure { .. }) {
            CommandId::default()
        } else {
            self.numbers += 1;
            CommandId { sender: SENDER, number: self.numbers }
        };
        self.commands += 1;
        let entry = Entry { at, id, settled_below: id.number, trace: None, command };
        let reply = self.shard.apply(entry, &mut self.out);
        for (_, order) in std::mem::take(&mut self.out.orders) {
            if let Want::Gone { .. } = order.want {
                let (call, leg) = (order.call, order.leg);
                self.errands.push_back(Command::EndLeg {
                    call,
                    leg,
                    cause: EndCause::Ordered,
                    sip_status: 0,
                    tenure: 0,
                    moved_to: Vec::new(),
                });
            }
            if let Some(sense) = sense_of(order.call, order.leg, order.want) {
                self.people.sense(at, &sense);
            }
        }
        for ask in self.out.asks.drain(..) {
            // Nobody outside: the queue's fallback decides, without the wait.
            self.errands.push_back(Command::ChooseAgents { call: ask.call, ask: ask.ask, agents: Vec::new() });
        }
        for record in self.out.records.drain(..) {
            self.tally.see_record(&record);
            (self.watch)(&record);
        }
        reply.map(|_| ())
    }

    /// Legs that were ordered gone are gone, asks are answered; both may bring the next order.
    fn run_errands(&mut self, now: Timestamp) {
        while let Some(command) = self.errands.pop_front() {
            // The shard may have forgotten what it is about.
            let _ = self.apply(now, command);
        }
    }
}

fn sense_of(call: u64, leg: u32, want: Want) -> Option<Sense> {
    Some(match want {
        Want::Yield => return None, // one gateway only
        Want::Alert => Sense::Alerting { call, leg },
        Want::Ring(ring) => Sense::Ringing { call, leg, agent: (*ring.agent).to_owned() },
        Want::Listen { .. } => Sense::Listening { call, leg },
        Want::Dial(dial) => Sense::Called { call, leg, target: dial.target },
        Want::Quiet => Sense::Quiet { call, leg },
        Want::Meet { legs } => Sense::Joined { call, leg, with: legs },
        Want::Join { leg: other } => Sense::Joined { call, leg, with: vec![other] },
        Want::Gone { sip_status, .. } => Sense::Gone { call, leg, status: sip_status },
    })
}

fn made_reachable(document: Document) -> Document {
    match document {
        Document::Agent(mut agent) => {
            agent.start = StartState::LoggedOut;
            if agent.contact.is_empty() {
                agent.contact = format!("sip:{}@whatif.invalid", agent.name);
            }
            Document::Agent(agent)
        }
        other => other,
    }
}

impl Plan {
    /// When the first agent comes or the first call may come.
    pub fn begins(&self) -> Option<Timestamp> {
        let shifts = self.workers.iter().flat_map(|worker| worker.shifts.iter().map(|shift| shift.from));
        let calls = self.lines.iter().filter_map(|line| line.arrivals.begins());
        shifts.chain(calls).min()
    }
}
