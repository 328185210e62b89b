//! The faults, one function each: breaks something under load, proves that it is broken, sees the others go on, mends it.

pub mod clocks;
pub mod disks;
pub mod gateways;
pub mod leaders;
pub mod members;
pub mod slow;
pub mod upgrades;

use std::time::Instant;

use anyhow::ensure;

use super::story::{Proof, Story};

/// A fault by name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What people call it.
    pub name: &'static str,
    /// Plays it.
    pub play: fn(&mut Story) -> anyhow::Result<Proof>,
    /// Also in the short form that every change must pass.
    pub short: bool,
}

/// All that one site can be put through, in the order of the suite.
pub const ALL: [Scenario; 20] = [
    Scenario { name: "leader-killed", play: leaders::leader_killed, short: true },
    Scenario { name: "leader-stopped", play: leaders::leader_stopped, short: true },
    Scenario { name: "leader-in-minority", play: leaders::leader_in_minority, short: true },
    Scenario { name: "leader-deaf", play: leaders::leader_deaf, short: true },
    Scenario { name: "leader-mute", play: leaders::leader_mute, short: false },
    Scenario { name: "nodes-restarted", play: leaders::nodes_restarted, short: false },
    Scenario { name: "disk-full", play: disks::disk_full, short: true },
    Scenario { name: "fsync-fails", play: disks::fsync_fails, short: false },
    Scenario { name: "node-wiped", play: disks::node_wiped, short: true },
    Scenario { name: "slow-disk", play: slow::slow_disk, short: false },
    Scenario { name: "slow-cpu", play: slow::slow_cpu, short: false },
    Scenario { name: "packets-lost", play: slow::packets_lost, short: false },
    Scenario { name: "packets-late", play: slow::packets_late, short: false },
    Scenario { name: "clock-leaps-ahead", play: clocks::clock_leaps_ahead, short: false },
    Scenario { name: "clock-leaps-back", play: clocks::clock_leaps_back, short: false },
    Scenario { name: "gateway-killed", play: gateways::gateway_killed, short: false },
    Scenario { name: "gateway-stopped", play: gateways::gateway_stopped, short: false },
    Scenario { name: "gateway-deaf", play: gateways::gateway_deaf, short: false },
    Scenario { name: "members-change", play: members::members_change, short: false },
    Scenario { name: "all-nodes-killed", play: leaders::all_nodes_killed, short: true },
];

/// The nodes beside this one.
pub(super) fn others(story: &Story, than: &str) -> Vec<String> {
    story.site.nodes().into_iter().filter(|id| id != than).collect()
}

/// Until another one than `former` leads; what changed, and how long it took.
pub(super) fn succession(story: &mut Story, former: &str, term: u64) -> anyhow::Result<String> {
    let began = Instant::now();
    let rest = others(story, former);
    let next = story.site.leader_among(&rest)?;
    let seconds = began.elapsed().as_secs_f64();
    let now = story.site.shard_metric(&next, "shard_term", 1)?;
    ensure!(now > term, "{next} leads in term {now}, before it was {term}");
    Ok(format!("{next} leads in term {now} after {former} in {term}, seen after {seconds:.1} s"))
}

/// Who leads the tenant's shard, and since which term.
pub(super) fn leader_and_term(story: &mut Story) -> anyhow::Result<(String, u64)> {
    let leader = story.site.leader()?;
    let term = story.site.shard_metric(&leader, "shard_term", 1)?;
    Ok((leader, term))
}
