//! An agent's row.

use std::collections::VecDeque;

use super::{Class, LegWant, Rank, Rung, Standing};
use crate::counts::Counts;
use crate::document::{ForwardWhen, Target};
use crate::table::{CallKey, QueueKey};
use crate::{Name, Timestamp};

/// What the agent has said, whatever calls are in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    LoggedOut,
    NotReady { reason: Name, until: Option<Timestamp> },
    Ready,
    WrapUp { until: Timestamp },
}

/// What an agent is after the present calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AfterCall {
    Ready,
    NotReady { reason: Name },
    LoggedOut,
}

/// What an agent does with a call in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Ringing, or kept for a callback that is being made.
    Reserved,
    Talking,
    Held,
    Consulting,
}

/// A call in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) call: CallKey,
    pub(crate) stage: Stage,
}

/// What others see of an agent. Numbers index times by state and are in snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    LoggedOut,
    NotReady,
    Ready,
    Reserved,
    Talking,
    Held,
    Consulting,
    WrapUp,
}

impl State {
    pub(crate) const COUNT: usize = 9; // one more is kept for what is to come
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::LoggedOut => "logged-out",
            State::NotReady => "not-ready",
            State::Ready => "ready",
            State::Reserved => "reserved",
            State::Talking => "talking",
            State::Held => "held",
            State::Consulting => "consulting",
            State::WrapUp => "wrap-up",
        }
    }
}

/// A registered contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) uri: Name,
    pub(crate) gateway: String,
    pub(crate) expires: Timestamp,
    /// Path (RFC 3327) that an INVITE must take.
    pub(crate) path: Option<Name>,
    /// Reachable only over the connection that its gateway holds.
    pub(crate) flow: bool,
}

/// A membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) queue: QueueKey,
    pub(crate) tier: u8,
    pub(crate) weight: u8,
    /// In the queue's list of members: by tier, then weight, then name.
    pub(crate) order: u32,
    /// What a newcomer of this shift is counted as having done already: (calls, talk time).
    pub(crate) entry: (u32, u64),
}

/// A forwarding rule with its targets and the milliseconds each rings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forward {
    pub(crate) when: ForwardWhen,
    pub(crate) after_ms: u64,
    pub(crate) targets: Vec<(Target, u64)>,
    pub(crate) group: bool,
}

/// What documents say about an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentPolicy {
    /// Static contact, may be empty.
    pub(crate) contact: Name,
    pub(crate) wrap_up_seconds: u32,
    pub(crate) capacity: u8,
    /// Rising by skill.
    pub(crate) skills: Vec<(u16, u8)>,
    pub(crate) ring_all_contacts: bool,
    pub(crate) number: String,
    pub(crate) forwards: Vec<Forward>,
}

impl AgentPolicy {
    /// Of an agent whom no document names.
    pub(crate) fn nobody() -> Self {
        AgentPolicy {
            contact: "".into(),
            wrap_up_seconds: 0,
            capacity: 1,
            skills: Vec::new(),
            ring_all_contacts: false,
            number: String::new(),
            forwards: Vec::new(),
        }
    }
}

/// What counts for strategies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The window began.
    pub(crate) from: Timestamp,
    pub(crate) calls: u32,
    pub(crate) talk_ms: u64,
    /// Talk, hold, consult and wrap-up.
    pub(crate) busy_ms: u64,
}

/// Where a ready agent is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) queue: QueueKey,
    pub(crate) pool: u16,
    pub(crate) standing: Standing,
}

#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) name: Name,
    pub(crate) policy: AgentPolicy,
    pub(crate) members: Vec<Member>,
    /// No document names the agent; the row stays until the present call has ended, without memberships.
    pub(crate) removed: bool,
    pub(crate) presence: Presence,
    /// Means something only while there is work.
    pub(crate) after: AfterCall,
    /// Calls in hand, the oldest first.
    pub(crate) work: Vec<Work>,
    /// Derived from presence and work.
    pub(crate) state: State,
    /// When `state` began.
    pub(crate) since: Timestamp,
    /// Times by state are counted up to here.
    pub(crate) counted: Timestamp,
    /// Means something while presence is ready.
    pub(crate) rank: Rank,
    pub(crate) last_call_end: Timestamp,
    /// RONAs in a row.
    pub(crate) rona: u32,
    /// Newest first.
    pub(crate) contacts: Vec<Contact>,
    pub(crate) answered: u64,
    pub(crate) shift: Tally,
    pub(crate) day: Tally,
    /// (ended, talk milliseconds) of calls, oldest first; kept only if a queue of the agent's counts by minutes.
    pub(crate) recent: VecDeque<(Timestamp, u64)>,
    /// Since the log-in.
    pub(crate) state_ms: [u64; State::COUNT],
    pub(crate) counts: Box<Counts>,
    /// Of the talk before this wrap-up: its queue and how long it bound the agent.
    pub(crate) closing: Option<(QueueKey, u64)>,
    /// In which pools the agent is; empty unless ready and not matched.
    pub(crate) seats: Vec<Seat>,
    /// Demands that the agent's skills meet, a bit each.
    pub(crate) able: Vec<u64>,
    /// Queues in which calls wait for this agent alone.
    pub(crate) own: Vec<QueueKey>,
    /// An alarm that is set.
    pub(crate) alarm: Option<Timestamp>,
    pub(crate) contacts_alarm: Option<Timestamp>,
}

