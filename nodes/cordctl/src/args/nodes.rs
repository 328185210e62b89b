//! The command line about nodes, shards and upgrades. Does nothing.

use clap::{Args as Group, Subcommand};

use crate::times::seconds as span;

/// What can be asked about nodes, and wanted of them.
#[derive(Debug, Subcommand)]
pub enum Node {
    /// All nodes with what they hold.
    List,
    /// Say that a node will join; it may also join without that.
    Add {
        /// Its id, such as n4.
        id: String,
        /// Where its gRPC will be, HOST:PORT; it says so itself when it joins.
        #[arg(long, default_value = "")]
        at: String,
        /// Its zone: shards are spread over zones.
        #[arg(long, default_value = "")]
        zone: String,
    },
    /// Move everything away from a node; it keeps a copy of the directory.
    Drain {
        /// Its id.
        id: String,
        /// Let it hold its share again.
        #[arg(long, conflicts_with = "force")]
        undo: bool,
        /// Although fewer nodes are left than a shard wants replicas.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        /// Whether to wait.
        wait: Wait,
    },
    /// Move everything away from a node that will not come back.
    Replace {
        /// Its id.
        id: String,
        /// Who takes its place; without it whoever has most room.
        #[arg(long, default_value = "")]
        with: String,
        /// Although fewer nodes are left than a shard wants replicas.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        /// Whether to wait.
        wait: Wait,
    },
    /// Forget a node for good, when it holds nothing any more. Its id is never used again.
    Remove {
        /// Its id.
        id: String,
        /// Although it is gone with replicas of shards.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        /// Whether to wait.
        wait: Wait,
    },
}

/// Whether to wait until it is done.
#[derive(Debug, Clone, Group)]
pub struct Wait {
    /// Wait until it is so, and say how it goes.
    #[arg(long)]
    pub wait: bool,
    /// How long to wait; it goes on without us.
    #[arg(long, default_value = "10m", value_parser = span)]
    pub deadline: u32,
}

/// What can be asked about shards, and done with them.
#[derive(Debug, Subcommand)]
pub enum Shard {
    /// All shards, their leaders and replicas.
    List,
    /// Begin more shards.
    Add {
        /// How many.
        #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
        count: u32,
        #[command(flatten)]
        /// Whether to wait.
        wait: Wait,
    },
    /// Have another node lead a shard.
    Lead {
        /// The shard's number.
        shard: u32,
        /// The node's id.
        #[arg(long)]
        to: String,
        #[command(flatten)]
        /// Whether to wait.
        wait: Wait,
    },
}

/// From one release to the next.
#[derive(Debug, Subcommand)]
pub enum Upgrade {
    /// Which release each node runs, and which rules are in force and possible.
    Status,
    /// When every node runs the new release: use what is new in it. There is no way back from here.
    Finish {
        /// The rules; without it the latest that every node knows.
        #[arg(long, default_value_t = 0)]
        rules: u32,
    },
}
