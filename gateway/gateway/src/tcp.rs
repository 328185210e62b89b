//! SIP over TCP: the listener, connections in and out, their limits. One task knows all connections; each has one of
//! its own. Cuts messages, parses nothing else.

mod connection;

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
    time::timeout,
};

use self::connection::Connection;
use crate::{
    config::Limits,
    directory::Directory,
    doors::{Doors, Mail},
    telemetry::metrics::Metrics,
};

/// Messages of all lanes that wait for the connections' task.
const OUTGOING_MAX: usize = 8_192;

/// A lane's way out. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TcpPort {
    outgoing: mpsc::Sender<(Flow, Bytes)>,
}

impl TcpPort {
    /// Takes a message for its connection; false when too many wait.
    pub(crate) fn send(&self, flow: Flow, bytes: Bytes) -> bool {
        self.outgoing.try_send((flow, bytes)).is_ok()
    }
}

/// What every connection needs.
#[derive(Clone)]
pub(crate) struct TcpConfig {
    pub(crate) limits: Limits,
    pub(crate) directory: Directory,
    pub(crate) doors: Doors,
    pub(crate) metrics: Arc<Metrics>,
}

/// What a connection's task says at its end.
struct Closed {
    connection: u64,
}

/// The queue into a connection's task.
struct Known {
    remote: SocketAddr,
    queue: mpsc::Sender<Bytes>,
}

/// All connections.
struct Switch {
    config: TcpConfig,
    known: HashMap<u64, Known>,
    /// The latest connection with each far end, whoever opened it: what goes to an address reuses it.
    by_remote: HashMap<SocketAddr, u64>,
    per_address: HashMap<IpAddr, usize>,
    next_connection: u64,
    closed: mpsc::UnboundedSender<Closed>,
}

/// Starts the connections' task.
pub(crate) fn serve(listener: TcpListener, config: TcpConfig) -> TcpPort {
    let (outgoing, messages) = mpsc::channel(OUTGOING_MAX);
    tokio::spawn(run(listener, config, messages));
    TcpPort { outgoing }
}

async fn run(listener: TcpListener, config: TcpConfig, mut messages: mpsc::Receiver<(Flow, Bytes)>) {
    let (closed, mut closings) = mpsc::unbounded_channel();
    let mut switch = Switch {
        config,
        known: HashMap::new(),
        by_remote: HashMap::new(),
        per_address: HashMap::new(),
        next_connection: 1,
        closed,
    };
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, remote)) => switch.accept(stream, remote),
                Err(error) => {
                    // Out of files: everybody already here goes first.
                    tracing::warn!(%error, "a TCP connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
            message = messages.recv() => match message {
                Some((flow, bytes)) => switch.send(flow, bytes),
                None => return,
            },
            Some(closed) = closings.recv() => switch.close(closed.connection),
        }
    }
}

impl Switch {
    fn accept(&mut self, stream: TcpStream, remote: SocketAddr) {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let from_there = self.per_address.get(&remote.ip()).copied().unwrap_or(0);
        if self.known.len() >= self.config.limits.connections_max
            || from_there >= self.config.limits.connections_per_address_max
        {
            tracing::debug!("a TCP connection over the limit is closed");
            return;
        }
        let (connection, queue) = self.admit(remote);
        let connection = Connection::new(connection, remote, self.config.clone(), queue);
        let closed = self.closed.clone();
        tokio::spawn(async move {
            connection.run(stream).await;
            let _ = closed.send(Closed { connection: connection.number });
        });
    }

    fn admit(&mut self, remote: SocketAddr) -> (u64, mpsc::Receiver<Bytes>) {
        let connection = self.next_connection;
        self.next_connection += 1;
        let (queue, bytes) = mpsc::channel(self.config.limits.connection_queue_max);
        self.known.insert(connection, Known { remote, queue });
        self.by_remote.insert(remote, connection);
        *self.per_address.entry(remote.ip()).or_insert(0) += 1;
        self.gauge();
        (connection, bytes)
    }

    fn send(&mut self, flow: Flow, bytes: Bytes) {
        let connection = match flow.connection {
            0 => self.by_remote.get(&flow.remote).copied().or_else(|| self.connect(flow.remote)),
            connection => Some(connection),
        };
        let Some(connection) = connection else { return self.failed(flow) };
        let Some(known) = self.known.get(&connection) else { return self.failed(flow) };
        if known.queue.try_send(bytes).is_err() {
            // It does not read what it is sent.
            tracing::debug!("a TCP connection that takes nothing is closed");
            self.close(connection);
            self.failed(flow);
        }
    }

    fn connect(&mut self, remote: SocketAddr) -> Option<u64> {
        if self.known.len() >= self.config.limits.connections_max {
            return None;
        }
        let (number, queue) = self.admit(remote);
        let connection = Connection::new(number, remote, self.config.clone(), queue);
        let closed = self.closed.clone();
        let connect_max = Duration::from_millis(self.config.limits.connect_ms_max);
        tokio::spawn(async move {
            match timeout(connect_max, TcpStream::connect(remote)).await {
                Ok(Ok(stream)) => connection.run(stream).await,
                Ok(Err(_)) | Err(_) => {
                    connection.config.failed(Flow { transport: Transport::Tcp, remote, connection: 0 })
                }
            }
            let _ = closed.send(Closed { connection: connection.number });
        });
        Some(number)
    }

    fn close(&mut self, connection: u64) {
        let Some(known) = self.known.remove(&connection) else { return };
        if self.by_remote.get(&known.remote) == Some(&connection) {
            self.by_remote.remove(&known.remote);
        }
        if let Some(count) = self.per_address.get_mut(&known.remote.ip()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_address.remove(&known.remote.ip());
            }
        }
        self.gauge();
        self.failed(Flow { transport: Transport::Tcp, remote: known.remote, connection });
    }

    fn failed(&self, flow: Flow) {
        self.config.failed(flow);
    }

    fn gauge(&self) {
        self.config.metrics.connections.set(i64::try_from(self.known.len()).unwrap_or(i64::MAX));
    }
}

impl TcpConfig {
    /// Any lane may have sent there.
    fn failed(&self, flow: Flow) {
        self.doors.hand_all(|| Mail::FlowFailed(flow));
    }
}
