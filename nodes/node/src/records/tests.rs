//! Stories of records on a disk: what a consumer reads, what it is told of what is gone. Never more than one node.

use std::path::Path;

use cluster::{Outbox, OutboxLimits};
use proto::v1::{AgentRecord, CallRecord, Counts, IntervalRecord, Record, RecordBatch, record::Kind};

use super::{
    Gap, Records,
    cursor::Cursor,
    reader::{Kinds, Reader},
};

const SHARD: u32 = 1;

fn open(dir: &Path, records_per_shard_max: u64) -> Records {
    let outbox = Outbox::open(&dir.join("outbox"), OutboxLimits { records_per_shard_max, ..OutboxLimits::default() })
        .expect("an outbox");
    Records::start(outbox, &[SHARD], |error| panic!("{error}")).expect("a thread")
}

fn call(call: u64) -> Record {
    Record {
        at_ms: 1_000 * call,
        kind: Some(Kind::Call(CallRecord { call, ended_ms: call, ..CallRecord::default() })),
        ..Record::default()
    }
}

fn agent(call: u64) -> Record {
    Record {
        at_ms: 1_000 * call,
        kind: Some(Kind::Agent(AgentRecord { call, ..AgentRecord::default() })),
        ..Record::default()
    }
}

fn reader(records: &Records, cursor: &str, kinds: &[&str], batch_max: u32) -> Reader {
    let kinds: Vec<_> = kinds.iter().map(ToString::to_string).collect();
    let kinds = Kinds::parse(&kinds).expect("kinds");
    Reader::new(records.clone(), vec![SHARD], cursor.parse().expect("a cursor"), kinds, batch_max)
}

fn calls(batch: &RecordBatch) -> Vec<u64> {
    let call = |record: &Record| match &record.kind {
        Some(Kind::Call(call)) => call.call,
        Some(Kind::Agent(agent)) => agent.call,
        other => panic!("{other:?}"),
    };
    batch.records.iter().map(call).collect()
}

#[test]
fn a_consumer_goes_on_where_it_was_even_within_an_entry() {
    let dir = tempfile::tempdir().expect("a directory");
    let records = open(dir.path(), 1_000);
    for index in 1..=10 {
        records.put(SHARD, index, vec![call(3 * index), call(3 * index + 1), call(3 * index + 2)]);
    }
    records.settle();
    let (mut cursor, mut read) = (Cursor::default().to_string(), Vec::new());
    // A new reader each time, as after a lost connection.
    while let Some(batch) = reader(&records, &cursor, &[], 4).next_batch().expect("read") {
        assert!(!batch.pruned && batch.records.len() <= 4);
        read.extend(calls(&batch));
        cursor = batch.cursor;
    }
    assert_eq!(read, (3..=32).collect::<Vec<_>>());
    // What the log brings again changes nothing.
    records.put(SHARD, 10, vec![call(30), call(31), call(32)]);
    records.settle();
    assert_eq!(reader(&records, &cursor, &[], 4).next_batch().expect("read"), None);
    records.put(SHARD, 11, vec![call(40)]);
    records.settle();
    let batch = reader(&records, &cursor, &[], 4).next_batch().expect("read").expect("more");
    assert_eq!(calls(&batch), [40]);
    records.stop();
}

#[test]
fn what_a_consumer_does_not_want_is_passed_and_the_cursor_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let records = open(dir.path(), 1_000);
    for index in 1..=20 {
        records.put(SHARD, index, vec![if index % 10 == 0 { call(index) } else { agent(index) }]);
    }
    (21..=24).for_each(|index| records.put(SHARD, index, vec![agent(index)]));
    records.settle();
    let mut calls_only = reader(&records, "c1", &["call"], 3);
    let first = calls_only.next_batch().expect("read").expect("a call");
    assert_eq!(calls(&first), [10]);
    assert_eq!(calls(&calls_only.next_batch().expect("read").expect("a call")), [20]);
    assert_eq!(calls_only.next_batch().expect("read"), None);
    let rest = calls_only.rest().expect("agents' records were passed");
    assert!(rest.records.is_empty());
    assert_eq!(calls_only.rest(), None);
    assert_eq!(reader(&records, &rest.cursor, &[], 3).next_batch().expect("read"), None);
    assert!(Kinds::parse(&["calls".to_owned()]).is_err());
    records.stop();
}

