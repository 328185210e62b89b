//! What many idle shards cost: three nodes as threads of one process, real disks, real gRPC over loopback; awake first, then
//! asleep, then woken by the death of a node. `cargo run --release -p cluster --example idle -- [SHARDS] [HOSTS] [SECONDS]`.
//! Prints CPU per node in per cent of one core, and at the end one line of JSON.

#![allow(clippy::print_stdout, reason = "it is what this program is for")]

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use cluster::peers::{PeerClient, PeerConfig, PeerEvent, PeerService};
use cluster::{
    DiskConfig, DiskStore, Host, HostConfig, HostCounters, Identity, LogHandle, LogWriter, Machine, PeerMessage,
    Persisted, RestoreError, Store as _,
};
use tokio::runtime::Runtime;

const TICK: Duration = Duration::from_millis(20);
const WITHIN: Duration = Duration::from_secs(60);

/// A machine of nothing.
struct Nothing;

impl Machine for Nothing {
    type Output = ();

    fn apply(&mut self, _: u64, _: &[u8]) {}

    fn begin_save(&mut self) {}

    fn save_slice(&mut self) -> Option<Vec<u8>> {
        Some(vec![1])
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}

enum Input {
    Peers(u64, Vec<PeerMessage>),
    Persisted(Persisted),
    Event(PeerEvent),
    MaySleep(bool),
    Look(Sender<View>),
    Stop,
}

#[derive(Default)]
struct View {
    led: usize,
    asleep: usize,
    counters: HostCounters,
}

/// One node: some hosts, each a thread with its shards, over one log thread and one transport.
struct Node {
    hosts: Vec<Sender<Input>>,
    runtime: Runtime,
}

fn drive(mut host: Host<Nothing>, number: usize, inbox: &Receiver<Input>, log: &LogHandle, peers: &PeerClient) {
    let mut next_tick = Instant::now() + TICK;
    loop {
        let mut input = match inbox.recv_timeout(next_tick.saturating_duration_since(Instant::now())) {
            Ok(input) => Some(input),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        for _ in 0..4_096 {
            match input.take().or_else(|| inbox.try_recv().ok()) {
                Some(Input::Peers(from, messages)) => messages.iter().for_each(|message| host.step_from(from, message)),
                Some(Input::Persisted(done)) => host.persisted(done),
                Some(Input::Event(PeerEvent::Unreachable(node))) => host.unreachable(node),
                Some(Input::Event(PeerEvent::SnapshotDone { shard, to, ok })) => host.snapshot_done(shard, to, ok),
                Some(Input::MaySleep(may)) => host.set_sleep(may),
                Some(Input::Look(answer)) => {
                    let mut view = View { counters: host.counters(), ..View::default() };
                    for status in host.shards().filter_map(|shard| host.status(shard)) {
                        view.led += usize::from(status.established);
                        view.asleep += usize::from(status.asleep);
                    }
                    let _ = answer.send(view);
                }
                Some(Input::Stop) => return,
                None => break,
            }
        }
        if Instant::now() >= next_tick {
            host.tick();
            next_tick = Instant::now() + TICK;
        }
        if host.has_work() {
            let drained = host.drain();
            peers.send(drained.messages);
            if let Some(batch) = drained.write
                && log.submit(number, batch).is_err()
            {
                return;
            }
        }
    }
}

fn start(
    folder: &Path,
    number: u64,
    addresses: &BTreeMap<u64, SocketAddr>,
    shards: u32,
    hosts: u32,
) -> Result<Node, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let identity = Identity { cluster: "idle".into(), node: number };
    let mut store = DiskStore::open(&folder.join(format!("n{number}")), &identity, DiskConfig::default())?;
    let voters: Vec<u64> = addresses.keys().copied().collect();
    let mut made: Vec<Host<Nothing>> =
        (0..hosts).map(|host| Host::new(HostConfig { host, hosts, ..HostConfig::new(number) })).collect();
    for shard in 0..shards {
        let recovered = store.recover(shard)?.or_bootstrap(&voters);
        made[(shard % hosts) as usize].add(shard, Nothing, recovered)?;
    }
    let (inboxes, queues): (Vec<_>, Vec<_>) = (0..hosts).map(|_| channel()).unzip();
    let told: Vec<Sender<Input>> = inboxes.clone();
    let persisted = move |host: usize, done| drop(told[host].send(Input::Persisted(done)));
    let writer = LogWriter::start(store, persisted, |error| panic!("{error}"))?;

    let delivered = inboxes.clone();
    let deliver = move |from, messages: Vec<PeerMessage>| {
        let mut parts: Vec<Vec<PeerMessage>> = vec![Vec::new(); delivered.len()];
        for message in messages {
            if message.beat.is_some() {
                parts.iter_mut().for_each(|part| part.push(message.clone()));
            } else {
                parts[message.shard as usize % delivered.len()].push(message);
            }
        }
        let parts = delivered.iter().zip(parts).filter(|(_, part)| !part.is_empty());
        parts.for_each(|(inbox, part)| drop(inbox.send(Input::Peers(from, part))));
    };
    let service = PeerService::new("idle".into(), number, deliver, |_| None);
    let address = addresses[&number];
    runtime.spawn(async move {
        let _ = tonic::transport::Server::builder().add_service(service.into_server()).serve(address).await;
    });
    let peers = addresses.iter().map(|(node, address)| (*node, vec![format!("http://{address}")])).collect();
    let config = PeerConfig { cluster: "idle".into(), node: number, peers, seal: 0 };
    let events = inboxes.clone();
    let client = PeerClient::start(&config, runtime.handle(), move |event| match event {
        PeerEvent::Unreachable(_) => events.iter().for_each(|inbox| drop(inbox.send(Input::Event(event)))),
        PeerEvent::SnapshotDone { shard, .. } => {
            let _ = events[shard as usize % events.len()].send(Input::Event(event));
        }
    })?;
    let (client, writer) = (Arc::new(client), Arc::new(writer));
    for (at, (host, queue)) in made.into_iter().zip(queues).enumerate() {
        let (client, writer) = (Arc::clone(&client), Arc::clone(&writer));
        thread::Builder::new()
            .name(format!("n{number}-{at}"))
            .spawn(move || drive(host, at, &queue, &writer.handle(), &client))?;
    }
    Ok(Node { hosts: inboxes, runtime })
}

impl Node {
    fn look(&self) -> View {
        let mut sum = View::default();
        for host in &self.hosts {
            let (answer, view) = channel();
            if host.send(Input::Look(answer)).is_ok()
                && let Ok(view) = view.recv()
            {
                sum.led += view.led;
                sum.asleep += view.asleep;
                sum.counters.messages_out += view.counters.messages_out;
                sum.counters.wakes_by_silence += view.counters.wakes_by_silence;
            }
        }
        sum
    }

