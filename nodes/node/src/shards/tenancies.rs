//! What the leader of the directory has done with a tenant on a shard, wherever that is led: asked here or at another node
//! until it is known. Every change is one that may come again.

use std::time::Duration;

use proto::v1::{FetchTenantRequest, TenancyReply, TenancyRequest, tenancy_client::TenancyClient};

use super::{Obstacle, Shards, Unreached};
use crate::services::tenancy::{Pieces, Tenancies};

impl Shards {
    /// How a tenant stands on a shard, after the change that is asked for was applied there.
    ///
    /// # Errors
    /// The time was up before a leader answered; the change may or may not be applied.
    pub async fn tenancy(&self, request: TenancyRequest, wait: Duration) -> Result<TenancyReply, Unreached> {
        let here = Tenancies::new(self.owners.clone(), self.answers.clone());
        let attempt = |endpoint: Option<String>| {
            let (request, here) = (request.clone(), here.clone());
            async move {
                match endpoint {
                    None => here.change(request).await.map_err(Obstacle::NotLeader),
                    Some(endpoint) => {
                        let mut client = self.tenancies_at(&endpoint);
                        let reply = client.change(request).await;
                        reply.map(tonic::Response::into_inner).map_err(|status| Obstacle::from(&status))
                    }
                }
            }
        };
        self.persist(request.shard, wait, attempt).await
    }

    /// The state of a tenant that is sealed on a shard, in pieces.
    ///
    /// # Errors
    /// The time was up before a leader answered.
    pub async fn fetch_tenant(&self, request: FetchTenantRequest, wait: Duration) -> Result<Pieces, Unreached> {
        let here = Tenancies::new(self.owners.clone(), self.answers.clone());
        let attempt = |endpoint: Option<String>| {
            let here = here.clone();
            async move {
                let pieces: Pieces = match endpoint {
                    None => here.fetch(request).await.map_err(Obstacle::NotLeader)?,
                    Some(endpoint) => {
                        let mut client = self.tenancies_at(&endpoint);
                        let reply = client.fetch(request).await.map_err(|status| Obstacle::from(&status))?;
                        Box::pin(reply.into_inner())
                    }
                };
                Ok(pieces)
            }
        };
        self.persist(request.shard, wait, attempt).await
    }

    fn tenancies_at(&self, endpoint: &str) -> TenancyClient<tonic::transport::Channel> {
        TenancyClient::new(self.channels.to(endpoint))
    }
}
