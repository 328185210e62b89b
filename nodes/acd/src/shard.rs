//! A shard's state and `apply`: control flow only; every rule is in the file of its noun.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::alarms::Alarms;
use crate::command::{Accepted, Command, CommandId, Entry, Rejection, RejectionCode};
use crate::counts::Counts;
use crate::demand::Demands;
use crate::dice::Dice;
use crate::document;
use crate::hash::{ById, ByName};
use crate::limits::{Limits, TIME_MAX};
use crate::output::{Output, Record, RecordKind};
use crate::policy::CentrePolicy;
use crate::rows::{Agent, Call, Gateway, Queue, Rank};
use crate::schedule::Calendar;
use crate::senders::{Recall, Senders};
use crate::sticky::Memory;
use crate::table::{AgentKey, CallKey, GatewayKey, QueueKey, Table};
use crate::{CallId, Name, Timestamp};

/// Distribution and what is due after it are repeated so many times in one apply; the rest is left to the next.
const ROUNDS_MAX: usize = 16;

/// One tenant shard's whole state.
#[derive(Clone, Debug)]
pub struct Shard {
    pub(crate) limits: Limits,
    /// Version of the rules in force.
    pub(crate) rules: u32,
    /// Shard time: the highest `at` seen.
    pub(crate) now: Timestamp,
    pub(crate) config_version: u64,
    /// The documents in force, as they are kept in a snapshot.
    pub(crate) documents: std::sync::Arc<[u8]>,
    /// Breaks ties of places and ranks.
    pub(crate) sequence: u64,
    /// Of the last order.
    pub(crate) revision: u64,
    /// Of the last ask.
    pub(crate) asked: u64,
    pub(crate) dice: Dice,
    pub(crate) centre: CentrePolicy,
    pub(crate) calendars: BTreeMap<String, Calendar>,
    /// The centre's zone.
    pub(crate) zone: Option<document::Zone>,
    /// Every skill ever named; the index is its key.
    pub(crate) skills: Vec<Name>,
    pub(crate) demands: Demands,
    pub(crate) numbers: HashMap<Name, NumberRow, ByName>,
    /// Calling number to its rules.
    pub(crate) callers: BTreeMap<String, document::Caller>,
    /// Who served whom.
    pub(crate) memory: Memory,
    /// Callers in line who are to be called back, by calling number and queue.
    pub(crate) callbacks: BTreeSet<(Name, QueueKey, CallKey)>,
    pub(crate) queues: Table<QueueKey, Queue>,
    pub(crate) queue_names: HashMap<Name, QueueKey, ByName>,
    pub(crate) agents: Table<AgentKey, Agent>,
    pub(crate) agent_names: HashMap<Name, AgentKey, ByName>,
    pub(crate) calls: Table<CallKey, Call>,
    pub(crate) call_ids: HashMap<CallId, CallKey, ById>,
    pub(crate) gateways: Table<GatewayKey, Gateway>,
    pub(crate) gateway_ids: BTreeMap<Name, GatewayKey>,
    pub(crate) alarms: Alarms,
    /// When the counting interval ends; 0 before the first entry.
    pub(crate) interval_ends: Timestamp,
    /// When the day of the centre's zone ends.
    pub(crate) day_ends: Timestamp,
    pub(crate) senders: Senders,
    /// The text of no characters, made once.
    pub(crate) empty: Name,
    /// A snapshot that is being written.
    pub(crate) saving: Option<Box<crate::snapshot::Saving>>,
    /// Agents who became available, calls that became matchable, queues to be looked through. Empty between applies.
    pub(crate) fresh: Fresh,
    /// Legs whose order changed, with the revision. Empty between applies.
    pub(crate) touched: Vec<(u64, CallKey, u32)>,
    /// Calls of which a leg was settled or has ended, on gateways that are being emptied. Empty between applies.
    pub(crate) settled: Vec<CallKey>,
    /// Legs that other gateways have now, and who is to let go of each. Empty between applies.
    pub(crate) yielded: Vec<(Name, crate::output::Order)>,
}

