//! How SIP travels: TLS, WebSockets, and connections that only cost.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use gateway::{Gateway, GatewayConfig, TlsConfig};
use proto::v1::{Alert, EndCause, Gone, Join, Ring, command::Kind, order::Want};
use sip::Transport;
use sipx_rtp::srtp::{Context, Profile};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        http::{StatusCode, header},
    },
};

use crate::{
    PATIENCE,
    calls::{answered_agent, listen},
    config,
    operation::get,
    peer::{Both, Peer},
    ready_gateway,
    shard::Cluster,
    until,
};

const ANYWHERE: &str = "127.0.0.1:0";
const SHORT_MS: u64 = 1_000;

/// A certificate for loopback that is its own root, in two files.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.renew();
        files
    }

    /// Another certificate in the same files.
    fn renew(&self) {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "desk.example".to_owned()]).unwrap();
        std::fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(self.certificate(), made.cert.pem()).unwrap();
    }

    fn certificate(&self) -> std::path::PathBuf {
        self.folder.path().join("certificate.pem")
    }

    fn key(&self) -> std::path::PathBuf {
        self.folder.path().join("key.pem")
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.certificate()).unwrap()
    }
}

fn roots(of: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(of).unwrap()).unwrap();
    roots
}

/// A gateway with TLS and both kinds of WebSockets.
fn secure(cluster: &Cluster, files: &Files) -> GatewayConfig {
    let mut config = config(cluster);
    config.tls = Some(TlsConfig {
        listen: ANYWHERE.parse().unwrap(),
        certificate: files.certificate(),
        key: files.key(),
        client_ca: None,
        roots: Some(files.certificate()),
    });
    config.ws.listen = Some(ANYWHERE.parse().unwrap());
    config.ws.listen_tls = Some(ANYWHERE.parse().unwrap());
    config.limits.certificate_poll_ms = 20;
    config
}

async fn shake(address: SocketAddr, files: &Files, own: bool) -> std::io::Result<TlsStream<TcpStream>> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(&files.certificate()));
    let config = match own {
        true => {
            config.with_client_auth_cert(vec![files.der()], PrivateKeyDer::from_pem_file(files.key()).unwrap()).unwrap()
        }
        false => config.with_no_client_auth(),
    };
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::IpAddress(address.ip().into()), stream).await
}

async fn tls_peer(gateway: &Gateway, files: &Files) -> Peer {
    let address = gateway.transport(Transport::Tls).unwrap();
    let stream = shake(address, files, false).await.unwrap();
    let mine = stream.get_ref().0.local_addr().unwrap();
    Peer::stream("TLS", stream, mine, address).await
}

async fn open(
    stream: Box<dyn Both>,
    protocol: Option<&str>,
    origin: Option<&str>,
) -> Result<WebSocketStream<Box<dyn Both>>, Error> {
    let mut request = "ws://desk.example/".into_client_request().unwrap();
    if let Some(protocol) = protocol {
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol.parse().unwrap());
    }
    if let Some(origin) = origin {
        request.headers_mut().insert(header::ORIGIN, origin.parse().unwrap());
    }
    client_async(request, stream).await.map(|(socket, _)| socket)
}

async fn plain(address: SocketAddr) -> Box<dyn Both> {
    Box::new(TcpStream::connect(address).await.unwrap())
}

/// The same with keys, as base64 of thirty octets of 2.
const THEIR_KEY: [u8; 30] = [2; 30];
fn secured(invite: &str) -> String {
    let crypto = "a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC\r\n";
    let (head, body) = invite.split_once("\r\n\r\n").unwrap();
    let body = body.replace("RTP/AVP", "RTP/SAVP") + crypto;
    let head: Vec<&str> = head.lines().filter(|line| !line.starts_with("Content-Length")).collect();
    format!("{}\r\nContent-Length: {}\r\n\r\n{body}", head.join("\r\n"), body.len())
}

fn context(key: &[u8]) -> Context {
    Context::new(Profile::AesCm128HmacSha1_80, &key[..16], &key[16..]).unwrap()
}

