//! Whether an address lives, as far as anybody can tell: by OPTIONS, and by what became of calls. Pure.

/// Failures in a row after which an address counts as down.
const FAILURES_MAX: u8 = 2;
/// How often one that is down is asked, when it is not asked more often anyway.
const DOWN_OPTIONS_MS: u64 = 10_000;
/// No far end may put itself out of use for longer.
const RETRY_AFTER_SECONDS_MAX: u32 = 300;
/// A question without an answer, whatever became of it, is asked again.
const LOST_MS: u64 = 40_000;

/// What is known of one address.
#[derive(Clone, Debug)]
pub(super) struct Health {
    failures: u8,
    down: bool,
    /// It asked to be left alone until then.
    rests_until_ms: u64,
    next_ms: u64,
    pub(super) options_ms: u64,
}

impl Health {
    /// Lives until somebody says otherwise; asked at once.
    pub(super) fn new(now_ms: u64, options_ms: u64) -> Self {
        Self { failures: 0, down: false, rests_until_ms: 0, next_ms: now_ms, options_ms }
    }

    pub(super) fn is_up(&self, now_ms: u64) -> bool {
        !self.down && self.rests_until_ms <= now_ms
    }

    /// Whether it is to be asked; then it counts as asked.
    pub(super) fn ask(&mut self, now_ms: u64) -> bool {
        let due = self.next_ms <= now_ms;
        if due {
            self.next_ms = now_ms.saturating_add(LOST_MS.max(self.options_ms));
        }
        due
    }

    pub(super) fn next_ms(&self) -> u64 {
        self.next_ms
    }

    /// An answer to OPTIONS: 0 when nothing came.
    pub(super) fn answered(&mut self, now_ms: u64, status: u16, retry_after_seconds: u32) {
        if is_failure(status) {
            self.failed(now_ms, status, retry_after_seconds);
            let period_ms = if self.down { self.options_ms.min(DOWN_OPTIONS_MS) } else { self.options_ms };
            self.next_ms = self.rests_until_ms.max(now_ms.saturating_add(period_ms));
        } else {
            self.lives();
            self.next_ms = now_ms.saturating_add(self.options_ms);
        }
    }

    /// It said something that only one who lives says.
    pub(super) fn lives(&mut self) {
        self.failures = 0;
        self.down = false;
        self.rests_until_ms = 0;
    }

    /// A call failed by it: it is asked at once.
    pub(super) fn suspected(&mut self, now_ms: u64, status: u16, retry_after_seconds: u32) {
        self.failed(now_ms, status, retry_after_seconds);
        self.next_ms = self.next_ms.min(now_ms).max(self.rests_until_ms);
    }

    fn failed(&mut self, now_ms: u64, status: u16, retry_after_seconds: u32) {
        self.failures = self.failures.saturating_add(1);
        self.down |= self.failures >= FAILURES_MAX;
        // RFC 3261 21.5.4: no more requests for so long.
        if status == 503 && retry_after_seconds > 0 {
            let rest_ms = u64::from(retry_after_seconds.min(RETRY_AFTER_SECONDS_MAX)) * 1_000;
            self.rests_until_ms = now_ms.saturating_add(rest_ms);
        }
    }
}

/// Whether an answer says that calls would fail there. One who refuses OPTIONS lives all the same.
fn is_failure(status: u16) -> bool {
    matches!(status, 0 | 408 | 502 | 503 | 504)
}
