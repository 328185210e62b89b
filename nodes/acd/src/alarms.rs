//! When the next row wants to be looked at; never what is then done.
//!
//! A heap with lazy removal: a row that changes its mind leaves a stale alarm behind, which is skipped because the row
//! no longer names that time. Setting one costs a push; a set that removes would cost a search.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Timestamp;
use crate::table::{AgentKey, CallKey, QueueKey};

/// Whose alarm it is. The order of the variants breaks ties of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    /// The counting interval ends.
    Interval,
    /// The agent's state ends: wrap-up over, delay over; or a figure of a window changes.
    Agent(AgentKey),
    /// The agent's first contact expires.
    Contacts(AgentKey),
    /// Something about a call: no answer, a step, an announcement, enough waited.
    Call(CallKey),
    /// The queue opens or closes, or a condition is to be looked at.
    Queue(QueueKey),
    /// See whether the sender has been idle.
    Sender(u64),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Alarms {
    heap: BinaryHeap<Reverse<(Timestamp, Alarm)>>,
}

impl Alarms {
    pub(crate) fn set(&mut self, at: Timestamp, alarm: Alarm) {
        self.heap.push(Reverse((at, alarm)));
    }

    pub(crate) fn first(&self) -> Option<(Timestamp, Alarm)> {
        self.heap.peek().map(|Reverse(first)| *first)
    }

    pub(crate) fn pop(&mut self) {
        self.heap.pop();
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Drops what no longer holds.
    pub(crate) fn retain(&mut self, holds: impl FnMut(&Reverse<(Timestamp, Alarm)>) -> bool) {
        self.heap.retain(holds);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Timestamp, Alarm)> + '_ {
        self.heap.iter().map(|Reverse(alarm)| *alarm)
    }
}
