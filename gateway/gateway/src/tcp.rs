//! SIP over connections (TCP, TLS, WebSocket): the listeners, connections in and out, their limits. One task knows all
//! connections; each has one of its own. Cuts messages, parses nothing else.

pub(crate) mod connection;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use sip::{Flow, Transport};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

use self::connection::{Close, Connection, canonical};
use crate::{
    config::Limits,
    directory::Directory,
    doors::{Doors, Mail},
    telemetry::metrics::Metrics,
    tls::Tls,
};

/// Messages of all lanes that wait for the connections' task.
const OUTGOING_MAX: usize = 8_192;
/// Connections that wait to be let in.
const ARRIVALS_MAX: usize = 64;
/// Ends of connections that wait to be taken note of; more wait in their own tasks.
const CLOSINGS_MAX: usize = 64;
/// Out of files, a listener rests for this long; everybody already here goes on.
const ACCEPT_PAUSE_MS: u64 = 20;

/// A lane's way out. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TcpPort {
    outgoing: mpsc::Sender<Outgoing>,
}

/// What lanes ask.
enum Outgoing {
    Message(Flow, Bytes),
    Name(SocketAddr, String),
}

impl TcpPort {
    /// Takes a message for its connection; false when too many wait.
    pub(crate) fn send(&self, flow: Flow, bytes: Bytes) -> bool {
        self.outgoing.try_send(Outgoing::Message(flow, bytes)).is_ok()
    }

    /// Who is at this address must show a certificate for this name (RFC 5922 7.1) when TLS is spoken to it: to be said before
    /// the first message that is sent there. Without it the certificate must be for the address. False when too many wait.
    pub(crate) fn name(&self, remote: SocketAddr, name: &str) -> bool {
        self.outgoing.try_send(Outgoing::Name(canonical(remote), name.to_owned())).is_ok()
    }
}

/// What every connection needs.
#[derive(Clone)]
pub(crate) struct TcpConfig {
    pub(crate) limits: Limits,
    pub(crate) tls: Option<Tls>,
    pub(crate) ws_origins: Arc<[String]>,
    pub(crate) directory: Directory,
    pub(crate) doors: Doors,
    pub(crate) metrics: Arc<Metrics>,
}

/// A bound socket and what is spoken there.
pub(crate) struct Listener {
    pub(crate) transport: Transport,
    pub(crate) socket: TcpListener,
}

/// Somebody has connected.
struct Arrival {
    transport: Transport,
    remote: SocketAddr,
    stream: TcpStream,
}

/// What a connection's task says at its end.
struct Closed {
    connection: u64,
    why: Close,
}

/// The queue into a connection's task.
struct Known {
    flow: Flow,
    queue: mpsc::Sender<Bytes>,
}

/// All connections.
struct Switch {
    config: TcpConfig,
    known: HashMap<u64, Known>,
    /// The latest connection with each far end, whoever opened it: what goes to an address reuses it.
    by_remote: HashMap<(Transport, SocketAddr), u64>,
    per_address: HashMap<IpAddr, usize>,
    /// For whom a far end's certificate must be.
    names: HashMap<SocketAddr, String>,
    next_connection: u64,
    closed: mpsc::Sender<Closed>,
}

/// Starts the connections' task.
pub(crate) fn serve(listeners: Vec<Listener>, config: TcpConfig) -> TcpPort {
    let (outgoing, messages) = mpsc::channel(OUTGOING_MAX);
    tokio::spawn(run(listeners, config, messages));
    TcpPort { outgoing }
}

async fn run(listeners: Vec<Listener>, config: TcpConfig, mut messages: mpsc::Receiver<Outgoing>) {
    let (closed, mut closings) = mpsc::channel(CLOSINGS_MAX);
    let (arrived, mut arrivals) = mpsc::channel(ARRIVALS_MAX);
    // They end with this task.
    let mut doormen = JoinSet::new();
    for listener in listeners {
        doormen.spawn(accept(listener, arrived.clone()));
    }
    let mut switch = Switch {
        config,
        known: HashMap::new(),
        by_remote: HashMap::new(),
        per_address: HashMap::new(),
        names: HashMap::new(),
        next_connection: 1,
        closed,
    };
    loop {
        tokio::select! {
            Some(arrival) = arrivals.recv() => switch.let_in(arrival),
            message = messages.recv() => match message {
                Some(Outgoing::Message(flow, bytes)) => switch.send(flow, bytes),
                Some(Outgoing::Name(remote, name)) => switch.name(remote, name),
                None => return,
            },
            Some(closed) = closings.recv() => switch.close(closed.connection, closed.why),
        }
    }
}

