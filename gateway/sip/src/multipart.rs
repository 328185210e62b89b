//! A multipart body (RFC 2046, RFC 5621): the session description is taken out, the rest is stepped over.
//! Never decodes a part, never goes deeper or reads more parts than it must.

use bytes::Bytes;

use crate::raw;

/// Parts of one multipart that are looked at.
const PARTS_MAX: usize = 16;
/// A multipart inside of a multipart; no deeper.
const DEPTH_MAX: usize = 2;
/// Longest boundary (RFC 2046 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// What a multipart body holds for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unpacked {
    /// No multipart at all.
    Plain,
    /// Its session description.
    Session(Bytes),
    /// Nothing that we read, or something that we would have to (RFC 3261 20.11 `handling=required`).
    Unreadable,
}

/// Looks for `application/sdp`.
pub(crate) fn unpack(content_type: &str, body: &Bytes) -> Unpacked {
    if !is_multipart(content_type) {
        return Unpacked::Plain;
    }
    match session(content_type.as_bytes(), body, 1) {
        Ok(Some(found)) => Unpacked::Session(found),
        Ok(None) | Err(Required) => Unpacked::Unreadable,
    }
}

/// A part that must be understood is not.
struct Required;

fn session(content_type: &[u8], body: &Bytes, depth: usize) -> Result<Option<Bytes>, Required> {
    let Some(boundary) = boundary(content_type) else { return Ok(None) };
    let mut found = None;
    for part in parts(body, &boundary) {
        let (head, inner) = split(body, part);
        let kind = field(&head, b"content-type").unwrap_or_default();
        let encoding = field(&head, b"content-transfer-encoding").unwrap_or_default();
        // RFC 2045 6.2: what is encoded is not decoded here.
        let plain = ["", "7bit", "8bit", "binary"].iter().any(|known| known.eq_ignore_ascii_case(&encoding));
        if found.is_none() && plain && is_session(&kind) {
            found = Some(inner);
        } else if found.is_none() && plain && is_multipart(&kind) && depth < DEPTH_MAX {
            found = session(kind.as_bytes(), &inner, depth + 1)?;
        } else if is_required(&head) && !is_session(&kind) {
            return Err(Required);
        }
    }
    Ok(found)
}

fn is_multipart(content_type: &str) -> bool {
    content_type.trim_start().get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/"))
}

fn is_session(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/sdp")
}

/// Only when it says so: senders of ISUP beside SDP mean the SDP.
fn is_required(head: &[u8]) -> bool {
    let value = field(head, b"content-disposition").unwrap_or_default();
    raw::param(value.as_bytes(), b"handling").eq_ignore_ascii_case(b"required")
}

/// The delimiter line without its line ends: `--boundary`.
fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let value = raw::param(content_type, b"boundary");
    let value = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(b);
    let good = !value.is_empty() && value.len() <= BOUNDARY_BYTES_MAX && value.iter().all(plain);
    good.then(|| [b"--", value].concat())
}

/// Where the parts are. A part that is never closed is none.
fn parts(body: &[u8], delimiter: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut all = Vec::new();
    let mut begun = None;
    let mut at = 0;
    while at < body.len() && all.len() < PARTS_MAX {
        let end = body[at..].iter().position(|&b| b == b'\n').map_or(body.len(), |found| at + found + 1);
        let line = body[at..end].trim_ascii_end();
        if let Some(rest) = line.strip_prefix(delimiter).filter(|rest| rest.is_empty() || *rest == b"--") {
            if let Some(start) = begun {
                all.push(start..at);
            }
            if rest == b"--" {
                break;
            }
            begun = Some(end);
        }
        at = end;
    }
    all
}

/// Header fields and content of a part. The line end before the delimiter is the delimiter's (RFC 2046 5.1.1), but SDP
/// is not read by those who leave the last line open: it is kept.
fn split(body: &Bytes, part: std::ops::Range<usize>) -> (Vec<u8>, Bytes) {
    let text = &body[part.clone()];
    let mut at = 0;
    while at < text.len() {
        let end = text[at..].iter().position(|&b| b == b'\n').map_or(text.len(), |found| at + found + 1);
        if text[at..end].trim_ascii().is_empty() {
            return ([b"\n", &text[..at]].concat(), body.slice(part.start + end..part.end));
        }
        at = end;
    }
    (Vec::new(), body.slice(part))
}

fn field(head: &[u8], wanted: &[u8]) -> Option<String> {
    let found = raw::fields(head).find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\ns=-\r\n";

    fn read(kind: &str, body: &str) -> Unpacked {
        unpack(kind, &Bytes::from(body.replace("\r\n", "\n").replace('\n', "\r\n")))
    }

    fn found() -> Unpacked {
        Unpacked::Session(Bytes::from_static(SDP.as_bytes()))
    }

    #[test]
    fn the_session_is_found_beside_other_parts() {
        let isup = "--b\nContent-Type: application/ISUP;version=itu-t92+\nContent-Disposition: signal;handling=optional\n\n\u{1}x\n";
        let sdp = format!("--b\nContent-Type: application/sdp\n\n{SDP}");
        for body in
            [format!("{isup}{sdp}--b--\n"), format!("preamble\n{sdp}{isup}--b--\nepilogue"), format!("{sdp}--b--")]
        {
            assert_eq!(read("multipart/mixed;boundary=b", &body), found(), "{body}");
            assert_eq!(read("Multipart/Mixed; boundary=\"b\"", &body), found(), "{body}");
        }
        let nested = format!("--o\nContent-Type: multipart/alternative;boundary=b\n\n{sdp}--b--\n--o--\n");
        assert_eq!(read("multipart/mixed;boundary=o", &nested), found());
        let deeper = format!("--p\nContent-Type: multipart/mixed;boundary=o\n\n{nested}--p--\n");
        assert_eq!(read("multipart/mixed;boundary=p", &deeper), Unpacked::Unreadable);
    }

    #[test]
    fn what_is_no_good_is_not_read() {
        let sdp = format!("--b\nContent-Type: application/sdp\n\n{SDP}");
        let required = "--b\nContent-Type: application/x\nContent-Disposition: render;handling=required\n\nx\n";
        let encoded = sdp.replace("\n\n", "\nContent-Transfer-Encoding: base64\n\n");
        let many = "--b\nContent-Type: text/plain\n\nx\n".repeat(PARTS_MAX);
        for body in
            [sdp.clone(), format!("{required}{sdp}--b--"), format!("{encoded}--b--"), format!("{many}{sdp}--b--")]
        {
            assert_eq!(read("multipart/mixed;boundary=b", &body), Unpacked::Unreadable, "{body}");
        }
        let long = "b".repeat(BOUNDARY_BYTES_MAX + 1);
        for kind in ["multipart/mixed", "multipart/mixed;boundary=\"\"", &format!("multipart/mixed;boundary={long}")] {
            assert_eq!(read(kind, &format!("{sdp}--b--")), Unpacked::Unreadable);
        }
        assert_eq!(read("application/sdp", SDP), Unpacked::Plain);
    }
}
