//! From a parsed command to the file that does it.

mod act;
mod agent;
mod apply;
mod audit;
mod call;
mod events;
mod explain;
mod files;
mod gateway;
mod get;
mod node;
mod queue;
mod shard;
mod simulate;
mod snapshot;
mod stats;
mod status;
mod stream;
mod tenant;
mod top;
mod upgrade;

use std::time::Duration;

use clap::CommandFactory as _;

use crate::{
    args::{Args, Command},
    cluster::Cluster,
    failure::Failure,
    output::Output,
};

/// Applying takes longer than looking.
const APPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// A whole cluster takes longer still.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(600);

/// Does one command; the text is for stdout.
pub(crate) async fn dispatch(args: Args) -> Result<String, Failure> {
    let output = Output::new(args.output);
    let mut reach = args.reach;
    if let (Command::Apply { .. }, None) = (&args.command, reach.timeout) {
        reach.timeout = Some(APPLY_TIMEOUT.as_secs_f64());
    }
    if let (Command::Snapshot(_), None) = (&args.command, reach.timeout) {
        reach.timeout = Some(SNAPSHOT_TIMEOUT.as_secs_f64());
    }
    let cluster = || Cluster::find(&reach);
    match args.command {
        Command::Status => status::show(&mut cluster()?, output).await,
        Command::Node(asked) => node::run(asked, &mut cluster()?, output).await,
        Command::Shard(asked) => shard::run(asked, &mut cluster()?, output).await,
        Command::Tenant(asked) => tenant::run(asked, &mut cluster()?, output).await,
        Command::Snapshot(asked) => snapshot::run(asked, cluster, output).await,
        Command::Upgrade(asked) => upgrade::run(&asked, &mut cluster()?, output).await,
        Command::Gateway(asked) => gateway::run(&asked, &mut cluster()?, output).await,
        Command::Queue(command) => queue::run(command, &mut cluster()?, output).await,
        Command::Agent(command) => agent::run(command, &mut cluster()?, output).await,
        Command::Call(command) => call::run(command, &mut cluster()?, output).await,
        Command::Apply { files, dry_run } => {
            let files = files::read("apply", &files)?;
            apply::run(files, dry_run, &mut cluster()?, output).await
        }
        Command::Get { kind, name } => get::run(kind, name, &mut cluster()?, output).await,
        Command::Stats(asked) => stats::run(asked, &mut cluster()?, output).await,
        Command::Audit(asked) => audit::run(&asked, &mut cluster()?, output).await,
        Command::Events(asked) => events::run(asked, &mut cluster()?, output.format).await,
        Command::Simulate(asked) => simulate::run(asked, cluster, output).await,
        Command::Top { once } => top::run(once, cluster()?).await,
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "cordctl", &mut script);
            String::from_utf8(script).map_err(|_| Failure::Local("the completion script is not text".to_owned()))
        }
    }
}
