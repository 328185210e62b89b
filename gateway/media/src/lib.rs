//! RTP, codecs, prompts, DTMF and bridging for the gateway. Knows no SIP, no queue, no call state; never decides who hears whom.
//!
//! The gateway asks ([`MediaPlane`]: open, connect, play, join, silence, close; doing it twice is doing it once) and hears back
//! ([`MediaEvent`]). Behind the handle a few threads own all sockets; there is no thread per call and no lock in a packet's way.
//!
//! A packet's road in: `poller` (socket) -> `leg` (is it the far end: `latch`; what is it: `rtp`, `telephone_event`) -> `poller` -> the
//! peer's `stream` (our numbers on it) and `g711` (its law) -> the peer's socket. Music's road: `wheel` (whose frame is due) -> `prompt`
//! -> `stream` -> socket. A conference's: the poller -> `jitter` of each far end -> `conference` (everybody but oneself) -> `stream`. Pure are all but `poller`, `ports`, `plane` and the reading of files in `prompt`.
//!
//! The places of what is not here: whisper and barge are further arms of `leg::Feed`; recording listens in `poller` where a
//! packet is received and where it is sent; another media relay implements
//! [`Media`]; the take-over of a stream begins as a new one (new SSRC, announced by re-INVITE), its music at the same place of the tune.

mod announcement;
mod api;
mod conference;
mod config;
mod counters;
mod error;
pub mod g711;
pub mod jitter;
pub mod latch;
mod leg;
pub mod music;
mod plane;
mod poller;
mod ports;
pub mod prompt;
pub mod rtp;
mod srtp;
pub mod stream;
mod switchboard;
pub mod telephone_event;
pub mod tone;
mod wheel;

pub use announcement::{DIGITS_MAX, PARTS_MAX};
pub use api::{Codec, Direction, Media, MediaEvent, MediaEvents, MediaKey, Remote, Srtp};
pub use conference::{LEGS_MAX, LEGS_MIN};
pub use config::MediaConfig;
pub use counters::Count;
pub use error::MediaError;
pub use plane::{MediaPlane, THREADS_MAX};
