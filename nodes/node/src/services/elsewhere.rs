//! Records that this node does not have, because a leader's snapshot took their entries in: another node has them at the
//! same places. It asks each of the others once and never waits for what is not written down.

use std::time::Duration;

use proto::v1::{RecordBatch, StreamRecordsRequest, admin_client::AdminClient};
use tokio::{sync::mpsc, time::timeout};
use tonic::{Request, Status, metadata::MetadataValue};

use crate::{
    members::{Member, Members},
    shards::FROM_NODE,
};

/// How long another node may take for a batch.
const BATCH_WAIT: Duration = Duration::from_secs(3);

/// The other nodes.
#[derive(Clone)]
pub(super) struct Elsewhere {
    channels: trust::Channels,
    members: Members,
    own: u64,
}

impl Elsewhere {
    /// All members but `own`.
    pub(super) fn new(channels: trust::Channels, members: &Members, own: u64) -> Self {
        Self { channels, members: members.clone(), own }
    }

    /// Hands on what follows the request's cursor at a node that misses nothing there. The cursor behind it; None when
    /// nobody has more.
    pub(super) async fn hand_on(
        &self,
        request: &StreamRecordsRequest,
        batches: &mpsc::Sender<Result<RecordBatch, Status>>,
    ) -> Option<String> {
        for (_, Member { endpoint, .. }) in self.members.all().into_iter().filter(|(number, _)| *number != self.own) {
            let mut request = Request::new(StreamRecordsRequest { follow: false, ..request.clone() });
            request.metadata_mut().insert(FROM_NODE, MetadataValue::from_static("1"));
            let mut admin = AdminClient::new(self.channels.to(&endpoint)).max_decoding_message_size(usize::MAX);
            let Ok(Ok(reply)) = timeout(BATCH_WAIT, admin.stream_records(request)).await else { continue };
            let (mut theirs, mut cursor) = (reply.into_inner(), None);
            while let Ok(Ok(Some(batch))) = timeout(BATCH_WAIT, theirs.message()).await {
                if batch.pruned {
                    break;
                }
                cursor = Some(batch.cursor.clone());
                batches.send(Ok(batch)).await.ok()?;
            }
            if cursor.is_some() {
                return cursor;
            }
        }
        None
    }
}
