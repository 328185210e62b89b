//! What a shard says to the outside: orders and records; never why, that is the rows' business.

use std::sync::Arc;

use crate::counts::Counts;
use crate::{CallId, Name, Timestamp};

/// What one or more applies have brought, in order. `apply` appends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Changed orders and the gateway each is for; at most one per leg and apply, the last.
    pub orders: Vec<(Name, Order)>,
    /// What is written down.
    pub records: Vec<Record>,
    /// Whom the leader's node has to ask. Also in [`crate::Shard::standing_asks`] until answered.
    pub asks: Vec<Ask>,
}

/// Someone outside is asked to choose agents for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Counts up over the shard; the answer names it.
    pub ask: u64,
    /// The call.
    pub call: CallId,
    /// Its queue.
    pub queue: Name,
    /// Whom to ask: `http://host:port`.
    pub endpoint: String,
    /// From when it was asked; then the fallback decides.
    pub deadline_ms: u32,
    /// Calling party.
    pub caller: Name,
    /// Dialled.
    pub number: Name,
    /// Since it joined.
    pub waited_ms: u64,
    /// Best first by the fallback, at most [`crate::limits::CHOOSER_CANDIDATES_MAX`].
    pub candidates: Vec<Candidate>,
}

/// What ought to be true of one leg. Doing it twice is doing it once; a lower revision is older.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The call.
    pub call: CallId,
    /// The leg.
    pub leg: u32,
    /// Counts up over the whole shard.
    pub revision: u64,
    /// W3C `traceparent` of the call.
    pub trace: Option<Name>,
    /// Counts the gateways that held the call, from 1; commands about its legs repeat it.
    pub tenure: u32,
    /// Another gateway had the leg, and this one has not confirmed it yet.
    pub takeover: Option<Box<Takeover>>,
    /// What is wanted.
    pub want: Want,
}

/// What a gateway needs to go on with a leg that it has never seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takeover {
    /// The dialog, or the caller's INVITE, opaque; empty when the leg is one that we rang.
    pub passport: Vec<u8>,
    /// `host:port` where the former gateway listened.
    pub former_sip: String,
    /// The INVITE that the former one had out, to be taken back: a [`Want::Ring`] or [`Want::Dial`].
    pub rang: Option<Want>,
}

/// What is wanted of a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// The caller hears ringing.
    Alert,
    /// An INVITE to this contact is out.
    Ring(Ring),
    /// Answered and hears this.
    Listen {
        /// `music` or the name of a prompt.
        prompt: String,
        /// Said once over it; one whose number was said already is not said again.
        announcement: Option<Saying>,
    },
    /// An INVITE to the outside is out.
    Dial(Dial),
    /// Answered and hears nothing: an agent who holds the caller.
    Quiet,
    /// Answered and in one conference with those legs of the same call.
    Meet {
        /// The others.
        legs: Vec<u32>,
    },
    /// Answered and joined to that leg of the same call.
    Join {
        /// The other leg.
        leg: u32,
    },
    /// Must not exist.
    Gone {
        /// Final status for an INVITE that is not answered yet.
        sip_status: u32,
        /// For the Reason header (RFC 3326).
        reason: String,
    },
    /// Another gateway has this leg: say no word to the far end, keep its sound for a moment, forget it.
    Yield,
}

/// Something said over the music.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saying {
    /// Counts up within the call.
    pub number: u32,
    /// Prompts in order; `#3` is the number three.
    pub parts: Vec<String>,
}

/// An INVITE over a trunk or to a SIP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Number or SIP URI.
    pub target: String,
    /// Shown; when hidden only told to those who are trusted (RFC 3325).
    pub caller: String,
    /// Shown; empty when hidden.
    pub caller_name: String,
    /// RFC 3325: `Privacy: id`.
    pub hidden: bool,
    /// Who was called before, oldest first (RFC 7044).
    pub history: Vec<String>,
    /// Value of Replaces (RFC 3891).
    pub replaces: Option<Name>,
}

/// An INVITE to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// SIP URI.
    pub contact: Name,
    /// Whom it rings.
    pub agent: Name,
    /// Shown to the agent.
    pub caller: Name,
    /// Shown to the agent.
    pub caller_name: Name,
    /// What the caller dialled.
    pub number: Name,
    /// The queue.
    pub queue: Name,
    /// Path (RFC 3327) that the INVITE must take.
    pub path: Option<Name>,
    /// Value of Replaces (RFC 3891).
    pub replaces: Option<Name>,
    /// Who was called before, oldest first (RFC 7044).
    pub history: Vec<String>,
}

/// Something that was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Shard time.
    pub at: Timestamp,
    /// What.
    pub kind: RecordKind,
}

/// Kinds of record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A call has ended.
    Call(Arc<CallRecord>),
    /// An agent changed state.
    Agent(AgentRecord),
    /// A call was given to an agent.
    Decision(Box<DecisionRecord>),
    /// A counting interval has ended.
    Interval(Box<IntervalRecord>),
    /// A transfer, forward or consult was concluded.
    Transfer(TransferRecord),
}