    fn tell(&self, input: impl Fn() -> Input) {
        self.hosts.iter().for_each(|host| drop(host.send(input())));
    }
}

fn until(what: &str, nodes: &[Node], good: impl Fn(&[View]) -> bool) -> Result<Duration, String> {
    let began = Instant::now();
    loop {
        let views: Vec<View> = nodes.iter().map(Node::look).collect();
        if good(&views) {
            return Ok(began.elapsed());
        }
        if began.elapsed() > WITHIN {
            let seen: Vec<_> = views.iter().map(|view| (view.led, view.asleep)).collect();
            return Err(format!("not within {WITHIN:?}: {what}; led and asleep per node: {seen:?}"));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) * 10
}

/// CPU of one node in per cent of a core, and messages of all per second, over some seconds.
fn measure(nodes: &[Node], seconds: u64) -> (f64, f64) {
    let messages = || nodes.iter().map(|node| node.look().counters.messages_out).sum::<u64>();
    let (cpu, sent, began) = (cpu_ms(), messages(), Instant::now());
    thread::sleep(Duration::from_secs(seconds));
    let elapsed = began.elapsed().as_secs_f64();
    let used = (cpu_ms() - cpu) as f64 / 10.0;
    (used / elapsed / nodes.len() as f64, (messages() - sent) as f64 / elapsed)
}

fn main() -> Result<(), Box<dyn Error>> {
    let number = |at: usize, default: u64| std::env::args().nth(at).map_or(Ok(default), |text| text.parse::<u64>());
    let (shards, hosts, seconds) = (number(1, 256)? as u32, number(2, 2)? as u32, number(3, 10)?);
    let folder = tempfile::tempdir()?;
    let listeners = (1..=3u64).map(|node| Ok((node, TcpListener::bind("127.0.0.1:0")?.local_addr()?)));
    let addresses: BTreeMap<u64, SocketAddr> = listeners.collect::<std::io::Result<_>>()?;
    let started = addresses.keys().map(|node| start(folder.path(), *node, &addresses, shards, hosts));
    let mut nodes = started.collect::<Result<Vec<Node>, _>>()?;

    let all = shards as usize;
    let led = |views: &[View]| views.iter().map(|view| view.led).sum::<usize>();
    let took = until("all shards are led", &nodes, |views| led(views) == all)?;
    println!("{shards} shards on {hosts} hosts of each of three nodes are led after {took:?}");
    let (awake, awake_messages) = measure(&nodes, seconds);
    println!("awake:  {awake:.2} % of a core per node, {awake_messages:.0} messages per second");

    nodes.iter().for_each(|node| node.tell(|| Input::MaySleep(true)));
    let took = until("all replicas sleep", &nodes, |views| views.iter().all(|view| view.asleep == all))?;
    println!("all replicas sleep after {took:?}");
    let (asleep, asleep_messages) = measure(&nodes, seconds);
    println!("asleep: {asleep:.2} % of a core per node, {asleep_messages:.0} messages per second");

    let dead = nodes.remove(0);
    let killed = Instant::now();
    dead.tell(|| Input::Stop);
    dead.runtime.shutdown_background();
    until("the others lead all shards", &nodes, |views| led(views) == all)?;
    let failover = killed.elapsed();
    println!("after the death of a node all shards are led again after {failover:?}");
    println!(
        "{{\"shards\":{shards},\"hosts\":{hosts},\"awake_percent_per_node\":{awake:.2},\"asleep_percent_per_node\":\
         {asleep:.2},\"failover_ms\":{}}}",
        failover.as_millis()
    );
    nodes.iter().for_each(|node| node.tell(|| Input::Stop));
    Ok(())
}
