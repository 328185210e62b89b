//! Passwords and digests, wherever they stand. A password is hashed here and kept nowhere; no message ever quotes one.

use super::{
    fields::{Fields, Notes, Quoted},
    limits,
    readers::text_of,
    values,
};

/// What user names and realms look like, in words.
const WORD_ALLOWED: &str = "1 to 128 printable characters without \" and \\; a user also without :";

/// The user or the realm of a login; it must be there.
pub(super) fn word(field: &'static str, fields: &mut Fields, notes: &mut Notes<'_>) -> String {
    let path = fields.path_of(field);
    let word = fields.require(field, WORD_ALLOWED, notes).and_then(|node| text_of(node, &path, notes));
    let Some((word, line)) = word else { return String::new() };
    let colon = field == "user" && word.contains(':');
    if colon || !values::is_quotable(&word) {
        notes.refuse(line, &path, format_args!("{} cannot be a {field}", Quoted(&word)), WORD_ALLOWED);
    }
    word
}

/// HA1 in both digests: from a password, or as they stand.
pub(super) fn credential(user: &str, realm: &str, fields: &mut Fields, notes: &mut Notes<'_>) -> (Vec<u8>, Vec<u8>) {
    let mut digest = |field: &'static str, bytes: usize, notes: &mut Notes<'_>| {
        let (text, line) = fields.text(field, notes)?;
        let digest = values::from_hex(&text, bytes);
        if digest.is_none() {
            let path = fields.path_of(field);
            notes.refuse(line, &path, "is not such a digest", format_args!("{} hex digits", bytes * 2));
        }
        Some(digest.unwrap_or_default())
    };
    let md5 = digest("ha1_md5", 16, notes);
    let sha256 = digest("ha1_sha256", 32, notes);
    let Some((password, line)) = fields.text("password", notes) else {
        return (md5.unwrap_or_default(), sha256.unwrap_or_default());
    };
    let path = fields.path_of("password");
    if md5.is_some() || sha256.is_some() {
        notes.refuse(line, &path, "stands beside ha1_md5 or ha1_sha256", "either the password or the digests");
    }
    if password.is_empty() || password.chars().count() > limits::PASSWORD_CHARS_MAX {
        notes.refuse(
            line,
            &path,
            "is empty or too long",
            format_args!("1 to {} characters", limits::PASSWORD_CHARS_MAX),
        );
    }
    values::hash_password(user, realm, &password)
}
