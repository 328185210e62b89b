//! A call's row, with its legs, and the gateways'.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Place;
use crate::document::Target;
use crate::output::{CallPart, CallRecord};
use crate::table::{AgentKey, CallKey, GatewayKey, QueueKey};
use crate::{CallId, Name, Timestamp};

/// A call that asks for one agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) agent: AgentKey,
    /// Then anyone.
    pub(crate) until: Option<Timestamp>,
    pub(crate) wish: Wish,
}

/// Why one agent is asked for. Numbers are in snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Wish {
    Sticky = 1,
    Direct = 2,
    Pull = 3,
}

impl Wish {
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Wish::Sticky => "sticky",
            Wish::Direct => "direct",
            Wish::Pull => "pull",
        }
    }
}

/// How a call stands in line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InLine {
    /// Whose rules hold.
    pub(crate) queue: QueueKey,
    /// Whose members may take it too.
    pub(crate) more: Vec<QueueKey>,
    pub(crate) place: Place,
    pub(crate) joined: Timestamp,
    pub(crate) boost_ms: u64,
    pub(crate) demand: u32,
    /// Opened by time or a step.
    pub(crate) tier: u8,
    pub(crate) wanted: Option<Wanted>,
    /// Who is not to get it.
    pub(crate) shuns: Option<AgentKey>,
    /// The overflow step that is next, and when it is looked at.
    pub(crate) step: u16,
    pub(crate) step_at: Option<Timestamp>,
    pub(crate) tier_at: Option<Timestamp>,
    /// When each announcement is due.
    pub(crate) announce_at: Box<[Option<Timestamp>]>,
    /// When the caller is let go.
    pub(crate) wait_until: Option<Timestamp>,
    /// The number to call when its turn comes; the caller is not on the phone.
    pub(crate) callback: Option<Box<CallbackWish>>,
}

impl InLine {
    /// Not to this agent, who has just sent the call on, however used the caller is to them.
    pub(crate) fn shun(&mut self, agent: Option<AgentKey>) {
        self.shuns = agent;
        self.wanted = self.wanted.filter(|wanted| Some(wanted.agent) != agent);
    }
}

/// A caller who is to be called back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallbackWish {
    pub(crate) number: String,
    /// Made so far.
    pub(crate) attempts: u32,
    /// Not before.
    pub(crate) rest_until: Option<Timestamp>,
    pub(crate) expires: Timestamp,
}

/// An agent's phone that rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ringing {
    pub(crate) agent: AgentKey,
    pub(crate) leg: u32,
}

/// A call is offered to one or several agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) ringing: Vec<Ringing>,
    pub(crate) since: Timestamp,
    /// When this step, or the whole offer, is over.
    pub(crate) until: Timestamp,
    /// Progressive: the step that rings, from 0.
    pub(crate) step: u16,
    /// Progressive, replaced: who rang before.
    pub(crate) tried: Vec<AgentKey>,
    /// The queue whose members ring, and whose rules hold for the offer.
    pub(crate) queue: QueueKey,
    /// Several ring: nobody is blamed for not answering.
    pub(crate) many: bool,
}

/// Who talks to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    Agent(AgentKey),
    /// Over a trunk or a SIP address.
    Outside(Name),
}

/// A second conversation beside the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Aside {
    pub(crate) party: Party,
    pub(crate) legs: Vec<u32>,
    pub(crate) stage: AsideStage,
    pub(crate) since: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AsideStage {
    /// The target is being called.
    Ringing { until: Timestamp },
    /// The agent talks to the target, the caller hears music.
    Target,
    /// The agent talks to the caller, the target hears music.
    Caller,
    /// All three talk.
    Conference,
}

