//! Answers from this node's own replicas: linearizable ones where it leads, or what it knows of itself. It never asks
//! another node. What a question calls a shard is a tenant's number, or 0, the directory.

mod stats;

pub use stats::{NoStats, STATS_DAYS_MAX, STATS_ROWS_MAX, checked as checked_stats};

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use proto::v1::{
    AgentList, AskReply, AskRequest, CallDetail, CallExplanation, CallInfo, CallList, CallOutcome, CallRecord,
    DirectoryDocuments, GatewayList, NodeDescription, NodeInfo, NotLeader, NothingFound, Progress, QueueList, Record,
    ReplicaInfo, ShardInfo, Totals, ask_reply::About as Answer, ask_request::About, record,
};
use tokio::sync::oneshot;

use crate::{
    actor::{Ask, Look},
    clock::now_us,
    core::Core,
    directory::Directory,
    limits::{self, Limit},
    machine::ShardMachine,
    members::{Members, id_of},
    owners::Owners,
    records::{Piece, Records},
    translate,
};

/// Ended calls in one answer at the most.
const ENDED_MAX: usize = 10_000;

/// What others tell this start of this node from another by.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// Of the disk.
    pub seal: u64,
    /// How often the disk was started.
    pub life: u64,
    /// Random.
    pub process: u64,
    /// Mean of the log's latest flushes, microseconds; 0 = there were none.
    pub flush_us: Arc<AtomicU64>,
}

/// What this node can say. Cheap to clone.
#[derive(Clone)]
pub struct Answers {
    owners: Owners,
    records: Records,
    members: Members,
    own: u64,
    start: Start,
    started: Instant,
    /// Written once: shards do not change in this release.
    version: Arc<str>,
}

impl Answers {
    /// `own` is this node's number.
    #[must_use]
    pub fn new(owners: Owners, records: Records, members: Members, own: u64, start: Start) -> Self {
        let version = env!("CARGO_PKG_VERSION").into();
        Self { owners, records, members, own, start, started: Instant::now(), version }
    }

