//! Unix time that never runs backwards and never stands still, for everything a node decides by time. It follows the
//! system's clock forwards at once; where that was set back, it runs slower until the two agree again: a clock that
//! stood still would hold every deadline, every batch and every keep-alive back for as long as it was set back.

use std::{
    sync::{Mutex, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// While ahead of the system's clock, one part in so many of the time that passes is left out.
const SLEW: u64 = 10;

static CLOCK: Mutex<Option<Clock>> = Mutex::new(None);

#[derive(Debug, Clone, Copy)]
struct Clock {
    at: Instant,
    unix_us: u64,
}

/// Unix microseconds.
#[must_use]
pub fn now_us() -> u64 {
    let (at, system_us) = (Instant::now(), system_us());
    let mut clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let unix_us = clock.map_or(system_us, |last| {
        let passed_us = u64::try_from(at.saturating_duration_since(last.at).as_micros()).unwrap_or(u64::MAX);
        follow(last.unix_us, passed_us, system_us)
    });
    // Less than a microsecond is not forgotten: it is counted from the earlier moment.
    if clock.is_none_or(|last| unix_us > last.unix_us) {
        *clock = Some(Clock { at, unix_us });
    }
    unix_us
}

/// What our clock shows after `passed_us` of real time, when it showed `last_us` and the system's shows `system_us`.
#[must_use]
pub fn follow(last_us: u64, passed_us: u64, system_us: u64) -> u64 {
    let own_us = last_us.saturating_add(passed_us);
    own_us.max(system_us) - own_us.saturating_sub(system_us).min(passed_us / SLEW)
}

fn system_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_forwards_is_followed_at_once() {
        assert_eq!(follow(1_000, 100, 1_100), 1_100);
        assert_eq!(follow(1_000, 100, 9_000), 9_000);
    }

    #[test]
    fn a_clock_that_is_set_back_neither_stops_ours_nor_is_it_forgotten() {
        let (mut ours, mut system) = (10_000_000, 9_000_000);
        let mut steps = 0;
        while ours != system {
            let before = ours;
            system += 1_000;
            ours = follow(ours, 1_000, system);
            assert!(ours >= before + 900, "it goes on nearly as fast");
            steps += 1;
        }
        assert_eq!(steps, 10_000, "a second is made up for in ten");
        assert_eq!(follow(ours, 1_000, system + 1_000), ours + 1_000);
    }

    #[test]
    fn it_never_runs_backwards() {
        let mut last = now_us();
        for _ in 0..10_000 {
            let now = now_us();
            assert!(now >= last);
            last = now;
        }
    }
}
