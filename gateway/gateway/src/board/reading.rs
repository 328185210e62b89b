//! What of a message counts beside what SIP makes of it, while it is read.

use bytes::Bytes;
use sip::Flow;

/// Header lines that are looked at.
const LINES_MAX: usize = 256;

/// A message that is being read.
pub(super) struct Reading {
    pub(super) flow: Flow,
    /// The message, when it is an INVITE.
    pub(super) invite: Option<Bytes>,
    /// How long a 503 wants to be left alone (RFC 3261 21.5.4); 0: it does not say.
    pub(super) retry_after_seconds: u32,
}

impl Reading {
    pub(super) fn of(flow: Flow, bytes: &[u8]) -> Self {
        let invite = bytes.starts_with(b"INVITE ").then(|| Bytes::copy_from_slice(bytes));
        let retry_after_seconds = if bytes.starts_with(b"SIP/2.0 503 ") { retry_after(bytes) } else { 0 };
        Self { flow, invite, retry_after_seconds }
    }
}

/// RFC 3261 20.33: seconds first, then a comment and parameters.
fn retry_after(response: &[u8]) -> u32 {
    let lines = response.split(|byte| *byte == b'\n').take(LINES_MAX).map(<[u8]>::trim_ascii);
    let value = lines.take_while(|line| !line.is_empty()).find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        line[..colon].trim_ascii().eq_ignore_ascii_case(b"Retry-After").then(|| line[colon + 1..].trim_ascii_start())
    });
    let digits = value.unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_u32, |sum, digit| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overloaded_far_end_says_for_how_long() {
        for (field, seconds) in [
            ("Retry-After: 120", 120),
            ("retry-after :18000;duration=3600", 18_000),
            ("Retry-After: 5 (busy)", 5),
            ("Retry-After: soon", 0),
            ("Retry-After: 99999999999", u32::MAX),
            ("Subject: x", 0),
        ] {
            let response = format!("SIP/2.0 503 No\r\nVia: x\r\n{field}\r\n\r\nRetry-After: 9");
            assert_eq!(retry_after(response.as_bytes()), seconds, "{field}");
        }
    }
}
