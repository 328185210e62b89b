//! A shard's machine in a coat: tells the judge what each replica applies and how it stands then, and is where a mutant
//! bites that would need a wrong machine. Without a mutant it changes nothing.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    hash::{DefaultHasher, Hasher as _},
    rc::Rc,
};

use cluster::{Machine, RestoreError};
use node::{
    machine::{Output, Replica, ShardMachine, TenantOutput},
    tenancy::{Standing, Tenants},
};
use prost::Message as _;
use proto::v1::{
    AdvanceClock, Batch, Command, CommandId, DropTenant, InstallTenant, Join, LogOutAgent, Logged, MakeAgentReady,
    SealTenant, batch::Tenancy, command::Kind, order::Want, record,
};

use crate::{link::TENANT, mutant::Mutant};

/// The shards of every run. On each a tenant of its number is born; nobody ever calls that of the second one.
pub(crate) const SHARDS: [u32; 2] = [1, 2];

/// A replica has applied an entry.
#[derive(Debug)]
pub(crate) struct Fact {
    pub(crate) node: usize,
    pub(crate) shard: u32,
    pub(crate) index: u64,
    pub(crate) data: Vec<u8>,
    /// Of the state afterwards.
    pub(crate) hash: u64,
}

/// Where replicas tell what they have applied.
pub(crate) type Facts = Rc<RefCell<Vec<Fact>>>;

/// A machine in a coat.
#[derive(Debug)]
pub(crate) struct Coat {
    inner: ShardMachine,
    shard: u32,
    node: usize,
    facts: Option<Facts>,
    mutant: Option<Mutant>,
    /// Pieces of the state that came last, kept by a mutant.
    pieces: BTreeMap<u64, InstallTenant>,
}

/// Of everything that a replica has of tenants.
pub(crate) fn hash(tenants: &Tenants) -> u64 {
    let mut hasher = DefaultHasher::new();
    for tenant in SHARDS {
        let (standing, moved) = tenants.standing(tenant);
        let (kind, rest) = match standing {
            Standing::Unknown => (0, 0),
            Standing::Arriving(bytes) => (1, bytes),
            Standing::Arrived(bytes) => (2, bytes),
            Standing::Lives => (3, tenants.living(tenant).map_or(0, acd::Shard::hash)),
            Standing::Sealed => (4, tenants.sealed(tenant).map_or(0, |sealed| sealed.hash())),
            Standing::Gone => (5, 0),
        };
        [u64::from(tenant), kind, moved, rest].into_iter().for_each(|word| hasher.write_u64(word));
    }
    hasher.finish()
}

impl Coat {
    pub(crate) fn new(shard: u32, node: usize, facts: Option<Facts>, mutant: Option<Mutant>) -> Self {
        Self { inner: ShardMachine::new(shard), shard, node, facts, mutant, pieces: BTreeMap::new() }
    }

    /// What this replica has of tenants.
    pub(crate) fn tenants(&self) -> &Tenants {
        self.inner.tenants().expect("no directory is simulated")
    }

    fn apply_batch(&mut self, index: u64, batch: Batch) -> TenantOutput {
        let ids: Vec<_> = batch.commands.iter().map(|logged| logged.id).collect();
        let batch = self.spoil_batch(batch);
        if self.mutant == Some(Mutant::ForgottenClock) && batch.commands.is_empty() {
            let tenant = if batch.tenant == 0 { self.shard } else { batch.tenant };
            return TenantOutput { tenant, ..TenantOutput::default() };
        }
        let mut output = self.plainly(index, &batch);
        for (outcome, id) in output.outcomes.iter_mut().zip(ids) {
            outcome.0 = id.map_or((0, 0), |id| (id.sender, id.number));
        }
        self.spoil_output(index, &batch, &mut output);
        output
    }

    /// An entry about where a tenant lives.
    fn apply_tenancy(&mut self, index: u64, batch: &Batch) -> TenantOutput {
        match (self.mutant, &batch.tenancy) {
            (Some(Mutant::LeakySeal), Some(Tenancy::Seal(_))) => {
                return TenantOutput {
                    tenant: batch.tenant,
                    stay: Some(node::tenancy::Stay::Same),
                    ..Default::default()
                };
            }
            (Some(Mutant::DoublePiece), Some(Tenancy::Install(piece))) => self.begin_anew(index, batch, piece),
            _ => {}
        }
        self.plainly(index, batch)
    }

