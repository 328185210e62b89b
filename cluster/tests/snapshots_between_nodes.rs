//! Snapshots on their own streams: real gRPC over loopback, no Raft. What a host would be told, and what a peer is given.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use cluster::peers::{PeerClient, PeerConfig, PeerEvent, PeerService, SNAPSHOTS_IN_MAX};
use cluster::{PeerMessage, SNAPSHOT_BYTES_MAX};
use proto::v1::peer_server::{Peer, PeerServer};
use proto::v1::{PeerBatch, PeerClosed, SnapshotPiece, SnapshotTaken};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

const WITHIN: Duration = Duration::from_secs(30);
const SHARD: u32 = 3;

type Got = Receiver<(u64, PeerMessage)>;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

async fn listen() -> (TcpListenerStream, SocketAddr) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (TcpListenerStream::new(listener), address)
}

/// Node 2, which hands over what it is sent.
fn receiver(runtime: &Runtime) -> (SocketAddr, Got, impl Fn() -> u64) {
    let (told, got) = channel();
    let deliver = move |from, messages: Vec<PeerMessage>| {
        messages.into_iter().for_each(|message| drop(told.send((from, message))));
    };
    let service = PeerService::new("ours".into(), 2, deliver, |_| Some(7));
    let bytes = service.snapshot_bytes();
    let (incoming, address) = runtime.block_on(listen());
    runtime.spawn(tonic::transport::Server::builder().add_service(service.into_server()).serve_with_incoming(incoming));
    (address, got, bytes)
}

/// Node 1, which sends to node 2.
fn sender(runtime: &Runtime, to: SocketAddr) -> (PeerClient, Receiver<PeerEvent>) {
    let (told, events) = channel();
    let peers = BTreeMap::from([(2, vec![format!("http://{to}")])]);
    let config = PeerConfig { cluster: "ours".into(), node: 1, peers, seal: 7 };
    let client = PeerClient::start(&config, runtime.handle(), events_to(told)).expect("an endpoint");
    (client, events)
}

fn events_to(told: Sender<PeerEvent>) -> impl Fn(PeerEvent) + Send + Sync + 'static {
    move |event| {
        let _ = told.send(event);
    }
}

fn snapshot(shard: u32, bytes: usize) -> PeerMessage {
    let mut data = vec![7; bytes];
    data.iter_mut().step_by(99_991).enumerate().for_each(|(at, byte)| *byte = at as u8);
    PeerMessage { shard, raft: vec![8, 7].into(), snapshot: data.into(), ..PeerMessage::default() }
}

fn small(number: u32) -> PeerMessage {
    PeerMessage { shard: number, raft: vec![1].into(), ..PeerMessage::default() }
}

fn done(events: &Receiver<PeerEvent>) -> PeerEvent {
    loop {
        match events.recv_timeout(WITHIN).expect("word of it") {
            PeerEvent::Unreachable(_) => {}
            event @ PeerEvent::SnapshotDone { .. } => return event,
        }
    }
}

async fn until(what: &str, so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(WITHIN, waiting).await.is_ok(), "{what}");
}

fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + WITHIN;
    while !so() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_large_one_arrives_whole_and_no_message_waits_behind_it() {
    let runtime = runtime();
    let (address, got, bytes) = receiver(&runtime);
    let (client, events) = sender(&runtime, address);
    let large = snapshot(SHARD, 40 << 20);
    client.send(vec![(2, large.clone())]);
    // While it is on its way, and it is known to be.
    let mut number = 100;
    let mut overtook = 0;
    loop {
        client.send(vec![(2, small(number))]);
        let (from, message) = got.recv_timeout(WITHIN).expect("a message");
        assert_eq!(from, 1);
        if message.shard == SHARD {
            assert_eq!(message, large);
            break;
        }
        overtook += u32::from(bytes() > 0);
        number += 1;
    }
    assert!(overtook > 10, "only {overtook} messages overtook it");
    assert_eq!(done(&events), PeerEvent::SnapshotDone { shard: SHARD, to: 2, ok: true });
    assert_eq!(bytes(), 0);
}

#[test]
fn one_that_is_not_wanted_any_more_ends_and_leaves_nothing() {
    let runtime = runtime();
    let (address, got, bytes) = receiver(&runtime);
    let (client, events) = sender(&runtime, address);
    client.send(vec![(2, snapshot(SHARD, 100 << 20))]);
    wait_until("some of it is there", || bytes() > 0);
    client.abort_snapshots(SHARD + 1);
    client.abort_snapshots(SHARD);
    assert_eq!(done(&events), PeerEvent::SnapshotDone { shard: SHARD, to: 2, ok: false });
    wait_until("nothing of it is left", || bytes() == 0);
    client.send(vec![(2, small(9))]);
    assert_eq!(got.recv_timeout(WITHIN).expect("a message").1.shard, 9, "nothing of the snapshot came");
}

