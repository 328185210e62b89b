//! What a shard says to the outside: orders and records; never why, that is the rows' business.

use crate::{CallId, Timestamp};

/// What one or more applies have brought, in order. `apply` appends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Changed orders and the gateway each is for; at most one per leg and apply, the last.
    pub orders: Vec<(String, Order)>,
    /// What is written down.
    pub records: Vec<Record>,
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
    pub trace: Option<String>,
    /// What is wanted.
    pub want: Want,
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
}

/// An INVITE to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// SIP URI.
    pub contact: String,
    /// Whom it rings.
    pub agent: String,
    /// Shown to the agent.
    pub caller: String,
    /// Shown to the agent.
    pub caller_name: String,
    /// What the caller dialled.
    pub number: String,
    /// The queue.
    pub queue: String,
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
    Call(CallRecord),
    /// An agent changed state.
    Agent(AgentRecord),
    /// A call was given to an agent.
    Decision(DecisionRecord),
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
    pub number: String,
    /// Calling party.
    pub caller: String,
    /// The queue, empty when it reached none.
    pub queue: String,
    /// Who talked last, empty when nobody did.
    pub agent: String,
    /// When it reached the shard.
    pub offered_ms: Timestamp,
    /// When an agent answered, 0 when nobody did.
    pub answered_ms: Timestamp,
    /// When it ended.
    pub ended_ms: Timestamp,
    /// What it was.
    pub outcome: CallOutcome,
    /// `caller`, `agent`, `system`, `admin` or `admin:NAME`.
    pub ended_by: String,
    /// How often it was offered to an agent.
    pub offers: u32,
    /// The gateway it was on.
    pub gateway: String,
}

/// An agent changed state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRecord {
    /// The agent.
    pub agent: String,
    /// The former state; `absent` at first sight.
    pub from: &'static str,
    /// The state; `absent` when the agent was removed.
    pub to: &'static str,
    /// Why, may be empty.
    pub reason: String,
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
    pub queue: String,
    /// Who is chosen.
    pub strategy: &'static str,
    /// The agent.
    pub chosen: String,
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
}

/// One who could have taken the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The agent.
    pub agent: String,
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
