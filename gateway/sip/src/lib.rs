//! SIP transactions, dialogs and legs as pure functions: bytes and requests in, effects out.
//! Never done here: sockets, clocks, dice, threads, async, DNS. Time enters as `Millis`, everything else as input.
//!
//! ```text
//! receive(bytes)  ─▶ message ─▶ transaction ─▶ leg (dialog) ─▶ Effect::{Offered, Ringing, Answered, ..}
//! alert/answer/invite/end ─────────────────────▶ leg ─▶ transaction ─▶ Effect::Send
//! timeout(now) ─▶ whatever was due
//! ```
//! Standards: RFC 3261, 3264, 3326, 3581, 4028, 6026, 2617/7616/8760.

mod config;
mod dialog;
mod digest;
mod echo;
mod endpoint;
mod flow_token;
pub mod framing;
mod leg;
mod message;
mod passport;
mod peek;
mod raw;
pub mod relay;
mod sdp;
pub mod tag;
mod timers;
mod transaction;
mod types;
mod uri;
mod write;

pub use config::{EndpointConfig, Limits, Timers};
pub use endpoint::Endpoint;
pub use passport::PassportError;
pub use peek::{Route, peek};
pub use types::{
    Access, Adopted, Codec, Direction, Effect, EndCause, Flow, Ha1, Identity, Invite, LegId, LocalMedia, Login, Millis,
    RegisterId, RegisterOutcome, RemoteMedia, Transport, UnknownLeg,
};
