//! `cordctl tenant ..`: tenants, where they live, and their moves.

use proto::v1::{ClusterView, MoveTenantRequest, TenantRow, cluster_client::ClusterClient};
use serde::Serialize;
use tonic::transport::Channel;

use super::node::{view, wait_until};
use crate::{
    args::Tenant,
    cluster::{Cluster, by},
    failure::Failure,
    output::{Output, figure, plain, word},
};

#[derive(Serialize)]
struct View {
    name: String,
    number: u32,
    shard: u32,
    /// Whether it is to be alone there.
    own: bool,
    /// What is going on with it.
    state: String,
    moves: u64,
}

pub(super) async fn run(asked: Tenant, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    match asked {
        Tenant::List => {
            let seen = view("tenant list", cluster).await?;
            show(&seen, output)
        }
        Tenant::Move { name, to, own, wait } => {
            let what = format!("tenant move {name}");
            let rpc =
                async |channel: &mut Channel, request| ClusterClient::new(channel.clone()).move_tenant(request).await;
            let request = MoveTenantRequest { tenant: name.clone(), to: to.unwrap_or(0), own, by: by() };
            let mut seen = cluster.ask_service(&what, request, rpc).await?;
            let goal = find(&seen, &name).map(|row| if row.moving_to == 0 { row.shard } else { row.moving_to });
            if wait.wait {
                seen = wait_until(cluster, &what, seen, wait.deadline, |seen| {
                    find(seen, &name).is_some_and(|row| row.moving_to == 0 && row.moving_from == 0)
                })
                .await?;
                if find(&seen, &name).map(|row| row.shard) != goal {
                    let left = "the other shard could not take it; it stays where it was".to_owned();
                    return Err(Failure::Left { what, left });
                }
            }
            show(&seen, output)
        }
    }
}

fn find<'a>(seen: &'a ClusterView, name: &str) -> Option<&'a TenantRow> {
    seen.tenants.iter().find(|row| row.name == name)
}

fn show(seen: &ClusterView, output: Output) -> Result<String, Failure> {
    let tenants: Vec<View> = seen.tenants.iter().map(View::of).collect();
    output.show(&tenants, |page| {
        page.table(
            ["NAME", "NUMBER", "SHARD", "PLACEMENT", "STATE", "MOVES"],
            tenants.iter().map(|tenant| {
                [
                    plain(&tenant.name),
                    figure(tenant.number),
                    figure(tenant.shard),
                    word(if tenant.own { "own" } else { "shared" }),
                    plain(&tenant.state),
                    figure(tenant.moves),
                ]
            }),
        );
    })
}

impl View {
    fn of(row: &TenantRow) -> Self {
        let state = if row.failing {
            format!("stays, shard {} could not take it", row.moving_to)
        } else if row.moving_to != 0 {
            format!("moves to shard {}", row.moving_to)
        } else if row.moving_from != 0 {
            format!("came from shard {}", row.moving_from)
        } else {
            "lives".to_owned()
        };
        Self { name: row.name.clone(), number: row.number, shard: row.shard, own: row.own, state, moves: row.r#move }
    }
}