    /// A last piece that comes again has the tenant begin again, as it was when it came.
    fn begin_anew(&mut self, index: u64, batch: &Batch, piece: &InstallTenant) {
        if !piece.data.is_empty() {
            self.pieces.retain(|offset, _| *offset < piece.offset);
            self.pieces.insert(piece.offset, piece.clone());
        } else if self.tenants().standing(batch.tenant) == (Standing::Lives, piece.r#move) {
            let moved = piece.r#move + 1;
            let drop = DropTenant { r#move: moved, undo: false };
            let pieces = self.pieces.clone().into_values().chain([piece.clone()]);
            let pieces = pieces.map(|piece| Tenancy::Install(InstallTenant { r#move: moved + 1, ..piece }));
            let seal = [Tenancy::Seal(SealTenant { r#move: moved }), Tenancy::Drop(drop)];
            for tenancy in seal.into_iter().chain(pieces).collect::<Vec<_>>() {
                self.plainly(index, &Batch { tenancy: Some(tenancy), ..batch.clone() });
            }
        }
    }

    fn plainly(&mut self, index: u64, batch: &Batch) -> TenantOutput {
        match self.inner.apply(index, &batch.encode_to_vec()) {
            Output::Tenant(output) => output,
            Output::Directory { .. } => TenantOutput::default(),
        }
    }

    fn spoil_batch(&self, mut batch: Batch) -> Batch {
        match self.mutant {
            Some(Mutant::OwnClock) if self.node == 1 => batch.at_ms += 1,
            Some(Mutant::ForgottenIds) => {
                for logged in &mut batch.commands {
                    logged.settled_below = 0;
                    if let Some(id) = &mut logged.id {
                        id.number += batch.at_ms * 1_000;
                    }
                }
            }
            Some(Mutant::ForgottenBreak) => spoil(&mut batch, |kind| matches!(kind, Kind::MakeAgentNotReady(_))),
            Some(Mutant::ForgottenLease) => spoil(&mut batch, |kind| matches!(kind, Kind::LoseGateway(_))),
            Some(Mutant::ForgottenTenure) => {
                for logged in &mut batch.commands {
                    match logged.command.as_mut().and_then(|command| command.kind.as_mut()) {
                        Some(Kind::EndLeg(end)) => end.tenure = 0,
                        Some(Kind::AnswerLeg(answer)) => answer.tenure = 0,
                        Some(Kind::ConfirmLeg(confirm)) => confirm.tenure = 0,
                        _ => {}
                    }
                }
            }
            Some(Mutant::ForgottenTakeLead) => spoil(&mut batch, |kind| matches!(kind, Kind::TakeLead(_))),
            _ => {}
        }
        batch
    }

    fn spoil_output(&mut self, index: u64, batch: &Batch, output: &mut TenantOutput) {
        let (at_ms, tenant) = (batch.at_ms, batch.tenant);
        match self.mutant {
            Some(Mutant::JoinedLoser) => {
                for (_, order) in output.orders.iter_mut().filter(|(_, order)| order.leg > 1) {
                    if matches!(order.want, Some(Want::Gone(_))) {
                        order.want = Some(Want::Join(Join { leg: 1 }));
                    }
                }
            }
            Some(Mutant::DoubleRecord) => {
                let calls: Vec<_> = output
                    .records
                    .iter()
                    .filter(|record| matches!(record.kind, Some(record::Kind::Call(_))))
                    .cloned()
                    .collect();
                output.records.extend(calls);
            }
            Some(Mutant::DoubleRing) => {
                let rings: Vec<_> = output
                    .orders
                    .iter()
                    .filter(|(_, order)| matches!(order.want, Some(Want::Ring(_))))
                    .cloned()
                    .collect();
                output.orders.extend(rings.into_iter().map(|(gateway, mut order)| {
                    order.leg += 50;
                    if let Some(Want::Ring(ring)) = &mut order.want {
                        ring.agent = if ring.agent == "a1" { "a2".into() } else { "a1".into() };
                    }
                    (gateway, order)
                }));
            }
            Some(Mutant::ForgottenWrapUp) => {
                let wrapped: Vec<String> = output
                    .records
                    .iter()
                    .filter_map(|record| match &record.kind {
                        Some(record::Kind::Agent(agent)) if agent.to == "wrap-up" => Some(agent.agent.clone()),
                        _ => None,
                    })
                    .collect();
                for (agent, at) in wrapped.into_iter().zip(0..) {
                    let id = Some(CommandId { sender: 0xbad, number: at_ms * 1_000 + at });
                    let command = Some(Command { kind: Some(Kind::MakeAgentReady(MakeAgentReady { agent })) });
                    let commands = vec![Logged { id, settled_below: 0, trace: None, command }];
                    let more = self.plainly(index, &Batch { at_ms, commands, tenant, ..Batch::default() });
                    output.orders.extend(more.orders);
                    output.records.extend(more.records);
                }
            }
            _ => {}
        }
    }
}

/// Puts the clock in place of some commands: they are accepted and nothing is done.
fn spoil(batch: &mut Batch, which: impl Fn(&Kind) -> bool) {
    for logged in &mut batch.commands {
        if let Some(command) = &mut logged.command
            && command.kind.as_ref().is_some_and(&which)
        {
            command.kind = Some(Kind::AdvanceClock(AdvanceClock {}));
        }
    }
}

impl Machine for Coat {
    type Output = Output;

    fn apply(&mut self, index: u64, data: &[u8]) -> Output {
        let batch = Batch::decode(data).expect("a committed entry is one of ours");
        let output =
            if batch.tenancy.is_some() { self.apply_tenancy(index, &batch) } else { self.apply_batch(index, batch) };
        if let Some(facts) = &self.facts {
            let (node, shard, hash) = (self.node, self.shard, hash(self.tenants()));
            facts.borrow_mut().push(Fact { node, shard, index, data: data.to_vec(), hash });
        }
        Output::Tenant(output)
    }

    fn begin_save(&mut self) {
        self.inner.begin_save();
    }

    fn save_slice(&mut self) -> Option<Vec<u8>> {
        self.inner.save_slice()
    }

    fn restore(&mut self, data: &[u8]) -> Result<(), RestoreError> {
        self.inner.restore(data)?;
        if self.mutant == Some(Mutant::WrongRestore) {
            let id = Some(CommandId { sender: 0xbad, number: 1 });
            let command = Some(Command { kind: Some(Kind::LogOutAgent(LogOutAgent { agent: "a1".into() })) });
            let commands = vec![Logged { id, settled_below: 0, trace: None, command }];
            self.plainly(0, &Batch { at_ms: 0, commands, tenant: TENANT, ..Batch::default() });
        }
        Ok(())
    }
}

impl Replica for Coat {
    fn shard(&self) -> &ShardMachine {
        &self.inner
    }
}