/// Takes who connects, one listener for ever.
async fn accept(listener: Listener, arrived: mpsc::Sender<Arrival>) {
    let transport = listener.transport;
    loop {
        match listener.socket.accept().await {
            Ok((stream, remote)) => {
                if arrived.send(Arrival { transport, remote: canonical(remote), stream }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, transport = transport.via_name(), "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}

impl Switch {
    fn let_in(&mut self, Arrival { transport, remote, stream }: Arrival) {
        let from_there = self.per_address.get(&remote.ip()).copied().unwrap_or(0);
        if self.known.len() >= self.config.limits.connections_max
            || from_there >= self.config.limits.connections_per_address_max
        {
            self.config.metrics.connections_refused.inc();
            tracing::debug!("a connection over the limit is closed");
            return;
        }
        let connection = self.admit(transport, remote);
        let closed = self.closed.clone();
        tokio::spawn(async move {
            let why = connection.accepted(stream).await;
            let _ = closed.send(Closed { connection: connection.flow.connection, why }).await;
        });
    }

    fn admit(&mut self, transport: Transport, remote: SocketAddr) -> Connection {
        let flow = Flow { transport, remote, connection: self.next_connection };
        self.next_connection += 1;
        let (queue, bytes) = mpsc::channel(self.config.limits.connection_queue_max);
        self.known.insert(flow.connection, Known { flow, queue });
        self.by_remote.insert((transport, remote), flow.connection);
        *self.per_address.entry(remote.ip()).or_insert(0) += 1;
        self.config.metrics.connection(transport, 1);
        Connection::new(flow, self.config.clone(), bytes)
    }

    fn send(&mut self, flow: Flow, bytes: Bytes) {
        let connection = match flow.connection {
            0 => self.by_remote.get(&(flow.transport, flow.remote)).copied().or_else(|| self.connect(flow)),
            connection => Some(connection),
        };
        let Some(connection) = connection else { return self.config.failed(flow) };
        let Some(known) = self.known.get(&connection) else { return self.config.failed(flow) };
        if known.queue.try_send(bytes).is_err() {
            tracing::debug!("a connection that takes nothing is closed");
            self.close(connection, Close::Unwritable);
            self.config.failed(flow);
        }
    }

    /// To far ends that can be connected to: RFC 7118 5.1, a WebSocket is opened by its client only.
    fn connect(&mut self, flow: Flow) -> Option<u64> {
        let possible = match flow.transport {
            Transport::Tcp => true,
            Transport::Tls => self.config.tls.is_some(),
            Transport::Udp | Transport::Ws | Transport::Wss => false,
        };
        if !possible || self.known.len() >= self.config.limits.connections_max {
            return None;
        }
        let name = self.names.get(&flow.remote).cloned();
        let connection = self.admit(flow.transport, flow.remote);
        let (number, closed) = (connection.flow.connection, self.closed.clone());
        tokio::spawn(async move {
            let why = connection.connect(name).await;
            if matches!(why, Close::Unconnected | Close::Handshake) {
                connection.config.failed(Flow { connection: 0, ..flow });
            }
            let _ = closed.send(Closed { connection: number, why }).await;
        });
        Some(number)
    }

    fn name(&mut self, remote: SocketAddr, name: String) {
        if self.names.len() < self.config.limits.tls_names_max || self.names.contains_key(&remote) {
            self.names.insert(remote, name);
        }
    }

    fn close(&mut self, connection: u64, why: Close) {
        let Some(Known { flow, .. }) = self.known.remove(&connection) else { return };
        let place = (flow.transport, flow.remote);
        if self.by_remote.get(&place) == Some(&connection) {
            self.by_remote.remove(&place);
        }
        if let Some(count) = self.per_address.get_mut(&flow.remote.ip()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_address.remove(&flow.remote.ip());
            }
        }
        self.config.metrics.connection(flow.transport, -1);
        self.config.metrics.connection_closed(why);
        self.config.failed(flow);
    }
}

impl TcpConfig {
    /// Any lane may have sent there.
    fn failed(&self, flow: Flow) {
        let lost = self.doors.bring_all(|| Mail::FlowFailed(flow));
        self.metrics.datagrams_dropped.inc_by(lost);
    }
}
