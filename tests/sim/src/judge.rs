//! Reads the committed log of each shard as its replicas apply it, applies it once more, command by command, and holds
//! each step of the tenant, wherever it lives, against what must always hold. It sees words, views and records; never the
//! inside of `acd`.

mod calls;
mod leaps;
mod positions;
pub(crate) mod rings;
mod stays;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hasher as _},
};

use cluster::Machine as _;
use node::machine::{Output, TenantOutput};
use prost::Message as _;
use proto::v1::{Batch, Logged, RejectionCode, command::Kind};

use crate::{
    link::TENANT,
    machine::{self, Coat, Fact, SHARDS},
    mutant::Mutant,
    people::LegKey,
    reference::Reference,
    scenario::Us,
    verdict::{Check, hold},
};
use calls::Calls;
use leaps::Leaps;
use positions::Positions;
use rings::Rings;
use stays::Stays;

/// The shard's own audit is asked once in so many entries.
const AUDIT_EVERY: u64 = 8;

type Id = (u64, u64);
/// What became of a command.
pub(crate) type Verdict = Result<(), RejectionCode>;

/// One command that was applied, and what came of it.
pub(crate) struct Step<'a> {
    /// World time.
    pub(crate) now_us: Us,
    /// `None` when only the clock moved.
    pub(crate) kind: Option<&'a Kind>,
    /// Whether it did something for the first time and was not refused.
    pub(crate) done: bool,
    pub(crate) output: &'a TenantOutput,
    /// Afterwards.
    pub(crate) shard: &'a acd::Shard,
    /// Far ends that have hung up.
    pub(crate) gone: &'a BTreeSet<LegKey>,
}

struct Seen {
    data: u64,
    hash: u64,
}

/// One shard's.
struct Log {
    machine: Coat,
    entries: BTreeMap<u64, Seen>,
    last: u64,
}

pub(crate) struct Judge {
    logs: BTreeMap<u32, Log>,
    stays: Stays,
    leaps: Leaps,
    verdicts: BTreeMap<Id, Verdict>,
    calls: Calls,
    positions: Positions,
    rings: Rings,
    pub(crate) reference: Reference,
    pub(crate) commands: u64,
    /// Far ends that have hung up, whoever heard it.
    pub(crate) gone: BTreeSet<LegKey>,
    now_us: Us,
}

impl Judge {
    pub(crate) fn new(mutant: Option<Mutant>) -> Self {
        Self {
            logs: SHARDS
                .into_iter()
                .map(|shard| {
                    let machine = Coat::new(shard, usize::MAX, None, mutant);
                    (shard, Log { machine, entries: BTreeMap::new(), last: 0 })
                })
                .collect(),
            stays: Stays::default(),
            leaps: Leaps::default(),
            verdicts: BTreeMap::new(),
            calls: Calls::default(),
            positions: Positions::default(),
            rings: Rings::default(),
            reference: Reference::default(),
            commands: 0,
            gone: BTreeSet::new(),
            now_us: 0,
        }
    }

    /// The tenant after everything that was committed; while it moves, as it was sealed.
    pub(crate) fn shard(&self) -> &acd::Shard {
        let living = self.logs.values().find_map(|log| log.machine.tenants().living(TENANT));
        living.or_else(|| self.stays.sealed()).expect("who does not live was sealed")
    }

    /// Where it lives.
    pub(crate) fn home(&self) -> Option<u32> {
        let lives = |log: &Log| log.machine.tenants().living(TENANT).is_some();
        self.logs.iter().find(|(_, log)| lives(log)).map(|(shard, _)| *shard)
    }

    /// Since when it lives nowhere.
    pub(crate) const fn dark_since_us(&self) -> Option<Us> {
        self.stays.dark_since_us()
    }

    /// The last entry of a shard that was applied by anybody.
    pub(crate) fn last(&self, shard: u32) -> u64 {
        self.logs.get(&shard).map_or(0, |log| log.last)
    }

    /// Of everything on a shard.
    pub(crate) fn hash(&self, shard: u32) -> u64 {
        self.logs.get(&shard).map_or(0, |log| machine::hash(log.machine.tenants()))
    }

