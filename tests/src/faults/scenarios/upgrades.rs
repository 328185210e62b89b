//! From one release to the next, node by node under load, back again, and forward: two versions side by side all the time.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::{
    faults::story::{Proof, Story},
    patience::wait_for,
};

/// Each node is stopped and started with the other binary, but for the last one; then the first goes back to the former.
///
/// # Errors
/// As every scenario.
pub fn half_way_and_back(story: &mut Story, former: &Path, next: &Path) -> anyhow::Result<Proof> {
    let nodes = story.site.nodes();
    let (last, first) = (nodes.len().checked_sub(1).context("there are nodes")?, nodes[0].clone());
    for id in &nodes[..last] {
        node_to(story, id, next)?;
    }
    let forward = versions(story, next)?;
    ensure!(forward.1 == last && forward.0 > last, "{} of {} run the next release", forward.1, forward.0);
    node_to(story, &first, former)?;
    let back = versions(story, next)?;
    ensure!(back.1 + 1 == forward.1, "{} of {} run the next release after one went back", back.1, back.0);
    node_to(story, &first, next)?;
    Ok(Proof(format!("{} of {} processes new, then {first} old again and new again", forward.1, forward.0)))
}

/// The rest follows, the gateways too; then all run the next release.
///
/// # Errors
/// As every scenario.
pub fn all_the_way(story: &mut Story, next: &Path) -> anyhow::Result<Proof> {
    for id in story.site.nodes() {
        if running(story, &id)? != next {
            node_to(story, &id, next)?;
        }
    }
    for id in ["g1", "g2"] {
        // It hands its calls over by itself; SIPp's callers could not follow.
        story.quiet(id)?;
        change(story, id, next)?;
        story.site.whole()?;
        story.loud(id)?;
    }
    let (all, new) = versions(story, next)?;
    ensure!(all == new, "{new} of {all} run the next release");
    Ok(Proof(format!("{new} of {all} processes new")))
}

/// The operator says that nobody goes back: the rules of the next release are in force.
///
/// # Errors
/// As every scenario.
pub fn finished(story: &mut Story) -> anyhow::Result<Proof> {
    let before = story.site.ask_until(&["upgrade", "status"], |_| true)?;
    let after = story.site.ask_until(&["upgrade", "finish"], |_| true)?;
    ensure!(before["rules"] != after["rules"], "the rules are as they were: {after}");
    Ok(Proof(format!("rules were {}, are {}", before["rules"], after["rules"])))
}

fn node_to(story: &mut Story, id: &str, binary: &Path) -> anyhow::Result<()> {
    change(story, id, binary)?;
    story.site.whole()?;
    story.flows()
}

fn change(story: &mut Story, id: &str, binary: &Path) -> anyhow::Result<()> {
    let machine = story.site.machine(id)?;
    let status = machine.terminate()?;
    ensure!(status.success(), "{id} ended with {status}");
    machine.binary = binary.to_owned();
    story.site.start_machine(id)?;
    // At first it is the program that leads it into its network.
    wait_for(&format!("{id} is of {}", binary.display()), || {
        running(story, id).ok().filter(|file| file == binary).map(drop)
    })
}

/// The file of which a machine's process is, as the kernel says it.
fn running(story: &mut Story, id: &str) -> anyhow::Result<PathBuf> {
    let pid = story.site.machine(id)?.pid()?;
    Ok(std::fs::read_link(format!("/proc/{pid}/exe"))?)
}

/// How many processes there are, and how many of them of this file.
fn versions(story: &mut Story, next: &Path) -> anyhow::Result<(usize, usize)> {
    let ids: Vec<String> = story.site.machines.iter().map(|machine| machine.id.clone()).collect();
    let mut new = 0;
    for id in &ids {
        new += usize::from(running(story, id)? == next);
    }
    Ok((ids.len(), new))
}
