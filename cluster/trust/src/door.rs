//! The accepting side: TCP in, connections with a known caller out, for tonic to serve. Handshakes are done beside each
//! other and bounded, so that one who is slow keeps nobody waiting.
//!
//! A connection that does not begin as TLS is let in too, as that of a stranger: health is for everybody, probes of
//! Kubernetes speak no TLS, and who forgot the certificate is told so in words.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::{
    files::{DoorCounters, Loaded, Trust},
    identity::{Identity, Role},
};

/// Handshakes under way; who comes then waits in the kernel.
const HANDSHAKES_MAX: usize = 256;
/// A handshake, the first byte included, is done by then or not at all.
const HANDSHAKE_MAX: Duration = Duration::from_secs(3);
/// Connections without a certificate; one more is closed.
const STRANGERS_MAX: usize = 256;
/// Accepted and not yet taken by the server.
const READY_MAX: usize = 64;
/// After a failure to accept, such as no free descriptor.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// Refusals are told once in so long, with how many there were.
const TELL_EVERY_MS: u64 = 1_000;
/// How a TLS connection begins (RFC 8446 5.1): a handshake record.
const TLS_FIRST_BYTE: u8 = 22;

/// Who is at the other end of a connection. Every request has it among its extensions.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Where from.
    pub address: Option<SocketAddr>,
    /// Whom the certificate names; None for a stranger.
    pub identity: Option<Arc<Identity>>,
    /// Whether certificates are asked for here at all.
    pub asked: bool,
}

impl Caller {
    /// A stranger's is also the role of everybody where nobody is asked.
    #[must_use]
    pub fn role(&self) -> Role {
        self.identity.as_ref().map_or(Role::Stranger, |identity| identity.role)
    }
}

/// Connections for `serve_with_incoming`. Dropping it ends the accepting.
pub type Incoming = ReceiverStream<io::Result<Wire>>;

/// One connection.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    caller: Caller,
    _place: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum Stream {
    Open(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Trust {
    /// Accepts for as long as somebody takes. Must be called within a tokio runtime.
    #[must_use]
    pub fn accept(&self, listener: TcpListener) -> Incoming {
        let (ready, incoming) = mpsc::channel(READY_MAX);
        let door = Door {
            trust: self.clone(),
            ready,
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
            told: Arc::default(),
            counters: self.counters(),
        };
        tokio::spawn(door.run(listener));
        ReceiverStream::new(incoming)
    }
}

#[derive(Clone)]
struct Door {
    trust: Trust,
    ready: mpsc::Sender<io::Result<Wire>>,
    handshakes: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    told: Arc<Told>,
    counters: Arc<DoorCounters>,
}

impl Door {
    async fn run(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.ready.closed() => return,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            // Of a listener of our own, the server sets no option: without this an answer may wait 40 ms for an
            // acknowledgement.
            let _ = stream.set_nodelay(true);
            let Some(loaded) = self.trust.loaded() else {
                let caller = Caller { address: Some(address), identity: None, asked: false };
                if self.ready.send(Ok(Wire { stream: Stream::Open(stream), caller, _place: None })).await.is_err() {
                    return;
                }
                continue;
            };
            if self.handshakes.available_permits() == 0 {
                self.counters.handshakes_limit.fetch_add(1, Relaxed);
            }
            let Ok(place) = Arc::clone(&self.handshakes).acquire_owned().await else { return };
            let door = self.clone();
            tokio::spawn(async move {
                match timeout(HANDSHAKE_MAX, door.greet(stream, address, &loaded)).await {
                    Ok(Ok(wire)) => {
                        drop(place);
                        let _ = door.ready.send(Ok(wire)).await;
                    }
                    Ok(Err(error)) => door.refused(address, &error.to_string()),
                    Err(_) => door.refused(address, "the handshake was not done in time"),
                }
            });
        }
    }

    fn refused(&self, address: SocketAddr, why: &str) {
        self.counters.refused.fetch_add(1, Relaxed);
        self.told.refused(address, why);
    }

    async fn greet(&self, stream: TcpStream, address: SocketAddr, loaded: &Loaded) -> io::Result<Wire> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut caller = Caller { address: Some(address), identity: None, asked: true };
        let stream = if first[0] == TLS_FIRST_BYTE {
            let stream = TlsAcceptor::from(Arc::clone(&loaded.server)).accept(stream).await?;
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            // The verifier has read the same name; without a certificate there is none.
            let identity = shown.map(Identity::of_certificate).transpose().map_err(io::Error::other)?;
            caller.identity = identity.map(Arc::new);
            Stream::Tls(Box::new(stream))
        } else {
            Stream::Open(stream)
        };
        let place = match caller.identity {
            Some(_) => {
                self.counters.known.fetch_add(1, Relaxed);
                None
            }
            None => {
                let place = Arc::clone(&self.strangers).try_acquire_owned().map_err(|_| {
                    self.counters.strangers_limit.fetch_add(1, Relaxed);
                    io::Error::other("too many connections without a certificate")
                })?;
                self.counters.strangers.fetch_add(1, Relaxed);
                Some(place)
            }
        };
        Ok(Wire { stream, caller, _place: place })
    }
}

/// What was said about refusals, so that a flood of them is not one of the log.
#[derive(Debug)]
struct Told {
    start: Instant,
    at_ms: AtomicU64,
    unsaid: AtomicU64,
}

impl Default for Told {
    fn default() -> Self {
        Self { start: Instant::now(), at_ms: AtomicU64::new(0), unsaid: AtomicU64::new(0) }
    }
}

impl Told {
    fn refused(&self, address: SocketAddr, why: &str) {
        // From 1, so that 0 is never.
        let now_ms = 1 + u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        let at_ms = self.at_ms.load(Relaxed);
        let due = at_ms == 0 || now_ms.saturating_sub(at_ms) >= TELL_EVERY_MS;
        if due && self.at_ms.compare_exchange(at_ms, now_ms, Relaxed, Relaxed).is_ok() {
            let others = self.unsaid.swap(0, Relaxed);
            tracing::warn!(from = %address, why, others, "a connection is refused");
        } else {
            self.unsaid.fetch_add(1, Relaxed);
        }
    }
}

impl Connected for Wire {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Open(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Open(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Open(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Open(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Open(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Open(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
