//! The outbox of records on a real disk.

use std::thread::sleep;
use std::time::{Duration, Instant};

use cluster::{Outbox, OutboxLimits, RecordKey, Tagged};
use taken::taken;

mod taken;

fn key(shard: u32, index: u64, position: u32) -> RecordKey {
    RecordKey { shard, index, position }
}

/// Puts one entry's records, each a tag and what it says.
fn put(outbox: &Outbox, shard: u32, index: u64, records: &[(&'static str, &'static str)]) -> bool {
    let tagged =
        |(tag, record): &(&'static str, &'static str)| Tagged { tag: tag.as_bytes(), record: record.as_bytes() };
    outbox.put(shard, index, &records.iter().map(tagged).collect::<Vec<_>>()).expect("put")
}

#[test]
fn a_record_put_twice_is_there_once_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("outbox");
    let outbox = Outbox::open(&path, OutboxLimits::default()).expect("it opens");
    assert!(put(&outbox, 1, 10, &[("call-1", "offered"), ("call-2", "offered")]));
    assert!(put(&outbox, 1, 12, &[("call-1", "ended")]));
    assert!(put(&outbox, 2, 5, &[("call-1", "elsewhere")]));
    assert!(!put(&outbox, 1, 10, &[("call-1", "offered"), ("call-2", "offered")]));
    outbox.sync().expect("synced");
    drop(outbox);

    let outbox = Outbox::open(&path, OutboxLimits::default()).expect("it opens");
    assert!(!put(&outbox, 1, 12, &[("call-1", "ended")]));
    assert_eq!(outbox.len(1), 3);
    let read = outbox.read(key(1, 10, 1), 10).expect("read");
    assert_eq!(read, [(key(1, 10, 1), b"offered".to_vec()), (key(1, 12, 0), b"ended".to_vec())]);
    let one = outbox.read_tagged(1, b"call-1").expect("read");
    assert_eq!(one, [(key(1, 10, 0), b"offered".to_vec()), (key(1, 12, 0), b"ended".to_vec())]);
    let newest = outbox.read_last(1, 1).expect("read");
    assert_eq!(newest, [(key(1, 12, 0), b"ended".to_vec())]);
}

#[test]
fn the_oldest_go_when_it_is_full() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = OutboxLimits { records_per_shard_max: 100, ..OutboxLimits::default() };
    let outbox = Outbox::open(&folder.path().join("outbox"), limits).expect("it opens");
    for index in 1..=1_000 {
        put(&outbox, 1, index, &[("call", "record")]);
    }
    put(&outbox, 2, 1, &[("call", "of another shard")]);
    assert!((100..=107).contains(&outbox.len(1)), "{}", outbox.len(1));
    let left = outbox.read(key(1, 0, 0), 1_000).expect("read");
    assert_eq!(left.len() as u64, outbox.len(1));
    assert_eq!(left.last().map(|(key, _)| key.index), Some(1_000));
    assert_eq!(outbox.read_tagged(1, b"call").expect("read").len(), left.len());
    assert_eq!(outbox.len(2), 1);
}

#[test]
fn of_an_entry_only_what_is_tagged_is_found_and_the_latest_comes_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(&folder.path().join("outbox"), OutboxLimits::default()).expect("it opens");
    put(&outbox, 1, 7, &[("call-1", "offered"), ("call-2", "offered"), ("", "agent ready"), ("call-1", "answered")]);
    let of_call = outbox.read_tagged(1, b"call-1").expect("read");
    assert_eq!(of_call, [(key(1, 7, 0), b"offered".to_vec()), (key(1, 7, 3), b"answered".to_vec())]);
    let newest = outbox.read_last(1, 2).expect("read");
    assert_eq!(newest, [(key(1, 7, 3), b"answered".to_vec()), (key(1, 7, 2), b"agent ready".to_vec())]);
    assert_eq!(outbox.read(key(1, 7, 1), 1).expect("read"), [(key(1, 7, 1), b"offered".to_vec())]);
}

#[test]
fn what_a_shard_keeps_for_long_does_not_keep_what_others_had_beside_it() {
    const RECORD: usize = 300;
    const TURN_MAX: Duration = Duration::from_millis(50);
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    let path = folder.path().join("outbox");
    let limits = OutboxLimits { records_per_shard_max: 1_000, tidy_every_ms: 5 };
    let outbox = Outbox::open(&path, limits).expect("it opens");
    let mut index = 0_u64;
    let mut write = |count: u64| {
        for _ in 0..count {
            index += 1;
            // One shard has little to say and is far from its limit.
            let shard = if index.is_multiple_of(250) { 0 } else { 1 + index as u32 % 3 };
            outbox.put(shard, index, &[Tagged { tag: &index.to_be_bytes(), record: &[7; RECORD] }]).expect("put");
        }
        outbox.sync().expect("synced");
        taken(&path)
    };
    for _ in 0..80 {
        write(500);
    }
    // Half of what was written, all that is kept is a fifteenth. What is given back is used again, so more is written.
    let (mut held, mut portions) = (u64::MAX, 80 * 500 / 100);
    while held > portions * 100 * RECORD as u64 / 2 {
        assert!(portions < 1_000, "{held} bytes are held of {} records", portions * 100);
        held = write(100);
        portions += 1;
        // The thread that moves what lives has its turn.
        let turn_over = Instant::now() + TURN_MAX;
        while taken(&path) == held && Instant::now() < turn_over {
            sleep(Duration::from_millis(1));
        }
    }
}
