//! Clocks that leap: the wall clock of the leader is two minutes wrong from one moment to the next. Monotonic time is left
//! alone, as it is on a real machine whose clock is set.

use std::{
    fs,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, ensure};

use crate::faults::story::{Proof, Story};

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// Seconds. Longer than every time that is due in the load, shorter than what would make people wait for the test.
const LEAP: i64 = 120;

/// The leader's clock leaps ahead, and stays so until the node is started again.
///
/// # Errors
/// As every scenario.
pub fn clock_leaps_ahead(story: &mut Story) -> anyhow::Result<Proof> {
    leap(story, LEAP)
}

/// The leader's clock leaps back.
///
/// # Errors
/// As every scenario.
pub fn clock_leaps_back(story: &mut Story) -> anyhow::Result<Proof> {
    leap(story, -LEAP)
}

fn leap(story: &mut Story, seconds: i64) -> anyhow::Result<Proof> {
    ensure!(fs::exists(FAKETIME)?, "{FAKETIME} is not there: is the package faketime installed on amd64?");
    // Any of them may lead when the time comes.
    let nodes = story.site.nodes();
    for id in &nodes {
        let clock = clock(story, id);
        fs::write(&clock, "+0\n")?;
        let machine = story.site.machine(id)?;
        machine.environment = [
            ("LD_PRELOAD", FAKETIME),
            ("FAKETIME_TIMESTAMP_FILE", &clock),
            ("FAKETIME_NO_CACHE", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        machine.terminate()?;
        story.site.start_machine(id)?;
        story.site.whole()?;
    }
    let leader = story.site.leader()?;
    fs::write(clock(story, &leader), format!("{seconds:+}\n"))?;
    story.flows()?;
    // The last word of its life carries its own time.
    let (pid, now) = (story.site.machine(&leader)?.pid()?, now()?);
    story.site.machine(&leader)?.environment.clear();
    story.site.machine(&leader)?.terminate()?;
    let off = last_word(story, &leader)? - now;
    story.site.start_machine(&leader)?;
    story.site.whole()?;
    // Half of it: time went on meanwhile.
    ensure!(off.signum() == seconds.signum() && off.abs() > LEAP / 2, "{leader}'s clock was only {off} s off");
    for id in nodes.iter().filter(|id| **id != leader) {
        story.site.machine(id)?.environment.clear();
        story.site.machine(id)?.terminate()?;
        story.site.start_machine(id)?;
        story.site.whole()?;
    }
    Ok(Proof(format!("the wall clock of {leader}, which led, was {off} s off (pid {pid})")))
}

/// When a node says that it stopped, by its own clock.
fn last_word(story: &mut Story, id: &str) -> anyhow::Result<i64> {
    let said = story.site.machine(id)?.said();
    let line = said.lines().rfind(|line| line.contains("stopping")).context("it says that it stops")?;
    let time = line.split(' ').next().unwrap_or_default();
    let out = Command::new("date").args(["-d", time, "+%s"]).output()?;
    String::from_utf8(out.stdout)?.trim().parse().with_context(|| format!("{time} is a time"))
}

fn now() -> anyhow::Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?)
}

fn clock(story: &Story, id: &str) -> String {
    story.site.dir().join(format!("{id}.clock")).display().to_string()
}
