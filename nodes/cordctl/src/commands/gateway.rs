//! `cordctl gateway ..`.

use std::time::Duration;

use proto::v1::{DrainGatewayRequest, GatewayInfo, ListGatewaysRequest};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::{
    args::Gateway,
    cluster::{Admin, Cluster, by},
    failure::{Failure, counted},
    output::{Output, clean, figure, plain, time_of_day, word},
};

/// Between two looks at a gateway that is being emptied.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Serialize)]
struct View {
    id: String,
    sip: String,
    up: bool,
    legs: u32,
    since_ms: u64,
    calls: u32,
    draining: bool,
}

pub(super) async fn run(asked: &Gateway, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    match asked {
        Gateway::List => list(cluster, output).await,
        Gateway::Drain { id, deadline, undo } => drain(cluster, output, id, *deadline, *undo).await,
    }
}

pub(super) async fn fetch(cluster: &mut Cluster) -> Result<Vec<GatewayInfo>, Failure> {
    let rpc = async |admin: &mut Admin, request| admin.list_gateways(request).await;
    Ok(cluster.ask("gateway list", ListGatewaysRequest {}, rpc).await?.gateways)
}

async fn list(cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let gateways: Vec<View> = fetch(cluster).await?.into_iter().map(View::from).collect();
    output.show(&gateways, |page| {
        page.table(
            ["ID", "STATE", "CALLS", "LEGS", "SINCE (UTC)", "SIP"],
            gateways.iter().map(|gateway| {
                [
                    plain(&gateway.id),
                    word(gateway.state()),
                    figure(gateway.calls),
                    figure(gateway.legs),
                    plain(time_of_day(gateway.since_ms)),
                    plain(&gateway.sip),
                ]
            }),
        );
    })
}

/// Asks, then waits until nothing is left or the time is up. Says on stderr how it goes.
async fn drain(cluster: &mut Cluster, output: Output, id: &str, deadline: u32, undo: bool) -> Result<String, Failure> {
    let what = format!("gateway drain {}", clean(id));
    let until = Instant::now() + Duration::from_secs(deadline.into());
    let rpc = async |admin: &mut Admin, request| admin.drain_gateway(request).await;
    let request = DrainGatewayRequest { id: id.to_owned(), undo, by: by() };
    let mut gateway = cluster.ask(&what, request, rpc).await?;
    let mut said = None;
    while !undo && gateway.up && gateway.calls > 0 {
        if said.replace(gateway.calls) != Some(gateway.calls) {
            eprintln!("cordctl: {what}: {} left", counted(gateway.calls as usize, "call"));
        }
        if Instant::now() >= until {
            let left = counted(gateway.calls as usize, "call");
            let left = format!("{left} left after {deadline} s; it goes on being emptied (`--undo` ends that)");
            return Err(Failure::Left { what, left });
        }
        sleep(LOOK).await;
        let found = fetch(cluster).await?.into_iter().find(|gateway| gateway.id == id);
        // One that nobody knows any more has nothing left.
        let Some(found) = found else { break };
        gateway = found;
    }
    let view = View::from(gateway);
    output.show(&view, |page| {
        page.table(
            ["ID", "STATE", "CALLS", "LEGS"],
            [[plain(&view.id), word(view.state()), figure(view.calls), figure(view.legs)]],
        );
    })
}

impl View {
    fn state(&self) -> &'static str {
        match (self.up, self.draining) {
            (false, _) => "down",
            (true, true) => "draining",
            (true, false) => "up",
        }
    }
}

impl From<GatewayInfo> for View {
    fn from(gateway: GatewayInfo) -> Self {
        let GatewayInfo { id, sip, up, legs, since_ms, calls, draining } = gateway;
        Self { id, sip, up, legs, since_ms, calls, draining }
    }
}
