//! A queue's row.

use std::collections::BTreeMap;

use super::Place;
use crate::counts::Counts;
use crate::line::Line;
use crate::policy::QueuePolicy;
use crate::table::{AgentKey, CallKey};
use crate::{Name, Timestamp};

/// What a member is to a queue that looks for an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Ready,
    Unreachable,
    NotReady,
    LoggedOut,
    Reserved,
    Talking,
    WrapUp,
}

impl Class {
    pub(crate) const COUNT: usize = 7;
    /// Those who cannot take a call, with the reason in a decision record.
    pub(crate) const EXCLUDED: [(Class, &'static str); 6] = [
        (Class::Unreachable, "unreachable"),
        (Class::NotReady, "not-ready"),
        (Class::LoggedOut, "logged-out"),
        (Class::Reserved, "reserved"),
        (Class::Talking, "talking"),
        (Class::WrapUp, "wrap-up"),
    ];
}

/// Waiting calls that the same agents can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ClassKey {
    /// Who has these skills and is in a tier up to this, but for one.
    Open { demand: u32, tier: u8, shuns: Option<AgentKey> },
    /// One agent alone.
    Own(AgentKey),
}

/// How a ready agent stands in a pool: lower is offered first. What `key` is depends on the strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Standing {
    pub(crate) tier: u8,
    pub(crate) key: u64,
    /// Idle since.
    pub(crate) since: Timestamp,
    pub(crate) sequence: u64,
}

/// Ready members who meet a demand.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) demand: u32,
    /// Random: the throw of who was chosen last.
    pub(crate) luck: u64,
    pub(crate) ready: BTreeMap<Standing, AgentKey>,
}

/// Sums since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueTotals {
    pub(crate) offered: u64,
    pub(crate) answered: u64,
    pub(crate) abandoned: u64,
    pub(crate) wait_ms: u64,
    pub(crate) talk_ms: u64,
}

pub(crate) const TIERS: usize = 10;

#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) name: Name,
    pub(crate) policy: Box<QueuePolicy>,
    /// No document names it; it stays until its last call has talked.
    pub(crate) removed: bool,
    /// Calls to be matched, by who can take them. None is empty.
    pub(crate) classes: BTreeMap<ClassKey, Line>,
    /// Calls in line for which something is under way: ringing, asking, calling back.
    pub(crate) offered: BTreeMap<Place, CallKey>,
    pub(crate) talking: u32,
    /// The first is that of the demand for nothing.
    pub(crate) pools: Vec<Pool>,
    /// Members in their order.
    pub(crate) members: Vec<AgentKey>,
    /// Members by tier and class.
    pub(crate) staff: [[u32; Class::COUNT]; TIERS],
    /// Round robin: who was offered last, in the order of members.
    pub(crate) cursor: Option<u32>,
    pub(crate) totals: QueueTotals,
    pub(crate) counts: Box<Counts>,
    /// Handled calls and the running mean of how long an agent is bound by one: for estimates.
    pub(crate) handled: u64,
    pub(crate) handle_ms: u64,
    /// Of those in line, who is not on the phone.
    pub(crate) callbacks: u32,
    /// By its schedule.
    pub(crate) open: bool,
    pub(crate) alarm: Option<Timestamp>,
}

impl Queue {
    /// Calls that wait to be matched.
    pub(crate) fn waiting(&self) -> usize {
        self.classes.values().map(Line::len).sum()
    }

    pub(crate) fn in_line(&self) -> usize {
        self.waiting() + self.offered.len()
    }

    /// How many in line stand before this place.
    pub(crate) fn before(&self, place: Place) -> usize {
        self.classes.values().map(|line| line.before(place)).sum::<usize>() + self.offered.range(..place).count()
    }

    /// Members of one class.
    pub(crate) fn count(&self, class: Class) -> u32 {
        self.staff.iter().map(|tier| tier[class as usize]).sum()
    }

    /// Members who are logged in, of one tier.
    pub(crate) fn logged_in(&self, tier: u8) -> u32 {
        let staff = &self.staff[usize::from(tier)];
        staff.iter().sum::<u32>() - staff[Class::LoggedOut as usize]
    }

    /// Up to which tier a call may go whose time has opened `tier`: the next one opens at once when this has nobody logged in.
    pub(crate) fn open_tier(&self, tier: u8) -> u8 {
        let mut open = tier;
        while usize::from(open) + 1 < TIERS && (self.policy.opens_with_previous(open + 1) || self.logged_in(open) == 0)
        {
            open += 1;
        }
        open
    }

    /// Everybody in line, in order.
    pub(crate) fn everybody(&self) -> Vec<(Place, CallKey)> {
        let mut all: Vec<_> = self.classes.values().flat_map(Line::iter).collect();
        all.extend(self.offered.iter().map(|(place, call)| (*place, *call)));
        all.sort_unstable();
        all
    }
}
