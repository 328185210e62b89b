//! Stories of snapshots on a real disk. A crash is a copy of nothing: what was not saved is simply opened again.

use super::*;

const SHARD: u32 = 7;

fn open(folder: &Path) -> Snapshots {
    Snapshots::open(&Vault::open(&folder.join("state")).expect("a vault"), &folder.join("snapshots")).expect("a folder")
}

fn snapshot(index: u64, data: &[u8]) -> Snapshot {
    let mut snapshot = Snapshot { data: data.to_vec().into(), ..Snapshot::default() };
    let metadata = snapshot.mut_metadata();
    (metadata.index, metadata.term) = (index, 3);
    metadata.set_conf_state(ConfState { voters: vec![1, 2], ..ConfState::default() });
    snapshot
}

fn part(snapshot: &Snapshot, from: usize, to: usize) -> Part {
    Part { index: snapshot.get_metadata().index, offset: from, data: snapshot.data.slice(from..to) }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("snapshots")).expect("a folder");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("readable").file_name().into_string()).collect();
    names.sort();
    names.into_iter().map(|name| name.expect("a name")).collect()
}

#[test]
fn a_snapshot_in_parts_is_the_last_one_only_when_it_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (snapshot(10, b"first"), snapshot(20, b"the second one"));
    let snapshots = open(folder.path());
    assert_eq!(snapshots.load(SHARD).expect("readable"), None);
    snapshots.save(SHARD, &first, 0).expect("saved");
    snapshots.put(SHARD, &part(&second, 0, 4)).expect("put");
    snapshots.put(SHARD, &part(&second, 4, 9)).expect("put");
    drop(snapshots);

    let snapshots = open(folder.path());
    assert_eq!(snapshots.load(SHARD).expect("readable"), Some(first), "the power went before it was whole");
    // Again from the beginning, over what is left of it.
    snapshots.put(SHARD, &part(&second, 0, 11)).expect("put");
    snapshots.save(SHARD, &second, 11).expect("saved");
    drop(snapshots);
    assert_eq!(open(folder.path()).load(SHARD).expect("readable"), Some(second));
    assert_eq!(files(folder.path()), ["7-20"]);
}

#[test]
fn a_part_without_those_before_it_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshots = open(folder.path());
    let whole = snapshot(10, b"0123456789");
    assert!(matches!(snapshots.put(SHARD, &part(&whole, 5, 9)), Err(StoreError::Io { .. })));
    snapshots.put(SHARD, &part(&whole, 0, 3)).expect("put");
    assert!(matches!(snapshots.save(SHARD, &whole, 5), Err(StoreError::Inconsistent { shard: SHARD, .. })));
    assert_eq!(snapshots.load(SHARD).expect("readable"), None);
}

#[test]
fn what_crashes_have_left_goes_with_the_next_snapshot_and_other_shards_keep_theirs() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshots = open(folder.path());
    let other = snapshot(99, b"of another shard");
    snapshots.save(77, &other, 0).expect("saved");
    snapshots.put(SHARD, &part(&snapshot(10, b"never whole"), 0, 5)).expect("put");
    snapshots.save(SHARD, &snapshot(20, b""), 0).expect("saved");
    assert_eq!(files(folder.path()), ["7-20", "77-99"]);
    assert_eq!(snapshots.load(77).expect("readable"), Some(other));
    assert_eq!(snapshots.load(SHARD).expect("readable"), Some(snapshot(20, b"")));
}

#[test]
fn the_last_snapshot_is_never_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshots = open(folder.path());
    let good = snapshot(10, b"durable");
    snapshots.save(SHARD, &good, 0).expect("saved");
    let same = snapshot(10, b"same state, other bytes");
    snapshots.put(SHARD, &part(&same, 0, 4)).expect("left alone");
    assert_eq!(snapshots.load(SHARD).expect("readable").as_ref(), Some(&good));
    snapshots.save(SHARD, &same, 4).expect("left alone");
    assert_eq!(snapshots.load(SHARD).expect("readable"), Some(good));
}

#[test]
fn a_snapshot_that_an_older_release_has_put_into_the_vault_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshots = open(folder.path());
    let old = snapshot(10, b"two chunks");
    snapshots.save(SHARD, &old, 0).expect("saved");
    fs::remove_file(snapshots.path(SHARD, 10)).expect("its file");
    for (number, chunk) in old.data.chunks(6).enumerate() {
        snapshots.chunks.put(&chunk_key(SHARD, 10, number as u32), chunk).expect("put");
    }
    assert_eq!(snapshots.load(SHARD).expect("readable"), Some(old));
    snapshots.save(SHARD, &snapshot(11, b"new"), 0).expect("saved");
    assert_eq!(snapshots.load(SHARD).expect("readable"), Some(snapshot(11, b"new")));
}

#[test]
fn a_damaged_file_is_a_clear_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshots = open(folder.path());
    snapshots.save(SHARD, &snapshot(10, b"0123456789"), 0).expect("saved");
    for damaged in [&b"0123456780"[..], b"012345678", b"01234567890", b""] {
        fs::write(snapshots.path(SHARD, 10), damaged).expect("written");
        let error = snapshots.load(SHARD).expect_err("damaged");
        assert!(matches!(error, StoreError::Corrupt { shard: SHARD, .. }), "{error}");
    }
    fs::remove_file(snapshots.path(SHARD, 10)).expect("removed");
    assert!(matches!(snapshots.load(SHARD), Err(StoreError::Corrupt { .. })));
}
