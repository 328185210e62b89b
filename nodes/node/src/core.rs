//! The leader's desks of the tenants on every shard this actor owns: who asked what, who is told what, when the clock must move.
//! It has no IO, no clock and no dice: an actor in production and a simulator in tests feed it and carry out its
//! [`Effects`]. It never looks inside a call.

mod desk;
mod effects;
mod replicas;
mod replies;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use cluster::{Applied, Host, PeerMessage, Persisted, ProposeError, RoleChange};
use prost::Message as _;
use proto::v1::{Batch, DirectoryEntry, NotLeader, Submission, Unavailable, WatchRequest, outcome};

use desk::Desk;
pub use desk::Limits;
pub(crate) use desk::NOT_FOR_CLIENTS;
pub use effects::{AskToken, ClientKey, Effects, SpanFact, WatcherKey};
use replies::{not_led_here, outcome_of};

use crate::{
    homes::Homes,
    limits::{self, Limit},
    machine::{Output, Replica, ShardMachine, TenantOutput, standing_asks},
    members::Members,
    tenancy::{Stay, Tenants},
};

/// The clock is read every tick and with every input. What is more than this, microseconds, was a process that stood still, or
/// did one thing for so long, or a clock that was set.
const LEAP_US: u64 = 1_000_000;

/// All shards of one actor. Its machines are [`ShardMachine`]s, or, in the simulator, such in a coat that watches them.
pub struct Core<M: Replica = ShardMachine> {
    host: Host<M>,
    /// Shards that this node may speak for.
    led: BTreeSet<u32>,
    /// By tenant. One that has gone keeps its desk, which counts this process's own commands.
    desks: BTreeMap<u32, Desk>,
    /// Tenants whose desks have something to propose.
    busy: BTreeSet<u32>,
    homes: Homes,
    sender: u64,
    limits: Limits,
    members: Members,
    effects: Effects,
    now_us: u64,
}

impl<M: Replica> Core<M> {
    /// A core of what `host` has. `sender` is drawn at random by the shell and names this process's commands.
    #[must_use]
    pub fn new(host: Host<M>, members: Members, sender: u64, limits: Limits) -> Self {
        Self {
            host,
            led: BTreeSet::new(),
            desks: BTreeMap::new(),
            busy: BTreeSet::new(),
            homes: Homes::default(),
            sender,
            limits,
            members,
            effects: Effects::default(),
            now_us: 0,
        }
    }

    /// Where tenants live that do not live here.
    pub fn set_homes(&mut self, homes: Homes) {
        self.homes = homes;
    }

    /// Moves the time of all later inputs; it never goes backwards. Where it leaps, the tenants that are led here are told so
    /// by a command.
    pub fn set_now(&mut self, unix_us: u64) {
        let passed_us = unix_us.saturating_sub(self.now_us);
        if passed_us > LEAP_US {
            for (&tenant, desk) in self.desks.iter_mut().filter(|(_, desk)| desk.leads()) {
                desk.leapt(unix_us, passed_us);
                if desk.is_busy() {
                    self.busy.insert(tenant);
                }
            }
        }
        self.now_us = self.now_us.max(unix_us);
    }

    /// One Raft tick, and everything that time decides.
    pub fn tick(&mut self) {
        self.host.tick();
        for (&tenant, desk) in self.desks.iter_mut().filter(|(_, desk)| desk.leads()) {
            let Some(shard) = living(&self.host, desk.home(), tenant) else { continue };
            desk.tick(self.now_us, shard, &mut self.effects);
            if desk.is_busy() {
                self.busy.insert(tenant);
            }
        }
    }

    /// Messages from a peer, by its number.
    pub fn step(&mut self, from: u64, messages: Vec<PeerMessage>) {
        for message in messages {
            self.host.step_from(from, &message);
        }
    }

    /// What became of a snapshot for a node.
    pub fn snapshot_done(&mut self, shard: u32, to: u64, ok: bool) {
        self.host.snapshot_done(shard, to, ok);
    }

    /// Whether idle shards may sleep: every node of the cluster must know it.
    pub fn set_sleep(&mut self, may_sleep: bool) {
        self.host.set_sleep(may_sleep);
    }

