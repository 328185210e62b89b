//! What many idle shards cost: three nodes as threads of one process, real disks, real gRPC over loopback; awake first, then
//! asleep, then woken by the death of a node. `cargo run --release -p cluster --example idle -- [SHARDS] [HOSTS] [SECONDS]`.
//! Prints CPU per node in per cent of one core, and at the end one line of JSON.

#![allow(clippy::print_stdout, reason = "it is what this program is for")]

mod nothing;
#[allow(dead_code, reason = "a part of it is enough here")]
#[path = "../tests/threads/mod.rs"]
mod threads;

use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use cluster::{DiskConfig, DiskStore, Host, HostConfig, Identity, Store as _};
use nothing::Nothing;
use threads::{Addresses, cpu, three_addresses};

const WITHIN: Duration = Duration::from_secs(60);

type Node = threads::Node<Nothing>;

#[derive(Default)]
struct View {
    led: usize,
    asleep: usize,
    messages_out: u64,
}

fn start(folder: &Path, number: u64, addresses: &Addresses, shards: u32, hosts: u32) -> Result<Node, Box<dyn Error>> {
    let identity = Identity { cluster: "idle".into(), node: number };
    let mut store = DiskStore::open(&folder.join(format!("n{number}")), &identity, DiskConfig::default())?;
    let voters: Vec<u64> = addresses.keys().copied().collect();
    let mut made: Vec<Host<Nothing>> =
        (0..hosts).map(|host| Host::new(HostConfig { host, hosts, ..HostConfig::new(number) })).collect();
    for shard in 0..shards {
        let recovered = store.recover(shard)?.or_bootstrap(&voters);
        made[(shard % hosts) as usize].add(shard, Nothing, recovered)?;
    }
    Ok(Node::start(number, addresses, store, made, |()| ()))
}

fn look(node: &Node) -> View {
    let of_host = |host: &mut Host<Nothing>| {
        let mut view = View { messages_out: host.counters().messages_out, ..View::default() };
        for status in host.shards().filter_map(|shard| host.status(shard)) {
            view.led += usize::from(status.established);
            view.asleep += usize::from(status.asleep);
        }
        view
    };
    node.ask(of_host).fold(View::default(), |sum, host| View {
        led: sum.led + host.led,
        asleep: sum.asleep + host.asleep,
        messages_out: sum.messages_out + host.messages_out,
    })
}

fn until(what: &str, nodes: &[Node], good: impl Fn(&[View]) -> bool) -> Result<Duration, String> {
    let began = Instant::now();
    loop {
        let views: Vec<View> = nodes.iter().map(look).collect();
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

/// CPU of one node in per cent of a core, and messages of all per second, over some seconds.
fn measure(nodes: &[Node], seconds: u64) -> (f64, f64) {
    let messages = || nodes.iter().map(|node| look(node).messages_out).sum::<u64>();
    let (cpu, sent, began) = (cpu::used(), messages(), Instant::now());
    thread::sleep(Duration::from_secs(seconds));
    let elapsed = began.elapsed().as_secs_f64();
    let used = (cpu::used() - cpu).as_secs_f64() * 100.0;
    (used / elapsed / nodes.len() as f64, (messages() - sent) as f64 / elapsed)
}

fn main() -> Result<(), Box<dyn Error>> {
    let number = |at: usize, default: u64| std::env::args().nth(at).map_or(Ok(default), |text| text.parse::<u64>());
    let (shards, hosts, seconds) = (number(1, 256)? as u32, number(2, 2)? as u32, number(3, 10)?);
    let folder = tempfile::tempdir()?;
    let addresses = three_addresses();
    let started = addresses.keys().map(|node| start(folder.path(), *node, &addresses, shards, hosts));
    let mut nodes = started.collect::<Result<Vec<Node>, _>>()?;

    let all = shards as usize;
    let led = |views: &[View]| views.iter().map(|view| view.led).sum::<usize>();
    let took = until("all shards are led", &nodes, |views| led(views) == all)?;
    println!("{shards} shards on {hosts} hosts of each of three nodes are led after {took:?}");
    let (awake, awake_messages) = measure(&nodes, seconds);
    println!("awake:  {awake:.2} % of a core per node, {awake_messages:.0} messages per second");

    nodes.iter().for_each(|node| node.ask(|host| host.set_sleep(true)).for_each(drop));
    let took = until("all replicas sleep", &nodes, |views| views.iter().all(|view| view.asleep == all))?;
    println!("all replicas sleep after {took:?}");
    let (asleep, asleep_messages) = measure(&nodes, seconds);
    println!("asleep: {asleep:.2} % of a core per node, {asleep_messages:.0} messages per second");

    let dead = nodes.remove(0);
    let killed = Instant::now();
    dead.kill();
    until("the others lead all shards", &nodes, |views| led(views) == all)?;
    let failover = killed.elapsed();
    println!("after the death of a node all shards are led again after {failover:?}");
    println!(
        "{{\"shards\":{shards},\"hosts\":{hosts},\"awake_percent_per_node\":{awake:.2},\"asleep_percent_per_node\":\
         {asleep:.2},\"failover_ms\":{}}}",
        failover.as_millis()
    );
    nodes.into_iter().for_each(Node::kill);
    Ok(())
}
