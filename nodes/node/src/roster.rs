//! What this node's replica of the directory says of the cluster's nodes and shards, for tasks that follow it. It may lag
//! behind; what must be right is asked of the directory's leader.

use proto::v1::{NodeRow, ShardRow, TenantRow};

use crate::directory::{Directory, RULES_OF_NODES};

/// Nodes and shards as the directory has them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Roster {
    /// Random identity of the cluster; empty = not founded yet, or no replica of the directory here yet.
    pub founded: String,
    /// The rules in force.
    pub rules: u32,
    /// Nodes that have announced themselves or are expected, by number.
    pub nodes: Vec<NodeRow>,
    /// Tenant shards.
    pub shards: Vec<u32>,
    /// Shards that began while the cluster ran.
    pub born: Vec<ShardRow>,
    /// Where tenants live.
    pub tenants: Vec<TenantRow>,
}

impl Roster {
    /// As the directory has them now.
    #[must_use]
    pub fn of(directory: &Directory) -> Self {
        let identity = directory.identity();
        Self {
            founded: identity.map(|identity| identity.cluster.clone()).unwrap_or_default(),
            rules: directory.rules(),
            nodes: directory.nodes().cloned().collect(),
            shards: identity.map(|identity| identity.shards.clone()).unwrap_or_default(),
            born: directory.shard_rows().cloned().collect(),
            tenants: directory.tenants().cloned().collect(),
        }
    }

    /// The row of a node.
    #[must_use]
    pub fn row(&self, number: u64) -> Option<&NodeRow> {
        self.nodes.iter().find(|row| row.number == number)
    }

    /// Whether nodes announce themselves and replicas move: every replica of the directory knows such entries.
    #[must_use]
    pub const fn knows_nodes(&self) -> bool {
        self.rules >= RULES_OF_NODES
    }
}
