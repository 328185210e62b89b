//! What was written down, on this node: a thread of its own puts records into the outbox, so that a decision never waits
//! for a database. Records come again from the log after a crash; before a snapshot lets the log be cut, all of them are
//! in the outbox.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use cluster::{Outbox, RecordKey, Store, StoreError, Tagged, WriteBatch};
use prost::Message as _;
use proto::v1::{CallRecord, IntervalRecord, Record, record::Kind};
use tokio::sync::watch;

pub mod counts;
pub mod cursor;
mod gaps;
mod pieces;
pub mod reader;
#[cfg(test)]
mod tests;

pub use gaps::Gap;
use gaps::Gaps;
pub use pieces::Piece;

/// Bursts that may wait for the thread; then applying waits, which is the back-pressure.
const WAITING_MAX: usize = 4_096;
/// The latest ended calls, kept in memory for `call list --ended`.
const ENDED_MAX: usize = 10_000;
/// Records looked at when the latest ended calls are found again at the start.
const ENDED_LOOK_MAX: usize = 50_000;

/// The latest ended calls of all tenants. One that the log brings again lands on itself.
#[derive(Default)]
struct Ended {
    /// By tenant, when it ended and its id.
    calls: BTreeMap<(String, u64, u64), CallRecord>,
    /// The same keys, the oldest first whoever's it is.
    oldest: BTreeSet<(u64, u64, String)>,
}

enum Work {
    Put {
        shard: u32,
        index: u64,
        records: Vec<Record>,
    },
    /// The shard's machine was replaced by a snapshot.
    Restored {
        shard: u32,
        index: u64,
        now_ms: u64,
    },
    /// Records that were missing here.
    Fill {
        shard: u32,
        piece: Piece,
        done: SyncSender<()>,
    },
    /// Answered when everything before it is in the outbox.
    Barrier(SyncSender<()>),
    Stop,
}

/// The records of one node. Clones share it.
#[derive(Clone)]
pub struct Records {
    work: SyncSender<Work>,
    outbox: Outbox,
    ended: Arc<Mutex<Ended>>,
    gaps: Gaps,
    /// Counts up with each change of the outbox; None when nothing will follow.
    written: Arc<watch::Sender<Option<u64>>>,
    buffered: Arc<AtomicU64>,
    thread: Arc<Mutex<Option<thread::JoinHandle<()>>>>,
}

impl Records {
    /// Starts the thread. `fatal` is called when the outbox fails: the node must stop then.
    ///
    /// # Errors
    /// No thread could be started, or the outbox cannot be read.
    pub fn start(outbox: Outbox, shards: &[u32], fatal: impl Fn(&StoreError) + Send + 'static) -> anyhow::Result<Self> {
        let (work, receiver) = sync_channel(WAITING_MAX);
        let records = Self {
            work,
            outbox,
            ended: Arc::default(),
            gaps: Gaps::default(),
            written: Arc::new(watch::Sender::new(Some(0))),
            buffered: Arc::default(),
            thread: Arc::default(),
        };
        for &shard in shards {
            records.load(shard)?;
        }
        let writer = Writer {
            outbox: records.outbox.clone(),
            gaps: records.gaps.clone(),
            written: Arc::clone(&records.written),
            buffered: Arc::clone(&records.buffered),
        };
        let thread = thread::Builder::new().name("records".into()).spawn(move || {
            if let Err(error) = writer.run(&receiver) {
                fatal(&error);
            }
        })?;
        *records.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(records)
    }

    /// Knows what the outbox has of a shard: of one that is here from the start, and of one whose replica comes back after
    /// it had gone. Blocks.
    ///
    /// # Errors
    /// The outbox cannot be read.
    pub fn load(&self, shard: u32) -> Result<(), StoreError> {
        self.gaps.load(&self.outbox, shard)?;
        let found = self.outbox.read_last(shard, ENDED_LOOK_MAX)?;
        let found: Vec<_> = found.iter().filter_map(|(_, bytes)| Record::decode(bytes.as_slice()).ok()).collect();
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        found.iter().for_each(|record| ended.remember(Some(record)));
        Ok(())
    }

    /// Writes down what the entry at `index` brought. Writing it twice is writing it once.
    pub fn put(&self, shard: u32, index: u64, records: Vec<Record>) {
        {
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            records.iter().for_each(|record| ended.remember(Some(record)));
        }
        self.buffered.fetch_add(records.len() as u64, Ordering::Relaxed);
        // The thread ends only with the process.
        let _ = self.work.send(Work::Put { shard, index, records });
    }

