//! Pieces of a shard's records that go from a node that has them whole to one that misses them. A piece says of which entries
//! it has everything; it never has part of an entry.

use std::sync::mpsc::sync_channel;

use cluster::StoreError;
use prost::Message as _;
use proto::v1::Record;

use super::{Records, Work, gaps::whole};

/// Records of one piece, unless its one entry has more.
const PIECE_BYTES_MAX: usize = 256 << 10;

/// Everything that was written down of some entries in a row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Piece {
    /// Of those behind this one,
    pub from: u64,
    /// up to and with this one.
    pub through: u64,
    /// Of those of them that have any, by index.
    pub entries: Vec<(u64, Vec<Record>)>,
}

impl Piece {
    /// Whether entries are in order, and of this piece.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let mut indices = self.entries.iter().map(|(index, _)| *index);
        let in_order = indices.clone().is_sorted_by(|one, next| one < next);
        in_order && indices.all(|index| self.from < index && index <= self.through)
    }

    /// When its first and its last record were written down, Unix milliseconds.
    pub(super) fn times(&self) -> Option<(u64, u64)> {
        let mut times = self.entries.iter().flat_map(|(_, records)| records).map(|record| record.at_ms);
        let first = times.next()?;
        Some((first, times.next_back().unwrap_or(first)))
    }
}

impl Records {
    /// The first piece of what another node misses of entries behind `after` up to and with `until`, which this one has
    /// applied; nothing is in it when it ends where it begins. Blocks.
    ///
    /// # Errors
    /// The outbox cannot be read.
    pub fn piece(&self, shard: u32, after: u64, until: u64) -> Result<Piece, StoreError> {
        self.settle();
        let (from, through) = whole(&self.gaps(shard), after, until);
        let nothing = Piece { from, through: from, entries: Vec::new() };
        let (entries, ends) = self.outbox.read_entries(shard, from, through, PIECE_BYTES_MAX)?;
        // Looked at again after reading, and after what was under way: the oldest may have been pruned meanwhile.
        self.settle();
        if whole(&self.gaps(shard), after, until) != (from, through) {
            return Ok(nothing);
        }
        let decoded = entries.into_iter().map(|(index, records)| {
            let records: Result<_, _> = records.iter().map(|bytes| Record::decode(bytes.as_slice())).collect();
            Ok((index, records?))
        });
        match decoded.collect::<Result<_, prost::DecodeError>>() {
            Ok(entries) => Ok(Piece { from, through: ends, entries }),
            Err(error) => {
                tracing::error!(%error, shard, from, "records cannot be read, and are not given to others");
                Ok(nothing)
            }
        }
    }

    /// The same of a shard that has no replica here any more: everything up to its last record is here, or was never.
    /// None when nothing of it is.
    ///
    /// # Errors
    /// The outbox cannot be read.
    pub fn piece_of_former(&self, shard: u32, after: u64, until: u64) -> Result<Option<Piece>, StoreError> {
        self.settle();
        self.gaps.load(&self.outbox, shard)?;
        let last = self.outbox.read_last(shard, 1)?.into_iter().next();
        last.map(|(key, _)| self.piece(shard, after, until.min(key.index))).transpose()
    }

    /// Writes down what was missing here. Returns when it is in the outbox. Blocks.
    pub fn fill(&self, shard: u32, piece: Piece) {
        {
            let mut ended = self.ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            piece.entries.iter().flat_map(|(_, records)| records).for_each(|record| ended.remember(Some(record)));
        }
        let (done, filled) = sync_channel(1);
        if self.work.send(Work::Fill { shard, piece, done }).is_ok() {
            let _ = filled.recv();
        }
    }
}
