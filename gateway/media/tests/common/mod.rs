//! A far end on loopback for the stories: a socket that speaks and hears RTP, and waiting with a bound.

#![allow(dead_code, unreachable_pub, missing_docs)]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use media::rtp::{self, HEADER_BYTES, Header};
use media::{Codec, Direction, MediaConfig, MediaEvents, MediaKey, MediaPlane, Remote};

/// Longer than any machine needs; nothing is concluded from reaching it but failure.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing must come before we believe that nothing comes.
pub const QUIET: Duration = Duration::from_millis(150);

pub const DTMF: u8 = 101;

pub fn key(leg: u32) -> MediaKey {
    MediaKey { call: 7, leg }
}

pub fn start(ports: std::ops::RangeInclusive<u16>) -> (MediaPlane, MediaEvents) {
    MediaPlane::start(MediaConfig { ports, ..MediaConfig::default() }).expect("the plane starts")
}

pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < give_up, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub header: Header,
    pub payload: Vec<u8>,
    pub from: SocketAddr,
}

/// A phone: one socket, one outgoing stream.
pub struct Phone {
    pub socket: UdpSocket,
    pub codec: Codec,
    pub next: Header,
}

impl Phone {
    pub fn new(codec: Codec) -> Phone {
        Phone::at("127.0.0.1", codec)
    }

    pub fn at(ip: &str, codec: Codec) -> Phone {
        let socket = UdpSocket::bind((ip, 0)).expect("bind");
        let next =
            Header { marker: true, payload_type: codec.payload_type(), sequence: 65_530, timestamp: 5_000, ssrc: 99 };
        Phone { socket, codec, next }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    pub fn remote(&self) -> Remote {
        Remote {
            address: self.address(),
            codec: self.codec,
            dtmf_payload: Some(DTMF),
            direction: Direction::SendRecv,
            srtp: None,
        }
    }

    pub fn open(&self, plane: &MediaPlane, key: MediaKey) -> u16 {
        let port = plane.open(key).expect("a port");
        plane.connect(key, self.remote());
        port
    }

    pub fn say(&mut self, port: u16, payload: &[u8]) {
        self.send(port, self.next, payload);
        self.next.marker = false;
        self.next.sequence = self.next.sequence.wrapping_add(1);
        self.next.timestamp = self.next.timestamp.wrapping_add(160);
    }

    pub fn send(&self, port: u16, header: Header, payload: &[u8]) {
        let mut bytes = header.to_bytes().to_vec();
        bytes.extend_from_slice(payload);
        self.send_bytes(port, &bytes);
    }

    pub fn send_bytes(&self, port: u16, bytes: &[u8]) {
        self.socket.send_to(bytes, ("127.0.0.1", port)).expect("send");
    }

    /// A press as a phone sends it: a packet each 20 ms, the end three times, all with the timestamp of its begin. `lost` says which
    /// of them do not arrive.
    pub fn press(&mut self, port: u16, event: u8, lost: impl Fn(usize) -> bool) {
        let timestamp = self.next.timestamp;
        for n in 0..8u16 {
            let end = if n >= 5 { 0x80 } else { 0 };
            let duration = (n.min(5) + 1) * 160;
            let header = Header { marker: n == 0, payload_type: DTMF, timestamp, ..self.next };
            let [high, low] = duration.to_be_bytes();
            if !lost(usize::from(n)) {
                self.send(port, header, &[event, end | 10, high, low]);
            }
            self.next.sequence = self.next.sequence.wrapping_add(1);
        }
        self.next.timestamp = timestamp.wrapping_add(6 * 160);
    }

    pub fn try_hear(&self, patience: Duration) -> Option<Packet> {
        self.socket.set_read_timeout(Some(patience)).expect("timeout");
        let mut buffer = [0; 2_048];
        let (length, from) = self.socket.recv_from(&mut buffer).ok()?;
        let packet = rtp::parse(&buffer[..length]).expect("we send RTP only");
        assert_eq!(packet.payload.len() + HEADER_BYTES, length);
        Some(Packet { header: packet.header, payload: packet.payload.to_vec(), from })
    }

    pub fn hear(&self) -> Packet {
        self.try_hear(PATIENCE).expect("a packet comes")
    }

    pub fn hears_nothing(&self) -> bool {
        self.try_hear(QUIET).is_none()
    }

    /// What has come already, if anything.
    pub fn take(&self) -> Option<Packet> {
        self.socket.set_nonblocking(true).expect("nonblocking");
        let mut buffer = [0; 2_048];
        let taken = self.socket.recv_from(&mut buffer).ok();
        self.socket.set_nonblocking(false).expect("blocking");
        let (length, from) = taken?;
        let packet = rtp::parse(&buffer[..length]).expect("we send RTP only");
        Some(Packet { header: packet.header, payload: packet.payload.to_vec(), from })
    }

    /// Throws away what has come until now.
    pub fn forget(&self) {
        self.socket.set_nonblocking(true).expect("nonblocking");
        let mut buffer = [0; 2_048];
        while self.socket.recv_from(&mut buffer).is_ok() {}
        self.socket.set_nonblocking(false).expect("blocking");
    }
}

/// The key of an event within the patience.
pub fn next_event(events: &mut MediaEvents) -> media::MediaEvent {
    let mut found = None;
    wait_until("an event", || {
        found = events.try_recv().ok();
        found.is_some()
    });
    found.expect("found")
}
