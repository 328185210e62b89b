//! A media thread: its sockets, its wheel, its commands, one loop. Everything it owns is its own; it waits for nobody and never ends
//! because of an error.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use tokio::sync::mpsc::Sender;

use crate::announcement::Announcement;
use crate::api::{Codec, MediaEvent, MediaKey, Remote};
use crate::conference::Conference;
use crate::counters::{Count, Counters};
use crate::g711;
use crate::jitter::Put;
use crate::leg::{Feed, Heard, Leg, Refused};
use crate::ports::Ports;
use crate::prompt::Prompt;
use crate::rtp::{HEADER_BYTES, Header};
use crate::stream::FRAME_SAMPLES;
use crate::switchboard::{Ignored, Seat, Switchboard};
use crate::telephone_event::Press;
use crate::wheel::FRAME_MS;

/// The waker's token; legs have small ones.
pub(crate) const WAKER: Token = Token(usize::MAX);

/// The longest datagram that is looked at; RTP of 20 ms has 172 octets, an Ethernet frame 1,500.
const DATAGRAM_BYTES_MAX: usize = 2_048;
/// Datagrams read from one socket before the others have their turn.
const READS_MAX: usize = 16;
/// Commands done before sockets and music have their turn.
const COMMANDS_MAX: usize = 1_024;
const EVENTS_MAX: usize = 1_024;
/// How often keys that are down are looked at.
const KEYS_EVERY_MS: u64 = 50;
/// How often silent far ends are looked for.
const SILENCE_EVERY_MS: u64 = 250;
/// RTP's clock for G.711 and telephone events.
const SAMPLES_PER_MS: u64 = 8;

/// What the handle asks.
#[derive(Debug)]
pub(crate) enum Command {
    Open { key: MediaKey, port: u16, socket: std::net::UdpSocket, dice: [u8; 12] },
    Connect { key: MediaKey, remote: Remote },
    Play { key: MediaKey, prompt: Arc<Prompt> },
    Join { a: MediaKey, b: MediaKey },
    Meet { legs: Vec<MediaKey> },
    Say { key: MediaKey, number: u32, announcement: Option<Announcement>, missing: u64 },
    Silence { key: MediaKey },
    Close { key: MediaKey },
}

/// What a thread is given.
pub(crate) struct Outfit {
    pub(crate) poll: Poll,
    pub(crate) commands: Receiver<Command>,
    /// Set by who sent a command, so that one wake-up does for many.
    pub(crate) woken: Arc<AtomicBool>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) events: Sender<MediaEvent>,
    pub(crate) ports: Arc<Ports>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) silent_ms: u32,
    /// The common clock of all gateways at `start`: everyone hears a loop at the same position.
    pub(crate) unix_ms_at_start: u64,
    pub(crate) start: Instant,
}

pub(crate) struct Poller {
    outfit: Outfit,
    board: Switchboard<Line>,
    /// Legs with more to read than their turn allowed, each once.
    unread: VecDeque<u32>,
    /// Legs whose announcement has just ended.
    said: Vec<u32>,
    /// Legs with a key down.
    keys_down: Vec<u32>,
    next_keys_ms: u64,
    next_silence_ms: u64,
    commands_left: bool,
    incoming: [u8; DATAGRAM_BYTES_MAX],
    outgoing: [u8; DATAGRAM_BYTES_MAX],
}

/// How a leg is reached.
struct Line {
    socket: UdpSocket,
    port: u16,
    /// It is among the unread.
    is_unread: bool,
}

/// What a far end said that its peer may want to have.
#[derive(Clone, Copy)]
enum Said {
    Audio { header: Header, codec: Codec, bytes: usize },
    Event { header: Header, bytes: usize },
    Noise { header: Header },
}

impl Poller {
    pub(crate) fn new(outfit: Outfit) -> Poller {
        Poller {
            outfit,
            board: Switchboard::new(),
            unread: VecDeque::new(),
            said: Vec::new(),
            keys_down: Vec::new(),
            next_keys_ms: 0,
            next_silence_ms: 0,
            commands_left: false,
            incoming: [0; DATAGRAM_BYTES_MAX],
            outgoing: [0; DATAGRAM_BYTES_MAX],
        }
    }

