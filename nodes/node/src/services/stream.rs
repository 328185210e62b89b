//! StreamRecords: a consumer reads what was written down, from its cursor on. Any node serves it: what a snapshot has kept
//! from this one, and shards without a replica here, are read at others. What a consumer does not take is not read.

mod joined;

use std::{collections::BTreeSet, pin::Pin, sync::Arc, time::Duration};

use futures::Stream;
use proto::v1::{RecordBatch, StreamRecordsRequest};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::sleep,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{elsewhere::Elsewhere, scope::Scope};
use crate::{
    limits::{self, Limit},
    owners::Owners,
    records::{
        Records,
        cursor::Cursor,
        reader::{Kinds, Reader},
    },
    roles::is_of_a_node,
    shards::FROM_NODE,
};
use joined::{Part, join};

/// Consumers at the same time; one more is refused.
const STREAMS_MAX: usize = 64;
/// Batches that wait for a consumer.
const BATCHES_WAITING_MAX: usize = 2;
/// How often a consumer who waits is looked after: replicas may have come or gone.
const LOOK: Duration = Duration::from_secs(1);

/// The batches of one consumer.
pub(crate) type Batches = Pin<Box<dyn Stream<Item = Result<RecordBatch, Status>> + Send>>;

/// Serves the records of this node.
#[derive(Clone)]
pub(super) struct Streams {
    records: Records,
    owners: Owners,
    elsewhere: Elsewhere,
    places: Arc<Semaphore>,
}

impl Streams {
    /// Of all shards that `owners` have; what is not here is read `elsewhere`.
    pub(super) fn new(records: Records, owners: Owners, elsewhere: Elsewhere) -> Self {
        Self { records, owners, elsewhere, places: Arc::new(Semaphore::new(STREAMS_MAX)) }
    }

    pub(super) async fn open(&self, request: Request<StreamRecordsRequest>) -> Result<Response<Batches>, Status> {
        let scope = Scope::of(&request)?;
        let of_a_node = is_of_a_node(&request, request.metadata().contains_key(FROM_NODE));
        let request = request.into_inner();
        let layout = self.layout(&request.shards)?;
        let cursor = self.cursor(&request.cursor, &layout)?;
        let kinds = Kinds::parse(&request.kinds).map_err(|unknown| {
            Status::invalid_argument(format!("kinds: {unknown:?} is none; they are {}", Kinds::ALL.join(", ")))
        })?;
        let kinds = kinds.of_tenant(scope.in_records());
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            limits::reached(Limit::RecordStreams);
            Status::resource_exhausted(format!("{STREAMS_MAX} consumers read from this node already"))
        })?;
        let others = self.others(&request, &scope, &layout).await?;
        let own = layout.here.clone();
        let reader = Reader::new(self.records.clone(), own.clone(), cursor.clone(), kinds, request.batch_max);
        let (batches, receiver) = mpsc::channel(BATCHES_WAITING_MAX);
        let elsewhere = (!of_a_node).then(|| self.elsewhere.clone());
        let written = self.records.written();
        let feed = Feed { reader, written, request, scope, elsewhere, layout, batches };
        tokio::spawn(feed.run(place));
        if others.is_empty() {
            return Ok(Response::new(Box::pin(ReceiverStream::new(receiver))));
        }
        let mut parts = others;
        parts.push(Part { shards: own, batches: Box::pin(ReceiverStream::new(receiver)) });
        let (batches, receiver) = mpsc::channel(BATCHES_WAITING_MAX);
        tokio::spawn(join(parts, cursor, batches));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    /// Which shards are read here and which are not.
    fn layout(&self, asked: &[u32]) -> Result<Layout, Status> {
        let (owners, here) = (self.owners.clone(), self.owners.shards());
        if asked.is_empty() {
            let all = Some(all_shards(&owners));
            return Ok(Layout { owners, here, all });
        }
        let asked: BTreeSet<u32> = asked.iter().copied().collect();
        if let Some(lacking) = asked.iter().find(|shard| !here.contains(shard)) {
            return Err(Status::unavailable(format!("this node has no replica of shard {lacking}")));
        }
        Ok(Layout { owners, here: asked.into_iter().collect(), all: None })
    }

    /// The streams of shards without a replica here: their records would be missing without a word.
    async fn others(
        &self,
        request: &StreamRecordsRequest,
        scope: &Scope,
        layout: &Layout,
    ) -> Result<Vec<Part>, Status> {
        let all = layout.all.iter().flatten().copied();
        let lacking: Vec<u32> = all.filter(|shard| !layout.here.contains(shard)).collect();
        if lacking.is_empty() {
            return Ok(Vec::new());
        }
        let holders = self.elsewhere.holders(lacking).await.map_err(|lacking| {
            let lacking: Vec<String> = lacking.iter().map(u32::to_string).collect();
            Status::unavailable(format!("no node that answers has a replica of shard {}", lacking.join(", ")))
        })?;
        let mut parts = Vec::new();
        for (endpoint, shards) in holders {
            let request = StreamRecordsRequest { shards: shards.clone(), ..request.clone() };
            let batches = self.elsewhere.open(&endpoint, request, scope).await?;
            parts.push(Part { shards, batches: Box::pin(batches) });
        }
        Ok(parts)
    }

    fn cursor(&self, text: &str, layout: &Layout) -> Result<Cursor, Status> {
        if text.is_empty() {
            return Ok(Cursor::default());
        }
        let cursor: Cursor = text.parse().map_err(|error| Status::invalid_argument(format!("cursor: {error}")))?;
        // Of shards that are not asked for it may name any.
        if let Some(all) = &layout.all
            && let Some(shard) = cursor.shards().find(|shard| !layout.here.contains(shard) && !all.contains(shard))
        {
            return Err(Status::invalid_argument(format!("cursor: there is no shard {shard} in this cluster")));
        }
        Ok(cursor)
    }
}

