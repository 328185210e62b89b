//! Reads the records of all shards in log order from a cursor on, in batches. It blocks on the disk and never waits for
//! what is not written down yet.

use std::collections::BTreeSet;

use cluster::{RecordKey, StoreError};
use prost::Message as _;
use proto::v1::{Record, RecordBatch, record::Kind};

use super::{Gap, Records, cursor::Cursor};

/// Records in a batch when the consumer does not say.
const BATCH_DEFAULT: usize = 500;
/// Records in a batch at the most.
const BATCH_MAX: usize = 1_000;
/// How often a page is read anew because a gap has closed meanwhile.
const READS_MAX: usize = 5;
/// So many records that the consumer does not want are passed before it is told how far it is.
const PASSED_MAX: usize = 20_000;

/// The records a consumer wants: their kinds, and whose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kinds {
    /// None of them is all.
    names: Vec<&'static str>,
    tenant: Option<String>,
}

impl Kinds {
    /// What they are called.
    pub const ALL: [&str; 6] = ["call", "agent", "decision", "interval", "transfer", "audit"];

    /// By name; none is all.
    ///
    /// # Errors
    /// The name that is none.
    pub fn parse(names: &[String]) -> Result<Self, &String> {
        let known = |name: &String| Self::ALL.into_iter().find(|known| known == name);
        names
            .iter()
            .map(|name| known(name).ok_or(name))
            .collect::<Result<_, _>>()
            .map(|names| Self { names, tenant: None })
    }

    /// Of one tenant alone, by the name in its records; None is all of them.
    #[must_use]
    pub fn of_tenant(self, tenant: Option<&str>) -> Self {
        Self { tenant: tenant.map(str::to_owned), ..self }
    }

    fn holds(&self, record: &Record) -> bool {
        let kind = match &record.kind {
            Some(Kind::Call(_)) => "call",
            Some(Kind::Agent(_)) => "agent",
            Some(Kind::Decision(_)) => "decision",
            Some(Kind::Interval(_)) => "interval",
            Some(Kind::Transfer(_)) => "transfer",
            Some(Kind::Audit(_)) => "audit",
            // Of a later release: wanted by whoever wants all.
            None => "",
        };
        let wanted = self.names.is_empty() || self.names.contains(&kind);
        wanted && self.tenant.as_ref().is_none_or(|tenant| *tenant == record.tenant)
    }
}

/// Records as they are in the outbox, in order.
type Rows = Vec<(RecordKey, Vec<u8>)>;

/// One consumer's place in the records of this node.
pub struct Reader {
    records: Records,
    shards: Vec<u32>,
    kinds: Kinds,
    batch_max: usize,
    cursor: Cursor,
    /// The shard whose turn it is.
    turn: usize,
    passed: usize,
    pruned: bool,
    /// Where the last batch that said so has its gap.
    pruned_in: BTreeSet<u32>,
}

impl Reader {
    /// From `cursor` on; `batch_max` 0 is the default.
    #[must_use]
    pub fn new(records: Records, shards: Vec<u32>, cursor: Cursor, kinds: Kinds, batch_max: u32) -> Self {
        let batch_max = match usize::try_from(batch_max).unwrap_or(BATCH_MAX) {
            0 => BATCH_DEFAULT,
            asked => asked.min(BATCH_MAX),
        };
        Self {
            records,
            shards,
            kinds,
            batch_max,
            cursor,
            turn: 0,
            passed: 0,
            pruned: false,
            pruned_in: BTreeSet::new(),
        }
    }

