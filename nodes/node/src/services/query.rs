//! Service Query: other nodes ask this one on behalf of their admins.

use proto::v1::{
    AskReply, AskRequest, DescribeRequest, EntryRecords, NodeDescription, NotLeader, ReadRecordsReply,
    ReadRecordsRequest, query_server,
};
use tonic::{Code, Request, Response, Status, metadata::MetadataMap};

use crate::{answers::Answers, shards::LEADER_TRAILER};

/// The service.
#[derive(Clone)]
pub struct QueryService {
    answers: Answers,
}

impl QueryService {
    /// Answers from this node's replicas.
    #[must_use]
    pub const fn new(answers: Answers) -> Self {
        Self { answers }
    }
}

#[tonic::async_trait]
impl query_server::Query for QueryService {
    async fn ask(&self, request: Request<AskRequest>) -> Result<Response<AskReply>, Status> {
        self.answers.answer(request.into_inner()).await.map(Response::new).map_err(|leader| not_leading(&leader))
    }

    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<NodeDescription>, Status> {
        let described = self.answers.describe().await;
        described.map(Response::new).ok_or_else(|| Status::unavailable("this node is overloaded, or stops"))
    }

    async fn read_records(&self, request: Request<ReadRecordsRequest>) -> Result<Response<ReadRecordsReply>, Status> {
        let ReadRecordsRequest { shard, after, until } = request.into_inner();
        let piece = self.answers.piece(shard, after, until).await;
        let piece = piece.ok_or_else(|| Status::not_found(format!("this node has no records of shard {shard}")))?;
        let entries = piece.entries.into_iter().map(|(index, records)| EntryRecords { index, records });
        let (from, through) = (piece.from, piece.through);
        Ok(Response::new(ReadRecordsReply { from, through, entries: entries.collect() }))
    }
}

/// The refusal of a node that does not lead the shard, with who does.
pub(super) fn not_leading(leader: &NotLeader) -> Status {
    let mut metadata = MetadataMap::new();
    if let Ok(value) = leader.endpoint.parse() {
        metadata.insert(LEADER_TRAILER, value);
    }
    Status::with_metadata(Code::FailedPrecondition, "this node does not lead the shard", metadata)
}
