//! `cordboard dev`: a whole cluster on loopback, each part a real child process that may be killed and restarted.
//! It decides nothing about calls; it starts, watches and stops processes.

// What it says to its user is what it is there for.
#![allow(clippy::print_stdout)]

mod centre;
mod certificates;
mod children;
mod control;
mod ready;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};

use crate::args::DevArgs;
use certificates::Certificates;
use children::Children;
use trust::Trust;

/// How much of a log's end is looked at for its last line.
const LAST_WORDS_BYTES: usize = 2_048;

/// Runs the cluster until SIGINT or SIGTERM.
pub(crate) async fn run(args: DevArgs) -> anyhow::Result<()> {
    fs::create_dir_all(&args.dir).with_context(|| format!("cannot make the directory {}", args.dir.display()))?;
    let dir = args.dir.canonicalize()?;
    let _lock = lock(&dir)?;
    // Read before anything starts: a wrong path should not cost a cluster.
    let centre = centre::load(&args)?;

    let certificates = Certificates::prepare(&dir, args.open)?;
    let mut children = Children::plan(&dir, &args, &certificates)?;
    let _told = certificates.tell(&children.node_endpoints());
    let outcome = tokio::select! {
        outcome = serve(&dir, &args, centre, (&mut children, &certificates.own)) => outcome,
        () = crate::stop_signal() => Ok(()),
    };
    children.stop().await;
    outcome
}

/// Asks the running `cordboard dev` of this directory to start a dead child again.
pub(crate) async fn restart(dir: PathBuf, id: String) -> anyhow::Result<()> {
    control::ask_restart(&dir, &id).await
}

async fn serve(
    dir: &Path,
    args: &DevArgs,
    centre: Vec<proto::v1::SourceFile>,
    (children, trust): (&mut Children, &Trust),
) -> anyhow::Result<()> {
    let mut restarts = control::listen(dir)?;
    children.start_all()?;
    let (nodes, gateways) = (children.node_endpoints(), children.gateway_endpoints());
    let start = async {
        ready::wait_for_leaders(trust, &nodes).await?;
        centre::apply(trust, &nodes, centre).await?;
        if !args.demo {
            centre::send_demo_agents_home(trust, &nodes).await;
        }
        ready::wait_for_gateways(trust, &gateways).await
    };
    tokio::select! {
        started = start => started?,
        (id, status) = children.next_exit() => bail!("{id} ended at its start ({status}): {}", last_words(dir, &id)),
    }
    children.write_dev_json(dir)?;
    println!("{}", ready::advice(args, children));
    println!("ready");
    children.start_demo()?;
    loop {
        tokio::select! {
            (id, status) = children.next_exit() => say_how_it_ended(dir, &id, status),
            Some(request) = restarts.recv() => {
                let outcome = children.restart(&request.id).and_then(|()| children.write_dev_json(dir));
                if outcome.is_ok() {
                    println!("{} started again", request.id);
                }
                request.answer(outcome);
            }
        }
    }
}

fn say_how_it_ended(dir: &Path, id: &str, status: ExitStatus) {
    // Whoever was killed has said nothing about it.
    let why = if status.code().is_some() { last_words(dir, id) } else { log_of(dir, id).display().to_string() };
    println!("{id} ended ({status}); {why}; start it again: cordboard dev restart {id} --dir {}", dir.display());
}

fn log_of(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}.log"))
}

/// The end of a child's log: most often that is the reason why it ended.
fn last_words(dir: &Path, id: &str) -> String {
    let path = log_of(dir, id);
    let said = fs::read(&path).unwrap_or_default();
    let tail = String::from_utf8_lossy(&said[said.len().saturating_sub(LAST_WORDS_BYTES)..]).into_owned();
    let last = tail.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    format!("{last} (log: {})", path.display())
}

/// One `cordboard dev` per directory.
fn lock(dir: &Path) -> anyhow::Result<Flock<fs::File>> {
    let file = fs::File::create(dir.join("dev.lock"))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
        anyhow::anyhow!("another `cordboard dev` runs in {}; stop it or choose another --dir", dir.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_log_is_said() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(last_words(dir.path(), "g1").starts_with("it said nothing (log: "));
        fs::write(dir.path().join("g1.log"), "started\nthe port is taken\n\n").expect("written");
        assert!(last_words(dir.path(), "g1").starts_with("the port is taken (log: "));
    }
}
