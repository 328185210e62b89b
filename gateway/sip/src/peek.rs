//! Which lane a message belongs to, without parsing it.
//! Never trusted for anything else: nothing is verified here.

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
                if let Some(call) = tag::call_of(from_tag) {
                    return Route::Call(call);
                }
            }
            Some(crate::raw::Known::To) => {
                if let Some(call) = tag::call_of(crate::raw::tag(value)) {
                    return Route::Call(call);
                }
            }
            _ => {}
        }
    }
    if call_id.is_empty() { Route::Nowhere } else { Route::Call(keys.call_id(call_id, from_tag)) }
}
