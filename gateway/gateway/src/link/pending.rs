//! Commands of one link from the asking to the outcome: ids, order, resending, batching. Pure: no stream, no clock.

use std::collections::{BTreeMap, VecDeque};

use proto::v1::{self, outcome::Result as Answer};

use super::{Ask, Urgency, Verdict};
use crate::telemetry::trace::Submitting;

/// Up to this many unanswered commands leave one by one; above it they wait for each other.
const IDLE_COMMANDS_MAX: usize = 1;
/// The longest that a busy link holds a command back, to send several as one message.
const HOLD_MS_MAX: u64 = 5;
/// The longest that a lazy command waits for an urgent one to ride along with.
const LAZY_MS_MAX: u64 = 50;
/// Commands in one message.
const BATCH_MAX: usize = 512;
/// How often a command is sent anew after the shard did not know this gateway.
const REATTACH_MAX: u8 = 3;

/// All commands of one sender that have no final outcome.
pub(super) struct Pending {
    shard: u32,
    sender: u64,
    next_number: u64,
    unsettled: BTreeMap<u64, Entry>,
    /// Numbers to send, in the order of asking.
    unsent: VecDeque<u64>,
    /// Refused because the shard did not know this gateway; sent anew under another id when it does.
    parked: Vec<Entry>,
    urgent_since_ms: Option<u64>,
    lazy_since_ms: Option<u64>,
}

struct Entry {
    ask: Ask,
    submitting: Option<Submitting>,
    reattached: u8,
}

/// What one outcome means for the link.
#[derive(Debug)]
pub(super) enum Settled {
    /// Final: tell who asked.
    Final(Box<Ask>, Verdict),
    /// The same command goes out again, with the same id.
    Again,
    /// The session is over; ask there.
    NotLeader(v1::NotLeader),
    /// The shard does not know this gateway: attach again, then call `reattached`.
    Unattached,
    /// No such command; an old answer.
    Unknown,
}

impl Pending {
    pub(super) fn new(shard: u32, sender: u64) -> Self {
        Self {
            shard,
            sender,
            next_number: 1,
            unsettled: BTreeMap::new(),
            unsent: VecDeque::new(),
            parked: Vec::new(),
            urgent_since_ms: None,
            lazy_since_ms: None,
        }
    }

    pub(super) fn ask(&mut self, now_ms: u64, ask: Ask) {
        self.enqueue(now_ms, Entry { ask, submitting: None, reattached: 0 });
    }

    fn enqueue(&mut self, now_ms: u64, entry: Entry) {
        let since = match entry.ask.urgency {
            Urgency::Urgent => &mut self.urgent_since_ms,
            Urgency::Lazy => &mut self.lazy_since_ms,
        };
        since.get_or_insert(now_ms);
        self.unsettled.insert(self.next_number, entry);
        self.unsent.push_back(self.next_number);
        self.next_number += 1;
    }

    /// When the next batch ought to leave: at once when that is not after `now_ms`; never when there is nothing.
    pub(super) fn due_ms(&self, now_ms: u64) -> Option<u64> {
        let unanswered = self.unsettled.len() - self.unsent.len();
        let urgent = self.urgent_since_ms.map(|since| match unanswered {
            0..=IDLE_COMMANDS_MAX => now_ms.min(since),
            _ => since + HOLD_MS_MAX,
        });
        let lazy = self.lazy_since_ms.map(|since| since + LAZY_MS_MAX);
        if self.unsent.len() >= BATCH_MAX {
            return Some(now_ms);
        }
        urgent.into_iter().chain(lazy).min()
    }

