//! Which shards have replicas on this node: opens and drops them while it runs, and keeps on the disk which there are and
//! where the other nodes are, so that it starts without being told again. It decides nothing about who should hold what.

use std::sync::Arc;

use cluster::{FOUNDED, LogHandle, Role};
use prost::Message as _;
use proto::v1::{NodeRow, Remembered, ShardRow};
use tokio::sync::{Mutex, oneshot};

use crate::{
    actor::{CloseReplica, Look, OpenReplica},
    members::id_of,
    owners::Owners,
    records::Records,
};

/// The fact on the disk that holds a [`Remembered`].
pub(crate) const REMEMBERED: &str = "replicas";

/// The replicas of one node. Clones share them.
#[derive(Clone)]
pub(crate) struct Replicas(Arc<Inner>);

struct Inner {
    own: u64,
    log: LogHandle,
    owners: Owners,
    records: Records,
    /// As it is on the disk. Held while a replica comes or goes, so that one thing happens at a time.
    remembered: Mutex<Remembered>,
}

impl Replicas {
    /// Of the node with this number, which remembers this much.
    pub(crate) fn new(own: u64, log: LogHandle, owners: Owners, records: Records, remembered: Remembered) -> Self {
        Self(Arc::new(Inner { own, log, owners, records, remembered: Mutex::new(remembered) }))
    }

    /// Has a replica; one that is there stays as it is. `born_with` are the voters of a shard that begins now.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn open(&self, shard: u32, born_with: Vec<u64>) -> Result<(), String> {
        let Inner { log, owners, records, remembered, own } = &*self.0;
        let mut remembered = remembered.lock().await;
        if owners.of(shard).is_some() {
            return Ok(());
        }
        if !born_with.is_empty() && !born_with.contains(own) {
            return Err(format!("shard {shard} does not begin on {}", id_of(*own)));
        }
        let (reply, found) = oneshot::channel();
        log.open(shard, move |recovered| drop(reply.send(recovered))).map_err(|error| error.to_string())?;
        let mut recovered = found.await.map_err(|_| "the log writer has stopped".to_owned())?;
        if !born_with.is_empty() {
            recovered = recovered.or_bootstrap(&born_with);
        }
        let mut next = remembered.clone();
        next.replicas.retain(|row| row.shard != shard);
        next.replicas.push(ShardRow { shard, born_with });
        self.write(&next).await?;
        *remembered = next;
        // It may have been here before: what was written down then is still here. Before anything new is.
        let records = records.clone();
        let loaded = tokio::task::spawn_blocking(move || records.load(shard)).await;
        loaded.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let (done, opened) = oneshot::channel();
        // Past the mailbox's limit: `remembered` is held, so there is one of all these at a time.
        owners.place_of(shard).do_send(OpenReplica { shard, recovered, done });
        opened.await.map_err(|_| "the shard threads have stopped".to_owned())??;
        owners.add(shard);
        tracing::info!(shard, "this node has a replica");
        Ok(())
    }

    /// Forgets a replica for good. The leader of the shard says in `term` that only `members` are left.
    ///
    /// # Errors
    /// Why it stays.
    pub(crate) async fn drop(&self, shard: u32, term: u64, members: &[u64]) -> Result<(), String> {
        let Inner { log, owners, remembered, own, .. } = &*self.0;
        let mut remembered = remembered.lock().await;
        let Some(owner) = owners.of(shard) else { return Ok(()) };
        if members.is_empty() || members.contains(own) {
            return Err(format!("{} is a member of shard {shard}", id_of(*own)));
        }
        let (answer, answered) = oneshot::channel();
        // Past the mailbox's limit: one at a time, see `open`.
        owner.do_send(Look { at: Box::new(move |core| drop(answer.send(core.host().status(shard)))) });
        if let Some(status) = answered.await.ok().flatten()
            && (status.term > term || status.role == Role::Leader)
        {
            return Err(format!("{} knows of a later leader of shard {shard}", id_of(*own)));
        }
        owners.remove(shard);
        let (done, closed) = oneshot::channel();
        // Past the mailbox's limit: the same.
        owner.do_send(CloseReplica { shard, done });
        closed.await.map_err(|_| "the shard threads have stopped".to_owned())?;
        // In this order: what is on the disk and not in the list goes at the next start, too.
        let mut next = remembered.clone();
        next.replicas.retain(|row| row.shard != shard);
        self.write(&next).await?;
        *remembered = next;
        let (reply, gone) = durable();
        log.destroy(shard, reply).map_err(|error| error.to_string())?;
        gone.await.map_err(|_| "the log writer has stopped".to_owned())?;
        tracing::info!(shard, "this node's replica is gone");
        Ok(())
    }

    /// Keeps what the directory says of nodes.
    pub(crate) async fn know(&self, nodes: &[NodeRow], founded: &str) -> Result<(), String> {
        let mut remembered = self.0.remembered.lock().await;
        if remembered.nodes == nodes && remembered.founded == founded {
            return Ok(());
        }
        let next = Remembered { nodes: nodes.to_vec(), founded: founded.to_owned(), ..remembered.clone() };
        if remembered.founded != founded {
            let (reply, written) = durable();
            let kept = self.0.log.remember(FOUNDED, founded.as_bytes().to_vec(), reply);
            kept.map_err(|error| error.to_string())?;
            written.await.map_err(|_| "the log writer has stopped".to_owned())?;
        }
        self.write(&next).await?;
        *remembered = next;
        Ok(())
    }

    async fn write(&self, remembered: &Remembered) -> Result<(), String> {
        let (reply, written) = durable();
        let kept = self.0.log.remember(REMEMBERED, remembered.encode_to_vec(), reply);
        kept.map_err(|error| error.to_string())?;
        written.await.map_err(|_| "the log writer has stopped".to_owned())
    }
}

/// What the log thread calls when something is durable, and what waits for it.
fn durable() -> (impl FnOnce() + Send + 'static, oneshot::Receiver<()>) {
    let (reply, written) = oneshot::channel();
    let call = move || {
        // Whoever waited may have stopped waiting.
        let _ = reply.send(());
    };
    (call, written)
}