    /// A look at the directory where it is led, after a read index.
    ///
    /// # Errors
    /// Who leads instead.
    pub(crate) async fn directory_here<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Directory) -> T + Send + 'static,
    ) -> Result<T, NotLeader> {
        let seen = self.at_core(0, move |core| Some(look(core.machine(0)?.directory()?)));
        seen.await?.ok_or_else(NotLeader::default)
    }

    /// Who leads a shard, as far as this node knows; nobody is named when it is this one.
    pub(crate) async fn leader_of(&self, shard: u32) -> NotLeader {
        self.peek(shard, move |core| core.leader_of(shard)).await.unwrap_or_default()
    }

    /// The term of a shard, as far as this node knows.
    pub(crate) async fn term_of(&self, shard: u32) -> u64 {
        let term = self.peek(shard, move |core| core.host().status(shard).map(|status| status.term));
        term.await.flatten().unwrap_or_default()
    }

    async fn peek<T: Send + 'static>(&self, shard: u32, look: impl FnOnce(&Core) -> T + Send + 'static) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        // Whoever asks may ask very often; who waits for nothing here need not be told.
        let look = Look { at: Box::new(move |core| drop(answer.send(look(core)))) };
        if self.owners.of(shard)?.try_send(look).is_err() {
            limits::reached(Limit::Mailbox);
            return None;
        }
        answered.await.ok()
    }

    /// This node's id in text.
    #[must_use]
    pub fn own_id(&self) -> String {
        id_of(self.own)
    }

    /// A linearizable answer.
    ///
    /// # Errors
    /// Who leads instead.
    pub async fn answer(&self, request: AskRequest) -> Result<AskReply, NotLeader> {
        let tenant = request.shard;
        let Some(about) = request.about else { return Ok(reply(nothing())) };
        let now_ms = now_us() / 1_000;
        if tenant == 0 {
            let answer = self.at_core(0, move |core| {
                core.machine(0).and_then(ShardMachine::directory).map(|directory| from_directory(directory, &about))
            });
            return answer.await?.map(reply).ok_or_else(NotLeader::default);
        }
        match &about {
            About::Explain(explain) => {
                let Some(call) = translate::id_from_hex(&explain.call) else { return Ok(reply(nothing())) };
                let live = self.at_leader(tenant, move |shard, _| live_call(shard, call, now_ms)).await?;
                let records = self.records_of(tenant, call).await?;
                Ok(reply(explanation(live, records)))
            }
            About::Call(wanted) => {
                let Some(call) = translate::id_from_hex(&wanted.call) else { return Ok(reply(nothing())) };
                match self.at_leader(tenant, move |shard, _| live_call(shard, call, now_ms)).await? {
                    Some(detail) => Ok(reply(Answer::Call(detail))),
                    None => Ok(reply(ended_call(&self.records_of(tenant, call).await?))),
                }
            }
            About::Calls(list) if list.ended => {
                let limit = usize::try_from(list.limit).unwrap_or(ENDED_MAX).min(ENDED_MAX);
                let queue = list.queue.clone();
                // The question makes sure that this node has applied everything that was acknowledged.
                let name = self.at_leader(tenant, |_, name| name.to_owned()).await?;
                let of_queue = |call: &CallRecord| queue.is_empty() || call.queue == queue;
                let ended = self.records.ended(&name, ENDED_MAX).into_iter().filter(of_queue).take(limit);
                Ok(reply(Answer::Calls(CallList { calls: ended.map(|call| info_of(&call)).collect() })))
            }
            _ => self.at_leader(tenant, move |shard, _| reply(from_tenant(shard, about, now_ms))).await,
        }
    }

    /// A look at a tenant's state and at its name in records, where it is led and after a read index.
    async fn at_leader<T: Send + 'static>(
        &self,
        tenant: u32,
        look: impl FnOnce(&acd::Shard, &str) -> T + Send + 'static,
    ) -> Result<T, NotLeader> {
        let home = self.owners.homes().of(tenant).ok_or_else(NotLeader::default)?;
        let seen = self.at_core(home, move |core| {
            let tenants = core.tenants(home)?;
            Some(look(tenants.living(tenant)?, tenants.name(tenant)))
        });
        // It has just gone, and the directory of this node has not heard of it.
        seen.await?.ok_or_else(NotLeader::default)
    }

    /// The same look at every core of this node. None unless all have answered: part of a node must not pass for the whole.
    async fn at_all<T: Send + 'static>(&self, look: impl Fn(&Core) -> T + Clone + Send + 'static) -> Option<Vec<T>> {
        let mut seen = Vec::new();
        for owner in self.owners.all() {
            let (answer, answered) = oneshot::channel();
            let look = look.clone();
            if owner.try_send(Look { at: Box::new(move |core| drop(answer.send(look(core)))) }).is_err() {
                limits::reached(Limit::Mailbox);
                return None;
            }
            seen.push(answered.await.ok()?);
        }
        Some(seen)
    }

    /// The shards with a replica here on which a tenant lives or has lived.
    async fn shards_of(&self, tenant: u32) -> Result<Vec<u32>, NotLeader> {
        let shards = self.at_all(move |core| {
            let knows = |&shard: &u32| core.tenants(shard).is_some_and(|tenants| tenants.knows(tenant));
            core.host().shards().filter(knows).collect::<Vec<_>>()
        });
        Ok(shards.await.ok_or_else(NotLeader::default)?.concat())
    }

    /// A look at the core that leads the shard, after a read index.
    ///
    /// # Errors
    /// Who leads instead.
    pub(crate) async fn at_core<T: Send + 'static>(
        &self,
        shard: u32,
        look: impl FnOnce(&Core) -> T + Send + 'static,
    ) -> Result<T, NotLeader> {
        let owner = self.owners.of(shard).ok_or_else(NotLeader::default)?;
        let (answer, answered) = oneshot::channel();
        let question = Box::new(move |core: Result<&Core, NotLeader>| drop(answer.send(core.map(look))));
        owner.try_send(Ask { shard, question }).map_err(|_| NotLeader::default())?;
        answered.await.unwrap_or_else(|_| Err(NotLeader::default()))
    }

    /// Records that another node misses, of entries that this one has applied. None when it has none of the shard, or cannot
    /// look.
    pub(crate) async fn piece(&self, shard: u32, after: u64, until: u64) -> Option<Piece> {
        let applied = self.peek(shard, move |core| core.host().status(shard).map(|status| status.applied)).await;
        let records = self.records.clone();
        // Disk: not on an async thread.
        let read = tokio::task::spawn_blocking(move || match applied.flatten() {
            Some(applied) => records.piece(shard, after, until.min(applied)).map(Some),
            None => records.piece_of_former(shard, after, until),
        });
        match read.await.ok()? {
            Ok(piece) => piece,
            Err(error) => {
                tracing::error!(%error, "the outbox cannot be read");
                None
            }
        }
    }

    /// Gaps in the records of this node that others may fill.
    pub(crate) fn record_gaps(&self) -> usize {
        let shards = self.owners.shards();
        shards.iter().flat_map(|shard| self.records.gaps(*shard)).filter(|gap| !gap.pruned).count()
    }

    async fn records_of(&self, tenant: u32, call: u64) -> Result<Vec<Record>, NotLeader> {
        let records = self.records.clone();
        let shards = self.shards_of(tenant).await?;
        // Disk: not on an async thread.
        let read = tokio::task::spawn_blocking(move || {
            let mut found = Vec::new();
            for shard in shards {
                found.extend(records.of_call(shard, call)?);
            }
            // Of a call that moved with its tenant: what was written down on the former shard is older.
            found.sort_by_key(|record| record.at_ms);
            Ok::<_, cluster::StoreError>(found)
        });
        match read.await {
            Ok(Ok(records)) => Ok(records),
            Ok(Err(error)) => {
                tracing::error!(%error, "the outbox cannot be read");
                Ok(Vec::new())
            }
            Err(_) => Ok(Vec::new()),
        }
    }

    /// This node and its replicas, as it knows them. None when it has too much to do, or stops: a replica that is not in
    /// it counts as lost.
    pub async fn describe(&self) -> Option<NodeDescription> {
        let members = self.members.clone();
        let here = self.at_all(move |core| {
            let here = core.host().shards().filter_map(|shard| {
                let status = core.host().status(shard)?;
                let info = shard_info(&members, shard, &status, core.machine(shard)?);
                Some((info, replica_info(shard, status)))
            });
            here.collect::<Vec<_>>()
        });
        let (mut shards, replicas): (Vec<_>, Vec<_>) = here.await?.into_iter().flatten().unzip();
        shards.sort_by_key(|shard| shard.id);
        let own_id = self.own_id();
        let info = NodeInfo {
            grpc: self.members.get(self.own).map(|member| member.endpoint).unwrap_or_default(),
            up: true,
            leads: u32::try_from(shards.iter().filter(|shard| shard.leader == own_id).count()).unwrap_or(u32::MAX),
            replicas: u32::try_from(shards.len()).unwrap_or(u32::MAX),
            version: self.version.to_string(),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            id: own_id,
        };
        let Start { seal, life, process, flush_us } = &self.start;
        Some(NodeDescription {
            info: Some(info),
            shards,
            replicas,
            flush_us: flush_us.load(Ordering::Relaxed),
            seal: *seal,
            rules_max: acd::RULES,
            life: *life,
            process: *process,
        })
    }

    /// What this node's replicas know of the tenants that live on them, as far as they have applied; of each one's queues
    /// the first `queues_max` by name. None when it has too much to do.
    pub async fn tenants_here(&self, queues_max: usize) -> Option<Vec<TenantHere>> {
        let tenants = self.at_all(move |core| {
            let here = core.host().shards().filter_map(|shard| Some((shard, core.tenants(shard)?)));
            let all = here.flat_map(|(shard, tenants)| {
                tenants.all_living().filter_map(move |tenant| {
                    let state = tenants.living(tenant)?;
                    Some(TenantHere {
                        shard,
                        tenant,
                        totals: translate::totals(state),
                        queues: state.queues().into_iter().take(queues_max).collect(),
                    })
                })
            });
            all.collect::<Vec<_>>()
        });
        Some(tenants.await?.into_iter().flatten().collect())
    }
}

