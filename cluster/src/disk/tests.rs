//! Real disks in temporary folders. A crash is a copy of the folder while it is open.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use raft::eraftpb::{ConfState, Entry, Snapshot};

use super::{DiskConfig, DiskStore};
use crate::store::{GroupWrite, Store, StoreError, WriteBatch};
use crate::{Host, HostConfig, Identity, Machine, Membership, RestoreError};

mod quorum;

const SHARD: u32 = 1;

/// Counts and sums, so that a lost or doubled entry shows.
#[derive(Default, Debug, PartialEq, Eq)]
struct Sum {
    count: u64,
    sum: u64,
}

impl Machine for Sum {
    type Output = ();

    fn apply(&mut self, index: u64, data: &[u8]) {
        self.count += 1;
        self.sum = self.sum.wrapping_mul(31).wrapping_add(index ^ data.len() as u64);
    }

    fn begin_save(&mut self) {}

    fn save_slice(&mut self) -> Option<Vec<u8>> {
        // Long enough for several chunks.
        let mut bytes = [self.count.to_be_bytes(), self.sum.to_be_bytes()].concat();
        bytes.resize(100_000, 9);
        Some(bytes)
    }

    fn restore(&mut self, data: &[u8]) -> Result<(), RestoreError> {
        let word = |at: usize| data[at..at + 8].try_into().map(u64::from_be_bytes);
        self.count = word(0).map_err(|_| RestoreError("short".into()))?;
        self.sum = word(8).map_err(|_| RestoreError("short".into()))?;
        Ok(())
    }
}

/// One node: a host and its disk, without threads.
struct Node {
    host: Host<Sum>,
    store: DiskStore,
}

fn identity(node: u64) -> Identity {
    Identity { cluster: "test".into(), node }
}

fn small() -> DiskConfig {
    DiskConfig { log_file_bytes: 256 << 10, log_bytes_max: 1 << 20 }
}

fn open(folder: &Path, node: u64, voters: &[u64]) -> Node {
    let mut store = DiskStore::open(folder, &identity(node), small()).expect("the store opens");
    let config = HostConfig { snapshot_entries: 50, entries_kept: 5, ..HostConfig::new(node) };
    let mut host = Host::new(config);
    let mut recovered = store.recover(SHARD).expect("it recovers");
    if !voters.is_empty() {
        recovered = recovered.or_bootstrap(voters);
    }
    host.add(SHARD, Sum::default(), recovered).expect("the machine restores");
    Node { host, store }
}

type Nodes = BTreeMap<u64, Node>;

/// Drains, writes and delivers until nobody has anything to do.
fn carry_out(nodes: &mut Nodes) {
    loop {
        let mut messages = Vec::new();
        for (number, node) in nodes.iter_mut() {
            while node.host.has_work() {
                let drained = node.host.drain();
                messages.extend(drained.messages.into_iter().map(|(to, message)| (*number, to, message)));
                assert!(drained.failures.is_empty());
                if let Some(batch) = drained.write {
                    node.store.write(&batch).expect("the disk takes it");
                    node.host.persisted(batch.done());
                }
            }
        }
        if messages.is_empty() {
            return;
        }
        for (from, to, message) in messages {
            if let Some(node) = nodes.get_mut(&to) {
                node.host.step_from(from, &message);
            }
        }
    }
}

fn leader(nodes: &mut Nodes) -> u64 {
    for _ in 0..200 {
        carry_out(nodes);
        let established = |node: &Node| node.host.status(SHARD).is_some_and(|status| status.established);
        if let Some((number, _)) = nodes.iter().find(|(_, node)| established(node)) {
            return *number;
        }
        nodes.values_mut().for_each(|node| node.host.tick());
    }
    panic!("nobody leads");
}

fn propose(nodes: &mut Nodes, count: usize, bytes: usize) {
    let leader = leader(nodes);
    for number in 0..count {
        nodes.get_mut(&leader).expect("it is there").host.propose(SHARD, vec![7; bytes]).expect("it is taken");
        if number % 5 == 4 {
            carry_out(nodes);
        }
    }
    carry_out(nodes);
}

