//! The gRPC doors of a node. Each handler translates, asks an actor or another node, and translates back.

mod acts;
pub mod admin;
mod apply;
mod asking;
pub mod audit;
pub(crate) mod backup;
pub(crate) mod cluster;
mod drain;
mod elsewhere;
pub(crate) mod impostors;
pub mod query;
mod refusals;
pub mod scope;
pub mod shard;
mod stats;
pub(crate) mod steward;
mod stream;
pub mod tenancy;

pub(crate) use stats::no_stats;
