//! Digest (RFC 2617) as a carrier asks for it, and the contacts that were registered. Written apart from `sip`.

use md5::{Digest as _, Md5};

#[derive(Debug)]
pub(super) struct Door {
    realm: String,
    user: String,
    password: String,
    pub(super) contacts: Vec<String>,
    pub(super) wrong: u32,
}

const NONCE: &str = "0123456789abcdef";

impl Door {
    pub(super) fn of(realm: &str, user: &str, password: &str) -> Self {
        let [realm, user, password] = [realm, user, password].map(ToOwned::to_owned);
        Self { realm, user, password, contacts: Vec::new(), wrong: 0 }
    }

    /// The header line that asks; none when the answer is right.
    pub(super) fn challenge(&mut self, method: &str, answer: &str) -> Option<String> {
        let field = |name: &str| {
            let parts = answer.strip_prefix("Digest ")?.split(',').filter_map(|part| part.trim().split_once('='));
            parts.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value.trim_matches('"').to_owned())
        };
        let of = |name: &str| field(name).unwrap_or_default();
        let secret = hash(&format!("{}:{}:{}", self.user, self.realm, self.password));
        let asked = hash(&format!("{method}:{}", of("uri")));
        let (nc, cnonce) = (of("nc"), of("cnonce"));
        let right = hash(&format!("{secret}:{NONCE}:{nc}:{cnonce}:auth:{asked}"));
        if of("username") == self.user && of("realm") == self.realm && of("response") == right {
            return None;
        }
        self.wrong += u32::from(!answer.is_empty());
        let realm = &self.realm;
        Some(format!("WWW-Authenticate: Digest realm=\"{realm}\",nonce=\"{NONCE}\",algorithm=MD5,qop=\"auth\"\r\n"))
    }

    pub(super) fn bind(&mut self, contact: &str, expires: &str) {
        let uri = super::words::uri(contact).to_owned();
        self.contacts.retain(|other| *other != uri);
        if expires != "0" && !contact.contains("expires=0") {
            self.contacts.push(uri);
        }
    }
}

fn hash(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
