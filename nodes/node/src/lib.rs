//! The process that hosts shards: actix actors over a core without IO, and the gRPC doors to them.
//!
//! Follow a command: `services::shard` hands it to the [`actor`], the actor to the [`core`], the core to consensus
//! (package `cluster`); what is committed comes back through [`machine`], where bytes become words once, and out again
//! through the core's effects, which the actor carries out. Nothing here decides anything about a call: that is `acd`.

pub mod actor;
pub mod answers;
mod birth;
pub mod choosers;
pub mod clock;
pub mod config;
pub mod core;
pub mod directory;
mod disk_failure;
mod filler;
mod follow;
pub mod homes;
mod http;
mod join;
pub mod limits;
pub mod machine;
pub mod members;
pub mod metrics;
pub mod moves;
pub mod owners;
mod process;
mod pump;
pub mod records;
mod replicas;
pub mod roles;
pub mod roster;
pub mod services;
pub mod shards;
mod steward;
pub mod telemetry;
pub mod tenancy;
pub mod translate;

pub use cluster::{Identity, RecoveredShard, is_disk_panic, recover};
pub use config::NodeConfig;
pub use disk_failure::{DISK_FAILED, is_disk_failure};
pub use join::{EXIT_REFUSED, Refused, is_refusal};
pub use process::{init_log, run};
