//! The gRPC doors of a node. Each handler translates, asks an actor or another node, and translates back.

pub mod admin;
pub mod query;
pub mod shard;
