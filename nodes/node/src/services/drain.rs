//! DrainGateway: the calls of a gateway are handed to the others, of every tenant that knows it. When they are is the shards'
//! decision; this only asks.

use futures::future::join_all;
use proto::v1::{DrainGateway, DrainGatewayRequest, GatewayInfo, RejectionCode, command};
use tonic::Status;

use super::{
    admin::AdminService,
    asking::WAIT,
    refusals::{missing, refused, unreached},
    scope::Scope,
};

impl AdminService {
    pub(super) async fn drain(&self, request: DrainGatewayRequest) -> Result<GatewayInfo, Status> {
        let DrainGatewayRequest { id, undo, by } = request;
        if id.is_empty() {
            return Err(Status::invalid_argument("id is missing: which gateway"));
        }
        let gateway = self.gateway(&id).await?;
        if !gateway.up {
            return Err(Status::failed_precondition(format!("gateway {id:?} is not there, its calls are with others")));
        }
        let tenants = self.tenants(&Scope::default()).await?;
        let asked = tenants.into_iter().map(|row| {
            let drain = DrainGateway { gateway: id.clone(), incarnation: 0, undo, by: by.clone() };
            self.shards.submit(row.number, command::Kind::DrainGateway(drain), WAIT)
        });
        for answer in join_all(asked).await {
            match answer.map_err(|error| unreached(&error))? {
                // It serves other shards.
                Err(rejection) if rejection.code() == RejectionCode::UnknownGateway => {}
                answer => answer.map_err(|rejection| refused(&rejection))?,
            }
        }
        self.gateway(&id).await
    }

    async fn gateway(&self, id: &str) -> Result<GatewayInfo, Status> {
        let found = self.gateways().await?.into_iter().find(|gateway| gateway.id == id);
        found.ok_or_else(|| missing("gateway", id, "gateway list"))
    }
}
