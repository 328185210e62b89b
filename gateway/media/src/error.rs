//! What can go wrong when asking the media plane. Errors on the wire are counted, never returned.

use std::path::PathBuf;

/// Why the media plane refused.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// Every port of the configured range is in use, by us or by others.
    #[error("no free RTP port in the configured range")]
    NoPort,
    /// The process may not open more files.
    #[error("no file descriptor left for an RTP socket; raise the open files limit")]
    OpenFiles,
    /// A socket could not be made for another reason.
    #[error("cannot open an RTP socket on {address}")]
    Socket {
        /// What was to be bound.
        address: std::net::SocketAddr,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A media thread, its poller or the system's random source is not to be had.
    #[error("cannot start the media threads")]
    Start(#[source] std::io::Error),
    /// The configuration makes no sense.
    #[error("media configuration: {0}")]
    Config(&'static str),
    /// The media threads have ended.
    #[error("the media plane has stopped")]
    Stopped,
    /// A prompt cannot be used.
    #[error("prompt {path}: {reason}")]
    Prompt {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it and what would be right.
        reason: String,
    },
}