#[test]
fn a_later_one_takes_the_place_of_an_earlier_one_of_the_same_shard() {
    let runtime = runtime();
    let (address, got, bytes) = receiver(&runtime);
    let (client, events) = sender(&runtime, address);
    client.send(vec![(2, snapshot(SHARD, 100 << 20))]);
    wait_until("some of it is there", || bytes() > 0);
    client.send(vec![(2, snapshot(SHARD, 1_000))]);
    assert_eq!(done(&events), PeerEvent::SnapshotDone { shard: SHARD, to: 2, ok: true });
    assert_eq!(got.recv_timeout(WITHIN).expect("the later one").1.snapshot.len(), 1_000);
    assert!(events.try_recv().is_err(), "nobody is told of the earlier one");
}

#[test]
fn for_a_node_that_is_away_or_unknown_the_host_is_told() {
    let runtime = runtime();
    let (_, address) = runtime.block_on(async {
        let (listener, address) = listen().await;
        drop(listener);
        ((), address)
    });
    let (client, events) = sender(&runtime, address);
    for to in [2, 5] {
        client.send(vec![(to, snapshot(SHARD, 10))]);
        assert_eq!(done(&events), PeerEvent::SnapshotDone { shard: SHARD, to, ok: false });
    }
}

fn pieces(change: impl Fn(usize, &mut SnapshotPiece)) -> Vec<SnapshotPiece> {
    let data = [1u8; 30];
    let mut pieces: Vec<_> = data
        .chunks(10)
        .enumerate()
        .map(|(at, part)| SnapshotPiece {
            shard: SHARD,
            offset: at as u64 * 10,
            data: part.to_vec().into(),
            ..SnapshotPiece::default()
        })
        .collect();
    let first = &mut pieces[0];
    (first.cluster, first.from, first.to, first.seal, first.bytes_total) = ("ours".into(), 1, 2, 7, 30);
    pieces[2].crc = crc(&data);
    pieces.iter_mut().enumerate().for_each(|(at, piece)| change(at, piece));
    pieces
}

fn crc(data: &[u8]) -> u32 {
    data.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    }) ^ !0
}

#[test]
fn what_does_not_fit_together_is_refused_with_a_reason() {
    let runtime = runtime();
    let (address, got, bytes) = receiver(&runtime);
    type Change = Box<dyn Fn(usize, &mut SnapshotPiece)>;
    let damaged: Vec<(&str, Change)> = vec![
        ("belongs to cluster", Box::new(|at, piece| piece.cluster = if at == 0 { "theirs".into() } else { "".into() })),
        ("this is node n2", Box::new(|_, piece| piece.to = 3)),
        ("another disk", Box::new(|_, piece| piece.seal = 8)),
        ("does not fit", Box::new(|at, piece| piece.offset += u64::from(at == 1))),
        ("does not fit", Box::new(|at, piece| piece.shard += (at == 1) as u32)),
        ("damaged", Box::new(|at, piece| piece.crc ^= u32::from(at == 2))),
        ("ended too early", Box::new(|_, piece| piece.bytes_total += 1)),
        ("are the most", Box::new(|_, piece| piece.bytes_total = SNAPSHOT_BYTES_MAX as u64 + 1)),
        ("are the most", Box::new(|_, piece| piece.bytes_total = 0)),
    ];
    runtime.block_on(async {
        let uri = format!("http://{address}");
        let mut stub = proto::v1::peer_client::PeerClient::connect(uri).await.expect("connected");
        for (words, change) in damaged {
            let refusal = stub.send_snapshot(tokio_stream::iter(pieces(change))).await.expect_err("it is refused");
            assert!(refusal.message().contains(words), "{words}: {refusal}");
        }
        let refusal = stub.send_snapshot(tokio_stream::empty()).await.expect_err("it is refused");
        assert!(refusal.message().contains("without pieces"), "{refusal}");
        stub.send_snapshot(tokio_stream::iter(pieces(|_, _| {}))).await.expect("the true one is taken");
    });
    assert_eq!(got.recv_timeout(WITHIN).expect("the true one").1.snapshot.len(), 30);
    assert!(got.try_recv().is_err(), "nothing else was handed over");
    assert_eq!(bytes(), 0);
}

