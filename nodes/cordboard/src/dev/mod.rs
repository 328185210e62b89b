//! `cordboard dev`: a whole cluster on loopback, each part a real child process that may be killed and restarted.
//! It decides nothing about calls; it starts, watches and stops processes.

mod centre;
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
use children::Children;

/// Runs the cluster until SIGINT or SIGTERM.
pub(crate) async fn run(args: DevArgs) -> anyhow::Result<()> {
    fs::create_dir_all(&args.dir).with_context(|| format!("cannot make the directory {}", args.dir.display()))?;
    let dir = args.dir.canonicalize()?;
    let _lock = lock(&dir)?;
    // Read before anything starts: a wrong path should not cost a cluster.
    let centre = centre::load(&args)?;

    let mut children = Children::plan(&dir, &args)?;
    let outcome = tokio::select! {
        outcome = serve(&dir, &args, centre, &mut children) => outcome,
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
    children: &mut Children,
) -> anyhow::Result<()> {
    let mut restarts = control::listen(dir)?;
    children.start_all()?;
    let (nodes, gateways) = (children.node_endpoints(), children.gateway_endpoints());
    let start = async {
        ready::wait_for_leaders(&nodes).await?;
        centre::apply(&nodes, centre).await?;
        if !args.demo {
            centre::send_demo_agents_home(&nodes).await;
        }
        ready::wait_for_gateways(&gateways).await
    };
    tokio::select! {
        started = start => started?,
        (id, status) = children.next_exit() => bail!("{id} ended at its start ({status}): see {}", log_of(dir, &id)),
    }
    children.write_dev_json(dir)?;
    println!("{}", ready::advice(dir, args, children));
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
    println!(
        "{id} ended ({status}); its log: {}; start it again: cordboard dev restart {id} --dir {}",
        log_of(dir, id),
        dir.display()
    );
}

fn log_of(dir: &Path, id: &str) -> String {
    dir.join(format!("{id}.log")).display().to_string()
}

/// One `cordboard dev` per directory.
fn lock(dir: &Path) -> anyhow::Result<Flock<fs::File>> {
    let file = fs::File::create(dir.join("dev.lock"))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
        anyhow::anyhow!("another `cordboard dev` runs in {}; stop it or choose another --dir", dir.display())
    })
}
