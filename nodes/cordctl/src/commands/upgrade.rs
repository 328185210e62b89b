//! `cordctl upgrade ..`: which releases run, and when all of them are new, the rules that only they know.

use proto::v1::{ClusterView, RaiseRulesRequest, cluster_client::ClusterClient};
use serde::Serialize;
use tonic::transport::Channel;

use super::node;
use crate::{
    args::Upgrade,
    cluster::{Cluster, by},
    failure::Failure,
    output::{Output, figure, plain, word},
};

#[derive(Serialize)]
struct View {
    rules: u32,
    rules_possible: u32,
    /// Every node knows later rules than those in force.
    can_finish: bool,
    nodes: Vec<Release>,
}

#[derive(Serialize)]
struct Release {
    id: String,
    up: bool,
    release: String,
    rules_max: u32,
}

pub(super) async fn run(asked: &Upgrade, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let seen = match asked {
        Upgrade::Status => node::view("upgrade status", cluster).await?,
        Upgrade::Finish { rules } => {
            let request = RaiseRulesRequest { version: *rules, dry_run: false, by: by() };
            let rpc =
                async |channel: &mut Channel, request| ClusterClient::new(channel.clone()).raise_rules(request).await;
            cluster.ask_service("upgrade finish", request, rpc).await?
        }
    };
    let view = View::from(seen);
    output.show(&view, |page| {
        page.table(
            ["NODE", "STATE", "RELEASE", "KNOWS RULES"],
            view.nodes.iter().map(|node| {
                let state = word(if node.up { "up" } else { "down" });
                [plain(&node.id), state, plain(&node.release), figure(node.rules_max)]
            }),
        );
        page.line(if view.can_finish {
            format!("Rules {} are in force; `cordctl upgrade finish` brings {}.", view.rules, view.rules_possible)
        } else if view.rules_possible > view.rules {
            format!("Rules {} are in force; {} are possible when every node is up.", view.rules, view.rules_possible)
        } else {
            format!("Rules {} are in force, the latest that every node knows.", view.rules)
        });
    })
}

impl From<ClusterView> for View {
    fn from(seen: ClusterView) -> Self {
        let nodes: Vec<Release> = seen
            .nodes
            .iter()
            .filter(|node| node.state != "removed")
            .filter_map(|node| {
                let row = node.row.as_ref()?;
                let (id, release) = (row.id.clone(), row.release.clone());
                Some(Release { id, up: node.up, release, rules_max: row.rules_max })
            })
            .collect();
        let can_finish = seen.rules_possible > seen.rules && nodes.iter().all(|node| node.up);
        Self { rules: seen.rules, rules_possible: seen.rules_possible, can_finish, nodes }
    }
}