#[test]
fn a_consumer_that_comes_too_late_is_told_of_the_gap_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let records = open(dir.path(), 32);
    records.put(SHARD, 1, vec![call(1)]);
    records.settle();
    let early = reader(&records, "c1", &[], 0).next_batch().expect("read").expect("a batch").cursor;
    for index in 2..=60 {
        records.put(SHARD, index, vec![call(index)]);
    }
    records.settle();
    let mut late = reader(&records, &early, &[], 10);
    let batch = late.next_batch().expect("read").expect("a batch");
    assert!(batch.pruned);
    let oldest = calls(&batch)[0];
    assert!(oldest > 20, "{oldest}");
    assert!(!late.next_batch().expect("read").expect("a batch").pruned);
    let whole = reader(&records, "c1", &[], 10).next_batch().expect("read").expect("a batch");
    assert!(!whole.pruned, "whoever begins with the oldest there is has missed nothing");
    assert_eq!(calls(&whole)[0], oldest);
    let known = records.gaps(SHARD);
    assert_eq!(known, [Gap { after: 0, until: oldest - 1, from_ms: 0, until_ms: 1_000 * oldest, pruned: true }]);
    drop(late);
    records.stop();
    // Also after a restart.
    let records = open(dir.path(), 32);
    assert_eq!(records.gaps(SHARD), known);
    records.stop();
}

#[test]
fn what_a_snapshot_took_in_is_a_gap_between_what_is_here() {
    let dir = tempfile::tempdir().expect("a directory");
    let records = open(dir.path(), 1_000);
    (1..=5).for_each(|index| records.put(SHARD, index, vec![call(index)]));
    records.restored(SHARD, 50, 45_000);
    (51..=55).for_each(|index| records.put(SHARD, index, vec![call(index)]));
    records.settle();
    let mut consumer = reader(&records, "c1", &[], 0);
    let before = consumer.next_batch().expect("read").expect("a batch");
    assert_eq!((calls(&before), before.pruned), ((1..=5).collect(), false));
    let after = consumer.next_batch().expect("read").expect("a batch");
    assert_eq!((calls(&after), after.pruned), ((51..=55).collect(), true));
    assert_eq!(records.gaps(SHARD), [Gap { after: 5, until: 50, from_ms: 5_000, until_ms: 45_000, pruned: false }]);
    // Where the log began with a snapshot, whoever begins with the oldest there is misses something too.
    records.restored(2, 9, 9_000);
    records.put(2, 10, vec![call(10)]);
    records.settle();
    let mut second = Reader::new(records.clone(), vec![2], Cursor::default(), Kinds::default(), 0);
    assert!(second.next_batch().expect("read").expect("a batch").pruned);
    // One that has read the missing ones elsewhere has missed nothing: its cursor is behind the gap.
    let elsewhere = reader(&records, "c1-1.33.0", &[], 0).next_batch().expect("read").expect("a batch");
    assert_eq!((calls(&elsewhere), elsewhere.pruned), ((52..=55).collect(), false));
    records.stop();
}

#[test]
fn an_interval_is_found_by_its_time_and_only_as_far_as_it_was_applied() {
    let dir = tempfile::tempdir().expect("a directory");
    let records = open(dir.path(), 1_000);
    let interval = |from_ms: u64, offered| {
        let counts = Some(Counts { offered, ..Counts::default() });
        let kind = Kind::Interval(IntervalRecord { from_ms, counts, ..IntervalRecord::default() });
        Record { at_ms: from_ms, kind: Some(kind), ..Record::default() }
    };
    let quarter = acd::limits::INTERVAL_MS;
    records.put(SHARD, 1, vec![call(1), interval(quarter, 5), interval(2 * quarter, 6)]);
    records.put(SHARD, 9, vec![interval(quarter, 7)]);
    records.settle();
    let offered = |from_ms, applied| -> Vec<u64> {
        let found = records.intervals(SHARD, "", from_ms, applied).expect("read");
        found.into_iter().map(|interval| interval.counts.unwrap_or_default().offered).collect()
    };
    assert_eq!(offered(quarter, 9), [5, 7]);
    assert_eq!(offered(quarter + 1, 8), [5]);
    assert_eq!(offered(2 * quarter, 9), [6]);
    assert!(offered(3 * quarter, 9).is_empty());
    records.stop();
}

#[test]
fn a_shard_that_comes_back_is_known_from_the_outbox() {
    let dir = tempfile::tempdir().expect("a directory");
    let records = open(dir.path(), 1_000);
    (1..=5).for_each(|index| records.put(SHARD, index, vec![call(index)]));
    records.restored(SHARD, 50, 45_000);
    records.settle();
    let (ended, gaps) = (records.ended("", 10), records.gaps(SHARD));
    assert_eq!((ended.len(), gaps.len()), (5, 1));
    records.stop();
    let outbox = Outbox::open(&dir.path().join("outbox"), OutboxLimits::default()).expect("an outbox");
    let records = Records::start(outbox, &[], |error| panic!("{error}")).expect("a thread");
    assert!(records.ended("", 10).is_empty() && records.gaps(SHARD).is_empty());
    for _ in 0..2 {
        records.load(SHARD).expect("read");
        assert_eq!((records.ended("", 10), records.gaps(SHARD)), (ended.clone(), gaps.clone()));
    }
    records.stop();
}