    /// Runs until the last handle is gone.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.outfit.stop.load(Ordering::Acquire) {
            let patience = self.patience(self.now_ms());
            if let Err(error) = self.outfit.poll.poll(&mut events, patience)
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "polling RTP sockets failed");
                std::thread::sleep(Duration::from_millis(10));
            }
            let now_ms = self.now_ms();
            self.play_due(now_ms);
            self.mix_due(now_ms);
            self.read_on(now_ms);
            for event in &events {
                if event.token() != WAKER {
                    self.read(now_ms, event.token().0 as u32);
                }
            }
            self.end_presses(now_ms);
            self.find_silent(now_ms);
            self.obey(now_ms);
        }
    }

    fn now_ms(&self) -> u64 {
        self.outfit.start.elapsed().as_millis() as u64
    }

    fn count(&self, count: Count) {
        self.outfit.counters.add(count, 1);
    }

    /// How long there is nothing to do but listen; `None` is until something comes.
    fn patience(&self, now_ms: u64) -> Option<Duration> {
        if !self.unread.is_empty() || self.commands_left {
            return Some(Duration::ZERO);
        }
        let keys = (!self.keys_down.is_empty()).then_some(self.next_keys_ms);
        let silence = (self.outfit.silent_ms > 0 && !self.board.is_empty()).then_some(self.next_silence_ms);
        let (prompts, mixes) = (self.board.wheel.next_due_ms(), self.board.conference_wheel.next_due_ms());
        let next_ms = [prompts, mixes, keys, silence].into_iter().flatten().min()?;
        let then = Duration::from_millis(next_ms.max(now_ms));
        Some(then.saturating_sub(self.outfit.start.elapsed()))
    }

    // ---- Playing.

    fn play_due(&mut self, now_ms: u64) {
        let late = self.board.wheel.leave_out(now_ms);
        if late > 0 {
            self.outfit.counters.add(Count::FramesLate, late);
        }
        while let Some(tick_ms) = self.board.wheel.take_due(now_ms) {
            let number = (self.outfit.unix_ms_at_start + tick_ms) / FRAME_MS;
            for leg in self.board.wheel.legs(tick_ms) {
                if let Some(Some(seat)) = self.board.seats.get_mut(*leg as usize) {
                    let over = play_frame(seat, tick_ms, number, &self.outfit.counters);
                    self.said.extend(over.then_some(*leg));
                }
            }
        }
        while let Some(leg) = self.said.pop() {
            self.board.turn(leg);
        }
    }

    fn mix_due(&mut self, now_ms: u64) {
        let late = self.board.conference_wheel.leave_out(now_ms);
        if late > 0 {
            self.outfit.counters.add(Count::FramesLate, late);
        }
        let Switchboard { seats, conferences, conference_wheel, .. } = &mut self.board;
        while let Some(tick_ms) = conference_wheel.take_due(now_ms) {
            for number in conference_wheel.legs(tick_ms) {
                if let Some(Some(conference)) = conferences.get_mut(*number as usize) {
                    mix_frame(conference, seats, tick_ms, &self.outfit.counters);
                }
            }
        }
    }

    // ---- Hearing and relaying.

    fn read_on(&mut self, now_ms: u64) {
        for _ in 0..self.unread.len() {
            let Some(index) = self.unread.pop_front() else { return };
            if let Some(seat) = self.board.seat_mut(index) {
                seat.line.is_unread = false;
                self.read(now_ms, index);
            }
        }
    }

    fn read(&mut self, now_ms: u64, index: u32) {
        for _ in 0..READS_MAX {
            let Some(seat) = self.board.seat_mut(index) else { return };
            match seat.line.socket.recv_from(&mut self.incoming) {
                Ok((length, from)) => self.receive(now_ms, index, length, from),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // An ICMP error of an earlier packet, or no memory: the next read may do.
                Err(_) => self.count(Count::ReceiveErrors),
            }
        }
        if let Some(seat) = self.board.seat_mut(index)
            && !seat.line.is_unread
        {
            seat.line.is_unread = true;
            self.unread.push_back(index);
        }
    }

    fn receive(&mut self, now_ms: u64, index: u32, length: usize, from: SocketAddr) {
        let Some(seat) = self.board.seat_mut(index) else { return };
        let leg = &mut seat.leg;
        let key_was_down = leg.is_key_down();
        let Some(length) = unprotected(leg, now_ms, from, &mut self.incoming, length) else {
            return self.count(Count::SrtpRefused);
        };
        let heard = match self.incoming.get(..length) {
            // A datagram that fills the buffer was cut off.
            Some(datagram) if length < DATAGRAM_BYTES_MAX => leg.hear(now_ms, from, datagram),
            Some(_) | None => Heard::Bad,
        };
        let counters = &self.outfit.counters;
        let body = &mut self.outgoing[HEADER_BYTES..];
        let (said, press) = match heard {
            Heard::Audio { header, codec, payload } => {
                body[..payload.len()].copy_from_slice(payload);
                (Said::Audio { header, codec, bytes: payload.len() }, None)
            }
            Heard::Event { header, payload, press } => {
                body[..payload.len()].copy_from_slice(payload);
                (Said::Event { header, bytes: payload.len() }, press)
            }
            Heard::Noise { header } => (Said::Noise { header }, None),
            Heard::Unasked => return counters.add(Count::PacketsReceived, 1),
            Heard::Rtcp => return counters.add(Count::Rtcp, 1),
            Heard::Early => return counters.add(Count::Early, 1),
            Heard::Stranger => return counters.add(Count::Strangers, 1),
            Heard::Bad => return counters.add(Count::Bad, 1),
        };
        counters.add(Count::PacketsReceived, 1);
        let (key, key_is_down) = (leg.key, leg.is_key_down());
        let (peer, conference) = match leg.feed {
            Feed::Peer(peer) => (Some(peer), None),
            Feed::Conference(number) => (None, Some(number)),
            Feed::Nothing | Feed::Prompt(_) => (None, None),
        };
        if key_is_down && !key_was_down && !self.keys_down.contains(&index) {
            self.keys_down.push(index);
        }
        if let Some(press) = press {
            self.tell_press(key, press);
        }
        if let Some(peer) = peer {
            self.pass_on(now_ms, peer, said);
        } else if let Some(number) = conference {
            self.voice(number, index, said);
        }
    }

    /// Gives what a far end said, its payload already in the outgoing buffer, to its conference.
    fn voice(&mut self, number: u32, index: u32, said: Said) {
        let Said::Audio { header, codec, bytes } = said else { return };
        let payload = &self.outgoing[HEADER_BYTES..HEADER_BYTES + bytes];
        let Some(conference) = self.board.conference_mut(number) else { return };
        match conference.hear(index, header, codec, payload) {
            Some(Put::Kept) | None => {}
            Some(Put::Cut) => self.count(Count::MixCut),
            Some(Put::Late) => self.count(Count::MixLate),
        }
    }

    /// Sends what a far end said, its payload already in the outgoing buffer, to the far end of another leg.
    fn pass_on(&mut self, now_ms: u64, peer: u32, said: Said) {
        let Some(seat) = self.board.seat_mut(peer).filter(|seat| seat.leg.saying.is_none()) else { return };
        let Some((destination, remote)) = seat.leg.listener() else { return };
        let counters = &self.outfit.counters;
        let (heard, payload_type, bytes) = match said {
            Said::Audio { header, codec, bytes } => {
                let payload = &mut self.outgoing[HEADER_BYTES..HEADER_BYTES + bytes];
                g711::convert_in_place(codec, remote.codec, payload);
                (header, Some(remote.codec.payload_type()), bytes)
            }
            Said::Event { header, bytes } => (header, remote.dtmf_payload, bytes),
            Said::Noise { header } => (header, None, 0),
        };
        let Some(payload_type) = payload_type else {
            seat.leg.outgoing.swallow(heard);
            return counters.add(Count::Swallowed, 1);
        };
        match seat.leg.outgoing.relay(now_ms * SAMPLES_PER_MS, heard, payload_type) {
            None => counters.add(Count::PacketsLate, 1),
            Some(header) => {
                self.outgoing[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
                send(seat, &self.outgoing[..HEADER_BYTES + bytes], destination, counters);
            }
        }
    }

    // ---- Telling the gateway.

    fn tell_press(&self, key: MediaKey, press: Press) {
        self.tell(MediaEvent::Digit { key, digit: press.digit, duration_ms: press.duration_ms });
    }

    fn tell(&self, event: MediaEvent) {
        if self.outfit.events.try_send(event).is_err() {
            self.count(Count::EventsDropped);
        }
    }

    fn end_presses(&mut self, now_ms: u64) {
        if self.keys_down.is_empty() || now_ms < self.next_keys_ms {
            return;
        }
        self.next_keys_ms = now_ms + KEYS_EVERY_MS;
        let mut position = 0;
        while let Some(index) = self.keys_down.get(position) {
            let Some(seat) = self.board.seat_mut(*index) else {
                self.keys_down.swap_remove(position);
                continue;
            };
            let press = seat.leg.expire_press(now_ms);
            let (key, still_down) = (seat.leg.key, seat.leg.is_key_down());
            if let Some(press) = press {
                self.tell_press(key, press);
            }
            if still_down {
                position += 1;
            } else {
                self.keys_down.swap_remove(position);
            }
        }
    }

    fn find_silent(&mut self, now_ms: u64) {
        let silent_ms = u64::from(self.outfit.silent_ms);
        if silent_ms == 0 || now_ms < self.next_silence_ms {
            return;
        }
        self.next_silence_ms = now_ms + SILENCE_EVERY_MS.min(silent_ms);
        for index in 0..self.board.seats.len() as u32 {
            let Some(seat) = self.board.seat_mut(index) else { continue };
            if let Some(for_ms) = seat.leg.fresh_silence(now_ms, silent_ms) {
                let key = seat.leg.key;
                self.tell(MediaEvent::Silent { key, for_ms: u32::try_from(for_ms).unwrap_or(u32::MAX) });
            }
        }
    }

    // ---- Obeying the gateway.

    fn obey(&mut self, now_ms: u64) {
        // Before the queue is looked at, so that a command sent meanwhile wakes us again.
        self.outfit.woken.store(false, Ordering::SeqCst);
        for _ in 0..COMMANDS_MAX {
            match self.outfit.commands.try_recv() {
                Ok(command) => self.carry_out(now_ms, command),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => {
                    self.commands_left = false;
                    return;
                }
            }
        }
        self.commands_left = true;
    }

    fn carry_out(&mut self, now_ms: u64, command: Command) {
        let done = match command {
            Command::Open { key, port, socket, dice } => {
                self.open(now_ms, key, port, UdpSocket::from_std(socket), dice);
                Ok(())
            }
            Command::Connect { key, remote } => self.board.connect(now_ms, key, remote),
            Command::Play { key, prompt } => self.board.play(key, prompt),
            Command::Join { a, b } => self.board.join(a, b),
            Command::Meet { legs } => self.board.meet(&legs),
            Command::Say { key, number, announcement, missing } => {
                self.outfit.counters.add(Count::PromptsMissing, missing);
                self.board.say(key, number, announcement)
            }
            Command::Silence { key } => self.board.silence(key),
            Command::Close { key } => self.board.close(key).map(|line| self.hang_up(line)),
        };
        if done == Err(Ignored) {
            self.count(Count::CommandsIgnored);
        }
    }

    fn open(&mut self, now_ms: u64, key: MediaKey, port: u16, mut socket: UdpSocket, dice: [u8; 12]) {
        let token = Token(self.board.next_index() as usize);
        if let Err(error) = self.outfit.poll.registry().register(&mut socket, token, Interest::READABLE) {
            // The leg is deaf but still sends; only the kernel's lack of memory leads here.
            tracing::error!(%error, "an RTP socket cannot be polled");
            self.count(Count::RegisterErrors);
        }
        self.board.open(key, dice, Line { socket, port, is_unread: false });
        self.next_silence_ms = self.next_silence_ms.min(now_ms + SILENCE_EVERY_MS);
    }

    fn hang_up(&mut self, mut line: Line) {
        // A socket leaves the poll when it is closed; this only says it aloud.
        if self.outfit.poll.registry().deregister(&mut line.socket).is_err() {
            self.count(Count::RegisterErrors);
        }
        drop(line.socket);
        self.outfit.ports.release(line.port);
    }
}

