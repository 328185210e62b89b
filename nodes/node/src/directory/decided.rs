//! What became of the latest proposals, by id, so that one that is repeated under another leader gets the first answer.
//! Decides nothing.

use std::collections::VecDeque;

use proto::v1::{CommandId, DecidedEntry, Rejection};

/// Proposals remembered; who asks again does it within seconds.
const DECIDED_MAX: usize = 1_024;

/// Oldest first.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Decided(VecDeque<DecidedEntry>);

impl Decided {
    /// The first answer to a proposal, if it is remembered.
    pub(super) fn answer(&self, id: Option<&CommandId>) -> Option<Result<(), Rejection>> {
        let id = id?;
        let known = self.0.iter().rev().find(|known| known.id.as_ref() == Some(id))?;
        Some(known.rejection.clone().map_or(Ok(()), Err))
    }

    /// Remembers an answer; one without an id cannot come again.
    pub(super) fn remember(&mut self, id: Option<CommandId>, outcome: &Result<(), Rejection>) {
        let Some(id) = id else { return };
        self.0.push_back(DecidedEntry { id: Some(id), rejection: outcome.clone().err() });
        while self.0.len() > DECIDED_MAX {
            self.0.pop_front();
        }
    }

    pub(super) fn save(&self) -> Vec<DecidedEntry> {
        self.0.iter().cloned().collect()
    }

    pub(super) fn restore(saved: Vec<DecidedEntry>) -> Self {
        Self(saved.into())
    }
}
