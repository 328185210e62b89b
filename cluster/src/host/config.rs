//! What a host is told, counts and answers: limits, counters, refusals. No behaviour.

/// The limits and clocks of a host. Times are in ticks of the caller, 20 ms each by design.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// This node's number, from 1.
    pub node: u64,
    /// Which of the node's hosts this is, from 0,
    pub host: u32,
    /// and how many it has: a shard is on number `shard modulo hosts`.
    pub hosts: u32,
    /// A leader that was not heard of for this long is gone.
    pub election_ticks: usize,
    /// How much later each further voter asks for votes, so that they do not ask together.
    pub election_spread_ticks: usize,
    /// A leader speaks at least this often, and a host beats.
    pub heartbeat_ticks: usize,
    /// A shard that has had nothing to do for so long may sleep.
    pub sleep_after_ticks: u64,
    /// The leader of a sleeping shard looks after its members this often.
    pub look_ticks: u64,
    /// Sleeping shards that a silent node wakes in one tick, so that not all ask for votes at once.
    pub wakes_per_tick_max: usize,
    /// Proposals of one group that are not committed yet.
    pub proposals_in_flight_max: u64,
    /// Their bytes.
    pub uncommitted_bytes_max: u64,
    /// Bytes of entries in one message to a follower.
    pub append_bytes_max: u64,
    /// Such messages on the way to one follower.
    pub appends_in_flight_max: usize,
    /// Bytes of entries applied before the loop looks at anything else.
    pub apply_bytes_max: u64,
    /// Reads of one group that are not answered yet.
    pub reads_open_max: usize,
    /// A snapshot is taken after this many entries,
    pub snapshot_entries: u64,
    /// or this many bytes of them.
    pub snapshot_bytes: usize,
    /// Entries kept behind a snapshot for slow followers, as long as they are fewer bytes than `snapshot_bytes`.
    pub entries_kept: u64,
    /// A leader keeps this many bytes of entries for followers that catch up after a snapshot.
    pub catch_up_bytes_max: usize,
    /// A larger snapshot goes to the disk in pieces of so many bytes, one per tick, so that no flush waits for all of it.
    pub snapshot_part_bytes: usize,
}

impl HostConfig {
    /// The house's settings.
    pub fn new(node: u64) -> Self {
        Self {
            node,
            host: 0,
            hosts: 1,
            election_ticks: 15,
            election_spread_ticks: 2,
            heartbeat_ticks: 3,
            sleep_after_ticks: 50,
            look_ticks: 48,
            wakes_per_tick_max: 64,
            proposals_in_flight_max: 8192,
            uncommitted_bytes_max: 32 << 20,
            append_bytes_max: 512 << 10,
            appends_in_flight_max: 128,
            apply_bytes_max: 4 << 20,
            reads_open_max: 8192,
            snapshot_entries: 50_000,
            snapshot_bytes: 32 << 20,
            entries_kept: 5_000,
            catch_up_bytes_max: 128 << 20,
            snapshot_part_bytes: 512 << 10,
        }
    }
}

/// What has happened so far, for metrics.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct HostCounters {
    /// Proposals taken.
    pub proposals: u64,
    /// Proposals refused because of a limit or a hand-over.
    pub proposals_refused: u64,
    /// Proposals taken and lost with the leadership within one burst.
    pub proposals_lost: u64,
    /// Entries given to machines.
    pub applied: u64,
    /// Reads asked for.
    pub reads: u64,
    /// Messages from peers.
    pub messages_in: u64,
    /// Messages to peers.
    pub messages_out: u64,
    /// Messages that no honest peer sends, or for shards that are not here.
    pub garbage: u64,
    /// Snapshots taken to shorten the log.
    pub snapshots_taken: u64,
    /// Slices of work on snapshots: of the machine, and pieces written.
    pub snapshot_slices: u64,
    /// Snapshots made for followers.
    pub snapshots_offered: u64,
    /// Snapshots received and restored.
    pub snapshots_restored: u64,
    /// Snapshots not sent because they exceed [`crate::SNAPSHOT_BYTES_MAX`].
    pub snapshots_too_large: u64,
    /// Times that a shard fell asleep here,
    pub sleeps: u64,
    /// and was woken by the silence of another node.
    pub wakes_by_silence: u64,
    /// Beats sent, one for each neighbour.
    pub beats: u64,
    /// Batches given to the log writer.
    pub batches: u64,
}

/// Why a proposal or read was not taken. Nothing has happened then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another replica leads, or none.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as known.
        hint: Option<u64>,
    },
    /// A limit is reached or leadership is being handed over; ask again soon.
    #[error("busy")]
    Busy,
    /// No replica of the shard is here.
    #[error("no such shard here")]
    UnknownShard,
    /// A change of members that would leave the group without voters, or this leader without a vote.
    #[error("this change of members cannot be")]
    Senseless,
}

/// A step of membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// The node gets the log and does not vote.
    Learn(u64),
    /// The node votes.
    Vote(u64),
    /// The node is out.
    Leave(u64),
}
