//! Bugs put in on purpose, to see that each is caught. Where each one bites is a few lines at the place it names.

use crate::verdict::Invariant;

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// Store: says that a write is durable when it was only asked for.
    EarlyFlush,
    /// Store: every fifth flush is left out and said to be done.
    SkippedFlush,
    /// Node: accepts commands before they are committed.
    EarlyAnswer,
    /// Node: answers questions without asking the others whether it still leads.
    StaleRead,
    /// Machine: what is due never happens when nothing else does.
    ForgottenClock,
    /// Machine: remembers no command, so a retry is done again.
    ForgottenIds,
    /// Machine: an agent's break is accepted and not done.
    ForgottenBreak,
    /// Machine: a lost gateway stays.
    ForgottenLease,
    /// Machine: one replica takes its own idea of the time.
    OwnClock,
    /// Machine: who restores a snapshot takes the first agent for absent.
    WrongRestore,
    /// Machine: whoever is withdrawn is joined instead of sent away.
    JoinedLoser,
    /// Machine: the record of a call is written twice.
    DoubleRecord,
    /// Machine: wrap-up is over at once.
    ForgottenWrapUp,
    /// Machine: a ring is ordered for somebody else as well.
    DoubleRing,
    /// Gateway: a repeated INVITE becomes another call.
    DoubleInvite,
    /// Gateway: a caller's hang-up is not reported.
    ForgottenHangUp,
    /// Gateway: every seventh message of orders is dropped.
    LostOrders,
    /// Gateway: what has no outcome when a stream breaks is forgotten.
    LostCommands,
    /// Gateway: one that wakes up late hangs up what others have by then.
    LateWord,
    /// Machine: what a former gateway says is believed.
    ForgottenTenure,
    /// Machine: a new leader gives nobody the time that was lost.
    ForgottenTakeLead,
    /// Machine: a sealed tenant goes on.
    LeakySeal,
    /// Machine: a last piece that comes again has the tenant begin again.
    DoublePiece,
    /// Mover: what is copied is of the time before the seal.
    EarlyCopy,
    /// Mover: drops the tenant where it was before it has arrived.
    EarlyDrop,
    /// Mover and directory: a move that has arrived fails all the same when it takes long.
    DoubleLife,
    /// Node: the leader of a sleeping shard answers without waking it.
    SleepyRead,
    /// Node: time that the clock leapt over is put into the log as if it had passed.
    LeapInLog,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::LateWord,
        Self::ForgottenTenure,
        Self::EarlyFlush,
        Self::SkippedFlush,
        Self::EarlyAnswer,
        Self::StaleRead,
        Self::ForgottenClock,
        Self::ForgottenIds,
        Self::ForgottenBreak,
        Self::ForgottenLease,
        Self::OwnClock,
        Self::WrongRestore,
        Self::JoinedLoser,
        Self::DoubleRecord,
        Self::ForgottenWrapUp,
        Self::DoubleRing,
        Self::DoubleInvite,
        Self::ForgottenHangUp,
        Self::LostOrders,
        Self::LostCommands,
        Self::ForgottenTakeLead,
        Self::LeakySeal,
        Self::DoublePiece,
        Self::EarlyCopy,
        Self::EarlyDrop,
        Self::DoubleLife,
        Self::SleepyRead,
        Self::LeapInLog,
    ];

    /// The invariant that it is there for, where it may break others first.
    #[must_use]
    pub const fn breaks(self) -> Option<Invariant> {
        match self {
            Self::JoinedLoser => Some(Invariant::OneAgent),
            Self::LateWord | Self::ForgottenTenure => Some(Invariant::TakeOver),
            Self::LeakySeal | Self::DoubleLife => Some(Invariant::Home),
            _ => None,
        }
    }

    /// By its name in `Debug`, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutant| format!("{mutant:?}").eq_ignore_ascii_case(name))
    }
}