    /// The log writer has made a batch durable.
    pub fn persisted(&mut self, done: Persisted) {
        self.host.persisted(done);
    }

    /// A peer cannot be reached.
    pub fn unreachable(&mut self, node: u64) {
        self.host.unreachable(node);
    }

    /// Commands from one Submit stream.
    pub fn submit(&mut self, client: ClientKey, submissions: Vec<Submission>) {
        for submission in submissions {
            let tenant = submission.shard;
            let refusal = if let Some(desk) = self.desks.get_mut(&tenant).filter(|desk| desk.leads()) {
                self.busy.insert(tenant);
                match desk.submit(self.now_us, client, submission) {
                    Ok(()) => continue,
                    Err(refusal) => refusal,
                }
            } else if self.is_home_of(tenant) {
                outcome_of(submission.id, tenant, outcome::Result::NotLeader(self.leader_of_tenant(tenant)))
            } else {
                let detail = format!("shard {tenant} takes no commands here");
                outcome_of(submission.id, tenant, outcome::Result::Unavailable(Unavailable { detail }))
            };
            self.effects.outcomes.entry(client).or_default().push(refusal);
        }
    }

    /// A Submit stream has ended: nobody waits for its outcomes.
    pub fn forget_client(&mut self, client: ClientKey) {
        self.desks.values_mut().for_each(|desk| desk.forget_client(client));
    }

    /// A gateway asks for its orders: attach it, then tell all of them, then each change.
    pub fn watch(&mut self, key: WatcherKey, request: WatchRequest) {
        let tenant = request.shard;
        match self.desks.get_mut(&tenant) {
            Some(desk) if desk.leads() => {
                desk.watch(self.now_us, key, request, &mut self.effects);
                self.busy.insert(tenant);
            }
            Some(_) | None => {
                let not_leader = self.leader_of_tenant(tenant);
                self.effects.watch.push((key, not_led_here(not_leader)));
                self.effects.unwatch.push(key);
            }
        }
    }

    /// A Watch stream has ended: its gateway's lease runs from here.
    pub fn unwatch(&mut self, key: WatcherKey) {
        self.desks.values_mut().for_each(|desk| desk.unwatch(self.now_us, key));
    }

    /// A question that only the leader may answer. Ends in `answerable` or `unanswerable`.
    pub fn ask(&mut self, shard: u32, token: AskToken) {
        if self.host.read(shard, token).is_err() {
            self.effects.unanswerable.push((shard, token));
        }
    }

    /// Proposes a change of the directory.
    ///
    /// # Errors
    /// Who leads instead, or that the shard is busy.
    pub fn propose_directory(&mut self, mut entry: DirectoryEntry) -> Result<(), NotLeader> {
        entry.at_ms = self.now_us / 1_000;
        self.host.propose(0, entry.encode_to_vec()).map_err(|error| match error {
            ProposeError::NotLeader { .. }
            | ProposeError::Busy
            | ProposeError::UnknownShard
            | ProposeError::Senseless => not_leader(&self.host, &self.members, 0),
        })
    }

    /// Proposes an entry about where a tenant lives.
    ///
    /// # Errors
    /// Who leads instead, or that the shard is busy.
    pub fn propose_tenancy(&mut self, shard: u32, mut batch: Batch) -> Result<(), NotLeader> {
        batch.at_ms = self.now_us / 1_000;
        self.host.propose(shard, batch.encode_to_vec()).map_err(|_| not_leader(&self.host, &self.members, shard))
    }

    /// Hands every led shard to another replica: before a planned stop.
    pub fn hand_over(&mut self) {
        for &shard in &self.led {
            self.host.transfer_leadership(shard, None);
        }
    }

    /// Whether any shard is led here.
    #[must_use]
    pub fn leads_any(&self) -> bool {
        !self.led.is_empty()
    }

    /// Whether this node may speak for the shard.
    #[must_use]
    pub fn leads(&self, shard: u32) -> bool {
        self.led.contains(&shard)
    }

