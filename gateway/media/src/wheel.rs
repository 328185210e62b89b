//! When each playing leg's next frame is due: twenty slots of a millisecond, legs spread evenly over them. Pure; time comes in.

/// One frame, and one turn of the wheel.
pub(crate) const FRAME_MS: u64 = 20;

/// After a pause of the thread frames are sent late as long as they are no later than this; older ones are left out.
pub(crate) const CATCH_UP_MS: u64 = 60;

const SLOTS: usize = FRAME_MS as usize;
const NOWHERE: Place = Place { slot: u32::MAX, position: 0 };

/// Legs by their small index, each at most once.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: [Vec<u32>; SLOTS],
    places: Vec<Place>,
    turning: usize,
    next_tick_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    slot: u32,
    position: u32,
}

impl Wheel {
    pub(crate) fn new() -> Wheel {
        Wheel { slots: Default::default(), places: Vec::new(), turning: 0, next_tick_ms: 0 }
    }

    /// Puts a leg into the emptiest slot; where several are, the one that is due first. Already there: nothing.
    pub(crate) fn add(&mut self, leg: u32) {
        let index = leg as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, NOWHERE);
        }
        if self.places[index] != NOWHERE {
            return;
        }
        let next = (self.next_tick_ms % FRAME_MS) as usize;
        let slot =
            (0..SLOTS).map(|step| (next + step) % SLOTS).min_by_key(|slot| self.slots[*slot].len()).unwrap_or(next);
        self.places[index] = Place { slot: slot as u32, position: self.slots[slot].len() as u32 };
        self.slots[slot].push(leg);
        self.turning += 1;
    }

    /// Takes a leg out; not there: nothing.
    pub(crate) fn remove(&mut self, leg: u32) {
        let Some(place) = self.places.get_mut(leg as usize) else { return };
        let Place { slot, position } = std::mem::replace(place, NOWHERE);
        let Some(slot) = self.slots.get_mut(slot as usize) else { return };
        slot.swap_remove(position as usize);
        if let Some(moved) = slot.get(position as usize) {
            self.places[*moved as usize].position = position;
        }
        self.turning -= 1;
    }

    /// How many legs are on the wheel.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.turning
    }

    /// Leaves out what is too late at `now_ms`; says how many frames that were.
    pub(crate) fn leave_out(&mut self, now_ms: u64) -> u64 {
        let oldest = now_ms.saturating_sub(CATCH_UP_MS);
        if self.next_tick_ms >= oldest {
            return 0;
        }
        let missed_ms = oldest - self.next_tick_ms;
        self.next_tick_ms = oldest;
        missed_ms * self.turning as u64 / FRAME_MS
    }

    /// The next tick that is due at `now_ms`; its legs are `legs(tick)`.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Option<u64> {
        if self.turning == 0 {
            self.next_tick_ms = self.next_tick_ms.max(now_ms + 1);
        }
        let tick_ms = self.next_tick_ms;
        (tick_ms <= now_ms).then(|| {
            self.next_tick_ms += 1;
            tick_ms
        })
    }

    /// The legs whose frame is due at a tick.
    pub(crate) fn legs(&self, tick_ms: u64) -> &[u32] {
        &self.slots[(tick_ms % FRAME_MS) as usize]
    }

    /// When somebody's frame is due next; `None` for an empty wheel.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        (0..FRAME_MS).map(|step| self.next_tick_ms + step).find(|tick| !self.legs(*tick).is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(wheel: &mut Wheel, now_ms: u64) -> Vec<u32> {
        let mut due = Vec::new();
        while let Some(tick) = wheel.take_due(now_ms) {
            due.extend_from_slice(wheel.legs(tick));
        }
        due
    }

    #[test]
    fn many_legs_are_spread_evenly_and_each_is_due_once_a_turn() {
        let mut wheel = Wheel::new();
        (0..1_000).for_each(|leg| wheel.add(leg));
        (0..1_000).for_each(|leg| wheel.add(leg));
        assert_eq!(wheel.len(), 1_000);
        assert!(wheel.slots.iter().all(|slot| slot.len() == 50));
        let mut due = turn(&mut wheel, 19);
        due.sort_unstable();
        assert_eq!(due, (0..1_000).collect::<Vec<_>>());
        assert_eq!(turn(&mut wheel, 24).len(), 5 * 50);
    }

    #[test]
    fn legs_leave_in_any_order() {
        let mut wheel = Wheel::new();
        let mut dice = fastrand::Rng::with_seed(3);
        let mut model = std::collections::BTreeSet::new();
        for _ in 0..20_000 {
            let leg = dice.u32(..300);
            if dice.bool() {
                wheel.add(leg);
                model.insert(leg);
            } else {
                wheel.remove(leg);
                model.remove(&leg);
            }
        }
        let mut left: Vec<_> = wheel.slots.concat();
        left.sort_unstable();
        assert_eq!(left, model.into_iter().collect::<Vec<_>>());
        assert_eq!(wheel.len(), left.len());
    }

    #[test]
    fn a_long_pause_costs_frames_and_never_makes_a_burst() {
        let mut wheel = Wheel::new();
        (0..20).for_each(|leg| wheel.add(leg));
        assert_eq!(turn(&mut wheel, 19).len(), 20);
        assert_eq!(wheel.leave_out(1_019), 940 * 20 / 20 - 1);
        let due = turn(&mut wheel, 1_019);
        assert!((0..20).all(|leg| due.iter().filter(|other| **other == leg).count() <= 4));
    }

    #[test]
    fn an_empty_wheel_waits_for_nobody() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.next_due_ms(), None);
        assert_eq!(turn(&mut wheel, 1_000_000), []);
        wheel.add(3);
        assert_eq!(wheel.next_due_ms(), Some(1_000_001));
        assert_eq!(turn(&mut wheel, 1_000_001), [3]);
        assert_eq!(wheel.next_due_ms(), Some(1_000_021));
    }
}
