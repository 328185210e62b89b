//! Stories of one node that takes snapshots of several shards, a slice at a time.

use cluster::{Host, HostConfig, HostCounters, Machine, MemoryStore, RestoreError, Store};

/// Remembers the bytes it was given; saves one of them per slice.
#[derive(Default)]
struct Slow {
    bytes: Vec<u8>,
    saving: Option<(Vec<u8>, usize)>,
}

impl Machine for Slow {
    type Output = ();

    fn apply(&mut self, _: u64, data: &[u8]) {
        self.bytes.extend(data);
    }

    fn begin_save(&mut self) {
        self.saving = Some((self.bytes.clone(), 0));
    }

    fn save_slice(&mut self) -> Option<Vec<u8>> {
        let (bytes, saved) = self.saving.as_mut()?;
        *saved += 1;
        if *saved < bytes.len() { None } else { self.saving.take().map(|(bytes, _)| bytes) }
    }

    fn restore(&mut self, data: &[u8]) -> Result<(), RestoreError> {
        *self = Slow { bytes: data.to_vec(), saving: None };
        Ok(())
    }
}

const SHARDS: [u32; 3] = [1, 2, 3];
/// With the one that a leader begins its term with.
const SNAPSHOT_ENTRIES: u64 = 11;
const ENTRIES: u64 = 10;

/// A node that is its own majority.
fn open(store: &mut MemoryStore) -> Host<Slow> {
    let mut host = Host::new(HostConfig { snapshot_entries: SNAPSHOT_ENTRIES, entries_kept: 0, ..HostConfig::new(1) });
    for shard in SHARDS {
        let recovered = store.recover(shard).expect("readable").or_bootstrap(&[1]);
        host.add(shard, Slow::default(), recovered).expect("restored");
    }
    host
}

/// Drains until nothing is left to do without another tick. No drain does more than one slice.
fn carry_out(host: &mut Host<Slow>, store: &mut MemoryStore) {
    while host.has_work() {
        let before = host.counters().snapshot_slices;
        let drained = host.drain();
        assert!(host.counters().snapshot_slices <= before + 1, "a burst waits for one slice at most");
        if let Some(batch) = drained.write {
            store.write(&batch).expect("written");
            host.persisted(batch.done());
        }
    }
}

fn tick(host: &mut Host<Slow>, store: &mut MemoryStore) -> HostCounters {
    host.tick();
    carry_out(host, store);
    host.counters()
}

fn lead(host: &mut Host<Slow>, store: &mut MemoryStore) {
    for _ in 0..100 {
        tick(host, store);
    }
    assert!(SHARDS.iter().all(|shard| host.status(*shard).is_some_and(|status| status.established)));
}

fn bytes(host: &Host<Slow>, shard: u32) -> Vec<u8> {
    host.machine(shard).expect("a machine").bytes.clone()
}

#[test]
fn shards_that_are_due_together_save_one_after_the_other_and_none_is_forgotten() {
    let mut store = MemoryStore::default();
    let mut host = open(&mut store);
    lead(&mut host, &mut store);
    for number in 0..ENTRIES as u8 {
        for shard in SHARDS {
            host.propose(shard, vec![number]).expect("taken");
        }
        carry_out(&mut host, &mut store);
    }
    assert_eq!(host.counters().snapshots_taken, 0, "none is whole after one slice");
    let saving = |host: &Host<Slow>| {
        SHARDS.into_iter().filter(|shard| host.machine(*shard).is_some_and(|machine| machine.saving.is_some())).count()
    };
    let mut ticks = 0;
    while host.counters().snapshots_taken < SHARDS.len() as u64 {
        assert!(saving(&host) <= 1, "one at a time");
        let before = host.counters().snapshot_slices;
        let after = tick(&mut host, &mut store).snapshot_slices;
        assert!(after <= before + 2, "the end of one, the beginning of the next");
        ticks += 1;
        assert!(ticks < 100, "{} of {} after {ticks} ticks", host.counters().snapshots_taken, SHARDS.len());
    }
    // Leave nothing but the snapshots.
    let wanted: Vec<u8> = (0..ENTRIES as u8).collect();
    let mut again = open(&mut store);
    for shard in SHARDS {
        assert_eq!(bytes(&again, shard), wanted, "shard {shard}");
    }
    carry_out(&mut again, &mut store);
    assert_eq!(again.counters().applied, 0, "the log before the snapshots is gone");
}

#[test]
fn what_is_applied_between_slices_is_not_in_the_snapshot_but_in_the_log_after_it() {
    let mut store = MemoryStore::default();
    let mut host = open(&mut store);
    lead(&mut host, &mut store);
    let mut wanted = Vec::new();
    let mut propose = |host: &mut Host<Slow>, store: &mut MemoryStore| {
        wanted.push(wanted.len() as u8);
        host.propose(1, vec![wanted.len() as u8 - 1]).expect("taken");
        carry_out(host, store);
    };
    for _ in 0..ENTRIES {
        propose(&mut host, &mut store);
    }
    // A power cut in the middle: the log is whole.
    let middle = open(&mut store.clone());
    assert_eq!(bytes(&middle, 1), [], "there is no snapshot yet");
    while host.counters().snapshots_taken == 0 {
        propose(&mut host, &mut store);
        tick(&mut host, &mut store);
    }
    let mut again = open(&mut store);
    let from_snapshot = bytes(&again, 1).len();
    assert!(from_snapshot <= ENTRIES as usize && wanted.len() > ENTRIES as usize + 5, "{from_snapshot}");
    lead(&mut again, &mut store);
    assert_eq!(bytes(&again, 1), wanted);
    assert_eq!(again.counters().applied as usize, wanted.len() - from_snapshot);
}
