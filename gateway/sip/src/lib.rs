//! SIP transactions, dialogs and legs as pure functions: bytes and requests in, effects out.
//! Never done here: sockets, clocks, dice, threads, async, DNS. Time enters as `Millis`, everything else as input.
//!
//! ```text
//! receive(bytes)  ─▶ message ─▶ transaction ─▶ leg (dialog) ─▶ Effect::{Offered, Ringing, Answered, ..}
//! alert/answer/invite/end ─────────────────────▶ leg ─▶ transaction ─▶ Effect::Send
//! timeout(now) ─▶ whatever was due
//! ```
//! Standards: RFC 3261, 3262, 3264, 3311, 3323, 3325, 3326, 3515, 3581, 3892, 4028, 4488, 5806, 6026, 7044,
//! 2617/7616/8760.

mod config;
mod dialog;
mod digest;
mod echo;
mod endpoint;
pub mod framing;
mod identity;
mod leg;
mod login;
mod message;
mod passport;
mod peek;
mod raw;
mod sdes;
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
    Access, Adopted, Bind, BindingId, Codec, Direction, Effect, EndCause, Flow, Ha1, Identity, Invite, LegId,
    LocalMedia, Login, Millis, PingId, RegisterId, RegisterOutcome, RemoteMedia, Transport, UnknownLeg,
};
