//! The one place that makes connections to other nodes. Sends nothing.

use std::time::Duration;

use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

/// A peer that does not take a connection within this time is away.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_millis(500);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(1);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(2);

/// How to reach a peer; nothing is connected yet.
pub(super) fn endpoint(uri: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(uri.to_owned())?
        .connect_timeout(CONNECT_WITHIN)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_WITHIN)
        .keep_alive_while_idle(true))
}

/// A new connection, or why there is none.
pub(super) async fn connect(endpoint: &Endpoint) -> Result<Channel, String> {
    match timeout(CONNECT_WITHIN, endpoint.connect()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".into()),
    }
}
