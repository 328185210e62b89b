//! SIPp as callers and as all agents of the fault suite, and what each caller lived through, by name. Judges nothing.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::patience::{wait_for, wait_long};

/// Callers who are still on the phone after the last one has called are given so long.
const LAST_CALL_MAX: Duration = Duration::from_secs(100);

/// What became of one caller, as the caller saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// INVITE is out, nothing final came.
    Called,
    /// Refused with this status.
    Refused(u16),
    /// Answered, and then something else than our own BYE ended it, or nothing did.
    Answered,
    /// Answered, talked, BYE was answered.
    Done,
}

/// A running SIPp; killed when dropped.
#[derive(Debug)]
pub struct Sipp {
    name: String,
    child: Child,
    folder: PathBuf,
}

impl Sipp {
    /// Callers of this number at this gateway, so many a second, each talking so long. Their names begin with `name`.
    ///
    /// # Errors
    /// SIPp cannot be started.
    pub fn callers(
        folder: &Path,
        name: &str,
        from: (Ipv4Addr, u16),
        to: SocketAddr,
        number: &str,
        rate: u32,
        talk: Duration,
    ) -> anyhow::Result<Self> {
        let talk = talk.as_millis().to_string();
        let scenario = include_str!("../../faults/caller.xml").replace("{{name}}", name).replace("{{talk_ms}}", &talk);
        let arguments = ["-s", number, "-r", &rate.to_string(), "-l", "2000", "-m", "1000000", &to.to_string()];
        Self::start(folder, name, from, &scenario, &arguments.map(ToOwned::to_owned))
    }

    /// All agents, at this address and port.
    ///
    /// # Errors
    /// SIPp cannot be started.
    pub fn agents(folder: &Path, name: &str, at: (Ipv4Addr, u16)) -> anyhow::Result<Self> {
        Self::start(folder, name, at, include_str!("../../faults/agent.xml"), &[])
    }

    fn start(
        folder: &Path,
        name: &str,
        (address, port): (Ipv4Addr, u16),
        scenario: &str,
        arguments: &[String],
    ) -> anyhow::Result<Self> {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        let file = folder.join("scenario.xml");
        fs::write(&file, scenario)?;
        let said = fs::File::create(folder.join("screen"))?;
        let child = Command::new("sipp")
            .current_dir(&folder)
            .arg("-sf")
            .arg(&file)
            .args(["-i", &address.to_string(), "-p", &port.to_string(), "-nostdin", "-buff_size", "4194304"])
            .args(["-recv_timeout", "90000", "-trace_logs", "-log_file", "log", "-trace_stat", "-fd", "1"])
            .args(["-stf", "statistics", "-trace_err", "-error_file", "errors"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .context("SIPp cannot be started; Debian's package is sip-tester")?;
        Ok(Self { name: name.to_owned(), child, folder })
    }

    /// Until at least so many calls went well.
    ///
    /// # Errors
    /// They did not.
    pub fn flows(&self, calls: u64) -> anyhow::Result<()> {
        wait_for(&format!("{calls} calls of {} go well", self.name), || {
            (self.count("SuccessfulCall(C)") >= calls).then_some(())
        })
        .with_context(|| self.said())
    }

    /// Calls until now that ended as they should.
    #[must_use]
    pub fn good(&self) -> u64 {
        self.count("SuccessfulCall(C)")
    }

    /// Nobody calls any more; those who do talk on, and are waited for.
    ///
    /// # Errors
    /// Some never ended.
    pub fn finish(&mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGUSR1)?;
        wait_long(&format!("the last calls of {} end", self.name), LAST_CALL_MAX, || {
            self.child.try_wait().ok().flatten()
        })
        .map(drop)
        .with_context(|| self.said())
    }

    /// What each caller lived through.
    #[must_use]
    pub fn fates(&self) -> BTreeMap<String, Fate> {
        let mut fates = BTreeMap::new();
        for line in self.log().lines() {
            let mut words = line.split_whitespace();
            let (Some(caller), Some(step)) = (words.next(), words.next()) else { continue };
            let fate = match step {
                "called" => Fate::Called,
                "answered" => Fate::Answered,
                "done" => Fate::Done,
                "refused" => Fate::Refused(words.next().and_then(|status| status.parse().ok()).unwrap_or(0)),
                _ => continue,
            };
            fates.insert(caller.to_owned(), fate);
        }
        fates
    }

    /// Of agents: how often each caller was talked to.
    #[must_use]
    pub fn talked_to(&self) -> BTreeMap<String, u32> {
        let mut talked = BTreeMap::new();
        for caller in self.log().lines().filter_map(|line| line.trim().strip_suffix(" talks")) {
            *talked.entry(caller.to_owned()).or_default() += 1;
        }
        talked
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// What it says is wrong.
    #[must_use]
    pub fn said(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        let (errors, screen) = (read("errors"), read("screen"));
        let head: String = errors.chars().take(3_000).collect();
        let tail: String = screen.chars().rev().take(1_500).collect::<Vec<_>>().into_iter().rev().collect();
        format!("--- {} errors\n{head}\n--- screen\n{tail}", self.name)
    }

    fn count(&self, column: &str) -> u64 {
        let text = fs::read_to_string(self.folder.join("statistics")).unwrap_or_default();
        let mut lines = text.lines();
        let (Some(head), Some(last)) = (lines.next(), lines.next_back()) else { return 0 };
        let place = head.split(';').position(|name| name == column);
        place.and_then(|place| last.split(';').nth(place)?.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
