//! How every gRPC connection of a gateway is made: quick to give up, quick to notice a node that stopped.

use std::time::Duration;

use trust::{Channels, Far, Trust};

const CONNECT_MS_MAX: u64 = 150;
const PING_MS: u64 = 400;
const PING_MS_MAX: u64 = 800;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// Channels to nodes: all links of a thread share one connection to each node, so that many tenants cost no more
/// connections and pings than one.
pub(crate) fn nodes(trust: Trust) -> Channels {
    Channels::new(trust, Far::AnyNode, |endpoint| {
        endpoint
            .connect_timeout(Duration::from_millis(CONNECT_MS_MAX))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_millis(PING_MS))
            .keep_alive_timeout(Duration::from_millis(PING_MS_MAX))
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(STREAM_WINDOW_BYTES * 4)
    })
}
