//! What the kernel says of processes: CPU by process and thread, resident memory. Touches no process.

use std::{collections::BTreeMap, fs};

use anyhow::Context as _;

/// USER_HZ: what the kernel shows to programs on every architecture that we run on.
const TICKS_PER_S: f64 = 100.0;

/// A process that is watched: what it is called in the figures, and its number.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) name: String,
    pub(super) pid: u32,
}

/// CPU seconds used so far, by process and thread name.
pub(super) type Cpu = BTreeMap<(String, String), f64>;

/// CPU of all threads that live, and as thread `ended` what the others have used.
pub(super) fn cpu(watched: &[Watched]) -> anyhow::Result<Cpu> {
    let mut cpu = Cpu::new();
    for Watched { name, pid } in watched {
        let (_, whole) = stat(&format!("/proc/{pid}/stat")).with_context(|| format!("{name} is gone"))?;
        let mut left = whole;
        for thread in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            let Some((thread, used)) = stat(&thread.path().join("stat").display().to_string()) else { continue };
            left -= used.min(left);
            *cpu.entry((name.clone(), thread)).or_default() += used / TICKS_PER_S;
        }
        cpu.insert((name.clone(), "ended".into()), left / TICKS_PER_S);
    }
    Ok(cpu)
}

/// What was used between two looks.
pub(super) fn since(before: &Cpu, after: &Cpu) -> Cpu {
    after.iter().map(|(key, used)| (key.clone(), used - before.get(key).copied().unwrap_or(0.0))).collect()
}

/// By process.
pub(super) fn by_process(cpu: &Cpu) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    cpu.iter().for_each(|((process, _), used)| *sums.entry(process.clone()).or_default() += used);
    sums
}

/// Resident memory in bytes.
pub(super) fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1_024)
}

/// The name in parentheses and utime + stime, fields 14 and 15 of proc(5), in ticks.
fn stat(path: &str) -> Option<(String, f64)> {
    let text = fs::read_to_string(path).ok()?;
    let (open, close) = (text.find('(')?, text.rfind(')')?);
    let mut fields = text[close + 2..].split(' ').skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((text[open + 1..close].to_owned(), user + system))
}
