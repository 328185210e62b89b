//! `cordctl status`: the whole cluster in a few figures.

use proto::v1::{GetStatusRequest, Status};
use serde::Serialize;

use crate::{
    cluster::Cluster,
    failure::Failure,
    output::{Output, plain},
};

#[derive(Serialize)]
struct View {
    cluster: String,
    config_version: u64,
    nodes_up: u32,
    nodes_total: u32,
    shards_led: u32,
    shards_total: u32,
    gateways_up: u32,
    gateways_total: u32,
    calls_waiting: u32,
    calls_talking: u32,
    agents_ready: u32,
    agents_total: u32,
    at_ms: u64,
    answered_by: String,
}

pub(super) async fn fetch(cluster: &mut Cluster) -> Result<Status, Failure> {
    cluster.ask("status", GetStatusRequest {}, async |admin, request| admin.get_status(request).await).await
}

pub(super) async fn show(cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let status = fetch(cluster).await?;
    let view = View {
        cluster: status.cluster,
        config_version: status.config_version,
        nodes_up: status.nodes_up,
        nodes_total: status.nodes_total,
        shards_led: status.shards_led,
        shards_total: status.shards_total,
        gateways_up: status.gateways_up,
        gateways_total: status.gateways_total,
        calls_waiting: status.calls_waiting,
        calls_talking: status.calls_talking,
        agents_ready: status.agents_ready,
        agents_total: status.agents_total,
        at_ms: status.at_ms,
        answered_by: status.answered_by,
    };
    output.show(&view, |page| {
        page.pairs([
            ("cluster", plain(&view.cluster)),
            ("configuration", plain(format_args!("version {}", view.config_version))),
            ("nodes", plain(format_args!("{} of {} up", view.nodes_up, view.nodes_total))),
            ("shards", plain(format_args!("{} of {} have a leader", view.shards_led, view.shards_total))),
            ("gateways", plain(format_args!("{} of {} up", view.gateways_up, view.gateways_total))),
            ("calls", plain(format_args!("{} waiting, {} talking", view.calls_waiting, view.calls_talking))),
            ("agents", plain(format_args!("{} of {} ready", view.agents_ready, view.agents_total))),
            ("answered by", plain(&view.answered_by)),
        ]);
    })
}
