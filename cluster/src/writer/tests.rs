//! The log thread with a store that is slow or breaks.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use super::LogWriter;
use crate::store::{Recovered, Store, StoreError, WriteBatch};

/// Waits for permission before each write; breaks when told so.
struct Gate {
    open: std::sync::mpsc::Receiver<bool>,
    sizes: Arc<Mutex<Vec<u64>>>,
}

impl Store for Gate {
    fn recover(&mut self, _: u32) -> Result<Recovered, StoreError> {
        Ok(Recovered::default())
    }

    fn replicas(&mut self) -> Result<Vec<u32>, StoreError> {
        Ok(Vec::new())
    }

    fn destroy(&mut self, shard: u32) -> Result<(), StoreError> {
        self.sizes.lock().expect("no panic").push(1000 + u64::from(shard));
        Ok(())
    }

    fn remember(&mut self, _: &str, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    fn recall(&mut self, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn write(&mut self, batch: &WriteBatch) -> Result<(), StoreError> {
        self.sizes.lock().expect("no panic").push(batch.number);
        match self.open.recv() {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Log("no space left on device".into())),
            Err(_) => panic!("pipe::sync()"),
        }
    }
}

fn batch(number: u64) -> WriteBatch {
    WriteBatch { number, groups: Vec::new() }
}

#[test]
fn what_waits_together_is_flushed_together() {
    let (open, gate) = channel();
    let (told, persisted) = channel();
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let store = Gate { open: gate, sizes: Arc::clone(&sizes) };
    let writer =
        LogWriter::start(store, move |host, done| told.send((host, done)).expect("heard"), |_| ()).expect("a thread");
    writer.submit(0, batch(1)).expect("it runs");
    while sizes.lock().expect("no panic").is_empty() {
        std::thread::yield_now();
    }
    for number in 2..=50 {
        writer.submit(0, batch(number)).expect("it runs");
        writer.submit(1, batch(number)).expect("it runs");
    }
    open.send(true).expect("it waits");
    open.send(true).expect("it waits");
    let told: Vec<_> = (0..3).map(|_| persisted.recv().expect("told")).collect();
    assert_eq!(told, [(0, batch(1).done()), (0, batch(50).done()), (1, batch(50).done())]);
    assert_eq!(sizes.lock().expect("no panic").len(), 2);
}

#[test]
fn a_failed_write_ends_it_with_one_clear_word() {
    for panics in [false, true] {
        let (open, gate) = channel();
        let (said, fatal) = channel();
        let store = Gate { open: gate, sizes: Arc::default() };
        let persisted = |_, _| panic!("nothing is durable");
        let writer = LogWriter::start(store, persisted, move |error| drop(said.send(error.to_string())));
        let writer = writer.expect("a thread");
        writer.submit(0, batch(1)).expect("it runs");
        if panics {
            drop(open);
        } else {
            open.send(false).expect("it waits");
        }
        let word = fatal.recv().expect("it says why");
        assert!(word.contains(if panics { "pipe::sync()" } else { "no space left" }), "{word}");
        while writer.submit(0, batch(2)).is_ok() {
            std::thread::yield_now();
        }
        assert!(fatal.recv().is_err(), "said once");
    }
}

#[test]
fn a_shard_is_destroyed_after_what_was_submitted_before_and_before_what_comes_later() {
    let (open, gate) = channel();
    let (told, heard) = channel();
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let store = Gate { open: gate, sizes: Arc::clone(&sizes) };
    let writer = LogWriter::start(store, |_, _| (), |_| ()).expect("a thread");
    let handle = writer.handle();
    handle.submit(0, batch(1)).expect("it runs");
    handle.submit(0, batch(2)).expect("it runs");
    let destroyed = told.clone();
    handle.destroy(7, move || destroyed.send("destroyed").expect("heard")).expect("it runs");
    handle.submit(0, batch(3)).expect("it runs");
    handle.open(7, move |_| told.send("opened").expect("heard")).expect("it runs");
    (0..3).for_each(|_| open.send(true).expect("it waits"));
    assert_eq!([heard.recv(), heard.recv()], [Ok("destroyed"), Ok("opened")]);
    drop(writer);
    let order = sizes.lock().expect("no panic").clone();
    assert!(order == [1, 2, 1007, 3] || order == [1, 1007, 3], "{order:?}");
}
