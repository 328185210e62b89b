//! Service Tenancy: the leader of the directory has a tenant sealed, installed or dropped on a shard that is led here, and
//! fetches the state of a sealed one. What is to move where is not decided here.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, stream};
use proto::v1::{FetchTenantRequest, NotLeader, TenancyReply, TenancyRequest, TenantPiece, tenancy_server};
use tokio::{sync::oneshot, time::timeout};
use tonic::{Request, Response, Status};

use super::query::not_leading;
use crate::{actor::ProposeTenancy, answers::Answers, moves::words, owners::Owners};

/// How long a change may take to be applied before whoever asked for it looks again.
const APPLY_MAX: Duration = Duration::from_millis(500);
/// Bytes of a piece of a tenant's state: of one log entry.
pub const PIECE_BYTES: usize = 256 << 10;

/// Pieces of a tenant's state.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<TenantPiece, Status>> + Send>>;

/// The tenants on this node's replicas.
#[derive(Clone)]
pub struct Tenancies {
    owners: Owners,
    answers: Answers,
}

impl Tenancies {
    /// Of these actors.
    #[must_use]
    pub const fn new(owners: Owners, answers: Answers) -> Self {
        Self { owners, answers }
    }

    /// Has a change applied, and says how the tenant stands then.
    ///
    /// # Errors
    /// Who leads the shard instead.
    pub async fn change(&self, request: TenancyRequest) -> Result<TenancyReply, NotLeader> {
        let TenancyRequest { shard, tenant, change } = request;
        if let Some(change) = change {
            let batch = words::entry(tenant, change);
            let (done, applied) = oneshot::channel();
            let owner = self.owners.of(shard).ok_or_else(NotLeader::default)?;
            owner.try_send(ProposeTenancy { shard, batch, done }).map_err(|_| NotLeader::default())?;
            if let Ok(Ok(Err(leader))) = timeout(APPLY_MAX, applied).await {
                return Err(leader);
            }
        }
        let seen = self.answers.at_core(shard, move |core| core.tenants(shard).map(|tenants| tenants.standing(tenant)));
        seen.await?.map(words::reply).ok_or_else(NotLeader::default)
    }

    /// The state of a tenant that is sealed here by this move, or lives here, from an offset on.
    ///
    /// # Errors
    /// Who leads the shard instead.
    pub async fn fetch(&self, request: FetchTenantRequest) -> Result<Pieces, NotLeader> {
        let FetchTenantRequest { shard, tenant, r#move: moved, offset, living } = request;
        let state = self.answers.at_core(shard, move |core| {
            let tenants = core.tenants(shard)?;
            if living {
                // A copy, which shares what it can: written beside whatever the shard does next.
                return tenants.living(tenant).cloned().map(Arc::new);
            }
            tenants.sealed(tenant).filter(|_| tenants.standing(tenant).1 == moved)
        });
        let Some(state) = state.await? else {
            let status = Status::failed_precondition("the tenant does not stand here as it was asked for");
            return Ok(Box::pin(stream::iter([Err(status)])));
        };
        let saved = tokio::task::spawn_blocking(move || {
            let calls = state.calls(&acd::view::CallFilter { queue: None, ended: false, limit: usize::MAX }).len();
            (state.save(), calls as u64)
        });
        let (bytes, calls) = saved.await.map_err(|_| NotLeader::default())?;
        Ok(Box::pin(stream::iter(words::pieces(bytes, calls, offset, PIECE_BYTES).map(Ok))))
    }
}

/// The service.
#[derive(Clone)]
pub struct TenancyService(Tenancies);

impl TenancyService {
    /// A door to these tenants.
    #[must_use]
    pub const fn new(tenancies: Tenancies) -> Self {
        Self(tenancies)
    }
}

#[tonic::async_trait]
impl tenancy_server::Tenancy for TenancyService {
    async fn change(&self, request: Request<TenancyRequest>) -> Result<Response<TenancyReply>, Status> {
        self.0.change(request.into_inner()).await.map(Response::new).map_err(|leader| not_leading(&leader))
    }

    type FetchStream = Pieces;

    async fn fetch(&self, request: Request<FetchTenantRequest>) -> Result<Response<Self::FetchStream>, Status> {
        self.0.fetch(request.into_inner()).await.map(Response::new).map_err(|leader| not_leading(&leader))
    }
}
