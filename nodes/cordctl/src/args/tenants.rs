//! What can be asked about tenants and backups, in words. Does nothing.

use std::path::PathBuf;

use clap::Subcommand;

use super::Wait;

/// What can be asked about tenants, and done with them. They begin and change with `cordctl apply`.
#[derive(Debug, Subcommand)]
pub enum Tenant {
    /// All tenants and the shards they live on.
    List,
    /// Have a tenant live on another shard; its calls go on.
    Move {
        /// The tenant's name.
        name: String,
        /// The shard; without it the cluster chooses.
        #[arg(long, value_name = "SHARD", conflicts_with = "own")]
        to: Option<u32>,
        /// Alone on a shard of its own, which is made if there is no empty one.
        #[arg(long)]
        own: bool,
        #[command(flatten)]
        /// Whether to wait for it.
        wait: Wait,
    },
}

/// What can be done with backups.
#[derive(Debug, Subcommand)]
pub enum Snapshot {
    /// Save documents and tenants of the whole cluster.
    Save {
        /// Where to; a file that is there is not overwritten.
        file: PathBuf,
    },
    /// Look at a backup and whether it is whole. Asks no cluster.
    Inspect {
        /// The backup.
        file: PathBuf,
    },
    /// Put a backup into a cluster that has no documents.
    Restore {
        /// The backup.
        file: PathBuf,
    },
}
