//! A slow, obviously right model of who is served next and by whom; it reads commands and records, never the shard.

use std::collections::BTreeMap;

use crate::*;

#[derive(Debug, Default)]
pub(super) struct Model {
    now: u64,
    counter: u64,
    version: u64,
    numbers: BTreeMap<String, String>,
    documents: BTreeMap<String, Agent>,
    agents: BTreeMap<String, ModelAgent>,
    calls: BTreeMap<CallId, ModelCall>,
}

#[derive(Debug)]
struct ModelAgent {
    queues: Vec<String>,
    contact: String,
    registered: Vec<(String, u64)>,
    state: String,
    ready_order: u64,
    idle_since: u64,
    /// Asked to take no calls, and that was acknowledged.
    paused: bool,
}

#[derive(Debug)]
struct ModelCall {
    queue: String,
    joined_order: u64,
    joined: u64,
    waits: bool,
}

impl Model {
    /// Follows one apply; `is_new` when an offered call was not known before.
    pub(super) fn follow(&mut self, entry: &Entry, is_new: bool, reply: &Result<Accepted, Rejection>, out: &Output) {
        self.now = self.now.max(entry.at);
        let mut arriving = None;
        if reply.is_ok() {
            match &entry.command {
                Command::Configure { version, documents } if *version > self.version => {
                    self.version = *version;
                    self.configure(documents);
                }
                Command::OfferCall { call, number, .. } if is_new => {
                    arriving = Some((*call, self.numbers.get(number).cloned()));
                }
                _ => {}
            }
        }
        let is_decision = |record: &&Record| matches!(record.kind, RecordKind::Decision(_));
        let first_decision = out.records.iter().position(|record| is_decision(&record)).unwrap_or(out.records.len());
        let (before, after) = out.records.split_at(first_decision);
        let refused_at_the_door = |id: CallId| {
            before
                .iter()
                .any(|record| matches!(&record.kind, RecordKind::Call(call) if call.call == id && call.offers == 0))
        };
        if let Some((id, Some(queue))) = arriving
            && !refused_at_the_door(id)
        {
            self.counter += 1;
            let call = ModelCall { queue, joined_order: self.counter, joined: self.now, waits: true };
            self.calls.insert(id, call);
        }
        before.iter().for_each(|record| self.record(record));
        if reply.is_ok() {
            self.command(&entry.command);
        }
        after.iter().for_each(|record| self.record(record));
        let left = self.servable();
        assert!(left.is_none(), "call {left:?} waits although an agent could take it");
    }

