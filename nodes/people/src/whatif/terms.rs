//! By which times a queue's figures are judged; never anything that moves a call.

use acd::limits::{SERVICE_LEVEL_SECONDS_DEFAULT, SHORT_ABANDON_SECONDS_DEFAULT};

/// Times a service level is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Answered within it counts.
    pub service_level_ms: u64,
    /// Who leaves within it was never really there.
    pub short_abandon_ms: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Terms::of(&acd::Queue::default())
    }
}

impl Terms {
    /// Those of a queue's document.
    pub fn of(queue: &acd::Queue) -> Self {
        let ms = |seconds: u32, usual: u32| u64::from(if seconds == 0 { usual } else { seconds }) * 1000;
        Terms {
            service_level_ms: ms(queue.service_level_seconds, SERVICE_LEVEL_SECONDS_DEFAULT),
            short_abandon_ms: ms(queue.short_abandon_seconds, SHORT_ABANDON_SECONDS_DEFAULT),
        }
    }
}
