//! The tag is the address: a leg and a MAC in one token, used as local tag and as user part of our Contact.
//! Never random: another gateway with the same secret writes and reads the same bytes.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::types::LegId;

/// Every token of ours begins with this.
const PREFIX: &str = "cb1.";

/// The directory's secret, split into the keys that tags and call ids need.
#[derive(Clone, Copy)]
pub struct Keys {
    call: [u8; 16],
    mac: [u8; 16],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// From the directory's secret.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        let mut keys = Self { call: [0; 16], mac: [0; 16] };
        keys.call.copy_from_slice(&secret[..16]);
        keys.mac.copy_from_slice(&secret[16..]);
        keys
    }

    /// The call id of an INVITE: SipHash-2-4 over Call-ID and From-tag, so that a retransmission names the same call.
    #[must_use]
    pub fn call_id(&self, sip_call_id: &[u8], from_tag: &[u8]) -> u64 {
        let mut hash = SipHasher24::new_with_key(&self.call);
        hash.write(sip_call_id);
        hash.write(&[0]);
        hash.write(from_tag);
        hash.finish()
    }

    /// A keyed hash of anything, for tags of refusals and transaction keys.
    pub(crate) fn digest(&self, domain: u8, parts: &[&[u8]]) -> u64 {
        let mut hash = SipHasher24::new_with_key(&self.mac);
        hash.write(&[domain]);
        for part in parts {
            hash.write(&(part.len() as u32).to_le_bytes());
            hash.write(part);
        }
        hash.finish()
    }

    fn mac(&self, leg: LegId) -> u64 {
        self.digest(b'L', &[&leg.shard.to_le_bytes(), &leg.call.to_le_bytes(), &leg.leg.to_le_bytes()])
    }
}

/// The token of a leg: `cb1.<shard>.<call>.<leg>.<mac>`, all hexadecimal; a SIP token and a legal user part.
#[must_use]
pub fn encode(keys: &Keys, leg: LegId) -> String {
    format!("{PREFIX}{:x}.{:016x}.{:x}.{:016x}", leg.shard, leg.call, leg.leg, keys.mac(leg))
}

/// The leg of a token of ours, or none when the MAC is wrong or it is not ours.
#[must_use]
pub fn decode(keys: &Keys, token: &[u8]) -> Option<LegId> {
    let (leg, mac) = split(token)?;
    // A timing difference would tell an attacker single bits of a MAC at best; compare without branches anyway.
    ((keys.mac(leg) ^ mac) == 0).then_some(leg)
}

fn split(token: &[u8]) -> Option<(LegId, u64)> {
    let text = std::str::from_utf8(token).ok()?.strip_prefix(PREFIX)?;
    let mut parts = text.split('.');
    let shard = hex(parts.next()?, 8)?;
    let call_text = parts.next()?;
    let leg = hex(parts.next()?, 8)?;
    let mac_text = parts.next()?;
    if parts.next().is_some() || call_text.len() != 16 || mac_text.len() != 16 {
        return None;
    }
    let leg = LegId { shard: u32::try_from(shard).ok()?, call: hex(call_text, 16)?, leg: u32::try_from(leg).ok()? };
    Some((leg, hex(mac_text, 16)?))
}

/// Lower-case hexadecimal only, so that one leg has exactly one token.
fn hex(text: &str, digits_max: usize) -> Option<u64> {
    let plain = !text.is_empty()
        && text.len() <= digits_max
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !plain { None } else { u64::from_str_radix(text, 16).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEG: LegId = LegId { shard: 1, call: 0x00ff_0000_1234_5678, leg: 2 };

    #[test]
    fn a_token_names_its_leg_on_every_gateway_with_the_secret() {
        let token = encode(&Keys::new(&[7; 32]), LEG);
        assert!(token.starts_with("cb1.1.00ff000012345678.2."), "{token}");
        assert_eq!(decode(&Keys::new(&[7; 32]), token.as_bytes()), Some(LEG));
    }

    #[test]
    fn a_forged_token_is_nobody() {
        let keys = Keys::new(&[7; 32]);
        let token = encode(&keys, LEG);
        assert_eq!(decode(&Keys::new(&[8; 32]), token.as_bytes()), None);
        for at in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'1' { b'2' } else { b'1' };
            assert_eq!(decode(&keys, &forged), None, "changed at {at}");
        }
        for odd in ["", "cb1.", "cb1.1.2.3.4", "cb1.+1.00ff000012345678.2.00ff000012345678", "cb1.1.00ff000012345678.2"]
        {
            assert_eq!(decode(&keys, odd.as_bytes()), None);
        }
    }
}
