//! A TCP stream cut into messages by Content-Length, bounded.
//! Never parses more than it must to find the end of a message.

use bytes::{Buf, Bytes, BytesMut};

use crate::config::Limits;
use crate::raw::{self, Known};

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framed {
    /// One whole message.
    Message(Bytes),
    /// A keep-alive ping (RFC 5626 4.4.1): answer with one CRLF.
    Ping,
}

/// Why a stream cannot be followed any more; the connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Larger than `message_bytes_max`.
    #[error("the message is longer than {0} bytes")]
    TooLong(usize),
    /// More fields than `headers_max`.
    #[error("the message has more than {0} header fields")]
    TooManyHeaders(usize),
    /// A field longer than `header_bytes_max`.
    #[error("a header field is longer than {0} bytes")]
    HeaderTooLong(usize),
    /// Content-Length is missing, repeated with another value, or not a number.
    #[error("no usable Content-Length")]
    ContentLength,
}

/// Cuts one stream.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    scanned: usize,
    limits: Limits,
    failed: Option<FramingError>,
}

impl Framer {
    /// For one connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, limits, failed: None }
    }

    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Bytes that wait for the rest of their message: a connection that stays like this is slow on purpose.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole message or ping. After an error there is nothing more.
    pub fn next_frame(&mut self) -> Result<Option<Framed>, FramingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.cut();
        if let Err(error) = result {
            self.failed = Some(error);
            self.buffer = BytesMut::new();
        }
        result
    }

    fn cut(&mut self) -> Result<Option<Framed>, FramingError> {
        // RFC 5626 4.4.1: CRLFCRLF asks for a CRLF; a single CRLF (RFC 3261 7.5) means nothing.
        if self.buffer.starts_with(b"\r\n\r\n") {
            self.buffer.advance(4);
            self.scanned = 0;
            return Ok(Some(Framed::Ping));
        }
        while self.buffer.starts_with(b"\r\n") && self.buffer.len() > 3 {
            self.buffer.advance(2);
            self.scanned = 0;
        }
        let from = self.scanned.saturating_sub(3);
        let Some(found) = self.buffer[from..].windows(4).position(|w| w == b"\r\n\r\n") else {
            self.scanned = self.buffer.len();
            return if self.buffer.len() > self.limits.message_bytes_max {
                Err(FramingError::TooLong(self.limits.message_bytes_max))
            } else {
                Ok(None)
            };
        };
        let head = from + found + 4;
        let whole = head.saturating_add(self.content_length(head)?);
        if whole > self.limits.message_bytes_max {
            return Err(FramingError::TooLong(self.limits.message_bytes_max));
        }
        if self.buffer.len() < whole {
            // One byte back, so that the search finds the same end again.
            self.scanned = head - 1;
            return Ok(None);
        }
        self.scanned = 0;
        Ok(Some(Framed::Message(self.buffer.split_to(whole).freeze())))
    }

    fn content_length(&self, head: usize) -> Result<usize, FramingError> {
        let head = &self.buffer[..head];
        if head.split(|&b| b == b'\n').any(|line| line.len() > self.limits.header_bytes_max) {
            return Err(FramingError::HeaderTooLong(self.limits.header_bytes_max));
        }
        let mut length = None;
        for (count, (name, value)) in raw::fields(head).enumerate() {
            if count >= self.limits.headers_max {
                return Err(FramingError::TooManyHeaders(self.limits.headers_max));
            }
            if raw::known(name) == Some(Known::ContentLength) {
                let digits = !value.is_empty() && value.len() <= 9 && value.iter().all(u8::is_ascii_digit);
                let value = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|v| v.parse::<usize>().ok());
                let value = value.ok_or(FramingError::ContentLength)?;
                if length.is_some_and(|other| other != value) {
                    return Err(FramingError::ContentLength);
                }
                length = Some(value);
            }
        }
        length.ok_or(FramingError::ContentLength)
    }
}
