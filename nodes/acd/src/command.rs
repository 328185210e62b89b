//! What may be asked of a shard, and what it answers; never how it is carried. Mirrors `shard.proto`.

use crate::document::{Document, Target};
use crate::{CallId, Timestamp};

/// Names a command for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommandId {
    /// Drawn at random by each sender at its start. 0 is nobody: allowed only for commands that may be done twice
    /// (`Configure`, `LoseGateway`, `AdvanceClock`, `TakeLead`, `SetRules`), which are then not remembered.
    pub sender: u64,
    /// Counts up from 1 within a sender.
    pub number: u64,
}

/// One command as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The leader's wall clock. Shard time is the highest one seen.
    pub at: Timestamp,
    /// The command's name; a retry carries the same one.
    pub id: CommandId,
    /// Every number of this sender below this one is answered and never sent again.
    pub settled_below: u64,
    /// W3C `traceparent` of the asker; that of an `OfferCall` is kept with the call.
    pub trace: Option<String>,
    /// What is asked.
    pub command: Command,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The tenant's whole configuration at a version. An older version is refused, the present one changes nothing.
    Configure {
        /// Counts up in the directory.
        version: u64,
        /// All documents of the tenant.
        documents: Vec<Document>,
    },
    /// A gateway, or its next life, begins to serve this shard.
    AttachGateway {
        /// Its id.
        gateway: String,
        /// Drawn at each of its starts.
        incarnation: u64,
        /// Where it listens, for people.
        sip: String,
    },
    /// The leader has not heard of the gateway for the lease time.
    LoseGateway {
        /// Its id.
        gateway: String,
        /// The life that is over.
        incarnation: u64,
    },
    /// An INVITE has arrived; the caller's leg is leg 1.
    OfferCall {
        /// Derived from the SIP ids.
        call: CallId,
        /// Where it arrived.
        gateway: String,
        /// That gateway's life.
        incarnation: u64,
        /// Dialled.
        number: String,
        /// Calling party, may be empty.
        caller: String,
        /// Display name, may be empty.
        caller_name: String,
        /// The INVITE as another gateway needs it to answer, opaque; may be empty.
        passport: Vec<u8>,
    },
    /// The far end of this leg has answered.
    AnswerLeg {
        /// The call.
        call: CallId,
        /// The leg.
        leg: u32,
        /// The dialog, opaque.
        passport: Vec<u8>,
        /// Of the order this answers; 0 is of a gateway that knows none.
        tenure: u32,
    },
    /// The dialog of this leg is confirmed or has changed.
    ConfirmLeg {
        /// The call.
        call: CallId,
        /// The leg.
        leg: u32,
        /// The dialog, opaque.
        passport: Vec<u8>,
        /// As in `AnswerLeg`.
        tenure: u32,
    },
    /// This leg no longer exists.
    EndLeg {
        /// The call.
        call: CallId,
        /// The leg.
        leg: u32,
        /// Why.
        cause: EndCause,
        /// The final status seen, 0 when there was none.
        sip_status: u32,
        /// As in `AnswerLeg`.
        tenure: u32,
        /// With [`EndCause::Moved`]: numbers and SIP addresses, best first.
        moved_to: Vec<String>,
    },
    /// Digits pressed on a leg.
    PressDigits {
        /// The call.
        call: CallId,
        /// The leg.
        leg: u32,
        /// `0-9 * # A-D`.
        digits: String,
        /// As in `AnswerLeg`.
        tenure: u32,
    },
    /// REFER from an agent's phone: a blind transfer of the call that this leg talks in.
    ReferLeg {
        /// The call.
        call: CallId,
        /// The leg.
        leg: u32,
        /// As in `AnswerLeg`.
        tenure: u32,
        /// To whom.
        target: Target,
        /// Value of Replaces (RFC 3891) in the INVITE to the target; may be empty.
        replaces: String,
    },
    /// A phone put us on hold, or came back.
    HoldLeg {
        /// The call.
        call: CallId,
        /// The leg.
        leg: u32,
        /// As in `AnswerLeg`.
        tenure: u32,
        /// On hold.
        held: bool,
    },
    /// A gateway's calls are handed to the others, the settled ones first, and it gets no more.
    DrainGateway {
        /// Its id.
        gateway: String,
        /// 0 is the present one.
        incarnation: u64,
        /// Ends that.
        undo: bool,
        /// Who asked.
        by: String,
    },
    /// Hang the whole call up; the shard concludes what it was.
    ClearCall {
        /// The call.
        call: CallId,
        /// Who asked, for the record.
        by: String,
    },
    /// One REGISTER binding of an agent.
    RegisterContact {
        /// The agent.
        agent: String,
        /// SIP URI to ring; `*` with 0 seconds removes all.
        contact: String,
        /// 0 removes it.
        expires_seconds: u32,
        /// Where it registered.
        gateway: String,
        /// Path (RFC 3327) that the INVITE must take; may be empty.
        path: String,
        /// Reachable only over the connection that this gateway holds: gone with it.
        flow: bool,
    },
    /// Log in; the agent is then not ready.
    LogInAgent {
        /// The agent.
        agent: String,
    },
    /// Log out, after the present call if there is one.
    LogOutAgent {
        /// The agent.
        agent: String,
    },
    /// Take calls.
    MakeAgentReady {
        /// The agent.
        agent: String,
    },
    /// Take no calls, after the present one if there is one.
    MakeAgentNotReady {
        /// The agent.
        agent: String,
        /// Why, for the record.
        reason: String,
    },
    /// From this entry on these rules hold.
    SetRules {
        /// See [`crate::RULES`].
        version: u32,
    },
    /// More after-call work, from now on.
    ExtendWrapUp {
        /// The agent.
        agent: String,
        /// The queue's maximum holds.
        seconds: u32,
    },
    /// A waiting call is offered to this agent, out of turn.
    PullCall {
        /// The call.
        call: CallId,
        /// The agent.
        agent: String,
        /// Who asked, for the record.
        by: String,
    },
    /// A chooser's answer.
    ChooseAgents {
        /// The call.
        call: CallId,
        /// Of the ask that is answered.
        ask: u64,
        /// Best first; empty leaves it to the fallback.
        agents: Vec<String>,
    },
    /// What a supervisor changes of a waiting call.
    ChangeCall {
        /// The call.
        call: CallId,
        /// Its class; 0 leaves it.
        priority: u32,
        /// Added.
        boost_seconds: u32,
        /// Queue; empty leaves it.
        move_to: String,
        /// Who asked, for the record.
        by: String,
    },
    /// Blind transfer of the agent's call.
    TransferCall {
        /// The call.
        call: CallId,
        /// Who transfers.
        agent: String,
        /// To whom.
        target: Target,
    },
    /// The caller hears music, the target is called.
    ConsultCall {
        /// The call.
        call: CallId,
        /// Who consults.
        agent: String,
        /// Whom; not a queue.
        target: Target,
    },
    /// What an agent does with the present call.
    ControlCall {
        /// The call.
        call: CallId,
        /// Who.
        agent: String,
        /// What.
        control: CallControl,
    },
    /// A waiting caller goes, the place stays.
    RequestCallback {
        /// The call.
        call: CallId,
        /// Where to call; empty is the caller's own number.
        number: String,
    },
    /// The callback is not wanted any more.
    CancelCallback {
        /// The call.
        call: CallId,
        /// Who asked, for the record.
        by: String,
    },
    /// Makes what is due happen.
    AdvanceClock,
    /// A leader begins, or its clock leapt: since the last entry nobody could tell an order or hear an answer, so offers get that
    /// time again.
    TakeLead,
}

