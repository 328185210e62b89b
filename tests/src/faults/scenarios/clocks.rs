//! Clocks that leap: the wall clock of the leader is an hour wrong from one moment to the next. Monotonic time is left
//! alone, as it is on a real machine whose clock is set.

use std::{
    fs,
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
    let off = clock_of(story, &leader)?;
    // Half of it: time went on meanwhile.
    ensure!(off.signum() == seconds.signum() && off.abs() > LEAP / 2, "{leader}'s clock is only {off} s off");
    story.site.whole()?;
    for id in &nodes {
        story.site.machine(id)?.environment.clear();
        story.site.machine(id)?.terminate()?;
        story.site.start_machine(id)?;
        story.site.whole()?;
    }
    Ok(Proof(format!("the wall clock of {leader}, which led, was {off} s off")))
}

/// How many seconds a node's clock is off, by the time that it writes before what it says.
fn clock_of(story: &mut Story, id: &str) -> anyhow::Result<i64> {
    let pid = story.site.machine(id)?.pid()?.to_string();
    let environment = fs::read(format!("/proc/{pid}/environ"))?;
    ensure!(String::from_utf8_lossy(&environment).contains("faketime"), "{id} has the true clock");
    // The same library and the same file, asked for the time by another program.
    let file = clock(story, id);
    let out = std::process::Command::new("date")
        .arg("+%s")
        .env("LD_PRELOAD", FAKETIME)
        .env("FAKETIME_TIMESTAMP_FILE", &file)
        .env("FAKETIME_NO_CACHE", "1")
        .output()?;
    let said: i64 = String::from_utf8(out.stdout)?.trim().parse().context("date says a number")?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    Ok(said - now)
}

fn clock(story: &Story, id: &str) -> String {
    story.site.dir().join(format!("{id}.clock")).display().to_string()
}
