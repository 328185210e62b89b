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

#[allow(dead_code, reason = "the lanes ask it as soon as they are wired to it")]
mod admission;
mod board;
mod cidr;
mod clock;
mod config;
mod dial;
mod directory;
mod doors;
#[allow(dead_code, reason = "the boards ask it about trunks and targets; contacts and SDP follow")]
mod egress;
mod follow;
mod lane;
mod link;
mod probe;
mod process;
#[allow(dead_code, reason = "admission says for how long as soon as it is wired")]
mod refuse;
mod resolve;
mod tcp;
mod telemetry;
mod tls;
mod tokens;
#[allow(dead_code, reason = "metrics ask for standings as soon as they are wired")]
mod trunks;
mod udp;
mod ws;

pub use config::{GatewayConfig, Limits, TlsConfig, WsConfig};
pub use process::{Gateway, run};
