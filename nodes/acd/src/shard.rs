//! A shard's state and `apply`: control flow only; every rule is in the file of its noun.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{Accepted, Command, Entry, Rejection, RejectionCode};
use crate::deadlines::Deadline;
use crate::limits::{Limits, TIME_MAX};
use crate::output::{Output, Record, RecordKind};
use crate::rows::{Agent, Call, Gateway, Place, Queue, Rank};
use crate::senders::{Recall, Senders};
use crate::table::{AgentKey, CallKey, GatewayKey, QueueKey, Table};
use crate::{CallId, Timestamp};

/// One tenant shard's whole state.
#[derive(Clone, Debug)]
pub struct Shard {
    pub(crate) limits: Limits,
    /// Shard time: the highest `at` seen.
    pub(crate) now: Timestamp,
    pub(crate) config_version: u64,
    /// Breaks ties of places and ranks.
    pub(crate) sequence: u64,
    /// Of the last order.
    pub(crate) revision: u64,
    pub(crate) numbers: BTreeMap<String, QueueKey>,
    pub(crate) queues: Table<QueueKey, Queue>,
    pub(crate) queue_names: BTreeMap<String, QueueKey>,
    pub(crate) agents: Table<AgentKey, Agent>,
    pub(crate) agent_names: BTreeMap<String, AgentKey>,
    pub(crate) calls: Table<CallKey, Call>,
    pub(crate) call_ids: BTreeMap<CallId, CallKey>,
    pub(crate) gateways: Table<GatewayKey, Gateway>,
    pub(crate) gateway_ids: BTreeMap<String, GatewayKey>,
    pub(crate) deadlines: BTreeSet<(Timestamp, Deadline)>,
    pub(crate) senders: Senders,
    /// Queues that `distribute` must look at. Empty between applies.
    pub(crate) dirty: BTreeSet<QueueKey>,
    /// Legs whose order changed, with the revision. Empty between applies.
    pub(crate) touched: Vec<(u64, CallKey, u32)>,
}

impl Default for Shard {
    fn default() -> Self {
        Self::new()
    }
}

impl Shard {
    /// An empty shard.
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// An empty shard with other limits; all replicas must be given the same.
    pub fn with_limits(limits: Limits) -> Self {
        Shard {
            limits,
            now: 0,
            config_version: 0,
            sequence: 0,
            revision: 0,
            numbers: BTreeMap::new(),
            queues: Table::new(),
            queue_names: BTreeMap::new(),
            agents: Table::new(),
            agent_names: BTreeMap::new(),
            calls: Table::new(),
            call_ids: BTreeMap::new(),
            gateways: Table::new(),
            gateway_ids: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            senders: Senders::default(),
            dirty: BTreeSet::new(),
            touched: Vec::new(),
        }
    }

    /// Applies one log entry: the only place where state changes. Appends to `out`.
    ///
    /// # Errors
    /// A rejection changed nothing, except that shard time moved on and what was due has happened.
    pub fn apply(&mut self, entry: Entry, out: &mut Output) -> Result<Accepted, Rejection> {
        let Entry { at, id, settled_below, trace, command } = entry;
        let at = at.min(TIME_MAX).max(self.now);
        match self.recall(id, settled_below, at, &command) {
            Recall::First => {}
            Recall::Again(reply) => return reply,
        }
        if matches!(command, Command::TakeLead) {
            self.prolong_offers(at - self.now);
        }
        self.now = at;
        self.expire(out);
        let reply = self.perform(command, trace, out);
        self.expire(out);
        self.distribute(out);
        self.tell(out);
        self.remember(id, settled_below, &reply);
        reply
    }

    /// When the leader should propose `AdvanceClock`.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn perform(&mut self, command: Command, trace: Option<String>, out: &mut Output) -> Result<Accepted, Rejection> {
        match command {
            Command::Configure { version, documents } => self.configure(version, &documents, out),
            Command::AttachGateway { gateway, incarnation, sip } => {
                self.attach_gateway(&gateway, incarnation, sip, out)
            }
            Command::LoseGateway { gateway, incarnation } => self.lose_gateway(&gateway, incarnation, out),
            Command::OfferCall { call, gateway, incarnation, number, caller, caller_name } => {
                let names = crate::calls::Names { number, caller, caller_name, trace };
                self.offer_call(call, &gateway, incarnation, names, out)
            }
            Command::AnswerLeg { call, leg, passport } => self.answer_leg(call, leg, passport, out),
            Command::ConfirmLeg { call, leg, passport } => self.confirm_leg(call, leg, passport),
            Command::EndLeg { call, leg, cause, sip_status: _ } => self.end_leg(call, leg, cause, out),
            Command::PressDigits { call, leg, digits } => self.press_digits(call, leg, &digits),
            Command::ClearCall { call, by } => self.clear_call(call, &by, out),
            Command::RegisterContact { agent, contact, expires_seconds, gateway } => {
                self.register_contact(&agent, contact, expires_seconds, gateway)
            }
            Command::LogInAgent { agent } => self.log_in_agent(&agent, out),
            Command::LogOutAgent { agent } => self.log_out_agent(&agent, out),
            Command::MakeAgentReady { agent } => self.make_agent_ready(&agent, out),
            Command::MakeAgentNotReady { agent, reason } => self.make_agent_not_ready(&agent, reason, out),
            Command::AdvanceClock | Command::TakeLead => Ok(Accepted),
        }
    }

    fn recall(&mut self, id: crate::CommandId, settled_below: u64, at: Timestamp, command: &Command) -> Recall {
        if id.sender == 0 {
            return match command {
                Command::Configure { .. } | Command::LoseGateway { .. } | Command::AdvanceClock | Command::TakeLead => {
                    Recall::First
                }
                Command::AttachGateway { .. }
                | Command::OfferCall { .. }
                | Command::AnswerLeg { .. }
                | Command::ConfirmLeg { .. }
                | Command::EndLeg { .. }
                | Command::PressDigits { .. }
                | Command::ClearCall { .. }
                | Command::RegisterContact { .. }
                | Command::LogInAgent { .. }
                | Command::LogOutAgent { .. }
                | Command::MakeAgentReady { .. }
                | Command::MakeAgentNotReady { .. } => {
                    Recall::Again(Err(Rejection::new(RejectionCode::Invalid, "id.sender is 0")))
                }
            };
        }
        let (recall, forgotten) = self.senders.recall(id, settled_below, at, &self.limits);
        if let Some((sender, check_at)) = forgotten {
            self.deadlines.remove(&(check_at, Deadline::Sender(sender)));
        }
        recall
    }

    fn remember(&mut self, id: crate::CommandId, settled_below: u64, reply: &Result<Accepted, Rejection>) {
        if id.sender == 0 {
            return;
        }
        if let Some(check_at) = self.senders.remember(id, settled_below, self.now, reply) {
            self.deadlines.insert((check_at, Deadline::Sender(id.sender)));
        }
    }

    pub(crate) fn next_place(&mut self) -> Place {
        self.sequence += 1;
        Place { joined: self.now, sequence: self.sequence }
    }

    pub(crate) fn next_rank(&mut self) -> Rank {
        self.sequence += 1;
        Rank { since: self.now, sequence: self.sequence }
    }

    pub(crate) fn write(&self, kind: RecordKind, out: &mut Output) {
        out.records.push(Record { at: self.now, kind });
    }

    pub(crate) fn check_name(&self, field: &str, value: &str) -> Result<(), Rejection> {
        if value.len() > self.limits.name_bytes_max {
            return Err(Rejection::new(RejectionCode::Invalid, format!("{field} is too long")));
        }
        Ok(())
    }
}
