//! MoveTenant: a move is written into the directory, and somebody else does it. Here is only decided whereto, when that is
//! left to the cluster.

use std::collections::BTreeMap;

use proto::v1::{ClusterView, MoveStep, MoveTenant, MoveTenantRequest, TenantRow, directory_entry::Kind};
use tonic::{Response, Status};

use super::{ClusterService, under_rules};
use crate::{
    directory::Directory,
    roster::Roster,
    services::refusals::{missing, refused},
};

/// Tenants and the shards that they may live on.
struct Places {
    tenants: Vec<TenantRow>,
    shards: Vec<u32>,
}

impl Places {
    fn of(directory: &Directory) -> Self {
        let shards = directory.identity().map(|identity| identity.shards.clone()).unwrap_or_default();
        Self { tenants: directory.tenants().cloned().collect(), shards }
    }

    /// The shard with the fewest tenants, none of which wants to be alone; with `own` an empty one.
    fn best(&self, row: &TenantRow, own: bool) -> Option<u32> {
        let mut loads: BTreeMap<u32, u32> =
            self.shards.iter().filter(|shard| **shard != row.shard).map(|shard| (*shard, 0)).collect();
        for other in &self.tenants {
            for shard in [other.shard, other.moving_to, other.moving_from] {
                if let Some(load) = loads.get_mut(&shard) {
                    *load += 1;
                }
                if other.own {
                    loads.remove(&shard);
                }
            }
        }
        let best = loads.into_iter().min_by_key(|(shard, load)| (*load, *shard));
        best.filter(|(_, load)| !own || *load == 0).map(|(shard, _)| shard)
    }
}

impl ClusterService {
    pub(super) async fn begin_move(
        &self,
        roster: &Roster,
        asked: MoveTenantRequest,
    ) -> Result<Response<ClusterView>, Status> {
        under_rules(roster)?;
        let places = self.shards.answers().directory_here(Places::of).await;
        let places = places.map_err(|_| Status::unavailable("the directory's leader is changing; ask again"))?;
        let row = places.tenants.iter().find(|row| row.name == asked.tenant);
        let row = row.ok_or_else(|| missing("tenant", &asked.tenant, "tenant list"))?;
        let to = match asked.to {
            0 => match places.best(row, asked.own) {
                Some(shard) => shard,
                None if asked.own => self.create_shard().await?,
                None => {
                    let detail = "there is no other shard for tenants; `cordctl shard add` makes one";
                    return Err(Status::failed_precondition(detail));
                }
            },
            shard => shard,
        };
        let step = MoveTenant {
            tenant: row.number,
            to,
            step: MoveStep::Begin.into(),
            by: asked.by,
            own: asked.own,
            ..MoveTenant::default()
        };
        self.propose(Kind::MoveTenant(step)).await?.map_err(|rejection| refused(&rejection))?;
        tracing::info!(tenant = row.name, from = row.shard, to, "a tenant is to move");
        self.now().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u32, shard: u32, own: bool) -> TenantRow {
        TenantRow { number, shard, own, ..TenantRow::default() }
    }

    #[test]
    fn the_emptiest_shard_is_taken_and_nobody_is_put_beside_one_who_wants_to_be_alone() {
        let tenants = vec![row(1, 1, false), row(2, 2, true), row(3, 3, false), row(4, 3, false)];
        let places = Places { tenants, shards: vec![1, 2, 3] };
        assert_eq!(places.best(&row(1, 1, false), false), Some(3), "2 is another one's alone");
        assert_eq!(places.best(&row(4, 3, false), false), Some(1));
        assert_eq!(places.best(&row(4, 3, false), true), None);
        let places = Places { shards: vec![1, 2, 3, 4], ..places };
        assert_eq!(places.best(&row(4, 3, false), true), Some(4));
    }
}
