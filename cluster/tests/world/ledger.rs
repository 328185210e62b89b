//! The machine of the seeded world: a list of commands and a hash of how they came.

use std::hash::{DefaultHasher, Hasher};

use cluster::{Machine, RestoreError};

/// Remembers every command, so that losing one shows.
#[derive(Default, Clone)]
pub(crate) struct Ledger {
    pub(crate) last_index: u64,
    pub(crate) ids: Vec<u64>,
    pub(crate) hash: u64,
}

/// What applying a command gives: the command and the state after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) id: u64,
    pub(crate) hash: u64,
}

impl Machine for Ledger {
    type Output = Line;

    fn apply(&mut self, index: u64, data: &[u8]) -> Line {
        assert!(index > self.last_index, "index {index} after {}", self.last_index);
        let id = data.get(..8).map_or(0, |id| u64::from_be_bytes(id.try_into().expect("eight bytes")));
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.hash);
        hasher.write_u64(index);
        hasher.write(data);
        self.last_index = index;
        self.ids.push(id);
        self.hash = hasher.finish();
        Line { id, hash: self.hash }
    }

    fn save(&self) -> Vec<u8> {
        let words = [self.last_index, self.hash];
        words.iter().chain(&self.ids).flat_map(|word| word.to_be_bytes()).collect()
    }

    fn restore(&mut self, data: &[u8]) -> Result<(), RestoreError> {
        let mut words = data.chunks_exact(8).map(|word| u64::from_be_bytes(word.try_into().expect("eight bytes")));
        let missing = || RestoreError("too short".into());
        self.last_index = words.next().ok_or_else(missing)?;
        self.hash = words.next().ok_or_else(missing)?;
        self.ids = words.collect();
        Ok(())
    }
}