/// A tenant as a replica of this node has it.
#[derive(Debug, Clone)]
pub struct TenantHere {
    /// Where it lives.
    pub shard: u32,
    /// Its number.
    pub tenant: u32,
    /// Figures.
    pub totals: Totals,
    /// Its queues.
    pub queues: Vec<acd::view::QueueInfo>,
}

fn replica_info(shard: u32, status: cluster::GroupStatus) -> ReplicaInfo {
    let progress = |peer: cluster::PeerProgress| Progress {
        node: peer.node,
        matched: peer.matched,
        active: peer.active && !peer.snapshot,
    };
    ReplicaInfo {
        shard,
        leads: status.established,
        term: status.term,
        voters: status.voters,
        voters_outgoing: status.voters_outgoing,
        learners: status.learners,
        last: status.last,
        progress: status.progress.into_iter().map(progress).collect(),
        asleep: status.asleep,
    }
}

fn shard_info(members: &Members, shard: u32, status: &cluster::GroupStatus, machine: &ShardMachine) -> ShardInfo {
    ShardInfo {
        id: shard,
        leader: status.leader.and_then(|leader| members.get(leader)).map(|member| member.id).unwrap_or_default(),
        replicas: status.voters.iter().map(|&number| id_of(number)).collect(),
        term: status.term,
        committed: status.committed,
        applied: status.applied,
        role: if machine.directory().is_some() { "directory" } else { "tenant" }.into(),
        config_version: match machine {
            ShardMachine::Directory(directory) => directory.version(),
            ShardMachine::Tenants(tenants) => {
                let living = tenants.all_living().filter_map(|tenant| tenants.living(tenant));
                living.map(acd::Shard::config_version).max().unwrap_or(0)
            }
        },
    }
}