    /// The shard's machine was replaced by a leader's snapshot at `index`, as it was at `now_ms`: records of the entries
    /// that it took in are not here.
    pub fn restored(&self, shard: u32, index: u64, now_ms: u64) {
        let _ = self.work.send(Work::Restored { shard, index, now_ms });
    }

    /// Changes whenever more is in the outbox; None when nothing will follow.
    #[must_use]
    pub fn written(&self) -> watch::Receiver<Option<u64>> {
        self.written.subscribe()
    }

    /// Tells everybody who follows that nothing will follow.
    pub fn end_streams(&self) {
        self.written.send_replace(None);
    }

    /// How many records are not in the outbox yet.
    #[must_use]
    pub fn buffered(&self) -> u64 {
        self.buffered.load(Ordering::Relaxed)
    }

    /// Returns when everything put before is in the outbox. Blocks.
    pub fn settle(&self) {
        let (done, settled) = sync_channel(1);
        if self.work.send(Work::Barrier(done)).is_ok() {
            let _ = settled.recv();
        }
    }

    /// Ends the thread when everything put before is in the outbox. Blocks.
    pub fn stop(self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = self.work.send(Work::Stop);
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    /// Everything about one call, in order. Blocks.
    ///
    /// # Errors
    /// The outbox cannot be read.
    pub fn of_call(&self, shard: u32, call: u64) -> Result<Vec<Record>, StoreError> {
        self.settle();
        let found = self.outbox.read_tagged(shard, &call.to_be_bytes())?;
        Ok(found.iter().filter_map(|(_, bytes)| Record::decode(bytes.as_slice()).ok()).collect())
    }

    /// Records of a shard from a key on, as they are in the outbox, 1,000 at most. Blocks.
    ///
    /// # Errors
    /// The outbox cannot be read.
    pub fn read(&self, from: RecordKey, limit: usize) -> Result<Vec<(RecordKey, Vec<u8>)>, StoreError> {
        self.outbox.read(from, limit)
    }

    /// What is missing here of a shard.
    #[must_use]
    pub fn gaps(&self, shard: u32) -> Vec<Gap> {
        self.gaps.of(shard)
    }

    /// What was counted of a tenant in the interval that began at `from_ms` or less than an interval later, as entries up to
    /// `applied` wrote it down. Blocks.
    ///
    /// # Errors
    /// The outbox cannot be read.
    pub fn intervals(
        &self,
        shard: u32,
        tenant: &str,
        from_ms: u64,
        applied: u64,
    ) -> Result<Vec<IntervalRecord>, StoreError> {
        let found = self.outbox.read_tagged(shard, &interval_tag(from_ms))?;
        let known = found.iter().filter(|(key, _)| key.index <= applied);
        let decoded = known
            .filter_map(|(_, bytes)| Record::decode(bytes.as_slice()).ok())
            .filter(|record| record.tenant == tenant)
            .filter_map(|record| record.kind);
        Ok(decoded
            .filter_map(|kind| match kind {
                Kind::Interval(interval) => Some(interval),
                _ => None,
            })
            .collect())
    }

    /// The latest ended calls of a tenant, newest first. Its name is that of its records.
    #[must_use]
    pub fn ended(&self, tenant: &str, limit: usize) -> Vec<CallRecord> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended
            .calls
            .range((tenant.to_owned(), 0, 0)..=(tenant.to_owned(), u64::MAX, u64::MAX))
            .rev()
            .take(limit)
            .map(|(_, call)| call.clone())
            .collect()
    }
}

impl Ended {
    fn remember(&mut self, record: Option<&Record>) {
        let Some(Record { kind: Some(Kind::Call(call)), tenant, .. }) = record else { return };
        self.calls.insert((tenant.clone(), call.ended_ms, call.call), call.clone());
        self.oldest.insert((call.ended_ms, call.call, tenant.clone()));
        while self.oldest.len() > ENDED_MAX {
            let Some((ended_ms, call, tenant)) = self.oldest.pop_first() else { return };
            self.calls.remove(&(tenant, ended_ms, call));
        }
    }
}

/// The thread that writes.
struct Writer {
    outbox: Outbox,
    gaps: Gaps,
    written: Arc<watch::Sender<Option<u64>>>,
    buffered: Arc<AtomicU64>,
}