    /// The next batch; None when everything that is written down has been read.
    ///
    /// # Errors
    /// The outbox cannot be read.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>, StoreError> {
        let mut at_end = 0;
        while at_end < self.shards.len() {
            let shard = self.shards[self.turn];
            self.turn = (self.turn + 1) % self.shards.len();
            let page = self.page(shard)?;
            at_end = if page.read == 0 { at_end + 1 } else { 0 };
            self.passed += page.read - page.records.len();
            if page.pruned {
                self.pruned = true;
                self.pruned_in.insert(shard);
            }
            if !page.records.is_empty() || self.passed >= PASSED_MAX {
                return Ok(Some(self.batch(page.records)));
            }
        }
        Ok(None)
    }

    /// The shards of which a snapshot took in what follows: at the end of what is here, more may be elsewhere.
    #[must_use]
    pub fn lacks_the_end(&self) -> Vec<u32> {
        let lacks = |shard: &u32| {
            let last = self.cursor.last(*shard).map_or(0, |(index, _)| index);
            self.records.gaps(*shard).iter().any(|gap| !gap.pruned && gap.until > last)
        };
        self.shards.iter().copied().filter(lacks).collect()
    }

    /// The shards of the gap before the last batch.
    pub fn pruned_in(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.pruned_in).into_iter().collect()
    }

    /// Goes on from another place.
    pub fn go_to(&mut self, cursor: Cursor) {
        (self.cursor, self.passed, self.pruned) = (cursor, 0, false);
    }

    /// How far it is, when that is further than the last batch told.
    pub fn rest(&mut self) -> Option<RecordBatch> {
        (self.passed > 0).then(|| self.batch(Vec::new()))
    }

    fn batch(&mut self, records: Vec<Record>) -> RecordBatch {
        self.passed = 0;
        RecordBatch { records, cursor: self.cursor.to_string(), pruned: std::mem::take(&mut self.pruned) }
    }

    /// What follows in one shard, and the gaps that it may have: those of before, which may close while it is read, so that
    /// it would look whole, and those of after, for the oldest may be pruned meanwhile.
    fn read(&self, shard: u32) -> Result<(Rows, Vec<Gap>), StoreError> {
        let mut before = self.records.gaps(shard);
        for _ in 0..READS_MAX {
            let found = self.records.read(self.cursor.next(shard), self.batch_max)?;
            let after = self.records.gaps(shard);
            let to_fill = |gaps: &[Gap]| gaps.iter().filter(|gap| !gap.pruned).copied().collect::<Vec<_>>();
            if to_fill(&before) == to_fill(&after) {
                return Ok((found, after));
            }
            before = after;
        }
        // They close faster than it reads: what has come is taken for missing, and looked for elsewhere.
        let found = self.records.read(self.cursor.next(shard), self.batch_max)?;
        before.extend(self.records.gaps(shard));
        Ok((found, before))
    }

    /// What follows in one shard, up to the next gap.
    fn page(&mut self, shard: u32) -> Result<Page, StoreError> {
        let (found, gaps) = self.read(shard)?;
        let Some((first, _)) = found.first() else { return Ok(Page::default()) };
        // Looked at after reading. The oldest are pruned first: as long as this one is there, all behind it are.
        let anchor = self.cursor.last(shard).map_or(*first, |(index, position)| RecordKey { shard, index, position });
        let there = self.records.read(anchor, 1)?.first().is_some_and(|(key, _)| *key == anchor);
        let mut page = Page { pruned: !there, ..Page::default() };
        for (key, bytes) in found {
            let last = self.cursor.last(shard);
            if last.is_some_and(|last| (key.index, key.position) <= last) {
                continue;
            }
            // Who begins with the oldest there is, does not miss what was pruned.
            let (from, begins) = last.map_or((0, true), |(index, _)| (index, false));
            if gaps.iter().any(|gap| gap.lies_between(from, key.index) && !(begins && gap.pruned)) {
                if page.read > 0 {
                    break;
                }
                page.pruned = true;
            }
            self.cursor.pass(key);
            page.read += 1;
            match Record::decode(bytes.as_slice()) {
                Ok(record) if self.kinds.holds(&record) => page.records.push(record),
                Ok(_) => {}
                Err(error) => tracing::error!(%error, ?key, "a record cannot be read"),
            }
        }
        Ok(page)
    }
}

#[derive(Default)]
struct Page {
    read: usize,
    pruned: bool,
    records: Vec<Record>,
}
