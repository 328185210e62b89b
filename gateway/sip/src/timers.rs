//! The timers of a lane: a heap with lazy deletion. Each owner remembers when it wants to be woken; what pops at
//! another time is stale and ignored. Never scans.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::types::{LegId, Millis};

/// What a leg may wait for; the index of its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LegTimer {
    /// Nobody decided about an INVITE; or nobody answered ours.
    Setup = 0,
    /// 180 again, so that proxies on the way keep waiting.
    Alert = 1,
    /// 2xx again, until ACK.
    Ok = 2,
    /// Session refresh is due.
    Refresh = 3,
    /// The session has expired.
    Expiry = 4,
    /// Our re-INVITE met 491.
    Retry = 5,
    /// Nobody decided about a REFER.
    Refer = 6,
}

pub(crate) const LEG_TIMERS: usize = 7;

/// Who is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    Server(u64),
    Client(u64),
    Leg(LegId, LegTimer),
    Register(u64),
    Binding(u64),
}

/// All timers of a lane.
#[derive(Debug, Default)]
pub(crate) struct TimerHeap(BinaryHeap<Reverse<(Millis, Due)>>);

impl TimerHeap {
    pub(crate) fn arm(&mut self, at: Millis, due: Due) {
        self.0.push(Reverse((at, due)));
    }

    pub(crate) fn next(&self) -> Option<Millis> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    pub(crate) fn pop(&mut self, now: Millis) -> Option<(Millis, Due)> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse(entry)| entry)
    }
}
