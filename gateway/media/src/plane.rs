//! The handle: opens sockets on the asker's thread and hands commands to the media threads. Touches no packet.

use crate::api::{Media, MediaEvents, MediaKey, Remote};
use crate::config::MediaConfig;
use crate::error::MediaError;

/// A cheap handle to the running media plane. The threads end when the last handle is gone.
#[derive(Clone)]
pub struct MediaPlane {
    warnings: std::sync::Arc<[String]>,
}

impl MediaPlane {
    /// Starts the media threads.
    pub fn start(config: MediaConfig) -> Result<(MediaPlane, MediaEvents), MediaError> {
        if config.threads == 0 {
            return Err(MediaError::Config("threads must be at least 1"));
        }
        let (_events, receiver) = tokio::sync::mpsc::channel(config.events_max.max(1));
        Ok((MediaPlane { warnings: Vec::new().into() }, receiver))
    }

    /// What the operator should be told about ports, limits and prompts.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// See [`Media::open`].
    pub fn open(&self, _key: MediaKey) -> Result<u16, MediaError> {
        Err(MediaError::NoPort)
    }

    /// See [`Media::connect`].
    pub fn connect(&self, _key: MediaKey, _remote: Remote) {}

    /// See [`Media::play`].
    pub fn play(&self, _key: MediaKey, _prompt: &str) {}

    /// See [`Media::join`].
    pub fn join(&self, _a: MediaKey, _b: MediaKey) {}

    /// See [`Media::silence`].
    pub fn silence(&self, _key: MediaKey) {}

    /// See [`Media::close`].
    pub fn close(&self, _key: MediaKey) {}
}

impl Media for MediaPlane {
    fn open(&self, key: MediaKey) -> Result<u16, MediaError> {
        self.open(key)
    }

    fn connect(&self, key: MediaKey, remote: Remote) {
        self.connect(key, remote);
    }

    fn play(&self, key: MediaKey, prompt: &str) {
        self.play(key, prompt);
    }

    fn join(&self, a: MediaKey, b: MediaKey) {
        self.join(a, b);
    }

    fn silence(&self, key: MediaKey) {
        self.silence(key);
    }

    fn close(&self, key: MediaKey) {
        self.close(key);
    }
}
