//! A day's load on one disk: what it takes is flat, for whatever is not needed is given back.

use std::path::Path;

use cluster::{
    DiskConfig, DiskStore, Host, HostConfig, Identity, Machine, Outbox, OutboxLimits, RestoreError, Store as _, Tagged,
};
use taken::taken;

mod taken;

const SHARDS: std::ops::Range<u32> = 0..4;
const ENTRY_BYTES: usize = 2_000;
const STATE_BYTES: usize = 300_000;
const RECORD_BYTES: usize = 300;

/// Counts, and has a large state.
#[derive(Default)]
struct Large(u64);

impl Machine for Large {
    type Output = ();

    fn apply(&mut self, _: u64, _: &[u8]) {
        self.0 += 1;
    }

    fn begin_save(&mut self) {}

    fn save_slice(&mut self) -> Option<Vec<u8>> {
        let mut bytes = self.0.to_be_bytes().to_vec();
        bytes.resize(STATE_BYTES, 1);
        Some(bytes)
    }

    fn restore(&mut self, data: &[u8]) -> Result<(), RestoreError> {
        let count = data.first_chunk().ok_or_else(|| RestoreError("short".into()))?;
        *self = Self(u64::from_be_bytes(*count));
        Ok(())
    }
}

struct Node {
    host: Host<Large>,
    store: DiskStore,
    outbox: Outbox,
}

impl Node {
    fn open(folder: &Path) -> Self {
        let outbox = Outbox::open(
            &folder.join("outbox"),
            OutboxLimits { records_per_shard_max: 500, ..OutboxLimits::default() },
        )
        .expect("opened");
        let identity = Identity { cluster: "space".into(), node: 1 };
        let config = DiskConfig { log_file_bytes: 512 << 10, log_bytes_max: 3 << 20 };
        let mut store = DiskStore::open(folder, &identity, config).expect("opened").with_outbox(outbox.clone());
        let config = HostConfig { snapshot_entries: 400, entries_kept: 40, ..HostConfig::new(1) };
        let mut host = Host::new(config);
        for shard in SHARDS {
            let recovered = store.recover(shard).expect("readable").or_bootstrap(&[1]);
            host.add(shard, Large::default(), recovered).expect("restored");
        }
        let mut node = Self { host, store, outbox };
        for _ in 0..100 {
            node.host.tick();
            node.carry_out();
        }
        node
    }

    fn carry_out(&mut self) {
        while self.host.has_work() {
            let drained = self.host.drain();
            for applied in drained.applied {
                let record = Tagged { tag: &applied.index.to_be_bytes(), record: &[7; RECORD_BYTES] };
                self.outbox.put(applied.shard, applied.index, &[record]).expect("put");
            }
            if let Some(batch) = drained.write {
                self.store.write(&batch).expect("written");
                self.host.persisted(batch.done());
            }
        }
    }

    fn work(&mut self, entries: usize) {
        for number in 0..entries {
            // One shard has little to do, and its log must not keep that of the others on the disk.
            let shard = if number % 50 == 0 { SHARDS.start } else { SHARDS.start + 1 + number as u32 % 3 };
            self.host.propose(shard, vec![7; ENTRY_BYTES]).expect("it leads");
            if number % 20 == 19 {
                self.host.tick();
                self.carry_out();
            }
        }
        self.carry_out();
    }
}

#[test]
fn the_disk_use_under_a_days_load_is_flat() {
    const PARTS: [&str; 4] = ["log", "snapshots", "state", "outbox"];
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    let mut node = Node::open(folder.path());
    let (mut hourly, hours, entries) = (Vec::new(), 24, 1_200);
    for hour in 0..hours {
        node.work(entries);
        hourly.push(PARTS.map(|part| taken(&folder.path().join(part))));
        if hour == hours / 2 {
            drop(node);
            node = Node::open(folder.path());
        }
    }
    let written = (hours * entries * ENTRY_BYTES) as u64;
    let highest = |part: usize, hours: &[[u64; 4]]| hours.iter().map(|parts| parts[part]).max().unwrap_or_default();
    let day = |part: usize| (highest(part, &hourly[4..12]), highest(part, &hourly[16..]));
    let (log, snapshots, state, outbox) = (day(0), day(1), day(2), day(3));
    eprintln!("{written} bytes of entries; log {log:?}, snapshots {snapshots:?}, state {state:?}, outbox {outbox:?}");
    // Two closed files more or less, and what is moved together of shards that are idle.
    assert!(log.1 <= log.0 + (2 << 20) && log.1 < 12 << 20, "the log: {hourly:?}");
    assert!(snapshots.1 <= SHARDS.len() as u64 * 2 * STATE_BYTES as u64, "snapshots: {hourly:?}");
    assert!(state.1 < 4 << 20, "the vault: {hourly:?}");
    // sled keeps gaps, and its own thread has no time here to tidy; `tests/outbox.rs` has.
    assert!(outbox.1 <= 2 * outbox.0, "the outbox: {hourly:?}");
    let all: u64 = [log.1, snapshots.1, state.1, outbox.1].iter().sum();
    assert!(all < written / 2, "{written} bytes were written, {all} are kept");
}
