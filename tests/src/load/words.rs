//! SIP messages as the load's phones say and read them: literal text, only what the peers of this load send. Never
//! uses a parser of ours.

/// The value of a header, as it was written.
pub(super) fn header<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map_or("", str::trim)
}

/// The status of an answer.
pub(super) fn status(text: &str) -> Option<u16> {
    text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

/// The user part of a SIP URI within this.
pub(super) fn user(text: &str) -> &str {
    let Some((_, rest)) = text.split_once("sip:") else { return "" };
    rest.split_once('@').map_or("", |(user, _)| user)
}

/// The URI between angle brackets.
pub(super) fn uri(text: &str) -> &str {
    text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(text, |(uri, _)| uri)
}

/// An answer to a request, with what RFC 3261 8.2.6.2 says must be copied.
pub(super) fn answer(request: &str, line: &str, tag: &str, contact: &str, sdp: &str) -> String {
    let mut text = format!("SIP/2.0 {line}\r\n");
    for via in request.lines().take_while(|line| !line.is_empty()).filter(|line| line.starts_with("Via:")) {
        text += via;
        text += "\r\n";
    }
    let to = header(request, "To");
    let tag = if to.contains(";tag=") || tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    text += &format!(
        "From: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n",
        header(request, "From"),
        header(request, "Call-ID"),
        header(request, "CSeq")
    );
    if !contact.is_empty() {
        text += &format!("Contact: <{contact}>\r\n");
    }
    text + &body(sdp)
}

/// Content headers, the empty line and the body.
pub(super) fn body(sdp: &str) -> String {
    if sdp.is_empty() {
        return "Content-Length: 0\r\n\r\n".into();
    }
    format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len())
}

/// PCMU and telephone events at this port.
pub(super) fn sdp(port: u16) -> String {
    format!(
        "v=0\r\no=load 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
    )
}
