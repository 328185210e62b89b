//! Gateways that die, stop, or do not hear the nodes. Callers in line are telephones that follow to another gateway; SIPp's
//! callers, who would not, do not call over the one that is hurt.

use anyhow::ensure;
use serde_json::Value;

use crate::faults::story::{Proof, Story};

/// The one that is hurt is the one with more calls; the other one takes them over.
fn hurt_and_other(story: &mut Story) -> anyhow::Result<(&'static str, &'static str)> {
    let list = story.site.ask_until(&["call", "list"], |_| true)?;
    let (hurt, other) = if of(&list, "g1") >= of(&list, "g2") { ("g1", "g2") } else { ("g2", "g1") };
    story.quiet(hurt)?;
    Ok((hurt, other))
}

/// `kill -9`.
///
/// # Errors
/// As every scenario.
pub fn gateway_killed(story: &mut Story) -> anyhow::Result<Proof> {
    let (hurt, other) = hurt_and_other(story)?;
    let had = held(story, hurt)?;
    let pid = story.site.machine(hurt)?.pid()?;
    story.site.machine(hurt)?.kill()?;
    taken_over(story, hurt, other)?;
    story.site.start_machine(hurt)?;
    story.site.whole()?;
    story.loud(hurt)?;
    Ok(Proof(format!("pid {pid} of {hurt} killed; {other} took {had} calls over")))
}

/// SIGSTOP, and SIGCONT after others have its calls.
///
/// # Errors
/// As every scenario.
pub fn gateway_stopped(story: &mut Story) -> anyhow::Result<Proof> {
    let (hurt, other) = hurt_and_other(story)?;
    let had = held(story, hurt)?;
    story.site.machine(hurt)?.freeze()?;
    taken_over(story, hurt, other)?;
    ensure!(story.site.machine(hurt)?.state() == Some('T'), "{hurt} was not stopped all the time");
    story.site.machine(hurt)?.thaw()?;
    story.site.whole()?;
    story.loud(hurt)?;
    Ok(Proof(format!("{hurt} stopped; {other} took {had} calls over")))
}

/// It reaches the nodes and does not hear them; telephones it hears and reaches all the time.
///
/// # Errors
/// As every scenario.
pub fn gateway_deaf(story: &mut Story) -> anyhow::Result<Proof> {
    let (hurt, other) = hurt_and_other(story)?;
    let had = held(story, hurt)?;
    for node in story.site.nodes() {
        story.site.net.cut(&node, hurt)?;
    }
    taken_over(story, hurt, other)?;
    let dropped = story.site.net.dropped(hurt)?;
    story.site.net.mend(hurt)?;
    story.site.whole()?;
    story.loud(hurt)?;
    ensure!(dropped > 0, "no packet to {hurt} was dropped");
    Ok(Proof(format!("{dropped} packets to {hurt} dropped; {other} took {had} calls over")))
}

/// Live calls of a gateway.
fn held(story: &Story, gateway: &str) -> anyhow::Result<usize> {
    let list = story.site.ask_until(&["call", "list"], |_| true)?;
    let held = of(&list, gateway);
    ensure!(held > 0, "{gateway} has no calls that could be lost");
    Ok(held)
}

fn of(list: &Value, gateway: &str) -> usize {
    list.as_array().into_iter().flatten().filter(|call| call["gateway"] == gateway).count()
}

/// Until the other one has all calls; the line is what it was.
fn taken_over(story: &mut Story, hurt: &str, other: &str) -> anyhow::Result<()> {
    story.site.ask_until(&["call", "list"], |list| of(list, hurt) == 0 && of(list, other) > 0)?;
    story.check_line()?;
    story.flows()
}
