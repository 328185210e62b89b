//! What this node does not have of a shard's records: the oldest ones, which were pruned, and those of entries that a
//! leader's snapshot took in, until another node has given them. Kept in the outbox itself, beside the records. Never guesses
//! that something is there.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use cluster::{Outbox, RecordKey, StoreError, Tagged};
use proto::v1::Record;

/// Gaps of shard `s` are rows of this bit with `s`: shards are counted from 0 and never come near it.
const GAPS_OF: u32 = 1 << 31;
/// The row of what was pruned; that of another gap is where it ends.
const PRUNED: u64 = 0;
/// Rows read in one look.
const ROWS_MAX: usize = 1_000;

/// Records of a shard that are not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gap {
    /// Those of entries behind this one,
    pub after: u64,
    /// up to and with this one.
    pub until: u64,
    /// They are not older, Unix milliseconds,
    pub from_ms: u64,
    /// and not younger.
    pub until_ms: u64,
    /// They were pruned, as they are at every node sooner or later; else a snapshot took them in, and others may have them.
    pub pruned: bool,
}

impl Gap {
    /// Whether something is missing between two records that follow each other here.
    #[must_use]
    pub const fn lies_between(&self, one: u64, next: u64) -> bool {
        self.after < next && self.until > one
    }

    /// What is left of it, before and behind, when everything of entries behind `from` up to and with `through` has come,
    /// whose first and last records are of these times. None when that has nothing to do with it.
    fn without(self, from: u64, through: u64, times: Option<(u64, u64)>) -> Option<[Option<Self>; 2]> {
        if self.pruned || from >= self.until || through <= self.after {
            return None;
        }
        let (first_ms, last_ms) = times.unwrap_or((self.until_ms, self.from_ms));
        let before = Self { until: from, until_ms: first_ms.max(self.from_ms), ..self };
        let behind = Self { after: through, from_ms: last_ms.min(self.until_ms), ..self };
        Some([(from > self.after).then_some(before), (through < self.until).then_some(behind)])
    }

    fn encode(self) -> Vec<u8> {
        [self.after, self.until, self.from_ms, self.until_ms].iter().flat_map(|field| field.to_be_bytes()).collect()
    }

    fn decode(row: u64, bytes: &[u8]) -> Option<Self> {
        let fields: Vec<u64> =
            bytes.chunks_exact(8).filter_map(|field| Some(u64::from_be_bytes(field.try_into().ok()?))).collect();
        let [after, until, from_ms, until_ms] = fields.try_into().ok()?;
        Some(Self { after, until, from_ms, until_ms, pruned: row == PRUNED })
    }
}

/// The first entries behind `after` up to and with `until` of which everything is here: behind the first number, up to and
/// with the second. Nothing is when they are the same.
pub(super) fn whole(gaps: &[Gap], after: u64, until: u64) -> (u64, u64) {
    let mut from = after;
    while let Some(gap) = gaps.iter().find(|gap| gap.after <= from && from < gap.until) {
        from = gap.until;
    }
    let next = gaps.iter().map(|gap| gap.after).filter(|after| *after > from).min();
    (from, until.min(next.unwrap_or(u64::MAX)).max(from))
}

/// The gaps of all shards, by shard and row. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Gaps(Arc<Mutex<BTreeMap<(u32, u64), Gap>>>);

impl Gaps {
    /// Those of one shard, as the outbox has them.
    pub(super) fn load(&self, outbox: &Outbox, shard: u32) -> Result<(), StoreError> {
        let mut from = RecordKey { shard: GAPS_OF | shard, index: 0, position: 0 };
        loop {
            let rows = outbox.read(from, ROWS_MAX)?;
            let Some((last, _)) = rows.last() else { break };
            from = RecordKey { index: last.index.saturating_add(1), ..from };
            let gaps = rows.iter().filter_map(|(key, row)| Some(((shard, key.index), Gap::decode(key.index, row)?)));
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(gaps);
        }
        // A crash may have come after the oldest went and before that was written down.
        if outbox.is_full(shard) { self.pruned(outbox, shard) } else { Ok(()) }
    }

