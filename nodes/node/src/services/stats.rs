//! GetStats at any node: asks the leader of each tenant's shard for its part. Adds nothing up itself.

use proto::v1::{StatsReply, StatsRequest};
use tonic::{Request, Response, Status};

use super::{admin::AdminService, asking::WAIT, query::not_leading, refusals::unreached, scope::Scope};
use crate::{
    answers::{NoStats, STATS_ROWS_MAX, checked_stats},
    clock::now_us,
    moves::name_in_records,
    shards::STATS_OF,
};

impl AdminService {
    pub(super) async fn stats(&self, request: Request<StatsRequest>) -> Result<Response<StatsReply>, Status> {
        let scope = Scope::of(&request)?;
        let of = request.metadata().get(STATS_OF).map(|shard| shard.to_str().ok().and_then(|shard| shard.parse().ok()));
        let request = checked_stats(request.into_inner(), now_us() / 1_000).map_err(Status::invalid_argument)?;
        match of {
            Some(Some(shard)) => self.stats_of(shard, request).await,
            Some(None) => Err(Status::invalid_argument(format!("{STATS_OF} is a shard's number"))),
            None => self.stats_of_all(&scope, request).await,
        }
        .map(Response::new)
    }

    /// Another node asks this one as the shard's leader.
    async fn stats_of(&self, shard: u32, request: StatsRequest) -> Result<StatsReply, Status> {
        self.shards.answers().stats(shard, request).await.map_err(|why| match why {
            NoStats::NotLeader(leader) => not_leading(&leader),
            other => no_stats(&other),
        })
    }

    async fn stats_of_all(&self, scope: &Scope, request: StatsRequest) -> Result<StatsReply, Status> {
        let mut sum = StatsReply { complete: true, ..StatsReply::default() };
        for row in self.tenants(scope).await? {
            let mut part = self.shards.stats(row.number, &request, WAIT).await.map_err(|error| unreached(&error))??;
            let name = name_in_records(&row);
            part.rows.iter_mut().for_each(|part| part.tenant.clone_from(&name));
            sum.rows.extend(part.rows);
            sum.at_ms = sum.at_ms.max(part.at_ms);
            sum.complete &= part.complete;
            if sum.rows.len() > STATS_ROWS_MAX {
                return Err(no_stats(&NoStats::TooMany));
            }
        }
        Ok(sum)
    }
}

/// The answer that is final: no other node would give another.
pub(crate) fn no_stats(why: &NoStats) -> Status {
    match why {
        NoStats::TooMany => Status::resource_exhausted(format!(
            "more than {STATS_ROWS_MAX} rows: ask for a shorter time, for one name, or without intervals"
        )),
        NoStats::Unreadable => Status::internal("the records cannot be read; the node's log says why"),
        NoStats::NotLeader(_) => Status::unavailable("the leader is changing; ask again"),
    }
}
