//! What is asked of the nodes of the seeded world: commands, reads, and what clients want of registers. Who may answer is for
//! the nodes to know; a sabotaged world answers by itself.

use cluster::Role;

use super::ledger::{REGISTERS, command};
use super::{SHARD, Sabotage, World};
use crate::linear::register::{RegisterAnswer, RegisterCall};

/// Clients that ask at the same time.
const CLIENTS: usize = 5;

impl World {
    pub(crate) fn propose(&mut self, at: usize) {
        let padding = self.dice.usize(0..64);
        self.next_id += 1;
        let id = self.next_id;
        self.propose_command(at, id, command(id, None, padding));
    }

    fn propose_command(&mut self, at: usize, id: u64, data: Vec<u8>) -> bool {
        let node = &mut self.nodes[at];
        let slept = node.is_asleep();
        let taken = node.host.as_mut().is_some_and(|host| host.propose(SHARD, data).is_ok());
        if taken {
            node.touched = true;
            self.oracle.proposed(at, id);
            self.counts.asleep.proposals += u64::from(slept);
        }
        taken
    }

    pub(crate) fn read(&mut self, at: usize) {
        self.next_id += 1;
        self.ask_read(at, self.next_id);
    }

    fn ask_read(&mut self, at: usize, token: u64) -> bool {
        let node = &mut self.nodes[at];
        let slept = node.is_asleep();
        let taken = node.host.as_mut().is_some_and(|host| host.read(SHARD, token).is_ok());
        if taken {
            node.touched = true;
            self.oracle.asked(at, token);
            self.counts.asleep.reads += u64::from(slept);
        }
        taken
    }

    /// A client asks something of a register of a node that it takes for the leader.
    pub(crate) fn ask(&mut self, at: usize) {
        self.clients.give_up(self.now, None);
        if !self.is_up(at) || !self.nodes[at].runs(self.now) || self.clients.open() >= CLIENTS {
            return;
        }
        self.next_id += 1;
        let (id, register) = (self.next_id, self.dice.usize(0..REGISTERS));
        let node = &self.nodes[at];
        let value = node.machine().map_or(0, |machine| machine.registers[register]);
        let leads = node.status().is_some_and(|status| status.role == Role::Leader);
        let call = match self.dice.u8(0..4) {
            0..=1 => RegisterCall::Read,
            2 => RegisterCall::Write(id),
            _ => RegisterCall::Swap(value, id),
        };
        if call == RegisterCall::Read {
            let at_once = match self.sabotage {
                Sabotage::ReadWithoutAsking => leads,
                Sabotage::ReadAnywhere => true,
                _ => false,
            };
            if at_once {
                self.clients.asked(at, self.now, id, register, call);
                self.clients.answer(at, id, |_| RegisterAnswer::Value(value));
            } else if self.ask_read(at, id) {
                self.clients.asked(at, self.now, id, register, call);
            }
        } else if self.propose_command(at, id, command(id, Some((register, call)), 0)) {
            self.clients.asked(at, self.now, id, register, call);
            if self.sabotage == Sabotage::AnswerBeforeCommit && matches!(call, RegisterCall::Write(_)) {
                self.clients.answer(at, id, |_| RegisterAnswer::Written);
            }
        }
    }
}
