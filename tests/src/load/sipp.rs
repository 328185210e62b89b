//! SIPp as a mass of callers and as all agents. Judges nothing; its own statistics say what failed.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::proc::Watched;

/// The calls of one SIPp, and how many of them went wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) good: u64,
    pub(super) failed: u64,
    pub(super) repeated: u64,
}

/// A running SIPp. Ended when dropped.
pub(super) struct Sipp {
    child: Child,
    statistics: std::path::PathBuf,
    name: &'static str,
}

impl Sipp {
    /// `calls` callers of 5000, `rate` of them a second, from this port.
    pub(super) fn callers(dir: &Path, to: SocketAddr, port: u16, calls: u32, rate: u32) -> anyhow::Result<Self> {
        let to = to.to_string();
        let (calls, rate) = (calls.to_string(), rate.to_string());
        Self::start("caller", dir, port, &["-s", "5000", "-m", &calls, "-r", &rate, "-l", "5000", &to])
    }

    /// Answers everything on this port.
    pub(super) fn agents(dir: &Path, port: u16) -> anyhow::Result<Self> {
        Self::start("agent", dir, port, &[])
    }

    fn start(name: &'static str, dir: &Path, port: u16, arguments: &[&str]) -> anyhow::Result<Self> {
        let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("load").join(format!("{name}.xml"));
        let statistics = dir.join(format!("{name}-{port}.csv"));
        let child = Command::new("sipp")
            .current_dir(dir)
            .arg("-sf")
            .arg(scenario)
            .args(["-i", "127.0.0.1", "-p", &port.to_string(), "-nostdin", "-buff_size", "4194304"])
            .args(["-timeout", "300", "-recv_timeout", "20000", "-trace_stat", "-fd", "1", "-stf"])
            .arg(&statistics)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("SIPp cannot be started; Debian's package is sip-tester")?;
        Ok(Self { child, statistics, name })
    }

    /// For its CPU.
    pub(super) fn watched(&self) -> Watched {
        Watched { name: format!("sipp-{}", self.name), pid: self.child.id() }
    }

    /// Whether it goes on.
    pub(super) fn goes_on(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Until it has made its calls.
    pub(super) fn wait(&mut self, max: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.goes_on()? {
            if began.elapsed() > max {
                bail!("SIPp ({}) is not done after {} s", self.name, max.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What it counted.
    pub(super) fn counted(&self) -> Counted {
        let text = fs::read_to_string(&self.statistics).unwrap_or_default();
        let mut lines = text.lines();
        let (Some(head), Some(last)) = (lines.next(), lines.next_back()) else { return Counted::default() };
        let of = |name: &str| {
            let column = head.split(';').position(|column| column == name)?;
            last.split(';').nth(column)?.parse().ok()
        };
        Counted {
            good: of("SuccessfulCall(C)").unwrap_or(0),
            failed: of("FailedCall(C)").unwrap_or(0),
            repeated: of("Retransmissions(C)").unwrap_or(0),
        }
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
