//! One node: the real core over a memory disk, with a clock of its own and streams to gateways. It can die, stand
//! still, and flush slowly. The only thing it decides is nothing.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{Host, HostConfig, MemoryStore, Persisted, Store as _, WriteBatch};
use node::{
    clock,
    core::{Core, Effects, Limits},
    homes::Homes,
    members::Members,
};

use crate::{
    link::TENANT,
    machine::{self, Coat, Facts, SHARDS},
    mutant::Mutant,
    scenario::{START_UNIX_US, Us},
};

/// One Raft tick.
pub(crate) const TICK_US: Us = 20_000;
/// A gateway without a stream for so long is lost.
pub(crate) const LEASE_US: Us = 700_000;
/// How far a clock may go ahead between two looks at it without anybody finding it strange.
const PACE_US: usize = 900_000;

/// A node's process and disk.
pub(crate) struct NodeProcess {
    at: usize,
    pub(crate) core: Option<Core<Coat>>,
    store: MemoryStore,
    /// Raised at each death: what was on its way to the process before never arrives.
    pub(crate) life: u64,
    /// Stands still until then.
    pub(crate) paused_until_us: Option<Us>,
    pub(crate) slow_until_us: Us,
    writing: Vec<Persisted>,
    batches: u64,
    /// The system's clock is ahead of the world's by so much, microseconds.
    offset_us: i64,
    own_us: u64,
    read_at_us: Us,
    facts: Facts,
    mutant: Option<Mutant>,
    /// Present until which nobody needs to drain.
    pub(crate) wake_us: Option<Us>,
    /// Open streams by connection.
    pub(crate) connections: BTreeMap<u64, ()>,
    /// Where its replica of the directory has the tenant live; on its disk.
    homes: Homes,
    asleep: BTreeSet<u32>,
}

impl NodeProcess {
    pub(crate) fn new(at: usize, facts: Facts, mutant: Option<Mutant>) -> Self {
        Self {
            at,
            core: None,
            store: MemoryStore::default(),
            life: 0,
            paused_until_us: None,
            slow_until_us: 0,
            writing: Vec::new(),
            batches: 0,
            offset_us: 0,
            own_us: START_UNIX_US,
            read_at_us: 0,
            facts,
            mutant,
            wake_us: None,
            connections: BTreeMap::new(),
            homes: Homes::default(),
            asleep: BTreeSet::new(),
        }
    }

    /// Whether the process exists and runs.
    pub(crate) fn runs(&self) -> bool {
        self.core.is_some() && self.paused_until_us.is_none()
    }

    /// Whether it speaks for the tenant.
    pub(crate) fn leads(&self) -> bool {
        self.core.as_ref().is_some_and(|core| core.leads_tenant(TENANT))
    }

    pub(crate) fn leads_shard(&self, shard: u32) -> bool {
        self.core.as_ref().is_some_and(|core| core.leads(shard))
    }

    pub(crate) fn is_asleep(&self, shard: u32) -> bool {
        let status = self.core.as_ref().and_then(|core| core.host().status(shard));
        status.is_some_and(|status| status.asleep)
    }

    /// Of what it has on a shard.
    pub(crate) fn hash(&self, shard: u32) -> Option<u64> {
        self.core.as_ref().and_then(|core| core.tenants(shard)).map(machine::hash)
    }

    /// The directory says where the tenant lives.
    pub(crate) fn set_home(&self, shard: u32) {
        self.homes.set(BTreeMap::from([(TENANT, shard)]), SHARDS.into());
    }

    /// One tick, as the real actor does it. Says which shards fell asleep (true) or woke since the last one.
    pub(crate) fn tick(&mut self, now_us: Us) -> Vec<(u32, bool)> {
        if let Some(core) = self.core(now_us) {
            core.set_sleep(true);
            core.tick();
        }
        let asleep: BTreeSet<u32> = SHARDS.into_iter().filter(|shard| self.is_asleep(*shard)).collect();
        let before = std::mem::replace(&mut self.asleep, asleep);
        before.symmetric_difference(&self.asleep).map(|shard| (*shard, self.asleep.contains(shard))).collect()
    }

