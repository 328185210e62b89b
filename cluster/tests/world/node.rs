//! One node of the seeded world: a host while it runs, and the disk that stays.

use cluster::{GroupStatus, Host, HostConfig, MemoryStore, Persisted, Store as _};

use super::SHARD;
use super::ledger::Ledger;

pub(crate) const TICK_MS: u64 = 20;

pub(crate) struct Node {
    pub(crate) number: u64,
    /// It was told the first members.
    pub(crate) is_founder: bool,
    /// Until it has what the group had committed.
    pub(crate) has_lost_its_disk: bool,
    pub(crate) tick_ms: u64,
    tick_phase: u64,
    pub(crate) paused_until: u64,
    /// It leads, and so does another one of a later term.
    pub(crate) stale_since: Option<u64>,
    pub(crate) host: Option<Host<Ledger>>,
    pub(crate) store: MemoryStore,
    /// Raised by each crash: what was under way before it never arrives.
    pub(crate) life: u64,
    /// Batches staged and not reported yet.
    pub(crate) writing: Vec<Persisted>,
    /// Something came in since it was last drained.
    pub(crate) touched: bool,
}

impl Node {
    pub(crate) fn new(number: u64, is_founder: bool, tick_phase: u64) -> Self {
        Self {
            number,
            is_founder,
            has_lost_its_disk: false,
            tick_ms: TICK_MS,
            tick_phase,
            paused_until: 0,
            stale_since: None,
            host: None,
            store: MemoryStore::default(),
            life: 0,
            writing: Vec::new(),
            touched: false,
        }
    }

    /// From what its disk has; a founder without anything begins with these voters.
    pub(crate) fn start(&mut self, voters: &[u64], ledger: Ledger, may_sleep: bool) -> Result<(), String> {
        let mut host = Host::new(HostConfig {
            snapshot_entries: 24,
            snapshot_part_bytes: 2_000,
            entries_kept: 6,
            append_bytes_max: 512,
            appends_in_flight_max: 8,
            sleep_after_ticks: 8,
            look_ticks: 24,
            ..HostConfig::new(self.number)
        });
        let recovered = self.store.recover(SHARD).map_err(|error| error.to_string())?;
        let recovered = if self.is_founder { recovered.or_bootstrap(voters) } else { recovered };
        host.set_sleep(may_sleep);
        host.add(SHARD, ledger, recovered).map_err(|error| error.to_string())?;
        self.host = Some(host);
        self.touched = true;
        Ok(())
    }

    pub(crate) fn tick(&mut self, now_ms: u64) {
        if self.runs(now_ms)
            && (now_ms + self.tick_phase).is_multiple_of(self.tick_ms)
            && let Some(host) = &mut self.host
        {
            host.tick();
            self.touched = true;
        }
    }

    /// It does not stand still. It may be down all the same.
    pub(crate) const fn runs(&self, now_ms: u64) -> bool {
        self.paused_until <= now_ms
    }

    pub(crate) fn status(&self) -> Option<GroupStatus> {
        self.host.as_ref()?.status(SHARD)
    }

    pub(crate) fn machine(&self) -> Option<&Ledger> {
        self.host.as_ref()?.machine(SHARD)
    }

    /// It may speak for the group.
    pub(crate) fn leads(&self) -> bool {
        self.status().is_some_and(|status| status.established)
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.status().is_some_and(|status| status.asleep)
    }

    pub(crate) fn is_saving(&self) -> bool {
        self.status().is_some_and(|status| status.saving)
    }
}
