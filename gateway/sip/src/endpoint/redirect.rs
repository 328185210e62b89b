//! 3xx to an INVITE of ours (RFC 3261 8.1.3.4): where else to try is told. Never tries it itself.

use super::core::Core;
use super::refer::is_ours;
use crate::config::Limits;
use crate::message::{Field, Response};
use crate::raw;
use crate::types::{Effect, LegId};
use crate::uri::{Scheme, Uri};

/// Quality of a Contact without `q`, in thousandths.
const Q_MAX: u32 = 1_000;

/// Tells where else to try; says whether there is anywhere.
pub(super) fn tell(core: &mut Core, leg: LegId, response: &Response) -> bool {
    // RFC 3261 21.3: 305 names a proxy and 380 another service; neither is somewhere else to ring.
    if !matches!(response.status, 300..=302) {
        return false;
    }
    let contacts = contacts(core, response);
    if contacts.is_empty() {
        return false;
    }
    core.tell(Effect::Redirected { leg, contacts });
    true
}

fn contacts(core: &Core, response: &Response) -> Vec<String> {
    let limits = &core.config.limits;
    let mut all: Vec<(u32, String)> = Vec::new();
    for value in response.fields.list(Field::Contact).into_iter().take(limits.redirects_max) {
        let place = Uri::of_value(value.as_bytes()).and_then(|uri| place(core, &uri));
        let Some(uri) = place.filter(|uri| !all.iter().any(|(_, other)| other == uri)) else { continue };
        all.push((quality(&value), uri));
    }
    // Stable: what is equally good stays in its order.
    all.sort_by_key(|(q, _)| std::cmp::Reverse(*q));
    all.into_iter().map(|(_, uri)| uri).collect()
}

/// A number or an extension of ours by its name alone, everything else as it is written.
fn place(core: &Core, uri: &Uri) -> Option<String> {
    let limits = &core.config.limits;
    let text = usable(uri, limits)?;
    let user = uri.user_text(limits.name_bytes_max);
    Some(if is_ours(core, uri) && !user.is_empty() { user } else { text })
}

/// The text of a URI that somebody may be sent to: SIP or tel, short, without header components.
pub(super) fn usable(uri: &Uri, limits: &Limits) -> Option<String> {
    let kind = uri.scheme != Scheme::Other && !uri.user.is_empty() || uri.is_sip();
    let text = String::from_utf8(uri.text.to_vec()).ok()?;
    let plain = text.len() <= limits.uri_bytes_max && !text.chars().any(char::is_control);
    let decoded = !uri.user.iter().any(u8::is_ascii_control);
    (kind && plain && decoded && !text.contains('?')).then_some(text)
}

/// `q` of RFC 3261 20.10 in thousandths: 0, 1, or up to three digits after a point.
fn quality(value: &str) -> u32 {
    let q = raw::param(value.as_bytes(), b"q");
    let text = std::str::from_utf8(q).unwrap_or_default();
    let Some((whole, part)) = text.split_once('.') else { return if text == "0" { 0 } else { Q_MAX } };
    if whole != "0" || part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return Q_MAX;
    }
    format!("{part:0<3}").parse().unwrap_or(Q_MAX)
}