    /// A replica has applied an entry.
    pub(crate) fn applied(&mut self, now_us: Us, fact: &Fact) -> Check {
        self.now_us = now_us;
        let mut hasher = DefaultHasher::new();
        hasher.write(&fact.data);
        let data = hasher.finish();
        let (node, shard, index) = (fact.node + 1, fact.shard, fact.index);
        let Some(log) = self.logs.get_mut(&shard) else { return Ok(()) };
        if let Some(seen) = log.entries.get(&index) {
            hold!(
                seen.data == data,
                Acknowledged,
                "entry {index} of shard {shard} was applied, and n{node} applied another one in its place"
            );
            hold!(
                seen.hash == fact.hash,
                Replicas,
                "n{node} is in another state after entry {index} of shard {shard} than others were"
            );
            return Ok(());
        }
        hold!(
            index > log.last,
            Acknowledged,
            "n{node} applied entry {index} of shard {shard}, which nobody had when {} was",
            log.last
        );
        log.last = index;
        self.entry(shard, index, &fact.data)?;
        let hash = self.hash(shard);
        if let Some(log) = self.logs.get_mut(&shard) {
            log.entries.insert(index, Seen { data, hash });
        }
        hold!(
            hash == fact.hash,
            Replicas,
            "n{node} is in another state after entry {index} of shard {shard} than the judge's own replica"
        );
        if index.is_multiple_of(AUDIT_EVERY) {
            self.audit()?;
        }
        Ok(())
    }

    fn entry(&mut self, shard: u32, index: u64, data: &[u8]) -> Check {
        let batch = Batch::decode(data).expect("a committed entry is one of ours");
        let tenant = if batch.tenant == 0 { shard } else { batch.tenant };
        let Some(log) = self.logs.get_mut(&shard) else { return Ok(()) };
        let living = log.machine.tenants().living(TENANT);
        if tenant != TENANT || batch.tenancy.is_some() || living.is_none() {
            let before = living.filter(|_| tenant == TENANT && batch.tenancy.is_some()).map(acd::Shard::hash);
            log.machine.apply(index, data);
            if tenant == TENANT && batch.tenancy.is_some() {
                let all = self.logs.iter().map(|(shard, log)| (*shard, log.machine.tenants())).collect();
                self.stays.changed(self.now_us, shard, before, &all)?;
            }
            return Ok(());
        }
        self.leaps.entry(self.now_us, living.map_or(0, acd::Shard::now), &batch)?;
        if batch.commands.is_empty() {
            self.step(shard, index, batch.at_ms, None)?;
        }
        for logged in &batch.commands {
            self.step(shard, index, batch.at_ms, Some(logged))?;
        }
        Ok(())
    }

    /// Asks the shard itself.
    pub(crate) fn audit(&self) -> Check {
        let audit = self.shard().audit();
        hold!(audit.is_ok(), Audit, "{}", audit.err().unwrap_or_default());
        Ok(())
    }

    fn step(&mut self, shard: u32, index: u64, at_ms: u64, logged: Option<&Logged>) -> Check {
        self.commands += 1;
        let commands = logged.cloned().into_iter().collect();
        let data = Batch { at_ms, commands, tenant: TENANT, ..Batch::default() }.encode_to_vec();
        let Some(log) = self.logs.get_mut(&shard) else { return Ok(()) };
        // Each command of a batch needs a number of its own, should a mutant make ids of it.
        let Output::Tenant(output) = log.machine.apply(index * 1_000 + self.commands % 1_000, &data) else {
            return Ok(());
        };
        let mut first = true;
        let mut accepted = logged.is_none();
        if let Some((id, result)) = output.outcomes.first() {
            let verdict = result.as_ref().map(|_| ()).map_err(proto::v1::Rejection::code);
            accepted = verdict.is_ok();
            if let Some(before) = self.verdicts.get(id) {
                first = false;
                let same = *before == verdict || verdict == Err(RejectionCode::Stale);
                hold!(same, Retransmission, "command {id:x?} was {before:?}, sent again it is {verdict:?}");
            } else {
                self.verdicts.insert(*id, verdict);
            }
        }
        let kind = logged.and_then(|logged| logged.command.as_ref()).and_then(|command| command.kind.as_ref());
        let Some(shard) = log.machine.tenants().living(TENANT) else { return Ok(()) };
        let step =
            Step { now_us: self.now_us, kind, done: first && accepted, output: &output, shard, gone: &self.gone };
        self.calls.step(&step)?;
        self.rings.step(&step)?;
        self.positions.step(&step)?;
        self.reference.step(&step)
    }

    /// A gateway was told what became of its command.
    pub(crate) fn told(&self, id: Id, verdict: Verdict) -> Check {
        let Some(real) = self.verdicts.get(&id) else {
            hold!(false, Acknowledged, "command {id:x?} was answered {verdict:?} and is not in the log");
            return Ok(());
        };
        hold!(*real == verdict, Retransmission, "command {id:x?} became {real:?} and was answered {verdict:?}");
        Ok(())
    }

    /// When this leg was first ordered to ring.
    pub(crate) fn ring_ordered_us(&self, leg: LegKey) -> Option<Us> {
        self.rings.ordered_us(leg)
    }

    /// Everything is over: each call has its record.
    pub(crate) fn finish(&self) -> Check {
        self.audit()?;
        self.calls.finish()
    }

    /// How many calls were without a gateway, and how many of these failed by it.
    pub(crate) const fn homeless(&self) -> (u64, u64) {
        self.calls.homeless_sums
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> usize {
        self.calls.count()
    }
}
