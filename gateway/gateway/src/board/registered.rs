//! Phones that are reached over a connection of this gateway alone: when it is closed, nobody is rung in vain.

use std::collections::BTreeMap;

use proto::v1::{self, command::Kind};
use sip::Flow;

use super::Board;
use crate::link::Urgency;

/// Contacts that are remembered of one connection; further ones run out by themselves.
const CONTACTS_MAX: usize = 64;

/// Contacts by connection.
#[derive(Default)]
pub(super) struct Attached {
    by_connection: BTreeMap<u64, Vec<(u32, v1::RegisterContact)>>,
}

impl Attached {
    /// A contact was asked to be bound, or no longer.
    fn note(&mut self, connection: u64, shard: u32, binding: &v1::RegisterContact) {
        let bound = self.by_connection.entry(connection).or_default();
        let same = |other: &v1::RegisterContact| {
            other.agent == binding.agent && (other.contact == binding.contact || binding.contact == "*")
        };
        bound.retain(|(_, other)| !same(other));
        if binding.expires_seconds > 0 && bound.len() < CONTACTS_MAX {
            bound.push((shard, v1::RegisterContact { expires_seconds: 0, ..binding.clone() }));
        }
        if bound.is_empty() {
            self.by_connection.remove(&connection);
        }
    }
}

impl Board {
    /// A REGISTER has come over a connection.
    pub(super) fn attach(&mut self, shard: u32, binding: &v1::RegisterContact) {
        if let Some(reading) = self.reading.as_ref().filter(|reading| binding.flow && reading.flow.connection != 0) {
            self.attached.note(reading.flow.connection, shard, binding);
        }
    }

    /// A connection is closed: what was bound over it is bound no longer. Travels behind the binding, should that still be
    /// under way.
    pub(super) fn detach(&mut self, flow: Flow) {
        for (shard, unbinding) in self.attached.by_connection.remove(&flow.connection).into_iter().flatten() {
            self.config.metrics.flows_lost.inc();
            self.ask(shard, Kind::RegisterContact(unbinding), Urgency::Urgent, None, None);
        }
    }
}
