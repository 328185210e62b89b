//! The voice of a demo phone: one RTP stream that hums a soft tone every 20 ms, and an ear that knows an agent's hum.
//! Never waits.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
};

use media::{Codec, g711, rtp};

/// One packet.
pub(crate) const FRAME_MS: u64 = 20;
const FRAME_SAMPLES: u32 = 160;
/// Soft, of 32,767.
const AMPLITUDE: f64 = 900.0;
/// Packets read at once; more wait for the next frame.
const READS_MAX: usize = 16;
const PACKET_BYTES_MAX: usize = 1_500;

/// Who hums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    Caller,
    Agent,
}

impl Voice {
    /// A multiple of 50 Hz: whole waves in 20 ms, so that every frame is the same.
    const fn hz(self) -> f64 {
        match self {
            Self::Caller => 250.0,
            Self::Agent => 350.0,
        }
    }

    fn frame(self, codec: Codec) -> [u8; FRAME_SAMPLES as usize] {
        std::array::from_fn(|n| {
            let turn = std::f64::consts::TAU * self.hz() * n as f64 / 8_000.0;
            g711::encode(codec, (AMPLITUDE * turn.sin()) as i16)
        })
    }
}

/// The audio of one leg.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: UdpSocket,
    voice: Voice,
    remote: Option<(SocketAddr, Codec)>,
    header: rtp::Header,
}

impl Stream {
    /// Opens a port of the kernel's choice.
    pub(crate) fn open(voice: Voice) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let header = rtp::Header {
            marker: true,
            payload_type: 0,
            sequence: fastrand::u16(..),
            timestamp: fastrand::u32(..),
            ssrc: fastrand::u32(..),
        };
        Ok(Self { socket, voice, remote: None, header })
    }

    pub(crate) fn port(&self) -> std::io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Hums to there from now on; to nobody without an address.
    pub(crate) fn connect(&mut self, remote: Option<(SocketAddr, Codec)>) {
        self.remote = remote;
    }

    /// One frame out, everything that came in read. True when an agent was heard.
    pub(crate) fn tick(&mut self) -> bool {
        if let Some((address, codec)) = self.remote {
            self.header.payload_type = codec.payload_type();
            let mut packet = self.header.to_bytes().to_vec();
            packet.extend_from_slice(&self.voice.frame(codec));
            // A frame that the kernel does not take is lost, as any other.
            let _ = self.socket.send_to(&packet, address);
            self.header.marker = false;
            self.header.sequence = self.header.sequence.wrapping_add(1);
        }
        self.header.timestamp = self.header.timestamp.wrapping_add(FRAME_SAMPLES);
        self.hears_an_agent()
    }

    fn hears_an_agent(&self) -> bool {
        let mut heard = false;
        let mut packet = [0; PACKET_BYTES_MAX];
        for _ in 0..READS_MAX {
            match self.socket.recv(&mut packet) {
                Ok(length) => heard |= packet.get(..length).and_then(rtp::parse).is_some_and(|rtp| hums(&rtp)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // A refused frame of ours is reported here; the next read goes on.
                Err(_) => {}
            }
        }
        heard
    }
}

fn hums(packet: &rtp::Packet<'_>) -> bool {
    let Some(codec) = Codec::of_payload_type(packet.header.payload_type) else { return false };
    packet.payload == Voice::Agent.frame(codec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_hum_is_known_and_nothing_else_is() {
        let mut ear = Stream::open(Voice::Caller).expect("a port");
        let there = SocketAddr::from((Ipv4Addr::LOCALHOST, ear.port().expect("a port")));
        for (voice, heard) in [(Voice::Caller, false), (Voice::Agent, true)] {
            for codec in [Codec::Pcmu, Codec::Pcma] {
                let mut mouth = Stream::open(voice).expect("a port");
                mouth.connect(Some((there, codec)));
                mouth.tick();
                assert_eq!(ear.tick(), heard, "{voice:?} {codec:?}");
            }
        }
        ear.socket.send_to(b"no RTP", there).expect("sent");
        assert!(!ear.tick());
    }
}
