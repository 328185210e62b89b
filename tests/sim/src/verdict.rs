//! What must always hold, by number and name, and what a run says when something did not.

use crate::scenario::Us;

/// What must always hold. The first eleven are those of the architecture, section 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// A call with a final answer from us ends in exactly one terminal record.
    OneRecord = 1,
    /// Never two agents joined to one call.
    OneAgent = 2,
    /// Never more calls on an agent than their capacity.
    Capacity = 3,
    /// Equals are served in the order of joining; a position never grows without a cause.
    Order = 4,
    /// No agent stays reserved, ringing or in wrap-up past the deadline, whatever died.
    Deadlines = 5,
    /// A paused or logged-out agent is not rung after that command was acknowledged.
    Breaks = 6,
    /// An acknowledged command survives.
    Acknowledged = 7,
    /// A call can be controlled and ended through any gateway.
    Control = 8,
    /// A retransmission gets the same answer and makes no second leg.
    Retransmission = 9,
    /// Replicas with equal applied index have equal hashes.
    Replicas = 10,
    /// A minority side refuses; it never guesses.
    Minority = 11,
    /// The shard's own audit finds nothing.
    Audit = 12,
    /// Every decision is the one that the reference model takes.
    Reference = 13,
    /// When everything is whole again, every caller is served or concluded and nothing is left behind.
    Healing = 14,
    /// Every fault that was asked for has happened: otherwise the run has shown nothing.
    Asked = 15,
    /// Nothing of ours panics.
    Panic = 16,
    /// A gateway that is lost, emptied or late costs no call.
    TakeOver = 17,
    /// A tenant lives on one shard, and is there what it was where it was sealed.
    Home = 18,
    /// An answer has seen everything that was applied before it was asked for.
    Reads = 19,
    /// Whoever rings is given the time that a clock or a process leapt over.
    Time = 20,
}

impl Invariant {
    /// Its sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::OneRecord => "a call with a final answer from us ends in exactly one terminal record",
            Self::OneAgent => "never two agents joined to one call",
            Self::Capacity => "never more calls on an agent than their capacity",
            Self::Order => "equals are served in the order of joining; a position never grows without a cause",
            Self::Deadlines => "no agent stays reserved, ringing or in wrap-up past the deadline, whatever died",
            Self::Breaks => "a paused or logged-out agent is not rung after that command was acknowledged",
            Self::Acknowledged => "an acknowledged command survives any minority of crashes and a power cut of all",
            Self::Control => "an established call can be controlled and ended through any gateway",
            Self::Retransmission => "a retransmission gets the same answer and makes no second leg",
            Self::Replicas => "replicas with equal applied index have equal state hashes",
            Self::Minority => "a minority side refuses; it never guesses",
            Self::Audit => "the shard's own audit finds nothing",
            Self::Reference => "every decision is the one that the reference model takes",
            Self::Healing => "when all is whole again, every caller is served or concluded and nothing is left behind",
            Self::Asked => "every fault that was asked for has happened",
            Self::Panic => "nothing of ours panics",
            Self::TakeOver => "a gateway that is lost, emptied or late costs no call",
            Self::Home => "a tenant lives on one shard, and is there what it was where it was sealed",
            Self::Reads => "an answer has seen everything that was applied before it was asked for",
            Self::Time => "whoever rings is given the time that a clock or a process leapt over",
        }
    }
}

/// Something did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What.
    pub invariant: Invariant,
    /// When.
    pub at_us: Us,
    /// What was seen.
    pub what: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.at_us as f64 / 1e6;
        let number = self.invariant as u8;
        write!(f, "at {seconds:.3} s: invariant {number} ({}): {}", self.invariant.sentence(), self.what)
    }
}

/// A check without the time, which its caller knows.
pub(crate) type Check = Result<(), (Invariant, String)>;

/// Fails a check with an invariant and a text unless the condition holds.
macro_rules! hold {
    ($holds:expr, $invariant:ident, $($what:tt)*) => {
        if !$holds {
            return Err(($crate::verdict::Invariant::$invariant, format!($($what)*)));
        }
    };
}
pub(crate) use hold;