    /// The oldest records have been pruned.
    pub(super) fn pruned(&self, outbox: &Outbox, shard: u32) -> Result<(), StoreError> {
        let first = outbox.read(RecordKey { shard, index: 0, position: 0 }, 1)?.into_iter().next();
        let Some((key, until_ms)) = first.map(|(key, bytes)| (key, at_ms(&bytes))) else { return Ok(()) };
        let until = key.index.saturating_sub(1).max(self.pruned_until(shard));
        let gap = Gap { after: 0, until, from_ms: 0, until_ms, pruned: true };
        self.keep(outbox, shard, PRUNED, gap)?;
        // What is missing of what everybody prunes is not missed.
        let mut passed = self.of(shard).into_iter().filter(|other| !other.pruned && other.until <= gap.until);
        passed.try_for_each(|gap| self.forget(outbox, shard, gap.until))
    }

    /// Everything of entries behind `from` up to and with `through` has come, the first and the last record of these times.
    pub(super) fn filled(
        &self,
        outbox: &Outbox,
        shard: u32,
        (from, through): (u64, u64),
        times: Option<(u64, u64)>,
    ) -> Result<(), StoreError> {
        for gap in self.of(shard) {
            let Some([before, behind]) = gap.without(from, through, times) else { continue };
            // What is left is there before the whole goes, so that a crash in between takes nothing for filled.
            if let Some(before) = before {
                self.widen(outbox, shard, before)?;
            }
            match behind {
                Some(behind) => self.keep(outbox, shard, behind.until, behind)?,
                None => self.forget(outbox, shard, gap.until)?,
            }
        }
        Ok(())
    }

    /// Up to which entry the oldest were pruned.
    pub(super) fn pruned_until(&self, shard: u32) -> u64 {
        let gaps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gaps.get(&(shard, PRUNED)).map_or(0, |gap| gap.until)
    }

    /// Keeps a gap, and all of one that ends where it does.
    fn widen(&self, outbox: &Outbox, shard: u32, gap: Gap) -> Result<(), StoreError> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(shard, gap.until)).copied();
        let gap = known.map_or(gap, |known| Gap {
            after: gap.after.min(known.after),
            from_ms: gap.from_ms.min(known.from_ms),
            until_ms: gap.until_ms.max(known.until_ms),
            ..gap
        });
        self.keep(outbox, shard, gap.until, gap)
    }

    /// The machine was replaced by a snapshot at `index`, as it was at `now_ms`; what is here is from before.
    pub(super) fn restored(&self, outbox: &Outbox, shard: u32, index: u64, now_ms: u64) -> Result<(), StoreError> {
        let last = outbox.read_last(shard, 1)?.into_iter().next();
        let (after, from_ms) = last.map_or((0, 0), |(key, bytes)| (key.index, at_ms(&bytes)));
        if after >= index {
            return Ok(());
        }
        let gap = Gap { after, until: index, from_ms, until_ms: now_ms.max(from_ms), pruned: false };
        self.widen(outbox, shard, gap)
    }

    fn keep(&self, outbox: &Outbox, shard: u32, row: u64, gap: Gap) -> Result<(), StoreError> {
        outbox.put(GAPS_OF | shard, row, &[Tagged { tag: &[], record: &gap.encode() }])?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((shard, row), gap);
        Ok(())
    }

    fn forget(&self, outbox: &Outbox, shard: u32, row: u64) -> Result<(), StoreError> {
        outbox.remove(GAPS_OF | shard, row)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(shard, row));
        Ok(())
    }

    /// Those of one shard.
    pub(super) fn of(&self, shard: u32) -> Vec<Gap> {
        let gaps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gaps.range((shard, 0)..=(shard, u64::MAX)).map(|(_, gap)| *gap).collect()
    }
}

fn at_ms(bytes: &[u8]) -> u64 {
    prost::Message::decode(bytes).map_or(0, |record: Record| record.at_ms)
}
