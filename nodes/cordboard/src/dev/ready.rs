//! When a development cluster may be called ready, and what its user can do then.

use std::{fmt::Write as _, path::Path, time::Duration};

use anyhow::bail;
use proto::v1::{GetStatusRequest, Status, admin_client::AdminClient};
use tokio::time::{Instant, sleep};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::children::Children;
use crate::args::DevArgs;

const START_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Until every shard has a leader and the cluster is founded.
pub(crate) async fn wait_for_leaders(endpoints: &[String]) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_MAX;
    while Instant::now() < deadline {
        for endpoint in endpoints {
            if let Ok(status) = status_of(endpoint).await
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

async fn status_of(endpoint: &str) -> anyhow::Result<Status> {
    let mut admin = AdminClient::connect(format!("http://{endpoint}")).await?;
    Ok(admin.get_status(GetStatusRequest {}).await?.into_inner())
}

/// Until every gateway says it serves.
pub(crate) async fn wait_for_gateways(endpoints: &[String]) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_MAX;
    for endpoint in endpoints {
        while !serves(endpoint).await {
            if Instant::now() > deadline {
                bail!("the gateway at {endpoint} is not ready within {} s; its log says why", START_MAX.as_secs());
            }
            sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

async fn serves(endpoint: &str) -> bool {
    let asked = async {
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{endpoint}"))?.connect().await?;
        let request = HealthCheckRequest { service: String::new() };
        anyhow::Ok(HealthClient::new(channel).check(request).await?.into_inner().status())
    };
    asked.await.is_ok_and(|status| status == ServingStatus::Serving)
}

/// What to do next, for a person.
pub(crate) fn advice(dir: &Path, args: &DevArgs, children: &Children) -> String {
    let mut text = String::new();
    let sip: Vec<_> = children.iter().filter_map(|child| child.sip).map(|sip| sip.to_string()).collect();
    let Some(first) = sip.first() else { return text };
    let dir = dir.display();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "Cordboard is up: {} nodes, gateways at {} (UDP and TCP).", args.nodes, sip.join(", "));
    if args.config.is_none() {
        let _ = writeln!(
            text,
            "  register a phone   user anna, password anna-secret (or boris, boris-secret), server {first}"
        );
        let _ = writeln!(
            text,
            "  make it ready      cordctl --dev {dir} agent login anna && cordctl --dev {dir} agent ready anna"
        );
        let _ = writeln!(
            text,
            "  call               sip:5000@{first} (support, music at once) or sip:5001@{first} (sales, ringing)"
        );
    }
    let _ = writeln!(text, "  watch              cordctl --dev {dir} top");
    if let Some(node) = children.iter().find(|child| child.role == "node") {
        let _ = writeln!(
            text,
            "  pull a plug        kill -9 {} ({}), then: cordboard dev restart {} --dir {dir}",
            node.pid, node.id, node.id
        );
    }
    let _ = write!(text, "  stop               Ctrl-C; the data stays in {dir}");
    text
}
