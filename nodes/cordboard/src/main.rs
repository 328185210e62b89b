//! The `cordboard` binary: chooses the role and hands over. No logic of any role lives here.

mod args;
mod certs;
mod demo;
mod dev;
mod recover;

/// Set for children of `cordboard dev`: they end with it, however it ends.
pub(crate) const WITH_PARENT: &str = "CORDBOARD_WITH_PARENT";

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, DevCommand, Role};

fn main() -> ExitCode {
    if std::env::var_os(WITH_PARENT).is_some() {
        // Where the kernel refuses, children outlive a killed parent, as they would anyway.
        let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM);
    }
    end_with_any_thread();
    let outcome = match Args::parse().role {
        Role::Node(args) => run_async(args.threads, async { node::run(args.try_into()?, stop_signal()).await }),
        Role::Gateway(args) => {
            node::init_log();
            run_async(args.threads, async { gateway::run((*args).try_into()?, stop_signal()).await })
        }
        Role::Recover(args) => recover::run(&args),
        Role::Certs(command) => certs::run(&command),
        Role::Demo(args) => run_async(1, demo::run(args, stop_signal())),
        Role::Dev(args) => match args.command {
            Some(DevCommand::Restart { id, dir }) => run_async(1, dev::restart(dir, id)),
            None => run_async(1, dev::run(args)),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cordboard: {error:#}");
            if node::is_refusal(&error) {
                return ExitCode::from(node::EXIT_REFUSED);
            }
            if node::is_disk_failure(&error) { ExitCode::from(node::DISK_FAILED as u8) } else { ExitCode::FAILURE }
        }
    }
}

/// A panic is a broken invariant: the process ends and the cluster goes on without it, instead of living on without the
/// thread that owned its shards or calls. Release builds abort by themselves. A panic of a store is a failed disk.
fn end_with_any_thread() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        if node::is_disk_panic(panic) {
            eprintln!("cordboard: the disk failed; this node stops, the cluster goes on without it");
            std::process::exit(node::DISK_FAILED);
        }
        std::process::abort();
    }));
}

fn run_async(threads: usize, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads.max(1)).enable_all().build()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    outcome
}

/// Resolves at SIGTERM or SIGINT.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
