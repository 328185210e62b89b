//! Digest as client (RFC 3261 section 22, RFC 7616, 8760): a challenge is read, chosen, and answered.
//! Never sees a password, and answers nobody but the realm it was given.

use crate::digest::{Algorithm, hash, hex, unquote};
use crate::message::{Field, Fields};
use crate::raw;
use crate::tag::Keys;
use crate::types::Login;
use crate::write;

/// Longest challenge that is read.
const CHALLENGE_BYTES_MAX: usize = 1_024;
/// More challenges than this in one response are not looked at.
const CHALLENGES_MAX: usize = 8;

/// One `WWW-Authenticate` or `Proxy-Authenticate`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: String,
    /// None: RFC 2069, without a client nonce.
    qop: Option<String>,
    pub(crate) stale: bool,
    /// It came in Proxy-Authenticate.
    proxy: bool,
}

impl Challenge {
    /// Reads a header value; none when it is not Digest, too long, or has no nonce.
    pub(crate) fn parse(value: &str, proxy: bool) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(|c: char| c.is_ascii_whitespace())?;
        if !scheme.eq_ignore_ascii_case("digest") || value.len() > CHALLENGE_BYTES_MAX {
            return None;
        }
        let mut challenge = Self { proxy, ..Self::default() };
        for part in raw::split_list(rest.as_bytes()) {
            let (name, value) = std::str::from_utf8(part).ok()?.split_once('=')?;
            let value = unquote(value.trim());
            // What is repeated must not end a line.
            if value.chars().any(char::is_control) {
                return None;
            }
            match name.trim().to_ascii_lowercase().as_str() {
                "realm" => challenge.realm = value,
                "nonce" => challenge.nonce = value,
                "opaque" => challenge.opaque = Some(value),
                "algorithm" => challenge.algorithm = value.to_ascii_uppercase(),
                "qop" => challenge.qop = Some(value),
                "stale" => challenge.stale = value.eq_ignore_ascii_case("true"),
                _ => {}
            }
        }
        (!challenge.nonce.is_empty()).then_some(challenge)
    }

    /// The algorithm, when it is one of ours.
    fn algorithm(&self) -> Option<Algorithm> {
        match self.algorithm.as_str() {
            "SHA-256" => Some(Algorithm::Sha256),
            "MD5" | "" => Some(Algorithm::Md5),
            _ => None,
        }
    }

    fn answerable(&self, login: &Login) -> bool {
        let auth =
            self.qop.as_ref().is_none_or(|qop| qop.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth")));
        self.realm == login.realm && self.algorithm().is_some() && auth
    }

    /// The credentials as a header line. The client nonce is derived: any gateway would write the same.
    pub(crate) fn answer(&self, login: &Login, keys: &Keys, method: &str, uri: &str, cseq: u32) -> Option<Vec<u8>> {
        let algorithm = self.algorithm()?;
        let ha1 = match algorithm {
            Algorithm::Sha256 => hex(&login.sha256),
            Algorithm::Md5 => hex(&login.md5),
        };
        let ha2 = hash(algorithm, &[method, ":", uri]);
        let drawn = keys.digest(b'N', &[self.nonce.as_bytes(), method.as_bytes(), uri.as_bytes(), &cseq.to_le_bytes()]);
        let cnonce = format!("{drawn:016x}");
        let response = match self.qop {
            Some(_) => hash(algorithm, &[&ha1, ":", &self.nonce, ":00000001:", &cnonce, ":auth:", &ha2]),
            None => hash(algorithm, &[&ha1, ":", &self.nonce, ":", &ha2]),
        };
        let name: &[u8] = if self.proxy { b"Proxy-Authorization" } else { b"Authorization" };
        let mut out = [name, b": Digest username="].concat();
        write::quoted(&mut out, &login.user);
        for (name, value) in [(", realm=", &self.realm), (", nonce=", &self.nonce)] {
            out.extend_from_slice(name.as_bytes());
            write::quoted(&mut out, value);
        }
        out.extend_from_slice(b", uri=");
        write::quoted(&mut out, uri);
        out.extend_from_slice(format!(", response=\"{response}\"").as_bytes());
        if !self.algorithm.is_empty() {
            out.extend_from_slice(format!(", algorithm={}", self.algorithm).as_bytes());
        }
        if self.qop.is_some() {
            out.extend_from_slice(format!(", qop=auth, nc=00000001, cnonce=\"{cnonce}\"").as_bytes());
        }
        if let Some(opaque) = &self.opaque {
            out.extend_from_slice(b", opaque=");
            write::quoted(&mut out, opaque);
        }
        out.extend_from_slice(b"\r\n");
        Some(out)
    }
}

