//! How every gRPC connection of a gateway is made: quick to give up, quick to notice a node that stopped.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use trust::{Far, Trust};

const CONNECT_MS_MAX: u64 = 150;
const PING_MS: u64 = 400;
const PING_MS_MAX: u64 = 800;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// Connects to the node at `host:port` (or a full URL).
pub(crate) async fn dial(trust: &Trust, endpoint: &str) -> Result<Channel, tonic::transport::Error> {
    let url = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
    let endpoint = Endpoint::from_shared(url)?
        .connect_timeout(Duration::from_millis(CONNECT_MS_MAX))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_millis(PING_MS))
        .keep_alive_timeout(Duration::from_millis(PING_MS_MAX))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(STREAM_WINDOW_BYTES * 4);
    trust.connect(&endpoint, Far::AnyNode).await
}
