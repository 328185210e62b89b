//! Packets that arrive late: a small program of ours (`tests/faults/delay.c`) holds what a machine sends. The kernel's own
//! means for it (netem) is not in every kernel.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{net::run, site::Site};

const DEVICE: &str = "late0";
/// Packets with this mark leave by the cable.
const MARK: &str = "7";
/// The table in which everything leaves by the device.
const TABLE: &str = "77";

/// What one machine sends is late; ends when dropped.
#[derive(Debug)]
pub struct Delay {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Delay {
    /// From now on: so late, and up to so much more by dice. Order is kept.
    ///
    /// # Errors
    /// The kernel has no tun devices, or there is no C compiler.
    pub fn start(site: &Site, id: &str, delay: Duration, more: Duration) -> anyhow::Result<Self> {
        let program = compiled(site.dir())?;
        let mut command = site.net.command(id, program.as_os_str());
        command.args([DEVICE, MARK, &delay.as_millis().to_string(), &more.as_millis().to_string()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(child.stdout.take().context("it is piped")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        let this = Self { child, said };
        ensure!(line.trim() == "up", "the delay of {id} did not begin; is there /dev/net/tun?");
        let own = site.net.of(id)?.to_string();
        let network = format!("{}/24", site.net.outside());
        let ip = |words: &[&str]| run(&[&["ip", "-n", &site.net.space(id)][..], words].concat());
        run(&["ip", "netns", "exec", &site.net.space(id), "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0"])?;
        run(&["ip", "netns", "exec", &site.net.space(id), "sysctl", "-qw", "net.ipv4.conf.eth0.rp_filter=0"])?;
        ip(&["link", "set", DEVICE, "up"])?;
        ip(&["route", "add", "default", "dev", DEVICE, "src", &own, "table", TABLE])?;
        let rules = [
            ["fwmark", MARK, "lookup", "main", "priority", "100"],
            ["to", &network, "lookup", TABLE, "priority", "200"],
        ];
        for rule in rules {
            // Those of an earlier delay of this machine are still there, and led nowhere meanwhile.
            let _ = ip(&[&["rule", "del"][..], &rule].concat());
            ip(&[&["rule", "add"][..], &rule].concat())?;
        }
        Ok(this)
    }

    /// Everything is in time again; how many packets were late.
    ///
    /// # Errors
    /// It did not say.
    pub fn stop(mut self) -> anyhow::Result<u64> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        let mut text = String::new();
        self.said.read_to_string(&mut text)?;
        self.child.wait()?;
        text.trim().parse().with_context(|| format!("the delay said {text:?}"))
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        // With it goes the device, and with that the route: the rule then leads nowhere and the next one is taken.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn compiled(folder: &Path) -> anyhow::Result<PathBuf> {
    let program = folder.join("delay");
    if !program.exists() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/delay.c");
        run(&["gcc", "-O2", "-Wall", "-o", &program.display().to_string(), &source.display().to_string()])?;
    }
    Ok(program)
}
