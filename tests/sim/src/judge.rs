//! Reads the committed log as the replicas apply it, applies it once more, command by command, and holds each step
//! against what must always hold. It sees words, views and records; never the inside of `acd`.

mod calls;
mod positions;
pub(crate) mod rings;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hasher as _},
};

use cluster::Machine as _;
use node::machine::{Output, TenantOutput};
use prost::Message as _;
use proto::v1::{Batch, Logged, RejectionCode, command::Kind};

use crate::{
    machine::{Coat, Fact},
    mutant::Mutant,
    people::LegKey,
    reference::Reference,
    scenario::Us,
    verdict::{Check, hold},
};
use calls::Calls;
use positions::Positions;
use rings::Rings;

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

pub(crate) struct Judge {
    machine: Coat,
    entries: BTreeMap<u64, Seen>,
    last: u64,
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
            machine: Coat::new(usize::MAX, None, mutant),
            entries: BTreeMap::new(),
            last: 0,
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

    /// The state after everything that was committed.
    pub(crate) fn shard(&self) -> &acd::Shard {
        self.machine.tenant()
    }

    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// A replica has applied an entry.
    pub(crate) fn applied(&mut self, now_us: Us, fact: &Fact) -> Check {
        self.now_us = now_us;
        let mut hasher = DefaultHasher::new();
        hasher.write(&fact.data);
        let data = hasher.finish();
        let (node, index) = (fact.node + 1, fact.index);
        if let Some(seen) = self.entries.get(&index) {
            hold!(
                seen.data == data,
                Acknowledged,
                "entry {index} was applied, and n{node} applied another one in its place"
            );
            hold!(seen.hash == fact.hash, Replicas, "n{node} is in another state after entry {index} than others were");
            return Ok(());
        }
        hold!(
            index > self.last,
            Acknowledged,
            "n{node} applied entry {index}, which nobody had when {} was",
            self.last
        );
        self.last = index;
        let batch = Batch::decode(fact.data.as_slice()).expect("a committed entry is one of ours");
        if batch.commands.is_empty() {
            self.step(index, batch.at_ms, None)?;
        }
        for logged in &batch.commands {
            self.step(index, batch.at_ms, Some(logged))?;
        }
        let hash = self.machine.tenant().hash();
        self.entries.insert(index, Seen { data, hash });
        hold!(
            hash == fact.hash,
            Replicas,
            "n{node} is in another state after entry {index} than the judge's own replica"
        );
        if index.is_multiple_of(AUDIT_EVERY) {
            self.audit()?;
        }
        Ok(())
    }

    /// Asks the shard itself.
    pub(crate) fn audit(&self) -> Check {
        let audit = self.machine.tenant().audit();
        hold!(audit.is_ok(), Audit, "{}", audit.err().unwrap_or_default());
        Ok(())
    }

    fn step(&mut self, index: u64, at_ms: u64, logged: Option<&Logged>) -> Check {
        self.commands += 1;
        let commands = logged.cloned().into_iter().collect();
        let data = Batch { at_ms, commands, ..Batch::default() }.encode_to_vec();
        // Each command of a batch needs a number of its own, should a mutant make ids of it.
        let Output::Tenant(output) = self.machine.apply(index * 1_000 + self.commands % 1_000, &data) else {
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
        let shard = self.machine.tenant();
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
