//! The harness of everything that crosses packages: real processes, real SIP and RTP peers, a real OTLP receiver.
//! Never reaches into a package of ours: what is tested here is what a user has, binaries and their contracts.

pub mod cluster;
pub mod faults;
pub mod floor;
pub mod load;
pub mod otlp;
pub mod patience;
pub mod ports;
pub mod rtp;
pub mod sipp;
pub mod softphone;
pub mod tone;
pub mod transcript;
pub mod ua;