    pub(crate) fn start(&mut self, now_us: Us, nodes: usize) -> Result<(), String> {
        let peers: Vec<_> = (1..=nodes).map(|number| format!("n{number}=10.0.0.{number}:7000")).collect();
        let members = Members::parse(&peers).map_err(|error| error.to_string())?;
        let config = HostConfig { snapshot_entries: 60, entries_kept: 12, ..HostConfig::new(self.at as u64 + 1) };
        let mut host = Host::new(config);
        for shard in SHARDS {
            let recovered = self.store.recover(shard).map_err(|error| error.to_string())?;
            let coat = Coat::new(shard, self.at, Some(self.facts.clone()), self.mutant);
            host.add(shard, coat, recovered.or_bootstrap(&members.numbers())).map_err(|error| error.to_string())?;
        }
        let limits = Limits { lease_us: LEASE_US, ..Limits::default() };
        let sender = 0xa000_0000 + (self.at as u64) * 0x1_0000 + self.life;
        let mut core = Core::new(host, members, sender, limits);
        (self.own_us, self.read_at_us) = (self.system_us(now_us), now_us);
        core.set_now(self.own_us);
        core.set_homes(self.homes.clone());
        self.core = Some(core);
        Ok(())
    }

    /// The process dies; some of what was staged may have reached the disk.
    pub(crate) fn crash(&mut self, survivors: usize, torn: bool) -> Result<(), String> {
        self.core = None;
        self.asleep.clear();
        self.life += 1;
        self.paused_until_us = None;
        self.wake_us = None;
        self.writing.clear();
        self.connections.clear();
        self.store.crash(survivors, torn).map_err(|error| error.to_string())
    }

    pub(crate) fn staged(&self) -> usize {
        self.store.staged()
    }

    pub(crate) fn set_clock(&mut self, by_us: i64) {
        self.offset_us += by_us;
    }

    const fn system_us(&self, now_us: Us) -> u64 {
        (START_UNIX_US + now_us).saturating_add_signed(self.offset_us)
    }

    /// What the node's own clock shows, by the rule of the real one.
    pub(crate) fn own_us(&mut self, now_us: Us) -> u64 {
        let passed_us = now_us - self.read_at_us;
        self.own_us = clock::follow(self.own_us, passed_us, self.system_us(now_us));
        self.read_at_us = now_us;
        self.own_us
    }

    /// The core, told the time.
    pub(crate) fn core(&mut self, now_us: Us) -> Option<&mut Core<Coat>> {
        let before_us = self.own_us;
        let own_us = self.own_us(now_us);
        let core = self.core.as_mut()?;
        if self.mutant == Some(Mutant::LeapInLog) {
            // In paces that nobody takes for a leap.
            (before_us..own_us).step_by(PACE_US).for_each(|us| core.set_now(us));
        }
        core.set_now(own_us);
        Some(core)
    }

    /// Everything the core wants after a burst of inputs. What it wants written is staged.
    pub(crate) fn drain(&mut self, now_us: Us) -> Option<(Effects, bool)> {
        let mut effects = self.core(now_us)?.drain();
        let writes = effects.write.take().is_some_and(|batch| self.stage(batch));
        let own_us = self.own_us;
        let wake = self.core.as_ref().and_then(|core| core.next_wake());
        self.wake_us = wake.map(|at_us| now_us + at_us.saturating_sub(own_us));
        Some((effects, writes))
    }

    /// Whether a flush has to be made.
    fn stage(&mut self, batch: WriteBatch) -> bool {
        let done = batch.done();
        self.batches += 1;
        let skipped = self.mutant == Some(Mutant::SkippedFlush) && self.batches.is_multiple_of(5);
        let early = skipped || self.mutant == Some(Mutant::EarlyFlush);
        self.store.stage(batch);
        if early && let Some(core) = &mut self.core {
            core.persisted(done);
        } else {
            self.writing.push(done);
        }
        !skipped
    }

    /// The disk has everything that was staged.
    pub(crate) fn synced(&mut self) -> Result<(), String> {
        self.store.sync().map_err(|error| error.to_string())?;
        if let Some(core) = &mut self.core {
            self.writing.drain(..).for_each(|done| core.persisted(done));
        }
        Ok(())
    }
}
