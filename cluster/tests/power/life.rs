//! What a node does with its disk, and what must be true of the disk afterwards. The same words are used by the process
//! that is cut off and by the test that looks at what is left.

use std::collections::BTreeMap;
use std::path::Path;

use cluster::{
    DiskConfig, DiskStore, Host, HostConfig, Identity, Machine, Outbox, OutboxLimits, RecordKey, RestoreError, Store,
    StoreError, Tagged,
};
use fastrand::Rng;

/// Shards that live on.
pub(crate) const SHARDS: [u32; 3] = [0, 1, 2];
/// A shard that is destroyed and begun again all the time.
pub(crate) const GUEST: u32 = 7;

const RECORD_BYTES: usize = 300;

/// Chains all that it was given; counts by birth, for the guest.
#[derive(Debug, Default, Clone)]
pub(crate) struct Chain {
    pub(crate) birth: u64,
    pub(crate) count: u64,
    digest: u64,
    saving: Option<Vec<u8>>,
}

impl Chain {
    /// What it must be after so many entries.
    pub(crate) fn after(shard: u32, birth: u64, count: u64) -> Self {
        let mut chain = Self { birth, ..Self::default() };
        (0..count).for_each(|number| chain.add(&entry(shard, birth, number)));
        chain
    }

    /// Whether it has what it must have.
    fn is_whole(&self, shard: u32) -> bool {
        let wanted = Self::after(shard, self.birth, self.count);
        (wanted.birth, wanted.digest) == (self.birth, self.digest)
    }

