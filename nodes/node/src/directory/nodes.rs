//! The nodes and shards that the directory knows, and the rules in force. Says who is known and what people want of them;
//! who holds what is seen from the replicas, and planned by `cluster::placement`.

use std::collections::BTreeMap;

use proto::v1::{
    Announce, CreateShard, DirectorySnapshot, NodeRow, RaiseRules, Rejection, RejectionCode, SetNode, ShardRow,
};

use super::{Directory, refuse};

/// Rows of nodes and shards.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Nodes {
    nodes: BTreeMap<u64, NodeRow>,
    shards: BTreeMap<u32, ShardRow>,
}

impl Nodes {
    pub(super) fn save(&self, snapshot: &mut DirectorySnapshot) {
        snapshot.nodes = self.nodes.values().cloned().collect();
        snapshot.shard_rows = self.shards.values().cloned().collect();
    }

    pub(super) fn restore(snapshot: &mut DirectorySnapshot) -> Self {
        let nodes = std::mem::take(&mut snapshot.nodes);
        let shards = std::mem::take(&mut snapshot.shard_rows);
        Self {
            nodes: nodes.into_iter().map(|row| (row.number, row)).collect(),
            shards: shards.into_iter().map(|row| (row.shard, row)).collect(),
        }
    }
}

impl Directory {
    /// The nodes, by number.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeRow> {
        self.nodes.nodes.values()
    }

    /// The shards that began while the cluster ran, by number; the others began with it.
    pub fn shard_rows(&self) -> impl Iterator<Item = &ShardRow> {
        self.nodes.shards.values()
    }

    pub(super) fn raise_rules(&mut self, raise: &RaiseRules) -> Result<(), Rejection> {
        // To refuse what a later release accepts would split the directory.
        assert!(
            raise.version <= acd::RULES,
            "the directory sets rules {}, this release knows them up to {}: start a later release on this node",
            raise.version,
            acd::RULES
        );
        if self.identity.is_none() {
            return Err(refuse(RejectionCode::WrongState, "the cluster is not founded yet"));
        }
        if raise.version < self.rules {
            return Err(refuse(RejectionCode::Stale, "later rules are in force"));
        }
        if raise.version > self.rules {
            self.rules = raise.version;
            self.changes += 1;
        }
        Ok(())
    }

    pub(super) fn announce(&mut self, announce: Announce) -> Result<(), Rejection> {
        let _ = announce;
        Err(refuse(RejectionCode::Invalid, "not yet"))
    }

    pub(super) fn set_node(&mut self, set: SetNode) -> Result<(), Rejection> {
        let _ = set;
        Err(refuse(RejectionCode::Invalid, "not yet"))
    }

    pub(super) fn create_shard(&mut self, create: CreateShard) -> Result<(), Rejection> {
        let _ = create;
        Err(refuse(RejectionCode::Invalid, "not yet"))
    }
}