/// The key in the one crypto line of an SDP with this tag.
fn key_in(message: &str, tag: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let start = format!("a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:");
    let key = message.lines().find_map(|line| line.strip_prefix(&start)).expect("a crypto line");
    let six = |char: char| ALPHABET.find(char).unwrap() as u32;
    let chars: Vec<u32> = key.trim().chars().map(six).collect();
    let three = |four: &[u32]| (four.iter().fold(0, |bits, six| bits << 6 | six)).to_be_bytes()[1..].to_vec();
    chars.chunks(4).flat_map(three).collect()
}

fn rtp(sequence: u16, fill: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 9]);
    packet.extend_from_slice(&[fill; 160]);
    packet
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_over_tls_is_protected_and_its_agent_hears_it_in_the_open() {
    let (cluster, files) = (Cluster::start(1).await, Files::new());
    let gateway = ready_gateway(secure(&cluster, &files)).await;
    let mut caller = tls_peer(&gateway, &files).await;
    caller.send(&secured(&caller.invite("tls", "5000"))).await;
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, listen());
    let ok = caller.expect("SIP/2.0 200").await;
    assert!(ok.0.contains(" RTP/SAVP 8 101\r\n"), "{}", ok.0);
    let port = gateway.transport(Transport::Tls).unwrap().port();
    assert!(ok.contact().ends_with(&format!(":{port};transport=tls")), "{}", ok.contact());
    caller.send(&caller.within("ACK", 1, "tls", &ok)).await;
    // The music is protected by the gateway's key.
    let mut hearing = context(&key_in(&ok.0, "4"));
    let mut buffer = [0; 2_048];
    let (length, _) = timeout(PATIENCE, caller.rtp.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(hearing.unprotect(&buffer[..length]).expect("authentic").len(), 12 + 160);
    // An agent without any keys hears the caller.
    let agent = answered_agent(&cluster, gateway.sip(), offer.call).await;
    cluster.order(offer.call, 1, Want::Join(Join { leg: 2 }));
    cluster.order(offer.call, 2, Want::Join(Join { leg: 1 }));
    let mut sending = context(&THEIR_KEY);
    let words = rtp(1, 0x33)[12..].to_vec();
    let heard = async {
        for sequence in 1u16.. {
            let packet = sending.protect(&rtp(sequence, 0x33)).unwrap();
            caller.rtp.send_to(&packet, ("127.0.0.1", ok.audio_port())).await.unwrap();
            let received = timeout(Duration::from_millis(20), agent.rtp.recv_from(&mut buffer)).await;
            if let Ok(Ok((length, _))) = received
                && buffer[12..length] == words[..]
            {
                return;
            }
        }
    };
    timeout(PATIENCE, heard).await.expect("the agent hears the caller");
    caller.send(&caller.within("BYE", 2, "tls", &ok)).await;
    caller.expect("SIP/2.0 200").await;
    assert_eq!(cluster.ended(offer.call, 1).await.cause(), EndCause::Hangup);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_over_a_secure_websocket_is_answered_and_hung_up_over_the_same() {
    let (cluster, files) = (Cluster::start(1).await, Files::new());
    let gateway = ready_gateway(secure(&cluster, &files)).await;
    let address = gateway.transport(Transport::Wss).unwrap();
    let stream = shake(address, &files, false).await.unwrap();
    let mine = stream.get_ref().0.local_addr().unwrap();
    let socket = open(Box::new(stream), Some("sip"), Some("https://any.example")).await.unwrap();
    let mut caller = Peer::frames("WSS", socket, mine, address).await;
    // RFC 7118: a browser knows no address of its own, and a frame needs no Content-Length.
    let invite = caller.invite("wss", "5000").replace(&format!("WSS {mine}"), "WSS df7jal23ls0d.invalid");
    let invite = invite.replace(&format!("sip:ann@{mine};transport=wss"), "sip:ann@df7jal23ls0d.invalid;transport=ws");
    let head_and_body = invite.split("\r\n").filter(|line| !line.starts_with("Content-Length")).collect::<Vec<_>>();
    caller.send(&head_and_body.join("\r\n")).await;
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, Want::Alert(Alert {}));
    caller.expect("SIP/2.0 180").await;
    cluster.order(offer.call, 1, listen());
    let ok = caller.expect("SIP/2.0 200").await;
    caller.send(&caller.within("ACK", 1, "wss", &ok)).await;
    cluster.wait("the passport", |kind| matches!(kind, Kind::ConfirmLeg(c) if c.leg == 1).then_some(())).await;
    cluster.order(offer.call, 1, Want::Gone(Gone::default()));
    let bye = caller.expect("BYE sip:ann@df7jal23ls0d.invalid").await;
    assert!(bye.header("Via").starts_with("SIP/2.0/WSS "), "{}", bye.0);
    caller.send(&bye.response("200 OK", "", "")).await;
    cluster.ended(offer.call, 1).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_shown_without_a_restart_and_a_broken_one_changes_nothing() {
    let (cluster, files) = (Cluster::start(1).await, Files::new());
    let gateway = ready_gateway(secure(&cluster, &files)).await;
    let address = gateway.transport(Transport::Tls).unwrap();
    let standing = shake(address, &files, false).await.unwrap();
    let shown = |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let first = shown(&standing);
    // A key that is not the certificate's.
    let other = Files::new();
    std::fs::copy(other.key(), files.key()).unwrap();
    counted(&gateway, "cordboard_gateway_certificate_failures_total", 1).await;
    assert_eq!(shown(&shake(address, &files, false).await.unwrap()), first);
    files.renew();
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "the new certificate is never shown");
        if let Ok(stream) = shake(address, &files, false).await {
            assert_eq!(shown(&stream), files.der());
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    // Who is connected already stays.
    let mine = standing.get_ref().0.local_addr().unwrap();
    let mut peer = Peer::stream("TLS", standing, mine, address).await;
    peer.send(&peer.invite("standing", "5000")).await;
    peer.expect("SIP/2.0 100").await;
    assert!(gateway.is_ready());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_must_show_a_certificate_and_has_none_is_not_heard() {
    let (cluster, files) = (Cluster::start(1).await, Files::new());
    let mut config = secure(&cluster, &files);
    config.limits.probe_ms = 50;
    let rounds = u64::from(config.limits.probe_misses_max) + 2;
    if let Some(tls) = &mut config.tls {
        tls.client_ca = Some(files.certificate());
    }
    let gateway = ready_gateway(config).await;
    let address = gateway.transport(Transport::Tls).unwrap();
    // TLS 1.3 tells a client of its refusal only after the client has done its part.
    if let Ok(mut stream) = shake(address, &files, false).await {
        let mut byte = [0];
        let read = timeout(PATIENCE, stream.read(&mut byte)).await.unwrap();
        assert!(!matches!(read, Ok(1)));
    }
    let stream = shake(address, &files, true).await.unwrap();
    let mine = stream.get_ref().0.local_addr().unwrap();
    let mut peer = Peer::stream("TLS", stream, mine, address).await;
    peer.send(&peer.invite("known", "5000")).await;
    peer.expect("SIP/2.0 100").await;
    // The probe has no certificate and is content all the same, after more rounds than it may miss. Each asks UDP and TCP.
    counted(&gateway, "cordboard_gateway_sip_in_total{kind=\"OPTIONS\"}", rounds * 2).await;
    assert!(gateway.is_ready());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_is_rung_over_tls_when_it_is_whom_it_says() {
    let (cluster, files) = (Cluster::start(1).await, Files::new());
    let gateway = ready_gateway(secure(&cluster, &files)).await;
    let listener = TcpListener::bind(ANYWHERE).await.unwrap();
    let address = listener.local_addr().unwrap();
    let answering = |files: &Files| {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![files.der()], PrivateKeyDer::from_pem_file(files.key()).unwrap())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    };
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("out", "5000")).await;
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, Want::Alert(Alert {}));
    let ring = |leg| {
        let contact = format!("sip:agent@{address};transport=tls");
        cluster.order(offer.call, leg, Want::Ring(Ring { contact, ..Ring::default() }));
    };
    ring(2);
    let (stream, from) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let stream = answering(&files).accept(stream).await.unwrap();
    let mut phone = Peer::stream("TLS", stream, address, from).await;
    let invite = phone.expect("INVITE").await;
    assert!(invite.header("Via").starts_with("SIP/2.0/TLS "));
    assert!(invite.0.contains(" RTP/SAVP 0 8 101\r\n"), "{}", invite.0);
    assert_eq!(key_in(&invite.0, "1").len(), 30);
    drop(phone);
    cluster.ended(offer.call, 2).await;
    // Somebody else answers at that address.
    ring(3);
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    assert!(answering(&Files::new()).accept(stream).await.is_err());
    assert_eq!(cluster.ended(offer.call, 3).await.cause(), EndCause::Unreachable);
    gateway.stop().await;
}