/// The directory, and every shard for tenants.
fn all_shards(owners: &Owners) -> BTreeSet<u32> {
    std::iter::once(0).chain(owners.homes().now().shards().iter().copied()).collect()
}

/// Where the shards of a stream were when it began.
struct Layout {
    owners: Owners,
    /// Read here.
    here: Vec<u32>,
    /// All that there are, when all are wanted.
    all: Option<BTreeSet<u32>>,
}

impl Layout {
    /// Replicas have come or gone: the stream would miss what is written down from now on, or read a shard twice.
    fn has_changed(&self) -> bool {
        let now = self.owners.shards();
        match &self.all {
            Some(all) => now != self.here || all_shards(&self.owners) != *all,
            None => self.here.iter().any(|shard| !now.contains(shard)),
        }
    }
}

/// What feeds one consumer.
struct Feed {
    reader: Reader,
    written: watch::Receiver<Option<u64>>,
    /// With the cursor of what was handed on.
    request: StreamRecordsRequest,
    scope: Scope,
    /// None for another node, so that no question goes round.
    elsewhere: Option<Elsewhere>,
    layout: Layout,
    batches: mpsc::Sender<Result<RecordBatch, Status>>,
}

impl Feed {
    /// Until the consumer goes, the node stops, or, without `follow`, the end is reached.
    async fn run(self, _place: OwnedSemaphorePermit) {
        let mut stopping = self.written.clone();
        tokio::select! {
            () = self.work() => {}
            _ = stopping.wait_for(Option::is_none) => {}
        }
    }

