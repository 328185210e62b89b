//! Which calls were let in or refused a moment ago, so that what UDP repeats meets the same answer. Bounded.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher as _},
};

/// For so long an INVITE may be repeated (RFC 3261 section 17.1.1.2, timer B).
const ADMITTED_US: u64 = 32_000_000;
/// A refused one is repeated only while its answer is under way; one who has it may come back with the same Call-ID.
const REFUSED_US: u64 = 600_000;
/// Repetitions that pass: those of RFC 3261 in 32 s, and the same again with credentials and by another way.
const REPEATED_MAX: u8 = 32;
/// Refusals that are remembered; a later one takes the place of an earlier.
const REFUSED_MAX: usize = 4_096;

/// What is known of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Never,
    Admitted,
    Refused,
}

/// Hashes of Call-IDs. Two generations: when the younger one is full or old, the elder is forgotten whole.
pub(super) struct Recent {
    seed: u64,
    most: usize,
    young: HashMap<u64, u8>,
    old: HashMap<u64, u8>,
    since_us: u64,
    refused: Vec<(u64, u64)>,
}

impl Recent {
    pub(super) fn new(seed: u64, most: usize) -> Self {
        Self { seed, most, young: HashMap::new(), old: HashMap::new(), since_us: 0, refused: vec![(0, 0); REFUSED_MAX] }
    }

    pub(super) fn hash(&self, call_id: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write(call_id);
        hasher.finish()
    }

    /// What became of this call; a repetition is counted.
    pub(super) fn seen(&mut self, now_us: u64, call: u64) -> Seen {
        self.age(now_us);
        if let Some(repeated) = self.young.get_mut(&call).or_else(|| self.old.get_mut(&call)) {
            *repeated = repeated.saturating_add(1);
            return if *repeated <= REPEATED_MAX { Seen::Admitted } else { Seen::Never };
        }
        let (refused, until_us) = self.refused[slot(call)];
        if refused == call && until_us > now_us { Seen::Refused } else { Seen::Never }
    }

    pub(super) fn admit(&mut self, now_us: u64, call: u64) {
        if self.young.len() >= self.most {
            self.turn(now_us);
        }
        self.old.remove(&call);
        self.young.insert(call, 0);
    }

    pub(super) fn refuse(&mut self, now_us: u64, call: u64) {
        self.refused[slot(call)] = (call, now_us.saturating_add(REFUSED_US));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    fn age(&mut self, now_us: u64) {
        if now_us.saturating_sub(self.since_us) >= ADMITTED_US {
            self.turn(now_us);
        }
    }

    fn turn(&mut self, now_us: u64) {
        self.since_us = now_us;
        std::mem::swap(&mut self.young, &mut self.old);
        self.young.clear();
    }
}

fn slot(call: u64) -> usize {
    usize::try_from(call % REFUSED_MAX as u64).unwrap_or(0)
}
