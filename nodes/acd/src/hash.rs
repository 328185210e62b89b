//! Hashing for maps that are only looked up in, never walked: the same on every machine, no machine's randomness.

use std::hash::{BuildHasherDefault, Hasher};

/// By name. Names come from documents, so nobody outside can make them collide.
pub(crate) type ByName = BuildHasherDefault<NameHasher>;

/// Eight bytes at a time, multiplied and folded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NameHasher(u64);

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let mixed = u128::from(self.0 ^ u64::from_le_bytes(word) ^ 0x5ced_c834) * 0x9e37_79b9_7f4a_7c15;
            self.0 = (mixed >> 64) as u64 ^ mixed as u64;
        }
    }
}

/// By call id, which is a keyed hash already.
pub(crate) type ById = BuildHasherDefault<IdHasher>;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, id: u64) {
        // Test scripts count calls from 1: spread them over the table's upper bits too.
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