    async fn work(mut self) {
        loop {
            // Before reading: what is written meanwhile wakes us.
            self.written.mark_unchanged();
            let mut reader = self.reader;
            // Disk: not on an async thread.
            let read = tokio::task::spawn_blocking(move || {
                let read = reader.next_batch();
                (reader, read)
            });
            let Ok((reader, read)) = read.await else { return };
            self.reader = reader;
            if self.layout.has_changed() {
                let status = Status::unavailable("replicas have come or gone; go on from the last cursor");
                let _ = self.batches.send(Err(status)).await;
                return;
            }
            match read {
                Ok(Some(batch)) => {
                    let gaps = self.reader.pruned_in();
                    if batch.pruned && self.filled_elsewhere(gaps).await {
                        continue;
                    }
                    self.request.cursor.clone_from(&batch.cursor);
                    if self.batches.send(Ok(batch)).await.is_err() {
                        return;
                    }
                }
                Ok(None) if self.filled_elsewhere(self.reader.lacks_the_end()).await => {}
                Ok(None) if self.request.follow => tokio::select! {
                    changed = self.written.changed() => if changed.is_err() { return },
                    () = self.batches.closed() => return,
                    () = sleep(LOOK) => {}
                },
                Ok(None) => {
                    if let Some(rest) = self.reader.rest() {
                        let _ = self.batches.send(Ok(rest)).await;
                    }
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "the outbox cannot be read");
                    let status = Status::internal("the records cannot be read; the node's log says why");
                    let _ = self.batches.send(Err(status)).await;
                    return;
                }
            }
        }
    }

    /// What is missing here of these shards was handed on from another node, and the reader is behind it.
    async fn filled_elsewhere(&mut self, shards: Vec<u32>) -> bool {
        let Some(elsewhere) = self.elsewhere.as_ref().filter(|_| !shards.is_empty()) else { return false };
        let request = StreamRecordsRequest { shards, ..self.request.clone() };
        let Some(cursor) = elsewhere.hand_on(&request, &self.scope, &self.batches).await else { return false };
        let Ok(place) = cursor.parse() else { return false };
        self.reader.go_to(place);
        self.request.cursor = cursor;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use cluster::{Outbox, OutboxLimits};
    use proto::v1::{CallRecord, Record, record::Kind};
    use tokio::time::timeout;
    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::homes::Homes;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn records(dir: &Path) -> Records {
        let outbox = Outbox::open(&dir.join("outbox"), OutboxLimits::default()).expect("an outbox");
        Records::start(outbox, &[1], |error| panic!("{error}")).expect("a thread")
    }

    fn put(records: &Records, index: u64) {
        let kind = Some(Kind::Call(CallRecord { call: index, ..CallRecord::default() }));
        records.put(1, index, vec![Record { at_ms: index, kind, ..Record::default() }]);
    }

    async fn follow(streams: &Streams) -> Result<Batches, Status> {
        let request = StreamRecordsRequest { follow: true, batch_max: 1, ..StreamRecordsRequest::default() };
        streams.open(Request::new(request)).await.map(Response::into_inner)
    }

    async fn next(batches: &mut Batches) -> Option<u64> {
        let batch = timeout(PATIENCE, batches.next()).await.expect("in time")?.expect("a batch");
        match batch.records.first().and_then(|record| record.kind.as_ref()) {
            Some(Kind::Call(call)) => Some(call.call),
            other => panic!("{other:?}"),
        }
    }

    fn nobody_else() -> Elsewhere {
        Elsewhere::new(crate::shards::channels(trust::Trust::off()), &crate::members::Members::default(), 1)
    }

    #[tokio::test]
    async fn a_consumer_that_waits_is_woken_and_one_that_is_slow_misses_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let records = records(dir.path());
        let streams =
            Streams::new(records.clone(), Owners::new(Vec::new(), vec![0, 1], Homes::default()), nobody_else());
        let (mut quick, mut slow) = (follow(&streams).await.expect("open"), follow(&streams).await.expect("open"));
        for index in 1..=50 {
            put(&records, index);
            assert_eq!(next(&mut quick).await, Some(index));
        }
        for index in 1..=50 {
            assert_eq!(next(&mut slow).await, Some(index));
        }
        records.end_streams();
        assert_eq!((next(&mut quick).await, next(&mut slow).await), (None, None));
        drop((quick, slow, streams));
        records.stop();
    }

    #[tokio::test]
    async fn one_consumer_too_many_is_refused_until_another_goes() {
        let dir = tempfile::tempdir().expect("a directory");
        let records = records(dir.path());
        let streams =
            Streams::new(records.clone(), Owners::new(Vec::new(), vec![0, 1], Homes::default()), nobody_else());
        let mut open = Vec::new();
        for _ in 0..STREAMS_MAX {
            open.push(follow(&streams).await.expect("open"));
        }
        let refused = follow(&streams).await.err().expect("refused");
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        open.pop();
        let again = timeout(PATIENCE, async {
            loop {
                if let Ok(stream) = follow(&streams).await {
                    break stream;
                }
                tokio::task::yield_now().await;
            }
        });
        drop(again.await.expect("a place is free"));
        records.end_streams();
    }
}
