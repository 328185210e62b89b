//! The one place that makes connections to other nodes, and where one that came in says whose it is. Sends nothing.

use std::time::Duration;

use tokio::time::timeout;
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint},
};
use trust::{Caller, Far, Role, Trust};

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

/// A new connection to a node that proves to be this one, or why there is none.
pub(super) async fn connect(endpoint: &Endpoint, trust: &Trust, to: u64) -> Result<Channel, String> {
    match timeout(CONNECT_WITHIN, trust.connect(endpoint, Far::Node(format!("n{to}")))).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(deepest(&error)),
        Err(_) => Err("no answer in time".into()),
    }
}

/// The cause says most: what is wrong with a certificate rather than `transport error`.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// The node that the caller's certificate names; None where nobody is asked for one.
pub(super) fn certified<T>(request: &Request<T>) -> Result<Option<u64>, Status> {
    let Some(caller) = request.extensions().get::<Caller>().filter(|caller| caller.asked) else { return Ok(None) };
    let node = caller.identity.as_ref().filter(|identity| identity.role == Role::Node);
    let number = node.and_then(|identity| identity.name.strip_prefix('n')?.parse().ok());
    number.map(Some).ok_or_else(|| Status::permission_denied("only a node of the cluster may say that"))
}

/// Refuses what is said in the name of another node than the certificate's.
pub(super) fn in_own_name(certified: Option<u64>, from: u64) -> Result<(), Status> {
    match certified {
        Some(number) if number != from => {
            let text = format!("the certificate is of n{number}, and it speaks as n{from}");
            Err(Status::permission_denied(text))
        }
        _ => Ok(()),
    }
}
