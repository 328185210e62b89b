//! The faults, one function each: breaks something under load, proves that it is broken, sees the others go on, mends it.

use std::{fs, io::Write as _, time::Instant};

use anyhow::{Context as _, ensure};

use super::story::{Proof, Story};
use crate::patience::wait_for;

/// How a node ends whose disk failed.
const DISK_FAILED: i32 = 74;

/// The nodes beside this one.
fn others(story: &Story, than: &str) -> Vec<String> {
    story.site.nodes().into_iter().filter(|id| id != than).collect()
}

/// Until another one than `former` leads; what changed, and how long it took.
fn succession(story: &mut Story, former: &str, term: u64) -> anyhow::Result<String> {
    let began = Instant::now();
    let rest = others(story, former);
    let next = story.site.leader_among(&rest)?;
    let seconds = began.elapsed().as_secs_f64();
    let now = story.site.shard_metric(&next, "shard_term", 1)?;
    ensure!(now > term, "{next} leads in term {now}, before it was {term}");
    Ok(format!("{next} leads in term {now} after {former} in {term}, seen after {seconds:.1} s"))
}

fn leader_and_term(story: &mut Story) -> anyhow::Result<(String, u64)> {
    let leader = story.site.leader()?;
    let term = story.site.shard_metric(&leader, "shard_term", 1)?;
    Ok((leader, term))
}

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

/// The disk of the last node is full: it must stop with a clear word, and the others go on.
///
/// # Errors
/// As every scenario.
pub fn disk_full(story: &mut Story) -> anyhow::Result<Proof> {
    let id = story.site.nodes().pop().context("there are nodes")?;
    let ballast = story.site.machine(&id)?.dir.join("ballast");
    let mut file = fs::File::create(&ballast)?;
    let piece = vec![0x5a; 1 << 16];
    // Until the disk says no; then byte by byte what is left of a page.
    while file.write_all(&piece).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
    drop(file);
    let free = nix::sys::statvfs::statvfs(&story.site.machine(&id)?.dir)?.blocks_available();
    ensure!(free == 0, "{free} blocks are still free on {id}");
    let status = story.site.machine(&id)?.ended()?;
    ensure!(status.code() == Some(DISK_FAILED), "{id} ended with {status}");
    let said = story.site.machine(&id)?.said();
    ensure!(said.contains("the disk failed"), "{id} did not say why it stopped:\n{said}");
    story.flows()?;
    fs::remove_file(&ballast)?;
    story.site.start_machine(&id)?;
    Ok(Proof(format!("0 blocks free on {id}, which ended with {DISK_FAILED} and said why")))
}

/// A node's disk is replaced by an empty one while it is away.
///
/// # Errors
/// As every scenario.
pub fn node_wiped(story: &mut Story) -> anyhow::Result<Proof> {
    let leader = story.site.leader()?;
    let id = others(story, &leader).into_iter().next().context("there are followers")?;
    let before = story.site.shard_metric(&id, "shard_applied_index", 1)?;
    story.site.machine(&id)?.kill()?;
    story.site.machine(&id)?.wipe()?;
    ensure!(fs::read_dir(&story.site.machine(&id)?.dir)?.next().is_none(), "{id} still has data");
    story.wiped.insert(id.clone());
    story.flows()?;
    story.site.start_machine(&id)?;
    // Then restarted twice: what it was given must be on its disk.
    for _ in 0..2 {
        let caught_up = wait_for(&format!("{id} has what it had"), || {
            story.site.shard_metric(&id, "shard_applied_index", 1).ok().filter(|index| *index > before)
        });
        caught_up.with_context(|| story.site.said())?;
        story.site.machine(&id)?.kill()?;
        story.site.start_machine(&id)?;
    }
    Ok(Proof(format!("{id} emptied at index {before}, came back, and was killed twice more")))
}
