//! A follower that is stopped: it takes connections, as its kernel does for it, and reads nothing. What waits for it in the
//! leader is bounded.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use cluster::PeerMessage;
use cluster::peers::{PeerClient, PeerConfig};

const MESSAGE_BYTES: usize = 1 << 20;
const MESSAGES: usize = 400;
/// The queue of one peer, 64 MiB, and as much again for what is on its way and for the allocator.
const GROWTH_MAX: usize = 128 << 20;
const WITHIN: Duration = Duration::from_secs(30);

/// What this process holds in memory.
fn held() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default() * 4096
}

fn message() -> PeerMessage {
    PeerMessage { shard: 1, raft: vec![7; MESSAGE_BYTES].into(), ..PeerMessage::default() }
}

#[test]
fn what_waits_for_a_follower_that_is_stopped_is_bounded() {
    let stopped = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = stopped.local_addr().expect("an address");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let peers = BTreeMap::from([(2, vec![format!("http://{address}")])]);
    let config = PeerConfig { cluster: "ours".into(), node: 1, peers, seal: 0 };
    let client = PeerClient::start(&config, runtime.handle(), |_| ()).expect("an endpoint");
    let before = held();
    let mut highest = 0;
    for _ in 0..MESSAGES {
        client.send(vec![(2, message())]);
        highest = highest.max(held());
    }
    let began = Instant::now();
    while client.counters().dropped.load(Relaxed) == 0 {
        assert!(began.elapsed() < WITHIN, "nothing was dropped of {MESSAGES} MiB");
        client.send(vec![(2, message())]);
        std::thread::yield_now();
    }
    highest = highest.max(held());
    let (grown, dropped) = (highest - before, client.counters().dropped.load(Relaxed));
    eprintln!("{MESSAGES} messages of 1 MiB, {dropped} dropped, {grown} bytes held");
    assert!(grown < GROWTH_MAX, "{grown} bytes wait for a follower that is stopped");
}
