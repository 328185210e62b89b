//! The rows of a shard: queues, agents, calls, legs, gateways; never a transition between their states.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::{AnswerMode, Strategy};
use crate::limits::{DELAY_SECONDS_MIN, RING_SECONDS_DEFAULT};
use crate::output::CallRecord;
use crate::table::{AgentKey, CallKey, GatewayKey, QueueKey};
use crate::{CallId, Timestamp, document};

/// A caller's place: lower is served first, over all queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) joined: Timestamp,
    pub(crate) sequence: u64,
}

/// A ready agent's rank: lower is offered first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) since: Timestamp,
    pub(crate) sequence: u64,
}

/// What a document says about a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuePolicy {
    pub(crate) strategy: Strategy,
    pub(crate) answer: AnswerMode,
    pub(crate) ring_seconds: u32,
    pub(crate) wrap_up_seconds: u32,
    pub(crate) waiting_max: u32,
    pub(crate) wait_seconds_max: u32,
    pub(crate) busy_delay_seconds: u32,
    pub(crate) unreachable_delay_seconds: u32,
    pub(crate) music: String,
}

impl QueuePolicy {
    pub(crate) fn of(document: &document::Queue) -> Self {
        let music = if document.music.is_empty() { "music" } else { &document.music };
        QueuePolicy {
            strategy: document.strategy,
            answer: document.answer,
            ring_seconds: document.ring_seconds,
            wrap_up_seconds: document.wrap_up_seconds,
            waiting_max: document.waiting_max,
            wait_seconds_max: document.wait_seconds_max,
            busy_delay_seconds: document.busy_delay_seconds,
            unreachable_delay_seconds: document.unreachable_delay_seconds,
            music: music.to_owned(),
        }
    }

    pub(crate) fn ring_ms(&self) -> u64 {
        let seconds = if self.ring_seconds == 0 { RING_SECONDS_DEFAULT } else { self.ring_seconds };
        u64::from(seconds) * 1000
    }

    pub(crate) fn busy_ms(&self) -> u64 {
        u64::from(self.busy_delay_seconds.max(DELAY_SECONDS_MIN)) * 1000
    }

    pub(crate) fn unreachable_ms(&self) -> u64 {
        u64::from(self.unreachable_delay_seconds.max(DELAY_SECONDS_MIN)) * 1000
    }

    /// When a caller who joined then is let go.
    pub(crate) fn wait_until(&self, joined: Timestamp) -> Option<Timestamp> {
        (self.wait_seconds_max > 0).then(|| joined + u64::from(self.wait_seconds_max) * 1000)
    }
}

/// Sums since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueCounts {
    pub(crate) offered: u64,
    pub(crate) answered: u64,
    pub(crate) abandoned: u64,
    pub(crate) wait_ms: u64,
    pub(crate) talk_ms: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) policy: QueuePolicy,
    /// No document names it; it stays until its last call has talked.
    pub(crate) removed: bool,
    pub(crate) waiting: BTreeMap<Place, CallKey>,
    pub(crate) offered: BTreeMap<Place, CallKey>,
    pub(crate) talking: u32,
    /// Ready members with a contact.
    pub(crate) ready: BTreeMap<Rank, AgentKey>,
    /// Members by class.
    pub(crate) members: [u32; Class::COUNT],
    pub(crate) counts: QueueCounts,
}

/// What a member is to a queue that looks for an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Ready,
    Unreachable,
    NotReady,
    LoggedOut,
    Reserved,
    Talking,
    WrapUp,
}

impl Class {
    pub(crate) const COUNT: usize = 7;
    /// Those who cannot take a call, with the reason in a decision record.
    pub(crate) const EXCLUDED: [(Class, &'static str); 6] = [
        (Class::Unreachable, "unreachable"),
        (Class::NotReady, "not-ready"),
        (Class::LoggedOut, "logged-out"),
        (Class::Reserved, "reserved"),
        (Class::Talking, "talking"),
        (Class::WrapUp, "wrap-up"),
    ];
}

/// What an agent is after the present call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AfterCall {
    Ready,
    NotReady { reason: String },
    LoggedOut,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AgentState {
    LoggedOut,
    NotReady { reason: String, until: Option<Timestamp> },
    Ready { rank: Rank },
    Reserved { call: CallKey, leg: u32, until: Timestamp, rank: Rank },
    Talking { call: CallKey, leg: u32, since: Timestamp, after: AfterCall },
    WrapUp { until: Timestamp },
}

impl AgentState {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            AgentState::LoggedOut => "logged-out",
            AgentState::NotReady { .. } => "not-ready",
            AgentState::Ready { .. } => "ready",
            AgentState::Reserved { .. } => "reserved",
            AgentState::Talking { .. } => "talking",
            AgentState::WrapUp { .. } => "wrap-up",
        }
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        match self {
            AgentState::LoggedOut | AgentState::Ready { .. } | AgentState::Talking { .. } => None,
            AgentState::NotReady { until, .. } => *until,
            AgentState::Reserved { until, .. } | AgentState::WrapUp { until } => Some(*until),
        }
    }

    pub(crate) fn call(&self) -> Option<CallKey> {
        match self {
            AgentState::Reserved { call, .. } | AgentState::Talking { call, .. } => Some(*call),
            AgentState::LoggedOut
            | AgentState::NotReady { .. }
            | AgentState::Ready { .. }
            | AgentState::WrapUp { .. } => None,
        }
    }
}

