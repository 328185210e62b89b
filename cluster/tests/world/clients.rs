//! Clients of the seeded world: each asks one thing of a register at a time, gives up after a while, and writes down what it
//! saw and when, for the checker of linearizability. Knows no node but by its place.

use std::collections::BTreeMap;

use super::ledger::{Ledger, Line, REGISTERS};
use crate::linear::register::{Register, RegisterAnswer, RegisterCall};
use crate::linear::{Fault, Seen, check};

/// A client waits no longer than this; then the outcome is unknown.
const PATIENCE_MS: u64 = 1_500;
/// Steps of the checker for one register.
const CHECK_STEPS_MAX: u64 = 300_000;

/// A call under way: where it was asked, when, and its place in the history.
struct Open {
    at: usize,
    since_ms: u64,
    register: usize,
    place: usize,
}

#[derive(Default)]
pub(crate) struct Clients {
    /// By the id of the command or the token of the read.
    open: BTreeMap<u64, Open>,
    histories: BTreeMap<usize, Vec<Seen<RegisterCall, RegisterAnswer>>>,
    /// Every beginning and end has a moment of its own.
    moment: u64,
    pub(crate) answered: u64,
    pub(crate) unknown: u64,
    /// Histories that the checker could not judge in its steps.
    pub(crate) undecided: u64,
}

impl Clients {
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn asked(&mut self, at: usize, now: u64, id: u64, register: usize, call: RegisterCall) {
        self.moment += 1;
        let history = self.histories.entry(register).or_default();
        self.open.insert(id, Open { at, since_ms: now, register, place: history.len() });
        history.push(Seen { call, began: self.moment, ended: None });
    }

    /// A node has applied a command; whoever asked there is answered.
    pub(crate) fn applied(&mut self, at: usize, line: &Line) {
        if let Some(answer) = line.answer {
            self.answer(at, line.id, |_| answer);
        }
    }

    /// A read may be answered from the machine.
    pub(crate) fn readable(&mut self, at: usize, token: u64, machine: &Ledger) {
        self.answer(at, token, |register| RegisterAnswer::Value(machine.registers[register]));
    }

    pub(crate) fn answer(&mut self, at: usize, id: u64, answer: impl FnOnce(usize) -> RegisterAnswer) {
        if self.open.get(&id).is_none_or(|open| open.at != at) {
            return;
        }
        let Some(open) = self.open.remove(&id) else { return };
        self.moment += 1;
        self.answered += 1;
        if let Some(seen) = self.histories.get_mut(&open.register).and_then(|history| history.get_mut(open.place)) {
            seen.ended = Some((self.moment, answer(open.register)));
        }
    }

    /// A read that will never be answered.
    pub(crate) fn refused(&mut self, at: usize, token: u64) {
        if self.open.get(&token).is_some_and(|open| open.at == at) {
            self.open.remove(&token);
        }
    }

    /// A node is gone, or time is up: whatever was asked there may have happened.
    pub(crate) fn give_up(&mut self, now: u64, gone: Option<usize>) {
        let before = self.open.len();
        self.open.retain(|_, open| Some(open.at) != gone && now - open.since_ms < PATIENCE_MS);
        self.unknown += (before - self.open.len()) as u64;
    }

    /// Whether all that was seen could have come one after the other.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        for register in 0..REGISTERS {
            let Some(history) = self.histories.get(&register) else { continue };
            // A read without an answer says nothing.
            let history: Vec<_> = history
                .iter()
                .filter(|seen| seen.call != RegisterCall::Read || seen.ended.is_some())
                .cloned()
                .collect();
            match check(&Register, &history, CHECK_STEPS_MAX) {
                Ok(()) => {}
                // Not a verdict; counted.
                Err(Fault::TooHard { .. }) => self.undecided += 1,
                Err(Fault::NotLinearizable { call, explained }) => {
                    let around = &history[call.saturating_sub(12)..history.len().min(call + 4)];
                    let what = format!("register {register} is not linearizable after {explained} calls: {around:#?}");
                    return Err(what);
                }
            }
        }
        Ok(())
    }
}