    fn configure(&mut self, documents: &[Document]) {
        self.numbers.clear();
        self.documents.clear();
        for document in documents {
            match document {
                Document::Number(number) => {
                    self.numbers.insert(number.name.clone(), number.queue.clone());
                }
                Document::Agent(agent) => {
                    self.documents.insert(agent.name.clone(), agent.clone());
                }
                Document::Queue(_) | Document::Trunk(_) => {}
            }
        }
        for (name, agent) in &mut self.agents {
            let document = self.documents.get(name).cloned().unwrap_or_default();
            agent.queues = document.queues.into_iter().map(|member| member.queue).collect();
            agent.contact = document.contact;
        }
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::RegisterContact { agent, contact, expires_seconds, .. } => {
                let agent = self.agents.get_mut(agent).expect("accepted for a known agent");
                agent.registered.retain(|(uri, _)| contact != "*" && uri != contact);
                if *expires_seconds > 0 {
                    agent.registered.push((contact.clone(), self.now + u64::from(*expires_seconds) * 1000));
                }
            }
            Command::LogOutAgent { agent } | Command::MakeAgentNotReady { agent, .. } => {
                self.agents.get_mut(agent).expect("accepted for a known agent").paused = true;
            }
            Command::MakeAgentReady { agent } => {
                self.agents.get_mut(agent).expect("accepted for a known agent").paused = false;
            }
            _ => {}
        }
    }

    fn record(&mut self, record: &Record) {
        assert_eq!(record.at, self.now);
        match &record.kind {
            RecordKind::Call(call) => {
                self.calls.remove(&call.call);
            }
            RecordKind::Agent(change) => self.agent_changed(change),
            RecordKind::Decision(decision) => self.decided(decision),
        }
    }

    fn agent_changed(&mut self, change: &AgentRecord) {
        if change.from == "absent" {
            let document = self.documents.get(&change.agent).expect("comes by configuration").clone();
            let agent = ModelAgent {
                queues: document.queues.into_iter().map(|member| member.queue).collect(),
                contact: document.contact,
                registered: Vec::new(),
                state: "absent".to_owned(),
                ready_order: 0,
                idle_since: 0,
                paused: false,
            };
            assert!(self.agents.insert(change.agent.clone(), agent).is_none());
        }
        if change.from == "reserved"
            && change.to != "talking"
            && let Some(call) = self.calls.get_mut(&change.call)
        {
            call.waits = true;
        }
        if change.to == "absent" {
            self.agents.remove(&change.agent);
            return;
        }
        let agent = self.agents.get_mut(&change.agent).expect("known");
        assert_eq!(agent.state, change.from, "{} came from another state", change.agent);
        if change.to == "ready" && change.from != "reserved" {
            self.counter += 1;
            agent.ready_order = self.counter;
            agent.idle_since = self.now;
        }
        assert!(!(change.to == "reserved" && agent.paused), "{} rings after an acknowledged pause", change.agent);
        agent.state = change.to.to_owned();
    }

    fn able(&self, queue: &str) -> Vec<(&String, &ModelAgent)> {
        let reachable = |agent: &ModelAgent| {
            !agent.contact.is_empty() || agent.registered.iter().any(|(_, expires)| *expires > self.now)
        };
        let mut able: Vec<_> = self
            .agents
            .iter()
            .filter(|(_, agent)| agent.state == "ready" && reachable(agent))
            .filter(|(_, agent)| agent.queues.iter().any(|member| member == queue))
            .collect();
        able.sort_by_key(|(_, agent)| agent.ready_order);
        able
    }

    /// The longest-waiting call of all that some agent could take now.
    fn servable(&self) -> Option<CallId> {
        let calls = self.calls.iter().filter(|(_, call)| call.waits && !self.able(&call.queue).is_empty());
        calls.min_by_key(|(_, call)| call.joined_order).map(|(id, _)| *id)
    }

    fn decided(&mut self, decision: &DecisionRecord) {
        assert_eq!(Some(decision.call), self.servable(), "another call has waited longer");
        let call = &self.calls[&decision.call];
        assert_eq!(decision.queue, call.queue);
        assert_eq!(decision.waited_ms, self.now - call.joined);
        let able = self.able(&call.queue);
        let figures: Vec<Candidate> = able
            .iter()
            .take(10)
            .map(|(name, agent)| Candidate { agent: (*name).clone(), figure: self.now - agent.idle_since })
            .collect();
        assert_eq!(decision.candidates, figures);
        assert_eq!(Some(&decision.chosen), able.first().map(|(name, _)| *name));
        assert_eq!(decision.candidates_total as usize, able.len());
        let members = self.agents.values().filter(|agent| agent.queues.contains(&call.queue)).count();
        let excluded: u32 = decision.exclusions.iter().map(|exclusion| exclusion.agents).sum();
        assert_eq!(excluded as usize, members - able.len());
        for (reason, agents) in decision.exclusions.iter().map(|exclusion| (exclusion.reason, exclusion.agents)) {
            let same = self.agents.values().filter(|agent| agent.queues.contains(&call.queue)).filter(|agent| {
                let unreachable = agent.state == "ready";
                agent.state == reason || (reason == "unreachable" && unreachable)
            });
            let ready = if reason == "unreachable" { able.len() } else { 0 };
            assert_eq!(agents as usize, same.count() - ready, "excluded as {reason}");
        }
        self.calls.get_mut(&decision.call).expect("just read").waits = false;
    }
}
