//! Moves tenants: runs on the node that leads shard 0, until no row of the directory says that one is moving. It keeps
//! nothing that is needed: whoever leads next goes on where the shards say that the move is.
//!
//! A tenant is sealed where it lives, its state is copied, the directory decides that it has arrived, an empty last piece has
//! it live there, and what is left of it is dropped. While it is sealed its gateways look for its leader. Should it not
//! arrive in time, the directory decides that the move has failed instead, and it lives where it was.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use proto::v1::{
    DirectoryView, DropTenant, FetchTenantRequest, InstallTenant, MoveStep, MoveTenant, Rejection, SealTenant,
    TenancyReply, TenancyRequest, TenantRow, TenantStanding, directory_entry, tenancy_request::Change,
};
use tokio::{
    sync::{oneshot, watch},
    time::sleep,
};
use tokio_stream::StreamExt as _;

use crate::{
    actor::Look,
    machine::ShardMachine,
    metrics::cluster::ClusterMetrics,
    owners::Owners,
    pump,
    shards::{Shards, Unreached},
    tenancy::{INSTALLED_FROM, MAIN, STATE_BYTES_MAX},
};

/// How long one question or change may take before it is asked again.
const WAIT: Duration = Duration::from_secs(3);
/// Between looks.
const AGAIN: Duration = Duration::from_millis(100);
/// How often to look although the directory says nothing new.
const LOOK: Duration = Duration::from_secs(1);
/// Tenants that move at a time.
const MOVES_MAX: usize = 4;

/// Moves all tenants that the directory wants to be moved.
pub(crate) struct Mover {
    /// Way to every shard.
    pub shards: Shards,
    /// This node's actors.
    pub owners: Owners,
    /// Changes of the directory, as this node has applied them.
    pub directory: watch::Receiver<Option<Arc<DirectoryView>>>,
    /// Counts them.
    pub metrics: ClusterMetrics,
    /// A tenant that is sealed and has not arrived by then lives where it was again.
    pub arrival_max: Duration,
}

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// It is asked again.
    #[error(transparent)]
    Unreached(#[from] Unreached),
    /// The same.
    #[error("{0}")]
    NotNow(String),
    /// Asking again would not help.
    #[error("{0}")]
    Impossible(String),
}

