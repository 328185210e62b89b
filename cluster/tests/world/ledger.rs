//! The machine of the seeded world: a list of commands, a hash of how they came, and some registers that they change.

use std::hash::{DefaultHasher, Hasher};

use cluster::{Machine, RestoreError};

use crate::linear::Model as _;
use crate::linear::register::{Register, RegisterAnswer, RegisterCall};

/// Commands in one slice of a save: few, so that much happens between slices.
const SLICE_IDS: usize = 150;

/// Registers of the ledger.
pub(crate) const REGISTERS: usize = 8;

/// Remembers every command, so that losing one shows.
#[derive(Default, Clone)]
pub(crate) struct Ledger {
    pub(crate) last_index: u64,
    pub(crate) ids: Vec<u64>,
    pub(crate) hash: u64,
    pub(crate) registers: [u64; REGISTERS],
    /// A bug put in on purpose: a save takes in what is applied between its slices.
    pub(crate) saves_too_much: bool,
    pub(crate) saving: Option<Saving>,
}

/// A save under way. Commands are only added to the ledger, so those at its beginning need no copy.
#[derive(Clone)]
pub(crate) struct Saving {
    last_index: u64,
    hash: u64,
    registers: [u64; REGISTERS],
    ids: usize,
    saved: Vec<u64>,
}

/// What applying a command gives: the command and the state after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) id: u64,
    pub(crate) hash: u64,
    /// Of a command that is about a register.
    pub(crate) answer: Option<RegisterAnswer>,
}

/// A command's bytes; one about a register is told apart by its length.
pub(crate) fn command(id: u64, call: Option<(usize, RegisterCall)>, padding: usize) -> Vec<u8> {
    let mut data = id.to_be_bytes().to_vec();
    match call {
        None => data.resize(8 + padding, 7),
        Some((register, call)) => {
            let words = match call {
                RegisterCall::Read => [0, 0, 0],
                RegisterCall::Write(value) => [1, value, 0],
                RegisterCall::Swap(from, to) => [2, from, to],
            };
            data.extend([register as u64].iter().chain(&words).flat_map(|word| word.to_be_bytes()));
            data.resize(REGISTER_COMMAND_BYTES, 7);
        }
    }
    data
}

const REGISTER_COMMAND_BYTES: usize = 200;

fn register_call(data: &[u8]) -> Option<(usize, RegisterCall)> {
    let data = data.get(8..40).filter(|_| data.len() == REGISTER_COMMAND_BYTES)?;
    let word = |at: usize| u64::from_be_bytes(data[at * 8..at * 8 + 8].try_into().expect("eight bytes"));
    let call = match word(1) {
        0 => RegisterCall::Read,
        1 => RegisterCall::Write(word(2)),
        _ => RegisterCall::Swap(word(2), word(3)),
    };
    Some((word(0) as usize % REGISTERS, call))
}

impl Machine for Ledger {
    type Output = Line;

    fn apply(&mut self, index: u64, data: &[u8]) -> Line {
        assert!(index > self.last_index, "index {index} after {}", self.last_index);
        let id = data.get(..8).map_or(0, |id| u64::from_be_bytes(id.try_into().expect("eight bytes")));
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.hash);
        hasher.write_u64(index);
        hasher.write(data);
        self.last_index = index;
        self.ids.push(id);
        self.hash = hasher.finish();
        let answer = register_call(data).map(|(register, call)| {
            let (value, answer) = Register.call(&self.registers[register], &call);
            self.registers[register] = value;
            answer
        });
        Line { id, hash: self.hash, answer }
    }

    fn begin_save(&mut self) {
        let (last_index, hash, ids) = (self.last_index, self.hash, self.ids.len());
        self.saving = Some(Saving { last_index, hash, registers: self.registers, ids, saved: Vec::new() });
    }

    fn save_slice(&mut self) -> Option<Vec<u8>> {
        let saving = self.saving.as_mut().expect("a save has begun");
        if self.saves_too_much {
            (saving.last_index, saving.hash, saving.ids) = (self.last_index, self.hash, self.ids.len());
            saving.registers = self.registers;
        }
        let from = saving.saved.len();
        let to = saving.ids.min(from + SLICE_IDS);
        saving.saved.extend(&self.ids[from..to]);
        if to < saving.ids {
            return None;
        }
        let Saving { last_index, hash, registers, saved, .. } = self.saving.take()?;
        Some([last_index, hash].iter().chain(&registers).chain(&saved).flat_map(|word| word.to_be_bytes()).collect())
    }

    fn restore(&mut self, data: &[u8]) -> Result<(), RestoreError> {
        let mut words = data.chunks_exact(8).map(|word| u64::from_be_bytes(word.try_into().expect("eight bytes")));
        let missing = || RestoreError("too short".into());
        self.last_index = words.next().ok_or_else(missing)?;
        self.hash = words.next().ok_or_else(missing)?;
        for register in &mut self.registers {
            *register = words.next().ok_or_else(missing)?;
        }
        self.ids = words.collect();
        self.saving = None;
        Ok(())
    }
}
