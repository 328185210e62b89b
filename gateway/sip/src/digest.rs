//! Digest authentication (RFC 2617, 7616, 8760) with nonces that any gateway verifies without memory.
//! Never sees a password; never tells an unknown user from a wrong password.

use hmac::{Hmac, Mac};
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::types::{Ha1, Millis};

/// A nonce from the future is tolerated this far: gateways' clocks differ.
const CLOCK_SKEW_MS: u64 = 30_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha256,
    Md5,
}

/// The fields of an `Authorization: Digest`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) realm: String,
    pub(crate) nonce: String,
    pub(crate) uri: String,
    pub(crate) response: String,
    pub(crate) algorithm: String,
    pub(crate) qop: String,
    pub(crate) nc: String,
    pub(crate) cnonce: String,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    /// Right, but the nonce is too old: try again without asking the user.
    Stale,
    Wrong,
}

impl Credentials {
    /// Reads a header value; none when it is not Digest or names a field twice.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(|c: char| c.is_ascii_whitespace())?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let mut credentials = Self::default();
        for part in crate::raw::split_list(rest.as_bytes()) {
            let (name, value) = std::str::from_utf8(part).ok()?.split_once('=')?;
            let slot = match name.trim().to_ascii_lowercase().as_str() {
                "username" => &mut credentials.username,
                "realm" => &mut credentials.realm,
                "nonce" => &mut credentials.nonce,
                "uri" => &mut credentials.uri,
                "response" => &mut credentials.response,
                "algorithm" => &mut credentials.algorithm,
                "qop" => &mut credentials.qop,
                "nc" => &mut credentials.nc,
                "cnonce" => &mut credentials.cnonce,
                _ => continue,
            };
            if !slot.is_empty() {
                return None;
            }
            *slot = unquote(value.trim());
        }
        Some(credentials)
    }

    /// Checks against an agent's secrets. For an unknown user pass none: the same work is done and the answer is
    /// `Wrong`.
    pub(crate) fn check(
        &self,
        secret: &[u8; 32],
        realm: &str,
        method: &str,
        ha1: Option<&Ha1>,
        now: Millis,
        nonce_ms: u64,
    ) -> Verdict {
        let algorithm = match self.algorithm.to_ascii_uppercase().as_str() {
            "SHA-256" => Algorithm::Sha256,
            "MD5" | "" => Algorithm::Md5,
            _ => return Verdict::Wrong,
        };
        let counted = self.nc.len() == 8 && self.nc.bytes().all(|b| b.is_ascii_hexdigit()) && !self.cnonce.is_empty();
        let formal = self.realm == realm && self.qop.eq_ignore_ascii_case("auth") && counted;
        let nobody = Ha1 { md5: [0; 16], sha256: [0; 32], shard: 0 };
        let known = ha1.is_some();
        let ha1 = ha1.unwrap_or(&nobody);
        let ha1 = match algorithm {
            Algorithm::Sha256 => hex(&ha1.sha256),
            Algorithm::Md5 => hex(&ha1.md5),
        };
        let ha2 = hash(algorithm, &[method, ":", &self.uri]);
        let wanted = hash(algorithm, &[&ha1, ":", &self.nonce, ":", &self.nc, ":", &self.cnonce, ":auth:", &ha2]);
        let same = equal(wanted.as_bytes(), self.response.to_ascii_lowercase().as_bytes());
        let Some(drawn) = nonce_time(secret, &self.nonce) else { return Verdict::Wrong };
        if !(same && known && formal) {
            return Verdict::Wrong;
        }
        let fresh = drawn <= now.0.saturating_add(CLOCK_SKEW_MS) && now.0.saturating_sub(drawn) <= nonce_ms;
        if fresh { Verdict::Good } else { Verdict::Stale }
    }
}

/// A nonce: the time and its MAC.
pub(crate) fn nonce(secret: &[u8; 32], now: Millis) -> String {
    format!("{:012x}{}", now.0 & 0xffff_ffff_ffff, nonce_mac(secret, now.0 & 0xffff_ffff_ffff))
}

fn nonce_time(secret: &[u8; 32], nonce: &str) -> Option<u64> {
    let (time, mac) = nonce.split_at_checked(12)?;
    if !time.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let time = u64::from_str_radix(time, 16).ok()?;
    equal(nonce_mac(secret, time).as_bytes(), mac.as_bytes()).then_some(time)
}

fn nonce_mac(secret: &[u8; 32], time: u64) -> String {
    let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(secret) else { return String::new() };
    mac.update(b"nonce");
    mac.update(&time.to_be_bytes());
    hex(&mac.finalize().into_bytes()[..16])
}

/// Both challenges, the stronger first (RFC 8760 section 2.4).
pub(crate) fn challenges(secret: &[u8; 32], realm: &str, now: Millis, stale: bool) -> [String; 2] {
    let nonce = nonce(secret, now);
    let stale = if stale { ", stale=true" } else { "" };
    ["SHA-256", "MD5"].map(|algorithm| {
        format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"{stale}")
    })
}

pub(crate) fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

pub(crate) fn hash(algorithm: Algorithm, parts: &[&str]) -> String {
    fn run<D: Digest>(parts: &[&str]) -> String {
        let mut digest = D::new();
        for part in parts {
            digest.update(part.as_bytes());
        }
        hex(&digest.finalize())
    }
    match algorithm {
        Algorithm::Sha256 => run::<Sha256>(parts),
        Algorithm::Md5 => run::<Md5>(parts),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

/// Compares without telling where the difference is.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0u8, |differs, (a, b)| differs | (a ^ b)) == 0
}