/// The challenge to answer: the strongest of those for our realm.
pub(crate) fn choose(fields: &Fields, login: &Login) -> Option<Challenge> {
    let www = fields.lines(Field::WwwAuthenticate).into_iter().map(|value| (value, false));
    let proxy = fields.lines(Field::ProxyAuthenticate).into_iter().map(|value| (value, true));
    let ours: Vec<Challenge> = www
        .chain(proxy)
        .take(CHALLENGES_MAX)
        .filter_map(|(value, proxy)| Challenge::parse(&value, proxy))
        .filter(|challenge| challenge.answerable(login))
        .collect();
    let strong = ours.iter().find(|challenge| challenge.algorithm() == Some(Algorithm::Sha256));
    strong.or(ours.first()).cloned()
}

/// Copies the credentials of a request of ours.
pub(crate) fn copy_credentials(out: &mut Vec<u8>, request: &[u8]) {
    for (name, value) in raw::fields(request) {
        match name {
            b"Authorization" => write::line(out, "Authorization", value),
            b"Proxy-Authorization" => write::line(out, "Proxy-Authorization", value),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> Login {
        use md5::Digest;
        let a1 = "Mufasa:http-auth@example.org:Circle of Life";
        Login {
            user: "Mufasa".into(),
            realm: "http-auth@example.org".into(),
            md5: md5::Md5::digest(a1).into(),
            sha256: sha2::Sha256::digest(a1).into(),
        }
    }

    #[test]
    fn what_is_not_ours_is_not_answered() {
        let keys = Keys::new(&[7; 32]);
        for (value, wanted) in [
            ("Digest realm=\"http-auth@example.org\", nonce=\"n\"", true),
            ("Digest realm=\"http-auth@example.org\", nonce=\"n\", qop=\"auth-int, auth\"", true),
            ("Digest realm=\"http-auth@example.org\", nonce=\"n\", qop=\"auth-int\"", false),
            ("Digest realm=\"http-auth@example.org\", nonce=\"n\", algorithm=MD5-sess", false),
            ("Digest realm=\"other\", nonce=\"n\"", false),
            ("Digest realm=\"http-auth@example.org\"", false),
            ("Basic realm=\"http-auth@example.org\"", false),
            ("Digest nonce", false),
        ] {
            let read = Challenge::parse(value, false).filter(|challenge| challenge.answerable(&login()));
            assert_eq!(read.is_some(), wanted, "{value}");
            if let Some(challenge) = read {
                assert!(challenge.answer(&login(), &keys, "INVITE", "sip:a@b", 2).is_some());
            }
        }
    }

    #[test]
    fn without_qop_it_is_the_old_digest() {
        // RFC 2069 form of RFC 7616: response = H(H(A1):nonce:H(A2)).
        let challenge = Challenge::parse("Digest realm=\"http-auth@example.org\", nonce=\"abc\"", true);
        let line = challenge.and_then(|c| c.answer(&login(), &Keys::new(&[7; 32]), "REGISTER", "sip:x", 1));
        let text = String::from_utf8(line.unwrap_or_default()).unwrap_or_default();
        let ha2 = hash(Algorithm::Md5, &["REGISTER", ":", "sip:x"]);
        let wanted = hash(Algorithm::Md5, &[&hex(&login().md5), ":", "abc", ":", &ha2]);
        assert!(text.starts_with("Proxy-Authorization: Digest username=\"Mufasa\", realm="), "{text}");
        assert!(text.contains(&format!("response=\"{wanted}\"")) && !text.contains("cnonce"), "{text}");
    }
}
