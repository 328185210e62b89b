//! Records from the cluster, batch by batch from a cursor on; finds another node when one goes. Each record comes once.

use std::time::Duration;

use proto::v1::{RecordBatch, StreamRecordsRequest};
use tokio::time::{sleep, timeout};
use tonic::{Status, Streaming};

use crate::{
    cluster::{Admin, Cluster, is_passing, reason},
    failure::Failure,
    output::clean,
};

/// Between two attempts to find a node, at least.
const PAUSE: Duration = Duration::from_millis(250);
/// And at most.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Batches that were lost on the way without any progress between, when the end is wanted.
const LOSSES_MAX: u32 = 5;

/// A place in the stream of records.
pub(super) struct Records {
    what: &'static str,
    request: StreamRecordsRequest,
    stream: Option<Streaming<RecordBatch>>,
    losses: u32,
}

impl Records {
    /// From the cursor on, the empty one is the beginning; connects to nobody yet.
    pub(super) fn after(what: &'static str, cursor: String, kinds: &[&str], follow: bool) -> Self {
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let request = StreamRecordsRequest { cursor, kinds, follow, ..StreamRecordsRequest::default() };
        Self { what, request, stream: None, losses: 0 }
    }

    /// The next batch; none is the end. Who follows never sees the end: a node that goes is replaced, for as long as it
    /// takes.
    pub(super) async fn next(&mut self, cluster: &mut Cluster) -> Result<Option<RecordBatch>, Failure> {
        loop {
            let Some(mut stream) = self.stream.take() else {
                let rpc = async |admin: &mut Admin, request| admin.stream_records(request).await;
                match cluster.open(self.what, self.request.clone(), rpc).await {
                    Ok(stream) => self.stream = Some(stream),
                    Err(failure @ Failure::Unreachable { .. }) if self.request.follow => {
                        self.lost(&failure.to_string()).await;
                    }
                    Err(failure) => return Err(failure),
                }
                continue;
            };
            match message(&mut stream, (!self.request.follow).then_some(cluster.patience())).await {
                Ok(Some(batch)) => {
                    self.request.cursor.clone_from(&batch.cursor);
                    self.losses = 0;
                    self.stream = Some(stream);
                    return Ok(Some(batch));
                }
                Ok(None) if !self.request.follow => return Ok(None),
                Ok(None) => self.lost("the node ended the stream").await,
                Err(status) if is_passing(status.code()) => {
                    if !self.request.follow && self.losses >= LOSSES_MAX {
                        let tried = vec![format!("  the stream broke: {}", reason(&status))];
                        return Err(Failure::Unreachable { what: self.what.to_owned(), tried });
                    }
                    self.lost(&reason(&status)).await;
                }
                Err(status) => return Err(Failure::of(self.what, "the node", &status)),
            }
        }
    }

    /// Waits longer each time.
    async fn lost(&mut self, why: &str) {
        eprintln!("cordctl: {}: {}; going on from the last cursor", self.what, clean(why));
        sleep(PAUSE.saturating_mul(1 << self.losses.min(6)).min(PAUSE_MAX)).await;
        self.losses = self.losses.saturating_add(1);
    }
}

/// Who wants the end does not wait for ever for what comes before it.
async fn message(
    stream: &mut Streaming<RecordBatch>,
    patience: Option<Duration>,
) -> Result<Option<RecordBatch>, Status> {
    match patience {
        None => stream.message().await,
        Some(patience) => timeout(patience, stream.message()).await.unwrap_or_else(|_| {
            Err(Status::deadline_exceeded(format!("nothing came for {:.1} s", patience.as_secs_f64())))
        }),
    }
}
