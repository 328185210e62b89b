//! Who should hold and lead what: a pure plan over a picture of the cluster. Knows no call, sends nothing, remembers
//! nothing: the next plan is made from the next picture.
//!
//! Shard 0 is wanted on every node: up to [`Limits::directory_voters`] vote, the others learn. Every other shard is wanted
//! on [`Limits::replicas`] nodes, in different zones as far as there are some.

mod leads;
mod steps;
#[cfg(test)]
mod tests;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The cluster as the one who plans sees it.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// Every node that is known, by number.
    pub nodes: BTreeMap<u64, Node>,
    /// Every shard, by number.
    pub shards: BTreeMap<u32, Shard>,
    /// Whether leaders may be moved only to spread them; not while somebody has just restarted.
    pub spread_leads: bool,
}

/// What a person wants of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wish {
    /// It holds its share.
    #[default]
    Stay,
    /// It holds nothing but a copy of the directory.
    Drain,
    /// It holds nothing.
    Leave,
}

/// A node.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Nodes of one zone may fail together; empty = a zone like any other.
    pub zone: String,
    /// What a person wants of it.
    pub wish: Wish,
    /// Who should take what it holds, if anybody in particular.
    pub replacement: Option<u64>,
    /// It answers, and as the disk that the directory knows.
    pub up: bool,
    /// Since when it does not, in milliseconds.
    pub gone_ms: u64,
    /// Its disk is much slower than those of the others.
    pub slow: bool,
    /// The shards it has replicas of, members or not.
    pub holds: BTreeSet<u32>,
}

/// A shard, as its leader sees it.
#[derive(Debug, Clone, Default)]
pub struct Shard {
    /// Who leads; without one there is nothing to be done but to wait, or to begin it.
    pub leader: Option<u64>,
    /// Nodes that vote.
    pub voters: BTreeSet<u64>,
    /// Not empty: voters of before a change that is under way.
    pub outgoing: BTreeSet<u64>,
    /// Nodes that learn.
    pub learners: BTreeSet<u64>,
    /// Members that the leader hears of, itself included.
    pub heard: BTreeSet<u64>,
    /// Those of them whose log is nearly as long as the leader's, itself included.
    pub caught_up: BTreeSet<u64>,
    /// Not empty: it is just beginning, with these voters.
    pub born_with: BTreeSet<u64>,
}

/// How much is wanted.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Voters of a shard.
    pub replicas: usize,
    /// Voters of shard 0 at the most.
    pub directory_voters: usize,
    /// A node that is gone for longer is replaced where another can take its place.
    pub replace_after_ms: u64,
    /// Shards whose replicas move at the same time, shard 0 not counted.
    pub moves_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { replicas: 3, directory_voters: 5, replace_after_ms: 300_000, moves_max: 4 }
    }
}

/// One thing to be done, which may be done twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A replica begins on a node.
    Open {
        /// Where.
        node: u64,
        /// Of what.
        shard: u32,
        /// The voters of a shard that begins now; empty = it waits until its leader tells.
        born_with: Vec<u64>,
    },
    /// What is left of a replica that is no member goes.
    Drop {
        /// Where.
        node: u64,
        /// Of what.
        shard: u32,
    },
    /// The members of a shard change, by joint consensus.
    Change {
        /// Which shard.
        shard: u32,
        /// These learn, or only learn from now on.
        learn: Vec<u64>,
        /// These vote.
        vote: Vec<u64>,
        /// These are out.
        leave: Vec<u64>,
    },
    /// Another voter leads.
    Lead {
        /// Which shard.
        shard: u32,
        /// Who.
        to: u64,
    },
    /// A shard that began has a leader and its voters: its first voters are history.
    Born {
        /// Which shard.
        shard: u32,
    },
}

impl Step {
    /// The shard it is about.
    #[must_use]
    pub const fn shard(&self) -> u32 {
        match self {
            Self::Open { shard, .. }
            | Self::Drop { shard, .. }
            | Self::Change { shard, .. }
            | Self::Lead { shard, .. }
            | Self::Born { shard } => *shard,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &[u64]| nodes.iter().map(|node| format!("n{node}")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Open { node, shard, born_with } if born_with.is_empty() => {
                write!(out, "n{node} gets a replica of shard {shard}")
            }
            Self::Open { node, shard, .. } => write!(out, "shard {shard} begins on n{node}"),
            Self::Drop { node, shard } => write!(out, "n{node} forgets what it has of shard {shard}"),
            Self::Change { shard, learn, vote, leave } => {
                write!(out, "shard {shard}:")?;
                let mut comma = "";
                for (nodes, what) in [(vote, "to vote"), (learn, "to learn"), (leave, "to leave")] {
                    if !nodes.is_empty() {
                        write!(out, "{comma} {} {what}", list(nodes))?;
                        comma = ",";
                    }
                }
                Ok(())
            }
            Self::Lead { shard, to } => write!(out, "n{to} is to lead shard {shard}"),
            Self::Born { shard } => write!(out, "shard {shard} has begun"),
        }
    }
}

/// What is to be done now; empty when everything is as it is wanted, or nothing more can be done for it.
#[must_use]
pub fn plan(picture: &Picture, limits: &Limits) -> Vec<Step> {
    let wanted = wanted::voters(picture, limits);
    let mut steps = steps::towards(picture, &wanted, limits);
    let leads = leads::spread(picture, &wanted, &steps);
    steps.extend(leads);
    steps
}

/// The first voters of a shard that begins now: nodes that are up, in different zones as far as there are some, those
/// with the fewest replicas first.
#[must_use]
pub fn first_voters(picture: &Picture, replicas: usize) -> Vec<u64> {
    let mut chosen: Vec<u64> = Vec::new();
    while chosen.len() < replicas {
        let free = picture.nodes.iter().filter(|(node, _)| picture.may_take(**node) && !chosen.contains(node));
        let best = free.min_by_key(|(node, held)| {
            let alike = chosen.iter().filter(|other| picture.zone(**other) == held.zone).count();
            let votes = picture.shards.values().filter(|shard| shard.voters.contains(node)).count();
            (alike, held.slow, votes, **node)
        });
        let Some((node, _)) = best else { break };
        chosen.push(*node);
    }
    chosen.sort_unstable();
    chosen
}

impl Picture {
    fn wish(&self, node: u64) -> Wish {
        // Nobody knows it: a voter of the first hour that never said a word stays until a person says otherwise.
        self.nodes.get(&node).map_or(Wish::Stay, |node| node.wish)
    }

    fn is_up(&self, node: u64) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.up)
    }

    fn is_slow(&self, node: u64) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.slow)
    }

    fn zone(&self, node: u64) -> &str {
        self.nodes.get(&node).map_or("", |node| node.zone.as_str())
    }

    fn holds(&self, node: u64, shard: u32) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.holds.contains(&shard))
    }

    /// May keep what it holds: here, or not gone for long.
    fn may_keep(&self, node: u64, limits: &Limits) -> bool {
        self.wish(node) == Wish::Stay
            && self.nodes.get(&node).is_none_or(|node| node.up || node.gone_ms < limits.replace_after_ms)
    }

    /// May be given more.
    fn may_take(&self, node: u64) -> bool {
        self.wish(node) == Wish::Stay && self.is_up(node)
    }
}
