//! Machines that are slow: their disk, their CPU, their cable. Nobody may be declared dead for it who does his work.

use std::{
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::faults::{
    cgroups::Group,
    delay::Delay,
    story::{Proof, Story},
};

/// Writes a second that a slow disk does.
const WRITES: u32 = 25;
/// Of one core.
const CPU_PERCENT: u64 = 10;
/// How often calls flow until it was held back.
const CPU_FLOWS_MAX: u32 = 5;
/// Of all packets to each node.
const LOST_PERCENT: u8 = 5;
/// Of all packets that a node sends.
const LATE: Duration = Duration::from_millis(40);
const LATE_MORE: Duration = Duration::from_millis(40);

/// The leader's disk does few writes a second.
///
/// # Errors
/// As every scenario.
pub fn slow_disk(story: &mut Story) -> anyhow::Result<Proof> {
    // The last node's disk is memory.
    let last = story.site.nodes().pop().context("there are nodes")?;
    let leader = story.site.leader()?;
    let id = if leader == last { "n1".to_owned() } else { leader };
    let machine = story.site.machine(&id)?;
    let (pid, dir) = (machine.pid()?, machine.dir.clone());
    let before = flush_ms(&dir.join("probe"), None)?;
    let group = Group::slow_disk(pid, &dir, WRITES)?;
    let within = flush_ms(&dir.join("probe"), Some(&group))?;
    story.flows()?;
    drop(group);
    ensure!(within > before * 3.0, "a synced write took {before:.1} ms before and {within:.1} ms in the slow group");
    Ok(Proof(format!("a synced write on {id} took {within:.0} ms, before {before:.1} ms")))
}

/// What a synced write of one page takes, by a process in this group.
fn flush_ms(file: &std::path::Path, group: Option<&Group>) -> anyhow::Result<f64> {
    const COUNT: u32 = 8;
    let enter =
        group.map_or_else(String::new, |group| format!("echo $$ > {}/cgroup.procs; ", group.folder().display()));
    let write =
        format!("{enter}exec dd if=/dev/zero of={} bs=4k count={COUNT} oflag=dsync status=none", file.display());
    let began = Instant::now();
    let status = Command::new("sh").args(["-c", &write]).status()?;
    ensure!(status.success(), "dd ended with {status}");
    Ok(began.elapsed().as_secs_f64() * 1_000.0 / f64::from(COUNT))
}

/// The leader has a small share of a core.
///
/// # Errors
/// As every scenario.
pub fn slow_cpu(story: &mut Story) -> anyhow::Result<Proof> {
    let id = story.site.leader()?;
    let group = Group::slow_cpu(story.site.machine(&id)?.pid()?, CPU_PERCENT)?;
    let mut throttled = 0;
    // A quiet moment needs no more than it may have.
    for _ in 0..CPU_FLOWS_MAX {
        story.flows()?;
        throttled = group.throttled()?;
        if throttled > 0 {
            break;
        }
    }
    drop(group);
    ensure!(throttled > 0, "{id} was never held back");
    Ok(Proof(format!("{id} had {CPU_PERCENT} % of a core and was held back {throttled} times")))
}

/// Each node loses some of what comes to it.
///
/// # Errors
/// As every scenario.
pub fn packets_lost(story: &mut Story) -> anyhow::Result<Proof> {
    let nodes = story.site.nodes();
    nodes.iter().try_for_each(|id| story.site.net.lose(id, LOST_PERCENT))?;
    story.flow(30)?;
    let mut dropped = 0;
    for id in &nodes {
        dropped += story.site.net.dropped(id)?;
        story.site.net.mend(id)?;
    }
    ensure!(dropped > 0, "no packet was lost");
    Ok(Proof(format!("{dropped} packets lost, {LOST_PERCENT} % of what came to each node")))
}

/// What the leader and another node say arrives late, now more and now less.
///
/// # Errors
/// As every scenario.
pub fn packets_late(story: &mut Story) -> anyhow::Result<Proof> {
    let mut late = Vec::new();
    let nodes = story.site.nodes();
    let before = connect_ms(story, &nodes[0])?;
    for id in &nodes[..2] {
        late.push(Delay::start(&story.site, id, LATE, LATE_MORE)?);
    }
    let within = connect_ms(story, &nodes[0])?;
    story.flow(30)?;
    let mut packets = 0;
    for delay in late {
        packets += delay.stop()?;
    }
    ensure!(within > before + LATE.as_secs_f64() * 900.0, "connecting took {before:.1} ms before, {within:.1} ms late");
    ensure!(packets > 0, "no packet was late");
    Ok(Proof(format!(
        "{packets} packets of {} were 40 to 80 ms late; connecting took {within:.0} ms",
        nodes[..2].join(", ")
    )))
}

fn connect_ms(story: &mut Story, id: &str) -> anyhow::Result<f64> {
    let began = Instant::now();
    TcpStream::connect_timeout(&story.site.machine(id)?.http(), Duration::from_secs(5))?;
    Ok(began.elapsed().as_secs_f64() * 1_000.0)
}
