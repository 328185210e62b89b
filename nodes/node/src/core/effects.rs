//! What the core wants done outside: by an actor in production, by a simulator in tests. It carries out nothing itself.

use std::collections::BTreeMap;

use cluster::{PeerMessage, WriteBatch};
use proto::v1::{Ask, Outcome, Record, Rejection, WatchReply};

/// Names one Submit stream, for as long as it is open.
pub type ClientKey = u64;
/// Names one Watch stream.
pub type WatcherKey = u64;
/// Names one question that waits for a read index.
pub type AskToken = u64;

/// What the shell has to do after a burst of inputs, each list in order.
#[derive(Debug, Default)]
pub struct Effects {
    /// To the log writer.
    pub write: Option<WriteBatch>,
    /// To peers.
    pub messages: Vec<(u64, PeerMessage)>,
    /// To Submit streams.
    pub outcomes: BTreeMap<ClientKey, Vec<Outcome>>,
    /// To Watch streams.
    pub watch: Vec<(WatcherKey, WatchReply)>,
    /// Watch streams to close after the above.
    pub unwatch: Vec<WatcherKey>,
    /// Questions that may be answered from the machine now.
    pub answerable: Vec<(u32, AskToken)>,
    /// Questions that this node must not answer.
    pub unanswerable: Vec<(u32, AskToken)>,
    /// To be written down: shard, log index, records.
    pub records: Vec<(u32, u64, Vec<Record>)>,
    /// Shards whose machine was replaced by a leader's snapshot, and its index: this node has no records of the entries
    /// that it took in.
    pub restored: Vec<(u32, u64)>,
    /// Questions to choosers, of tenants on shards that this node leads.
    pub asks: Vec<(u32, Ask)>,
    /// Directory entries of this node that are decided: id and result.
    pub decided: Vec<(u64, Result<(), Rejection>)>,
    /// Shard 0 has changed.
    pub directory_changed: bool,
    /// Shards whose leadership this node has gained.
    pub gained: Vec<u32>,
    /// Shard and tenant of entries about where a tenant lives.
    pub tenancies: Vec<(u32, u32)>,
    /// Spans of traced commands.
    pub spans: Vec<SpanFact>,
    /// Commands applied by this replica, for metrics.
    pub commands_applied: u64,
    /// Shards that this node follows: what is on its way as their leader is of no use.
    pub followed: Vec<u32>,
    /// There is more to do at once.
    pub again: bool,
}

/// A piece of a call's trace, told after the fact. Times are Unix microseconds; the core has no clock, so the shell
/// moves the end of `apply` to when the burst was over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanFact {
    /// What happened: `commit` or `apply`.
    pub name: &'static str,
    /// W3C parent.
    pub traceparent: String,
    /// Tenant.
    pub shard: u32,
    /// When it began.
    pub from_us: u64,
    /// When it was over.
    pub to_us: u64,
}
