//! What came, counted, so that it is known to come. Nothing in the seeded world depends on it.

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) crashes: u64,
    pub(crate) wipes: u64,
    pub(crate) elections: u64,
    pub(crate) snapshots: u64,
    pub(crate) pauses: u64,
    pub(crate) changes: u64,
    pub(crate) messages: u64,
    pub(crate) between: BetweenSlices,
    pub(crate) asleep: Asleep,
}

/// What came between two slices of a snapshot.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct BetweenSlices {
    pub(crate) applied: u64,
    pub(crate) crashes: u64,
    pub(crate) elections: u64,
    /// The replica was itself given a snapshot.
    pub(crate) restored: u64,
    /// Snapshots made for followers that asked while it was under way.
    pub(crate) offered: u64,
}

/// What came while a replica slept.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Asleep {
    pub(crate) sleeps: u64,
    pub(crate) crashes: u64,
    pub(crate) proposals: u64,
    pub(crate) reads: u64,
    pub(crate) silences: u64,
}