/// What `distribute` has to look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fresh {
    pub(crate) agents: Vec<AgentKey>,
    pub(crate) calls: Vec<CallKey>,
    pub(crate) queues: BTreeSet<QueueKey>,
}

/// A number that callers dial.
#[derive(Clone, Debug)]
pub(crate) struct NumberRow {
    pub(crate) name: Name,
    pub(crate) policy: document::Number,
    pub(crate) counts: Box<Counts>,
    /// What calls by this number ask in a queue.
    pub(crate) demands: Vec<(QueueKey, u32)>,
    /// No document names it; it stays until its counts are written down.
    pub(crate) removed: bool,
}

impl Shard {
    /// Numbers by name: the map itself is never walked for anything whose order matters.
    pub(crate) fn numbers_in_order(&self) -> Vec<Name> {
        let mut names: Vec<Name> = self.numbers.keys().cloned().collect();
        names.sort_unstable();
        names
    }
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
            rules: 1,
            now: 0,
            config_version: 0,
            documents: Default::default(),
            sequence: 0,
            revision: 0,
            asked: 0,
            dice: Dice(0),
            centre: CentrePolicy::default(),
            calendars: BTreeMap::new(),
            zone: None,
            skills: Vec::new(),
            demands: Demands::new(),
            numbers: HashMap::default(),
            callers: BTreeMap::new(),
            memory: Memory::default(),
            callbacks: BTreeSet::new(),
            queues: Table::new(),
            queue_names: HashMap::default(),
            agents: Table::new(),
            agent_names: HashMap::default(),
            calls: Table::new(),
            call_ids: HashMap::default(),
            gateways: Table::new(),
            gateway_ids: BTreeMap::new(),
            alarms: Alarms::default(),
            interval_ends: 0,
            day_ends: 0,
            senders: Senders::default(),
            empty: "".into(),
            saving: None,
            fresh: Fresh::default(),
            touched: Vec::new(),
            settled: Vec::new(),
            yielded: Vec::new(),
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
        self.begin_interval();
        self.expire(out);
        let reply = self.perform(command, trace, out);
        self.expire(out);
        self.distribute(out);
        for _ in 0..ROUNDS_MAX {
            // A call that distribution moved on may be due at once in its new place.
            if self.next_deadline().is_none_or(|at| at > self.now) {
                break;
            }
            self.expire(out);
            self.distribute(out);
        }
        self.drain_settled();
        self.tell(out);
        self.remember(id, settled_below, &reply);
        self.settle_alarms();
        reply
    }

    /// When the leader should propose `AdvanceClock`.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, _)| at)
    }

    fn perform(&mut self, command: Command, trace: Option<String>, out: &mut Output) -> Result<Accepted, Rejection> {
        match command {
            Command::Configure { version, documents } => self.configure(version, &documents, out),
            Command::AttachGateway { gateway, incarnation, sip } => {
                self.attach_gateway(&gateway, incarnation, sip, out)
            }
            Command::LoseGateway { gateway, incarnation } => self.lose_gateway(&gateway, incarnation, out),
            Command::OfferCall { call, gateway, incarnation, number, caller, caller_name, passport } => {
                let names = crate::calls::Names {
                    number: self
                        .numbers
                        .get(number.as_str())
                        .map_or_else(|| number.as_str().into(), |row| row.name.clone()),
                    caller: caller.into(),
                    caller_name: caller_name.into(),
                    trace: trace.map(Into::into),
                };
                self.offer_call(call, &gateway, incarnation, names, passport, out)
            }
            Command::AnswerLeg { call, leg, passport, tenure } => self.answer_leg(call, leg, tenure, passport, out),
            Command::ConfirmLeg { call, leg, passport, tenure } => self.confirm_leg(call, leg, tenure, passport),
            Command::EndLeg { call, leg, cause, sip_status: _, tenure, moved_to } => {
                self.end_leg(call, leg, tenure, cause, &moved_to, out)
            }
            Command::PressDigits { call, leg, digits, tenure } => self.press_digits(call, leg, tenure, &digits, out),
            Command::ReferLeg { call, leg, tenure, target, replaces } => {
                self.refer_leg(call, leg, tenure, target, &replaces, out)
            }
            Command::HoldLeg { call, leg, tenure, held } => self.hold_leg(call, leg, tenure, held, out),
            Command::DrainGateway { gateway, incarnation, undo, by } => {
                self.drain_gateway(&gateway, incarnation, undo, &by, out)
            }
            Command::ClearCall { call, by } => self.clear_call(call, &by, out),
            Command::RegisterContact { agent, contact, expires_seconds, gateway, path, flow } => {
                let how = crate::agents::Reached { gateway, path, flow };
                self.register_contact(&agent, contact, expires_seconds, how)
            }
            Command::LogInAgent { agent } => self.log_in_agent(&agent, out),
            Command::LogOutAgent { agent } => self.log_out_agent(&agent, out),
            Command::MakeAgentReady { agent } => self.make_agent_ready(&agent, out),
            Command::MakeAgentNotReady { agent, reason } => self.make_agent_not_ready(&agent, &reason, out),
            Command::SetRules { version } => self.set_rules(version),
            Command::ExtendWrapUp { agent, seconds } => self.extend_wrap_up(&agent, seconds),
            Command::PullCall { call, agent, by } => self.pull_call(call, &agent, &by, out),
            Command::ChooseAgents { call, ask, agents } => self.choose_agents(call, ask, &agents, out),
            Command::ChangeCall { call, priority, boost_seconds, move_to, by } => {
                self.change_call(call, priority, boost_seconds, &move_to, &by, out)
            }
            Command::TransferCall { call, agent, target } => self.transfer_call(call, &agent, target, out),
            Command::ConsultCall { call, agent, target } => self.consult_call(call, &agent, &target, out),
            Command::ControlCall { call, agent, control } => self.control_call(call, &agent, control, out),
            Command::RequestCallback { call, number } => self.request_callback(call, &number, out),
            Command::CancelCallback { call, by } => self.cancel_callback(call, &by, out),
            Command::AdvanceClock | Command::TakeLead => Ok(Accepted),
        }
    }

    /// From now on these rules hold.
    fn set_rules(&mut self, version: u32) -> Result<Accepted, Rejection> {
        if version < self.rules {
            return Err(Rejection::new(RejectionCode::Stale, "later rules are in force"));
        }
        if version > crate::RULES {
            return Err(Rejection::new(RejectionCode::Invalid, "no such rules"));
        }
        self.rules = version;
        Ok(Accepted)
    }

    fn recall(&mut self, id: CommandId, settled_below: u64, at: Timestamp, command: &Command) -> Recall {
        if id.sender == 0 {
            return match command {
                Command::Configure { .. }
                | Command::LoseGateway { .. }
                | Command::AdvanceClock
                | Command::TakeLead
                | Command::SetRules { .. } => Recall::First,
                _ => Recall::Again(Err(Rejection::new(RejectionCode::Invalid, "id.sender is 0"))),
            };
        }
        self.senders.recall(id, settled_below, at, &self.limits)
    }

    fn remember(&mut self, id: CommandId, settled_below: u64, reply: &Result<Accepted, Rejection>) {
        if id.sender == 0 {
            return;
        }
        if let Some(check_at) = self.senders.remember(id, settled_below, self.now, reply) {
            self.alarms.set(check_at, crate::alarms::Alarm::Sender(id.sender));
        }
    }

    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub(crate) fn next_rank(&mut self) -> Rank {
        Rank { since: self.now, sequence: self.next_sequence() }
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

    pub(crate) fn check_digits(&self, digits: &str) -> Result<(), Rejection> {
        self.check_name("digits", digits)?;
        if !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D')) {
            return Err(Rejection::new(RejectionCode::Invalid, "digits are 0-9 * # A-D"));
        }
        Ok(())
    }
}
