//! Unix milliseconds that never run backwards within a process. The only place that reads a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Wall time at the start plus monotonic time since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_unix_ms: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX / 2) }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2);
        self.started_unix_ms.saturating_add(elapsed)
    }

    /// Since the start, for what is measured finely.
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX / 2)
    }

    /// The instant at which `now_ms` will be `unix_ms`.
    pub(crate) fn instant_of(&self, unix_ms: u64) -> Instant {
        // A day is beyond every timer here, and keeps the sum in range.
        let ahead_ms = unix_ms.saturating_sub(self.started_unix_ms);
        self.started + Duration::from_millis(ahead_ms.min(100 * 365 * 86_400_000))
    }
}
