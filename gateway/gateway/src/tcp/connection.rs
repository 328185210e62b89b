//! One connection: hands whole messages to their lanes, writes what is queued. Bounded in time and size.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use sip::{
    Flow, Route, Transport,
    framing::{Framed, Framer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::TcpStream,
    sync::{Mutex, mpsc},
    time::{Instant, sleep_until, timeout},
};

use super::TcpConfig;
use crate::ws;

const READ_BYTES: usize = 8 * 1024;

/// A connection before and while it runs.
pub(crate) struct Connection {
    pub(crate) config: TcpConfig,
    pub(super) flow: Flow,
    pub(crate) queue: Mutex<mpsc::Receiver<Bytes>>,
}

/// Why a connection is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// The far end, or the network, or nobody needs it any more.
    Ended,
    /// Nothing was said for long.
    Idle,
    /// No whole message came in time.
    Slow,
    /// What came cannot be followed, or is too large.
    Unreadable,
    /// The far end does not read.
    Unwritable,
    /// TLS or WebSocket could not be agreed in time, or the far end is not whom it should be.
    Handshake,
    /// The far end could not be connected to.
    Unconnected,
}

impl Connection {
    pub(super) fn new(flow: Flow, config: TcpConfig, queue: mpsc::Receiver<Bytes>) -> Self {
        Self { config, flow, queue: Mutex::new(queue) }
    }

    /// Somebody has connected: the handshakes of the transport, then its messages.
    pub(super) async fn accepted(&self, stream: TcpStream) -> Close {
        let _ = stream.set_nodelay(true);
        match self.flow.transport {
            Transport::Tls | Transport::Wss => {
                let browsers = self.flow.transport == Transport::Wss;
                let Some(tls) = &self.config.tls else { return Close::Handshake };
                let shaking = timeout(self.handshake_max(), tls.accept(stream, browsers));
                match shaking.await {
                    Ok(Ok(stream)) if browsers => ws::run(self, stream).await,
                    Ok(Ok(stream)) => self.run(stream, true).await,
                    Ok(Err(_)) | Err(_) => Close::Handshake,
                }
            }
            Transport::Ws => ws::run(self, stream).await,
            Transport::Tcp | Transport::Udp => self.run(stream, true).await,
        }
    }

    /// We connect; over TLS to somebody who shows a certificate for this name.
    pub(super) async fn connect(&self, name: Option<String>) -> Close {
        let connect_max = Duration::from_millis(self.config.limits.connect_ms_max);
        let Ok(Ok(stream)) = timeout(connect_max, TcpStream::connect(self.flow.remote)).await else {
            return Close::Unconnected;
        };
        let _ = stream.set_nodelay(true);
        if self.flow.transport != Transport::Tls {
            return self.run(stream, false).await;
        }
        let Some(tls) = &self.config.tls else { return Close::Handshake };
        match timeout(self.handshake_max(), tls.connect(stream, self.flow.remote, name.as_deref())).await {
            Ok(Ok(stream)) => self.run(stream, false).await,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS connection could not be made");
                Close::Handshake
            }
            Err(_) => Close::Handshake,
        }
    }

    /// Until either side ends it.
    async fn run(&self, stream: impl AsyncRead + AsyncWrite + Unpin, is_from_there: bool) -> Close {
        let (mut reading, mut writing) = split(stream);
        let mut queue = self.queue.lock().await;
        let limits = &self.config.limits;
        let idle = Duration::from_millis(limits.connection_idle_ms);
        let message_max = Duration::from_millis(limits.message_ms_max);
        let mut framer = Framer::new(self.sip_limits());
        let mut buffer = vec![0; READ_BYTES];
        // Who connects has something to say; who is connected to answers when it is asked.
        let mut is_first = is_from_there;
        let first_until = Instant::now() + Duration::from_millis(limits.first_message_ms_max);
        let mut until = Instant::now() + idle;
        loop {
            tokio::select! {
                read = reading.read(&mut buffer) => {
                    let Ok(length @ 1..) = read else { return Close::Ended };
                    let was_pending = framer.pending() > 0;
                    framer.push(&buffer[..length]);
                    let cut = match self.cut(&mut framer, &mut writing).await {
                        Ok(cut) => cut,
                        Err(close) => return close,
                    };
                    is_first &= cut.messages == 0;
                    // A message that has begun must end: dripping bytes buy no time.
                    until = match framer.pending() {
                        0 => Instant::now() + idle,
                        _ if cut.any() || !was_pending => Instant::now() + message_max,
                        _ => until,
                    };
                }
                bytes = queue.recv() => {
                    let Some(bytes) = bytes else { return Close::Ended };
                    if !self.write(&mut writing, &bytes).await {
                        return Close::Unwritable;
                    }
                    if framer.pending() == 0 {
                        until = Instant::now() + idle;
                    }
                }
                () = sleep_until(first_until), if is_first => return Close::Slow,
                () = sleep_until(until) => return if framer.pending() > 0 { Close::Slow } else { Close::Idle },
            }
        }
    }

    /// Hands on every whole message.
    async fn cut(&self, framer: &mut Framer, writing: &mut (impl AsyncWrite + Unpin)) -> Result<Cut, Close> {
        let mut cut = Cut::default();
        loop {
            match framer.next_frame() {
                Ok(Some(Framed::Message(bytes))) => {
                    cut.messages += 1;
                    self.deliver(bytes).await;
                }
                // RFC 5626 4.4.1: the pong is one CRLF.
                Ok(Some(Framed::Ping)) => {
                    cut.pings += 1;
                    if !self.write(writing, b"\r\n").await {
                        return Err(Close::Unwritable);
                    }
                }
                Ok(None) => return Ok(cut),
                Err(error) => {
                    tracing::debug!(%error, "a connection that cannot be followed is closed");
                    return Err(Close::Unreadable);
                }
            }
        }
    }

    /// To the lane of its call.
    pub(crate) async fn deliver(&self, bytes: Bytes) {
        self.config.doors.deliver(self.lane(&bytes), self.flow, bytes).await;
    }

    fn lane(&self, bytes: &[u8]) -> usize {
        let view = self.config.directory.load();
        match view.as_ref().map(|view| sip::peek(&view.keys, bytes)) {
            Some(Route::Call(call)) => self.config.doors.lane_of(call),
            Some(Route::Nowhere) | None => 0,
        }
    }

    fn sip_limits(&self) -> sip::Limits {
        sip::Limits { message_bytes_max: self.config.limits.message_bytes_max, ..sip::Limits::default() }
    }

    fn handshake_max(&self) -> Duration {
        Duration::from_millis(self.config.limits.handshake_ms_max)
    }

    async fn write(&self, writing: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> bool {
        let written = async {
            writing.write_all(bytes).await?;
            writing.flush().await
        };
        matches!(timeout(Duration::from_millis(self.config.limits.write_ms_max), written).await, Ok(Ok(())))
    }
}

/// What was cut off a stream at once.
#[derive(Default)]
struct Cut {
    messages: usize,
    pings: usize,
}

impl Cut {
    fn any(&self) -> bool {
        self.messages + self.pings > 0
    }
}

/// For logs and stories; nothing that names a person.
impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("number", &self.flow.connection).finish_non_exhaustive()
    }
}

/// An address as everybody writes it.
pub(super) fn canonical(remote: SocketAddr) -> SocketAddr {
    SocketAddr::new(remote.ip().to_canonical(), remote.port())
}
