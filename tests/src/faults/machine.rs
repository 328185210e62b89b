//! One process of ours on a machine of its own: started, killed, stopped, wiped. Decides nothing about what is right.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::net::{Net, run};
use crate::patience::{wait_for, wait_long};

/// gRPC, HTTP and SIP have the same ports on every machine.
pub const GRPC: u16 = 7_000;
const HTTP: u16 = 7_001;
/// SIP of a gateway.
pub const SIP: u16 = 5_060;
/// How long a process may take to end by itself.
const END_MAX: Duration = Duration::from_secs(30);
/// Bytes of a log that a failed test shows.
const LOG_TAIL: usize = 6_000;

/// A machine and its process; both end when dropped.
#[derive(Debug)]
pub struct Machine {
    /// `n1`, `g1`, ...
    pub id: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Where its data is.
    pub dir: PathBuf,
    /// The binary that is started next.
    pub binary: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Added to its environment at the next start: what breaks its disk or its clock.
    pub environment: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
    /// A small disk is mounted at `dir`.
    mounted: bool,
}

impl Machine {
    /// Nothing runs yet.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(net: &mut Net, folder: &Path, id: &str, binary: &Path) -> anyhow::Result<Self> {
        let (address, dir) = (net.plug_in(id)?, folder.join(id));
        fs::create_dir_all(&dir)?;
        Ok(Self {
            id: id.to_owned(),
            address,
            dir,
            binary: binary.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            log: folder.join(format!("{id}.log")),
            child: None,
            mounted: false,
        })
    }

    /// From now on its data is on a disk of so many megabytes, which is empty.
    ///
    /// # Errors
    /// It cannot be mounted.
    pub fn small_disk(&mut self, megabytes: u32) -> anyhow::Result<()> {
        ensure!(!self.mounted, "{} has a small disk", self.id);
        run(&["mount", "-t", "tmpfs", "-o", &format!("size={megabytes}m"), "cordboard-faults", &self.dir_text()])?;
        self.mounted = true;
        Ok(())
    }

    /// gRPC.
    #[must_use]
    pub fn grpc(&self) -> String {
        format!("{}:{GRPC}", self.address)
    }

    /// Metrics and health.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        SocketAddr::V4(SocketAddrV4::new(self.address, HTTP))
    }

    /// SIP of a gateway.
    #[must_use]
    pub fn sip(&self) -> SocketAddr {
        SocketAddr::V4(SocketAddrV4::new(self.address, SIP))
    }

    /// Starts it.
    ///
    /// # Errors
    /// It runs already, or cannot be started.
    pub fn start(&mut self, net: &Net) -> anyhow::Result<()> {
        ensure!(!self.runs(), "{} runs", self.id);
        let said = fs::File::options().create(true).append(true).open(&self.log)?;
        // Not our own environment: what is loaded before the program must not be loaded before `ip`.
        let mut command = net.command(&self.id, "env".as_ref());
        command.args(self.environment.iter().map(|(name, value)| format!("{name}={value}")));
        command.arg(&self.binary).args(&self.arguments).env_remove("CORDBOARD_OTLP").env("NO_COLOR", "1");
        // It ends with us, however we end.
        command.env("CORDBOARD_WITH_PARENT", "1");
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        self.child = Some(command.spawn().with_context(|| format!("cannot start {}", self.id))?);
        Ok(())
    }

    /// Its process, while it lives.
    pub fn pid(&mut self) -> anyhow::Result<Pid> {
        ensure!(self.runs(), "{} does not run", self.id);
        let child = self.child.as_ref().context("it runs")?;
        Ok(Pid::from_raw(i32::try_from(child.id())?))
    }

    /// Whether it lives; a stopped one does.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// `kill -9`; returns when it is gone.
    ///
    /// # Errors
    /// It does not run, or does not go.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let pid = self.pid()?;
        kill(pid, Signal::SIGKILL)?;
        self.ended().map(drop)
    }

    /// SIGTERM; returns how it ended.
    ///
    /// # Errors
    /// It does not end.
    pub fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        kill(self.pid()?, Signal::SIGTERM)?;
        self.ended()
    }

    /// SIGSTOP; returns when the kernel says that it is stopped.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze(&mut self) -> anyhow::Result<()> {
        kill(self.pid()?, Signal::SIGSTOP)?;
        wait_for(&format!("{} is stopped", self.id), || (self.state() == Some('T')).then_some(()))
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// It does not run.
    pub fn thaw(&mut self) -> anyhow::Result<()> {
        Ok(kill(self.pid()?, Signal::SIGCONT)?)
    }

    /// The kernel's letter for its state: `T` is stopped.
    pub fn state(&mut self) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid().ok()?)).ok()?;
        stat.get(stat.rfind(')')? + 2..)?.chars().next()
    }

    /// Until it has ended by itself; how.
    ///
    /// # Errors
    /// It goes on.
    pub fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let child = self.child.as_mut().with_context(|| format!("{} was never started", self.id))?;
        wait_long(&format!("{} ends", self.id), END_MAX, || child.try_wait().ok().flatten())
    }

    /// Everything that it kept is gone, as with a new disk.
    ///
    /// # Errors
    /// It runs, or the folder cannot be emptied.
    pub fn wipe(&mut self) -> anyhow::Result<()> {
        ensure!(!self.runs(), "{} runs", self.id);
        for entry in fs::read_dir(&self.dir)?.flatten() {
            let path = entry.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        Ok(())
    }

    /// The end of what it said.
    #[must_use]
    pub fn said(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).into_owned()
    }

    /// All that it said in all its lives.
    #[must_use]
    pub fn said_ever(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn dir_text(&self) -> String {
        self.dir.display().to_string()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Also one that is stopped.
            let _ = child.kill();
            let _ = child.wait();
        }
        if self.mounted {
            let _ = run(&["umount", &self.dir_text()]);
        }
    }
}
