//! Apply: files become documents of the directory, at its leader. What they may say is checked in package `documents`, never
//! here.

use std::time::Duration;

use proto::v1::{
    ApplyReply, ApplyRequest, Document, DocumentChange, PutDocuments, admin_client::AdminClient, directory_entry,
};
use tokio::time::{Instant, sleep};
use tonic::{Request, Response, Status, metadata::MetadataValue};

use super::{admin::AdminService, asking::WAIT, audit::Outcome, refusals::refused};
use crate::{
    directory::{RULES_OF_NODES, kind_of},
    pump,
    shards::PASSED_ON,
};

/// Documents that an audit record names.
const CHANGES_TOLD_MAX: usize = 10;

impl AdminService {
    /// `by` is who wants it.
    pub(super) async fn apply_documents(
        &self,
        request: Request<ApplyRequest>,
        by: String,
    ) -> Result<Response<ApplyReply>, Status> {
        let passed_on = request.metadata().contains_key(PASSED_ON);
        let request = ApplyRequest { by, ..request.into_inner() };
        match self.directory_elsewhere().await? {
            Some(_) if passed_on => Err(Status::unavailable("the directory's leader is changing; apply again")),
            Some(endpoint) => {
                let mut request = Request::new(request);
                request.metadata_mut().insert(PASSED_ON, MetadataValue::from_static("1"));
                AdminClient::new(self.shards.channels().to(&endpoint))
                    .max_encoding_message_size(usize::MAX)
                    .max_decoding_message_size(usize::MAX)
                    .apply(request)
                    .await
                    .map(told)
            }
            None => self.apply_here(request).await.map(Response::new).map(told),
        }
    }

    /// Applies at the directory's leader, here.
    async fn apply_here(&self, request: ApplyRequest) -> Result<ApplyReply, Status> {
        let present = self.directory().await?;
        let plan = match documents::check(&present.documents, &request.files) {
            Ok(plan) => plan,
            Err(errors) => return Ok(ApplyReply { version: present.version, errors, ..ApplyReply::default() }),
        };
        if present.rules < RULES_OF_NODES && plan.upserts.iter().any(is_of_a_tenant) {
            return Err(Status::failed_precondition(
                "the cluster does not know tenants yet: `cordctl upgrade finish` once every node runs this release",
            ));
        }
        if request.dry_run || plan.upserts.is_empty() {
            return Ok(ApplyReply { version: present.version, changes: plan.changes, errors: Vec::new() });
        }
        let put =
            PutDocuments { base_version: present.version, upserts: plan.upserts, removals: Vec::new(), by: request.by };
        match pump::propose(&self.owners, directory_entry::Kind::PutDocuments(put)).await {
            Some(Ok(())) => {}
            Some(Err(rejection)) => return Err(refused(&rejection)),
            None => return Err(Status::unavailable("the directory's leader changed; look with `get` and apply again")),
        }
        self.wait_until_configured(present.version + 1).await;
        Ok(ApplyReply { version: present.version + 1, changes: plan.changes, errors: Vec::new() })
    }

    /// The documents are committed; tenants that are slow get them all the same, so this only waits for a while.
    async fn wait_until_configured(&self, version: u64) {
        let deadline = Instant::now() + WAIT;
        let Ok(present) = self.directory().await else { return };
        for row in present.tenants.iter().filter(|row| row.documents >= version) {
            while Instant::now() < deadline
                && !pump::config_version(&self.shards, row.number, WAIT).await.is_ok_and(|known| known >= row.documents)
            {
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// The endpoint of the directory's leader, None when it is this node.
    async fn directory_elsewhere(&self) -> Result<Option<String>, Status> {
        let leader = self
            .shard_list()
            .await
            .into_iter()
            .find(|shard| shard.id == 0 && !shard.leader.is_empty())
            .ok_or_else(|| Status::unavailable("the directory has no leader; are most nodes up?"))?
            .leader;
        Ok(self
            .members
            .all()
            .into_iter()
            .find(|(number, member)| member.id == leader && *number != self.own)
            .map(|(_, member)| member.endpoint))
    }
}

/// What a release without tenants would not understand.
fn is_of_a_tenant(document: &Document) -> bool {
    !document.tenant.is_empty() || kind_of(document) == "Tenant"
}

/// What became of documents is said in the reply, not by its status. A Caller's name may be a caller's number.
fn told(mut reply: Response<ApplyReply>) -> Response<ApplyReply> {
    let ApplyReply { version, changes, errors } = reply.get_ref();
    let name = |change: &DocumentChange| match change.kind.as_str() {
        "Caller" => "a Caller".to_owned(),
        kind => format!("{kind} {}", change.name),
    };
    let changed: Vec<String> =
        changes.iter().filter(|change| change.action != "unchanged").take(CHANGES_TOLD_MAX).map(name).collect();
    let outcome = match errors.len() {
        0 => format!("done: version {version}: {}", changed.join(", ")),
        count => format!("refused, errors: {count}"),
    };
    reply.extensions_mut().insert(Outcome(outcome));
    reply
}