/// The caller talks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Talk {
    pub(crate) party: Party,
    pub(crate) leg: u32,
    pub(crate) since: Timestamp,
    /// On hold since.
    pub(crate) held: Option<Timestamp>,
    pub(crate) hold_ms: u64,
    pub(crate) ring_ms: u64,
    /// A blind transfer or forward brought it here.
    pub(crate) aside: Option<Box<Aside>>,
    /// Digits of a star code so far.
    pub(crate) code: String,
}

/// Why a call is moved to a target. Numbers are in snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum MoveKind {
    Blind = 1,
    Forward = 2,
    Overflow = 3,
}

impl MoveKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            MoveKind::Blind => "blind",
            MoveKind::Forward => "forward",
            MoveKind::Overflow => "overflow",
        }
    }
}

/// A call on its way to a target outside its queue: the targets ring, the caller hears music.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) kind: MoveKind,
    /// Who transferred, and gets it back when it fails.
    pub(crate) back: Option<AgentKey>,
    /// (party, leg) that ring now.
    pub(crate) ringing: Vec<(Party, u32)>,
    pub(crate) until: Timestamp,
    pub(crate) since: Timestamp,
    /// Tried after these, with the milliseconds each rings.
    pub(crate) next: Vec<(Target, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallState {
    Waiting,
    /// A chooser is asked; then the fallback decides.
    Asking {
        ask: u64,
        until: Timestamp,
    },
    Offered(Box<Offer>),
    /// Its turn has come: the agent is kept, the caller is called back.
    Calling {
        agent: AgentKey,
        leg: u32,
        queue: QueueKey,
        until: Timestamp,
    },
    Moving(Box<Move>),
    Talking(Box<Talk>),
    /// Says a last prompt, then goes.
    Leaving {
        until: Timestamp,
    },
    /// Only its gone legs are left.
    Ended {
        record: Arc<CallRecord>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    /// All legs of a call live on one gateway. Of a homeless call, the one that was lost.
    pub(crate) gateway: GatewayKey,
    /// Counts the gateways that held it, from 1: what a former one says of its legs is stale.
    pub(crate) tenure: u32,
    /// Since when its gateway is lost and no other one is there. What is due waits meanwhile.
    pub(crate) homeless: Option<Timestamp>,
    pub(crate) number: Name,
    pub(crate) caller: Name,
    pub(crate) caller_name: Name,
    pub(crate) trace: Option<Name>,
    pub(crate) offered: Timestamp,
    /// How often it was offered to an agent.
    pub(crate) offers: u32,
    pub(crate) legs_made: u32,
    /// The number of the caller's leg: the first, or the one by which the caller was called back.
    pub(crate) caller_leg: u32,
    /// Rising by number.
    pub(crate) legs: Vec<Leg>,
    pub(crate) state: CallState,
    /// Where it stands, or stood before it talked; `None` when it never joined a queue.
    pub(crate) line: Option<Box<InLine>>,
    /// Who has talked.
    pub(crate) parts: Vec<CallPart>,
    /// Forwards and transfers so far.
    pub(crate) hops: u8,
    /// Who was called before, for the phones that ring next.
    pub(crate) history: Vec<String>,
    /// Waited in lines before the present one.
    pub(crate) waited_ms: u64,
    /// The last announcement: number and parts.
    pub(crate) said: (u32, Vec<String>),
    pub(crate) called_back: bool,
    /// An alarm that is set.
    pub(crate) alarm: Option<Timestamp>,
}

impl Call {
    pub(crate) fn leg(&self, number: u32) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.number == number)
    }

    pub(crate) fn leg_mut(&mut self, number: u32) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.number == number)
    }

    pub(crate) fn caller_leg(&self) -> Option<&Leg> {
        self.leg(self.caller_leg)
    }

    /// The place in line of a call that is in line.
    pub(crate) fn in_line(&self) -> Option<&InLine> {
        match self.state {
            CallState::Waiting | CallState::Asking { .. } | CallState::Offered(_) | CallState::Calling { .. } => {
                self.line.as_deref()
            }
            CallState::Moving(_) | CallState::Talking(_) | CallState::Leaving { .. } | CallState::Ended { .. } => None,
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.state, CallState::Ended { .. })
    }
}

