//! Gateways that die, stop, or do not hear the nodes. Callers in line are telephones that follow to another gateway; SIPp's
//! callers, who would not, do not call over the one that is hurt.

use anyhow::ensure;
use serde_json::Value;

use crate::faults::story::{Proof, Story};

/// The one that is hurt, and the one that takes its calls over.
const HURT: &str = "g1";
const OTHER: &str = "g2";

/// `kill -9`.
///
/// # Errors
/// As every scenario.
pub fn gateway_killed(story: &mut Story) -> anyhow::Result<Proof> {
    story.quiet(HURT)?;
    let had = held(story, HURT)?;
    let pid = story.site.machine(HURT)?.pid()?;
    story.site.machine(HURT)?.kill()?;
    taken_over(story)?;
    story.site.start_machine(HURT)?;
    story.site.whole()?;
    story.loud(HURT)?;
    Ok(Proof(format!("pid {pid} of {HURT} killed; {OTHER} took {had} calls over")))
}

/// SIGSTOP, and SIGCONT after others have its calls.
///
/// # Errors
/// As every scenario.
pub fn gateway_stopped(story: &mut Story) -> anyhow::Result<Proof> {
    story.quiet(HURT)?;
    let had = held(story, HURT)?;
    story.site.machine(HURT)?.freeze()?;
    taken_over(story)?;
    ensure!(story.site.machine(HURT)?.state() == Some('T'), "{HURT} was not stopped all the time");
    story.site.machine(HURT)?.thaw()?;
    story.site.whole()?;
    story.loud(HURT)?;
    Ok(Proof(format!("{HURT} stopped; {OTHER} took {had} calls over")))
}

/// It reaches the nodes and does not hear them; telephones it hears and reaches all the time.
///
/// # Errors
/// As every scenario.
pub fn gateway_deaf(story: &mut Story) -> anyhow::Result<Proof> {
    story.quiet(HURT)?;
    let had = held(story, HURT)?;
    for node in story.site.nodes() {
        story.site.net.cut(&node, HURT)?;
    }
    taken_over(story)?;
    let dropped = story.site.net.dropped(HURT)?;
    story.site.net.mend(HURT)?;
    story.site.whole()?;
    story.loud(HURT)?;
    ensure!(dropped > 0, "no packet to {HURT} was dropped");
    Ok(Proof(format!("{dropped} packets to {HURT} dropped; {OTHER} took {had} calls over")))
}

/// Live calls of a gateway.
fn held(story: &Story, gateway: &str) -> anyhow::Result<usize> {
    let list = story.site.ask_until(&["call", "list"], |_| true)?;
    Ok(of(&list, gateway))
}

fn of(list: &Value, gateway: &str) -> usize {
    list.as_array().into_iter().flatten().filter(|call| call["gateway"] == gateway).count()
}

/// Until the other one has all calls; the line is what it was.
fn taken_over(story: &mut Story) -> anyhow::Result<()> {
    story.site.ask_until(&["call", "list"], |list| of(list, HURT) == 0 && of(list, OTHER) > 0)?;
    story.check_line()?;
    story.flows()
}
