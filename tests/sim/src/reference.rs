//! A small, slow, obviously right model of distribution: plain lists, walked from end to end. It is fed with the
//! commands and records of the log and says of each decision whether it was the right one. It knows nothing of `acd`
//! but its words.

mod choose;
mod picture;

use std::collections::BTreeSet;

use proto::v1::{AgentRecord, DecisionRecord, command::Kind, record};

use crate::{
    judge::{Step, rings::rung_again},
    verdict::{Check, hold},
};
use picture::{Line, Picture, Stage};

/// A phone that rings anew by another gateway does so for so long at least.
const RING_AGAIN_MS: u64 = 3_000;

/// The model.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    picture: Picture,
    /// Decisions held against the model.
    pub(crate) decisions: u64,
    mixed: bool,
    rung_roughly: bool,
    /// Until when the agent of the last change was to be rung.
    rung_until_ms: u64,
    /// Legs that were taken back to ring anew: a gateway that comes back is told of them again.
    taken_back: BTreeSet<(u64, u32)>,
}

impl Reference {
    pub(crate) fn step(&mut self, step: &Step<'_>) -> Check {
        // A command that is answered from memory does not even move the shard's time.
        self.picture.now_ms = step.shard.now();
        // Where several become free at once, the first takes a call and the call's queue says which of them it is.
        let freed = |record: &&proto::v1::Record| matches!(&record.kind, Some(record::Kind::Agent(change)) if change.to == "ready");
        let several = step.output.records.iter().filter(freed).count() > 1;
        self.mixed = several || matches!(step.kind, Some(Kind::Configure(_)));
        self.picture.open_tiers();
        if matches!(step.kind, Some(Kind::TakeLead(_))) {
            self.picture.prolong();
        }
        self.picture.house(|call| step.shard.holder(call).is_some());
        match step.kind {
            // Before its records: they tell of agents that only the new rules know.
            Some(Kind::Configure(configure)) if step.done => {
                self.picture.configure(&configure.documents);
                // The new rules count from the joining: by them a tier may be open by now.
                self.picture.open_tiers();
            }
            Some(Kind::MakeAgentReady(command)) => self.picture.ask(&command.agent),
            Some(Kind::MakeAgentNotReady(command)) => self.picture.ask(&command.agent),
            Some(Kind::LogOutAgent(command)) => self.picture.ask(&command.agent),
            _ => {}
        }
        let records: Vec<_> = step.output.records.iter().filter_map(|record| record.kind.as_ref()).collect();
        let decision = |kind: &&record::Kind| matches!(kind, record::Kind::Decision(_));
        let first = records.iter().position(decision).unwrap_or(records.len());
        // What is due and what the command does comes before what is decided.
        for record in &records[..first] {
            self.record(record)?;
            if let record::Kind::Agent(change) = record
                && change.reason == "rona"
                && !self.rung_roughly
                && !matches!(step.kind, Some(Kind::EndLeg(_)))
            {
                let early = self.rung_until_ms.saturating_sub(self.picture.now_ms);
                let agent = &change.agent;
                hold!(early == 0, Deadlines, "{agent} is called no answer {early} ms before the time is up");
            }
        }
        if step.done {
            self.command(step);
        }
        for record in &records[first..] {
            self.record(record)?;
        }
        for (call, leg, agent) in rung_again(step) {
            if !self.taken_back.insert((call, leg)) {
                continue;
            }
            let now_ms = self.picture.now_ms;
            let agent = self.picture.agent_mut(agent).filter(|agent| agent.state == "reserved" && agent.call == call);
            if let Some(agent) = agent {
                agent.reserved_until_ms = agent.reserved_until_ms.max(now_ms + RING_AGAIN_MS);
            }
        }
        self.nobody_waits_in_vain(step.shard)?;
        self.agrees(step.shard)?;
        self.picture.seal();
        Ok(())
    }

    fn command(&mut self, step: &Step<'_>) {
        match step.kind {
            Some(Kind::OfferCall(offer)) => {
                // One that was refused at once, or is here already, joins no line.
                let waits = step.shard.call(offer.call).is_some_and(|call| call.record.is_none());
                if waits && self.picture.line(offer.call).is_none() {
                    self.picture.join(offer.call, &offer.number);
                }
            }
            Some(Kind::RegisterContact(contact)) => {
                self.picture.register(&contact.agent, &contact.contact, contact.expires_seconds);
            }
            _ => {}
        }
    }

    fn record(&mut self, record: &record::Kind) -> Check {
        match record {
            record::Kind::Call(call) => self.picture.lines.retain(|line| line.call != call.call),
            record::Kind::Agent(change) => self.changed(change)?,
            record::Kind::Decision(decision) => self.decided(decision)?,
            record::Kind::Interval(_) | record::Kind::Transfer(_) | record::Kind::Audit(_) => {}
        }
        Ok(())
    }

