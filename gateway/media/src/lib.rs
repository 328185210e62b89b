//! RTP, codecs, prompts, DTMF and bridging for the gateway. Knows no SIP, no queue, no call state; never decides who hears whom.
//!
//! The gateway asks ([`MediaPlane`]: open, connect, play, join, silence, close; doing it twice is doing it once) and hears back
//! ([`MediaEvent`]). Behind the handle a few threads own all sockets; there is no thread per call and no lock in a packet's way.

mod api;
mod config;
mod counters;
mod error;
pub mod g711;
pub mod latch;
mod leg;
pub mod music;
mod plane;
mod poller;
mod ports;
pub mod prompt;
pub mod rtp;
pub mod stream;
pub mod telephone_event;
pub mod tone;
mod wheel;

pub use api::{Codec, Direction, Media, MediaEvent, MediaEvents, MediaKey, Remote};
pub use config::MediaConfig;
pub use counters::Count;
pub use error::MediaError;
pub use plane::{MediaPlane, THREADS_MAX};
