//! What the shards of a node run: the directory on shard 0, the queues of tenants on every other. Bytes become words here,
//! once; nothing else in `node` decodes a log entry.

use cluster::{Machine, RestoreError};
use prost::Message as _;
use proto::v1::{Accepted, Ask, Batch, DirectoryEntry, Logged, Order, Record, Rejection, RejectionCode, record};

use crate::{
    directory::Directory,
    tenancy::{Stay, Tenants},
    translate,
};

/// The state machine of one shard.
#[derive(Debug)]
pub enum ShardMachine {
    /// Shard 0.
    Directory(Box<Directory>),
    /// Every other shard.
    Tenants(Tenants),
}

/// What a core needs of its machines: to be a [`ShardMachine`], whatever is around it.
pub trait Replica: Machine<Output = Output> {
    /// The machine itself, to be read.
    fn shard(&self) -> &ShardMachine;
}

impl Replica for ShardMachine {
    fn shard(&self) -> &ShardMachine {
        self
    }
}

/// What applying one entry brought.
#[derive(Debug)]
pub enum Output {
    /// Of shard 0: the command's number (its sender is not kept: it is proposed by the leader that waits for it).
    Directory {
        /// Random name of the proposal.
        id: u64,
        /// What became of it.
        result: Result<(), Rejection>,
        /// To be written down: who changed what.
        audit: Option<Box<Record>>,
    },
    /// Of a shard of tenants.
    Tenant(TenantOutput),
}

/// What one batch brought.
#[derive(Debug, Default)]
pub struct TenantOutput {
    /// Whose.
    pub tenant: u32,
    /// The entry was about where the tenant lives, and about nothing else.
    pub stay: Option<Stay>,
    /// Sender and number of each command, in order, and what became of it.
    pub outcomes: Vec<((u64, u64), Result<Accepted, Rejection>)>,
    /// Changed orders and the gateway of each.
    pub orders: Vec<(String, Order)>,
    /// To be written down.
    pub records: Vec<Record>,
    /// Questions to choosers.
    pub asks: Vec<Ask>,
}

impl ShardMachine {
    /// The empty machine of a shard.
    #[must_use]
    pub fn new(shard: u32) -> Self {
        if shard == 0 { Self::Directory(Box::default()) } else { Self::Tenants(Tenants::new(shard)) }
    }

    /// The directory, on shard 0.
    #[must_use]
    pub fn directory(&self) -> Option<&Directory> {
        match self {
            Self::Directory(directory) => Some(directory),
            Self::Tenants(_) => None,
        }
    }

    /// The tenants, on every other shard.
    #[must_use]
    pub const fn tenants(&self) -> Option<&Tenants> {
        match self {
            Self::Directory(_) => None,
            Self::Tenants(tenants) => Some(tenants),
        }
    }

    /// The shard's own clock, Unix milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        match self {
            Self::Directory(directory) => directory.now_ms(),
            Self::Tenants(tenants) => tenants.now(),
        }
    }

    /// The state of a tenant that lives here.
    #[must_use]
    pub fn tenant(&self, tenant: u32) -> Option<&acd::Shard> {
        self.tenants()?.living(tenant)
    }
}

/// Id and incarnation of every attached gateway.
pub(crate) fn gateways(tenant: &acd::Shard) -> Vec<(String, u64)> {
    let attached = tenant.gateways().into_iter().filter(|gateway| gateway.up);
    attached.map(|gateway| (gateway.id, gateway.incarnation)).collect()
}

/// All orders of a gateway.
pub(crate) fn standing_orders(tenant: &acd::Shard, gateway: &str, incarnation: u64) -> Vec<Order> {
    tenant.standing_orders(gateway, incarnation).into_iter().map(translate::order).collect()
}

/// Questions to choosers that wait for an answer: for a leader that begins.
pub(crate) fn standing_asks(tenant: &acd::Shard) -> Vec<Ask> {
    tenant.standing_asks().into_iter().map(translate::ask).collect()
}

impl Machine for ShardMachine {
    type Output = Output;

    fn apply(&mut self, _index: u64, data: &[u8]) -> Output {
        match self {
            Self::Directory(directory) => {
                let entry = DirectoryEntry::decode(data).expect("a committed entry of shard 0 is one of ours");
                let id = entry.id.as_ref().map_or(0, |id| id.number);
                let audited = directory.audited();
                let result = directory.apply(entry);
                let written = directory.audit().last().filter(|_| directory.audited() > audited).cloned();
                let audit = written.map(|written| {
                    let at_ms = written.at_ms;
                    Box::new(Record { at_ms, kind: Some(record::Kind::Audit(written)), ..Record::default() })
                });
                Output::Directory { id, result, audit }
            }
            Self::Tenants(tenants) => {
                let batch = Batch::decode(data).expect("a committed entry is one of ours");
                Output::Tenant(tenants.apply(batch))
            }
        }
    }

    fn begin_save(&mut self) {
        match self {
            // Small: saved in one slice, which comes before anything else is applied.
            Self::Directory(_) => {}
            Self::Tenants(tenants) => tenants.begin_save(),
        }
    }

