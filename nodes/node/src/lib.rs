//! The process that hosts shards: actix actors over a core without IO, and the gRPC doors to them.
//!
//! Follow a command: `services::shard` hands it to the [`actor`], the actor to the [`core`], the core to consensus
//! (package `cluster`); what is committed comes back through [`machine`], where bytes become words once, and out again
//! through the core's effects, which the actor carries out. Nothing here decides anything about a call: that is `acd`.

pub mod actor;
pub mod answers;
pub mod choosers;
pub mod clock;
pub mod config;
pub mod core;
pub mod directory;
pub mod homes;
mod http;
pub mod machine;
pub mod members;
pub mod metrics;
mod moves;
pub mod owners;
mod process;
mod pump;
pub mod records;
pub mod roles;
pub mod services;
pub mod shards;
pub mod telemetry;
pub mod tenancy;
pub mod translate;

pub use cluster::is_disk_panic;
pub use config::NodeConfig;
pub use process::{DISK_FAILED, is_disk_failure, run};