/// Lets the followers learn what is committed.
fn settle(nodes: &mut Nodes) {
    for _ in 0..400 {
        nodes.values_mut().for_each(|node| node.host.tick());
        carry_out(nodes);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn what_was_written_is_there_after_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Nodes::from([(1, open(&folder.path().join("a"), 1, &[1]))]);
    for round in 0..3 {
        propose(&mut nodes, 70, 100);
        let image = folder.path().join(format!("crash-{round}"));
        copy(&folder.path().join("a"), &image);
        let mut again = Nodes::from([(1, open(&image, 1, &[1]))]);
        leader(&mut again);
        assert_eq!(again[&1].host.machine(SHARD), nodes[&1].host.machine(SHARD));
        assert_eq!(again[&1].host.machine(SHARD).map(|sum| sum.count), Some((round + 1) * 70));
    }
}

#[test]
fn a_wiped_follower_rejoins_by_snapshot_and_restarts_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |node: u64| folder.path().join(format!("n{node}"));
    let voters = [1, 2, 3];
    let mut nodes: Nodes = voters.iter().map(|node| (*node, open(&path(*node), *node, &voters))).collect();
    propose(&mut nodes, 300, 50);
    let leads = leader(&mut nodes);
    let wiped = voters.into_iter().find(|node| *node != leads).expect("a follower");
    nodes.remove(&wiped);
    fs::remove_dir_all(path(wiped)).expect("wiped");
    propose(&mut nodes, 100, 50);

    nodes.insert(wiped, open(&path(wiped), wiped, &voters));
    settle(&mut nodes);
    assert!(nodes[&wiped].host.counters().snapshots_restored > 0);
    for _ in 0..2 {
        assert_eq!(nodes[&wiped].host.machine(SHARD), nodes[&leads].host.machine(SHARD));
        assert!(nodes[&wiped].host.status(SHARD).is_some_and(|status| status.seeded));
        nodes.remove(&wiped);
        nodes.insert(wiped, open(&path(wiped), wiped, &voters));
        propose(&mut nodes, 7, 50);
        settle(&mut nodes);
    }
    assert_eq!(nodes[&wiped].host.machine(SHARD), nodes[&leads].host.machine(SHARD));
}

#[test]
fn a_crash_between_snapshot_and_log_drops_the_older_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let entries = |from: u64, to: u64| (from..=to).map(|index| Entry { index, term: 2, ..Entry::default() }).collect();
    let group = |write: GroupWrite| WriteBatch { number: 1, groups: vec![GroupWrite { shard: SHARD, ..write }] };
    let mut conf_state = ConfState::default();
    conf_state.set_voters(vec![1, 2, 3]);
    let mut snapshot = Snapshot { data: vec![1; 100].into(), ..Snapshot::default() };
    snapshot.mut_metadata().index = 100;
    snapshot.mut_metadata().term = 3;
    snapshot.mut_metadata().set_conf_state(conf_state.clone());
    let open = || DiskStore::open(folder.path(), &identity(1), small()).expect("it opens");

    let mut store = open();
    let bootstrap = Some(conf_state);
    store.write(&group(GroupWrite { bootstrap, entries: entries(2, 9), ..GroupWrite::default() })).expect("written");
    let received = group(GroupWrite { restored: Some(snapshot), ..GroupWrite::default() });
    store.save_snapshots(&received).expect("the snapshot lands and the power goes");
    drop(store);
    for round in 0..2 {
        let mut store = open();
        let found = store.recover(SHARD).expect("it recovers");
        assert_eq!((found.index, found.term, found.hard_state.term, found.hard_state.commit), (100, 3, 3, 100));
        assert_eq!(found.entries.len(), round * 5);
        let (from, to) = (101, 105);
        store.write(&group(GroupWrite { entries: entries(from, to), ..GroupWrite::default() })).expect("it fits");
    }
}

