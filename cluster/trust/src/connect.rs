//! The connecting side: channels to parts of the cluster, each handshake with the certificates as they are then.

use std::io;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::{
    files::Trust,
    identity::{Identity, Role},
};

/// Who is meant at the far end. Whoever answers must prove to be that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Far {
    /// Any node of the cluster.
    AnyNode,
    /// This one: `n2`.
    Node(String),
    /// Any gateway.
    AnyGateway,
}

const NODE: &str = "node";
const GATEWAY: &str = "gateway";
const OF_NODE: &str = ".node";

impl Far {
    /// How the verifier is told; it never leaves this process.
    fn server_name(&self) -> io::Result<ServerName<'static>> {
        let name = match self {
            Self::AnyNode => NODE.to_owned(),
            Self::AnyGateway => GATEWAY.to_owned(),
            Self::Node(id) => format!("{id}{OF_NODE}"),
        };
        ServerName::try_from(name).map_err(io::Error::other)
    }

    /// Whether a certificate's identity is the one that was meant.
    pub(crate) fn is(meant: &str, theirs: &Identity) -> bool {
        match (meant, theirs.role) {
            (NODE, Role::Node) | (GATEWAY, Role::Gateway) => true,
            (meant, Role::Node) => meant.strip_suffix(OF_NODE) == Some(theirs.name.as_str()),
            _ => false,
        }
    }
}

impl Trust {
    /// Connects now.
    ///
    /// # Errors
    /// Nobody answers there, or somebody who was not meant.
    pub async fn connect(&self, endpoint: &Endpoint, far: Far) -> Result<Channel, tonic::transport::Error> {
        if !self.is_on() {
            return endpoint.connect().await;
        }
        let trust = self.clone();
        let connector = tower::service_fn(move |uri: Uri| open(trust.clone(), far.clone(), uri));
        endpoint.connect_with_connector(connector).await
    }

    /// Connects when it is first used, and again whenever the connection was lost.
    #[must_use]
    pub fn connect_lazily(&self, endpoint: &Endpoint, far: Far) -> Channel {
        if !self.is_on() {
            return endpoint.connect_lazy();
        }
        let trust = self.clone();
        let connector = tower::service_fn(move |uri: Uri| open(trust.clone(), far.clone(), uri));
        endpoint.connect_with_connector_lazy(connector)
    }
}

async fn open(trust: Trust, far: Far, uri: Uri) -> io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
    let host = uri.host().ok_or_else(|| io::Error::other("an endpoint without a host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().ok_or_else(|| io::Error::other("an endpoint without a port"))?;
    let loaded = trust.loaded().ok_or_else(|| io::Error::other("there are no certificates"))?;
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(std::sync::Arc::clone(&loaded.client));
    connector.connect(far.server_name()?, stream).await.map(TokioIo::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_answers_in_the_place_of_another() {
        let who = |name: &str, role| Identity::new("c", name, role).expect("a name");
        let meant = |far: Far| far.server_name().expect("a name").to_str().into_owned();
        let (n1, n11) = (who("n1", Role::Node), who("n11", Role::Node));
        let (g1, anna) = (who("g1", Role::Gateway), who("n1", Role::Admin));
        assert!(Far::is(&meant(Far::AnyNode), &n1) && Far::is(&meant(Far::Node("n1".into())), &n1));
        assert!(!Far::is(&meant(Far::Node("n1".into())), &n11) && !Far::is(&meant(Far::Node("n11".into())), &n1));
        assert!(!Far::is(&meant(Far::AnyNode), &g1) && !Far::is(&meant(Far::AnyNode), &anna));
        assert!(Far::is(&meant(Far::AnyGateway), &g1) && !Far::is(&meant(Far::AnyGateway), &n1));
        assert!(!Far::is(&meant(Far::Node("n1".into())), &anna));
    }
}
