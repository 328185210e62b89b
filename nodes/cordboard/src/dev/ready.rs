//! When a development cluster may be called ready, and what its user can do then.

use std::{fmt::Write as _, path::Path, time::Duration};

use anyhow::bail;
use proto::v1::{GetStatusRequest, Status, admin_client::AdminClient};
use tokio::time::{Instant, sleep};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use trust::{Far, Trust};

use super::children::Children;
use crate::args::DevArgs;

const START_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Until every shard has a leader and the cluster is founded.
pub(crate) async fn wait_for_leaders(trust: &Trust, endpoints: &[String]) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_MAX;
    while Instant::now() < deadline {
        for endpoint in endpoints {
            if let Ok(status) = status_of(trust, endpoint).await
                && !status.cluster.is_empty()
                && status.shards_led == status.shards_total
                && status.nodes_up == status.nodes_total
            {
                return Ok(());
            }
        }
        sleep(LOOK_EVERY).await;
    }
    bail!("the nodes have not agreed on leaders within {} s; their logs say why", START_MAX.as_secs())
}

async fn status_of(trust: &Trust, endpoint: &str) -> anyhow::Result<Status> {
    let endpoint = Endpoint::from_shared(format!("http://{endpoint}"))?;
    let mut admin = AdminClient::new(trust.connect(&endpoint, Far::AnyNode).await?);
    Ok(admin.get_status(GetStatusRequest {}).await?.into_inner())
}

/// Until every gateway says it serves.
pub(crate) async fn wait_for_gateways(trust: &Trust, endpoints: &[String]) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_MAX;
    for endpoint in endpoints {
        while !serves(trust, endpoint).await {
            if Instant::now() > deadline {
                bail!("the gateway at {endpoint} is not ready within {} s; its log says why", START_MAX.as_secs());
            }
            sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

async fn serves(trust: &Trust, endpoint: &str) -> bool {
    let asked = async {
        let endpoint = Endpoint::from_shared(format!("http://{endpoint}"))?;
        let channel = trust.connect(&endpoint, Far::AnyGateway).await?;
        let request = HealthCheckRequest { service: String::new() };
        anyhow::Ok(HealthClient::new(channel).check(request).await?.into_inner().status())
    };
    asked.await.is_ok_and(|status| status == ServingStatus::Serving)
}

/// What to do next, for a person. Commands are written so that they can be pasted.
pub(crate) fn advice(args: &DevArgs, children: &Children) -> String {
    let mut text = String::new();
    let sip: Vec<_> = children.iter().filter_map(|child| child.sip).map(|sip| sip.to_string()).collect();
    let Some(first) = sip.first() else { return text };
    let (dir, cordboard) = (args.dir.display(), command("cordboard"));
    let cordctl = format!("{} --dev {dir}", command("cordctl"));
    // Writing to a String cannot fail.
    let mut line = |what: &str, how: String| {
        let _ = writeln!(text, "  {what:<17}  {how}");
    };
    if args.config.is_none() {
        line("register a phone", format!("server {first}, user anna, password anna-secret (or boris, boris-secret)"));
        line("make it ready", format!("{cordctl} agent login anna && {cordctl} agent ready anna"));
        line("call", format!("sip:5000@{first} (support, music at once) or sip:5001@{first} (sales, ringing)"));
    }
    line("watch", format!("{cordctl} top"));
    if let Some(node) = children.iter().find(|child| child.role == "node") {
        let id = &node.id;
        line("pull a plug", format!("kill -9 {} ({id}), then: {cordboard} dev restart {id} --dir {dir}", node.pid));
    }
    line("stop", format!("Ctrl-C; the data stays in {dir}"));
    format!("Cordboard is up: {} nodes, gateways at {} (UDP and TCP).\n{}", args.nodes, sip.join(", "), text.trim_end())
}

/// How a binary of ours beside this one is called from here.
fn command(name: &str) -> String {
    let beside = std::env::args_os().next().map(|own| Path::new(&own).with_file_name(name));
    match beside {
        // Found by its bare name in the PATH: so are its siblings.
        Some(path) if path.components().count() > 1 => path.display().to_string(),
        _ => name.to_owned(),
    }
}
