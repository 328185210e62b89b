//! Commands on their way into the log: which of them go together, and when. Who waits for them is not known here.

use std::collections::VecDeque;

use prost::Message as _;
use proto::v1::Logged;

use super::Limits;

/// Where in an entry a command may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It ends the entry before it: one entry has one time, and this command is about it.
    First,
    Any,
}

/// A command that is not proposed yet.
#[derive(Debug)]
struct Waiting {
    logged: Logged,
    bytes: usize,
    place: Place,
}

#[derive(Debug)]
pub(super) struct Batches {
    limits: Limits,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    in_flight: usize,
    proposed_us: u64,
    clock_due: bool,
}

impl Batches {
    pub(super) const fn new(limits: Limits) -> Self {
        Self { limits, waiting: VecDeque::new(), waiting_bytes: 0, in_flight: 0, proposed_us: 0, clock_due: false }
    }

    pub(super) fn push(&mut self, logged: Logged, place: Place) {
        let bytes = logged.encoded_len();
        self.waiting_bytes += bytes;
        self.waiting.push_back(Waiting { logged, bytes, place });
    }

    /// A deadline is due: an empty batch goes, if nothing else is there that moves the clock.
    pub(super) fn move_the_clock(&mut self) {
        self.clock_due |= self.waiting.is_empty() && self.in_flight == 0;
    }

    /// Whether something waits to be proposed.
    pub(super) fn is_busy(&self) -> bool {
        self.clock_due || !self.waiting.is_empty()
    }

    /// The commands of the next log entry, if one should be proposed at this time; none of them when only the clock moves.
    pub(super) fn take(&mut self, now_us: u64) -> Option<Vec<Logged>> {
        if self.in_flight >= self.limits.batches_in_flight_max {
            return None;
        }
        let clock_only = self.waiting.is_empty();
        if clock_only && !std::mem::take(&mut self.clock_due) {
            return None;
        }
        if !clock_only && self.next_wake().is_some_and(|at| at > now_us) {
            return None;
        }
        let taken = self.waiting.drain(..self.next_batch()).map(|waiting| waiting.logged).collect();
        self.waiting_bytes = self.waiting.iter().map(|waiting| waiting.bytes).sum();
        self.in_flight += 1;
        self.proposed_us = now_us;
        Some(taken)
    }

    /// How many of the waiting commands go into one entry: bounded in number and in bytes, but one at least.
    fn next_batch(&self) -> usize {
        let Some(first) = self.waiting.front() else { return 0 };
        let mut bytes = first.bytes;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.bytes;
            bytes <= self.limits.batch_bytes_max && waiting.place == Place::Any
        };
        1 + self.waiting.iter().take(self.limits.batch_commands_max).skip(1).take_while(fits).count()
    }

    /// When the waiting commands should go, if there are any and a place is free for them.
    pub(super) fn next_wake(&self) -> Option<u64> {
        if self.waiting.is_empty() || self.in_flight >= self.limits.batches_in_flight_max {
            return None;
        }
        let full =
            self.waiting.len() >= self.limits.batch_commands_max || self.waiting_bytes >= self.limits.batch_bytes_max;
        // The first command after a pause goes at once; the next ones within the window go together.
        Some(if full { 0 } else { self.proposed_us.saturating_add(self.limits.batch_window_us) })
    }

    /// A batch was applied or refused. One of an earlier leader counts for nobody here.
    pub(super) fn one_is_over(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}
