//! Runs what a page shows: the `console` blocks of a Markdown file, in order, in one shell, in an empty folder of a network of
//! its own. A line that begins with `$ ` is typed, the lines below it must come, in this order. Never knows what they mean.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::faults::net::Net;

/// A command that has not ended by then hangs.
const COMMAND_MAX: Duration = Duration::from_secs(120);
/// A question whose answer is not yet as the page says is asked again for so long.
const ASK_MAX: Duration = Duration::from_secs(60);
/// Between two times.
const AGAIN: Duration = Duration::from_millis(400);
/// How cordctl ends when the cluster cannot answer now.
const UNHEARD: i32 = 3;
/// What the shell says when a command has ended, before its exit code.
const ENDED: &str = "<<<ended";

/// One command of a page and what it is said to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where in the page, from 1.
    pub line: usize,
    /// What is typed.
    pub command: String,
    /// What must come. `...` stands for anything, blanks for any number of them.
    pub expected: Vec<String>,
}

/// The steps of a page.
///
/// # Errors
/// A block shows output before any command.
pub fn steps(page: &str) -> anyhow::Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut inside, mut fresh) = (false, false);
    for (number, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            inside = !inside && line.trim_end() == "```console";
            fresh = inside;
        } else if inside {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step { line: number + 1, command: command.to_owned(), expected: Vec::new() });
                fresh = false;
                continue;
            }
            ensure!(!fresh, "line {}: output before a command", number + 1);
            let Some(step) = steps.last_mut() else { bail!("line {}: output before a command", number + 1) };
            if step.expected.is_empty() && step.command.ends_with('\\') {
                step.command.truncate(step.command.len() - 1);
                step.command += line.trim_start();
            } else if !line.trim().is_empty() {
                step.expected.push(line.to_owned());
            }
        }
    }
    Ok(steps)
}

/// Whether these lines come in this order, other ones between them.
#[must_use]
pub fn fits(expected: &[String], said: &str) -> bool {
    let mut lines = said.lines();
    expected.iter().all(|wanted| lines.any(|line| line_fits(wanted, line)))
}

fn line_fits(wanted: &str, line: &str) -> bool {
    let bare = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = bare(line);
    let wanted = bare(wanted);
    let parts: Vec<&str> = wanted.split("...").map(str::trim).collect();
    let mut rest = line.as_str();
    for (place, part) in parts.iter().enumerate() {
        let Some(at) = rest.find(part) else { return false };
        if place == 0 && at != 0 {
            return false;
        }
        rest = &rest[at + part.len()..];
    }
    // What does not end with `...` ends there.
    parts.last().is_some_and(|last| last.is_empty()) || rest.is_empty()
}

/// Only asks, so it may be asked again until the answer is as the page says.
fn only_asks(command: &str) -> bool {
    let asks = ["status", "list", "show", "get ", "--verify", "tail ", "grep "];
    !command.contains('&') && asks.iter().any(|word| command.contains(word))
}

/// A shell in an empty folder and a network of its own. Everything that it started ends with it.
#[derive(Debug)]
pub struct Shell {
    child: Child,
    input: ChildStdin,
    output: mpsc::Receiver<String>,
    dir: TempDir,
    _net: Net,
}

impl Shell {
    /// A machine with these addresses; the programs of this folder are found by name.
    ///
    /// # Errors
    /// No network or no shell.
    pub fn open(programs: &Path, addresses: &[&str]) -> anyhow::Result<Self> {
        let mut net = Net::new()?;
        net.plug_in("page")?;
        for address in addresses {
            net.own_address("page", address)?;
        }
        let dir = tempfile::Builder::new().prefix("cb-page-").tempdir_in("/tmp")?;
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = net.command("page", "bash".as_ref());
        command.current_dir(dir.path()).env("PATH", path).env("NO_COLOR", "1").env("CORDBOARD_WITH_PARENT", "1");
        command.env_remove("CORDCTL_ENDPOINT").env_remove("CORDBOARD_OTLP");
        let mut child = own_group(&mut command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut input = child.stdin.take().context("it is piped")?;
        let said = BufReader::new(child.stdout.take().context("it is piped")?);
        writeln!(input, "exec 2>&1; set -o pipefail")?;
        let (lines, output) = mpsc::channel();
        thread::spawn(move || said.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        Ok(Self { child, input, output, dir, _net: net })
    }

    /// Where it works.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Types the step and looks whether what comes is what the page says.
    ///
    /// # Errors
    /// It is not, or the command failed: what came is in the error.
    pub fn play(&mut self, step: &Step) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let (code, said) = self.run(&step.command)?;
            if code == 0 && fits(&step.expected, &said) {
                // Shown by the test runner when a later step fails.
                eprintln!("$ {}\n{}", step.command, said.trim_end());
                return Ok(());
            }
            // A cordctl that could reach nobody has done nothing and says so: try again, as its users are told.
            let unheard = code == UNHEARD && step.command.starts_with("cordctl ");
            if !(unheard || only_asks(&step.command)) || began.elapsed() > ASK_MAX {
                bail!(
                    "line {}: $ {}\nended with {code} and said\n{said}\nand the page says\n{}\n{}",
                    step.line,
                    step.command,
                    step.expected.join("\n"),
                    self.logs()
                );
            }
            thread::sleep(AGAIN);
        }
    }

    /// Types a command; its exit code and what it said.
    ///
    /// # Errors
    /// It does not end.
    pub fn run(&mut self, command: &str) -> anyhow::Result<(i32, String)> {
        writeln!(self.input, "{command}\n_ended=$?; echo; echo \"{ENDED} $_ended\"")?;
        let end = Instant::now() + COMMAND_MAX;
        let mut said = String::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.output.recv_timeout(left).with_context(|| format!("$ {command}\nhangs after\n{said}"))?;
            if let Some(code) = line.strip_prefix(ENDED) {
                return Ok((code.trim().parse()?, said));
            }
            said += &line;
            said.push('\n');
        }
    }

    fn logs(&self) -> String {
        let mut text = String::new();
        for entry in fs::read_dir(self.dir.path()).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|end| end == "log") {
                let log = fs::read(entry.path()).unwrap_or_default();
                let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(3_000)..]).into_owned();
                text += &format!("--- {}\n{tail}\n", entry.path().display());
            }
        }
        text
    }
}

fn own_group(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0)
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The shell leads its group: everything that the page started is in it.
        if let Ok(group) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_and_its_output_compared() -> anyhow::Result<()> {
        let page = "words\n```console\n$ one \\\n    two\nID   UP\nn1  ...  yes\n$ three\n```\n```yaml\n$ no\n```\n";
        let steps = steps(page)?;
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[0].command, "one two");
        assert!(fits(&steps[0].expected, "ID UP\nn0 a yes\nn1   a b   yes\n"));
        assert!(!fits(&steps[0].expected, "ID UP\nn1 a no\n"), "another end");
        assert!(!fits(&steps[0].expected, "n1 a yes\nID UP\n"), "another order");
        assert!(!fits(&steps[0].expected, "ID UP\nx n1 a yes\n"), "another beginning");
        assert!(super::steps("```console\nout\n```").is_err());
        Ok(())
    }
}
