//! The steward: on the leader of the directory, looks at what all nodes hold, plans (`cluster::placement`), and has a few
//! steps done at a time. It keeps nothing: the next leader looks again and goes on.

mod look;
mod view;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cluster::placement::{Limits, Picture, Step, plan};
use futures::future::join_all;
use proto::v1::{
    ChangeMembers, CreateShard, DropReplica, NodeDescription, OpenReplica, SteerRequest, TransferLead, directory_entry,
    steer_request::What, steward_client::StewardClient,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    members::{Members, id_of},
    metrics::cluster::ClusterMetrics,
    roster::Roster,
    shards::{Shards, within},
};

pub(crate) use view::next_shard;

/// Between looks while there is something to be done,
const BUSY: Duration = Duration::from_millis(150);
/// and while there is nothing.
const CALM: Duration = Duration::from_secs(1);
/// How long whoever wants a look afresh waits for it.
const LOOK_MAX: Duration = Duration::from_secs(4);
/// How long one step may take on a node.
const STEP_MAX: Duration = Duration::from_secs(10);
/// Leads are spread only when every node has been up for so long: after a restart, elections come first.
const SPREAD_AFTER: Duration = Duration::from_secs(10);

/// What the steward saw last, for those who ask. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    state: Arc<Mutex<State>>,
    /// Counts looks that were planned on.
    looks: Arc<watch::Sender<u64>>,
    /// Somebody waits for the next one.
    hurry: Arc<Notify>,
}

#[derive(Default)]
struct State {
    /// When this node began to lead the directory.
    since: Option<Instant>,
    /// When each node was last heard of, as the disk that the directory knows.
    heard: BTreeMap<u64, Instant>,
    /// Looks in a row in which a disk was slow.
    slow: BTreeMap<u64, u32>,
    /// Since when all nodes are up.
    whole: Option<Instant>,
    picture: Picture,
    described: BTreeMap<u64, NodeDescription>,
    next: Vec<String>,
}

impl Seen {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for a look that begins from now on. False when this node does not lead the directory, or looks for too long.
    pub(crate) async fn afresh(&self) -> bool {
        let mut looks = self.looks.subscribe();
        // One may be under way.
        let wanted = *looks.borrow_and_update() + 2;
        let waiting = async {
            while *looks.borrow_and_update() < wanted {
                self.hurry.notify_one();
                if looks.changed().await.is_err() {
                    break;
                }
            }
        };
        timeout(LOOK_MAX, waiting).await.is_ok() && self.has_looked()
    }

    /// Whether this node has looked since it leads the directory.
    pub(crate) fn has_looked(&self) -> bool {
        self.with(|state| !state.picture.shards.is_empty())
    }

    /// How long nothing was heard of a node; a leader that has just begun cannot say more than since when it leads.
    pub(crate) fn silent_for(&self, node: u64) -> Duration {
        self.with(|state| state.heard.get(&node).copied().or(state.since).map_or(Duration::ZERO, |at| at.elapsed()))
    }
}

/// Runs on every node, and does something where the directory is led.
pub(crate) struct Steward {
    pub(crate) shards: Shards,
    pub(crate) members: Members,
    pub(crate) limits: Limits,
    pub(crate) seen: Seen,
    pub(crate) metrics: ClusterMetrics,
}

impl Steward {
    /// Runs for the life of the node.
    pub(crate) async fn run(self) {
        let mut said = Vec::new();
        loop {
            // What is planned on is current: a leader that was paused finds out here that it leads no more.
            let current = self.shards.answers().directory_here(Roster::of).await;
            let Ok(roster) = current else {
                self.seen.with(|state| *state = State::default());
                // Whoever waits for a look has to ask elsewhere.
                self.seen.looks.send_modify(|looks| *looks += 1);
                sleep(CALM / 4).await;
                continue;
            };
            let term = self.shards.answers().term_of(0).await;
            let picture = self.look(&roster).await;
            let steps = if roster.knows_nodes() { plan(&picture, &self.limits) } else { Vec::new() };
            tracing::debug!(?picture, "the steward looks");
            let words: Vec<String> = steps.iter().map(ToString::to_string).collect();
            self.seen.with(|state| (state.picture, state.next) = (picture.clone(), words.clone()));
            self.seen.looks.send_modify(|looks| *looks += 1);
            for word in words.iter().filter(|word| !said.contains(*word)) {
                tracing::info!(step = word, "the steward acts");
            }
            said = words;
            let done = join_all(steps.iter().map(|step| self.carry_out(step, &picture, term))).await;
            let mut failed = false;
            for (step, outcome) in steps.iter().zip(done) {
                self.metrics.stepped(step, outcome.is_ok());
                if let Err(why) = outcome {
                    failed = true;
                    tracing::debug!(%step, why, "the steward could not do that yet");
                }
            }
            let moving = picture.shards.values().any(|shard| {
                !shard.outgoing.is_empty()
                    || shard.leader.is_none()
                    || shard.learners.difference(&shard.caught_up).next().is_some()
            });
            let pause = if failed {
                CALM / 2
            } else if steps.is_empty() && !moving {
                CALM
            } else {
                BUSY
            };
            let _ = timeout(pause, self.seen.hurry.notified()).await;
        }
    }

    async fn carry_out(&self, step: &Step, picture: &Picture, term: u64) -> Result<(), String> {
        let shard = step.shard();
        let leader = picture.shards.get(&shard).and_then(|shard| shard.leader);
        let at_leader = leader.ok_or_else(|| "the shard has no leader".to_owned());
        let (node, what) = match step.clone() {
            Step::Open { node, born_with, .. } => (node, What::Open(OpenReplica { born_with })),
            Step::Drop { node, .. } => {
                let seen = picture.shards.get(&shard).ok_or("an unknown shard")?;
                let members = seen.voters.union(&seen.learners).copied().collect();
                (node, What::Drop(DropReplica { term: self.term_at(shard, at_leader?), members }))
            }
            Step::Change { learn, vote, leave, .. } => (at_leader?, What::Change(ChangeMembers { learn, vote, leave })),
            Step::Lead { to, .. } => (at_leader?, What::Transfer(TransferLead { to })),
            Step::Born { .. } => {
                let kind = directory_entry::Kind::CreateShard(CreateShard { shard, born_with: Vec::new() });
                let outcome = self.shards.propose(kind, STEP_MAX).await;
                return outcome.map_err(|error| error.to_string())?.map_err(|rejection| rejection.detail);
            }
        };
        let endpoint = self.members.get(node).ok_or_else(|| format!("nobody knows {}", id_of(node)))?.endpoint;
        let mut client = StewardClient::new(self.shards.channels().to(&endpoint));
        let request = SteerRequest { shard, what: Some(what), directory_term: term };
        let reply = within(STEP_MAX, client.steer(request)).await.map_err(|status| status.message().to_owned())?;
        if reply.refused.is_empty() { Ok(()) } else { Err(reply.refused) }
    }

    /// The term in which the leader said who the members are.
    fn term_at(&self, shard: u32, leader: u64) -> u64 {
        self.seen.with(|state| {
            let replicas = state.described.get(&leader).map(|described| described.replicas.as_slice());
            let of_shard = replicas.unwrap_or_default().iter().find(|replica| replica.shard == shard);
            of_shard.map_or(0, |replica| replica.term)
        })
    }
}