    /// The next message, in the order of asking; `None` when nothing is unsent.
    pub(super) fn batch(&mut self, now_ms: u64) -> Option<v1::SubmitRequest> {
        let settled_below = self.settled_below();
        let mut submissions = Vec::with_capacity(self.unsent.len().min(BATCH_MAX));
        while submissions.len() < BATCH_MAX {
            let Some(number) = self.unsent.pop_front() else { break };
            let Some(entry) = self.unsettled.get_mut(&number) else { continue };
            if entry.submitting.is_none() {
                entry.submitting = entry.ask.trace.as_ref().map(|trace| trace.submitting(&entry.ask.command));
            }
            submissions.push(v1::Submission {
                shard: self.shard,
                id: Some(v1::CommandId { sender: self.sender, number }),
                settled_below,
                command: Some(entry.ask.command.clone()),
                trace: entry.submitting.as_ref().map(|span| v1::TraceContext { traceparent: span.traceparent() }),
            });
        }
        (self.urgent_since_ms, self.lazy_since_ms) =
            if self.unsent.is_empty() { (None, None) } else { (Some(now_ms), None) };
        (!submissions.is_empty()).then_some(v1::SubmitRequest { submissions })
    }

    fn settled_below(&self) -> u64 {
        self.unsettled.keys().next().copied().unwrap_or(self.next_number)
    }

    pub(super) fn settle(&mut self, now_ms: u64, outcome: v1::Outcome) -> Settled {
        let number = match outcome.id {
            Some(id) if id.sender == self.sender => id.number,
            _ => return Settled::Unknown,
        };
        let Some(answer) = outcome.result else { return Settled::Unknown };
        match answer {
            Answer::NotLeader(not_leader) => Settled::NotLeader(not_leader),
            Answer::Unavailable(_) => self.send_again(now_ms, number),
            Answer::Accepted(_) => self.finish(number, Verdict::Accepted),
            Answer::Rejection(rejection) if rejection.code() == v1::RejectionCode::UnknownGateway => self.park(number),
            Answer::Rejection(rejection) => self.finish(number, Verdict::Rejected(rejection.code())),
        }
    }

    fn send_again(&mut self, now_ms: u64, number: u64) -> Settled {
        if !self.unsettled.contains_key(&number) {
            return Settled::Unknown;
        }
        if !self.unsent.contains(&number) {
            self.unsent.push_front(number);
        }
        // Held back as if it were one of many, so that an unavailable shard is not asked in a tight loop.
        self.lazy_since_ms.get_or_insert(now_ms);
        Settled::Again
    }

    fn finish(&mut self, number: u64, verdict: Verdict) -> Settled {
        let Some(entry) = self.unsettled.remove(&number) else { return Settled::Unknown };
        if let Some(submitting) = entry.submitting {
            submitting.end(&verdict);
        }
        Settled::Final(Box::new(entry.ask), verdict)
    }

    fn park(&mut self, number: u64) -> Settled {
        let verdict = Verdict::Rejected(v1::RejectionCode::UnknownGateway);
        match self.unsettled.get(&number) {
            None => Settled::Unknown,
            Some(entry) if entry.reattached >= REATTACH_MAX => self.finish(number, verdict),
            Some(_) => {
                let parked =
                    self.unsettled.remove(&number).map(|entry| Entry { reattached: entry.reattached + 1, ..entry });
                self.parked.extend(parked);
                Settled::Unattached
            }
        }
    }

    /// The shard knows this gateway (again): what it refused for that goes out under other ids, for the first
    /// answer to an id is its answer for ever.
    pub(super) fn reattached(&mut self, now_ms: u64) {
        for entry in std::mem::take(&mut self.parked) {
            self.enqueue(now_ms, entry);
        }
    }

    /// A session has begun: everything without an outcome goes out again, same ids, same order.
    pub(super) fn resend_all(&mut self, now_ms: u64) {
        self.unsent = self.unsettled.keys().copied().collect();
        self.lazy_since_ms = None;
        self.urgent_since_ms = (!self.unsent.is_empty()).then_some(now_ms.saturating_sub(HOLD_MS_MAX));
    }
}

#[cfg(test)]
mod tests;
