//! The rows of a shard: queues, agents, calls, legs, gateways; never a transition between their states.

mod agent;
mod call;
mod queue;

pub(crate) use agent::{
    AfterCall, Agent, AgentPolicy, Contact, Forward, Member, Presence, Seat, Stage, State, Tally, Work,
};
pub(crate) use call::{
    Aside, AsideStage, CALLER, Call, CallState, CallbackWish, Gateway, InLine, Leg, LegWant, Move, MoveKind, Offer,
    Party, Release, Ringing, Rung, Talk, Wanted, Wish,
};
pub(crate) use queue::{Class, ClassKey, Pool, Queue, QueueTotals, Standing, TIERS};

use crate::Timestamp;

/// A caller's place: lower is served first within a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Class, 1 first.
    pub(crate) priority: u8,
    /// When the call would have joined to have its score by waiting alone: the time it joined, less its boost. Kept, so that a
    /// later change of policy moves nobody.
    pub(crate) effective: i64,
    /// Joined as so many-th.
    pub(crate) sequence: u64,
}

/// A ready agent's rank: lower is offered first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) since: Timestamp,
    pub(crate) sequence: u64,
}
