//! Channels that are shared: one connection to each endpoint for everything that a part of the cluster asks there. It never
//! decides whom to ask.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tonic::transport::{Channel, Endpoint};

use crate::{Far, Trust};

/// Endpoints that are remembered; what is beyond it was named by members that are long gone.
pub const CHANNELS_MAX: usize = 1_024;

/// One channel to each endpoint. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Channels {
    trust: Trust,
    far: Far,
    tuned: fn(Endpoint) -> Endpoint,
    open: Arc<Mutex<BTreeMap<String, Channel>>>,
}

impl Channels {
    /// No connection yet. `tuned` says how patient connections are; each handshake shows the certificates of its time.
    #[must_use]
    pub fn new(trust: Trust, far: Far, tuned: fn(Endpoint) -> Endpoint) -> Self {
        Self { trust, far, tuned, open: Arc::default() }
    }

    /// The channel to `endpoint`, host:port or a whole URL; connects when it is first used, and again whenever it was lost.
    #[must_use]
    pub fn to(&self, endpoint: &str) -> Channel {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= CHANNELS_MAX && !open.contains_key(endpoint) {
            // Those in use live on with whoever has them.
            open.clear();
        }
        open.entry(endpoint.to_owned()).or_insert_with(|| self.begin(endpoint)).clone()
    }

    fn begin(&self, endpoint: &str) -> Channel {
        let url = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
        // What is no URI can only fail to connect.
        let endpoint = Endpoint::from_shared(url).unwrap_or_else(|_| Endpoint::from_static("http://0.0.0.0:0"));
        self.trust.connect_lazily(&(self.tuned)(endpoint), self.far.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn endpoints_that_are_long_gone_are_forgotten() {
        let channels = Channels::new(Trust::off(), Far::AnyNode, |endpoint| endpoint);
        for port in 0..3 * CHANNELS_MAX {
            let _ = channels.to(&format!("127.0.0.1:{port}"));
            let _ = channels.clone().to("127.0.0.1:1");
        }
        let open = channels.open.lock().expect("nobody panics").len();
        assert!((2..=CHANNELS_MAX).contains(&open), "{open}");
        let _ = channels.to("no endpoint at all");
    }
}
