//! Tests of the whole shard: golden scripts, random stories against a slow model, limits and snapshots.

mod fixtures;
mod golden;
mod limits;
mod model;
mod random;
mod script;