    /// Whether this node may speak for the tenant.
    #[must_use]
    pub fn leads_tenant(&self, tenant: u32) -> bool {
        self.desks.get(&tenant).is_some_and(Desk::leads)
    }

    /// The state of a tenant that lives on a shard of this core, to answer questions from.
    #[must_use]
    pub fn tenant(&self, tenant: u32) -> Option<&acd::Shard> {
        let led = self.desks.get(&tenant).filter(|desk| desk.leads()).map(Desk::home);
        living(&self.host, led.or_else(|| self.homes.of(tenant))?, tenant)
    }

    /// What a shard has of tenants.
    #[must_use]
    pub fn tenants(&self, shard: u32) -> Option<&Tenants> {
        self.machine(shard)?.tenants()
    }

    /// The machine of a shard, to answer questions from.
    #[must_use]
    pub fn machine(&self, shard: u32) -> Option<&ShardMachine> {
        self.host.machine(shard).map(M::shard)
    }

    /// Consensus, for people.
    #[must_use]
    pub const fn host(&self) -> &Host<M> {
        &self.host
    }

    fn is_home_of(&self, tenant: u32) -> bool {
        self.homes.of(tenant).is_some_and(|home| home != 0 && self.host.machine(home).is_some())
    }

    /// Who leads a tenant's shard. Nobody is named while it moves, or this node would be asked for ever.
    #[must_use]
    pub fn leader_of_tenant(&self, tenant: u32) -> NotLeader {
        match self.homes.of(tenant) {
            Some(home) if !self.leads(home) => not_leader(&self.host, &self.members, home),
            Some(_) | None => NotLeader::default(),
        }
    }

    /// Who leads a shard, for those who must ask there.
    #[must_use]
    pub fn leader_of(&self, shard: u32) -> NotLeader {
        not_leader(&self.host, &self.members, shard)
    }

    /// When `drain` should be called although nothing came in, Unix microseconds.
    #[must_use]
    pub fn next_wake(&self) -> Option<u64> {
        self.busy.iter().filter_map(|tenant| self.desks.get(tenant)?.next_wake()).min()
    }

    /// Proposes what is waiting, runs consensus and says what to do. Call it after a burst of inputs, and once more
    /// when the effects say `again`.
    ///
    /// # Panics
    /// When a snapshot of the leader cannot be read: going on would split the shard.
    pub fn drain(&mut self) -> Effects {
        self.propose_waiting();
        let drained = self.host.drain();
        if let Some(failure) = drained.failures.first() {
            panic!("shard {} cannot be restored: {}", failure.shard, failure.error);
        }
        for role in drained.roles {
            self.role_changed(&role);
        }
        for applied in drained.applied {
            self.applied(applied);
        }
        for established in drained.established {
            self.established(established.shard);
        }
        let mut effects = mem::take(&mut self.effects);
        effects.write = drained.write;
        effects.messages = drained.messages;
        effects.answerable.extend(drained.reads.into_iter().map(|read| (read.shard, read.token)));
        effects.unanswerable.extend(drained.failed_reads.into_iter().map(|read| (read.shard, read.token)));
        effects.restored.extend(drained.restored.iter().map(|restored| (restored.shard, restored.index)));
        effects.directory_changed |= drained.restored.iter().any(|restored| restored.shard == 0);
        // What was applied may have made room for the next batch.
        effects.again = self.host.has_work() || self.next_wake().is_some_and(|at| at <= self.now_us);
        effects
    }

    fn propose_waiting(&mut self) {
        for tenant in mem::take(&mut self.busy) {
            let Some(desk) = self.desks.get_mut(&tenant).filter(|desk| desk.leads()) else { continue };
            while let Some(proposal) = desk.take_batch(self.now_us) {
                if let Err(error) = self.host.propose(desk.home(), proposal.data) {
                    if error == ProposeError::Busy {
                        limits::reached(Limit::ProposalsInFlight);
                    }
                    desk.batch_refused(self.now_us, proposal.commands, &mut self.effects);
                }
            }
            if desk.is_busy() {
                self.busy.insert(tenant);
            }
        }
    }

