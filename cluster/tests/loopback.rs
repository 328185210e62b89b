//! Three nodes as threads: real disks, real gRPC over loopback, real time.

mod threads;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use cluster::peers::PeerService;
use cluster::{
    DiskConfig, DiskStore, GroupStatus, Host, HostConfig, Identity, Machine, PeerMessage, RestoreError, Store as _,
};
use threads::{Addresses, cpu, runtime, three_addresses};

const SHARD: u32 = 1;

/// The ids that were applied.
#[derive(Default)]
struct Seen {
    ids: BTreeSet<u64>,
    applied: u64,
}

impl Machine for Seen {
    type Output = u64;

    fn apply(&mut self, _: u64, data: &[u8]) -> u64 {
        let id = u64::from_be_bytes(data[..8].try_into().expect("eight bytes"));
        self.ids.insert(id);
        self.applied += 1;
        id
    }

    fn begin_save(&mut self) {}

    fn save_slice(&mut self) -> Option<Vec<u8>> {
        Some([self.applied].iter().chain(&self.ids).flat_map(|word| word.to_be_bytes()).collect())
    }

    fn restore(&mut self, data: &[u8]) -> Result<(), RestoreError> {
        let mut words = data.chunks_exact(8).map(|word| u64::from_be_bytes(word.try_into().expect("eight bytes")));
        self.applied = words.next().ok_or_else(|| RestoreError("empty".into()))?;
        self.ids = words.collect();
        Ok(())
    }
}

#[derive(Debug)]
struct View {
    status: GroupStatus,
    ids: BTreeSet<u64>,
    applied: u64,
}

type Node = threads::Node<Seen>;

fn start(folder: &Path, number: u64, addresses: &Addresses, done: &Sender<u64>) -> Node {
    let identity = Identity { cluster: "loopback".into(), node: number };
    let mut store = DiskStore::open(folder, &identity, DiskConfig::default()).expect("the disk opens");
    let voters: Vec<u64> = addresses.keys().copied().collect();
    let recovered = store.recover(SHARD).expect("it recovers").or_bootstrap(&voters);
    let mut host = Host::new(HostConfig { snapshot_entries: 3_000, entries_kept: 500, ..HostConfig::new(number) });
    host.add(SHARD, Seen::default(), recovered).expect("it restores");
    let done = done.clone();
    Node::start(number, addresses, store, vec![host], move |id| {
        let _ = done.send(id);
    })
}

fn view(node: &Node) -> View {
    let mut views = node.ask(|host| {
        let machine = host.machine(SHARD).expect("a machine");
        let (ids, applied) = (machine.ids.clone(), machine.applied);
        View { status: host.status(SHARD).expect("a replica"), ids, applied }
    });
    views.next().expect("it has one host")
}

fn propose(node: &Node, id: u64) {
    let mut data = id.to_be_bytes().to_vec();
    data.resize(256, 7);
    node.tell(0, move |host| {
        let _ = host.propose(SHARD, data);
    });
}

fn leader(nodes: &BTreeMap<u64, Node>) -> u64 {
    let began = Instant::now();
    loop {
        for (number, node) in nodes {
            if view(node).status.established {
                return *number;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(10), "nobody leads");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Keeps so many commands under way until all of `ids` are applied somewhere.
fn commit(nodes: &BTreeMap<u64, Node>, under_way_max: usize, ids: std::ops::Range<u64>, done: &Receiver<u64>) {
    let leads = leader(nodes);
    let mut open = BTreeSet::new();
    let mut next = ids;
    let began = Instant::now();
    loop {
        while open.len() < under_way_max
            && let Some(id) = next.next()
        {
            open.insert(id);
            propose(&nodes[&leads], id);
        }
        if open.is_empty() {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{} commands are not committed", open.len());
        let applied = done.recv_timeout(Duration::from_secs(30)).expect("commands are applied");
        open.remove(&applied);
    }
}

#[test]
fn ten_thousand_commands_survive_a_dead_leader_and_it_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |node: u64| -> PathBuf { folder.path().join(format!("n{node}")) };
    let addresses = three_addresses();
    let (done, applied) = channel();
    let begin = |node: u64| (node, start(&path(node), node, &addresses, &done));
    let mut nodes: BTreeMap<u64, Node> = (1..=3).map(begin).collect();

    leader(&nodes);
    for (under_way_max, ids) in [(1, 1..501), (64, 501..5_001), (256, 5_001..10_001)] {
        let (began, cpu, count) = (Instant::now(), cpu::used(), ids.end - ids.start);
        commit(&nodes, under_way_max, ids, &applied);
        let (elapsed, cpu) = (began.elapsed(), (cpu::used() - cpu).as_micros() / u128::from(count));
        eprintln!("{count} commands, {under_way_max} under way: {elapsed:?}, {cpu} CPU-us each over three nodes");
    }

    let first = leader(&nodes);
    let killed = Instant::now();
    nodes.remove(&first).expect("it runs").kill();
    let second = leader(&nodes);
    eprintln!("a new leader after {:?}", killed.elapsed());
    assert_ne!(first, second);
    commit(&nodes, 256, 10_001..15_001, &applied);

    nodes.extend([begin(first)]);
    commit(&nodes, 256, 15_001..15_101, &applied);
    let began = Instant::now();
    let wanted: BTreeSet<u64> = (1..15_101).collect();
    loop {
        let views: Vec<View> = nodes.values().map(view).collect();
        if views.iter().all(|view| view.ids == wanted && view.applied == 15_100) {
            break;
        }
        let status: Vec<_> = views.iter().map(|view| (view.ids.len(), view.applied, &view.status)).collect();
        assert!(began.elapsed() < Duration::from_secs(20), "not all agree: {status:?}");
        thread::sleep(Duration::from_millis(20));
    }
    nodes.into_values().for_each(Node::kill);
}

#[test]
fn a_stranger_is_refused_with_a_reason() {
    let runtime = runtime();
    let service = PeerService::new("ours".into(), 2, |_, _| panic!("nothing is delivered"), |_| Some(7));
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tokio::spawn(
            tonic::transport::Server::builder().add_service(service.into_server()).serve_with_incoming(incoming),
        );
        let mut stub =
            proto::v1::peer_client::PeerClient::connect(format!("http://{address}")).await.expect("connected");
        for (cluster, from, to, seal, word) in [
            ("theirs", 1, 2, 7, "belongs to cluster \"ours\""),
            ("ours", 1, 3, 7, "this is node n2, not n3"),
            ("ours", 2, 2, 7, "another node calls itself n2"),
            ("ours", 1, 2, 8, "n1 has another disk"),
        ] {
            let messages = vec![PeerMessage { shard: 1, raft: vec![1, 2, 3].into(), ..PeerMessage::default() }];
            let batch = proto::v1::PeerBatch { cluster: cluster.into(), from, to, messages, seal };
            let refusal = stub.exchange(tokio_stream::iter([batch])).await.expect_err("it is refused");
            assert!(refusal.message().contains(word), "{refusal}");
        }
    });
}
