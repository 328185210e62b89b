//! The process that faces SIP and RTP. It holds nothing that cannot be rebuilt from the shards; it never decides who
//! talks to whom.
//!
//! ```text
//! udp, tcp ──▶ lane ──▶ board ──▶ sip (pure)          board: what ought to be true of each leg, and what is
//!                │        ├─────▶ media
//!                ▼        ▼
//!             doors ◀── link ──▶ shard (Submit, Watch)  follow ──▶ directory (Follow)
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admission;
mod board;
mod cidr;
mod clock;
mod config;
mod dial;
mod directory;
mod doors;
mod egress;
mod follow;
mod lane;
mod link;
mod probe;
mod process;
mod refuse;
mod resolve;
mod tcp;
mod telemetry;
mod tls;
mod tokens;
mod trunks;
mod udp;
mod ws;

pub use admission::AdmissionLimits;
pub use config::{GatewayConfig, Limits, TlsConfig, WsConfig};
pub use process::{Gateway, run};
