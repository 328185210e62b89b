//! A 503 for those who come when this gateway cannot serve: before its first directory view, and while it drains.
//! Stateless: the same request gets the same bytes, and nothing of it is kept. Parses no more than it copies.

use bytes::Bytes;

/// Header lines that are looked at; what lies beyond is no request of good faith.
const LINES_MAX: usize = 256;
/// What a UAC may do instead of coming back at once.
const RETRY_AFTER_SECONDS: u32 = 2;
/// The To tag of these answers. They make no dialog, so one tag serves all.
const TAG: &str = "busy";

/// The refusal of a request; `None` for responses, ACK, and what is no SIP request.
pub(crate) fn refuse(request: &[u8]) -> Option<Bytes> {
    refuse_for(request, RETRY_AFTER_SECONDS)
}

/// The same, with the time after which it is worth another try.
pub(crate) fn refuse_for(request: &[u8], retry_after_seconds: u32) -> Option<Bytes> {
    let mut lines = request.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next()?;
    // RFC 3261 17.1.1.3: an ACK is never answered.
    if !first.ends_with(b" SIP/2.0") || first.starts_with(b"ACK ") {
        return None;
    }
    let mut answer = b"SIP/2.0 503 Service Unavailable\r\n".to_vec();
    let (mut vias, mut others) = (0, 0);
    for line in lines.take(LINES_MAX).take_while(|line| !line.is_empty()) {
        match field(line) {
            Some(Field::Via) => vias += 1,
            Some(Field::From | Field::CallId | Field::CSeq) => others += 1,
            Some(Field::To) => {
                others += 1;
                answer.extend_from_slice(line);
                if !line.windows(5).any(|part| part.eq_ignore_ascii_case(b";tag=")) {
                    answer.extend_from_slice(format!(";tag={TAG}").as_bytes());
                }
                answer.extend_from_slice(b"\r\n");
                continue;
            }
            None => continue,
        }
        answer.extend_from_slice(line);
        answer.extend_from_slice(b"\r\n");
    }
    if vias == 0 || others != 4 {
        return None;
    }
    answer.extend_from_slice(format!("Retry-After: {retry_after_seconds}\r\nContent-Length: 0\r\n\r\n").as_bytes());
    Some(Bytes::from(answer))
}

/// What RFC 3261 8.2.6.2 copies into every response.
enum Field {
    Via,
    From,
    To,
    CallId,
    CSeq,
}

fn field(line: &[u8]) -> Option<Field> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = line[..colon].trim_ascii();
    let is = |long: &str, short: &str| {
        name.eq_ignore_ascii_case(long.as_bytes()) || name.eq_ignore_ascii_case(short.as_bytes())
    };
    if is("Via", "v") {
        Some(Field::Via)
    } else if is("From", "f") {
        Some(Field::From)
    } else if is("To", "t") {
        Some(Field::To)
    } else if is("Call-ID", "i") {
        Some(Field::CallId)
    } else if is("CSeq", "CSeq") {
        Some(Field::CSeq)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:5000@h SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nv: SIP/2.0/UDP b\r\n\
        From: <sip:x@y>;tag=1\r\nTo: <sip:5000@h>\r\ni: abc\r\nCSeq: 1 INVITE\r\nSubject: s\r\n\r\nbody: no";

    #[test]
    fn a_request_is_refused_with_its_own_headers_and_a_time_to_come_back() {
        let answer = refuse(INVITE.as_bytes()).unwrap();
        let answer = std::str::from_utf8(&answer).unwrap();
        assert!(answer.starts_with("SIP/2.0 503 "));
        for part in ["v: SIP/2.0/UDP b\r\n", "To: <sip:5000@h>;tag=busy\r\n", "Retry-After: ", "CSeq: 1 INVITE\r\n"] {
            assert!(answer.contains(part), "{part}");
        }
        assert!(!answer.contains("Subject") && !answer.contains("body"));
    }

    #[test]
    fn acks_responses_and_noise_get_silence() {
        assert!(refuse(INVITE.replace("INVITE", "ACK").as_bytes()).is_none());
        for noise in ["", "\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n", "INVITE sip:a SIP/2.0\r\n\r\n"] {
            assert!(refuse(noise.as_bytes()).is_none(), "{noise:?}");
        }
    }
}