/// Gives one what another has of its first gap, until it has no more. What was given, as (from, through).
fn fill(lacking: &Records, whole: &Records) -> Vec<(u64, u64)> {
    let gap = lacking.gaps(SHARD)[0];
    let (mut after, mut given) = (gap.after, Vec::new());
    while after < gap.until {
        let piece = whole.piece(SHARD, after, gap.until).expect("read");
        assert!(piece.is_sound() && piece.from >= after && piece.through <= gap.until, "{piece:?}");
        if piece.through == piece.from {
            break;
        }
        after = piece.through;
        given.push((piece.from, piece.through));
        lacking.fill(SHARD, piece);
    }
    given
}

fn all(records: &Records) -> (Vec<u64>, bool) {
    let (mut found, mut pruned, mut reader) = (Vec::new(), false, reader(records, "c1", &[], 0));
    while let Some(batch) = reader.next_batch().expect("read") {
        found.extend(calls(&batch));
        pruned |= batch.pruned;
    }
    (found, pruned)
}

#[test]
fn what_is_missing_comes_from_another_and_is_found_as_if_it_had_been_here() {
    let dirs = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
    let [whole, lacking] = [0, 1].map(|at| open(dirs[at].path(), 100_000));
    // Entries without records, with several, and one that is larger than a piece.
    let of = |index: u64| -> Vec<Record> {
        match index {
            30 => (0..3_000).map(|at| Record { tenant: "t".repeat(200), ..call(30_000 + at) }).collect(),
            _ if index.is_multiple_of(7) => Vec::new(),
            _ => vec![agent(index), call(index)],
        }
    };
    let put = |records: &Records, from, to| {
        (from..=to).filter(|at| at % 7 != 0).for_each(|at| records.put(SHARD, at, of(at)));
    };
    put(&whole, 1, 55);
    put(&lacking, 1, 5);
    lacking.restored(SHARD, 49, 49_000);
    put(&lacking, 50, 55);
    lacking.settle();
    assert!(all(&lacking).1);
    assert!(lacking.of_call(SHARD, 40).expect("read").is_empty());
    // Others are not told of what is not here either.
    let piece = lacking.piece(SHARD, 0, 55).expect("read");
    assert_eq!((piece.from, piece.through), (0, 5));
    let piece = lacking.piece(SHARD, 7, 55).expect("read");
    assert_eq!((piece.from, piece.through), (49, 55));

    let given = fill(&lacking, &whole);
    assert_eq!(given, [(5, 29), (29, 30), (30, 49)]);
    assert_eq!((all(&lacking), lacking.gaps(SHARD)), (all(&whole), vec![]));
    assert!(!all(&lacking).1);
    for call in [40, 30_007] {
        assert_eq!(lacking.of_call(SHARD, call).expect("read"), whole.of_call(SHARD, call).expect("read"));
    }
    assert_eq!(lacking.ended("t", 9_000), whole.ended("t", 9_000));
    lacking.stop();
    let lacking = open(dirs[1].path(), 100_000);
    assert_eq!((all(&lacking), lacking.gaps(SHARD)), (all(&whole), vec![]));
    lacking.stop();
    whole.stop();
}

#[test]
fn what_nobody_has_stays_a_gap_and_what_is_behind_it_comes() {
    let dirs = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
    let [other, lacking] = [0, 1].map(|at| open(dirs[at].path(), 1_000));
    (1..=20).for_each(|index| other.put(SHARD, index, vec![call(index)]));
    other.restored(SHARD, 30, 30_000);
    (31..=50).for_each(|index| other.put(SHARD, index, vec![call(index)]));
    lacking.restored(SHARD, 40, 40_000);
    (41..=50).for_each(|index| lacking.put(SHARD, index, vec![call(index)]));
    lacking.settle();
    assert_eq!(fill(&lacking, &other), [(0, 20), (30, 40)]);
    let left = Gap { after: 20, until: 30, from_ms: 20_000, until_ms: 31_000, pruned: false };
    assert_eq!(lacking.gaps(SHARD), [left]);
    assert_eq!(all(&lacking), ((1..=20).chain(31..=50).collect(), true));
    assert!(fill(&lacking, &other).is_empty());
    lacking.stop();
    let lacking = open(dirs[1].path(), 1_000);
    assert_eq!(lacking.gaps(SHARD), [left]);
    lacking.stop();
    other.stop();
}