fn from_directory(directory: &Directory, about: &About) -> Answer {
    match about {
        About::Documents(_) => {}
        About::Audit(wanted) => return Answer::Audit(directory.audit_list(wanted)),
        _ => return nothing(),
    }
    let identity = directory.identity();
    Answer::Documents(DirectoryDocuments {
        version: directory.version(),
        cluster: identity.map(|identity| identity.cluster.clone()).unwrap_or_default(),
        shards: identity.map(|identity| identity.shards.clone()).unwrap_or_default(),
        documents: directory.documents().cloned().collect(),
        rules: directory.rules(),
        nodes: directory.nodes().cloned().collect(),
        shard_rows: directory.shard_rows().cloned().collect(),
        tenants: directory.tenants().cloned().collect(),
        changes: directory.view_version() - directory.version(),
    })
}

fn from_tenant(shard: &acd::Shard, about: About, now_ms: u64) -> Answer {
    let late_ms = now_ms.saturating_sub(shard.now());
    let some = |name: String| (!name.is_empty()).then_some(name);
    match about {
        About::Queues(_) => {
            let queues = shard.queues().into_iter().map(|queue| translate::queue(queue, late_ms)).collect();
            Answer::Queues(QueueList { queues })
        }
        About::Queue(wanted) => shard
            .queue(&wanted.name, usize::try_from(wanted.limit).unwrap_or(0))
            .map_or_else(nothing, |queue| Answer::Queue(translate::queue_detail(queue, late_ms))),
        About::Agents(wanted) => {
            let agents = shard.agents(some(wanted.queue).as_deref());
            let agents = agents.into_iter().map(|agent| translate::agent(agent, late_ms)).collect();
            Answer::Agents(AgentList { agents })
        }
        About::Agent(wanted) => {
            shard.agent(&wanted.name).map_or_else(nothing, |agent| Answer::Agent(translate::agent(agent, late_ms)))
        }
        About::Calls(wanted) => {
            let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
            let filter = acd::view::CallFilter { queue: some(wanted.queue), ended: false, limit };
            let calls = shard.calls(&filter).into_iter().map(|call| translate::call_info(call, late_ms)).collect();
            Answer::Calls(CallList { calls })
        }
        About::Gateways(_) => {
            let gateways = shard.gateways().into_iter().map(translate::gateway).collect();
            Answer::Gateways(GatewayList { gateways })
        }
        About::Totals(_) => Answer::Totals(translate::totals(shard)),
        About::Call(_) | About::Explain(_) | About::Documents(_) | About::Audit(_) => nothing(),
    }
}

fn live_call(shard: &acd::Shard, call: u64, now_ms: u64) -> Option<CallDetail> {
    Some(translate::call(shard.call(call)?, now_ms.saturating_sub(shard.now())))
}

fn ended_call(records: &[Record]) -> Answer {
    call_record(records).map_or_else(nothing, |call| {
        Answer::Call(CallDetail { info: Some(info_of(call)), record: Some(call.clone()), ..CallDetail::default() })
    })
}

fn explanation(live: Option<CallDetail>, records: Vec<Record>) -> Answer {
    let info = live.and_then(|call| call.info).or_else(|| call_record(&records).map(info_of));
    if info.is_none() && records.is_empty() {
        return nothing();
    }
    Answer::Explain(CallExplanation { info, records })
}

fn call_record(records: &[Record]) -> Option<&CallRecord> {
    records.iter().rev().find_map(|record| match &record.kind {
        Some(record::Kind::Call(call)) => Some(call),
        _ => None,
    })
}

fn info_of(call: &CallRecord) -> CallInfo {
    let waited_until = if call.answered_ms > 0 { call.answered_ms } else { call.ended_ms };
    CallInfo {
        call: translate::hex(call.call),
        state: "ended".into(),
        number: call.number.clone(),
        caller: call.caller.clone(),
        queue: call.queue.clone(),
        agent: call.agent.clone(),
        age_ms: call.ended_ms.saturating_sub(call.offered_ms),
        waited_ms: waited_until.saturating_sub(call.offered_ms),
        gateway: call.gateway.clone(),
        outcome: match call.outcome() {
            CallOutcome::Unspecified => "",
            CallOutcome::Completed => "completed",
            CallOutcome::Abandoned => "abandoned",
            CallOutcome::Refused => "refused",
            CallOutcome::Failed => "failed",
        }
        .into(),
        ..CallInfo::default()
    }
}

const fn nothing() -> Answer {
    Answer::Nothing(NothingFound {})
}

const fn reply(about: Answer) -> AskReply {
    AskReply { about: Some(about) }
}
