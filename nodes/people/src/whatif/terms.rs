//! By which times a queue's figures are judged; never anything that moves a call.

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
        Terms { service_level_ms: 20_000, short_abandon_ms: 5_000 }
    }
}

impl Terms {
    /// Those of a queue's document.
    pub fn of(_queue: &acd::Queue) -> Self {
        Terms::default()
    }
}
