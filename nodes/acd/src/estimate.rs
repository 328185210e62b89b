//! How long a caller will probably wait: an interval, or nothing rather than a lie.

use crate::limits::ESTIMATE_CALLS_MIN;
use crate::rows::Class;
use crate::shard::Shard;
use crate::table::QueueKey;

/// Where the wait probably ends, from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// At least, in milliseconds.
    pub low_ms: u64,
    /// At most, in milliseconds.
    pub high_ms: u64,
}

impl Shard {
    /// For a call with so many before it in the queue's line. `None` is unknown: too few calls were handled yet, or nobody is
    /// there to take it.
    ///
    /// Agents become free at the rate of (agents at work) / (mean time a call binds one). An agent who owes calls to other
    /// queues too counts for this one in proportion to who waits there. The calls that have to be freed for the caller's turn
    /// come as a Poisson stream: the interval is twice its standard deviation wide on each side.
    pub(crate) fn estimate(&self, key: QueueKey, before: usize) -> Option<Estimate> {
        let queue = &self.queues[key];
        if queue.handled < ESTIMATE_CALLS_MIN || queue.handle_ms == 0 {
            return None;
        }
        let staff = [Class::Ready, Class::Reserved, Class::Talking, Class::WrapUp];
        let at_work: u64 = staff.iter().map(|class| u64::from(queue.count(*class))).sum();
        if at_work == 0 {
            return None;
        }
        if before == 0 && queue.count(Class::Ready) > 0 {
            return Some(Estimate { low_ms: 0, high_ms: queue.policy.ring_ms() });
        }
        // What agents owe elsewhere: looked at over a few members only, so that a question about a large queue stays cheap.
        let own = queue.in_line() as u64 + 1;
        let sample = queue.members.len().min(16);
        let (mut mine, mut all) = (0_u64, 0_u64);
        for agent in queue.members.iter().take(sample) {
            mine += own;
            let others = self.agents[*agent].members.iter().filter(|member| member.queue != key);
            all += own + others.take(16).map(|member| self.queues[member.queue].in_line() as u64).sum::<u64>();
        }
        let turns = before as u64 + 1;
        // Milliseconds between two frees, for this queue.
        let gap = queue.handle_ms.saturating_mul(all.max(1)) / at_work.saturating_mul(mine.max(1)).max(1);
        let spread = 2 * turns.isqrt();
        Some(Estimate {
            low_ms: gap.saturating_mul(turns.saturating_sub(spread)),
            high_ms: gap.saturating_mul(turns + spread).max(1_000),
        })
    }
}
