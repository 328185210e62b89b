//! A shard's machine in a coat: tells the judge what each replica applies, and is where a mutant bites that would need
//! a wrong machine. Without a mutant it changes nothing.

use std::{cell::RefCell, rc::Rc};

use cluster::{Machine, RestoreError};
use node::machine::{Output, Replica, ShardMachine, TenantOutput};
use prost::Message as _;
use proto::v1::{
    AdvanceClock, Batch, Command, CommandId, Join, LogOutAgent, Logged, MakeAgentReady, command::Kind, order::Want,
    record,
};

use crate::{link::SHARD, mutant::Mutant};

/// A replica has applied an entry.
#[derive(Debug)]
pub(crate) struct Fact {
    pub(crate) node: usize,
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
    node: usize,
    facts: Option<Facts>,
    mutant: Option<Mutant>,
}

impl Coat {
    pub(crate) fn new(node: usize, facts: Option<Facts>, mutant: Option<Mutant>) -> Self {
        Self { inner: ShardMachine::new(SHARD), node, facts, mutant }
    }

    /// The tenant's state.
    pub(crate) fn tenant(&self) -> &acd::Shard {
        self.inner.tenant(SHARD).expect("it lives here")
    }

    fn apply_batch(&mut self, index: u64, batch: Batch) -> TenantOutput {
        let ids: Vec<_> = batch.commands.iter().map(|logged| logged.id).collect();
        let batch = self.spoil_batch(batch);
        if self.mutant == Some(Mutant::ForgottenClock) && batch.commands.is_empty() {
            return TenantOutput::default();
        }
        let mut output = self.plainly(index, &batch);
        for (outcome, id) in output.outcomes.iter_mut().zip(ids) {
            outcome.0 = id.map_or((0, 0), |id| (id.sender, id.number));
        }
        self.spoil_output(index, batch.at_ms, &mut output);
        output
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

    fn spoil_output(&mut self, index: u64, at_ms: u64, output: &mut TenantOutput) {
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
                    let more = self.plainly(index, &Batch { at_ms, commands, ..Batch::default() });
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
        let output = self.apply_batch(index, batch);
        if let Some(facts) = &self.facts {
            let hash = self.tenant().hash();
            facts.borrow_mut().push(Fact { node: self.node, index, data: data.to_vec(), hash });
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
            self.plainly(0, &Batch { at_ms: 0, commands, ..Batch::default() });
        }
        Ok(())
    }
}

impl Replica for Coat {
    fn shard(&self) -> &ShardMachine {
        &self.inner
    }
}
