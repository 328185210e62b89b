//! A shard as prost bytes and back, and its hash; fields are only ever added, numbers never reused.
//!
//! Rows keep their slots, so that keys mean the same after a restore. Indices are not saved: they are built again
//! from the rows.

mod first;
mod read;
mod saved;
mod write;

use prost::Message as _;

use crate::limits::Limits;
use crate::shard::Shard;
use crate::table::Key;

use saved::*;

/// Why bytes are no snapshot of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// Not the bytes of a snapshot message.
    Decode(String),
    /// A snapshot whose rows do not fit together; names the row.
    Broken(&'static str),
}

impl std::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RestoreError::Decode(detail) => write!(f, "not a snapshot: {detail}"),
            RestoreError::Broken(row) => write!(f, "broken snapshot: {row}"),
        }
    }
}

impl std::error::Error for RestoreError {}

impl Shard {
    /// The whole state as bytes; equal states give equal bytes.
    pub fn save(&self) -> Vec<u8> {
        let mut bytes = write::head(self).encode_to_vec();
        for (key, row) in self.agents.iter() {
            write::append_agent(key.slot(), row, &mut bytes);
        }
        for (key, row) in self.calls.iter() {
            write::append_call(key.slot(), row, &self.demands, &mut bytes);
        }
        bytes
    }

    /// Fixes the state as it is now, to be written in slices while entries go on being applied. One at a time: a later begin
    /// gives the former one up.
    pub fn begin_save(&mut self) {
        self.abort_save();
        self.agents.begin_freeze();
        self.calls.begin_freeze();
        let bytes = write::head(self).encode_to_vec();
        self.saving = Some(Box::new(Saving { bytes, agents_done: false, demands: self.demands.clone() }));
    }

    /// Writes up to so many rows more. `None`: there are more to do, or no save was begun.
    pub fn save_slice(&mut self, rows_max: usize) -> Option<Vec<u8>> {
        let saving = self.saving.as_mut()?;
        let bytes = &mut saving.bytes;
        if !saving.agents_done {
            saving.agents_done = !self.agents.freeze_rows(rows_max, |slot, row| write::append_agent(slot, row, bytes));
            return None;
        }
        let demands = &saving.demands;
        if self.calls.freeze_rows(rows_max, |slot, row| write::append_call(slot, row, demands, bytes)) {
            return None;
        }
        self.saving.take().map(|saving| saving.bytes)
    }

    /// Gives a save up.
    pub fn abort_save(&mut self) {
        if self.saving.take().is_some() {
            self.agents.abort_freeze();
            self.calls.abort_freeze();
        }
    }

    /// The shard that was saved.
    ///
    /// # Errors
    /// When the bytes are not what `save` wrote.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        Self::restore_with_limits(bytes, Limits::default())
    }

    /// The same with other limits than the default.
    ///
    /// # Errors
    /// As [`Shard::restore`].
    pub fn restore_with_limits(bytes: &[u8], limits: Limits) -> Result<Self, RestoreError> {
        let saved = Saved::decode(bytes).map_err(|error| RestoreError::Decode(error.to_string()))?;
        read::shard(saved, limits)
    }

    /// FNV-1a over the saved bytes: equal on replicas that applied the same entries. Costs as much as `save`.
    pub fn hash(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in self.save() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash
    }
}

/// A snapshot in words: for tests that look for what differs.
#[cfg(test)]
pub(crate) fn in_words(bytes: &[u8]) -> String {
    format!("{:#?}", Saved::decode(bytes).expect("was saved"))
}

/// A snapshot that is being written.
#[derive(Clone, Debug)]
pub(crate) struct Saving {
    bytes: Vec<u8>,
    agents_done: bool,
    /// A configuration numbers them anew; the rows of the begin have the numbers of then.
    demands: crate::demand::Demands,
}
