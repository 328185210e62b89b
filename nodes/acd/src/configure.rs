//! A tenant's configuration taking effect while calls wait; nobody who waits loses their place by it.

use std::collections::{BTreeMap, BTreeSet};

use crate::agents::ABSENT;
use crate::command::{Accepted, Rejection, RejectionCode};
use crate::deadlines::Deadline;
use crate::document::{self, AnswerMode, Document, StartState};
use crate::limits::Limits;
use crate::output::Output;
use crate::rows::{Agent, AgentState, CALLER, CallState, Class, LegWant, Queue, QueueCounts, QueuePolicy, Release};
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey, QueueKey};

impl Shard {
    pub(crate) fn configure(
        &mut self,
        version: u64,
        documents: &[Document],
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        if version < self.config_version {
            return Err(Rejection::new(RejectionCode::Stale, "a later version is in force"));
        }
        if version == self.config_version {
            return Ok(Accepted);
        }
        let wanted = Wanted::read(documents, &self.limits)?;
        self.config_version = version;
        for queue in wanted.queues.values() {
            self.put_queue(queue);
        }
        for agent in &wanted.agents_in_order {
            self.put_agent(agent, out);
        }
        for key in self.agents.keys() {
            if !wanted.agents.contains(self.agents[key].name.as_str()) {
                self.remove_agent(key, out);
            }
        }
        let numbers = wanted.numbers.iter().map(|(number, queue)| ((*number).to_owned(), self.queue_names[*queue]));
        self.numbers = numbers.collect();
        for key in self.queues.keys() {
            if !wanted.queues.contains_key(self.queues[key].name.as_str()) {
                self.remove_queue(key, out);
            }
        }
        Ok(Accepted)
    }

    fn put_queue(&mut self, document: &document::Queue) {
        let policy = QueuePolicy::of(document);
        let Some(key) = self.queue_names.get(&document.name).copied() else {
            let queue = Queue {
                name: document.name.clone(),
                policy,
                removed: false,
                waiting: BTreeMap::new(),
                offered: BTreeMap::new(),
                talking: 0,
                ready: BTreeMap::new(),
                members: [0; Class::COUNT],
                counts: QueueCounts::default(),
            };
            let key = self.queues.insert(queue);
            self.queue_names.insert(document.name.clone(), key);
            return;
        };
        let queue = &mut self.queues[key];
        queue.removed = false;
        if queue.policy == policy {
            return;
        }
        let former = std::mem::replace(&mut queue.policy, policy);
        self.move_wait_limits(key, &former);
        self.change_what_callers_hear(key, &former);
    }

    fn move_wait_limits(&mut self, key: QueueKey, former: &QueuePolicy) {
        let queue = &self.queues[key];
        if queue.policy.wait_seconds_max == former.wait_seconds_max {
            return;
        }
        for (place, call) in &queue.waiting {
            if let Some(at) = former.wait_until(place.joined) {
                self.deadlines.remove(&(at, Deadline::Wait(*call)));
            }
            if let Some(at) = queue.policy.wait_until(place.joined) {
                self.deadlines.insert((at, Deadline::Wait(*call)));
            }
        }
    }

    /// Callers who hear music get the other one; those who hear ringing are answered if the queue now answers on
    /// entry. Who is answered already cannot be unanswered.
    fn change_what_callers_hear(&mut self, key: QueueKey, former: &QueuePolicy) {
        let queue = &self.queues[key];
        let other_music = queue.policy.music != former.music;
        let answers = queue.policy.answer == AnswerMode::OnEntry;
        let in_line: Vec<CallKey> = queue.waiting.values().chain(queue.offered.values()).copied().collect();
        for call in in_line {
            let hears = self.calls[call].leg(CALLER).map(|leg| leg.want.clone());
            match hears.expect("a call in line has its caller's leg") {
                LegWant::Listen if other_music => self.want(call, CALLER, LegWant::Listen),
                LegWant::Alert if answers => self.want(call, CALLER, LegWant::Listen),
                LegWant::Listen | LegWant::Alert => {}
                LegWant::Ring { .. } | LegWant::Join { .. } | LegWant::Gone { .. } => {
                    panic!("a caller in line hears ringing or music")
                }
            }
        }
    }

    fn put_agent(&mut self, document: &document::Agent, out: &mut Output) {
        let queues: Vec<QueueKey> = document.queues.iter().map(|member| self.queue_names[&member.queue]).collect();
        let Some(key) = self.agent_names.get(&document.name).copied() else {
            return self.add_agent(document, queues, out);
        };
        let agent = &self.agents[key];
        if agent.contact == document.contact
            && agent.queues == queues
            && agent.wrap_up_seconds == document.wrap_up_seconds
            && !agent.removed
        {
            return;
        }
        self.unlist(key);
        let agent = &mut self.agents[key];
        agent.contact.clone_from(&document.contact);
        agent.wrap_up_seconds = document.wrap_up_seconds;
        agent.queues = queues;
        agent.removed = false;
        self.list(key);
        self.leave_foreign_offer(key, out);
    }

    /// Who rings for a queue they are no longer a member of, stops; the idle time goes on.
    fn leave_foreign_offer(&mut self, key: AgentKey, out: &mut Output) {
        let agent = &self.agents[key];
        let AgentState::Reserved { call, leg, rank, .. } = agent.state else { return };
        let queue = self.calls[call].line().expect("an offered call is in line").queue;
        if !agent.queues.contains(&queue) {
            let id = self.withdraw(call, leg);
            self.enter(key, AgentState::Ready { rank }, "no longer a member", id, out);
        }
    }

