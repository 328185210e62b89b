//! Unix time that never runs backwards, never stands still and seldom leaps, for everything a node decides by time. Where the
//! system's clock was set, this one runs slower or faster until the two agree again: a clock that stood still would hold every
//! deadline, every batch and every keep-alive back for as long as it was set back, and one that leapt would end every ringing
//! and every wait in line. It leaps only where it would be wrong for the better part of an hour otherwise.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// While the system's clock is elsewhere, one part in so many of the time that passes is left out or added.
pub(crate) const SLEW: u64 = 10;

/// Where the system's clock is ahead by more, microseconds, it is followed at once.
const AHEAD_US_MAX: u64 = 300_000_000;

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
    clock.get_or_insert(Clock { at, unix_us: system_us }).read(at, system_us)
}

impl Clock {
    fn read(&mut self, at: Instant, system_us: u64) -> u64 {
        let elapsed_us = u64::try_from(at.saturating_duration_since(self.at).as_micros()).unwrap_or(u64::MAX);
        // What is too short to be slewed is counted at the next reading: whoever asks without a pause would never be slewed.
        let rest_us = elapsed_us % SLEW;
        let passed_us = elapsed_us - rest_us;
        self.unix_us = follow(self.unix_us, passed_us, system_us.saturating_sub(rest_us));
        self.at += Duration::from_micros(passed_us);
        self.unix_us.saturating_add(rest_us)
    }
}

/// What our clock shows after `passed_us` of real time, when it showed `last_us` and the system's shows `system_us`.
#[must_use]
pub fn follow(last_us: u64, passed_us: u64, system_us: u64) -> u64 {
    let own_us = last_us.saturating_add(passed_us);
    let ahead_us = system_us.saturating_sub(own_us);
    if ahead_us > AHEAD_US_MAX {
        return system_us;
    }
    let slewed_us = passed_us / SLEW;
    own_us + ahead_us.min(slewed_us) - own_us.saturating_sub(system_us).min(slewed_us)
}

fn system_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_forwards_is_followed_a_little_faster_and_from_afar_at_once() {
        assert_eq!(follow(1_000, 100, 1_100), 1_100);
        assert_eq!(follow(1_000, 100, 1_105), 1_105);
        assert_eq!(follow(1_000, 100, 9_000), 1_110);
        assert_eq!(follow(1_000, 0, AHEAD_US_MAX + 1_000), 1_000);
        assert_eq!(follow(1_000, 0, AHEAD_US_MAX + 1_001), AHEAD_US_MAX + 1_001);
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
    fn whoever_reads_it_without_a_pause_is_slewed_too() {
        let began = Instant::now();
        let mut clock = Clock { at: began, unix_us: 1_000_000 };
        let (mut last, step_us) = (0, 3);
        for us in (0..=1_000_000).step_by(step_us) {
            let read = clock.read(began + Duration::from_micros(us), 1_050_000 + us);
            assert!(read >= last, "never backwards");
            last = read;
        }
        assert!(last.abs_diff(2_050_000) < 20, "{last}: fifty milliseconds are made up for in half a second");
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
