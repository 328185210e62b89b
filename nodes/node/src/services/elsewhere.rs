//! Records that this node does not have: of shards without a replica here, and those whose entries a leader's snapshot took
//! in. Other nodes have them at the same places. It decides nothing, and never waits for what is not written down.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use proto::v1::{
    DescribeRequest, RecordBatch, StreamRecordsRequest, admin_client::AdminClient, query_client::QueryClient,
};
use tokio::{sync::mpsc, time::timeout};
use tonic::{Request, Status, Streaming, metadata::MetadataValue};

use super::scope::Scope;
use crate::{
    members::{Member, Members},
    shards::{FROM_NODE, within},
};

/// How long another node may take for a batch.
const BATCH_WAIT: Duration = Duration::from_secs(3);
/// How long it may take to say which replicas it has.
const DESCRIBE_MAX: Duration = Duration::from_millis(500);

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

    fn others(&self) -> impl Iterator<Item = Member> + use<> {
        let own = self.own;
        self.members.all().into_iter().filter(move |(number, _)| *number != own).map(|(_, member)| member)
    }

    /// Which nodes to ask for these shards, each for some of them: as few as it takes.
    ///
    /// # Errors
    /// The shards of which no node that answers has a replica.
    pub(super) async fn holders(&self, mut shards: Vec<u32>) -> Result<Vec<(String, Vec<u32>)>, Vec<u32>> {
        let described = self.others().map(|member| async move {
            let mut query = QueryClient::new(self.channels.to(&member.endpoint))
                .max_decoding_message_size(crate::process::MESSAGE_BYTES_MAX);
            let described = within(DESCRIBE_MAX, query.describe(DescribeRequest {})).await.ok()?;
            let held: Vec<u32> = described.replicas.iter().map(|replica| replica.shard).collect();
            Some((member.endpoint, held))
        });
        let held: BTreeMap<String, Vec<u32>> = join_all(described).await.into_iter().flatten().collect();
        let mut asked = Vec::new();
        while !shards.is_empty() {
            let useful = |held: &[u32]| held.iter().filter(|shard| shards.contains(shard)).count();
            let best = held.iter().max_by_key(|(_, held)| useful(held)).filter(|(_, held)| useful(held) > 0);
            let Some((endpoint, held)) = best else { return Err(shards) };
            let (theirs, rest) = shards.into_iter().partition(|shard| held.contains(shard));
            asked.push((endpoint.clone(), theirs));
            shards = rest;
        }
        Ok(asked)
    }

    /// The records of some shards from a node that has all of them; it fills them up itself from others.
    pub(super) async fn open(
        &self,
        endpoint: &str,
        request: StreamRecordsRequest,
        scope: &Scope,
    ) -> Result<Streaming<RecordBatch>, Status> {
        let mut request = Request::new(request);
        scope.pass_on(&mut request);
        let mut admin = AdminClient::new(self.channels.to(endpoint)).max_decoding_message_size(usize::MAX);
        within(BATCH_WAIT, admin.stream_records(request)).await
    }

    /// Hands on what follows the request's cursor, in the shards that it names, at a node that misses nothing there. The
    /// cursor behind it; None when nobody has more.
    pub(super) async fn hand_on(
        &self,
        request: &StreamRecordsRequest,
        scope: &Scope,
        batches: &mpsc::Sender<Result<RecordBatch, Status>>,
    ) -> Option<String> {
        for Member { endpoint, .. } in self.others() {
            let mut request = Request::new(StreamRecordsRequest { follow: false, ..request.clone() });
            request.metadata_mut().insert(FROM_NODE, MetadataValue::from_static("1"));
            scope.pass_on(&mut request);
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
