//! `acd`: one contact-centre shard as a pure replicated state machine; never does IO, reads a clock or draws a number.
//!
//! Commands go in through [`Shard::apply`], the only place where state changes. Orders (what ought to be true of each
//! leg) and records (what is written down) come out. Two replicas that applied the same entries are equal.
//!
//! # Who is served next: the one total order
//! 1. A call in line has a *place*: (class, time joined less its boost, join sequence of the shard), the lesser
//!    first. It keeps its place until it talks or ends, however often an offer fails, and a later change of policy
//!    moves nobody. The boost counts in it divided by the queue's ageing, so that the place gives the order of
//!    *score* = time waited x ageing + boost.
//! 2. An agent with a hand free takes the first call that the agent may take by: waits for this agent alone (sticky,
//!    direct, returned), the weight of the queue for the agent, class, score, join sequence. This is total over all
//!    queues, for the sequence is the shard's.
//! 3. A ready agent whom no call waits for has a *standing* in each queue and for each demand: (tier, the strategy's
//!    key, idle since, ready sequence of the shard), the lesser first. A call that comes is given to the first
//!    standing whose tier is open to it; see `pools.rs` for the keys. Round robin goes on after the last one, all
//!    others begin at the first. An offer that is withdrawn without the agent's doing gives the idle time back.
//! 4. Of several agents that became available in one apply, the one that was ready first looks first; then the calls
//!    that became matchable, in the order of their places. A call that several queues' members may take asks its own
//!    queue first.
//!
//! Strategies that ring many (ring-all, progressive) or ask outside (external) take their agents in the order of the
//! queue's `order`. In words, with examples: `docs/distribution.md`.
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
mod drains;
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
mod refers;
mod rows;
mod schedule;
mod senders;
mod shard;
mod snapshot;
mod steps;
mod sticky;
mod table;
mod takeover;
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
    Order, Output, Record, RecordKind, Ring, Saying, Takeover, TransferRecord, Want,
};
pub use shard::Shard;
pub use snapshot::RestoreError;

/// Unix milliseconds.
pub type Timestamp = u64;
/// A call, for ever; in text 16 lower-case hexadecimal digits.
pub type CallId = u64;
/// A name that many rows and records share.
pub type Name = std::sync::Arc<str>;
/// The latest rules this release knows. 4 decides as 3 does, but for those who come to a queue
/// together (`configure.rs`) and for steps of a queue while nobody leads (`deadlines.rs`); a cluster of rules 4 may write what
/// earlier releases cannot read.
pub const RULES: u32 = 4;
/// The latest rules that the release before this one knows: a new shard begins with them, and has later ones from the
/// directory when every node can follow them.
pub const RULES_BEFORE: u32 = 3;
