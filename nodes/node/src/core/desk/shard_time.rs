//! The time that a leader writes into a tenant's log. It goes on from where the log is, at the pace of the node's clock, and
//! leaps ahead only where the desk lets it: with a `TakeLead`, which gives all who ring the time that is leapt over. It is
//! never told what the time is for.

use crate::clock::SLEW;

/// Unix microseconds, as the tenant is to believe them.
#[derive(Debug, Default)]
pub(super) struct ShardTime {
    /// How far it is ahead of the node's clock; negative while it is held back.
    ahead_us: i64,
    /// What the node's clock showed when this was last read.
    read_us: u64,
    /// How much was let go last: consensus may refuse the entry that tells it.
    let_go_us: i64,
}

impl ShardTime {
    /// A leader begins: time goes on from `log_us`, the time of the last entry; 0 is before the first one.
    pub(super) fn begin(&mut self, now_us: u64, log_us: u64) {
        let ahead_us = if log_us == 0 { 0 } else { signed(log_us).saturating_sub(signed(now_us)) };
        *self = Self { ahead_us, read_us: now_us, let_go_us: 0 };
    }

    /// What goes into an entry, when the node's clock shows `now_us`. Ahead of that it goes on a little slower, until the two
    /// agree: if it stood still, nothing would be due for as long as an earlier leader's clock was wrong.
    pub(super) fn read(&mut self, now_us: u64) -> u64 {
        let passed_us = now_us.saturating_sub(self.read_us);
        self.read_us = self.read_us.max(now_us);
        if self.ahead_us > 0 {
            self.ahead_us = (self.ahead_us - signed(passed_us / SLEW)).max(0);
        }
        now_us.saturating_add_signed(self.ahead_us)
    }

    /// The node's clock leapt ahead, or nobody read it for so long. Says whether there is now something to be let go.
    pub(super) fn hold(&mut self, leapt_us: u64) -> bool {
        self.read_us = self.read_us.saturating_add(leapt_us);
        self.ahead_us = self.ahead_us.saturating_sub(signed(leapt_us));
        self.ahead_us < 0
    }

    /// From here on it is the time of the node's clock, if it was held back.
    pub(super) fn let_go(&mut self) {
        self.let_go_us = self.ahead_us.min(0);
        self.ahead_us = self.ahead_us.max(0);
    }

    /// The entry that tells what was let go is not in the log.
    pub(super) fn take_back(&mut self) {
        self.ahead_us = self.ahead_us.saturating_add(std::mem::take(&mut self.let_go_us));
    }
}

fn signed(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(now_us: u64, log_us: u64) -> ShardTime {
        let mut time = ShardTime::default();
        time.begin(now_us, log_us);
        time
    }

    #[test]
    fn the_time_without_a_leader_is_held_back_until_it_is_told() {
        let mut time = begun(9_000_000, 2_000_000);
        assert_eq!(time.read(9_500_000), 2_500_000);
        time.let_go();
        assert_eq!(time.read(9_600_000), 9_600_000);
        time.take_back();
        assert_eq!(time.read(9_700_000), 2_700_000, "refused: it is still to be told");
        time.let_go();
        assert_eq!(time.read(9_800_000), 9_800_000);
    }

    #[test]
    fn an_earlier_leader_that_was_ahead_does_not_stop_the_time() {
        let mut time = begun(1_000_000, 3_000_000);
        let mut now_us = 1_000_000;
        let mut last = 3_000_000;
        for _ in 0..100 {
            now_us += 100_000;
            let read = time.read(now_us);
            assert_eq!(read, last + 90_000);
            last = read;
        }
        assert_eq!(time.read(now_us + 12_000_000), now_us + 12_000_000, "and once they agree it is the node's");
    }

    #[test]
    fn a_leap_is_held_back_as_far_as_it_is_past_the_log() {
        let mut time = begun(1_000_000, 6_000_000);
        assert!(!time.hold(3_000_000), "five seconds ahead, the log knows of it");
        assert_eq!(time.read(4_000_000), 6_000_000);
        assert!(time.hold(10_000_000));
        assert_eq!(time.read(14_000_000), 6_000_000);
        time.let_go();
        assert_eq!(time.read(14_000_000), 14_000_000);
    }
}