/// The next 20 ms of an announcement or a prompt; whether an announcement ended with it.
fn play_frame(seat: &mut Seat<Line>, tick_ms: u64, number: u64, counters: &Counters) -> bool {
    let Some((destination, remote)) = seat.leg.listener() else { return false };
    let mut packet = [0; HEADER_BYTES + FRAME_SAMPLES as usize];
    let (over, frame) = match (&mut seat.leg.saying, &seat.leg.feed) {
        (Some(announcement), _) => match announcement.next(remote.codec) {
            Some((frame, over)) => (over, frame),
            None => return false,
        },
        (None, Feed::Prompt(prompt)) => (false, prompt.frame(remote.codec, number)),
        (None, Feed::Nothing | Feed::Peer(_) | Feed::Conference(_)) => return false,
    };
    packet[HEADER_BYTES..].copy_from_slice(frame);
    if over {
        seat.leg.saying = None;
    }
    let header = seat.leg.outgoing.frame(tick_ms * SAMPLES_PER_MS, remote.codec.payload_type());
    packet[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
    send(seat, &packet, destination, counters);
    over
}

/// The next 20 ms of a conference, to each who listens and is not told something else.
fn mix_frame(conference: &mut Conference, seats: &mut [Option<Seat<Line>>], tick_ms: u64, counters: &Counters) {
    let mix = conference.mix();
    for position in 0..conference.len() {
        let seat = conference.leg(position).and_then(|leg| seats.get_mut(leg as usize)).and_then(Option::as_mut);
        let Some(seat) = seat.filter(|seat| seat.leg.saying.is_none()) else { continue };
        let Some((destination, remote)) = seat.leg.listener() else { continue };
        let mut packet = [0; HEADER_BYTES + FRAME_SAMPLES as usize];
        for (octet, sample) in packet[HEADER_BYTES..].iter_mut().zip(conference.heard_at(position, &mix)) {
            *octet = g711::encode(remote.codec, sample);
        }
        let header = seat.leg.outgoing.frame(tick_ms * SAMPLES_PER_MS, remote.codec.payload_type());
        packet[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        send(seat, &packet, destination, counters);
    }
}

/// Puts what a datagram says in its place; its length then. `None`: SRTP does not let it through.
fn unprotected(leg: &mut Leg, now_ms: u64, from: SocketAddr, buffer: &mut [u8], length: usize) -> Option<usize> {
    match leg.unprotect(now_ms, from, buffer.get(..length)?) {
        Ok(None) => Some(length),
        Ok(Some(plain)) => {
            buffer.get_mut(..plain.len())?.copy_from_slice(&plain);
            Some(plain.len())
        }
        Err(Refused) => None,
    }
}

fn send(seat: &mut Seat<Line>, packet: &[u8], destination: SocketAddr, counters: &Counters) {
    let sent = match seat.leg.protect(packet) {
        Ok(None) => seat.line.socket.send_to(packet, destination),
        Ok(Some(protected)) => seat.line.socket.send_to(&protected, destination),
        Err(Refused) => return counters.add(Count::PacketsLate, 1),
    };
    match sent {
        Ok(_) => counters.add(Count::PacketsSent, 1),
        Err(_) => counters.add(Count::SendErrors, 1),
    }
}
