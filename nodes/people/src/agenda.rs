//! What people have in mind to do, by time; never whether it still makes sense then.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Timestamp;

/// Something in mind. What became senseless meanwhile is found so when its time comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// The next call of a line.
    Arrive { line: u32 },
    /// One who was not served rings again.
    Redial { slot: u32 },
    /// A caller's patience ends, if this wait still lasts.
    GiveUp { call: u64, wait: u32 },
    /// A caller presses a key, if still in the first wait.
    Press { call: u64, press: u32 },
    /// Picks up or refuses.
    Pick { call: u64, leg: u32, pick: Pick },
    /// The middle of a talk: hold, resume, consult, decide.
    Turn { call: u64, talk: u32 },
    /// The end of a talk.
    Talked { call: u64, talk: u32 },
    /// Nobody to talk about is left on the line.
    Tire { call: u64, leg: u32, change: u32 },
    /// Comes to work.
    Come { worker: u32, shift: u32 },
    /// Takes a break.
    Break { worker: u32, shift: u32, pause: u32 },
    /// Comes back from one.
    Back { worker: u32 },
    /// Asks for calls again.
    Return { worker: u32 },
    /// Goes home.
    Leave { worker: u32, shift: u32 },
    /// Was thrown out and logs in again.
    Again { worker: u32 },
}

/// What is done with a ringing phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pick {
    Up,
    Busy,
    Reject,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    sequence: u64,
}

impl Agenda {
    pub(crate) fn put(&mut self, at: Timestamp, event: Event) {
        self.sequence += 1;
        self.heap.push(Reverse((at, self.sequence, event)));
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// The first that is due; those of one moment in the order they were put.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<Event> {
        self.next().filter(|at| *at <= now)?;
        self.heap.pop().map(|Reverse((_, _, event))| event)
    }
}