impl Mover {
    /// Runs for the life of the node.
    pub(crate) async fn run(mut self) {
        // Since when this node has been at each move.
        let mut since: BTreeMap<(u32, u64), Instant> = BTreeMap::new();
        loop {
            let moving = self.moving().await;
            since.retain(|key, _| moving.iter().any(|row| (row.number, row.r#move) == *key));
            if moving.is_empty() {
                tokio::select! {
                    changed = self.directory.changed() => if changed.is_err() { return },
                    () = sleep(LOOK) => {}
                }
                continue;
            }
            for row in &moving {
                since.entry((row.number, row.r#move)).or_insert_with(Instant::now);
            }
            let steps = moving.iter().take(MOVES_MAX).map(|row| {
                let late = since.get(&(row.number, row.r#move)).is_some_and(|begun| begun.elapsed() > self.arrival_max);
                self.go_on(row, late)
            });
            join_all(steps).await;
            sleep(AGAIN).await;
        }
    }

    /// Tenants on their way, where this node leads the directory.
    async fn moving(&self) -> Vec<TenantRow> {
        let (answer, answered) = oneshot::channel();
        let Some(owner) = self.owners.of(0) else { return Vec::new() };
        let look = move |core: &crate::core::Core| {
            let directory = core.machine(0).and_then(ShardMachine::directory).filter(|_| core.leads(0));
            let rows = directory.into_iter().flat_map(|directory| directory.tenants());
            let moving = rows.filter(|row| row.moving_to != 0 || row.moving_from != 0);
            let _ = answer.send(moving.cloned().collect());
        };
        // Looked at every second: a full mailbox may have one message less.
        if owner.try_send(Look { at: Box::new(look) }).is_err() {
            return Vec::new();
        }
        answered.await.unwrap_or_default()
    }

    /// As far as it goes now.
    async fn go_on(&self, row: &TenantRow, late: bool) {
        let tenant = row.name.as_str();
        let done = if row.failing {
            self.undo(row).await
        } else if row.moving_from != 0 {
            self.finish(row).await
        } else if late {
            Err(Trouble::Impossible(format!("it did not arrive within {:?}", self.arrival_max)))
        } else {
            self.bring(row).await
        };
        match done {
            Ok(()) => {}
            Err(Trouble::Impossible(why)) if !row.failing && row.moving_from == 0 => {
                tracing::warn!(tenant, to = row.moving_to, why, "the move fails; the tenant stays where it was");
                if let Err(error) = self.decide(row, MoveStep::Failed).await {
                    tracing::debug!(tenant, %error, "not decided yet");
                }
            }
            Err(error) => tracing::debug!(tenant, %error, "the move is tried again"),
        }
    }

    /// Seals it, copies it and has the directory decide that it has arrived.
    async fn bring(&self, row: &TenantRow) -> Result<(), Trouble> {
        let (from, to, moved) = (row.shard, row.moving_to, row.r#move);
        // Nothing is sealed for a shard that nobody leads.
        let mut there = self.look(to, row.number).await?;
        let here = begin(&self.shards, row).await?;
        match here.standing() {
            TenantStanding::Sealed if here.r#move == moved => {}
            TenantStanding::Lives => {
                let seal = Change::Seal(SealTenant { r#move: moved });
                let sealed = self.change(from, row.number, seal).await?;
                if sealed.standing() != TenantStanding::Sealed || sealed.r#move != moved {
                    return Err(Trouble::NotNow("it is not sealed yet".into()));
                }
            }
            standing => return Err(Trouble::NotNow(format!("where it lives it is {standing:?}"))),
        }
        if there.standing() != TenantStanding::Arrived || there.r#move != moved {
            there = self.copy(row, &there).await?;
        }
        tracing::info!(tenant = row.name, from, to, bytes = there.arrived, "the tenant has arrived");
        self.decide(row, MoveStep::Arrived).await?;
        self.begin_there(row, to, there.arrived).await
    }

    async fn copy(&self, row: &TenantRow, there: &TenancyReply) -> Result<TenancyReply, Trouble> {
        let (tenant, moved) = (row.number, row.r#move);
        let arriving = there.standing() == TenantStanding::Arriving && there.r#move == moved;
        let offset = if arriving { there.arrived } else { 0 };
        let fetch = FetchTenantRequest { shard: row.shard, tenant, r#move: moved, offset, living: false };
        let mut pieces = self.shards.fetch_tenant(fetch, WAIT).await?;
        let mut last = *there;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|status| Trouble::NotNow(status.message().to_owned()))?;
            if piece.bytes_total > STATE_BYTES_MAX {
                return Err(Trouble::Impossible(format!("its state is larger than {STATE_BYTES_MAX} bytes")));
            }
            let install = InstallTenant {
                r#move: moved,
                offset: piece.offset,
                bytes_total: piece.bytes_total,
                data: piece.data,
                crc: piece.crc,
                name: name_in_records(row),
            };
            let end = piece.offset + install.data.len() as u64;
            last = self.change(row.moving_to, tenant, Change::Install(install)).await?;
            match last.standing() {
                _ if last.r#move != moved => return Err(Trouble::NotNow("another move is known there".into())),
                TenantStanding::Arriving | TenantStanding::Arrived if last.arrived >= end => {}
                TenantStanding::Arriving => return Err(Trouble::NotNow("a piece is not there yet".into())),
                TenantStanding::Gone => {
                    return Err(Trouble::Impossible("what came there cannot be read".into()));
                }
                standing => return Err(Trouble::NotNow(format!("where it goes it is {standing:?}"))),
            }
        }
        if last.standing() != TenantStanding::Arrived {
            return Err(Trouble::NotNow("not all of it has come".into()));
        }
        Ok(last)
    }

    /// It has arrived: it lives there, and nowhere else.
    async fn finish(&self, row: &TenantRow) -> Result<(), Trouble> {
        let there = self.look(row.shard, row.number).await?;
        if there.standing() == TenantStanding::Arrived {
            self.begin_there(row, row.shard, there.arrived).await?;
        }
        let dropped = self.drop_at(row, row.moving_from).await?;
        if dropped.standing() != TenantStanding::Gone {
            return Err(Trouble::NotNow("it is not dropped yet".into()));
        }
        self.decide(row, MoveStep::Done).await?;
        tracing::info!(tenant = row.name, from = row.moving_from, to = row.shard, "the tenant has moved");
        Ok(())
    }

    async fn begin_there(&self, row: &TenantRow, shard: u32, total: u64) -> Result<(), Trouble> {
        let last = InstallTenant {
            r#move: row.r#move,
            offset: total,
            bytes_total: total,
            name: name_in_records(row),
            ..InstallTenant::default()
        };
        let there = self.change(shard, row.number, Change::Install(last)).await?;
        if there.standing() != TenantStanding::Lives {
            return Err(Trouble::NotNow("it does not live there yet".into()));
        }
        Ok(())
    }

    /// It has failed: it lives where it was, and what has come of it is dropped.
    async fn undo(&self, row: &TenantRow) -> Result<(), Trouble> {
        let undo = Change::Drop(DropTenant { r#move: row.r#move, undo: true });
        let here = self.change(row.shard, row.number, undo).await?;
        if here.standing() != TenantStanding::Lives || here.r#move < row.r#move {
            return Err(Trouble::NotNow("it does not live where it was yet".into()));
        }
        let dropped = self.drop_at(row, row.moving_to).await?;
        if dropped.standing() != TenantStanding::Gone {
            return Err(Trouble::NotNow("what has come is not dropped yet".into()));
        }
        self.decide(row, MoveStep::Done).await
    }

    async fn drop_at(&self, row: &TenantRow, shard: u32) -> Result<TenancyReply, Trouble> {
        self.change(shard, row.number, Change::Drop(DropTenant { r#move: row.r#move, undo: false })).await
    }

    async fn look(&self, shard: u32, tenant: u32) -> Result<TenancyReply, Trouble> {
        Ok(self.shards.tenancy(TenancyRequest { shard, tenant, change: None }, WAIT).await?)
    }

    async fn change(&self, shard: u32, tenant: u32, change: Change) -> Result<TenancyReply, Trouble> {
        Ok(self.shards.tenancy(TenancyRequest { shard, tenant, change: Some(change) }, WAIT).await?)
    }

    async fn decide(&self, row: &TenantRow, step: MoveStep) -> Result<(), Trouble> {
        let entry = MoveTenant { tenant: row.number, r#move: row.r#move, step: step.into(), ..MoveTenant::default() };
        match pump::propose(&self.owners, directory_entry::Kind::MoveTenant(entry)).await {
            Some(Ok(())) => {
                if matches!(step, MoveStep::Arrived | MoveStep::Failed) {
                    self.metrics.moved(step == MoveStep::Arrived);
                }
                Ok(())
            }
            Some(Err(Rejection { detail, .. })) => Err(Trouble::NotNow(detail)),
            None => Err(Trouble::NotNow("another node leads the directory".into())),
        }
    }
}

/// Has a new tenant live on its shard; one that was there before is left as it is. Says how it stands.
pub(crate) async fn begin(shards: &Shards, row: &TenantRow) -> Result<TenancyReply, Unreached> {
    let (shard, tenant) = (row.shard, row.number);
    let known = shards.tenancy(TenancyRequest { shard, tenant, change: None }, WAIT).await?;
    if known.standing() != TenantStanding::Unspecified || tenant < INSTALLED_FROM {
        return Ok(known);
    }
    let install = InstallTenant { name: name_in_records(row), ..InstallTenant::default() };
    shards.tenancy(TenancyRequest { shard, tenant, change: Some(Change::Install(install)) }, WAIT).await
}

/// Records of the main tenant name nobody, as those of earlier releases do.
pub(crate) fn name_in_records(row: &TenantRow) -> String {
    if row.number == MAIN { String::new() } else { row.name.clone() }
}
