//! Linearizable reads of one group, from asked to answered. Sends nothing itself.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

/// Tokens of reads: waiting for a round, in a round, and confirmed but not yet applied.
#[derive(Default)]
pub(crate) struct Reads {
    waiting: Vec<u64>,
    asked: BTreeMap<u64, Vec<u64>>,
    confirmed: VecDeque<(u64, Vec<u64>)>,
    rounds: u64,
    open: usize,
}

impl Reads {
    pub(crate) fn add(&mut self, token: u64) {
        self.waiting.push(token);
        self.open += 1;
    }

    pub(crate) fn open(&self) -> usize {
        self.open
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// All that wait go into one round, under a context that no other round of this process has.
    pub(crate) fn ask(&mut self) -> Vec<u8> {
        self.rounds += 1;
        self.asked.insert(self.rounds, mem::take(&mut self.waiting));
        self.rounds.to_be_bytes().to_vec()
    }

    /// A majority has confirmed our leadership after the round was asked.
    pub(crate) fn confirm(&mut self, context: &[u8], index: u64) {
        let Ok(round) = context.try_into().map(u64::from_be_bytes) else { return };
        if let Some(tokens) = self.asked.remove(&round) {
            self.confirmed.push_back((index, tokens));
        }
    }

    /// Reads whose index has been applied.
    pub(crate) fn release(&mut self, applied: u64, mut answer: impl FnMut(u64)) {
        while self.confirmed.front().is_some_and(|(index, _)| *index <= applied) {
            let Some((_, tokens)) = self.confirmed.pop_front() else { break };
            self.open -= tokens.len();
            tokens.into_iter().for_each(&mut answer);
        }
    }

    /// Leadership is lost: what was not confirmed never will be. Confirmed reads stay right whoever leads.
    pub(crate) fn fail(&mut self, mut refuse: impl FnMut(u64)) {
        let lost = mem::take(&mut self.asked).into_values().flatten().chain(mem::take(&mut self.waiting));
        for token in lost {
            self.open -= 1;
            refuse(token);
        }
    }
}
