//! Moves tenants: runs on the node that leads shard 0, until no row of the directory says that one is moving. It keeps
//! nothing that is needed: whoever leads next goes on where the shards say that the move is. What comes next is not
//! decided here but in `steps`, which the simulator plays too.
//!
//! A tenant is sealed where it lives, its state is copied, the directory decides that it has arrived, an empty last piece has
//! it live there, and what is left of it is dropped. While it is sealed its gateways look for its leader. Should it not
//! arrive in time, the directory decides that the move has failed instead, and it lives where it was.

pub mod steps;
pub mod words;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use proto::v1::{
    DirectoryView, FetchTenantRequest, MoveStep, Rejection, TenancyReply, TenancyRequest, TenantRow, TenantStanding,
    directory_entry, tenancy_request::Change,
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
    tenancy::{INSTALLED_FROM, MAIN},
};
use steps::{Attempt, Step};

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

/// Why a step was not done; it is tried again.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// No leader has answered.
    #[error(transparent)]
    Unreached(#[from] Unreached),
    /// One has, and it is not so.
    #[error("{0}")]
    NotNow(String),
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
            let goes = moving.iter().take(MOVES_MAX).map(|row| {
                let begun = since.get(&(row.number, row.r#move)).copied().unwrap_or_else(Instant::now);
                self.go_on(row, begun + self.arrival_max)
            });
            join_all(goes).await;
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
    async fn go_on(&self, row: &TenantRow, late_at: Instant) {
        if let Err(error) = self.attempt(row, late_at).await {
            tracing::debug!(tenant = row.name, %error, "the move is tried again");
        }
    }

    async fn attempt(&self, row: &TenantRow, late_at: Instant) -> Result<(), Trouble> {
        let mut attempt = Attempt::new(row.clone());
        while !attempt.is_over() {
            match attempt.next(Instant::now() > late_at) {
                Step::Look(shard) => attempt.told(shard, self.ask(shard, row.number, None).await?),
                Step::Change(shard, change) => {
                    attempt.told(shard, self.ask(shard, row.number, Some(change)).await?);
                }
                Step::Copy(offset) => self.copy(&mut attempt, offset).await?,
                Step::Decide(step) => self.decide(&mut attempt, step).await?,
                Step::Fail(why) => self.fail(&mut attempt, why).await?,
                Step::Wait(why) => return Err(Trouble::NotNow(why.into())),
            }
        }
        Ok(())
    }

    async fn copy(&self, attempt: &mut Attempt, offset: u64) -> Result<(), Trouble> {
        let (from, to, tenant, moved) =
            (attempt.row().shard, attempt.row().moving_to, attempt.row().number, attempt.row().r#move);
        let fetch = FetchTenantRequest { shard: from, tenant, r#move: moved, offset, living: false };
        let mut pieces = self.shards.fetch_tenant(fetch, WAIT).await?;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|status| Trouble::NotNow(status.message().to_owned()))?;
            let end = piece.offset + piece.data.len() as u64;
            let Some(change) = attempt.piece(piece) else {
                return self.fail(attempt, "its state is larger than can be moved").await;
            };
            let there = self.ask(to, tenant, Some(change)).await?;
            attempt.told(to, there);
            if there.r#move != moved || there.arrived < end {
                // What it means is decided by whoever knows the steps.
                break;
            }
        }
        Ok(())
    }

    async fn fail(&self, attempt: &mut Attempt, why: &str) -> Result<(), Trouble> {
        let (tenant, to) = (&attempt.row().name, attempt.row().moving_to);
        tracing::warn!(tenant, to, why, "the move fails; the tenant stays where it was");
        self.decide(attempt, MoveStep::Failed).await
    }

    async fn ask(&self, shard: u32, tenant: u32, change: Option<Change>) -> Result<TenancyReply, Trouble> {
        Ok(self.shards.tenancy(TenancyRequest { shard, tenant, change }, WAIT).await?)
    }

    async fn decide(&self, attempt: &mut Attempt, step: MoveStep) -> Result<(), Trouble> {
        let entry = directory_entry::Kind::MoveTenant(attempt.entry(step));
        let refused = |Rejection { detail, .. }| Trouble::NotNow(detail);
        match pump::propose(&self.owners, entry).await {
            Some(decided) => decided.map_err(refused)?,
            None => return Err(Trouble::NotNow("another node leads the directory".into())),
        }
        attempt.decided(step).map_err(refused)?;
        if matches!(step, MoveStep::Arrived | MoveStep::Failed) {
            self.metrics.moved(step == MoveStep::Arrived);
        }
        let TenantRow { name, shard, .. } = attempt.row();
        tracing::info!(tenant = name, shard, ?step, "the move of a tenant");
        Ok(())
    }
}

/// Has a new tenant live on its shard; one that was there before is left as it is. Says how it stands.
pub(crate) async fn begin(shards: &Shards, row: &TenantRow) -> Result<TenancyReply, Unreached> {
    let (shard, tenant) = (row.shard, row.number);
    let known = shards.tenancy(TenancyRequest { shard, tenant, change: None }, WAIT).await?;
    if known.standing() != TenantStanding::Unspecified || tenant < INSTALLED_FROM {
        return Ok(known);
    }
    shards.tenancy(TenancyRequest { shard, tenant, change: Some(steps::begins(row)) }, WAIT).await
}

/// Records of the main tenant name nobody, as those of earlier releases do.
pub(crate) fn name_in_records(row: &TenantRow) -> String {
    if row.number == MAIN { String::new() } else { row.name.clone() }
}
