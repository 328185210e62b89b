//! The outbox of records on a real disk.

use cluster::{Outbox, OutboxLimits, RecordKey};

fn key(shard: u32, index: u64, position: u32) -> RecordKey {
    RecordKey { shard, index, position }
}

#[test]
fn a_record_put_twice_is_there_once_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("outbox");
    let outbox = Outbox::open(&path, OutboxLimits::default()).expect("it opens");
    assert!(outbox.put(key(1, 10, 0), b"call-1", b"offered").expect("put"));
    assert!(outbox.put(key(1, 10, 1), b"call-2", b"offered").expect("put"));
    assert!(outbox.put(key(1, 12, 0), b"call-1", b"ended").expect("put"));
    assert!(outbox.put(key(2, 5, 0), b"call-1", b"elsewhere").expect("put"));
    assert!(!outbox.put(key(1, 10, 0), b"call-1", b"offered").expect("put"));
    outbox.sync().expect("synced");
    drop(outbox);

    let outbox = Outbox::open(&path, OutboxLimits::default()).expect("it opens");
    assert!(!outbox.put(key(1, 12, 0), b"call-1", b"ended").expect("put"));
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
    let limits = OutboxLimits { records_per_shard_max: 100 };
    let outbox = Outbox::open(&folder.path().join("outbox"), limits).expect("it opens");
    for index in 1..=1_000 {
        outbox.put(key(1, index, 0), b"call", b"record").expect("put");
    }
    outbox.put(key(2, 1, 0), b"call", b"of another shard").expect("put");
    assert!((100..=107).contains(&outbox.len(1)), "{}", outbox.len(1));
    let left = outbox.read(key(1, 0, 0), 1_000).expect("read");
    assert_eq!(left.len() as u64, outbox.len(1));
    assert_eq!(left.last().map(|(key, _)| key.index), Some(1_000));
    assert_eq!(outbox.read_tagged(1, b"call").expect("read").len(), left.len());
    assert_eq!(outbox.len(2), 1);
}
