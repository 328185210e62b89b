//! Who calls, who was called before, and what of it may be shown (RFC 3323, 3325, 5806, 7044, 3891).
//! Never decides whom to believe: `Access` and `Invite::identity` say so.

use crate::config::Limits;
use crate::message::{Field, Request};
use crate::types::Invite;
use crate::uri::{Uri, clean};
use crate::write;

/// Host of an anonymous From (RFC 3323 4.1.1.3).
const ANONYMOUS_HOST: &str = "anonymous.invalid";

/// The calling party of an INVITE.
pub(crate) struct Calling {
    pub(crate) number: String,
    pub(crate) name: String,
    pub(crate) hidden: bool,
}

/// Reads who calls: P-Asserted-Identity from those we trust (RFC 3325 section 5), else From.
pub(crate) fn calling(request: &Request, trusted: bool, limits: &Limits) -> Calling {
    let private = |wanted: &str| {
        let values = request.fields.lines(Field::Privacy);
        values.iter().flat_map(|value| value.split(';')).any(|one| one.trim().eq_ignore_ascii_case(wanted))
    };
    let nobody = request.from.uri.host.as_deref().is_some_and(|host| host.eq_ignore_ascii_case(ANONYMOUS_HOST));
    let hidden = nobody || private("id") || private("user");
    if trusted && let Some((number, name)) = asserted(request, limits) {
        return Calling { number, name, hidden };
    }
    if nobody {
        return Calling { number: String::new(), name: String::new(), hidden };
    }
    let number = request.from.uri.user_text(limits.name_bytes_max);
    Calling { number, name: clean(&request.from.name, limits.name_bytes_max), hidden }
}

/// RFC 3325 9.1: one or two values, SIP and tel; the first that names somebody counts.
fn asserted(request: &Request, limits: &Limits) -> Option<(String, String)> {
    request.fields.list(Field::AssertedIdentity).iter().take(2).find_map(|value| {
        let (name, uri) = Uri::named(value.as_bytes())?;
        let number = uri.user_text(limits.name_bytes_max);
        (!number.is_empty()).then(|| (number, clean(&name, limits.name_bytes_max)))
    })
}

/// The From value of an INVITE of ours, without its tag.
pub(crate) fn from(invite: &Invite, host_port: &str) -> Vec<u8> {
    if invite.identity.hidden || invite.caller.is_empty() {
        return b"\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_vec();
    }
    who(invite, host_port)
}

/// The calling party as a name-addr.
fn who(invite: &Invite, host_port: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    if !invite.caller_name.is_empty() {
        write::quoted(&mut out, &invite.caller_name);
        out.push(b' ');
    }
    out.push(b'<');
    address(&mut out, &invite.caller, host_of(invite, host_port));
    out.push(b'>');
    out
}

fn address(out: &mut Vec<u8>, user: &str, host: &str) {
    out.extend_from_slice(b"sip:");
    write::user(out, user);
    out.push(b'@');
    out.extend_from_slice(host.as_bytes());
}

/// `Invite::domain` when it is a host, else ours.
fn host_of<'a>(invite: &'a Invite, host_port: &'a str) -> &'a str {
    if is_host(&invite.domain) { &invite.domain } else { host_port }
}

fn is_host(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(plain)
}

/// The Request-URI: a number goes to `Invite::domain`, everything else to the target as it is.
pub(crate) fn request_uri(invite: &Invite, target: &Uri) -> Vec<u8> {
    let number = !target.user.is_empty() && target.user.iter().all(|b| b.is_ascii_digit() || b"+*#".contains(b));
    if !number || !is_host(&invite.domain) {
        return target.text.to_vec();
    }
    let mut out = Vec::with_capacity(96);
    address(&mut out, &String::from_utf8_lossy(&target.user), &invite.domain);
    out
}

/// Header lines of an INVITE of ours: identity, history, and the dialog it replaces.
pub(crate) fn lines(out: &mut Vec<u8>, invite: &Invite, uri: &[u8], host_port: &str, limits: &Limits) {
    if invite.identity.asserted && !invite.caller.is_empty() {
        write::line(out, "P-Asserted-Identity", &who(invite, host_port));
    }
    if invite.identity.hidden {
        write::field(out, "Privacy", "id");
    }
    history(out, invite, uri, host_port, limits);
    if !invite.replaces.is_empty() && is_replaces(&invite.replaces, limits) {
        write::field(out, "Replaces", &invite.replaces);
    }
}

/// RFC 3891 6.1: a Call-ID and both tags.
fn is_replaces(text: &str, limits: &Limits) -> bool {
    let has = |name: &str| text.split(';').skip(1).any(|part| part.trim_start().starts_with(name));
    let plain = text.len() <= limits.uri_bytes_max && text.bytes().all(|b| (b' '..0x7f).contains(&b));
    plain && has("to-tag=") && has("from-tag=")
}

/// RFC 7044 9.2: each one called is a level below the one before, the one called now is the last. RFC 5806: the last
/// diversion stands first.
fn history(out: &mut Vec<u8>, invite: &Invite, uri: &[u8], host_port: &str, limits: &Limits) {
    let host = host_of(invite, host_port);
    let entries: Vec<Vec<u8>> = invite.history.iter().filter_map(|entry| history_uri(entry, host, limits)).collect();
    // The oldest are left out when there are too many: who diverted last matters most.
    let entries = &entries[entries.len().saturating_sub(limits.history_max)..];
    if entries.is_empty() {
        return;
    }
    let mut index = "1".to_owned();
    for entry in entries.iter().map(Vec::as_slice).chain([uri]) {
        let value = [b"<", entry, b">;index=", index.as_bytes()].concat();
        write::line(out, "History-Info", &value);
        index.push_str(".1");
    }
    if invite.diversion {
        for entry in entries.iter().rev() {
            write::line(out, "Diversion", &[b"<", entry.as_slice(), b">;reason=unknown;counter=1"].concat());
        }
    }
}

/// A URI as it is, a number at our host.
fn history_uri(entry: &str, host: &str, limits: &Limits) -> Option<Vec<u8>> {
    if entry.is_empty() || entry.len() > limits.uri_bytes_max || entry.chars().any(char::is_control) {
        return None;
    }
    if entry.contains(':') {
        return Uri::parse(entry.as_bytes()).map(|uri| uri.text.to_vec());
    }
    let mut out = Vec::with_capacity(64);
    address(&mut out, entry, host);
    Some(out)
}
