//! The command line: every command and option, in words. Does nothing.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::{failure::EXIT_CODES, output::Format, times::seconds as span};

mod call;
mod nodes;
mod tenants;
mod told;

pub use call::{Call, Target};
pub use nodes::{Node, Shard, Upgrade, Wait};
pub use tenants::{Snapshot, Tenant};
pub use told::{Audit, Events, RecordKind, Simulate, Stats, Subject};

/// Looks at a Cordboard cluster and changes it.
#[derive(Debug, Parser)]
#[command(name = "cordctl", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Args {
    /// How to print the answer.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    #[command(flatten)]
    /// Whom to ask.
    pub reach: Reach,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Whom to ask, and for how long.
#[derive(Debug, Clone, Group)]
pub struct Reach {
    /// Nodes to ask, tried in turn until one answers [env: CORDCTL_ENDPOINT].
    #[arg(long, global = true, value_name = "HOST:PORT[,HOST:PORT...]")]
    pub endpoint: Option<String>,
    /// Ask the nodes of the development cluster in this directory (`cordboard dev --dir DIR`).
    #[arg(long, global = true, value_name = "DIR")]
    pub dev: Option<PathBuf>,
    /// Whose certificates of nodes are believed (PEM) [env: CORDCTL_CLUSTER_CA]; --dev finds all three by itself.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "dev")]
    pub cluster_ca: Option<PathBuf>,
    /// Your own certificate, which says what you may do (PEM) [env: CORDCTL_CLUSTER_CERTIFICATE].
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "dev")]
    pub cluster_certificate: Option<PathBuf>,
    /// Its private key (PEM) [env: CORDCTL_CLUSTER_KEY].
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "dev")]
    pub cluster_key: Option<PathBuf>,
    /// Only agents, queues, calls and figures of this tenant [default: of all].
    #[arg(long, global = true, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Seconds to wait for an answer, over all endpoints together [default: 5, for apply 30].
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<f64>,
}

const TIMEOUT_SECONDS_MAX: f64 = 3600.0;

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= TIMEOUT_SECONDS_MAX => Ok(seconds),
        Ok(_) | Err(_) => Err(format!("more than 0 and up to {TIMEOUT_SECONDS_MAX} seconds")),
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole cluster in a few figures.
    Status,
    /// The nodes that hold the shards.
    #[command(subcommand)]
    Node(Node),
    /// The shards, their leaders and replicas.
    #[command(subcommand)]
    Shard(Shard),
    /// Companies or lines of business, and the shards they live on.
    #[command(subcommand)]
    Tenant(Tenant),
    /// The whole cluster in a file, for disaster recovery.
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// From one release to the next.
    #[command(subcommand)]
    Upgrade(Upgrade),
    /// The gateways that speak SIP.
    #[command(subcommand)]
    Gateway(Gateway),
    /// Queues and who waits in them.
    #[command(subcommand)]
    Queue(Queue),
    /// Agents and what they do.
    #[command(subcommand)]
    Agent(Agent),
    /// Calls, live and ended.
    #[command(subcommand)]
    Call(Call),
    /// Apply configuration documents, all of them or none.
    Apply {
        /// A file, a directory (its *.yaml and *.yml), or - for stdin.
        #[arg(short = 'f', long = "file", required = true, num_args = 1.., value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Check everything and say what would change, but change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Print configuration documents; `-o yaml` can be applied again as it is.
    Get {
        /// Only this kind.
        #[arg(value_enum, ignore_case = true)]
        kind: Option<Kind>,
        /// Only the one with this name.
        name: Option<String>,
    },
    /// What was counted, and the figures derived from it.
    Stats(Stats),
    /// Everything that is written down, in order, from a cursor on.
    Events(Events),
    /// Who changed what.
    Audit(Audit),
    /// What recorded days would have been like under another policy or with other staff.
    Simulate(Simulate),
    /// Watch the cluster live; q quits.
    Top {
        /// Print one frame as text and end.
        #[arg(long)]
        once: bool,
    },
    /// Print a completion script.
    Completion {
        /// For which shell.
        shell: Shell,
    },
}

/// What can be asked about gateways, and done to them.
#[derive(Debug, Subcommand)]
pub enum Gateway {
    /// All gateways with what they hold.
    List,
    /// Hand the calls of a gateway to the others and give it no more, until it starts anew.
    Drain {
        /// The gateway's id.
        id: String,
        /// How long to wait until it has no calls; 0s only asks.
        #[arg(long, default_value = "30s", value_parser = span)]
        deadline: u32,
        /// Let it have calls again.
        #[arg(long)]
        undo: bool,
    },
}

/// What can be asked about queues.
#[derive(Debug, Subcommand)]
pub enum Queue {
    /// All queues with their figures.
    List,
    /// One queue: its figures, who waits in the order of service, its agents.
    Show {
        /// The queue's name.
        name: String,
        /// At most so many waiting calls; 0 is all.
        #[arg(long, default_value_t = 0)]
        limit: u32,
    },
}

/// What can be asked about agents, and done to them.
#[derive(Debug, Subcommand)]
pub enum Agent {
    /// All agents with their states.
    List {
        /// Only those of this queue.
        #[arg(long)]
        queue: Option<String>,
    },
    /// One agent.
    Show {
        /// The agent's name.
        name: String,
    },
    /// Let the agent have calls.
    Ready {
        /// The agent's name.
        name: String,
    },
    /// Let the agent have no calls for now.
    NotReady {
        /// The agent's name.
        name: String,
        /// Why, such as break.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Give the agent more after-call work, from now on.
    ExtendWrapUp {
        /// The agent's name.
        name: String,
        /// For how long, such as 30s.
        #[arg(value_parser = span)]
        span: u32,
    },
    /// Log the agent in.
    Login {
        /// The agent's name.
        name: String,
    },
    /// Log the agent out.
    Logout {
        /// The agent's name.
        name: String,
    },
}

/// The kinds of documents.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Kind {
    /// A number that callers dial.
    #[value(alias = "numbers")]
    Number,
    /// A queue.
    #[value(alias = "queues")]
    Queue,
    /// An agent.
    #[value(alias = "agents")]
    Agent,
    /// Who may bring calls in.
    #[value(alias = "trunks")]
    Trunk,
    /// What agents can and calls ask for.
    #[value(alias = "skills")]
    Skill,
    /// Business time.
    #[value(alias = "schedules")]
    Schedule,
    /// Rules for single callers.
    #[value(alias = "callers")]
    Caller,
    /// Where calls for an agent go.
    #[value(alias = "forwardings")]
    Forwarding,
    /// What holds for the whole tenant.
    Centre,
}

impl Kind {
    /// As documents spell it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Number => "Number",
            Self::Queue => "Queue",
            Self::Agent => "Agent",
            Self::Trunk => "Trunk",
            Self::Skill => "Skill",
            Self::Schedule => "Schedule",
            Self::Caller => "Caller",
            Self::Forwarding => "Forwarding",
            Self::Centre => "Centre",
        }
    }
}
