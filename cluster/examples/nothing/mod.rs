//! A machine that keeps nothing: what is left is the cost of agreeing.

use cluster::{Machine, RestoreError};

pub(crate) struct Nothing;

impl Machine for Nothing {
    type Output = ();

    fn apply(&mut self, _: u64, _: &[u8]) {}

    fn begin_save(&mut self) {}

    fn save_slice(&mut self) -> Option<Vec<u8>> {
        Some(vec![1])
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}
