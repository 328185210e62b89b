//! One TCP connection: reads whole messages to their lanes, writes what is queued. Bounded in time and size.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use sip::{
    Flow, Route, Transport,
    framing::{Framed, Framer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::{Mutex, mpsc},
    time::{Instant, sleep_until, timeout},
};

use super::TcpConfig;

const READ_BYTES: usize = 8 * 1024;
/// The rest of a message must come within this time.
const MESSAGE_MS_MAX: u64 = 10_000;
/// The far end must take a message within this time.
const WRITE_MS_MAX: u64 = 5_000;

/// A connection before and while it runs.
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) config: TcpConfig,
    flow: Flow,
    queue: Mutex<mpsc::Receiver<Bytes>>,
}

impl Connection {
    pub(super) fn new(number: u64, remote: SocketAddr, config: TcpConfig, queue: mpsc::Receiver<Bytes>) -> Self {
        let flow = Flow { transport: Transport::Tcp, remote, connection: number };
        Self { number, config, flow, queue: Mutex::new(queue) }
    }

    /// Until either side ends it.
    pub(super) async fn run(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let (mut reading, mut writing) = stream.into_split();
        let mut queue = self.queue.lock().await;
        let idle = Duration::from_millis(self.config.limits.connection_idle_ms);
        let message_max = Duration::from_millis(MESSAGE_MS_MAX);
        let mut framer = Framer::new(self.sip_limits());
        let mut buffer = vec![0; READ_BYTES];
        let mut until = Instant::now() + idle;
        loop {
            tokio::select! {
                read = reading.read(&mut buffer) => {
                    let Ok(length @ 1..) = read else { return };
                    let was_pending = framer.pending() > 0;
                    framer.push(&buffer[..length]);
                    let Some(progress) = self.cut(&mut framer, &mut writing).await else { return };
                    // A message that has begun must end: dripping bytes buy no time.
                    until = match framer.pending() {
                        0 => Instant::now() + idle,
                        _ if progress || !was_pending => Instant::now() + message_max,
                        _ => until,
                    };
                }
                bytes = queue.recv() => {
                    let Some(bytes) = bytes else { return };
                    if !write(&mut writing, &bytes).await {
                        return;
                    }
                    if framer.pending() == 0 {
                        until = Instant::now() + idle;
                    }
                }
                () = sleep_until(until) => return,
            }
        }
    }

    /// Hands on every whole message; whether there was one, or `None` when the stream cannot be followed.
    async fn cut(&self, framer: &mut Framer, writing: &mut (impl AsyncWrite + Unpin)) -> Option<bool> {
        let mut progress = false;
        loop {
            match framer.next_frame() {
                Ok(Some(Framed::Message(bytes))) => {
                    progress = true;
                    let lane = self.lane(&bytes);
                    self.config.doors.deliver(lane, self.flow, bytes).await;
                }
                // RFC 5626 4.4.1: the pong is one CRLF.
                Ok(Some(Framed::Ping)) => {
                    progress = true;
                    if !write(writing, b"\r\n").await {
                        return None;
                    }
                }
                Ok(None) => return Some(progress),
                Err(error) => {
                    tracing::debug!(%error, "a TCP connection that cannot be followed is closed");
                    return None;
                }
            }
        }
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
}

async fn write(writing: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> bool {
    matches!(timeout(Duration::from_millis(WRITE_MS_MAX), writing.write_all(bytes)).await, Ok(Ok(())))
}