#[test]
fn a_node_joins_and_takes_the_place_of_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |node: u64| folder.path().join(format!("n{node}"));
    let mut nodes: Nodes = (1..=3).map(|node| (node, open(&path(node), node, &[1, 2, 3]))).collect();
    propose(&mut nodes, 120, 50);
    let leads = leader(&mut nodes);
    nodes.insert(4, open(&path(4), 4, &[]));
    let change = |nodes: &mut Nodes, steps: &[Membership]| {
        let leads = leader(nodes);
        nodes.get_mut(&leads).expect("it is there").host.change_members(SHARD, steps).expect("it is taken");
        settle(nodes);
    };
    change(&mut nodes, &[Membership::Learn(4)]);
    assert_eq!(nodes[&4].host.machine(SHARD), nodes[&leads].host.machine(SHARD));
    assert_eq!(nodes[&4].host.status(SHARD).map(|status| status.learners), Some(vec![4]));

    let gone = (1..=3).find(|node| *node != leads).expect("a follower");
    change(&mut nodes, &[Membership::Vote(4), Membership::Leave(gone)]);
    nodes.remove(&gone);
    let wanted: Vec<u64> = (1..=4).filter(|node| *node != gone).collect();
    for _ in 0..2 {
        propose(&mut nodes, 60, 50);
        settle(&mut nodes);
        for node in nodes.values() {
            let status = node.host.status(SHARD).expect("a replica");
            assert_eq!((status.voters, status.learners), (wanted.clone(), vec![]));
            assert_eq!(node.host.machine(SHARD), nodes[&4].host.machine(SHARD));
        }
        nodes.remove(&4);
        nodes.insert(4, open(&path(4), 4, &[]));
    }
}

#[test]
fn compaction_gives_space_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Nodes::from([(1, open(folder.path(), 1, &[1]))]);
    let mut highest = 0;
    for _ in 0..20 {
        propose(&mut nodes, 100, 10_000);
        highest = highest.max(nodes[&1].store.log_bytes());
    }
    assert!(highest < 6 << 20, "20 MB were written, the log took {highest} bytes");
    drop(nodes);
    let mut nodes = Nodes::from([(1, open(folder.path(), 1, &[1]))]);
    leader(&mut nodes);
    assert_eq!(nodes[&1].host.machine(SHARD).map(|sum| sum.count), Some(2_000));
}

#[test]
fn a_damaged_snapshot_is_a_clear_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Nodes::from([(1, open(folder.path(), 1, &[1]))]);
    propose(&mut nodes, 120, 10);
    drop(nodes);
    let file = fs::read_dir(folder.path().join("snapshots")).expect("a folder").next().expect("a file");
    let path = file.expect("readable").path();
    let mut bytes = fs::read(&path).expect("readable");
    bytes[40_000] ^= 0x40;
    fs::write(&path, bytes).expect("writable");
    let mut store = DiskStore::open(folder.path(), &identity(1), small()).expect("it opens");
    let error = store.recover(SHARD).expect_err("the checksum is wrong");
    assert!(matches!(error, StoreError::Corrupt { shard: SHARD, .. }), "{error}");
    assert!(error.to_string().contains("rejoin"), "{error}");
}

#[test]
fn another_nodes_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(DiskStore::open(folder.path(), &identity(1), small()).expect("an empty folder is taken"));
    let refusal = |identity: &Identity| {
        DiskStore::open(folder.path(), identity, small()).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(refusal(&identity(2)).contains("belongs to node 1, not to node 2"), "{}", refusal(&identity(2)));
    let other = Identity { cluster: "elsewhere".into(), node: 1 };
    assert!(refusal(&other).contains("cluster \"test\""), "{}", refusal(&other));
    assert_eq!(refusal(&identity(1)), "");
}

#[test]
fn a_folder_is_open_in_one_place_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = DiskStore::open(folder.path(), &identity(1), small()).expect("it opens");
    assert!(DiskStore::open(folder.path(), &identity(1), small()).is_err());
}

#[test]
fn a_hole_in_the_log_is_refused_before_the_engine_sees_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = DiskStore::open(folder.path(), &identity(1), small()).expect("it opens");
    let write = |index: u64| {
        let entries = vec![Entry { index, term: 2, ..Entry::default() }];
        WriteBatch { number: 1, groups: vec![GroupWrite { shard: SHARD, entries, ..GroupWrite::default() }] }
    };
    store.write(&write(2)).expect("the first");
    store.write(&write(3)).expect("the next");
    assert!(matches!(store.write(&write(5)), Err(StoreError::Gap { first: 5, .. })));
}

