//! Hashing for maps that are only looked up in, never walked: the same on every machine, no machine's randomness.

use std::hash::{BuildHasherDefault, DefaultHasher, Hasher};

/// By name: SipHash with fixed keys. Names come from documents, so nobody outside can make them collide.
pub(crate) type ByName = BuildHasherDefault<DefaultHasher>;

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
