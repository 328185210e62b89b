//! `cordctl gateway list`.

use proto::v1::{GatewayInfo, ListGatewaysRequest};
use serde::Serialize;

use crate::{
    cluster::{Admin, Cluster},
    failure::Failure,
    output::{Output, figure, plain, time_of_day, word},
};

#[derive(Serialize)]
struct View {
    id: String,
    sip: String,
    up: bool,
    legs: u32,
    since_ms: u64,
}

pub(super) async fn fetch(cluster: &mut Cluster) -> Result<Vec<GatewayInfo>, Failure> {
    let rpc = async |admin: &mut Admin, request| admin.list_gateways(request).await;
    Ok(cluster.ask("gateway list", ListGatewaysRequest {}, rpc).await?.gateways)
}

pub(super) async fn list(cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let gateways: Vec<View> = fetch(cluster).await?.into_iter().map(View::from).collect();
    output.show(&gateways, |page| {
        page.table(
            ["ID", "STATE", "LEGS", "SINCE (UTC)", "SIP"],
            gateways.iter().map(|gateway| {
                [
                    plain(&gateway.id),
                    word(if gateway.up { "up" } else { "down" }),
                    figure(gateway.legs),
                    plain(time_of_day(gateway.since_ms)),
                    plain(&gateway.sip),
                ]
            }),
        );
    })
}

impl From<GatewayInfo> for View {
    fn from(gateway: GatewayInfo) -> Self {
        let GatewayInfo { id, sip, up, legs, since_ms, .. } = gateway;
        Self { id, sip, up, legs, since_ms }
    }
}