#[test]
fn a_disk_keeps_its_seal_and_counts_its_lives() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = |path: &Path| DiskStore::open(path, &identity(1), small()).expect("it opens").disk();
    let first = open(&folder.path().join("a"));
    assert!(first.seal != 0 && first.life == 1, "{first:?}");
    assert_eq!(open(&folder.path().join("a")), crate::Disk { life: 2, ..first });
    assert_ne!(open(&folder.path().join("b")).seal, first.seal);
}

#[test]
fn facts_are_there_after_a_restart_until_they_are_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || DiskStore::open(folder.path(), &identity(1), small()).expect("it opens");
    let mut store = open();
    assert_eq!((store.recall("members").expect("read"), store.founded().expect("read")), (None, None));
    store.remember("members", b"n1,n2").expect("kept");
    store.remember(crate::FOUNDED, b"abc").expect("kept");
    drop(store);
    let mut store = open();
    assert_eq!(store.recall("members").expect("read"), Some(b"n1,n2".to_vec()));
    assert_eq!(store.founded().expect("read").as_deref(), Some("abc"));
    store.remember("members", b"").expect("forgotten");
    drop(store);
    assert_eq!(open().recall("members").expect("read"), None);
}

#[test]
fn a_destroyed_replica_leaves_nothing_behind_and_others_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a");
    let mut nodes = Nodes::from([(1, open(&path, 1, &[1]))]);
    propose(&mut nodes, 120, 10);
    let store = &mut nodes.get_mut(&1).expect("it is there").store;
    let other = GroupWrite {
        shard: 9,
        entries: vec![Entry { index: 2, term: 2, ..Entry::default() }],
        bootstrap: Some(ConfState { voters: vec![1], ..ConfState::default() }),
        ..GroupWrite::default()
    };
    store.write(&WriteBatch { number: 1, groups: vec![other] }).expect("written");
    assert_eq!(store.replicas().expect("readable"), [SHARD, 9]);
    // The power goes when it is doomed and nothing has gone yet.
    store.doomed.put(&SHARD.to_be_bytes(), &[]).expect("put");
    store.vault.sync().expect("synced");
    let image = folder.path().join("b");
    copy(&path, &image);
    store.destroy(SHARD).expect("destroyed");
    drop(nodes);
    for path in [path, image] {
        // The second time, what is doomed was done with at the first.
        for _ in 0..2 {
            let mut store = DiskStore::open(&path, &identity(1), small()).expect("it opens");
            assert_eq!(store.replicas().expect("readable"), [9]);
            assert!(store.recover(SHARD).expect("readable").is_empty());
            assert!(!store.recover(SHARD).expect("readable").seeded);
            assert_eq!(store.recover(9).expect("readable").entries.len(), 1);
            assert_eq!(fs::read_dir(path.join("snapshots")).expect("a folder").count(), 0);
        }
        // A later replica of that number begins as if there had never been one, also below the old one's log.
        let mut nodes = Nodes::from([(1, open(&path, 1, &[1]))]);
        propose(&mut nodes, 60, 10);
        drop(nodes);
        let mut nodes = Nodes::from([(1, open(&path, 1, &[1]))]);
        leader(&mut nodes);
        assert_eq!(nodes[&1].host.machine(SHARD).map(|sum| sum.count), Some(60));
    }
}

/// Flips one bit at a time in the log: what was acknowledged is there or refused with advice, but for the very last batch,
/// which nobody can tell from one that was torn.
#[test]
fn a_flipped_bit_in_the_log_is_refused_and_not_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("a");
    let mut nodes = Nodes::from([(1, open(&data, 1, &[1]))]);
    // Enough for several files, and for what is moved together when old ones are given back.
    propose(&mut nodes, 300, 6_000);
    drop(nodes);
    let log = |kind: &str| log_files(&data, kind);
    assert!(log("raftlog").len() > 1 && log("rewrite").len() == 1, "{:?} {:?}", log("raftlog"), log("rewrite"));
    let files = [log("raftlog"), log("rewrite")].concat();
    let mut dice = fastrand::Rng::with_seed(3);
    let mut refused = 0;
    for round in 0..40 {
        let image = folder.path().join("b");
        let _ = fs::remove_dir_all(&image);
        copy(&data, &image);
        let file = image.join("log").join(files[round % files.len()].file_name().expect("a name"));
        let mut bytes = fs::read(&file).expect("readable");
        // The last batch is somewhat longer than its 30 KB of entries.
        let is_last = files.iter().rposition(|file| file.extension().is_some_and(|kind| kind == "raftlog"));
        let end = bytes.len() - if is_last == Some(round % files.len()) { 40_000 } else { 0 };
        bytes[dice.usize(..end)] ^= 1 << dice.u32(..8);
        fs::write(&file, bytes).expect("writable");
        let found = DiskStore::open(&image, &identity(1), small()).and_then(|mut store| store.recover(SHARD));
        match found {
            Err(error) => {
                assert!(error.to_string().contains("move this node's data away"), "{error}");
                refused += 1;
            }
            Ok(found) => {
                let mut again = Nodes::from([(1, open(&image, 1, &[1]))]);
                leader(&mut again);
                let count = again[&1].host.machine(SHARD).map(|sum| sum.count);
                assert_eq!(count, Some(300), "{} of {:?}", file.display(), found.entries.last());
            }
        }
    }
    assert!(refused > 20, "{refused} of 40 flips were seen");
}

