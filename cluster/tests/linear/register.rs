//! The model of one register: read, write, compare and set.

use super::Model;

/// A register that begins at 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct Register;

/// What is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterCall {
    /// What is in it.
    Read,
    /// This is in it from now on.
    Write(u64),
    /// The second is in it from now on, if the first is.
    Swap(u64, u64),
}

/// What it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterAnswer {
    /// To a read.
    Value(u64),
    /// To a write.
    Written,
    /// To a swap: whether the first was in it.
    Swapped(bool),
}

impl Model for Register {
    type State = u64;
    type Call = RegisterCall;
    type Answer = RegisterAnswer;

    fn begin(&self) -> u64 {
        0
    }

    fn call(&self, state: &u64, call: &RegisterCall) -> (u64, RegisterAnswer) {
        match *call {
            RegisterCall::Read => (*state, RegisterAnswer::Value(*state)),
            RegisterCall::Write(value) => (value, RegisterAnswer::Written),
            RegisterCall::Swap(from, to) if *state == from => (to, RegisterAnswer::Swapped(true)),
            RegisterCall::Swap(..) => (*state, RegisterAnswer::Swapped(false)),
        }
    }
}
