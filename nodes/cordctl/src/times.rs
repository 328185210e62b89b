//! Moments and spans of time on the command line: RFC 3339 or so long ago. Never reads a clock nor a time zone.

const MS: u64 = 1000;
const DAY_SECONDS: i64 = 86_400;
/// The last year that can be given: what is later is a mistake.
const YEAR_MAX: i64 = 2100;

/// A moment as somebody wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Unix milliseconds.
    At(u64),
    /// So many milliseconds before the present.
    Ago(u64),
}

impl Moment {
    /// Unix milliseconds, never 0, which means nothing on the wire.
    pub fn resolve(self, now_ms: u64) -> u64 {
        match self {
            Self::At(ms) => ms.max(1),
            Self::Ago(ms) => now_ms.saturating_sub(ms).max(1),
        }
    }
}

/// `2026-05-04T09:00:00Z`, `2026-05-04T09:00:00+02:00` (RFC 3339), or `-2h`, `-90s`, `-30m`, `-1d`.
pub fn moment(text: &str) -> Result<Moment, String> {
    let allowed = || format!("{text:?} is neither RFC 3339 (2026-05-04T09:00:00Z) nor so long ago (-2h, -30m, -1d)");
    if let Some(ago) = text.strip_prefix('-') {
        return span_ms(ago).map(Moment::Ago).ok_or_else(allowed);
    }
    rfc_3339(text).map(Moment::At).ok_or_else(allowed)
}

/// A span in whole seconds: `30s`, `2m`, `1h`, or `30`.
pub fn seconds(text: &str) -> Result<u32, String> {
    let seconds = span_ms(text).filter(|ms| *ms > 0).map(|ms| ms / MS);
    let seconds =
        seconds.filter(|seconds| *seconds <= DAY_SECONDS as u64).and_then(|seconds| u32::try_from(seconds).ok());
    seconds.ok_or_else(|| format!("{text:?} is not a span from 1s to 24h, such as 30s, 2m or 1h"))
}

/// Unix milliseconds as RFC 3339 in UTC, to the second.
pub fn in_utc(ms: u64) -> String {
    let seconds = ms / MS;
    let (days, rest) = (seconds / DAY_SECONDS as u64, seconds % DAY_SECONDS as u64);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

fn span_ms(text: &str) -> Option<u64> {
    let (digits, unit) = match text.char_indices().next_back()? {
        (_, last) if last.is_ascii_digit() => (text, 1),
        (at, 's') => (&text[..at], 1),
        (at, 'm') => (&text[..at], 60),
        (at, 'h') => (&text[..at], 3600),
        (at, 'd') => (&text[..at], DAY_SECONDS as u64),
        _ => return None,
    };
    number(digits).and_then(|count| count.checked_mul(unit)?.checked_mul(MS))
}

fn number(digits: &str) -> Option<u64> {
    Some(digits).filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

fn rfc_3339(text: &str) -> Option<u64> {
    let part =
        |from: usize, until: usize| text.get(from..until).and_then(number).and_then(|part| i64::try_from(part).ok());
    let sign = |at: usize, allowed: &str| text.get(at..=at).is_some_and(|sign| allowed.contains(sign));
    if !(sign(4, "-") && sign(7, "-") && sign(10, "Tt ") && sign(13, ":") && sign(16, ":")) {
        return None;
    }
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    // A leap second is the second after it, as Unix time has it.
    let sane = (1970..=YEAR_MAX).contains(&year) && (1..=days_of(year, month)?).contains(&day);
    if !sane || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction_ms, zone) = fraction(text.get(19..)?)?;
    let offset = offset_seconds(zone)?;
    let seconds = days_since_1970(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset;
    u64::try_from(seconds).ok()?.checked_mul(MS)?.checked_add(fraction_ms)
}

/// Milliseconds of `.123456`, and what follows it.
fn fraction(text: &str) -> Option<(u64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, zone) = rest.split_at(end);
    let ms = number(&format!("{digits:0<3}").chars().take(3).collect::<String>())?;
    (!digits.is_empty()).then_some((ms, zone))
}

/// Seconds east of UTC.
fn offset_seconds(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let east = if zone.starts_with('+') { 1 } else { -1 };
    let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
    let both = hours.len() == 2 && minutes.len() == 2;
    let (hours, minutes) = (i64::try_from(number(hours)?).ok()?, i64::try_from(number(minutes)?).ok()?);
    (both && hours < 24 && minutes < 60).then_some(east * (hours * 3600 + minutes * 60))
}

fn days_of(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    })
}

/// Days from 1970-01-01 in the Gregorian calendar. The year begins in March, so that the leap day is its last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// Year, month and day of a day since 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(719_468);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (day * 5 + 2) / 153;
    let day = day - (month * 153 + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era.saturating_mul(400) + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_rfc_3339_or_so_long_ago() {
        assert_eq!(moment("2023-11-14T22:13:20Z"), Ok(Moment::At(1_700_000_000_000)));
        assert_eq!(moment("2023-11-14T23:13:20.5+01:00"), Ok(Moment::At(1_700_000_000_500)));
        assert_eq!(moment("2024-02-29t00:00:00z"), Ok(Moment::At(1_709_164_800_000)));
        assert_eq!(moment("-2h"), Ok(Moment::Ago(7_200_000)));
        assert_eq!(moment("-90"), Ok(Moment::Ago(90_000)));
        assert_eq!(Moment::Ago(7_200_000).resolve(10_000_000), 2_800_000);
        assert_eq!(Moment::Ago(u64::MAX).resolve(5), 1);
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for wrong in [
            "",
            "-",
            "-h",
            "-2w",
            "--2h",
            "-99999999999999999999d",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-11-14",
            "2023-11-14T22:13:20",
            "2023-11-14T24:00:00Z",
            "2023-11-14T22:13:20.Z",
            "2023-11-14T22:13:20+1:00",
            "1969-12-31T23:59:59Z",
            "9999-12-31T23:59:59Z",
            "2023-11-14T22:13:2éZ",
        ] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        for day in 0..47_000 {
            let ms = day * 86_400_000 + day % 86_400 * 1000;
            assert_eq!(moment(&in_utc(ms)), Ok(Moment::At(ms)), "{}", in_utc(ms));
        }
        assert!(in_utc(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn spans_are_whole_seconds_up_to_a_day() {
        assert_eq!(["30s", "30", "2m", "24h"].map(seconds), [Ok(30), Ok(30), Ok(120), Ok(86_400)]);
        for wrong in ["", "0", "s", "-5s", "25h", "1.5s", "5 s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
