//! What a host wants done: the one value that comes out of it. No behaviour.

use crate::store::WriteBatch;
use crate::{PeerMessage, RestoreError};

/// Everything to be done after a burst of inputs.
#[derive(Debug)]
pub struct Drained<O> {
    /// To the log writer. Must not be lost or reordered.
    pub write: Option<WriteBatch>,
    /// To the peers, at once; what has to wait for the disk is held back inside. May be lost.
    pub messages: Vec<(u64, PeerMessage)>,
    /// Committed, durable here, and applied.
    pub applied: Vec<Applied<O>>,
    /// Reads that may be answered from the machine as it stands.
    pub reads: Vec<ReadReady>,
    /// Reads that will never be answered: leadership was lost.
    pub failed_reads: Vec<ReadReady>,
    /// Changes of term, leader or role, in order.
    pub roles: Vec<RoleChange>,
    /// Leaders whose machine holds all that was ever acknowledged.
    pub established: Vec<Established>,
    /// Machines replaced by a leader's snapshot: views of them are stale.
    pub restored: Vec<Restored>,
    /// Replicas that stopped; the node should end with a clear message.
    pub failures: Vec<Failure>,
}

impl<O> Drained<O> {
    pub(crate) fn new() -> Self {
        Self {
            write: None,
            messages: Vec::new(),
            applied: Vec::new(),
            reads: Vec::new(),
            failed_reads: Vec::new(),
            roles: Vec::new(),
            established: Vec::new(),
            restored: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.write.is_none()
            && self.messages.is_empty()
            && self.applied.is_empty()
            && self.reads.is_empty()
            && self.failed_reads.is_empty()
            && self.roles.is_empty()
            && self.established.is_empty()
            && self.restored.is_empty()
            && self.failures.is_empty()
    }
}

/// An entry that is committed and in the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied<O> {
    /// The shard.
    pub shard: u32,
    /// Its place in the log.
    pub index: u64,
    /// The term of the leader that proposed it.
    pub term: u64,
    /// What the machine said.
    pub output: O,
}

/// A read, by the token it was asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadReady {
    /// The shard.
    pub shard: u32,
    /// The asker's token.
    pub token: u64,
}

/// Term, leader or role of a replica have changed. Proposals of an earlier term that are not applied yet have an
/// unknown outcome once this says that another term began or that this replica does not lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleChange {
    /// The shard.
    pub shard: u32,
    /// The term.
    pub term: u64,
    /// The leader, when known.
    pub leader: Option<u64>,
    /// Whether this replica leads.
    pub is_leader: bool,
}

/// A leader has applied its own first entry, and so everything that was acknowledged before its term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Established {
    /// The shard.
    pub shard: u32,
    /// The leader's term.
    pub term: u64,
    /// Applied so far.
    pub applied: u64,
}

/// A machine was replaced by a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// The shard.
    pub shard: u32,
    /// The index of the snapshot.
    pub index: u64,
}

/// A replica that cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("shard {shard} stopped: {error}")]
pub struct Failure {
    /// The shard.
    pub shard: u32,
    /// Why.
    #[source]
    pub error: RestoreError,
}