impl Agent {
    /// What to ring: registered contacts, else the static one.
    pub(crate) fn reach(&self) -> impl Iterator<Item = LegWant> {
        let most = if self.policy.ring_all_contacts { usize::MAX } else { 1 };
        let fixed = (self.contacts.is_empty() && !self.policy.contact.is_empty()).then_some(&self.policy.contact);
        let known = self.contacts.iter().map(|contact| (&contact.uri, contact.path.clone()));
        let all = known.chain(fixed.map(|contact| (contact, None))).take(most);
        all.map(|(contact, path)| LegWant::Ring(Rung { contact: contact.clone(), path, replaces: None }))
    }

    /// Whether the phone can still be rung.
    pub(crate) fn has_contact(&self, uri: &str) -> bool {
        *self.policy.contact == *uri || self.contacts.iter().any(|contact| *contact.uri == *uri)
    }

    pub(crate) fn reachable(&self) -> bool {
        !self.contacts.is_empty() || !self.policy.contact.is_empty()
    }

    /// May be offered a call.
    pub(crate) fn available(&self) -> bool {
        self.presence == Presence::Ready
            && self.after == AfterCall::Ready
            && self.work.len() < usize::from(self.policy.capacity)
            && self.work.iter().all(|work| work.stage != Stage::Reserved)
            && self.reachable()
            && !self.removed
    }

    pub(crate) fn derived_state(&self) -> State {
        // Ringing shows before talking, the newest call before an older one.
        if self.work.iter().any(|work| work.stage == Stage::Reserved) {
            return State::Reserved;
        }
        match self.work.last().map(|work| work.stage) {
            Some(Stage::Talking) => State::Talking,
            Some(Stage::Held) => State::Held,
            Some(Stage::Consulting) => State::Consulting,
            Some(Stage::Reserved) => State::Reserved,
            None => match self.presence {
                Presence::LoggedOut => State::LoggedOut,
                Presence::NotReady { .. } => State::NotReady,
                Presence::Ready => State::Ready,
                Presence::WrapUp { .. } => State::WrapUp,
            },
        }
    }

    pub(crate) fn class(&self) -> Class {
        match self.state {
            _ if self.available() => Class::Ready,
            State::LoggedOut => Class::LoggedOut,
            State::NotReady => Class::NotReady,
            State::Ready => Class::Unreachable,
            State::Reserved => Class::Reserved,
            State::Talking | State::Held | State::Consulting => Class::Talking,
            State::WrapUp => Class::WrapUp,
        }
    }

    pub(crate) fn is_able(&self, demand: u32) -> bool {
        self.able.get(demand as usize / 64).is_some_and(|word| word & (1 << (demand % 64)) != 0)
    }

    pub(crate) fn member(&self, queue: QueueKey) -> Option<&Member> {
        self.members.iter().find(|member| member.queue == queue)
    }

    /// When the state ends by itself.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        match self.presence {
            Presence::NotReady { until, .. } => until,
            Presence::WrapUp { until } => Some(until),
            Presence::LoggedOut | Presence::Ready => None,
        }
    }

    /// When the first contact expires.
    pub(crate) fn contacts_deadline(&self) -> Option<Timestamp> {
        self.contacts.iter().map(|contact| contact.expires).min()
    }

    /// Milliseconds since the log-in by state, up to `now`.
    pub(crate) fn times(&self, now: Timestamp) -> [u64; State::COUNT] {
        let mut times = self.state_ms;
        times[self.state as usize] += now - self.counted;
        times
    }
}
