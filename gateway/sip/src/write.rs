//! The one door out: messages written from few fields straight into bytes.
//! Never reads what it writes; values must be free of CR and LF when they come here.

use bytes::Bytes;

use crate::config::EndpointConfig;
use crate::types::Transport;

/// Methods we serve, for `Allow`.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, REGISTER, REFER";
/// Extensions we support.
pub(crate) const SUPPORTED: &str = "timer";

/// A decimal number.
pub(crate) fn number(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// One header field.
pub(crate) fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    line(out, name, value.as_bytes());
}

/// One header field from bytes.
pub(crate) fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Ends a message without body.
pub(crate) fn finish(mut out: Vec<u8>) -> Bytes {
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    Bytes::from(out)
}

/// Ends a message with an SDP body, or without when it is empty.
pub(crate) fn finish_sdp(mut out: Vec<u8>, sdp: &[u8]) -> Bytes {
    if sdp.is_empty() {
        return finish(out);
    }
    out.extend_from_slice(b"Content-Type: application/sdp\r\nContent-Length: ");
    number(&mut out, sdp.len() as u64);
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(sdp);
    Bytes::from(out)
}

/// Ends a message with a body of this type.
pub(crate) fn finish_body(mut out: Vec<u8>, kind: &str, body: &[u8]) -> Bytes {
    field(&mut out, "Content-Type", kind);
    out.extend_from_slice(b"Content-Length: ");
    number(&mut out, body.len() as u64);
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
    Bytes::from(out)
}

/// `host:port` of ours, IPv6 in brackets.
pub(crate) fn host_port(config: &EndpointConfig) -> String {
    if config.host.contains(':') {
        format!("[{}]:{}", config.host, config.port)
    } else {
        format!("{}:{}", config.host, config.port)
    }
}

/// Our Via.
pub(crate) fn via(out: &mut Vec<u8>, transport: Transport, host_port: &str, branch: &str) {
    out.extend_from_slice(b"Via: SIP/2.0/");
    out.extend_from_slice(transport.via_name().as_bytes());
    out.push(b' ');
    out.extend_from_slice(host_port.as_bytes());
    out.extend_from_slice(b";branch=");
    out.extend_from_slice(branch.as_bytes());
    out.extend_from_slice(b";rport\r\n");
}

/// A quoted string (RFC 3261 25.1); control characters are left out.
pub(crate) fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for c in text.chars().filter(|c| !crate::uri::is_harmful(*c)) {
        if c == '"' || c == '\\' {
            out.push(b'\\');
        }
        let mut buffer = [0; 4];
        out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
    }
    out.push(b'"');
}

/// A user part: everything outside of RFC 3261 25.1 `user` is percent-encoded.
pub(crate) fn user(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &b in text.as_bytes() {
        if b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b) {
            out.push(b);
        } else {
            out.extend_from_slice(&[b'%', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
        }
    }
}

/// RFC 3326: `SIP;cause=486;text="Busy"`, or Q.850 normal clearing when there is no status.
pub(crate) fn reason(out: &mut Vec<u8>, status: u16, text: &str) {
    if status == 0 && text.is_empty() {
        return;
    }
    if (200..700).contains(&status) {
        out.extend_from_slice(b"Reason: SIP;cause=");
        number(out, u64::from(status));
    } else {
        out.extend_from_slice(b"Reason: Q.850;cause=16");
    }
    if !text.is_empty() {
        out.extend_from_slice(b";text=");
        let short: String = text.chars().take(120).collect();
        quoted(out, &short);
    }
    out.extend_from_slice(b"\r\n");
}

/// The reason phrase of a status.
pub(crate) fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => match status / 100 {
            1 => "Progress",
            2 => "OK",
            3 => "Moved",
            4 => "Refused",
            5 => "Failed",
            _ => "Declined",
        },
    }
}