/// The leg by which a caller comes in.
pub(crate) const CALLER: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) number: u32,
    /// The agent's name or who is dialled; `None` is the caller.
    pub(crate) party: Option<Name>,
    pub(crate) answered: bool,
    pub(crate) want: LegWant,
    pub(crate) revision: u64,
    /// The dialog as a gateway needs it to continue, or the caller's INVITE to answer it; this is where it lives. Opaque.
    pub(crate) passport: Box<[u8]>,
    /// Where the gateway listened that had it, until the present one has confirmed it.
    pub(crate) former: Option<Name>,
    /// The INVITE that was out when it was ordered gone, so that another gateway can take it back.
    pub(crate) rang: Option<Box<LegWant>>,
}

impl Leg {
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.want, LegWant::Gone { .. })
    }

    /// An INVITE of ours is out for it.
    pub(crate) fn rings(&self) -> bool {
        matches!(self.want, LegWant::Ring(_) | LegWant::Dial { .. })
    }

    /// Another gateway can go on with it as it is.
    pub(crate) fn is_settled(&self) -> bool {
        self.answered && !self.passport.is_empty() && self.former.is_none() && !self.is_gone()
    }
}

/// An agent's phone, and how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rung {
    pub(crate) contact: Name,
    /// Path (RFC 3327).
    pub(crate) path: Option<Name>,
    /// For Replaces (RFC 3891).
    pub(crate) replaces: Option<Name>,
}

/// What is wanted of a leg; the words of an order are filled in from the rows when it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LegWant {
    Alert,
    Ring(Rung),
    Dial {
        target: Name,
        /// For Replaces (RFC 3891).
        replaces: Option<Name>,
    },
    Listen,
    Quiet,
    Join {
        leg: u32,
    },
    Meet {
        legs: Box<[u32]>,
    },
    /// `status` goes before the one of the release, when it is not 0.
    Gone {
        release: Release,
        status: u16,
    },
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
    AnsweredElsewhere = 11,
    Closed = 12,
    Overflow = 13,
    Transferred = 14,
    CalledBack = 15,
    NotTaken = 16,
}

impl Release {
    pub(crate) const ALL: [Release; 16] = [
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
        Release::AnsweredElsewhere,
        Release::Closed,
        Release::Overflow,
        Release::Transferred,
        Release::CalledBack,
        Release::NotTaken,
    ];

    /// Final status for an INVITE that is not answered yet (RFC 3261 section 21).
    pub(crate) fn sip_status(self) -> u32 {
        match self {
            Release::UnknownNumber => 404,
            Release::QueueFull => 486,
            Release::WaitLimit
            | Release::QueueRemoved
            | Release::Cleared
            | Release::OtherSideEnded
            | Release::Closed
            | Release::Overflow
            | Release::Transferred
            | Release::NotTaken => 480,
            Release::NoAnswer
            | Release::Withdrawn
            | Release::CallerLeft
            | Release::AnsweredElsewhere
            | Release::CalledBack => 487,
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
            Release::AnsweredElsewhere => "answered elsewhere",
            Release::Closed => "out of hours",
            Release::Overflow => "let go by rule",
            Release::Transferred => "transferred",
            Release::CalledBack => "will be called back",
            Release::NotTaken => "nobody took the call",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub(crate) id: Name,
    pub(crate) incarnation: u64,
    /// The life before this one, so that its last words are known as old.
    pub(crate) former: u64,
    pub(crate) sip: String,
    pub(crate) up: bool,
    /// It is to be emptied: gets no call of another one, and gives away its own.
    pub(crate) draining: bool,
    /// When `up` last changed or this life began.
    pub(crate) since: Timestamp,
    pub(crate) calls: BTreeSet<CallKey>,
}
