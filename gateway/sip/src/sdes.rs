//! SRTP keys in SDP (RFC 4568): one suite, AES_CM_128_HMAC_SHA1_80, one inline key without MKI. Never makes a key.

use crate::types::Key;
use crate::write::number;

/// The suite that everybody has.
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
/// 30 octets in base64, without padding.
const KEY_CHARS: usize = 40;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A `crypto` attribute that we can use: its tag and its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crypto {
    pub(crate) tag: u32,
    pub(crate) key: Key,
}

/// Reads the value of a `crypto` attribute; `None` for what we cannot use.
pub(crate) fn read(value: &str) -> Option<Crypto> {
    let mut words = value.split_ascii_whitespace();
    let tag = words.next().filter(|tag| tag.len() <= 9)?.parse().ok()?;
    if !words.next()?.eq_ignore_ascii_case(SUITE) {
        return None;
    }
    let inline = words.next()?;
    let (method, key_info) = inline.split_once(':')?;
    // RFC 4568 6.1: `|lifetime|MKI:length`; an MKI would be in every packet. More keys need MKIs to tell them apart.
    let (key, rest) = key_info.split_once('|').unwrap_or((key_info, ""));
    if !method.eq_ignore_ascii_case("inline") || rest.contains([':', ';']) {
        return None;
    }
    // RFC 4568 6.3.8: an unknown parameter may be passed over only with a dash; a window size changes nothing for us.
    let harmless = |word: &str| word.starts_with('-') || word.starts_with("WSH=");
    words.all(harmless).then_some(())?;
    Some(Crypto { tag, key: Key(decode(key)?) })
}

/// Writes the whole line.
pub(crate) fn write(out: &mut Vec<u8>, tag: u32, key: &[u8; 30]) {
    out.extend_from_slice(b"a=crypto:");
    number(out, u64::from(tag));
    out.push(b' ');
    out.extend_from_slice(SUITE.as_bytes());
    out.extend_from_slice(b" inline:");
    for three in key.chunks_exact(3) {
        let bits = three.iter().fold(0usize, |bits, octet| bits << 8 | usize::from(*octet));
        out.extend([18, 12, 6, 0].map(|shift| ALPHABET[bits >> shift & 63]));
    }
    out.extend_from_slice(b"\r\n");
}

fn decode(text: &str) -> Option<[u8; 30]> {
    let mut key = [0; 30];
    if text.len() != KEY_CHARS {
        return None;
    }
    for (three, four) in key.chunks_exact_mut(3).zip(text.as_bytes().chunks_exact(4)) {
        let mut bits = 0u32;
        for char in four {
            bits = bits << 6 | ALPHABET.iter().position(|other| other == char)? as u32;
        }
        three.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let key: [u8; 30] = std::array::from_fn(|n| (n * 37) as u8);
        let mut line = Vec::new();
        write(&mut line, 3, &key);
        let line = String::from_utf8(line).unwrap();
        let value = line.trim_end().strip_prefix("a=crypto:").unwrap();
        assert_eq!(read(value), Some(Crypto { tag: 3, key: Key(key) }));
        assert!(!format!("{:?}", read(value)).contains("37"));
    }

    #[test]
    fn what_cannot_be_used_is_passed_over() {
        // The key of RFC 4568, 6.1's example.
        let key = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
        let usable = |value: &str| read(value).is_some();
        assert!(usable(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^20")));
        assert!(usable(&format!("1 aes_cm_128_hmac_sha1_80 INLINE:{key} WSH=64 -x=1")));
        assert!(!usable(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^20|1:4")));
        assert!(!usable(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key}|1:4;inline:{key}|2:4")));
        assert!(!usable(&format!("1 AES_CM_128_HMAC_SHA1_32 inline:{key}")));
        assert!(!usable(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key} UNENCRYPTED_SRTP")));
        assert!(!usable(&format!("x AES_CM_128_HMAC_SHA1_80 inline:{key}")));
        assert!(!usable("1 AES_CM_128_HMAC_SHA1_80 inline:short"));
        assert!(!usable(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}é", &key[..38])));
        assert!(!usable("") && !usable("1") && !usable("1 AES_CM_128_HMAC_SHA1_80 inline"));
    }
}
