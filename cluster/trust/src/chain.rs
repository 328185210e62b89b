//! The hash that chains audit records, the same for whoever writes and whoever verifies. Knows no message: plain fields.

use sha2::{Digest as _, Sha256};

/// One link as it is hashed.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// Of the record before; empty for the very first.
    pub before: &'a [u8],
    /// From 1.
    pub number: u64,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// The number of the record that announced it, 0 for none.
    pub of: u64,
    /// Everything that is text, in the order of its fields.
    pub texts: [&'a str; 6],
}

impl Link<'_> {
    /// SHA-256 over all of it. Each part is told with its length, so that no two records are the same bytes.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(b"cordboard audit 1");
        part(self.before);
        for number in [self.number, self.at_ms, self.of] {
            part(&number.to_le_bytes());
        }
        for text in self.texts {
            part(text.as_bytes());
        }
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link<'_> =
        Link { before: &[7; 32], number: 3, at_ms: 99, of: 2, texts: ["anna", "admin", "Admin.Apply", "a", "b", ""] };

    #[test]
    fn whatever_is_changed_changes_the_hash() {
        let hash = LINK.hash();
        assert_eq!(hash, LINK.hash());
        let changed = [
            Link { before: &[8; 32], ..LINK },
            Link { number: 4, ..LINK },
            Link { at_ms: 98, ..LINK },
            Link { of: 1, ..LINK },
            Link { texts: ["bert", "admin", "Admin.Apply", "a", "b", ""], ..LINK },
            // The same text, cut elsewhere.
            Link { texts: ["anna", "admin", "Admin.Apply", "ab", "", ""], ..LINK },
        ];
        assert!(changed.iter().all(|link| link.hash() != hash));
    }
}
