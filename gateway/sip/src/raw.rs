//! Header fields straight from bytes: for `peek`, and to answer messages that the parser refuses.
//! Never a judge of what is well formed.

/// The few fields that routing and answering need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Via,
    From,
    To,
    CallId,
    CSeq,
    ContentLength,
}

/// Which of the known fields a name is.
pub(crate) fn known(name: &[u8]) -> Option<Known> {
    const NAMES: [(&[u8], &[u8], Known); 6] = [
        (b"via", b"v", Known::Via),
        (b"from", b"f", Known::From),
        (b"to", b"t", Known::To),
        (b"call-id", b"i", Known::CallId),
        (b"cseq", b"", Known::CSeq),
        (b"content-length", b"l", Known::ContentLength),
    ];
    let wanted = |full: &[u8], short: &[u8]| {
        name.eq_ignore_ascii_case(full) || (!short.is_empty() && name.eq_ignore_ascii_case(short))
    };
    NAMES.iter().find(|(full, short, _)| wanted(full, short)).map(|(_, _, known)| *known)
}

/// Names and trimmed values of the header fields after the start line, up to the empty line. Folded fields are cut
/// at the fold.
pub(crate) fn fields(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut lines = bytes.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.next();
    lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return None;
        }
        let colon = line.iter().position(|&b| b == b':')?;
        Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
    })
}

/// The `tag` parameter of a From or To value; empty when there is none. Quoted names and URIs are stepped over.
pub(crate) fn tag(value: &[u8]) -> &[u8] {
    let after = match outside(value, b'>') {
        Some(at) => &value[at + 1..],
        None => value,
    };
    for param in after.split(|&b| b == b';').skip(1) {
        let param = param.trim_ascii();
        if param.len() > 3 && param[..3].eq_ignore_ascii_case(b"tag") {
            let rest = param[3..].trim_ascii_start();
            if let Some(value) = rest.strip_prefix(b"=") {
                return value.trim_ascii();
            }
        }
    }
    b""
}

/// Where `wanted` first is outside of a quoted string.
fn outside(value: &[u8], wanted: u8) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, &b) in value.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted {
            match b {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if b == b'"' {
            quoted = true;
        } else if b == wanted {
            return Some(at);
        }
    }
    None
}
