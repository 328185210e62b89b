//! How demo people behave: how often they call, how long they wait, ring and talk. Dice only; no clock, no network.

/// Callers at once; nobody new calls beyond it.
pub(crate) const CALLERS_MAX: usize = 12;
/// Someone who thinks they talk but hears nobody any more says goodbye.
pub(crate) const SILENCE_MS: u64 = 3_000;
/// No conversation is longer, whatever happens.
pub(crate) const TALK_MS_MAX: u64 = 30_000;

const PAUSE_MEAN_MS: f64 = 3_500.0;
const PAUSE_MS: std::ops::RangeInclusive<f64> = 300.0..=12_000.0;

/// Until the next caller: independent of the one before, so they come in bunches now and then.
pub(crate) fn pause_ms() -> u64 {
    let waited = -(1.0 - fastrand::f64()).ln() * PAUSE_MEAN_MS;
    waited.clamp(*PAUSE_MS.start(), *PAUSE_MS.end()) as u64
}

/// How long a caller waits for an agent; one in four has little time.
pub(crate) fn patience_ms() -> u64 {
    if fastrand::u8(..4) == 0 { fastrand::u64(4_000..12_000) } else { fastrand::u64(30_000..90_000) }
}

/// How long an agent lets it ring.
pub(crate) fn ring_ms() -> u64 {
    fastrand::u64(1_000..3_000)
}

/// How long an agent talks before they hang up.
pub(crate) fn talk_ms() -> u64 {
    fastrand::u64(5_000..15_000)
}

/// One in three conversations is ended by the caller.
pub(crate) fn caller_ends_after_ms() -> u64 {
    if fastrand::u8(..3) == 0 { fastrand::u64(4_000..9_000) } else { TALK_MS_MAX }
}

/// A number that is nobody's: 020 7946 0000 to 0999 are set aside for drama (Ofcom).
pub(crate) fn caller() -> String {
    format!("44207946{:04}", fastrand::u16(..1_000))
}
