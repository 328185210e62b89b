//! Agreement about bytes: Raft groups, their log, snapshots, transport and the outbox of records.
//!
//! Knows no call. [`Host`] is the whole of consensus without IO, clock, thread or dice; [`LogWriter`] makes its
//! writes durable, [`peers`] carries its messages, and the caller moves data between the three.

mod admit;
mod disk;
mod drained;
mod group;
mod guard;
mod host;
mod identity;
mod log;
mod memory;
mod outbox;
pub mod peers;
pub mod placement;
mod reads;
mod recover;
mod snapshots;
mod store;
mod vault;
mod writer;

pub use disk::{DiskConfig, DiskStore};
pub use drained::{Applied, Drained, Established, Failure, ReadReady, Restored, RoleChange};
pub use group::{GroupStatus, PeerProgress, Role};
pub use guard::is_disk_panic;
pub use host::{Host, HostConfig, HostCounters, Membership, ProposeError};
pub use identity::{Disk, Identity};
pub use memory::MemoryStore;
pub use outbox::{Entry, Outbox, OutboxLimits, RecordKey, Tagged};
pub use proto::v1::PeerMessage;
pub use recover::{RecoveredShard, recover};
pub use snapshots::SNAPSHOT_BYTES_MAX;
pub use store::{FOUNDED, Persisted, Recovered, Store, StoreError, WriteBatch};
pub use writer::{LogHandle, LogWriter, WriterCounters, WriterStopped};

/// A replicated state machine: the only thing that this package knows about what is inside the bytes.
///
/// Replicas that applied the same entries must be in the same state; so no clock, no dice, no IO in here.
pub trait Machine {
    /// What applying one entry gives back, for the caller to carry out.
    type Output;
    /// Applies a committed entry. Called once per index, in order; after a restart again from the last snapshot on.
    fn apply(&mut self, index: u64, data: &[u8]) -> Self::Output;
    /// Begins to save the state as it is now; one that was under way is forgotten. The first slice is asked for before
    /// anything else is applied, later ones are not.
    fn begin_save(&mut self);
    /// Does some milliseconds' work of the save that has begun. `None` while there is more to do; then the whole state
    /// as it was at [`Machine::begin_save`], as bytes that [`Machine::restore`] reads, of this and of later releases.
    fn save_slice(&mut self) -> Option<Vec<u8>>;
    /// Replaces the whole state, and forgets a save that is under way. Empty bytes are never given.
    ///
    /// # Errors
    /// When the bytes cannot be read; the replica then stops, for guessing would split the group.
    fn restore(&mut self, data: &[u8]) -> Result<(), RestoreError>;
}

/// A snapshot that the machine cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the machine cannot read the snapshot: {0}")]
pub struct RestoreError(pub String);