/// Counts of one subject over one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntervalRecord {
    /// `queue`, `agent` or `number`.
    pub subject: &'static str,
    /// Its name.
    pub name: Name,
    /// Begin.
    pub from_ms: Timestamp,
    /// End.
    pub until_ms: Timestamp,
    /// What was counted.
    pub counts: Counts,
}

/// A transfer, forward or consult was concluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferRecord {
    /// The call.
    pub call: CallId,
    /// Who asked; empty for a rule.
    pub agent: Name,
    /// `blind`, `consult`, `forward`, `overflow`.
    pub kind: &'static str,
    /// Where to.
    pub target: String,
    /// `done`, `no-answer`, `busy`, `unreachable`, `taken-back`, `caller-left`, `refused`.
    pub result: &'static str,
}

/// One agent's part of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPart {
    /// Who talked: an agent, or whom it was sent to.
    pub agent: Name,
    /// The queue it came through, empty when through none.
    pub queue: Name,
    /// Joined.
    pub from_ms: Timestamp,
    /// Left.
    pub until_ms: Timestamp,
    /// Of it on hold.
    pub hold_ms: u64,
    /// Rang before.
    pub ring_ms: u64,
}

/// What a call was, concluded at its end. Numbered as in `log.proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum CallOutcome {
    /// Talked to an agent.
    Completed = 1,
    /// Left before an answer.
    Abandoned = 2,
    /// We refused.
    Refused = 3,
    /// Something broke.
    Failed = 4,
}

impl CallOutcome {
    /// Its name in text.
    pub fn name(self) -> &'static str {
        match self {
            CallOutcome::Completed => "completed",
            CallOutcome::Abandoned => "abandoned",
            CallOutcome::Refused => "refused",
            CallOutcome::Failed => "failed",
        }
    }

    pub(crate) fn from_number(number: i32) -> Option<Self> {
        use CallOutcome::*;
        [Completed, Abandoned, Refused, Failed].into_iter().find(|outcome| *outcome as i32 == number)
    }
}

/// The one terminal record of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// The call.
    pub call: CallId,
    /// Dialled.
    pub number: Name,
    /// Calling party.
    pub caller: Name,
    /// The queue, empty when it reached none.
    pub queue: Name,
    /// Who talked last, empty when nobody did.
    pub agent: Name,
    /// When it reached the shard.
    pub offered_ms: Timestamp,
    /// When an agent answered, 0 when nobody did.
    pub answered_ms: Timestamp,
    /// When it ended.
    pub ended_ms: Timestamp,
    /// What it was.
    pub outcome: CallOutcome,
    /// `caller`, `agent`, `system`, `admin` or `admin:NAME`.
    pub ended_by: Name,
    /// How often it was offered to an agent.
    pub offers: u32,
    /// The gateway it was on.
    pub gateway: Name,
    /// Who talked, in order.
    pub parts: Vec<CallPart>,
    /// Its class, 0 when it never joined a line.
    pub priority: u32,
    /// It was called back.
    pub callback: bool,
    /// Asked at the end, such as `billing:1 english:50`.
    pub skills: Name,
    /// In line, all queues.
    pub waited_ms: u64,
}

/// An agent changed state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRecord {
    /// The agent.
    pub agent: Name,
    /// The former state; `absent` at first sight.
    pub from: &'static str,
    /// The state; `absent` when the agent was removed.
    pub to: &'static str,
    /// Why, may be empty.
    pub reason: Name,
    /// The call it was about, 0 when none.
    pub call: CallId,
    /// Time in `from`.
    pub spent_ms: u64,
}

/// Why this call went to this agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRecord {
    /// The call.
    pub call: CallId,
    /// Its queue.
    pub queue: Name,
    /// Who is chosen.
    pub strategy: &'static str,
    /// The agent.
    pub chosen: Name,
    /// Best first, at most [`crate::limits::CANDIDATES_MAX`].
    pub candidates: Vec<Candidate>,
    /// All of them.
    pub candidates_total: u32,
    /// Members who could not take it, by reason, counted.
    pub exclusions: Vec<Exclusion>,
    /// Since it joined.
    pub waited_ms: u64,
    /// 1 is the head of those who wait.
    pub position: u32,
    /// What decided between equal figures, empty when nothing had to.
    pub tie_break: &'static str,
    /// Rung at the same time.
    pub also: Vec<Name>,
    /// Version of the rules that decided.
    pub rules: u32,
    /// Of the chosen.
    pub tier: u32,
    /// Asked, such as `billing:1 english:50`.
    pub skills: Name,
    /// Empty, or `sticky`, `direct`, `pull`, `chooser`, `callback`.
    pub cause: &'static str,
}

/// One who could have taken the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The agent.
    pub agent: Name,
    /// What ranked them: idle milliseconds for longest-idle.
    pub figure: u64,
}

/// Members who could not take the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// Why.
    pub reason: &'static str,
    /// How many.
    pub agents: u32,
}
