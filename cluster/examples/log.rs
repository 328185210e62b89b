//! What the log costs: processor time and appends per second of the store as it is, beside raft-engine alone and beside the
//! least that any log could cost, a file of zeros that is written over and synced. Measures; decides nothing.
//!
//! `cargo run --release -p cluster --example log [SECONDS] [FOLDER]`, on a quiet machine and a real disk.

// What it says to its user is what it is there for.
#![allow(clippy::print_stdout)]

#[path = "../tests/threads/cpu.rs"]
mod cpu;
mod nothing;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use cluster::{DiskConfig, DiskStore, Host, HostConfig, Identity, Store as _};
use nothing::Nothing;
use raft::eraftpb::Entry;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

const ENTRY_BYTES: usize = 256;
const TOGETHER: [usize; 4] = [1, 16, 64, 256];
const ZEROS: u64 = 64 << 20;

struct Entries;

impl MessageExt for Entries {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

/// Does it again and again; prints what one append has cost.
fn measure(what: &str, together: usize, span: Duration, mut flush: impl FnMut(usize)) {
    let (began, used) = (Instant::now(), cpu::used());
    let mut appends = 0;
    while began.elapsed() < span {
        flush(together);
        appends += together as u64;
    }
    let (took, used) = (began.elapsed(), cpu::used() - used);
    let each = used.as_secs_f64() * 1e6 / appends as f64;
    println!(
        "{what:<34} {together:>4} together  {each:>8.2} us CPU each  {:>9.0}/s",
        appends as f64 / took.as_secs_f64()
    );
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let span = Duration::from_secs(arguments.next().and_then(|seconds| seconds.parse().ok()).unwrap_or(3));
    let folder = arguments.next().unwrap_or_else(|| "target/log-example".into());
    let folder = Path::new(&folder);
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).expect("a folder");
    for together in TOGETHER {
        zeros(folder, together, span);
        engine(folder, together, span);
        store(folder, together, span);
    }
    let _ = fs::remove_dir_all(folder);
}

/// The least: bytes over zeros that are on the disk already, and fdatasync.
fn zeros(folder: &Path, together: usize, span: Duration) {
    let file = File::create(folder.join("zeros")).expect("a file");
    file.write_all_at(&vec![0; ZEROS as usize], 0).and_then(|()| file.sync_all()).expect("zeros");
    let bytes = vec![7; ENTRY_BYTES * 256];
    let mut at = 0;
    measure("zeros written over, fdatasync", together, span, |count| {
        let part = &bytes[..ENTRY_BYTES * count];
        at = if at + part.len() as u64 > ZEROS { 0 } else { at };
        std::hint::black_box(crc32fast::hash(part));
        file.write_all_at(part, at).and_then(|()| file.sync_data()).expect("written");
        at += part.len() as u64;
    });
}

/// raft-engine alone, compacted as the store does it.
fn engine(folder: &Path, together: usize, span: Duration) {
    let dir = folder.join(format!("engine-{together}")).to_string_lossy().into_owned();
    let engine = Engine::open(Config {
        dir,
        batch_compression_threshold: ReadableSize(0),
        target_file_size: ReadableSize::mb(16),
        purge_threshold: ReadableSize::mb(96),
        ..Config::default()
    })
    .expect("an engine");
    let (mut index, mut purged, mut batch) = (0, 0, LogBatch::default());
    measure("raft-engine 0.4.2", together, span, |count| {
        let entries: Vec<Entry> = (1..=count as u64)
            .map(|more| Entry { index: index + more, term: 1, data: vec![7; ENTRY_BYTES].into(), ..Entry::default() })
            .collect();
        index += count as u64;
        batch.add_entries::<Entries>(1, &entries).expect("added");
        engine.write(&mut batch, true).expect("written");
        if index - purged > 50_000 {
            purged = index;
            engine.compact_to(1, index.saturating_sub(5_000));
            engine.purge_expired_files().expect("purged");
        }
    });
}

/// The whole of a node's way to its disk, raft included: one voter, proposals that are committed when they are durable.
fn store(folder: &Path, together: usize, span: Duration) {
    let identity = Identity { cluster: "example".into(), node: 1 };
    let path = folder.join(format!("store-{together}"));
    let mut store = DiskStore::open(&path, &identity, DiskConfig::default()).expect("a store");
    let mut host = Host::new(HostConfig::new(1));
    let recovered = store.recover(1).expect("readable").or_bootstrap(&[1]);
    host.add(1, Nothing, recovered).expect("restored");
    let mut carry_out = |host: &mut Host<Nothing>| {
        while host.has_work() {
            if let Some(batch) = host.drain().write {
                store.write(&batch).expect("written");
                host.persisted(batch.done());
            }
        }
    };
    for _ in 0..100 {
        host.tick();
        carry_out(&mut host);
    }
    measure("the store, with raft, of one voter", together, span, |count| {
        for _ in 0..count {
            host.propose(1, vec![7; ENTRY_BYTES]).expect("it leads");
        }
        host.tick();
        carry_out(&mut host);
    });
}
