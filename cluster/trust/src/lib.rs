//! Who may speak to whom: the name and role in a certificate, TLS under gRPC on both sides, and a guard before services
//! that asks a table. It knows no message, and never decides what a role may do: that is the table of whoever serves.
//!
//! A certificate names whom it is for in a URI: `cordboard://CLUSTER/node/n1`, `cordboard://CLUSTER/gateway/g1` or
//! `cordboard://CLUSTER/user/anna?role=operator`. Host names mean nothing here: a node is itself wherever it runs.

pub mod authority;
pub mod chain;
mod channels;
mod connect;
mod door;
mod files;
mod guard;
mod identity;
pub mod nearby;
mod verify;

pub use channels::{CHANNELS_MAX, Channels};
pub use connect::Far;
pub use door::{Caller, Incoming, Wire};
pub use files::{DoorCounters, Files, Trust, TrustError};
pub use guard::{Guard, Guarded, Table};
pub use identity::{Identity, NameError, Role, Roles};
