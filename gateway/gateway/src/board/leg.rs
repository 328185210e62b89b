//! One leg as its board remembers it: small, for tens of thousands wait at once.

use std::sync::Arc;

use proto::v1;

use super::outward::Outward;
use crate::{
    telemetry::{
        metrics::LegPhase,
        trace::{CallTrace, Parent},
    },
    trunks::Slot,
};

/// Of the gateway that a call came to.
const FIRST_TENURE: u32 = 1;

/// What the shard knows of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing: it was never asked, or has refused.
    Unknown,
    /// It was asked and has not answered.
    Asked,
    /// It holds the leg.
    Known,
}

/// What ought to be true of a leg, once it can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Alert,
    Ring,
    Listen(Arc<str>, Option<Arc<Saying>>),
    /// Answered, and hears nothing.
    Quiet,
    Join(u32),
    /// Answered and in one conference with these others.
    Meet(Box<[u32]>),
    Gone {
        status: u16,
        reason: Box<str>,
    },
}

/// Something said once over the music.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Saying {
    pub(super) number: u32,
    pub(super) parts: Vec<String>,
}

/// What the media plane has been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hears {
    Nothing,
    Prompt(Arc<str>),
    Leg(u32),
    /// A conference.
    Legs(Box<[u32]>),
}

/// One leg.
pub(super) struct Leg {
    pub(super) shard: u32,
    /// Tells two legs of the same name apart: an answer that is about the earlier one must not touch the later.
    pub(super) birth: u32,
    /// The epoch of its shard in which an order, or the acceptance, was last heard.
    pub(super) seen: u32,
    pub(super) revision: u64,
    /// Which of its call's gateways this is, counted from 1: the shard listens to the present one only.
    pub(super) tenure: u32,
    pub(super) phase: LegPhase,
    pub(super) standing: Standing,
    pub(super) answered: bool,
    /// The far end has put us on hold, and the shard was told so.
    pub(super) held: bool,
    /// Its phone has asked for a transfer that is not concluded.
    pub(super) referring: bool,
    /// It has ended, and the shard has taken note.
    pub(super) buried: bool,
    pub(super) want: Option<Want>,
    pub(super) hears: Hears,
    pub(super) port: Option<u16>,
    /// Why it ends, when the board knows better than SIP.
    pub(super) cause: Option<v1::EndCause>,
    /// Where the far end says that it can be reached instead.
    #[expect(clippy::box_collection, reason = "a leg is small, and this is rare")]
    pub(super) moved_to: Option<Box<Vec<String>>>,
    /// The ways by which it may yet leave, while it rings outside.
    pub(super) outward: Option<Box<Outward>>,
    /// Its place on a trunk.
    pub(super) slot: Option<Slot>,
    /// The root span of the call, with the caller's leg.
    pub(super) trace: Option<Box<CallTrace>>,
    /// Under which span the commands of an agent's leg go.
    pub(super) ordered_by: Option<Box<Parent>>,
}

impl Leg {
    pub(super) fn new(shard: u32, birth: u32, seen: u32, standing: Standing, phase: LegPhase) -> Self {
        Self {
            shard,
            birth,
            seen,
            revision: 0,
            tenure: FIRST_TENURE,
            phase,
            standing,
            answered: false,
            held: false,
            referring: false,
            buried: false,
            want: None,
            hears: Hears::Nothing,
            port: None,
            cause: None,
            moved_to: None,
            outward: None,
            slot: None,
            trace: None,
            ordered_by: None,
        }
    }

    /// Whether it exists outside.
    pub(super) fn stands(&self) -> bool {
        self.phase != LegPhase::Ended
    }

    pub(super) fn parent(&self) -> Option<Parent> {
        self.trace.as_ref().map(|trace| trace.parent()).or_else(|| self.ordered_by.as_deref().cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_is_small_for_tens_of_thousands_wait() {
        assert!(size_of::<Leg>() <= 160, "{} bytes", size_of::<Leg>());
    }
}
