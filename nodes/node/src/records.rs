//! What was written down, on this node: a thread of its own puts records into the outbox, so that a decision never waits
//! for a database. Records come again from the log after a crash; before a snapshot lets the log be cut, all of them are
//! in the outbox.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use cluster::{Outbox, Store, StoreError, Tagged, WriteBatch};
use prost::Message as _;
use proto::v1::{CallRecord, Record, record::Kind};

/// Bursts that may wait for the thread; then applying waits, which is the back-pressure.
const WAITING_MAX: usize = 4_096;
/// The latest ended calls, kept in memory for `call list --ended`.
const ENDED_MAX: usize = 10_000;
/// Records looked at when the latest ended calls are found again at the start.
const ENDED_LOOK_MAX: usize = 50_000;

/// By shard, when it ended and its id: a call that the log brings again lands on itself.
type Ended = BTreeMap<(u32, u64, u64), CallRecord>;

enum Work {
    Put {
        shard: u32,
        index: u64,
        records: Vec<Record>,
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
        let mut ended = Ended::new();
        for &shard in shards {
            for (_, bytes) in outbox.read_last(shard, ENDED_LOOK_MAX)?.into_iter() {
                remember(&mut ended, shard, Record::decode(bytes.as_slice()).ok().as_ref());
            }
        }
        let records =
            Self { work, outbox, ended: Arc::new(Mutex::new(ended)), buffered: Arc::default(), thread: Arc::default() };
        let (outbox, buffered) = (records.outbox.clone(), Arc::clone(&records.buffered));
        let thread = thread::Builder::new()
            .name("records".into())
            .spawn(move || write(&receiver, &outbox, &buffered, &fatal))?;
        *records.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(records)
    }

    /// Writes down what the entry at `index` brought. Writing it twice is writing it once.
    pub fn put(&self, shard: u32, index: u64, records: Vec<Record>) {
        {
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            records.iter().for_each(|record| remember(&mut ended, shard, Some(record)));
        }
        self.buffered.fetch_add(records.len() as u64, Ordering::Relaxed);
        // The thread ends only with the process.
        let _ = self.work.send(Work::Put { shard, index, records });
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

    /// The latest ended calls, newest first.
    #[must_use]
    pub fn ended(&self, shard: u32, limit: usize) -> Vec<CallRecord> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended
            .range((shard, 0, 0)..=(shard, u64::MAX, u64::MAX))
            .rev()
            .take(limit)
            .map(|(_, call)| call.clone())
            .collect()
    }
}

fn remember(ended: &mut Ended, shard: u32, record: Option<&Record>) {
    let Some(Record { kind: Some(Kind::Call(call)), .. }) = record else { return };
    ended.insert((shard, call.ended_ms, call.call), call.clone());
    while ended.len() > ENDED_MAX {
        ended.pop_first();
    }
}

fn write(work: &Receiver<Work>, outbox: &Outbox, buffered: &AtomicU64, fatal: &dyn Fn(&StoreError)) {
    while let Ok(work) = work.recv() {
        match work {
            Work::Put { shard, index, records } => {
                let encoded: Vec<_> = records.iter().map(|record| (tag_of(record), record.encode_to_vec())).collect();
                let row: Vec<_> = encoded.iter().map(|(tag, record)| Tagged { tag, record }).collect();
                if let Err(error) = outbox.put(shard, index, &row) {
                    return fatal(&error);
                }
                buffered.fetch_sub(records.len() as u64, Ordering::Relaxed);
            }
            Work::Barrier(done) => drop(done.send(())),
            Work::Stop => return,
        }
    }
}

/// The call a record is about; empty when it is about none.
fn tag_of(record: &Record) -> Vec<u8> {
    let call = match &record.kind {
        Some(Kind::Call(call)) => call.call,
        Some(Kind::Agent(agent)) => agent.call,
        Some(Kind::Decision(decision)) => decision.call,
        Some(Kind::Transfer(transfer)) => transfer.call,
        Some(Kind::Interval(_)) | None => 0,
    };
    if call == 0 { Vec::new() } else { call.to_be_bytes().to_vec() }
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

    fn write(&mut self, batch: &WriteBatch) -> Result<(), StoreError> {
        if batch.has_snapshot() {
            self.records.settle();
        }
        self.store.write(batch)
    }
}