    fn changed(&mut self, change: &AgentRecord) -> Check {
        let picture = &mut self.picture;
        if change.from == "absent" {
            picture.arrive(&change.agent, &change.to);
            return Ok(());
        }
        let now_ms = picture.now_ms;
        let Some(agent) = picture.agent_mut(&change.agent) else {
            hold!(
                false,
                Reference,
                "{} changes from {} to {} and is not configured",
                change.agent,
                change.from,
                change.to
            );
            return Ok(());
        };
        hold!(agent.state == change.from, Reference, "{} is {} and leaves {}", agent.name, agent.state, change.from);
        let kept = change.from == "reserved" && change.to == "ready";
        // Whoever leaves wrap-up before its end was asked to: the reason says so.
        let early = change.from == "wrap-up"
            && change.to != "absent"
            && agent.until_ms.is_some_and(|until_ms| until_ms > now_ms);
        hold!(!early || agent.asked, Deadlines, "{}'s wrap-up is over before its time", agent.name);
        self.rung_until_ms = agent.reserved_until_ms;
        self.rung_roughly = agent.roughly;
        if matches!(change.from.as_str(), "talking" | "held") && change.to != "held" && change.to != "talking" {
            agent.last_talk_ms = now_ms;
            agent.talks = (agent.talks.0 + 1, agent.talks.1 + change.spent_ms);
        }
        if change.from == "reserved" && change.to != "talking" {
            agent.call = 0;
        }
        agent.state.clone_from(&change.to);
        agent.since_ms = now_ms;
        agent.until_ms = None;
        agent.asked = false;
        let call = change.call;
        if change.to == "ready" {
            picture.freed.push(change.agent.clone());
        }
        if change.to == "ready" && !kept {
            picture.rank(&change.agent);
        }
        match (change.from.as_str(), change.to.as_str()) {
            ("reserved", "talking") => picture.stage(call, Stage::Talking),
            ("reserved", _) if picture.agents.iter().any(|other| other.state == "reserved" && other.call == call) => {}
            ("reserved", _) => picture.stage(call, Stage::Waiting),
            ("logged-out", "not-ready" | "ready") => picture.begin_shift(&change.agent),
            (_, "wrap-up") => picture.begin_wrap_up(&change.agent, call),
            (_, "absent") => picture.leave(&change.agent),
            _ => {}
        }
        Ok(())
    }

    fn decided(&mut self, decision: &DecisionRecord) -> Check {
        self.decisions += 1;
        choose::check(&self.picture, decision, self.mixed)?;
        let ring_ms = self.picture.ring_ms(&decision.queue);
        let until_ms = self.picture.now_ms + ring_ms;
        self.picture.stage(decision.call, Stage::Offered);
        let many = self.picture.rings_many(&decision.queue);
        for agent in std::iter::once(&decision.chosen).chain(&decision.also) {
            if let Some(agent) = self.picture.agent_mut(agent) {
                agent.reserved_until_ms = until_ms;
                agent.roughly = many;
                agent.call = decision.call;
            }
        }
        if decision.also.is_empty() && !self.picture.rings_many(&decision.queue) {
            self.picture.offered(&decision.queue, &decision.chosen);
        }
        Ok(())
    }

    /// After each step no call waits for which somebody is there.
    fn nobody_waits_in_vain(&self, shard: &acd::Shard) -> Check {
        let waits = |line: &&Line| line.stage == Stage::Waiting && shard.holder(line.call).is_some();
        for line in self.picture.lines.iter().filter(waits) {
            let able = choose::eligible(&self.picture, line);
            hold!(
                able.is_empty(),
                Reference,
                "call {:x} waits in {} while {able:?} could take it",
                line.call,
                line.queue
            );
        }
        Ok(())
    }

    /// The model's picture is the shard's, as its views show it; and nobody is past a deadline.
    fn agrees(&self, shard: &acd::Shard) -> Check {
        let now_ms = self.picture.now_ms;
        for info in shard.agents(None) {
            let Some(agent) = self.picture.agents.iter().find(|agent| agent.name == info.name) else {
                hold!(false, Reference, "{} is in the shard and not in the model", info.name);
                continue;
            };
            let (name, state) = (&agent.name, &info.state);
            hold!(agent.state == *state, Reference, "{name} is {state} and should be {}", agent.state);
            let until_ms = match state.as_str() {
                // Without a gateway nothing is due.
                "reserved" if shard.holder(agent.call).is_none() => continue,
                "reserved" => agent.reserved_until_ms,
                "wrap-up" => agent.until_ms.unwrap_or(u64::MAX),
                _ => continue,
            };
            hold!(now_ms < until_ms, Deadlines, "{name} is {state} {} ms past the deadline", now_ms - until_ms);
        }
        for info in shard.queues() {
            let real: Vec<u64> = shard
                .queue(&info.name, 0)
                .map_or_else(Vec::new, |detail| detail.waiting.iter().map(|waiting| waiting.call).collect());
            let mut lines: Vec<&Line> = self
                .picture
                .lines
                .iter()
                .filter(|line| line.queue == info.name && line.stage != Stage::Talking)
                .collect();
            lines.sort_by_key(|line| line.claim());
            let model: Vec<u64> = lines.iter().map(|line| line.call).collect();
            hold!(real == model, Order, "the line of {} is {real:x?} and should be {model:x?}", info.name);
        }
        Ok(())
    }
}