    fn save_slice(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Directory(directory) => Some(directory.save()),
            Self::Tenants(tenants) => tenants.save_slice(),
        }
    }

    fn restore(&mut self, data: &[u8]) -> Result<(), RestoreError> {
        match self {
            Self::Directory(directory) => {
                **directory = Directory::restore(data).map_err(|error| RestoreError(error.to_string()))?;
            }
            Self::Tenants(tenants) => tenants.restore(data)?,
        }
        Ok(())
    }
}

/// Applies the commands of one entry to a tenant.
pub(crate) fn apply_batch(shard: &mut acd::Shard, batch: Batch) -> TenantOutput {
    let mut out = acd::Output::default();
    let mut outcomes = Vec::with_capacity(batch.commands.len());
    // An empty batch is the clock alone.
    if batch.commands.is_empty() {
        let clock = acd::Entry {
            at: batch.at_ms,
            id: acd::CommandId::default(),
            settled_below: 0,
            trace: None,
            command: acd::Command::AdvanceClock,
        };
        shard.apply(clock, &mut out).expect("the clock may always advance");
    }
    for logged in batch.commands {
        let id = logged.id.as_ref().map_or((0, 0), |id| (id.sender, id.number));
        outcomes.push((id, apply_one(shard, batch.at_ms, logged, &mut out)));
    }
    TenantOutput {
        tenant: 0,
        stay: None,
        outcomes,
        orders: out.orders.into_iter().map(|(gateway, order)| (gateway.to_string(), translate::order(order))).collect(),
        records: out.records.into_iter().map(translate::record).collect(),
        asks: out.asks.into_iter().map(translate::ask).collect(),
    }
}

fn apply_one(shard: &mut acd::Shard, at_ms: u64, logged: Logged, out: &mut acd::Output) -> Result<Accepted, Rejection> {
    let entry = translate::entry(at_ms, logged)
        .map_err(|error| Rejection { code: RejectionCode::Invalid.into(), detail: error.to_string() })?;
    if let acd::Command::SetRules { version } = entry.command {
        // To refuse what a later release accepts would split the shard.
        assert!(
            version <= acd::RULES,
            "the log sets rules {version}, this release knows them up to {}: start a later release on this node",
            acd::RULES
        );
    }
    shard.apply(entry, out).map(|acd::Accepted| Accepted {}).map_err(translate::rejection)
}

#[cfg(test)]
mod tests {
    use proto::v1::{Command, CommandId, LogInAgent, SetRules, command};

    use super::*;

    fn entry(at_ms: u64, kind: command::Kind) -> Vec<u8> {
        let command = Some(Command { kind: Some(kind) });
        let id = Some(CommandId { sender: 3, number: at_ms });
        Batch { at_ms, commands: vec![Logged { id, command, ..Logged::default() }], ..Batch::default() }.encode_to_vec()
    }

    fn nobody(at_ms: u64) -> Vec<u8> {
        entry(at_ms, command::Kind::LogInAgent(LogInAgent { agent: "nobody".into() }))
    }

    fn hash(machine: &ShardMachine) -> u64 {
        machine.tenant(1).expect("it lives here").hash()
    }

    #[test]
    fn a_save_is_of_the_moment_it_began_whatever_is_applied_meanwhile() {
        let mut machine = ShardMachine::new(1);
        (1..=50).for_each(|at| drop(machine.apply(at, &nobody(1_000 + at))));
        let began = hash(&machine);
        machine.begin_save();
        let mut slice = machine.save_slice();
        let (mut at, mut slices) = (50, 1);
        let saved = loop {
            if let Some(saved) = slice {
                break saved;
            }
            at += 1;
            machine.apply(at, &nobody(1_000 + at));
            slice = machine.save_slice();
            slices += 1;
        };
        assert!(slices > 1, "or nothing was applied meanwhile");
        let mut other = ShardMachine::new(1);
        other.restore(&saved).expect("restored");
        assert_eq!(hash(&other), began);
        (51..=at).for_each(|at| drop(other.apply(at, &nobody(1_000 + at))));
        assert_eq!(hash(&other), hash(&machine));
    }

    #[test]
    fn a_restore_forgets_the_save_that_was_under_way() {
        let mut machine = ShardMachine::new(1);
        machine.apply(1, &nobody(1_001));
        machine.begin_save();
        assert_eq!(machine.save_slice(), None);
        let mut other = ShardMachine::new(1);
        other.apply(1, &nobody(9_001));
        let bytes = other.tenant(1).expect("it lives here").save();
        machine.restore(&bytes).expect("restored");
        assert_eq!(machine.save_slice(), None, "there is nothing to go on with");
        machine.begin_save();
        let saved = std::iter::from_fn(|| Some(machine.save_slice())).take(10).flatten().next();
        assert_eq!(saved.as_ref(), Some(&bytes));
    }

    #[test]
    fn rules_of_this_release_are_applied() {
        let mut machine = ShardMachine::new(1);
        machine.apply(1, &entry(1_001, command::Kind::SetRules(SetRules { version: acd::RULES })));
        assert_eq!(machine.tenant(1).map(acd::Shard::rules), Some(acd::RULES));
    }

    #[test]
    #[should_panic(expected = "start a later release on this node")]
    fn rules_of_a_later_release_stop_the_replica() {
        let later = SetRules { version: acd::RULES + 1 };
        ShardMachine::new(1).apply(1, &entry(1_001, command::Kind::SetRules(later)));
    }
}
