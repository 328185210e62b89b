//! Three nodes as threads: real disks, real gRPC over loopback, real time. Also the example of how an actor drives a
//! host, a log writer and a peer client.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cluster::peers::{PeerClient, PeerConfig, PeerEvent, PeerService};
use cluster::{
    DiskConfig, DiskStore, GroupStatus, Host, HostConfig, Identity, LogWriter, Machine, PeerMessage, Persisted,
    RestoreError, Store,
};
use tokio::runtime::Runtime;

const SHARD: u32 = 1;
const TICK: Duration = Duration::from_millis(20);

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

enum Input {
    Peers(u64, Vec<PeerMessage>),
    Persisted(Persisted),
    Unreachable(u64),
    SnapshotDone(u32, u64, bool),
    Propose(u64),
    Ask(Sender<View>),
    Fatal(String),
    Stop,
}

#[derive(Debug)]
struct View {
    status: GroupStatus,
    ids: BTreeSet<u64>,
    applied: u64,
}

struct Node {
    inbox: Sender<Input>,
    actor: JoinHandle<()>,
    runtime: Runtime,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// The actor: everything queued goes in, then one drain, then everything it says is carried out.
fn actor(
    mut host: Host<Seen>,
    inbox: &Receiver<Input>,
    log: &cluster::LogHandle,
    peers: &PeerClient,
    done: &Sender<u64>,
) {
    let mut next_tick = Instant::now() + TICK;
    loop {
        let first = inbox.recv_timeout(next_tick.saturating_duration_since(Instant::now()));
        let mut input = match first {
            Ok(input) => Some(input),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        for _ in 0..4_096 {
            match input.take().or_else(|| inbox.try_recv().ok()) {
                Some(Input::Peers(from, messages)) => messages.iter().for_each(|message| host.step_from(from, message)),
                Some(Input::SnapshotDone(shard, to, ok)) => host.snapshot_done(shard, to, ok),
                Some(Input::Persisted(done)) => host.persisted(done),
                Some(Input::Unreachable(node)) => host.unreachable(node),
                Some(Input::Propose(id)) => {
                    let mut data = id.to_be_bytes().to_vec();
                    data.resize(256, 7);
                    let _ = host.propose(SHARD, data);
                }
                Some(Input::Ask(answer)) => {
                    let machine = host.machine(SHARD).expect("a machine");
                    let status = host.status(SHARD).expect("a replica");
                    let _ = answer.send(View { status, ids: machine.ids.clone(), applied: machine.applied });
                }
                Some(Input::Fatal(error)) => panic!("{error}"),
                Some(Input::Stop) => return,
                None => break,
            }
        }
        if Instant::now() >= next_tick {
            host.tick();
            next_tick = Instant::now() + TICK;
        }
        if !host.has_work() {
            continue;
        }
        let drained = host.drain();
        peers.send(drained.messages);
        if let Some(batch) = drained.write {
            log.submit(0, batch).expect("the log runs");
        }
        for entry in drained.applied {
            let _ = done.send(entry.output);
        }
    }
}

fn start(folder: &Path, number: u64, addresses: &BTreeMap<u64, SocketAddr>, done: &Sender<u64>) -> Node {
    let runtime = runtime();
    let identity = Identity { cluster: "loopback".into(), node: number };
    let mut store = DiskStore::open(folder, &identity, DiskConfig::default()).expect("the disk opens");
    let voters: Vec<u64> = addresses.keys().copied().collect();
    let recovered = store.recover(SHARD).expect("it recovers").or_bootstrap(&voters);
    let mut host = Host::new(HostConfig { snapshot_entries: 3_000, entries_kept: 500, ..HostConfig::new(number) });
    host.add(SHARD, Seen::default(), recovered).expect("it restores");

    let (inbox, queue) = channel();
    let (told, failed) = (inbox.clone(), inbox.clone());
    let writer = LogWriter::start(
        store,
        move |_, done| drop(told.send(Input::Persisted(done))),
        move |error| drop(failed.send(Input::Fatal(error.to_string()))),
    )
    .expect("a thread");

    let delivered = inbox.clone();
    let deliver = move |from, messages| drop(delivered.send(Input::Peers(from, messages)));
    let service = PeerService::new("loopback".into(), number, deliver, |_| None);
    let address = addresses[&number];
    runtime.spawn(async move {
        let _ = tonic::transport::Server::builder().add_service(service.into_server()).serve(address).await;
    });
    let peers = addresses.iter().map(|(node, address)| (*node, vec![format!("http://{address}")])).collect();
    let config = PeerConfig { cluster: "loopback".into(), node: number, peers, seal: 0 };
    let away = inbox.clone();
    let client = PeerClient::start(&config, runtime.handle(), move |event| {
        drop(away.send(match event {
            PeerEvent::Unreachable(node) => Input::Unreachable(node),
            PeerEvent::SnapshotDone { shard, to, ok } => Input::SnapshotDone(shard, to, ok),
        }));
    });
    let client = client.expect("endpoints");
    let done = done.clone();
    let actor = thread::spawn(move || actor(host, &queue, &writer.handle(), &client, &done));
    Node { inbox, actor, runtime }
}

impl Node {
    fn view(&self) -> View {
        let (answer, view) = channel();
        self.inbox.send(Input::Ask(answer)).expect("it runs");
        view.recv().expect("it answers")
    }

    /// As a crash: nothing is handed over, nothing more is said.
    fn kill(self) {
        self.runtime.shutdown_background();
        self.inbox.send(Input::Stop).expect("it runs");
        self.actor.join().expect("no panic");
    }
}

fn leader(nodes: &BTreeMap<u64, Node>) -> u64 {
    let began = Instant::now();
    loop {
        for (number, node) in nodes {
            if node.view().status.established {
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
            nodes[&leads].inbox.send(Input::Propose(id)).expect("it runs");
        }
        if open.is_empty() {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{} commands are not committed", open.len());
        let applied = done.recv_timeout(Duration::from_secs(30)).expect("commands are applied");
        open.remove(&applied);
    }
}

fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) * 10_000
}

#[test]
fn ten_thousand_commands_survive_a_dead_leader_and_it_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |node: u64| -> PathBuf { folder.path().join(format!("n{node}")) };
    let addresses: BTreeMap<u64, SocketAddr> = (1..=3)
        .map(|node| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            (node, listener.local_addr().expect("an address"))
        })
        .collect();
    let (done, applied) = channel();
    let begin = |node: u64| (node, start(&path(node), node, &addresses, &done));
    let mut nodes: BTreeMap<u64, Node> = (1..=3).map(begin).collect();

    leader(&nodes);
    for (under_way_max, ids) in [(1, 1..501), (64, 501..5_001), (256, 5_001..10_001)] {
        let (began, cpu, count) = (Instant::now(), cpu_us(), ids.end - ids.start);
        commit(&nodes, under_way_max, ids, &applied);
        let (elapsed, cpu) = (began.elapsed(), (cpu_us() - cpu) / count);
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
        let views: Vec<View> = nodes.values().map(Node::view).collect();
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
