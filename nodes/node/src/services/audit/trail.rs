//! Service AuditTrail: what was written down is shown to people, and written by nodes.

use proto::v1::{
    AskRequest, AuditList, ListAuditRequest, WriteAuditReply, WriteAuditRequest, ask_reply, ask_request::About,
    audit_trail_server,
};
use tonic::{Request, Response, Status};

use super::super::{asking::WAIT, query::not_leading, refusals::unreached};
use crate::{
    directory::audit::is_whole,
    shards::{Shards, too_long},
};

/// The service.
#[derive(Clone)]
pub struct AuditTrailService {
    shards: Shards,
}

impl AuditTrailService {
    /// Asks the directory by way of `shards`.
    #[must_use]
    pub const fn new(shards: Shards) -> Self {
        Self { shards }
    }
}

#[tonic::async_trait]
impl audit_trail_server::AuditTrail for AuditTrailService {
    async fn list(&self, request: Request<ListAuditRequest>) -> Result<Response<AuditList>, Status> {
        let about = Some(About::Audit(request.into_inner()));
        let asked = self.shards.ask(AskRequest { shard: 0, about }, WAIT).await;
        match asked.map_err(|error| unreached(&error))?.about {
            Some(ask_reply::About::Audit(list)) => {
                Ok(Response::new(AuditList { chain_whole: is_whole(&list.lines), ..list }))
            }
            _ => Err(Status::unimplemented("the directory's leader is of an earlier release")),
        }
    }

    async fn write(&self, request: Request<WriteAuditRequest>) -> Result<Response<WriteAuditReply>, Status> {
        let written = self.shards.write_audit_at_leader(request.into_inner()).await;
        let reply = written.map_err(|leader| not_leading(&leader))?.map_err(|rejection| too_long(&rejection))?;
        Ok(Response::new(reply))
    }
}
