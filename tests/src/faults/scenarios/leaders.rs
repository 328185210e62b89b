//! Leaders that die, stop, or are cut off in one direction or both; and all nodes at once.

use anyhow::ensure;

use super::{leader_and_term, others, succession};
use crate::faults::story::{Proof, Story};

/// `kill -9` of the leader of the tenant's shard.
///
/// # Errors
/// As every scenario: the fault did not happen, or the others did not go on.
pub fn leader_killed(story: &mut Story) -> anyhow::Result<Proof> {
    let (leader, term) = leader_and_term(story)?;
    let pid = story.site.machine(&leader)?.pid()?;
    story.site.machine(&leader)?.kill()?;
    let proof = format!("pid {pid} of {leader} killed; {}", succession(story, &leader, term)?);
    story.flows()?;
    story.site.start_machine(&leader)?;
    Ok(Proof(proof))
}

/// SIGSTOP of the leader, SIGCONT when another one leads: it wakes and believes that it leads.
///
/// # Errors
/// As every scenario.
pub fn leader_stopped(story: &mut Story) -> anyhow::Result<Proof> {
    let (leader, term) = leader_and_term(story)?;
    story.site.machine(&leader)?.freeze()?;
    let proof = succession(story, &leader, term)?;
    story.flows()?;
    ensure!(story.site.machine(&leader)?.state() == Some('T'), "{leader} was not stopped all the time");
    story.site.machine(&leader)?.thaw()?;
    Ok(Proof(format!("{leader} stopped; {proof}")))
}

/// The leader and its gateways hear each other, the other two nodes it neither hears nor reaches.
///
/// # Errors
/// As every scenario.
pub fn leader_in_minority(story: &mut Story) -> anyhow::Result<Proof> {
    let (leader, term) = leader_and_term(story)?;
    let rest = others(story, &leader);
    for other in &rest {
        story.site.net.cut(&leader, other)?;
        story.site.net.cut(other, &leader)?;
    }
    let succeeded = succession(story, &leader, term)?;
    story.flows()?;
    let dropped = story.site.net.dropped(&leader)?;
    for id in rest.iter().chain([&leader]) {
        story.site.net.mend(id)?;
    }
    ensure!(dropped > 0, "no packet to {leader} was dropped");
    Ok(Proof(format!("{leader} alone, {dropped} packets to it dropped; {succeeded}")))
}

/// The leader reaches the others and does not hear them.
///
/// # Errors
/// As every scenario.
pub fn leader_deaf(story: &mut Story) -> anyhow::Result<Proof> {
    let (leader, term) = leader_and_term(story)?;
    for other in others(story, &leader) {
        story.site.net.cut(&other, &leader)?;
    }
    let succeeded = succession(story, &leader, term)?;
    story.flows()?;
    let dropped = story.site.net.dropped(&leader)?;
    story.site.net.mend(&leader)?;
    ensure!(dropped > 0, "no packet to {leader} was dropped");
    Ok(Proof(format!("{leader} deaf, {dropped} packets to it dropped; {succeeded}")))
}

/// The leader hears the others and does not reach them.
///
/// # Errors
/// As every scenario.
pub fn leader_mute(story: &mut Story) -> anyhow::Result<Proof> {
    let (leader, term) = leader_and_term(story)?;
    let rest = others(story, &leader);
    rest.iter().try_for_each(|other| story.site.net.cut(&leader, other))?;
    let succeeded = succession(story, &leader, term)?;
    story.flows()?;
    let mut dropped = 0;
    for other in &rest {
        dropped += story.site.net.dropped(other)?;
        story.site.net.mend(other)?;
    }
    ensure!(dropped > 0, "no packet of {leader} was dropped");
    Ok(Proof(format!("{leader} mute, {dropped} packets of it dropped; {succeeded}")))
}

/// A power cut without its loss of memory: all nodes are killed within a moment, and started again.
///
/// # Errors
/// As every scenario.
pub fn all_nodes_killed(story: &mut Story) -> anyhow::Result<Proof> {
    let nodes = story.site.nodes();
    let mut pids = Vec::new();
    for id in &nodes {
        pids.push(story.site.machine(id)?.pid()?.to_string());
        story.site.machine(id)?.kill()?;
    }
    ensure!(story.site.ask(&["status"]).is_err(), "a cluster without nodes answers");
    for id in &nodes {
        story.site.start_machine(id)?;
    }
    Ok(Proof(format!("pids {} gone at once", pids.join(", "))))
}

/// Every node is told to stop by SIGTERM and started again, one after the other: a rolling restart.
///
/// # Errors
/// As every scenario.
pub fn nodes_restarted(story: &mut Story) -> anyhow::Result<Proof> {
    let mut ended = Vec::new();
    for id in story.site.nodes() {
        let status = story.site.machine(&id)?.terminate()?;
        ensure!(status.success(), "{id} ended with {status}");
        story.flows()?;
        story.site.start_machine(&id)?;
        story.site.whole()?;
        ended.push(format!("{id} {status}"));
    }
    Ok(Proof(ended.join(", ")))
}
