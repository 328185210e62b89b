//! The limits on configuration, by name. Never holds a rule about meaning.

use std::ops::RangeInclusive;

/// Bytes of all files of one apply together.
pub const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Keys and values of all files of one apply together.
pub const NODES_MAX: usize = 3_000_000;
/// Nesting of one YAML document.
pub const DEPTH_MAX: usize = 32;
/// Errors that are listed; of more only the first are shown.
pub const ERRORS_MAX: usize = 1_000;
/// Errors that are looked for at all, so that hostile text costs no more memory than its own size.
pub const ERRORS_KEPT_MAX: usize = 10_000;
/// Characters of a name.
pub const NAME_CHARS_MAX: usize = 64;
/// Characters of an agent's contact.
pub const CONTACT_CHARS_MAX: usize = 255;
/// Characters of an agent's password.
pub const PASSWORD_CHARS_MAX: usize = 128;
/// Queues of one agent.
pub const AGENT_QUEUES_MAX: usize = 64;
/// Addresses of one trunk.
pub const TRUNK_ADDRESSES_MAX: usize = 256;
/// Numbers of the cluster.
pub const NUMBERS_MAX: usize = 100_000;
/// Queues of the cluster.
pub const QUEUES_MAX: usize = 10_000;
/// Agents of the cluster.
pub const AGENTS_MAX: usize = 100_000;
/// Trunks of the cluster.
pub const TRUNKS_MAX: usize = 10_000;

/// How long an agent's phone rings.
pub const RING_SECONDS: RangeInclusive<u32> = 1..=300;
/// How long an agent has after a call.
pub const WRAP_UP_SECONDS: RangeInclusive<u32> = 0..=86_400;
/// Callers of one queue.
pub const WAITING_MAX: RangeInclusive<u32> = 0..=1_000_000;
/// How long a caller waits at most.
pub const WAIT_SECONDS_MAX: RangeInclusive<u32> = 0..=86_400;
/// How long an agent who was busy or unreachable is left alone.
pub const DELAY_SECONDS: RangeInclusive<u32> = 0..=3_600;

/// What a name may look like, in words.
pub const NAME_ALLOWED: &str = "1 to 64 letters, digits and . _ - +";

/// Whether `text` may name a document or a prompt.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
}
