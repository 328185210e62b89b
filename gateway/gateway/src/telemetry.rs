//! What an operator sees of a gateway: metrics, health, traces.

pub(crate) mod http;
pub(crate) mod metrics;
pub(crate) mod trace;