/// Until a counter of the gateway is at least so high.
async fn counted(gateway: &Gateway, name: &str, least: u64) {
    let began = Instant::now();
    loop {
        let metrics = get(gateway.http().unwrap(), "/metrics").await;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        if value >= Some(least) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{name} is {value:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Says the same again and again until the gateway has closed it.
async fn dripping(gateway: SocketAddr, drop: &str) {
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    let all = async {
        while stream.write_all(drop.as_bytes()).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, all).await.expect("the gateway closes it");
}

/// Waits until the gateway has closed it.
async fn closed(mut stream: impl Both) {
    let mut buffer = [0; 4_096];
    let all = async { while !matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)) {} };
    timeout(PATIENCE, all).await.expect("the gateway closes it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_whose_connection_is_closed_is_registered_no_longer() {
    let cluster = Cluster::start(1).await;
    crate::operation::enrol(&cluster, "agent7");
    let gateway = crate::gateway(&cluster).await;
    let mut phone = Peer::tcp(gateway.sip()).await;
    crate::operation::register_with(&mut phone, "agent7", "right", "").await;
    phone.expect("SIP/2.0 200").await;
    let bindings = |kind: &Kind| match kind {
        Kind::RegisterContact(bound) => Some((bound.contact.clone(), bound.expires_seconds, bound.flow)),
        _ => None,
    };
    let (contact, seconds, flow) = cluster.wait("the binding", bindings).await;
    assert_eq!((seconds, flow), (300, true));
    drop(phone);
    let gone = |kind: &Kind| bindings(kind).filter(|(_, seconds, _)| *seconds == 0);
    assert_eq!(cluster.wait("the end of the binding", gone).await.0, contact);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_all_end_at_once_are_all_taken_note_of() {
    let cluster = Cluster::start(1).await;
    let gateway = crate::gateway(&cluster).await;
    let open = async |enough: &dyn Fn(usize) -> bool| {
        let began = Instant::now();
        loop {
            let metrics = get(gateway.http().unwrap(), "/metrics").await;
            let gauge = "cordboard_gateway_sip_connections{transport=\"tcp\"} ";
            let open = metrics.lines().find_map(|line| line.strip_prefix(gauge)?.parse().ok());
            if open.is_some_and(enough) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{open:?} are open");
            sleep(Duration::from_millis(10)).await;
        }
    };
    let connections = futures::future::join_all((0..200).map(|_| plain(gateway.sip()))).await;
    open(&|count| count >= 200).await;
    drop(connections);
    // The gateway's own question to its listener may be under way.
    open(&|count| count <= 1).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_connects_and_drips_or_says_nothing_is_closed_and_others_go_on() {
    let (cluster, files) = (Cluster::start(1).await, Files::new());
    let mut config = secure(&cluster, &files);
    config.limits.first_message_ms_max = SHORT_MS;
    config.limits.handshake_ms_max = SHORT_MS;
    let gateway = ready_gateway(config).await;
    let at = |transport| gateway.transport(transport).unwrap();
    let mut good = Peer::tcp(gateway.sip()).await;
    good.send(&good.invite("good", "5000")).await;
    good.expect("SIP/2.0 100").await;
    // Silent ones: before and after the handshake.
    let shaken = shake(at(Transport::Tls), &files, false).await.unwrap();
    let socket = open(plain(at(Transport::Ws)).await, Some("sip"), None).await.unwrap();
    tokio::join!(
        closed(plain(gateway.sip()).await),
        closed(plain(at(Transport::Tls)).await),
        closed(plain(at(Transport::Ws)).await),
        closed(plain(at(Transport::Wss)).await),
        closed(shaken),
        closed(socket.into_inner()),
        // One that drips, and one that only keeps alive.
        dripping(gateway.sip(), "I"),
        dripping(gateway.sip(), "\r\n\r\n"),
    );
    // All of it is seen by why it was closed, and what is open by how it travels.
    let is_counted = |metrics: &str| {
        let closed = ["slow", "handshake"].iter().all(|reason| {
            let start = format!("cordboard_gateway_sip_connections_closed_total{{reason=\"{reason}\"}} ");
            let count = metrics.lines().find_map(|line| line.strip_prefix(&start));
            count.is_some_and(|count| count.parse::<u32>().is_ok_and(|count| count >= 3))
        });
        let open = |transport, count| {
            metrics.contains(&format!("cordboard_gateway_sip_connections{{transport=\"{transport}\"}} {count}\n"))
        };
        closed && open("tcp", 1) && open("wss", 0)
    };
    let began = Instant::now();
    loop {
        let metrics = get(gateway.http().unwrap(), "/metrics").await;
        if is_counted(&metrics) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{metrics}");
        sleep(Duration::from_millis(10)).await;
    }
    // Who has said something whole may be silent.
    cluster.order(cluster.offered().await.call, 1, Want::Alert(Alert {}));
    good.expect("SIP/2.0 180").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_of_another_language_or_page_is_refused_and_too_large_a_frame_closes_it() {
    let (cluster, files) = (Cluster::start(1).await, Files::new());
    let mut config = secure(&cluster, &files);
    config.ws.origins = vec!["https://desk.example".to_owned()];
    config.limits.message_bytes_max = 4_096;
    config.limits.ws_ping_ms = 1_000;
    config.limits.probe_ms = 50;
    // Nothing is ordered for the caller while others are closed.
    config.limits.limbo_ms = 60_000;
    let gateway = ready_gateway(config).await;
    let address = gateway.transport(Transport::Ws).unwrap();
    let refused = |outcome: Result<_, Error>| match outcome {
        Err(Error::Http(response)) => response.status(),
        other => panic!("not refused: {:?}", other.is_ok()),
    };
    for protocol in [None, Some("chat"), Some("sipx, msrp")] {
        let outcome = open(plain(address).await, protocol, Some("https://desk.example")).await;
        assert_eq!(refused(outcome), StatusCode::BAD_REQUEST);
    }
    let outcome = open(plain(address).await, Some("sip"), Some("https://evil.example")).await;
    assert_eq!(refused(outcome), StatusCode::FORBIDDEN);

    let socket = open(plain(address).await, Some("chat, sip"), Some("https://desk.example")).await.unwrap();
    let mut caller = Peer::frames("WS", socket, address, address).await;
    caller.send(&caller.invite("ws", "5000")).await;
    caller.expect("SIP/2.0 100").await;
    let mut large = open(plain(address).await, Some("sip"), None).await.unwrap();
    let _ = futures::SinkExt::send(&mut large, Message::text("x".repeat(5_000))).await;
    closed(large.into_inner()).await;
    // One that answers no ping is gone; the caller, who reads and so answers, is still here.
    let deaf = open(plain(address).await, Some("sip"), None).await.unwrap().into_inner();
    let mut stays = std::pin::pin!(caller.expect("SIP/2.0 180"));
    tokio::select! {
        () = closed(deaf) => {}
        _ = &mut stays => panic!("nobody has ordered that"),
    }
    cluster.order(cluster.offered().await.call, 1, Want::Alert(Alert {}));
    stays.await;
    until("the probe has asked", || gateway.is_ready().then_some(())).await;
    gateway.stop().await;
}
