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
#[allow(dead_code, unused_imports, reason = "the boards ask it as soon as they are wired to it")]
mod egress;
mod follow;
mod lane;
mod link;
mod process;
#[allow(dead_code, reason = "admission says for how long as soon as it is wired")]
mod refuse;
#[allow(dead_code, reason = "started with the trunks")]
mod resolve;
mod tcp;
mod telemetry;
mod tokens;
#[allow(dead_code, unused_imports, reason = "the boards ask it as soon as they are wired to it")]
mod trunks;
mod udp;

pub use config::{GatewayConfig, Limits};
pub use process::{Gateway, run};