/// What an agent does with a call in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallControl {
    /// The caller hears music.
    Hold,
    /// Back from hold.
    Resume,
    /// The consulted target takes the caller, the agent is free.
    Complete,
    /// Talk to the other one.
    Swap,
    /// All three talk.
    Conference,
    /// The target goes, back to the caller.
    TakeBack,
    /// The agent leaves a conference, the others stay.
    Leave,
}

/// Why a leg ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndCause {
    /// Not said.
    #[default]
    Unspecified,
    /// BYE from the far end.
    Hangup,
    /// The caller gave up before an answer.
    Cancelled,
    /// 486, 600.
    Busy,
    /// 603 and every other final refusal.
    Rejected,
    /// 408, 480 after ringing.
    NoAnswer,
    /// No provisional answer, transport error, 404, 410, 5xx.
    Unreachable,
    /// No common codec, or the far end's media died.
    Media,
    /// Gone because it was ordered gone.
    Ordered,
    /// The dialog broke.
    Failed,
    /// The gateway does not know the leg.
    Lost,
    /// 3xx: the far end names other places.
    Moved,
}

/// The command was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted;

/// The command was refused and changed nothing; the same on every replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The kind.
    pub code: RejectionCode,
    /// For people: ids and field names only.
    pub detail: String,
}

impl Rejection {
    pub(crate) fn new(code: RejectionCode, detail: impl Into<String>) -> Self {
        Rejection { code, detail: detail.into() }
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Rejection {}

/// Kinds of refusal, numbered as in `shard.proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum RejectionCode {
    /// No such call; it may have ended.
    UnknownCall = 1,
    /// The call has no such leg.
    UnknownLeg = 2,
    /// No such agent.
    UnknownAgent = 3,
    /// No such number. (An offered call to an unknown number is accepted and then refused with 404.)
    UnknownNumber = 4,
    /// No such gateway is attached.
    UnknownGateway = 5,
    /// Makes no sense in the present state.
    WrongState = 6,
    /// A limit by name.
    LimitReached = 7,
    /// An older version or incarnation, or a command already settled.
    Stale = 8,
    /// A field that no sender of ours fills this way.
    Invalid = 9,
}

impl RejectionCode {
    /// The code of a number in `shard.proto`.
    pub fn from_number(number: i32) -> Option<Self> {
        use RejectionCode::*;
        [UnknownCall, UnknownLeg, UnknownAgent, UnknownNumber, UnknownGateway, WrongState, LimitReached, Stale, Invalid]
            .into_iter()
            .find(|code| *code as i32 == number)
    }
}
