//! A node as threads of this process: real disk, real gRPC over loopback, real time. Also the example of how an actor drives
//! a host, a log writer and a peer client. What is asked of a host is the caller's business.

pub(crate) mod cpu;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cluster::peers::{PeerClient, PeerConfig, PeerEvent, PeerService};
use cluster::{DiskStore, Host, LogHandle, LogWriter, Machine, PeerMessage, Persisted};
use tokio::runtime::Runtime;

const TICK: Duration = Duration::from_millis(20);
/// Inputs that go into a host before it is drained.
const BURST_MAX: usize = 4_096;

/// Where each node is reached, by number.
pub(crate) type Addresses = BTreeMap<u64, SocketAddr>;

/// Something to be done with a host, on its thread.
type Errand<M> = Box<dyn FnOnce(&mut Host<M>) + Send>;

enum Input<M: Machine> {
    Peers(u64, Vec<PeerMessage>),
    Persisted(Persisted),
    Event(PeerEvent),
    DiskFailed(String),
    With(Errand<M>),
    Stop,
}

/// One node: some hosts, each a thread with its shards, over one log thread and one transport.
pub(crate) struct Node<M: Machine> {
    hosts: Vec<Sender<Input<M>>>,
    threads: Vec<JoinHandle<()>>,
    runtime: Runtime,
}

/// Three places on this machine.
pub(crate) fn three_addresses() -> Addresses {
    // All are held until each has its number, so that no two are the same.
    let held = [1, 2, 3].map(|node| (node, TcpListener::bind("127.0.0.1:0").expect("a port")));
    held.iter().map(|(node, listener)| (*node, listener.local_addr().expect("an address"))).collect()
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

impl<M> Node<M>
where
    M: Machine + Send + 'static,
    M::Output: 'static,
{
    /// Starts the node of this number; shards are on its hosts by their number. `applied` hears of every entry.
    pub(crate) fn start(
        number: u64,
        addresses: &Addresses,
        store: DiskStore,
        hosts: Vec<Host<M>>,
        applied: impl Fn(M::Output) + Clone + Send + 'static,
    ) -> Self {
        let runtime = runtime();
        let (inboxes, queues): (Vec<Sender<Input<M>>>, Vec<_>) = hosts.iter().map(|_| channel()).unzip();
        let (told, failed) = (inboxes.clone(), inboxes.clone());
        let writer = LogWriter::start(
            store,
            move |host, done| drop(told[host].send(Input::Persisted(done))),
            move |error| failed.iter().for_each(|inbox| drop(inbox.send(Input::DiskFailed(error.to_string())))),
        );
        let writer = Arc::new(writer.expect("a thread"));

        let service = PeerService::new("threads".into(), number, deliver_to(inboxes.clone()), |_| None);
        let address = addresses[&number];
        runtime.spawn(async move {
            let _ = tonic::transport::Server::builder().add_service(service.into_server()).serve(address).await;
        });
        let peers = addresses.iter().map(|(node, address)| (*node, vec![format!("http://{address}")])).collect();
        let config = PeerConfig { cluster: "threads".into(), node: number, peers, seal: 0 };
        let events = inboxes.clone();
        let client = PeerClient::start(&config, runtime.handle(), move |event| match event {
            PeerEvent::Unreachable(_) => events.iter().for_each(|inbox| drop(inbox.send(Input::Event(event)))),
            PeerEvent::SnapshotDone { shard, .. } => {
                let _ = events[shard as usize % events.len()].send(Input::Event(event));
            }
        });
        let client = Arc::new(client.expect("endpoints"));
        let drive = |(at, (host, queue)): (usize, (Host<M>, Receiver<Input<M>>))| {
            let (client, writer, applied) = (Arc::clone(&client), Arc::clone(&writer), applied.clone());
            let named = thread::Builder::new().name(format!("n{number}-{at}"));
            named.spawn(move || drive(host, at, &queue, &writer.handle(), &client, applied)).expect("a thread")
        };
        let threads = hosts.into_iter().zip(queues).enumerate().map(drive).collect();
        Self { hosts: inboxes, threads, runtime }
    }

    /// Has something done with one of its hosts, some time soon.
    pub(crate) fn tell(&self, host: usize, what: impl FnOnce(&mut Host<M>) + Send + 'static) {
        self.hosts[host].send(Input::With(Box::new(what))).expect("it runs");
    }

    /// Asks each of its hosts.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        what: impl Fn(&mut Host<M>) -> T + Clone + Send + 'static,
    ) -> impl Iterator<Item = T> {
        (0..self.hosts.len()).map(move |host| {
            let ((answer, answered), what) = (channel(), what.clone());
            self.tell(host, move |host| drop(answer.send(what(host))));
            answered.recv().expect("it answers")
        })
    }

    /// As a crash: nothing is handed over, nothing more is said.
    pub(crate) fn kill(self) {
        self.runtime.shutdown_background();
        self.hosts.iter().for_each(|host| host.send(Input::Stop).expect("it runs"));
        self.threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    }
}

fn deliver_to<M: Machine + 'static>(
    hosts: Vec<Sender<Input<M>>>,
) -> impl Fn(u64, Vec<PeerMessage>) + Send + Sync + 'static {
    move |from, messages| {
        let mut parts: Vec<Vec<PeerMessage>> = vec![Vec::new(); hosts.len()];
        for message in messages {
            // Beats are of a whole node, and for all hosts.
            if message.beat.is_some() {
                parts.iter_mut().for_each(|part| part.push(message.clone()));
            } else {
                parts[message.shard as usize % hosts.len()].push(message);
            }
        }
        let parts = hosts.iter().zip(parts).filter(|(_, part)| !part.is_empty());
        parts.for_each(|(inbox, part)| drop(inbox.send(Input::Peers(from, part))));
    }
}

/// The actor: everything queued goes in, then one drain, then everything it says is carried out.
fn drive<M: Machine>(
    mut host: Host<M>,
    number: usize,
    inbox: &Receiver<Input<M>>,
    log: &LogHandle,
    peers: &PeerClient,
    applied: impl Fn(M::Output),
) {
    let mut next_tick = Instant::now() + TICK;
    loop {
        let mut input = match inbox.recv_timeout(next_tick.saturating_duration_since(Instant::now())) {
            Ok(input) => Some(input),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        for _ in 0..BURST_MAX {
            match input.take().or_else(|| inbox.try_recv().ok()) {
                Some(Input::Peers(from, messages)) => messages.iter().for_each(|message| host.step_from(from, message)),
                Some(Input::Persisted(done)) => host.persisted(done),
                Some(Input::Event(PeerEvent::Unreachable(node))) => host.unreachable(node),
                Some(Input::Event(PeerEvent::SnapshotDone { shard, to, ok })) => host.snapshot_done(shard, to, ok),
                Some(Input::With(what)) => what(&mut host),
                Some(Input::DiskFailed(error)) => panic!("{error}"),
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
            log.submit(number, batch).expect("the log runs");
        }
        drained.applied.into_iter().for_each(|entry| applied(entry.output));
    }
}
