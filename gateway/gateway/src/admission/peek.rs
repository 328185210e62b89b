//! What a message is, by its first line and three fields. Copies nothing, and takes no word for more than it is.

/// Header lines that are looked at.
const LINES_MAX: usize = 128;

/// As admission sees a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// No SIP.
    Noise,
    /// A response, an ACK or a CANCEL, or part of a dialog.
    Standing,
    New(New<'a>),
}

/// A request that would begin something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct New<'a> {
    pub(super) invite: bool,
    pub(super) uri: &'a [u8],
    pub(super) call_id: &'a [u8],
}

pub(super) fn peek(bytes: &[u8]) -> Kind<'_> {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let Some(first) = lines.next() else { return Kind::Noise };
    if first.starts_with(b"SIP/2.0 ") {
        return Kind::Standing;
    }
    let mut words = first.split(|byte| *byte == b' ');
    let (Some(method), Some(uri), Some(b"SIP/2.0"), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return if keeps_alive(bytes) { Kind::Standing } else { Kind::Noise };
    };
    // They answer to what was let in, or are absorbed without a transaction.
    if matches!(method, b"ACK" | b"CANCEL" | b"BYE" | b"PRACK" | b"UPDATE" | b"INFO") {
        return Kind::Standing;
    }
    let mut call_id: &[u8] = b"";
    for line in lines.take(LINES_MAX).take_while(|line| !line.is_empty()) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"To") || name.eq_ignore_ascii_case(b"t") {
            // RFC 3261 12.2.2: a To tag says that there is a dialog; whether there is, costs its MAC.
            if value.windows(TAG.len()).any(|part| part.eq_ignore_ascii_case(TAG)) {
                return Kind::Standing;
            }
        } else if name.eq_ignore_ascii_case(b"Call-ID") || name.eq_ignore_ascii_case(b"i") {
            call_id = value;
        }
    }
    Kind::New(New { invite: method == b"INVITE", uri, call_id })
}

const TAG: &[u8] = b";tag=";

/// RFC 5626 section 4.4.1: CRLF, and a STUN request (section 4.4.2).
fn keeps_alive(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) || bytes.starts_with(&[0, 1])
}

/// The user part of a SIP URI, or the number of a tel URI, without visual separators.
pub(super) fn user(uri: &[u8]) -> Option<&str> {
    let uri = std::str::from_utf8(uri).ok()?;
    let (scheme, rest) = uri.split_once(':')?;
    let user = match scheme.to_ascii_lowercase().as_str() {
        "sip" | "sips" => rest.rsplit_once('@')?.0,
        "tel" => rest,
        _ => return None,
    };
    user.split([';', ':', '?']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:5000@h SIP/2.0\r\nTo: <sip:5000@h>\r\nCall-ID: c1\r\nX: ;tag=1\r\n\r\nTo: a;tag=1";

    #[test]
    fn what_begins_something_is_told_from_what_goes_on() {
        let Kind::New(new) = peek(INVITE.as_bytes()) else { panic!("it is new") };
        assert_eq!((new.invite, new.uri, new.call_id), (true, &b"sip:5000@h"[..], &b"c1"[..]));
        for method in ["REGISTER", "OPTIONS", "SUBSCRIBE", "MESSAGE", "REFER", "NOTIFY", "FOO"] {
            assert!(matches!(peek(INVITE.replace("INVITE", method).as_bytes()), Kind::New(New { invite: false, .. })));
        }
        for method in ["ACK", "CANCEL", "BYE", "PRACK", "UPDATE", "INFO"] {
            assert_eq!(peek(INVITE.replace("INVITE", method).as_bytes()), Kind::Standing, "{method}");
        }
        assert_eq!(peek(INVITE.replace("5000@h>", "5000@h>;TAG=x").as_bytes()), Kind::Standing);
        assert_eq!(peek(INVITE.replace("To: <sip:5000@h>", "t : <sip:a@b> ;x=1;tag=y").as_bytes()), Kind::Standing);
        assert_eq!(peek(b"SIP/2.0 200 OK\r\n\r\n"), Kind::Standing);
        assert_eq!(peek(b"\r\n\r\n"), Kind::Standing);
    }

    #[test]
    fn noise_is_noise() {
        for noise in ["GET / HTTP/1.1\r\n\r\n", "INVITE sip:a SIP/3.0\r\n", "x", "INVITE a b SIP/2.0\r\n"] {
            assert_eq!(peek(noise.as_bytes()), Kind::Noise, "{noise:?}");
        }
        let Kind::New(new) = peek(b"INVITE sip:a SIP/2.0\r\nbroken\r\n:\r\n: x") else { panic!("it is new") };
        assert_eq!(new.call_id, b"");
    }

    #[test]
    fn the_number_of_a_uri_is_its_user() {
        let users = [
            ("sip:112@h", Some("112")),
            ("sips:112;phone-context=x:pw@h;user=phone", Some("112")),
            ("TEL:112;a=b", Some("112")),
            ("sip:h", None),
            ("urn:service:sos", None),
            ("112", None),
        ];
        for (uri, expected) in users {
            assert_eq!(user(uri.as_bytes()), expected, "{uri}");
        }
    }
}
