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
/// Hosts of one trunk.
pub const TRUNK_HOSTS_MAX: usize = 16;
/// Prefixes of one trunk.
pub const TRUNK_PREFIXES_MAX: usize = 256;
/// Characters of a trunk's user name or realm.
pub const LOGIN_CHARS_MAX: usize = 128;
/// Characters of a domain (RFC 1035 section 2.3.4).
pub const DOMAIN_CHARS_MAX: usize = 253;
/// Characters of one label of a domain.
pub const LABEL_CHARS_MAX: usize = 63;
/// Blocks that calls never go to, or nowhere else.
pub const EGRESS_MAX: usize = 256;
/// Numbers that overload does not refuse.
pub const EMERGENCY_MAX: usize = 64;
/// Numbers of the cluster.
pub const NUMBERS_MAX: usize = 100_000;
/// Queues of the cluster.
pub const QUEUES_MAX: usize = 10_000;
/// Agents of the cluster.
pub const AGENTS_MAX: usize = 100_000;
/// Trunks of the cluster.
pub const TRUNKS_MAX: usize = 10_000;
/// Skills of the cluster.
pub const SKILLS_MAX: usize = 10_000;
/// Schedules of the cluster.
pub const SCHEDULES_MAX: usize = 10_000;
/// Time zones that schedules and the centre name together: each is compiled with every apply.
pub const ZONES_MAX: usize = 64;
/// Callers with rules of their own.
pub const CALLERS_MAX: usize = 100_000;
/// Forwardings of the cluster: one for each agent.
pub const FORWARDINGS_MAX: usize = AGENTS_MAX;
/// Each tenant has one centre.
pub const CENTRES_MAX: usize = 1;
/// Tenants of the cluster.
pub const TENANTS_MAX: usize = 1_000;
/// Skills that a number, a queue or an overflow asks, or an agent has.
pub const SKILL_LEVELS_MAX: usize = 64;
/// Timed routes of one number.
pub const ROUTES_MAX: usize = 64;
/// Numbers of one caller.
pub const CALLER_NUMBERS_MAX: usize = 64;
/// Characters of a number that is dialled or shown.
pub const NUMBER_CHARS_MAX: usize = 64;
/// Steps of a progressive offer.
pub const PROGRESSIVE_STEPS_MAX: usize = 32;
/// Overflow steps of one queue.
pub const OVERFLOW_STEPS_MAX: usize = 32;
/// Join rules of one queue.
pub const JOIN_RULES_MAX: usize = 32;
/// Announcements of one queue.
pub const ANNOUNCEMENTS_MAX: usize = 32;
/// States of members in one condition.
pub const STAFF_MAX: usize = 6;
/// Spans of a schedule's week, of one of its dates or of one of its seasons.
pub const HOURS_MAX: usize = 64;
/// Dates of one schedule.
pub const DATES_MAX: usize = 1_000;
/// Seasons of one schedule.
pub const SEASONS_MAX: usize = 64;
/// Rules of one forwarding.
pub const FORWARD_RULES_MAX: usize = 16;
/// Targets of one rule of a forwarding.
pub const FORWARD_TARGETS_MAX: usize = 16;
/// Characters of a chooser's endpoint.
pub const ENDPOINT_CHARS_MAX: usize = 255;
/// Digits of a star code, the star not counted.
pub const CODE_DIGITS_MAX: usize = 4;
/// Names that are shown of a loop.
pub const LOOP_SHOWN_MAX: usize = 10;

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
/// How long an agent who stays ready after not answering is left alone.
pub const RONA_DELAY_SECONDS: RangeInclusive<u32> = 1..=3_600;
/// Unanswered calls in a row before an agent is logged out; 0 is never.
pub const RONA_MAX: RangeInclusive<u32> = 0..=100;
/// Priority classes.
pub const PRIORITY: RangeInclusive<u32> = 1..=9;
/// Tiers of a queue's members.
pub const TIER: RangeInclusive<u32> = 1..=9;
/// Tiers that open later than the first.
pub const LATER_TIER: RangeInclusive<u32> = 2..=9;
/// The weight of a membership.
pub const WEIGHT: RangeInclusive<u32> = 1..=100;
/// The level of a skill.
pub const LEVEL: RangeInclusive<u32> = 1..=100;
/// The level of a skill that is relaxed; 0 drops it.
pub const RELAXED_LEVEL: RangeInclusive<u32> = 0..=100;
/// Calls that an agent has at once.
pub const CAPACITY: RangeInclusive<u32> = 1..=10;
/// The window over which a strategy counts.
pub const WINDOW_MINUTES: RangeInclusive<u32> = 1..=1_440;
/// How fast waiting counts.
pub const AGEING_PERMILLE: RangeInclusive<u32> = 1..=100_000;
/// Phones that ring at once.
pub const RING_MAX: RangeInclusive<u32> = 1..=100;
/// Agents who are added by a step of a progressive offer.
pub const STEP_AGENTS: RangeInclusive<u32> = 1..=100;
/// A span within one call.
pub const SPAN_SECONDS: RangeInclusive<u32> = 0..=86_400;
/// A span within one call that is not nothing.
pub const SOME_SECONDS: RangeInclusive<u32> = 1..=86_400;
/// How long it is remembered who served a caller.
pub const STICKY_WINDOW_SECONDS: RangeInclusive<u32> = 1..=31_536_000;
/// How long a chooser may take.
pub const CHOOSER_DEADLINE_MS: RangeInclusive<u32> = 1..=5_000;
/// Callers that a condition asks about.
pub const WAITING_OVER: RangeInclusive<u32> = 1..=1_000_000;
/// Times that somebody is called back.
pub const ATTEMPTS_MAX: RangeInclusive<u32> = 1..=100;
/// How long a callback is kept.
pub const EXPIRY_SECONDS: RangeInclusive<u32> = 1..=604_800;
/// How a caller is refused.
pub const SIP_STATUS: RangeInclusive<u32> = 400..=699;
/// Forwards and transfers of one call.
pub const HOPS_MAX: RangeInclusive<u32> = 1..=20;
/// Digits of a number to call back.
pub const CALLBACK_DIGITS_MIN: RangeInclusive<u32> = 0..=32;
/// In which order trunks and their hosts are tried.
pub const TRUNK_PRIORITY: RangeInclusive<u32> = 1..=1_000;
/// The share of a trunk or a host among equals.
pub const TRUNK_WEIGHT: RangeInclusive<u32> = 1..=1_000;
/// Calls of a trunk on one gateway.
pub const TRUNK_CALLS_MAX: RangeInclusive<u32> = 1..=100_000;
/// New calls of a trunk on one gateway in a second.
pub const TRUNK_CALLS_PER_SECOND_MAX: RangeInclusive<u32> = 1..=10_000;
/// How often a host is asked whether it lives.
pub const TRUNK_OPTIONS_SECONDS: RangeInclusive<u32> = 5..=3_600;
/// For how long a trunk's registration is asked.
pub const REGISTRATION_SECONDS: RangeInclusive<u32> = 60..=86_400;
/// Ports.
pub const PORT: RangeInclusive<u32> = 1..=65_535;
/// Years of a date.
pub const YEAR: RangeInclusive<u32> = 2_000..=2_099;

/// What a name may look like, in words.
pub const NAME_ALLOWED: &str = "1 to 64 letters, digits and . _ - +";

/// Whether `text` may name a document or a prompt.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
}

/// What a number may look like, in words.
pub const NUMBER_ALLOWED: &str = "1 to 64 letters, digits and . _ - + * #, such as +493012345";

/// Whether `text` may be dialled or shown.
pub fn is_number(text: &str) -> bool {
    (1..=NUMBER_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+*#".contains(&byte))
}