    /// The first entry of our own term is applied, so everything before it is: from here on we may speak for the shard.
    fn established(&mut self, shard: u32) {
        if !self.led.insert(shard) {
            return;
        }
        self.effects.gained.push(shard);
        let living: Vec<u32> = self.tenants(shard).into_iter().flat_map(Tenants::all_living).collect();
        living.into_iter().for_each(|tenant| self.open_desk(shard, tenant));
    }

    fn open_desk(&mut self, shard: u32, tenant: u32) {
        let Some(state) = living(&self.host, shard, tenant) else { return };
        let sender = self.sender ^ u64::from(tenant);
        let desk = self.desks.entry(tenant).or_insert_with(|| Desk::new(tenant, sender, self.limits));
        if desk.leads() {
            // At its former home, which has not heard yet that it is led by another node.
            desk.lose_lead(&NotLeader::default(), &mut self.effects);
        }
        desk.take_lead(self.now_us, shard, state);
        self.busy.insert(tenant);
        self.effects.asks.extend(standing_asks(state).into_iter().map(|ask| (tenant, ask)));
    }

    fn role_changed(&mut self, role: &RoleChange) {
        if !role.is_leader {
            self.effects.followed.push(role.shard);
            self.lose(role.shard);
        }
    }

    /// Somebody else leads the shard, or nobody; those who wait for it are told.
    fn lose(&mut self, shard: u32) {
        if !self.led.remove(&shard) {
            return;
        }
        let next = not_leader(&self.host, &self.members, shard);
        for desk in self.desks.values_mut().filter(|desk| desk.leads() && desk.home() == shard) {
            desk.lose_lead(&next, &mut self.effects);
        }
    }

    fn applied(&mut self, applied: Applied<Output>) {
        let Applied { shard, index, output, .. } = applied;
        match output {
            Output::Directory { id, result, audit } => {
                // Who changed what is nothing that anybody follows.
                self.effects.directory_changed |= audit.is_none();
                self.effects.records.extend(audit.map(|record| (shard, index, vec![*record])));
                self.effects.decided.push((id, result));
            }
            Output::Tenant(mut output) => {
                self.effects.commands_applied += output.outcomes.len() as u64;
                let records = mem::take(&mut output.records);
                if !records.is_empty() {
                    self.effects.records.push((shard, index, records));
                }
                match output.stay {
                    None => self.applied_to(shard, output),
                    Some(stay) => self.stay_changed(shard, output.tenant, stay),
                }
            }
        }
    }

    fn applied_to(&mut self, shard: u32, mut output: TenantOutput) {
        let tenant = output.tenant;
        let here = |desk: &&mut Desk| desk.leads() && desk.home() == shard;
        let Some(desk) = self.desks.get_mut(&tenant).filter(here) else { return };
        self.effects.asks.extend(mem::take(&mut output.asks).into_iter().map(|ask| (tenant, ask)));
        desk.applied(self.now_us, output, living(&self.host, shard, tenant), &mut self.effects);
    }

    /// For gateways a tenant that moves has another leader.
    fn stay_changed(&mut self, shard: u32, tenant: u32, stay: Stay) {
        self.effects.tenancies.push((shard, tenant));
        if !self.led.contains(&shard) {
            return;
        }
        match stay {
            Stay::Begins => self.open_desk(shard, tenant),
            Stay::Ends => {
                let here = |desk: &&mut Desk| desk.leads() && desk.home() == shard;
                if let Some(desk) = self.desks.get_mut(&tenant).filter(here) {
                    desk.lose_lead(&NotLeader::default(), &mut self.effects);
                }
            }
            Stay::Same => {}
        }
    }
}

fn living<M: Replica>(host: &Host<M>, shard: u32, tenant: u32) -> Option<&acd::Shard> {
    host.machine(shard).map(M::shard)?.tenant(tenant)
}

fn not_leader<M: Replica>(host: &Host<M>, members: &Members, shard: u32) -> NotLeader {
    let leader = host.status(shard).and_then(|status| status.leader);
    leader
        .and_then(|number| members.get(number))
        .map_or_else(NotLeader::default, |member| NotLeader { leader: member.id, endpoint: member.endpoint })
}

#[cfg(test)]
mod tests;
