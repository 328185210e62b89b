//! Whether each listener of ours still answers: an OPTIONS to oneself over each transport, every few seconds. Counts, and says what is
//! missing; decides nothing.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::{SinkExt as _, StreamExt as _};
use sip::Transport;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{
        Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, header},
    },
};

use crate::tls::provider;

/// A response's first line is here.
const ANSWER: &[u8] = b"SIP/2.0 ";

/// What to ask.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) transport: Transport,
    pub(crate) address: SocketAddr,
    /// It asks for a certificate, which we do not have: TLS being spoken is answer enough.
    pub(crate) asks_certificate: bool,
    /// An `Origin` that is let in.
    pub(crate) origin: Option<String>,
}

/// How often and how patiently.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) every_ms: u64,
    pub(crate) misses_max: u32,
}

/// All targets and how often each has not answered of late.
pub(crate) struct Probe {
    pace: Pace,
    targets: Vec<(Target, AtomicU32)>,
}

impl Probe {
    pub(crate) fn new(pace: Pace, targets: Vec<Target>) -> Arc<Self> {
        let targets = targets.into_iter().map(|target| (target, AtomicU32::new(0))).collect();
        Arc::new(Self { pace, targets })
    }

    /// Listeners that have not answered so often that nobody should be sent here.
    pub(crate) fn missing(&self) -> impl Iterator<Item = String> {
        self.targets
            .iter()
            .filter(|(_, misses)| misses.load(Ordering::Relaxed) >= self.pace.misses_max)
            .map(|(target, _)| format!("SIP over {} does not answer", target.transport.via_name()))
    }

    /// Asks for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let every = Duration::from_millis(self.pace.every_ms);
        let tls = everybody();
        for number in 0u64.. {
            for (target, misses) in &self.targets {
                let answered = matches!(timeout(every, ask(target, &tls, number)).await, Ok(Some(())));
                let missed = if answered { 0 } else { misses.load(Ordering::Relaxed).saturating_add(1) };
                if missed == self.pace.misses_max {
                    tracing::error!(transport = target.transport.via_name(), "a listener of ours does not answer");
                }
                misses.store(missed, Ordering::Relaxed);
            }
            sleep(every).await;
        }
    }
}

/// One question; `None` without an answer.
async fn ask(target: &Target, tls: &Arc<ClientConfig>, number: u64) -> Option<()> {
    let address = reachable(target.address);
    let question = |local: SocketAddr| options(target.transport, local, address, number);
    if target.transport == Transport::Udp {
        let socket = UdpSocket::bind(SocketAddr::new(address.ip(), 0)).await.ok()?;
        socket.connect(address).await.ok()?;
        socket.send(question(socket.local_addr().ok()?).as_bytes()).await.ok()?;
        let mut buffer = [0; 2_048];
        let length = socket.recv(&mut buffer).await.ok()?;
        return buffer[..length].starts_with(ANSWER).then_some(());
    }
    let stream = TcpStream::connect(address).await.ok()?;
    let question = question(stream.local_addr().ok()?);
    match target.transport {
        Transport::Udp | Transport::Tcp => over_stream(stream, &question).await,
        Transport::Tls => {
            let stream = shake(stream, address, tls).await?;
            if target.asks_certificate { Some(()) } else { over_stream(stream, &question).await }
        }
        Transport::Ws => over_frames(stream, target, question).await,
        Transport::Wss => over_frames(shake(stream, address, tls).await?, target, question).await,
    }
}

async fn shake(stream: TcpStream, address: SocketAddr, tls: &Arc<ClientConfig>) -> Option<TlsStream<TcpStream>> {
    let name = ServerName::IpAddress(address.ip().into());
    TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.ok()
}

async fn over_stream(mut stream: impl AsyncRead + AsyncWrite + Unpin, question: &str) -> Option<()> {
    stream.write_all(question.as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    let mut start = [0; ANSWER.len()];
    stream.read_exact(&mut start).await.ok()?;
    (start == ANSWER).then_some(())
}

async fn over_frames(stream: impl AsyncRead + AsyncWrite + Unpin, target: &Target, question: String) -> Option<()> {
    let mut request = format!("ws://{}/", reachable(target.address)).into_client_request().ok()?;
    let headers = request.headers_mut();
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("sip"));
    if let Some(origin) = &target.origin {
        headers.insert(header::ORIGIN, origin.parse().ok()?);
    }
    let (mut socket, _) = client_async(request, stream).await.ok()?;
    socket.send(Message::text(question)).await.ok()?;
    let answer = socket.next().await?.ok()?;
    let answered = answer.into_data().starts_with(ANSWER);
    let _ = socket.close(None).await;
    answered.then_some(())
}

fn options(transport: Transport, local: SocketAddr, address: SocketAddr, number: u64) -> String {
    let via = transport.via_name();
    format!(
        "OPTIONS sip:{address} SIP/2.0\r\nVia: SIP/2.0/{via} {local};branch=z9hG4bKprobe{port}x{number};rport\r\n\
         Max-Forwards: 1\r\nFrom: <sip:probe@{local}>;tag=probe\r\nTo: <sip:{address}>\r\n\
         Call-ID: probe-{port}-{number}-{via}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        port = local.port(),
    )
}

/// Who hears everywhere hears here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Believes anybody: nothing but a question about the weather is said over it, and only to ourselves.
fn everybody() -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has the protocols that we were built with")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Everybody))
        .with_no_client_auth();
    Arc::new(config)
}

#[derive(Debug)]
struct Everybody;

impl ServerCertVerifier for Everybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_that_says_nothing_is_missing_until_it_answers_again() {
        let deaf = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = deaf.local_addr().unwrap();
        let target = Target { transport: Transport::Udp, address, asks_certificate: false, origin: None };
        let probe = Probe::new(Pace { every_ms: 20, misses_max: 3 }, vec![target]);
        assert_eq!(probe.missing().count(), 0);
        let running = tokio::spawn(Arc::clone(&probe).run());
        let until = async |missing: usize| {
            let waited = timeout(Duration::from_secs(10), async {
                while probe.missing().count() != missing {
                    sleep(Duration::from_millis(2)).await;
                }
            });
            waited.await.unwrap();
        };
        until(1).await;
        assert_eq!(probe.missing().next().unwrap(), "SIP over UDP does not answer");
        let answering = tokio::spawn(async move {
            let mut buffer = [0; 2_048];
            loop {
                let (_, from) = deaf.recv_from(&mut buffer).await.unwrap();
                let _ = deaf.send_to(b"SIP/2.0 200 OK\r\n\r\n", from).await;
            }
        });
        until(0).await;
        running.abort();
        answering.abort();
    }
}
