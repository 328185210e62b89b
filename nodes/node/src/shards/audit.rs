//! The way of an audit record to the directory, from any node: written down once, however often it is tried.

use std::time::Duration;

use proto::v1::{
    Audit, CommandId, DirectoryEntry, NotLeader, Rejection, RejectionCode, WriteAuditReply, WriteAuditRequest,
    audit_trail_client::AuditTrailClient, directory_entry::Kind,
};
use tokio::sync::oneshot;

use super::{Obstacle, Shards, Unreached};
use crate::{
    actor::{Look, ProposeDirectory},
    core::Core,
    directory::{Directory, RULES_OF_NODES},
    machine::ShardMachine,
};

impl Shards {
    /// Has a record committed by the directory, whoever leads it.
    ///
    /// # Errors
    /// The time was up before it was; it may be there or not.
    pub async fn write_audit(
        &self,
        request: WriteAuditRequest,
        wait: Duration,
    ) -> Result<Result<WriteAuditReply, Rejection>, Unreached> {
        let attempt = |endpoint: Option<String>| {
            let request = request.clone();
            async move {
                match endpoint {
                    None => self.write_audit_here(request).await,
                    Some(endpoint) => self.write_audit_there(&endpoint, request).await.map(Ok),
                }
            }
        };
        self.persist(0, wait, attempt).await
    }

    /// On this node, if it leads the directory.
    ///
    /// # Errors
    /// Who leads instead, or why nothing is known.
    pub(crate) async fn write_audit_at_leader(
        &self,
        request: WriteAuditRequest,
    ) -> Result<Result<WriteAuditReply, Rejection>, NotLeader> {
        self.write_audit_here(request).await.map_err(|obstacle| match obstacle {
            Obstacle::NotLeader(leader) => leader,
            Obstacle::Other(_) => NotLeader::default(),
        })
    }

    async fn write_audit_here(
        &self,
        request: WriteAuditRequest,
    ) -> Result<Result<WriteAuditReply, Rejection>, Obstacle> {
        let other = |text: &str| Obstacle::Other(text.to_owned());
        let owner = self.owners.of(0).ok_or_else(|| Obstacle::NotLeader(NotLeader::default()))?;
        let (answer, answered) = oneshot::channel();
        let at = Box::new(move |core: &Core| drop(answer.send(rules_of_leader(core))));
        owner.try_send(Look { at }).map_err(|_| other("this node is overloaded"))?;
        let rules = answered.await.map_err(|_| other("the directory was stopped"))?.map_err(Obstacle::NotLeader)?;
        match rules {
            None => return Err(other("the cluster is not founded yet")),
            // Before them, no release would know what it is.
            Some(rules) if rules < RULES_OF_NODES => return Ok(Ok(WriteAuditReply { unaudited: true })),
            Some(_) => {}
        }
        let line = request.line.unwrap_or_default();
        let audit = Audit {
            who: line.who,
            role: line.role,
            method: line.method,
            subject: line.subject,
            outcome: line.outcome,
            of: 0,
            from: line.from,
            name: request.name,
            of_name: request.of_name,
        };
        let id = Some(CommandId { sender: 0, number: request.name });
        let entry = DirectoryEntry { at_ms: 0, id, kind: Some(Kind::Audit(audit)) };
        let (done, decided) = oneshot::channel();
        owner.try_send(ProposeDirectory { entry, done }).map_err(|_| other("this node is overloaded"))?;
        match decided.await.map_err(|_| other("the directory was stopped"))? {
            Ok(Ok(())) => Ok(Ok(WriteAuditReply::default())),
            Ok(Err(rejection)) => Ok(Err(rejection)),
            Err(leader) => Err(Obstacle::NotLeader(leader)),
        }
    }

    async fn write_audit_there(&self, endpoint: &str, request: WriteAuditRequest) -> Result<WriteAuditReply, Obstacle> {
        let mut trail = AuditTrailClient::new(self.channels.to(endpoint));
        match trail.write(request).await {
            Ok(reply) => Ok(reply.into_inner()),
            // A leader of an earlier release: the rules cannot be ours then.
            Err(status) if status.code() == tonic::Code::Unimplemented => Ok(WriteAuditReply { unaudited: true }),
            Err(status) => Err(Obstacle::from(&status)),
        }
    }
}

/// The rules in force, None before the cluster is founded, or who leads.
fn rules_of_leader(core: &Core) -> Result<Option<u32>, NotLeader> {
    if !core.leads(0) {
        return Err(core.leader_of(0));
    }
    let directory = core.machine(0).and_then(ShardMachine::directory);
    Ok(directory.filter(|directory| directory.identity().is_some()).map(Directory::rules))
}

/// What a refusal of the directory means to whoever wanted to write.
pub(crate) fn too_long(rejection: &Rejection) -> tonic::Status {
    match rejection.code() {
        RejectionCode::LimitReached => tonic::Status::resource_exhausted(rejection.detail.clone()),
        _ => tonic::Status::internal(rejection.detail.clone()),
    }
}