#[test]
fn of_what_everybody_prunes_nothing_is_missed() {
    let dir = tempfile::tempdir().expect("a directory");
    let records = open(dir.path(), 32);
    (1..=5).for_each(|index| records.put(SHARD, index, vec![call(index)]));
    records.restored(SHARD, 20, 20_000);
    (21..=30).for_each(|index| records.put(SHARD, index, vec![call(index)]));
    records.restored(SHARD, 40, 40_000);
    (41..=70).for_each(|index| records.put(SHARD, index, vec![call(index)]));
    records.settle();
    let missing = || records.gaps(SHARD).iter().filter(|gap| !gap.pruned).map(|gap| gap.until).collect::<Vec<_>>();
    assert_eq!(missing(), [40]);
    // A piece that would be pruned at once leaves nothing behind either.
    let entries = (31..=40).map(|index| (index, vec![call(index)])).collect();
    records.fill(SHARD, super::Piece { from: 30, through: 40, entries });
    assert!(missing().is_empty(), "{:?}", records.gaps(SHARD));
    assert!(!all(&records).1);
    records.stop();
}

#[test]
fn whoever_reads_while_a_gap_closes_misses_nothing_without_a_word() {
    let dir = tempfile::tempdir().expect("a directory");
    let records = open(dir.path(), 100_000);
    let last = 1_200;
    let rounds = 24;
    for round in 0..rounds {
        let shard = 1 + round;
        let put = |index: u64| records.put(shard, index, vec![call(index)]);
        (1..=5).for_each(put);
        records.restored(shard, 1_000, 0);
        (1_001..=last).for_each(put);
        records.settle();
        let filling = std::thread::spawn({
            let records = records.clone();
            move || {
                for from in (5..1_000).step_by(5) {
                    let through = (from + 5).min(1_000);
                    let entries = (from + 1..=through).map(|index| (index, vec![call(index)])).collect();
                    records.fill(shard, super::Piece { from, through, entries });
                }
            }
        });
        while !filling.is_finished() || !records.gaps(shard).is_empty() {
            let mut reader = Reader::new(records.clone(), vec![shard], Cursor::default(), Kinds::default(), 40);
            let mut next = 1;
            while let Some(batch) = reader.next_batch().expect("read") {
                let found = calls(&batch);
                assert!(batch.pruned || found[0] == next, "{found:?} follows {}", next - 1);
                assert!(found.is_sorted_by(|one, next| one + 1 == *next), "{found:?}");
                next = found.last().expect("some") + 1;
            }
            assert_eq!(next, last + 1);
        }
        filling.join().expect("filled");
    }
    records.stop();
}

#[test]
fn a_replica_that_went_still_gives_what_it_wrote_down() {
    let dir = tempfile::tempdir().expect("a directory");
    let records = open(dir.path(), 1_000);
    (1..=5).for_each(|index| records.put(SHARD, index, vec![call(index)]));
    records.restored(SHARD, 20, 20_000);
    (21..=30).for_each(|index| records.put(SHARD, index, vec![call(index)]));
    records.stop();
    let outbox = Outbox::open(&dir.path().join("outbox"), OutboxLimits::default()).expect("an outbox");
    let records = Records::start(outbox, &[], |error| panic!("{error}")).expect("a thread");
    let bounds = |after, until| {
        let piece = records.piece_of_former(SHARD, after, until).expect("read").expect("some");
        (piece.from, piece.through, piece.entries.len())
    };
    assert_eq!([bounds(0, 50), bounds(5, 50), bounds(25, 28)], [(0, 5, 5), (20, 30, 10), (25, 28, 3)]);
    assert!(records.piece_of_former(2, 0, 50).expect("read").is_none());
    records.stop();
}

#[test]
fn a_crash_between_pruning_and_its_word_is_seen_at_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let folder = dir.path().join("outbox");
    let limits = OutboxLimits { records_per_shard_max: 32, ..OutboxLimits::default() };
    let outbox = Outbox::open(&folder, limits).expect("an outbox");
    for index in 1..=60 {
        let record = prost::Message::encode_to_vec(&call(index));
        // Without the thread that writes the gap down.
        outbox.put(SHARD, index, &[cluster::Tagged { tag: b"", record: &record }]).expect("put");
    }
    drop(outbox);
    let records = open(dir.path(), 32);
    let piece = records.piece(SHARD, 0, 60).expect("read");
    assert!(piece.from > 20 && piece.through == 60, "{piece:?}");
    assert_eq!(piece.entries.first().map(|(index, _)| *index), Some(piece.from + 1));
    records.stop();
}