    fn add_agent(&mut self, document: &document::Agent, queues: Vec<QueueKey>, out: &mut Output) {
        let state = match document.start {
            StartState::LoggedOut => AgentState::LoggedOut,
            StartState::NotReady => AgentState::NotReady { reason: String::new(), until: None },
            StartState::Ready => AgentState::Ready { rank: self.next_rank() },
        };
        self.write_arrival(document.name.clone(), ABSENT, state.name(), 0, 0, out);
        let key = self.agents.insert(Agent {
            name: document.name.clone(),
            contact: document.contact.clone(),
            queues,
            wrap_up_seconds: document.wrap_up_seconds,
            removed: false,
            state,
            since: self.now,
            contacts: Vec::new(),
            answered: 0,
        });
        self.agent_names.insert(document.name.clone(), key);
        self.list(key);
    }

    fn remove_agent(&mut self, key: AgentKey, out: &mut Output) {
        match self.agents[key].state {
            AgentState::Talking { .. } => {
                self.unlist(key);
                let agent = &mut self.agents[key];
                agent.removed = true;
                agent.queues.clear();
            }
            AgentState::Reserved { call, leg, .. } => {
                let id = self.withdraw(call, leg);
                self.drop_agent(key, id, out);
            }
            AgentState::LoggedOut
            | AgentState::NotReady { .. }
            | AgentState::Ready { .. }
            | AgentState::WrapUp { .. } => self.drop_agent(key, 0, out),
        }
    }

    fn remove_queue(&mut self, key: QueueKey, out: &mut Output) {
        self.queues[key].removed = true;
        let in_line: Vec<CallKey> =
            self.queues[key].waiting.values().chain(self.queues[key].offered.values()).copied().collect();
        for call in in_line {
            match self.calls[call].state {
                CallState::Waiting { .. } | CallState::Offered { .. } => {
                    self.refuse(call, Release::QueueRemoved, out);
                }
                CallState::Talking { .. } | CallState::Ended { .. } => panic!("who is in line waits or is offered"),
            }
        }
        if self.queues.get(key).is_some() {
            self.drop_queue_when_done(key);
        }
    }

    /// A removed queue stays until its last call has talked.
    pub(crate) fn drop_queue_when_done(&mut self, key: QueueKey) {
        let queue = &self.queues[key];
        if queue.removed && queue.talking == 0 && queue.waiting.is_empty() && queue.offered.is_empty() {
            let queue = self.queues.remove(key);
            self.queue_names.remove(&queue.name);
        }
    }
}

/// A configuration that was found to be whole.
struct Wanted<'a> {
    queues: BTreeMap<&'a str, &'a document::Queue>,
    agents: BTreeSet<&'a str>,
    agents_in_order: Vec<&'a document::Agent>,
    numbers: BTreeMap<&'a str, &'a str>,
}

impl<'a> Wanted<'a> {
    /// Refuses what the directory would never send: nothing is applied of it.
    fn read(documents: &'a [Document], limits: &Limits) -> Result<Self, Rejection> {
        let mut wanted = Wanted {
            queues: BTreeMap::new(),
            agents: BTreeSet::new(),
            agents_in_order: Vec::new(),
            numbers: BTreeMap::new(),
        };
        for document in documents {
            let fresh = match document {
                Document::Queue(queue) => {
                    check_name(&queue.name, limits)?;
                    check_length(&queue.music, limits.name_bytes_max)?;
                    wanted.queues.insert(&queue.name, queue).is_none()
                }
                Document::Agent(agent) => {
                    check_name(&agent.name, limits)?;
                    check_length(&agent.contact, limits.contact_bytes_max)?;
                    wanted.agents_in_order.push(agent);
                    wanted.agents.insert(&agent.name)
                }
                Document::Number(number) => {
                    check_name(&number.name, limits)?;
                    wanted.numbers.insert(&number.name, &number.queue).is_none()
                }
                Document::Trunk(_) => true,
            };
            if !fresh {
                return Err(invalid("two documents have one name"));
            }
        }
        wanted.check_limits(limits)?;
        wanted.check_references(limits)?;
        Ok(wanted)
    }

    fn check_limits(&self, limits: &Limits) -> Result<(), Rejection> {
        let reached = |name: &str| Err(Rejection::new(RejectionCode::LimitReached, name));
        if self.queues.len() > limits.queues_max {
            return reached("queues_max");
        }
        if self.agents.len() > limits.agents_max {
            return reached("agents_max");
        }
        if self.numbers.len() > limits.numbers_max {
            return reached("numbers_max");
        }
        Ok(())
    }

    fn check_references(&self, limits: &Limits) -> Result<(), Rejection> {
        for queue in self.numbers.values() {
            if !self.queues.contains_key(queue) {
                return Err(invalid("a number leads to an unknown queue"));
            }
        }
        for agent in &self.agents_in_order {
            if agent.queues.len() > limits.queues_per_agent_max {
                return Err(Rejection::new(RejectionCode::LimitReached, "queues_per_agent_max"));
            }
            let mut seen = BTreeSet::new();
            for member in &agent.queues {
                if !self.queues.contains_key(member.queue.as_str()) {
                    return Err(invalid("an agent is a member of an unknown queue"));
                }
                if !seen.insert(&member.queue) {
                    return Err(invalid("an agent is twice a member of one queue"));
                }
            }
        }
        Ok(())
    }
}

fn check_name(name: &str, limits: &Limits) -> Result<(), Rejection> {
    if name.is_empty() {
        return Err(invalid("a document has no name"));
    }
    check_length(name, limits.name_bytes_max)
}

fn check_length(text: &str, bytes_max: usize) -> Result<(), Rejection> {
    if text.len() > bytes_max { Err(invalid("a field is too long")) } else { Ok(()) }
}

fn invalid(detail: &str) -> Rejection {
    Rejection::new(RejectionCode::Invalid, detail)
}
