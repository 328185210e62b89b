//! Stories about a whole gateway process: a scripted shard on one side, literal SIP messages on the other.
//! Nothing here waits for seconds to pass; it waits for conditions, with a bound.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod calls;
mod egress;
mod failures;
mod operation;
mod overload;
mod peer;
mod shard;
mod takeover;
mod transports;
mod trunks;

use std::time::Duration;

use gateway::{Gateway, GatewayConfig};
use shard::Cluster;

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for a condition.
async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(value) = condition() {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

fn config(cluster: &Cluster) -> GatewayConfig {
    let mut config = GatewayConfig::new("g1", "127.0.0.1:0".parse().unwrap(), cluster.endpoints());
    config.http = Some("127.0.0.1:0".parse().unwrap());
    config.drain_ms = 100;
    config
}

/// A gateway that is ready.
async fn ready_gateway(config: GatewayConfig) -> Gateway {
    let gateway = Gateway::start(config).await.unwrap();
    until("readiness", || gateway.is_ready().then_some(())).await;
    gateway
}

async fn gateway(cluster: &Cluster) -> Gateway {
    ready_gateway(config(cluster)).await
}
