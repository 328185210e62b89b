//! A small RTP peer: says one sound in real time, keeps everything it hears with its source. Believes nobody, hides
//! nothing: duplicates, strangers and gaps are what tests ask for.

use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::ensure;

use crate::tone::Law;

const PACKET: Duration = Duration::from_millis(20);
const PACKET_SAMPLES: usize = 160;
/// Packets that are kept; a minute and a half.
const HEARD_MAX: usize = 5_000;

/// One packet as it came.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Who sent it.
    pub from: SocketAddr,
    /// Its payload type.
    pub payload_type: u8,
    /// RFC 3550's marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// The payload.
    pub payload: Vec<u8>,
}

/// What is being said: a second of octets, repeated, to somebody.
#[derive(Clone, Debug)]
struct Speech {
    to: SocketAddr,
    law: Law,
    sound: Vec<u8>,
}

#[derive(Debug, Default)]
struct Talk {
    speech: Option<Speech>,
    /// Payloads of type 101 to be sent instead of sound, next first.
    events: Vec<[u8; 4]>,
    heard: Vec<Packet>,
}

/// One RTP end. Ends when dropped.
#[derive(Debug)]
pub struct Rtp {
    /// Where it listens.
    pub address: SocketAddr,
    talk: Arc<Mutex<Talk>>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Rtp {
    /// Takes the socket over.
    ///
    /// # Errors
    /// The socket does not work.
    pub fn on(socket: UdpSocket) -> anyhow::Result<Self> {
        let address = socket.local_addr()?;
        socket.set_read_timeout(Some(Duration::from_millis(2)))?;
        let (talk, done) = (Arc::<Mutex<Talk>>::default(), Arc::<AtomicBool>::default());
        let (shared, end) = (Arc::clone(&talk), Arc::clone(&done));
        let thread = std::thread::spawn(move || run(&socket, &shared, &end));
        Ok(Self { address, talk, done, thread: Some(thread) })
    }

    /// Says this second of sound, again and again.
    pub fn say(&self, to: SocketAddr, law: Law, sound: Vec<u8>) {
        lock(&self.talk).speech = Some(Speech { to, law, sound });
    }

    /// Says nothing.
    pub fn hush(&self) {
        lock(&self.talk).speech = None;
    }

    /// Presses a key: RFC 4733 events under payload type 101, 100 ms long, the end three times.
    pub fn press(&self, event: u8) {
        let mut events: Vec<[u8; 4]> = (1..=5u16).map(|n| packet_of(event, false, n * 160)).collect();
        events.extend([packet_of(event, true, 800); 3]);
        lock(&self.talk).events = events;
    }

    /// Whether the last key is said.
    #[must_use]
    pub fn pressed(&self) -> bool {
        lock(&self.talk).events.is_empty()
    }

    /// What was heard since the last [`Rtp::forget`].
    #[must_use]
    pub fn heard(&self) -> Vec<Packet> {
        lock(&self.talk).heard.clone()
    }

    /// Forgets what was heard.
    pub fn forget(&self) {
        lock(&self.talk).heard.clear();
    }

    /// The last `count` samples of this law, once there are so many.
    #[must_use]
    pub fn samples(&self, law: Law, count: usize) -> Option<Vec<i16>> {
        let talk = lock(&self.talk);
        let sound = talk.heard.iter().filter(|packet| packet.payload_type == law.payload_type());
        let samples: Vec<i16> = sound.flat_map(|packet| &packet.payload).map(|octet| law.decode(*octet)).collect();
        samples.len().checked_sub(count).map(|start| samples[start..].to_vec())
    }
}

impl Drop for Rtp {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sequence numbers grow by one, one source says all, time goes on evenly: what a phone's jitter buffer wants.
///
/// # Errors
/// It is not so; says where.
pub fn is_one_stream(packets: &[Packet]) -> anyhow::Result<()> {
    for pair in packets.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        ensure!(before.ssrc == after.ssrc, "the source changed from {:08x} to {:08x}", before.ssrc, after.ssrc);
        let step = after.sequence.wrapping_sub(before.sequence);
        ensure!(step == 1, "after sequence number {} came {}", before.sequence, after.sequence);
    }
    Ok(())
}

fn run(socket: &UdpSocket, talk: &Mutex<Talk>, done: &AtomicBool) {
    let mut buffer = [0; 2_048];
    let (mut sequence, mut timestamp, mut event_start, mut due) = (7u16, 99u32, 0u32, Instant::now());
    while !done.load(Ordering::Relaxed) {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                if let Some(packet) = parse(&buffer[..length], from) {
                    let mut talk = lock(talk);
                    if talk.heard.len() < HEARD_MAX {
                        talk.heard.push(packet);
                    }
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // The other end is not there yet or no longer: that is heard as silence.
            Err(_) => {}
        }
        while Instant::now() >= due {
            due += PACKET;
            let mut talk = lock(talk);
            let event = (!talk.events.is_empty()).then(|| talk.events.remove(0));
            let Some(speech) = &talk.speech else { continue };
            let at = timestamp as usize % speech.sound.len().max(1);
            let sound: Vec<u8> = speech.sound.iter().cycle().skip(at).take(PACKET_SAMPLES).copied().collect();
            let law = speech.law.payload_type();
            let first = event.is_some_and(|event| event[2..] == 160u16.to_be_bytes());
            if first {
                event_start = timestamp;
            }
            let (kind, stamp, payload) = match &event {
                Some(event) => (101 | if first { 0x80 } else { 0 }, event_start, event.as_slice()),
                None => (law, timestamp, sound.as_slice()),
            };
            let mut packet = vec![0x80, kind];
            packet.extend(sequence.to_be_bytes());
            packet.extend(stamp.to_be_bytes());
            packet.extend(0x0bad_cafe_u32.to_be_bytes());
            packet.extend(payload);
            let _ = socket.send_to(&packet, speech.to);
            sequence = sequence.wrapping_add(1);
            timestamp = timestamp.wrapping_add(160);
        }
    }
}

/// RFC 4733 section 2.3: event, end bit and volume, duration.
fn packet_of(event: u8, end: bool, duration: u16) -> [u8; 4] {
    let [high, low] = duration.to_be_bytes();
    [event, if end { 0x8a } else { 0x0a }, high, low]
}

/// RFC 3550 section 5.1, without extensions, which nobody here sends.
fn parse(bytes: &[u8], from: SocketAddr) -> Option<Packet> {
    let head: &[u8; 12] = bytes.first_chunk()?;
    (head[0] == 0x80).then(|| Packet {
        from,
        payload_type: head[1] & 0x7f,
        marker: head[1] & 0x80 != 0,
        sequence: u16::from_be_bytes([head[2], head[3]]),
        timestamp: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        ssrc: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
        payload: bytes[12..].to_vec(),
    })
}

fn lock(talk: &Mutex<Talk>) -> MutexGuard<'_, Talk> {
    talk.lock().unwrap_or_else(PoisonError::into_inner)
}
