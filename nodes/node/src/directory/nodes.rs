//! The nodes and shards that the directory knows, and the rules in force. Says who is known and what people want of them;
//! who holds what is seen from the replicas, and planned by `cluster::placement`.

use std::collections::BTreeMap;

use proto::v1::{
    Announce, CreateShard, DirectorySnapshot, NodeRow, NodeWish, RaiseRules, Rejection, RejectionCode, SetNode,
    ShardRow,
};

use super::{Directory, refuse};
use crate::{members::number_of, tenancy::INSTALLED_FROM};

/// Nodes that a cluster has at most, removed ones included.
const NODES_MAX: usize = 256;
/// Tenant shards that a cluster has at most.
const SHARDS_MAX: usize = 4_096;

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

    /// A node says who it is. Whether another one lives under its id is looked at before this is proposed; what the rows
    /// alone can tell is decided here.
    pub(super) fn announce(&mut self, announce: Announce) -> Result<(), Rejection> {
        let Announce { node: Some(node), empty } = announce else {
            return Err(refuse(RejectionCode::Invalid, "an announcement of nobody"));
        };
        if number_of(&node.id) != Some(node.number) || node.endpoint.is_empty() {
            return Err(refuse(RejectionCode::Invalid, "a node has an id such as n4, its number and an endpoint"));
        }
        let known = self.nodes.nodes.get(&node.number);
        if known.is_none() && self.nodes.nodes.len() >= NODES_MAX {
            return Err(refuse(RejectionCode::LimitReached, &format!("a cluster has {NODES_MAX} nodes at most")));
        }
        if let Some(refusal) = known.and_then(|known| disk_refusal(known, node.seal, node.life, empty)) {
            return Err(refuse(RejectionCode::WrongState, &refusal));
        }
        let mut row = NodeRow { announced_ms: self.at_ms, ..node };
        if let Some(known) = known {
            row.wish = if known.wish() == NodeWish::Added { NodeWish::Unspecified.into() } else { known.wish };
            row.replacement.clone_from(&known.replacement);
            if row.zone.is_empty() {
                row.zone.clone_from(&known.zone);
            }
        } else {
            row.wish = NodeWish::Unspecified.into();
            row.replacement.clear();
        }
        self.nodes.nodes.insert(row.number, row);
        self.changes += 1;
        Ok(())
    }

    /// A person wants something of a node.
    pub(super) fn set_node(&mut self, set: SetNode) -> Result<(), Rejection> {
        let Some(number) = number_of(&set.id) else {
            return Err(refuse(RejectionCode::Invalid, "a node id is n and a number, such as n4"));
        };
        if !set.replacement.is_empty() && !self.may_replace(&set.id, &set.replacement) {
            let detail = format!("{} cannot take the place of {}", set.replacement, set.id);
            return Err(refuse(RejectionCode::Invalid, &detail));
        }
        let wish = set.wish();
        let known = self.nodes.nodes.get(&number);
        if known.is_some_and(|known| known.wish() == NodeWish::Removed) && wish != NodeWish::Removed {
            return Err(refuse(RejectionCode::WrongState, &removed(&set.id)));
        }
        if known.is_none() && self.nodes.nodes.len() >= NODES_MAX {
            return Err(refuse(RejectionCode::LimitReached, &format!("a cluster has {NODES_MAX} nodes at most")));
        }
        let mut row = known.cloned().unwrap_or_else(|| NodeRow { number, id: set.id.clone(), ..NodeRow::default() });
        // What has announced itself is wanted already; where it is it has said itself.
        row.wish = if wish == NodeWish::Added && row.seal != 0 { NodeWish::Unspecified.into() } else { wish.into() };
        row.replacement = set.replacement;
        if !set.endpoint.is_empty() && row.seal == 0 {
            row.endpoint = set.endpoint;
        }
        if !set.zone.is_empty() {
            row.zone = set.zone;
        }
        self.nodes.nodes.insert(number, row);
        self.changes += 1;
        Ok(())
    }

    fn may_replace(&self, id: &str, replacement: &str) -> bool {
        let row = number_of(replacement).and_then(|number| self.nodes.nodes.get(&number));
        replacement != id && row.is_some_and(|row| matches!(row.wish(), NodeWish::Unspecified | NodeWish::Added))
    }

    /// A shard begins; named again without first voters, it has begun.
    pub(super) fn create_shard(&mut self, create: CreateShard) -> Result<(), Rejection> {
        let CreateShard { shard, born_with } = create;
        let begins = !born_with.is_empty() && !self.nodes.shards.contains_key(&shard);
        if let Some(why) = self.number_taken(shard).filter(|_| begins) {
            return Err(refuse(RejectionCode::Invalid, &why));
        }
        let Some(identity) = &mut self.identity else {
            return Err(refuse(RejectionCode::WrongState, "the cluster is not founded yet"));
        };
        match self.nodes.shards.get_mut(&shard) {
            Some(row) if born_with.is_empty() => row.born_with.clear(),
            Some(row) if row.born_with == born_with => return Ok(()),
            None if !born_with.is_empty() && !identity.shards.contains(&shard) && shard != 0 => {
                if identity.shards.len() >= SHARDS_MAX {
                    let detail = format!("a cluster has {SHARDS_MAX} shards at most");
                    return Err(refuse(RejectionCode::LimitReached, &detail));
                }
                identity.shards.push(shard);
                self.nodes.shards.insert(shard, ShardRow { shard, born_with });
            }
            _ => return Err(refuse(RejectionCode::WrongState, &format!("shard {shard} is there already"))),
        }
        self.changes += 1;
        Ok(())
    }
}

impl Directory {
    /// A shard is born with the tenant of its own number. Whose number that is already would live twice: gateways know
    /// tenants by nothing else.
    fn number_taken(&self, shard: u32) -> Option<String> {
        if shard >= INSTALLED_FROM {
            return Some(format!(
                "shards have numbers below {INSTALLED_FROM}; from there on numbers are tenants' alone"
            ));
        }
        let row = self.tenants().find(|row| row.number == shard && row.shard != shard)?;
        Some(format!(
            "tenant {} has number {shard} and lives on shard {}; a shard {shard} would be born with a tenant of that \
             number: give the shard another one",
            row.name, row.shard
        ))
    }
}

/// Why a disk must not serve as the node of this row, as far as the row can tell.
#[must_use]
pub fn disk_refusal(known: &NodeRow, seal: u64, life: u64, empty: bool) -> Option<String> {
    let id = &known.id;
    if known.wish() == NodeWish::Removed {
        return Some(removed(id));
    }
    if known.seal == 0 || seal == 0 {
        return None;
    }
    if known.seal == seal && life < known.life {
        return Some(format!(
            "this disk of {id} is an old copy: it was started {life} times, the cluster has seen it started {} times; \
             what it promised since then is not on it. Move its data away and start again empty",
            known.life
        ));
    }
    if known.seal != seal && !empty {
        return Some(format!(
            "this disk is not the one that the cluster knows of {id}, and it is not empty. Move its data away and start \
             again empty, or give the node another id"
        ));
    }
    None
}

fn removed(id: &str) -> String {
    format!("{id} was removed from this cluster for good; give the node another id and an empty disk")
}