/// A registered contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) uri: String,
    pub(crate) gateway: String,
    pub(crate) expires: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) name: String,
    /// Static contact, may be empty.
    pub(crate) contact: String,
    pub(crate) queues: Vec<QueueKey>,
    pub(crate) wrap_up_seconds: u32,
    /// No document names the agent; the row stays until the present call has ended, without memberships.
    pub(crate) removed: bool,
    pub(crate) state: AgentState,
    /// When `state` began.
    pub(crate) since: Timestamp,
    /// Newest first.
    pub(crate) contacts: Vec<Contact>,
    pub(crate) answered: u64,
}

impl Agent {
    /// What to ring: the newest registered contact, else the static one.
    pub(crate) fn reach(&self) -> Option<&str> {
        match self.contacts.first() {
            Some(contact) => Some(&contact.uri),
            None if self.contact.is_empty() => None,
            None => Some(&self.contact),
        }
    }

    pub(crate) fn class(&self) -> Class {
        match self.state {
            AgentState::LoggedOut => Class::LoggedOut,
            AgentState::NotReady { .. } => Class::NotReady,
            AgentState::Ready { .. } if self.reach().is_none() => Class::Unreachable,
            AgentState::Ready { .. } => Class::Ready,
            AgentState::Reserved { .. } => Class::Reserved,
            AgentState::Talking { .. } => Class::Talking,
            AgentState::WrapUp { .. } => Class::WrapUp,
        }
    }

    /// When the first contact expires.
    pub(crate) fn contacts_deadline(&self) -> Option<Timestamp> {
        self.contacts.iter().map(|contact| contact.expires).min()
    }
}

/// Where a call stands in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InLine {
    pub(crate) queue: QueueKey,
    pub(crate) place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallState {
    Waiting {
        line: InLine,
    },
    Offered {
        line: InLine,
        agent: AgentKey,
        leg: u32,
    },
    Talking {
        line: InLine,
        agent: AgentKey,
        leg: u32,
        since: Timestamp,
    },
    /// Only its gone legs are left.
    Ended {
        record: Box<CallRecord>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    /// All legs of a call live on one gateway.
    pub(crate) gateway: GatewayKey,
    pub(crate) number: String,
    pub(crate) caller: String,
    pub(crate) caller_name: String,
    pub(crate) trace: Option<String>,
    pub(crate) offered: Timestamp,
    /// How often it was offered to an agent.
    pub(crate) offers: u32,
    pub(crate) legs_made: u32,
    /// Rising by number.
    pub(crate) legs: Vec<Leg>,
    pub(crate) state: CallState,
}

impl Call {
    pub(crate) fn leg(&self, number: u32) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.number == number)
    }

    pub(crate) fn leg_mut(&mut self, number: u32) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.number == number)
    }

    pub(crate) fn line(&self) -> Option<InLine> {
        match &self.state {
            CallState::Waiting { line } | CallState::Offered { line, .. } | CallState::Talking { line, .. } => {
                Some(*line)
            }
            CallState::Ended { .. } => None,
        }
    }
}

/// The caller's leg.
pub(crate) const CALLER: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) number: u32,
    /// The agent's name; `None` is the caller.
    pub(crate) agent: Option<Box<str>>,
    pub(crate) answered: bool,
    pub(crate) want: LegWant,
    pub(crate) revision: u64,
    /// The dialog as a gateway needs it to continue; this is where it lives. Opaque.
    pub(crate) passport: Box<[u8]>,
}

/// What is wanted of a leg; the words of an order are filled in from the rows when it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LegWant {
    Alert,
    Ring { contact: Box<str> },
    Listen,
    Join { leg: u32 },
    Gone { release: Release },
}

/// Why a leg must be gone. Numbers are in snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Release {
    UnknownNumber = 1,
    QueueFull = 2,
    WaitLimit = 3,
    QueueRemoved = 4,
    Cleared = 5,
    OtherSideEnded = 6,
    NoAnswer = 7,
    Withdrawn = 8,
    Failed = 9,
    CallerLeft = 10,
}

impl Release {
    pub(crate) const ALL: [Release; 10] = [
        Release::UnknownNumber,
        Release::QueueFull,
        Release::WaitLimit,
        Release::QueueRemoved,
        Release::Cleared,
        Release::OtherSideEnded,
        Release::NoAnswer,
        Release::Withdrawn,
        Release::Failed,
        Release::CallerLeft,
    ];

    /// Final status for an INVITE that is not answered yet (RFC 3261 section 21).
    pub(crate) fn sip_status(self) -> u32 {
        match self {
            Release::UnknownNumber => 404,
            Release::QueueFull => 486,
            Release::WaitLimit | Release::QueueRemoved | Release::Cleared | Release::OtherSideEnded => 480,
            Release::NoAnswer | Release::Withdrawn | Release::CallerLeft => 487,
            Release::Failed => 500,
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Release::UnknownNumber => "unknown number",
            Release::QueueFull => "queue full",
            Release::WaitLimit => "waited too long",
            Release::QueueRemoved => "queue closed",
            Release::Cleared => "cleared",
            Release::OtherSideEnded => "other side hung up",
            Release::NoAnswer => "no answer",
            Release::Withdrawn => "offer withdrawn",
            Release::Failed => "call failed",
            Release::CallerLeft => "caller left",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub(crate) id: String,
    pub(crate) incarnation: u64,
    /// The life before this one, so that its last words are known as old.
    pub(crate) former: u64,
    pub(crate) sip: String,
    pub(crate) up: bool,
    /// When `up` last changed or this life began.
    pub(crate) since: Timestamp,
    pub(crate) calls: BTreeSet<CallKey>,
}
