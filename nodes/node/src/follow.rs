//! Carries what the directory says of nodes to where this node needs it: the transport and the disk. Decides
//! nothing.

use std::{collections::BTreeMap, sync::Arc};

use cluster::peers::PeerClient;
use proto::v1::NodeWish;
use tokio::sync::{mpsc, watch};

use crate::{
    join::Refused,
    members::{Members, id_of},
    replicas::Replicas,
    roster::Roster,
};

/// What is told.
pub(crate) struct Follow {
    /// This node's number.
    pub own: u64,
    /// The directory, as this node has applied it.
    pub roster: watch::Receiver<Arc<Roster>>,
    /// All nodes, which the actor keeps up to date.
    pub members: Members,
    /// The transport.
    pub peers: Arc<PeerClient>,
    /// What is on the disk.
    pub replicas: Replicas,
    /// Told why this node must not go on.
    pub refused: mpsc::Sender<Refused>,
}

impl Follow {
    /// Runs for the life of the node.
    pub(crate) async fn run(mut self) {
        loop {
            let roster = self.roster.borrow_and_update().clone();
            set_peers(&self.peers, &self.members);
            if !roster.founded.is_empty()
                && let Err(error) = self.replicas.know(&roster.nodes, &roster.founded).await
            {
                tracing::warn!(%error, "the nodes of the cluster are not kept on the disk");
            }
            if roster.row(self.own).is_some_and(|row| row.wish() == NodeWish::Removed) {
                let why = format!("{} was removed from the cluster; its data may be deleted", id_of(self.own));
                let _ = self.refused.send(Refused(why)).await;
            }
            if self.roster.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Where nodes may be, as the transport wants it.
pub(crate) fn uris(members: &Members) -> BTreeMap<u64, Vec<String>> {
    let uri = |endpoint: String| format!("http://{endpoint}");
    members.places().into_iter().map(|(number, places)| (number, places.into_iter().map(uri).collect())).collect()
}

/// Where the other nodes are from now on.
pub(crate) fn set_peers(peers: &PeerClient, members: &Members) {
    if let Err(error) = peers.set_peers(uris(members)) {
        tracing::warn!(%error, "a node has an endpoint that cannot be reached");
    }
}
