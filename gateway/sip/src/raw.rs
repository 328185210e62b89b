//! Header fields straight from bytes: for `peek`, for framing, and to answer messages that the parser refuses.
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
    match name {
        [short] => match short.to_ascii_lowercase() {
            b'v' => Some(Known::Via),
            b'f' => Some(Known::From),
            b't' => Some(Known::To),
            b'i' => Some(Known::CallId),
            b'l' => Some(Known::ContentLength),
            _ => None,
        },
        _ if name.eq_ignore_ascii_case(b"via") => Some(Known::Via),
        _ if name.eq_ignore_ascii_case(b"from") => Some(Known::From),
        _ if name.eq_ignore_ascii_case(b"to") => Some(Known::To),
        _ if name.eq_ignore_ascii_case(b"call-id") => Some(Known::CallId),
        _ if name.eq_ignore_ascii_case(b"cseq") => Some(Known::CSeq),
        _ if name.eq_ignore_ascii_case(b"content-length") => Some(Known::ContentLength),
        _ => None,
    }
}

/// RFC 3261 25.1 `token`.
pub(crate) fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b)
}

/// Names and trimmed values of the header fields after the start line, up to the empty line. A folded value keeps its
/// folds.
pub(crate) fn fields(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields_of(bytes.iter().position(|&b| b == b'\n').map_or(&b""[..], |at| &bytes[at + 1..]))
}

/// The same without a start line.
pub(crate) fn fields_of(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        loop {
            let mut end = 0;
            loop {
                match rest[end..].iter().position(|&b| b == b'\n') {
                    Some(at) => end += at + 1,
                    None => end = rest.len(),
                }
                if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                    break;
                }
            }
            let (line, after) = rest.split_at(end);
            rest = after;
            let line = line.trim_ascii_end();
            if line.is_empty() {
                return None;
            }
            if let Some(colon) = line.iter().position(|&b| b == b':') {
                return Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()));
            }
        }
    })
}

/// The `tag` parameter of a From or To value; empty when there is none.
pub(crate) fn tag(value: &[u8]) -> &[u8] {
    param(value, b"tag")
}

/// A parameter of a name-addr or addr-spec value; empty when there is none. Quoted names and URIs are stepped over.
pub(crate) fn param<'a>(value: &'a [u8], wanted: &[u8]) -> &'a [u8] {
    let after = outside_quotes(value, |b| b == b'>').map_or(value, |at| &value[at + 1..]);
    for param in after.split(|&b| b == b';').skip(1) {
        let mut parts = param.splitn(2, |&b| b == b'=');
        let name = parts.next().unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(wanted) {
            return parts.next().unwrap_or_default().trim_ascii();
        }
    }
    b""
}

/// Where the first value of a comma-separated list ends.
pub(crate) fn list_end(value: &[u8]) -> usize {
    let mut angle = false;
    let at = outside_quotes(value, |b| {
        match b {
            b'<' => angle = true,
            b'>' => angle = false,
            _ => {}
        }
        b == b',' && !angle
    });
    at.unwrap_or(value.len())
}

/// The values of a comma-separated list, trimmed; empty ones are left out.
pub(crate) fn split_list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        loop {
            let current = rest?;
            let end = list_end(current);
            rest = current.get(end + 1..);
            let part = current[..end].trim_ascii();
            if !part.is_empty() {
                return Some(part);
            }
        }
    })
}

/// Where the first byte that `wanted` accepts is, outside of quoted strings.
fn outside_quotes(value: &[u8], mut wanted: impl FnMut(u8) -> bool) -> Option<usize> {
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
        } else if wanted(b) {
            return Some(at);
        }
    }
    None
}