/// Paths of the log's files of a kind, in order.
fn log_files(data: &Path, kind: &str) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(data.join("log")).expect("a folder").map(|file| file.expect("readable").path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|found| found == kind)).collect();
    files.sort();
    files
}

/// A full disk leaves the next file without a header; found by an hour of real faults, in which a node was refused for good.
#[test]
fn a_file_of_the_log_that_never_began_is_no_damage_then_or_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("a");
    let mut nodes = Nodes::from([(1, open(&data, 1, &[1]))]);
    let mut count = 0;
    for left in [&b""[..], &[0; 4096], b"RAFT-LOG-FILE-HE", &[7; 100]] {
        propose(&mut nodes, 60, 6_000);
        drop(nodes);
        for kind in ["raftlog", "rewrite"] {
            let Some(last) = log_files(&data, kind).pop() else { continue };
            let number: u64 =
                last.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok()).expect("a number");
            fs::write(last.with_file_name(format!("{:016}.{kind}", number + 1)), left).expect("written");
        }
        // Twice: what is done with it at the first start must be right at the second, when it is not the last one any more.
        for _ in 0..2 {
            nodes = Nodes::from([(1, open(&data, 1, &[1]))]);
            leader(&mut nodes);
            propose(&mut nodes, 60, 6_000);
            count += 60;
            drop(std::mem::take(&mut nodes));
        }
        count += 60;
        nodes = Nodes::from([(1, open(&data, 1, &[1]))]);
        leader(&mut nodes);
        assert_eq!(nodes[&1].host.machine(SHARD).map(|sum| sum.count), Some(count));
    }
}

/// Earlier builds of ours let the engine go on in such a file in its oldest format.
#[test]
fn a_log_of_the_oldest_format_is_read_and_its_damage_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("a");
    drop(open(&data, 1, &[1]));
    let log = data.join("log");
    fs::remove_dir_all(&log).expect("removed");
    let engine = raft_engine::Engine::open(raft_engine::Config {
        dir: log.to_str().expect("a name").to_owned(),
        batch_compression_threshold: raft_engine::ReadableSize(0),
        target_file_size: raft_engine::ReadableSize(1 << 12),
        format_version: raft_engine::Version::V1,
        enable_log_recycle: false,
        ..raft_engine::Config::default()
    });
    let engine = engine.expect("opened");
    for number in 0..20_u8 {
        let mut batch = raft_engine::LogBatch::default();
        batch.put(9, vec![number], vec![number; 600]).expect("put");
        engine.write(&mut batch, true).expect("written");
    }
    drop(engine);
    let files = log_files(&data, "raftlog");
    assert!(files.len() > 2, "{files:?}");
    DiskStore::open(&data, &identity(1), small()).expect("it is read");
    for file in [&files[0], files.last().expect("some")] {
        let whole = fs::read(file).expect("readable");
        let mut damaged = whole.clone();
        damaged[100] ^= 4;
        fs::write(file, damaged).expect("written");
        let refused = DiskStore::open(&data, &identity(1), small()).err().expect("refused").to_string();
        assert!(refused.contains("move this node's data away"), "{refused}");
        fs::write(file, whole).expect("written");
    }
    DiskStore::open(&data, &identity(1), small()).expect("it is read again");
}
