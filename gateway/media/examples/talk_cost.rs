//! What a leg costs the media thread, in CPU-milliseconds per second of talk: `talk_cost [LEGS] [SECONDS]`. Every leg is sent a packet each
//! 20 ms, evenly spread, by one socket that nobody reads; what that sender costs is not in the figures, the kernel's work of delivering is.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use media::rtp::Header;
use media::{Codec, Count, Direction, MediaConfig, MediaKey, MediaPlane, Remote, Srtp};
use sipx_rtp::srtp::{Context, Profile};

/// How the legs of a call are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Two legs, the same law.
    Bridged,
    /// Two legs, one of each law.
    BridgedBetweenLaws,
    /// Two legs, both with SRTP.
    BridgedSrtp,
    /// Three legs.
    Conference3,
    /// Eight legs.
    Conference8,
}

const SHAPES: [Shape; 5] =
    [Shape::Bridged, Shape::BridgedBetweenLaws, Shape::BridgedSrtp, Shape::Conference3, Shape::Conference8];
/// Legs are sent to one after another, not in a heap.
const SLOTS: usize = 20;
const KEYS: Srtp = Srtp { ours: [1; 30], theirs: [2; 30] };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let legs: u32 = arguments.next().map_or(Ok(480), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    for shape in SHAPES {
        measure(shape, legs, seconds)?;
    }
    Ok(())
}

fn measure(shape: Shape, legs: u32, seconds: u64) -> Result<(), Box<dyn std::error::Error>> {
    let per_call = match shape {
        Shape::Bridged | Shape::BridgedBetweenLaws | Shape::BridgedSrtp => 2,
        Shape::Conference3 => 3,
        Shape::Conference8 => 8,
    };
    let (plane, _events) = MediaPlane::start(MediaConfig::default())?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let mut ports = Vec::new();
    for call in 0..legs / per_call {
        let keys: Vec<MediaKey> = (1..=per_call).map(|leg| MediaKey { call: u64::from(call), leg }).collect();
        for key in &keys {
            ports.push(plane.open(*key)?);
            let other_law = shape == Shape::BridgedBetweenLaws && key.leg == 2;
            plane.connect(
                *key,
                Remote {
                    address: socket.local_addr()?,
                    codec: if other_law { Codec::Pcmu } else { Codec::Pcma },
                    dtmf_payload: None,
                    direction: Direction::SendRecv,
                    srtp: (shape == Shape::BridgedSrtp).then_some(KEYS),
                },
            );
        }
        if per_call == 2 { plane.join(keys[0], keys[1]) } else { plane.meet(&keys) }
    }
    let profile = Profile::AesCm128HmacSha1_80;
    let mut contexts = ports.iter().map(|_| Context::new(profile, &KEYS.theirs[..16], &KEYS.theirs[16..]));
    let mut contexts = contexts.by_ref().collect::<Result<Vec<_>, _>>()?;
    // The first second is not measured: sources are latched, buffers filled.
    let (mut cpu_ms, mut received, mut sent) = (0.0, 0, 0);
    let began = Instant::now();
    for frame in 0..(seconds + 1) * 50 {
        if frame == 50 {
            (cpu_ms, received, sent) =
                (thread_ms()?, plane.count(Count::PacketsReceived), plane.count(Count::PacketsSent));
        }
        for slot in 0..SLOTS {
            for (n, (port, context)) in ports.iter().zip(&mut contexts).enumerate().skip(slot).step_by(SLOTS) {
                let header = Header {
                    marker: false,
                    payload_type: 8,
                    sequence: frame as u16,
                    timestamp: frame as u32 * 160,
                    ssrc: n as u32,
                };
                let mut packet = header.to_bytes().to_vec();
                packet.extend_from_slice(&[0x2A; 160]);
                if shape == Shape::BridgedSrtp {
                    packet = context.protect(&packet)?;
                }
                // A full buffer is what a real network would be: a lost packet.
                let _ = socket.send_to(&packet, ("127.0.0.1", *port));
            }
            let next = began + Duration::from_millis(frame * 20 + slot as u64 + 1);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
    let leg_seconds = ports.len() as f64 * seconds as f64;
    say(&format!(
        "{shape:?}: {:.3} CPU-ms per leg-second ({:.0} % of one core for {} legs); {:.1} packets in and {:.1} out per leg-second",
        (thread_ms()? - cpu_ms) / leg_seconds,
        (thread_ms()? - cpu_ms) / seconds as f64 / 10.0,
        ports.len(),
        (plane.count(Count::PacketsReceived) - received) as f64 / leg_seconds,
        (plane.count(Count::PacketsSent) - sent) as f64 / leg_seconds,
    ));
    Ok(())
}

#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}

/// User and system time of the media thread; the kernel counts in hundredths of a second.
fn thread_ms() -> Result<f64, Box<dyn std::error::Error>> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        let Some((name, fields)) = stat.rsplit_once(')') else { continue };
        if name.ends_with("(media-0") {
            let fields: Vec<&str> = fields.split_whitespace().collect();
            let ticks = |field: usize| -> Result<f64, Box<dyn std::error::Error>> {
                Ok(fields.get(field).ok_or("too few fields")?.parse()?)
            };
            return Ok((ticks(11)? + ticks(12)?) * 10.0);
        }
    }
    Err("no media thread".into())
}