    fn add(&mut self, data: &[u8]) {
        self.birth = number(data, 0);
        self.count += 1;
        self.digest =
            data.iter().fold(self.digest, |digest, byte| digest.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    }
}

fn number(data: &[u8], at: usize) -> u64 {
    data.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

/// The entry of that number, always the same.
pub(crate) fn entry(shard: u32, birth: u64, number: u64) -> Vec<u8> {
    let mut dice = Rng::with_seed(u64::from(shard) << 48 ^ birth << 32 ^ number);
    let mut data = birth.to_be_bytes().to_vec();
    let bytes = dice.usize(8..600);
    data.extend(std::iter::repeat_with(|| dice.u8(..)).take(bytes));
    data
}

impl Machine for Chain {
    type Output = u64;

    fn apply(&mut self, _: u64, data: &[u8]) -> u64 {
        self.add(data);
        self.count
    }

    fn begin_save(&mut self) {
        let mut bytes = [self.birth.to_be_bytes(), self.count.to_be_bytes(), self.digest.to_be_bytes()].concat();
        bytes.resize(5_000, 3);
        self.saving = Some(bytes);
    }

    fn save_slice(&mut self) -> Option<Vec<u8>> {
        self.saving.take()
    }

    fn restore(&mut self, data: &[u8]) -> Result<(), RestoreError> {
        *self = Self { birth: number(data, 0), count: number(data, 8), digest: number(data, 16), saving: None };
        Ok(())
    }
}

/// A node that is its own majority, on a real disk.
pub(crate) struct Life {
    pub(crate) host: Host<Chain>,
    pub(crate) store: DiskStore,
    outbox: Outbox,
}

impl Life {
    /// Opens the disk, and the shards on it.
    pub(crate) fn begin(folder: &Path) -> Result<Self, StoreError> {
        let outbox = Outbox::open(&folder.join("outbox"), OutboxLimits::default())?;
        let identity = Identity { cluster: "power".into(), node: 1 };
        let config = DiskConfig { log_file_bytes: 32 << 10, log_bytes_max: 128 << 10 };
        let store = DiskStore::open(folder, &identity, config)?.with_outbox(outbox.clone());
        let config =
            HostConfig { snapshot_entries: 30, entries_kept: 5, snapshot_part_bytes: 2_000, ..HostConfig::new(1) };
        let mut life = Self { host: Host::new(config), store, outbox };
        for shard in SHARDS {
            life.open(shard)?;
        }
        life.lead(&mut |_| ())?;
        Ok(life)
    }

    /// Opens or begins a shard.
    pub(crate) fn open(&mut self, shard: u32) -> Result<(), StoreError> {
        let recovered = self.store.recover(shard)?.or_bootstrap(&[1]);
        self.host.add(shard, Chain::default(), recovered).expect("the machine restores what it has saved");
        Ok(())
    }

    /// Until all shards may be used.
    pub(crate) fn lead(&mut self, told: &mut impl FnMut(String)) -> Result<(), StoreError> {
        for _ in 0..200 {
            self.host.tick();
            self.carry_out(told)?;
            let led = |shard| self.host.status(shard).is_some_and(|status| status.established);
            if self.host.shards().all(led) {
                return Ok(());
            }
        }
        panic!("nobody leads");
    }

    /// Drains, writes and applies until nothing is left to do; says what is now promised to the world.
    pub(crate) fn carry_out(&mut self, told: &mut impl FnMut(String)) -> Result<(), StoreError> {
        while self.host.has_work() {
            let drained = self.host.drain();
            assert!(drained.failures.is_empty());
            for applied in drained.applied {
                let mut record = applied.output.to_be_bytes().to_vec();
                record.resize(RECORD_BYTES, 5);
                self.outbox.put(applied.shard, applied.index, &[Tagged { tag: b"", record: &record }])?;
                told(format!("has {} {}", applied.shard, applied.output));
            }
            if let Some(batch) = drained.write {
                self.store.write(&batch)?;
                self.host.persisted(batch.done());
            }
        }
        Ok(())
    }

    /// Proposes the next entries of a shard.
    pub(crate) fn propose(&mut self, shard: u32, birth: u64, count: u64) {
        let next = self.host.machine(shard).map_or(0, |chain| chain.count);
        for number in next..next + count {
            self.host.propose(shard, entry(shard, birth, number)).expect("it leads");
        }
    }

    /// A day of it. What it says was promised, in the order in which it was.
    pub(crate) fn live(
        &mut self,
        rounds: u32,
        dice: &mut Rng,
        told: &mut impl FnMut(String),
    ) -> Result<(), StoreError> {
        let mut birth = self.store.recall("birth")?.map_or(0, |bytes| number(&bytes, 0));
        let mut guest = false;
        let mut round = self.store.recall("round")?.map_or(0, |bytes| number(&bytes, 0));
        for _ in 0..rounds {
            for shard in SHARDS {
                self.propose(shard, 0, dice.u64(..6));
            }
            if guest {
                self.propose(GUEST, birth, dice.u64(1..6));
            }
            self.host.tick();
            self.carry_out(told)?;
            match dice.u32(..12) {
                0 => {
                    // The host has no word yet to forget a shard; a new one does.
                    self.store.destroy(GUEST)?;
                    told("destroyed".into());
                    birth += 1;
                    self.store.remember("birth", &birth.to_be_bytes())?;
                    told(format!("birth {birth}"));
                    self.restart()?;
                    self.open(GUEST)?;
                    guest = true;
                }
                1 => {
                    round += 1;
                    self.store.remember("round", &round.to_be_bytes())?;
                    told(format!("round {round}"));
                }
                _ => {}
            }
            self.lead(told)?;
        }
        Ok(())
    }

    /// All shards from the disk again, in the same life of it.
    fn restart(&mut self) -> Result<(), StoreError> {
        let config =
            HostConfig { snapshot_entries: 30, entries_kept: 5, snapshot_part_bytes: 2_000, ..HostConfig::new(1) };
        self.host = Host::new(config);
        SHARDS.into_iter().try_for_each(|shard| self.open(shard))
    }
}

/// What a process has said by some moment.
#[derive(Debug, Default, Clone)]
pub(crate) struct Promised {
    /// Entries that were acknowledged, by shard.
    has: BTreeMap<u32, u64>,
    birth: u64,
    round: u64,
}

impl Promised {
    /// Hears the next words.
    pub(crate) fn hear(&mut self, words: &str) {
        for line in words.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let word = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
            match words.first().copied() {
                // Entries that are applied again after a restart were promised before.
                Some("has") => {
                    let held = self.has.entry(word(1) as u32).or_default();
                    *held = word(2).max(*held);
                }
                Some("destroyed") => drop(self.has.remove(&GUEST)),
                Some("birth") => self.birth = word(1),
                Some("round") => self.round = word(1),
                _ => {}
            }
        }
    }

    /// Opens what a power cut has left, twice, and goes on with it.
    pub(crate) fn check(&self, folder: &Path) -> Result<(), String> {
        for again in 0..2 {
            let mut life = Life::begin(folder).map_err(|error| format!("life {again}: {error}"))?;
            for shard in SHARDS {
                self.check_shard(&life, shard)?;
            }
            self.check_rest(&mut life).map_err(|error| format!("life {again}: {error}"))?;
            SHARDS.into_iter().for_each(|shard| life.propose(shard, 0, 3));
            life.carry_out(&mut |_| ()).map_err(|error| format!("afterwards: {error}"))?;
        }
        Ok(())
    }

    fn check_shard(&self, life: &Life, shard: u32) -> Result<(), String> {
        let chain = life.host.machine(shard).ok_or("a shard is gone")?;
        let promised = self.has.get(&shard).copied().unwrap_or_default();
        if chain.count < promised {
            return Err(format!("shard {shard} has {} entries, {promised} were acknowledged", chain.count));
        }
        if chain.birth != 0 || !chain.is_whole(shard) {
            return Err(format!(
                "shard {shard} has other entries than it was given: {chain:?}, {:?}",
                Chain::after(shard, 0, chain.count)
            ));
        }
        let records = life.outbox.len(shard);
        if records != chain.count {
            return Err(format!("shard {shard} has {records} records of {} entries", chain.count));
        }
        let first =
            life.outbox.read(RecordKey { shard, index: 0, position: 0 }, 1).map_err(|error| error.to_string())?;
        let wanted = (chain.count > 0).then_some(1);
        if first.into_iter().next().map(|(_, record)| number(&record, 0)) != wanted {
            return Err(format!("the first record of shard {shard} is another"));
        }
        Ok(())
    }

    fn check_rest(&self, life: &mut Life) -> Result<(), String> {
        let said = |error: StoreError| error.to_string();
        let round = life.store.recall("round").map_err(said)?.map_or(0, |bytes| number(&bytes, 0));
        if round < self.round {
            return Err(format!("round {} was remembered, {round} is recalled", self.round));
        }
        let birth = life.store.recall("birth").map_err(said)?.map_or(0, |bytes| number(&bytes, 0));
        if birth < self.birth {
            return Err(format!("birth {} was remembered, {birth} is recalled", self.birth));
        }
        let promised = self.has.get(&GUEST).copied().unwrap_or_default();
        let there = life.store.replicas().map_err(said)?.contains(&GUEST);
        if !there {
            // Being destroyed when the power went, or not begun.
            return life.store.recover(GUEST).map_err(said).and_then(|found| match found.is_empty() {
                true => Ok(()),
                false => Err("the guest is destroyed and yet has something".into()),
            });
        }
        life.open(GUEST).map_err(said)?;
        life.lead(&mut |_| ()).map_err(said)?;
        let chain = life.host.machine(GUEST).ok_or("the guest is gone")?;
        let whole = chain.count >= promised && chain.is_whole(GUEST);
        if chain.count > 0 && !whole {
            return Err(format!("the guest has {chain:?} of {promised} promised"));
        }
        Ok(())
    }
}