#[test]
fn no_more_are_taken_at_a_time_than_there_is_room_for() {
    let runtime = runtime();
    let (address, _got, bytes) = receiver(&runtime);
    runtime.block_on(async {
        let uri = format!("http://{address}");
        let stub = proto::v1::peer_client::PeerClient::connect(uri).await.expect("connected");
        let mut open = Vec::new();
        for _ in 0..SNAPSHOTS_IN_MAX {
            let (pieces_in, out) = tokio::sync::mpsc::channel(4);
            pieces_in.send(pieces(|_, _| {}).remove(0)).await.expect("open");
            let mut stub = stub.clone();
            let stream = tokio_stream::wrappers::ReceiverStream::new(out);
            open.push((pieces_in, tokio::spawn(async move { stub.send_snapshot(stream).await })));
        }
        until("all of them have begun", || bytes() >= 30 * SNAPSHOTS_IN_MAX as u64).await;
        let one_more = stub.clone().send_snapshot(tokio_stream::iter(pieces(|_, _| {}))).await;
        assert_eq!(one_more.expect_err("it is refused").code(), tonic::Code::ResourceExhausted);
        open.clear();
        until("nothing of them is left", || bytes() == 0).await;
        stub.clone().send_snapshot(tokio_stream::iter(pieces(|_, _| {}))).await.expect("there is room again");
    });
}

/// A release that takes snapshots as it takes every other message.
struct Earlier(Sender<(u64, PeerMessage)>);

#[tonic::async_trait]
impl Peer for Earlier {
    async fn exchange(&self, request: Request<Streaming<PeerBatch>>) -> Result<Response<PeerClosed>, Status> {
        let mut batches = request.into_inner();
        while let Some(batch) = batches.message().await? {
            batch.messages.into_iter().for_each(|message| drop(self.0.send((batch.from, message))));
        }
        Ok(Response::new(PeerClosed {}))
    }

    async fn send_snapshot(&self, _: Request<Streaming<SnapshotPiece>>) -> Result<Response<SnapshotTaken>, Status> {
        Err(Status::unimplemented("unknown method"))
    }
}

#[test]
fn an_earlier_release_is_sent_it_in_one_message() {
    let runtime = runtime();
    let (told, got) = channel();
    let (incoming, address) = runtime.block_on(listen());
    let service = PeerServer::new(Earlier(told)).max_decoding_message_size(64 << 20);
    runtime.spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    let (client, events) = sender(&runtime, address);
    client.send(vec![(2, snapshot(SHARD, 3 << 20))]);
    assert_eq!(done(&events), PeerEvent::SnapshotDone { shard: SHARD, to: 2, ok: true });
    let (_, message) = got.recv_timeout(WITHIN).expect("the snapshot");
    assert!(message.snapshot.is_empty() && message.raft.len() > 3 << 20, "its data is in the message");
}

#[test]
fn a_peer_is_looked_for_wherever_it_may_be() {
    let runtime = runtime();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let (there, got, _) = receiver(&runtime);
    let (client, _events) = sender(&runtime, nobody);
    client.set_peers(BTreeMap::from([(2, vec![format!("http://{nobody}"), format!("http://{there}")])])).expect("both");
    let deadline = std::time::Instant::now() + WITHIN;
    // What was queued while nobody listened is dropped: raft says it again.
    while got.try_recv().is_err() {
        assert!(std::time::Instant::now() < deadline, "it is at the second place");
        client.send(vec![(2, small(1))]);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn peers_change_while_it_runs() {
    let runtime = runtime();
    let (first, got_first, _) = receiver(&runtime);
    let (second, got_second, _) = receiver(&runtime);
    let (client, _events) = sender(&runtime, first);
    client.send(vec![(2, small(1))]);
    assert_eq!(got_first.recv_timeout(WITHIN).expect("a message").1.shard, 1);
    client.set_peers(BTreeMap::from([(2, vec![format!("http://{second}")])])).expect("an endpoint");
    client.send(vec![(2, small(2))]);
    assert_eq!(got_second.recv_timeout(WITHIN).expect("a message").1.shard, 2);
    client.set_peers(BTreeMap::from([(2, vec!["not a uri \u{7f}".to_owned()])])).expect_err("it is refused");
    client.set_peers(BTreeMap::new()).expect("nobody");
    client.send(vec![(2, small(3))]);
    assert_eq!(client.counters().dropped.load(std::sync::atomic::Ordering::Relaxed), 1);
}