impl Writer {
    fn run(&self, work: &Receiver<Work>) -> Result<(), StoreError> {
        while let Ok(work) = work.recv() {
            match work {
                Work::Put { shard, index, records } => self.put(shard, index, &records)?,
                Work::Restored { shard, index, now_ms } => {
                    self.gaps.restored(&self.outbox, shard, index, now_ms)?;
                    self.tell();
                }
                Work::Fill { shard, piece, done } => {
                    self.fill(shard, &piece)?;
                    let _ = done.send(());
                }
                Work::Barrier(done) => drop(done.send(())),
                Work::Stop => return Ok(()),
            }
        }
        Ok(())
    }

    fn put(&self, shard: u32, index: u64, records: &[Record]) -> Result<(), StoreError> {
        self.write(shard, index, records)?;
        self.buffered.fetch_sub(records.len() as u64, Ordering::Relaxed);
        self.tell();
        Ok(())
    }

    /// The gap closes behind its records: after a crash in between they come once more.
    fn fill(&self, shard: u32, piece: &Piece) -> Result<(), StoreError> {
        // Pruning may have come so far meanwhile.
        let pruned = self.gaps.pruned_until(shard);
        let kept = piece.entries.iter().filter(|(index, _)| *index > pruned);
        kept.into_iter().try_for_each(|(index, records)| self.write(shard, *index, records))?;
        self.gaps.filled(&self.outbox, shard, (piece.from, piece.through), piece.times())?;
        self.tell();
        Ok(())
    }

    fn write(&self, shard: u32, index: u64, records: &[Record]) -> Result<(), StoreError> {
        let encoded: Vec<_> = records.iter().map(|record| (tag_of(record), record.encode_to_vec())).collect();
        let row: Vec<_> = encoded.iter().map(|(tag, record)| Tagged { tag, record }).collect();
        let count = records.len() as u64;
        let before = self.outbox.len(shard);
        if self.outbox.put(shard, index, &row)? && self.outbox.len(shard) < before + count {
            self.gaps.pruned(&self.outbox, shard)?;
        }
        Ok(())
    }

    fn tell(&self) {
        self.written.send_modify(|written| *written = written.map(|changes| changes.wrapping_add(1)));
    }
}

/// What finds a record again: the call it is about, or the interval; empty when it is about neither.
fn tag_of(record: &Record) -> Vec<u8> {
    let call = match &record.kind {
        Some(Kind::Call(call)) => call.call,
        Some(Kind::Agent(agent)) => agent.call,
        Some(Kind::Decision(decision)) => decision.call,
        Some(Kind::Transfer(transfer)) => transfer.call,
        Some(Kind::Interval(interval)) => return interval_tag(interval.from_ms),
        Some(Kind::Audit(_)) | None => 0,
    };
    if call == 0 { Vec::new() } else { call.to_be_bytes().to_vec() }
}

/// All subjects of one interval have the same; a byte longer than that of any call.
fn interval_tag(from_ms: u64) -> Vec<u8> {
    let interval = from_ms / acd::limits::INTERVAL_MS;
    std::iter::once(b'i').chain(interval.to_be_bytes()).collect()
}

/// A store that has all records in the outbox before a snapshot lets the log be cut.
pub struct RecordsFirst<S> {
    store: S,
    records: Records,
}

impl<S: Store> RecordsFirst<S> {
    /// Puts `records` before every snapshot that goes to `store`, which must sync the outbox itself.
    pub const fn new(store: S, records: Records) -> Self {
        Self { store, records }
    }
}

impl<S: Store> Store for RecordsFirst<S> {
    fn recover(&mut self, shard: u32) -> Result<cluster::Recovered, StoreError> {
        self.store.recover(shard)
    }

    fn replicas(&mut self) -> Result<Vec<u32>, StoreError> {
        self.store.replicas()
    }

    fn destroy(&mut self, shard: u32) -> Result<(), StoreError> {
        self.store.destroy(shard)
    }

    fn remember(&mut self, key: &str, fact: &[u8]) -> Result<(), StoreError> {
        self.store.remember(key, fact)
    }

    fn recall(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.recall(key)
    }

    fn write(&mut self, batch: &WriteBatch) -> Result<(), StoreError> {
        if batch.has_snapshot() {
            self.records.settle();
        }
        self.store.write(batch)
    }
}
