//! Groups of the kernel (cgroup v1) that slow a process down: its CPU or its disk. Taken away when dropped.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use nix::unistd::Pid;

const ROOT: &str = "/sys/fs/cgroup";
/// Microseconds.
const PERIOD: u64 = 100_000;

/// A group with one process in it.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    pid: Pid,
}

impl Group {
    fn of(controller: &str, pid: Pid) -> anyhow::Result<Self> {
        let root = Path::new(ROOT).join(controller);
        ensure!(
            root.join("cgroup.procs").is_file() && root.join("tasks").is_file(),
            "this machine has no cgroup v1 controller {controller} at {}: the fault cannot be made here",
            root.display()
        );
        let folder = root.join(format!("cordboard-faults-{pid}"));
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, pid })
    }

    /// At most this share of one core, from now on.
    ///
    /// # Errors
    /// The kernel refuses, or has no such groups.
    pub fn slow_cpu(pid: Pid, percent: u64) -> anyhow::Result<Self> {
        let group = Self::of("cpu", pid)?;
        group.put("cpu.cfs_period_us", &PERIOD.to_string())?;
        group.put("cpu.cfs_quota_us", &(PERIOD * percent / 100).to_string())?;
        group.take_in()?;
        Ok(group)
    }

    /// At most so many writes a second to the disk on which this folder is, from now on.
    ///
    /// # Errors
    /// The kernel refuses, or has no such groups.
    pub fn slow_disk(pid: Pid, folder: &Path, writes: u32) -> anyhow::Result<Self> {
        let group = Self::of("blkio", pid)?;
        let device = fs::metadata(folder)?.dev();
        let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
        group.put("blkio.throttle.write_iops_device", &format!("{major}:{minor} {writes}"))?;
        group.take_in()?;
        Ok(group)
    }

    /// How often the process was held back for having used its share.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn throttled(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(self.folder.join("cpu.stat"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        Ok(line.context("cpu.stat has no nr_throttled")?.parse()?)
    }

    /// The folder whose `cgroup.procs` takes more processes in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn take_in(&self) -> anyhow::Result<()> {
        self.put("cgroup.procs", &self.pid.to_string())
    }

    fn put(&self, name: &str, value: &str) -> anyhow::Result<()> {
        fs::write(self.folder.join(name), value).with_context(|| format!("{name} = {value}"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its process goes back to where all are; a group can only be taken away when it is empty.
        if let Some(root) = self.folder.parent() {
            let _ = fs::write(root.join("cgroup.procs"), self.pid.to_string());
        }
        let _ = fs::remove_dir(&self.folder);
    }
}
