//! The one thread of a node that makes writes durable: everything queued becomes one flush. Decides nothing and never
//! tries a failed flush again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::guard::stored;
use crate::store::{Persisted, Recovered, Store, StoreError, WriteBatch};

/// Batches waiting; a host that is further ahead of its disk than this waits.
const QUEUE_BATCHES_MAX: usize = 1024;
/// One flush carries about this much at most, so that the first in it does not wait long.
const FLUSH_BYTES_MAX: usize = 16 << 20;

/// The log thread.
pub struct LogWriter {
    handle: LogHandle,
    thread: Option<JoinHandle<()>>,
}

/// Gives batches to the log thread; one per host.
#[derive(Clone)]
pub struct LogHandle {
    jobs: SyncSender<Job>,
    counters: Arc<WriterCounters>,
}

/// What the log thread has done, for metrics.
#[derive(Debug, Default)]
pub struct WriterCounters {
    /// Flushes.
    pub flushes: AtomicU64,
    /// Batches in them.
    pub batches: AtomicU64,
    /// Bytes of entries and snapshots in them.
    pub bytes: AtomicU64,
    /// Time spent flushing, in microseconds.
    pub flush_us: AtomicU64,
    /// The longest flush, in microseconds.
    pub flush_us_max: AtomicU64,
}

/// The log thread has ended; its fatal callback has said why, or it was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log writer has stopped")]
pub struct WriterStopped;

type Work = Box<dyn FnOnce(&mut dyn Store) -> Result<(), StoreError> + Send>;

enum Job {
    Write(usize, WriteBatch),
    /// Something rare, in its turn.
    Do(Work),
    Stop,
}

impl LogWriter {
    /// Starts the thread. `persisted` is called on it, once per host and flush, and should only pass the word on;
    /// `fatal` at most once, and nothing is written after it.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start<S, P, F>(store: S, persisted: P, fatal: F) -> std::io::Result<Self>
    where
        S: Store + 'static,
        P: Fn(usize, Persisted) + Send + 'static,
        F: FnOnce(StoreError) + Send + 'static,
    {
        let (jobs, queue) = sync_channel(QUEUE_BATCHES_MAX);
        let counters = Arc::new(WriterCounters::default());
        let counted = Arc::clone(&counters);
        let thread = thread::Builder::new().name("log-writer".into()).spawn(move || {
            if let Err(error) = run(store, &queue, &persisted, &counted) {
                tracing::error!(%error, "the log cannot be written");
                fatal(error);
            }
        })?;
        Ok(Self { handle: LogHandle { jobs, counters }, thread: Some(thread) })
    }

    /// A handle for one host's owner.
    pub fn handle(&self) -> LogHandle {
        self.handle.clone()
    }

    /// See [`LogHandle::submit`].
    ///
    /// # Errors
    /// When the thread has ended.
    pub fn submit(&self, host: usize, batch: WriteBatch) -> Result<(), WriterStopped> {
        self.handle.submit(host, batch)
    }

    /// What was done so far.
    pub fn counters(&self) -> Arc<WriterCounters> {
        Arc::clone(&self.handle.counters)
    }
}

impl LogHandle {
    /// Queues a batch of a host; waits when the disk is far behind. A host's batches must come in the order of its
    /// drains; `host` is any number that the caller gave it.
    ///
    /// # Errors
    /// When the thread has ended.
    pub fn submit(&self, host: usize, batch: WriteBatch) -> Result<(), WriterStopped> {
        self.jobs.send(Job::Write(host, batch)).map_err(|_| WriterStopped)
    }

    /// Reads what is durable of a shard, so that a replica of it can begin while the node runs. `reply` is called on the
    /// log thread and should only pass the word on. A disk that cannot be read ends the node instead.
    ///
    /// # Errors
    /// When the thread has ended.
    pub fn open(&self, shard: u32, reply: impl FnOnce(Recovered) + Send + 'static) -> Result<(), WriterStopped> {
        self.turn(move |store| store.recover(shard).map(reply))
    }

    /// Forgets a shard for good, see [`Store::destroy`]; what was submitted before is written first. The shard's host must
    /// have removed it. `reply` is as of [`LogHandle::open`].
    ///
    /// # Errors
    /// When the thread has ended.
    pub fn destroy(&self, shard: u32, reply: impl FnOnce() + Send + 'static) -> Result<(), WriterStopped> {
        self.turn(move |store| {
            store.destroy(shard)?;
            reply();
            Ok(())
        })
    }

    /// Keeps a small fact, see [`Store::remember`]. `reply` is called when it is durable, as of [`LogHandle::open`].
    ///
    /// # Errors
    /// When the thread has ended.
    pub fn remember(
        &self,
        key: &str,
        fact: Vec<u8>,
        reply: impl FnOnce() + Send + 'static,
    ) -> Result<(), WriterStopped> {
        let key = key.to_owned();
        self.turn(move |store| {
            store.remember(&key, &fact)?;
            reply();
            Ok(())
        })
    }

    fn turn(
        &self,
        work: impl FnOnce(&mut dyn Store) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), WriterStopped> {
        self.jobs.send(Job::Do(Box::new(work))).map_err(|_| WriterStopped)
    }
}

/// Ends the thread after what was queued before is durable.
impl Drop for LogWriter {
    fn drop(&mut self) {
        let _ = self.handle.jobs.send(Job::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run<S: Store>(
    mut store: S,
    queue: &Receiver<Job>,
    persisted: &impl Fn(usize, Persisted),
    counters: &WriterCounters,
) -> Result<(), StoreError> {
    // What came out of the queue behind a batch and could not join it.
    let mut next = None;
    while let Some(job) = next.take().or_else(|| queue.recv().ok()) {
        match job {
            Job::Write(host, batch) => next = flush(&mut store, host, batch, queue, persisted, counters)?,
            Job::Do(work) => stored(|| work(&mut store))?,
            Job::Stop => break,
        }
    }
    Ok(())
}

/// Makes a batch and those waiting behind it durable at once; gives back the job that ended the row, if one did.
fn flush<S: Store>(
    store: &mut S,
    host: usize,
    mut batch: WriteBatch,
    queue: &Receiver<Job>,
    persisted: &impl Fn(usize, Persisted),
    counters: &WriterCounters,
) -> Result<Option<Job>, StoreError> {
    let mut last = BTreeMap::from([(host, batch.number)]);
    let (mut bytes, mut batches, mut next) = (batch.bytes(), 1, None);
    while bytes < FLUSH_BYTES_MAX {
        match queue.try_recv() {
            Ok(Job::Write(host, later)) => {
                last.insert(host, later.number);
                bytes += later.bytes();
                batches += 1;
                batch.merge(later);
            }
            Ok(other) => {
                next = Some(other);
                break;
            }
            Err(_) => break,
        }
    }
    let began = Instant::now();
    stored(|| store.write(&batch))?;
    let flush_us = began.elapsed().as_micros() as u64;
    counters.flushes.fetch_add(1, Relaxed);
    counters.batches.fetch_add(batches, Relaxed);
    counters.bytes.fetch_add(bytes as u64, Relaxed);
    counters.flush_us.fetch_add(flush_us, Relaxed);
    counters.flush_us_max.fetch_max(flush_us, Relaxed);
    while let Some((host, batch)) = last.pop_first() {
        persisted(host, Persisted { batch });
    }
    Ok(next)
}

#[cfg(test)]
mod tests;
