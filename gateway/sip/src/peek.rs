//! Which lane a message belongs to, without parsing it.
//! Only tags of ours are followed: one of another cluster looks the same, and its call is none of ours.

use crate::tag::{self, Keys};

/// Where a raw message should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// To the lane of this call: from one of our tags, else derived from (Call-ID, From-tag).
    Call(u64),
    /// No Call-ID: any lane may drop it.
    Nowhere,
}

/// The lane of a message. `keys` are those of the directory's secret.
#[must_use]
pub fn peek(keys: &Keys, bytes: &[u8]) -> Route {
    let mut call_id: &[u8] = b"";
    let mut from_tag: &[u8] = b"";
    for (name, value) in crate::raw::fields(bytes) {
        match crate::raw::known(name) {
            Some(crate::raw::Known::CallId) if call_id.is_empty() => call_id = value,
            Some(crate::raw::Known::From) => {
                from_tag = crate::raw::tag(value);
                if let Some(call) = call_of(keys, from_tag) {
                    return Route::Call(call);
                }
            }
            Some(crate::raw::Known::To) => {
                if let Some(call) = call_of(keys, crate::raw::tag(value)) {
                    return Route::Call(call);
                }
            }
            _ => {}
        }
    }
    if call_id.is_empty() { Route::Nowhere } else { Route::Call(keys.call_id(call_id, from_tag)) }
}

fn call_of(keys: &Keys, token: &[u8]) -> Option<u64> {
    tag::decode(keys, token).map(|leg| leg.call)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LegId;

    #[test]
    fn a_call_from_another_cordboard_goes_to_the_lane_of_the_call_it_becomes_here() {
        let (ours, theirs) = (Keys::new(&[1; 32]), Keys::new(&[2; 32]));
        let leg = LegId { shard: 1, call: 7, leg: 2 };
        let invite =
            |tag: &str| format!("INVITE sip:5000@x SIP/2.0\r\nCall-ID: c1\r\nFrom: <sip:a@b>;tag={tag}\r\n\r\n");
        let foreign = tag::encode(&theirs, leg);
        let becomes = Route::Call(ours.call_id(b"c1", foreign.as_bytes()));
        assert_eq!(peek(&ours, invite(&foreign).as_bytes()), becomes);
        assert_eq!(peek(&ours, invite(&tag::encode(&ours, leg)).as_bytes()), Route::Call(7));
    }
}
