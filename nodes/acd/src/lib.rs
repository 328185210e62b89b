//! `acd`: one contact-centre shard as a pure replicated state machine; never does IO, reads a clock or draws a number.
//!
//! Commands go in through [`Shard::apply`], the only place where state changes. Orders (what ought to be true of each
//! leg) and records (what is written down) come out. Two replicas that applied the same entries are equal.
//!
//! # Who is served next: the one total order
//! 1. A waiting call has a *place*: (time it joined, join sequence of the shard). It keeps its place until it talks
//!    or ends, however often an offer fails. Queues do not count in this order, so it is total over the shard.
//! 2. A ready agent has a *rank*: (ready since, ready sequence of the shard). An offer that is withdrawn without the
//!    agent's doing gives the rank back.
//! 3. As long as some queue has a waiting call and a ready, reachable member: take the call with the lowest place among
//!    the heads of those queues, and give it to the member of its queue with the lowest rank (`longest-idle`).
//!
//! It follows that an agent in several queues takes the call that has waited longest over all of them.
//!
//! # One `apply`
//! Answer a retry from memory, or: advance shard time, expire what is due in deadline order, do the command, expire
//! what the command made due, distribute, collect the orders of the legs that changed, remember the reply.

mod agents;
mod alarms;
mod audit;
mod callbacks;
mod calls;
mod command;
mod configure;
mod consults;
mod counting;
pub mod counts;
mod deadlines;
mod demand;
mod dice;
mod distribute;
mod document;
mod estimate;
mod gateways;
mod hash;
mod legs;
pub mod limits;
mod line;
mod offers;
mod output;
mod policy;
mod pools;
mod queueing;
mod rows;
mod schedule;
mod senders;
mod shard;
mod snapshot;
mod steps;
mod sticky;
mod table;
mod talks;
mod transfers;
pub mod view;

#[cfg(test)]
mod tests;

pub use command::{Accepted, CallControl, Command, CommandId, EndCause, Entry, Rejection, RejectionCode};
pub use document::{
    Action, Agent, Announcement, AnnouncementKind, AnswerMode, Callback, Caller, Centre, Chooser, ClosingPolicy,
    Condition, DateHours, Document, ForwardRule, ForwardWhen, Forwarding, Hours, IdleSince, JoinRule, Membership,
    Number, OverflowStep, Presentation, ProgressiveMode, ProgressiveStep, Queue, RonaPolicy, Schedule, Season, Skill,
    SkillDemand, SkillLevel, Staff, StartState, Sticky, Strategy, Target, Tier, TimedRoute, Trunk, Window, Zone,
};
pub use estimate::Estimate;
pub use limits::Limits;
pub use output::{
    AgentRecord, Ask, CallOutcome, CallPart, CallRecord, Candidate, DecisionRecord, Dial, Exclusion, IntervalRecord,
    Order, Output, Record, RecordKind, Ring, Saying, TransferRecord, Want,
};
pub use shard::Shard;
pub use snapshot::RestoreError;

/// Unix milliseconds.
pub type Timestamp = u64;
/// A call, for ever; in text 16 lower-case hexadecimal digits.
pub type CallId = u64;
/// A name that many rows and records share.
pub type Name = std::sync::Arc<str>;
/// The latest rules this release knows.
pub const RULES: u32 = 2;
