//! All demo phones on one thread and one UDP socket: `sip::Endpoint` as user agent of both sides, a stream per leg.
//! Decides nothing about calls but what a person at a phone would.

use std::{
    collections::{BTreeMap, HashMap},
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use sip::{
    Access, Effect, EndCause, Endpoint, EndpointConfig, Flow, Ha1, Invite, LegId, LocalMedia, Millis, RegisterOutcome,
    RemoteMedia, Transport,
};

use super::{
    AGENTS, NUMBERS, script,
    tone::{FRAME_MS, Stream, Voice},
};

/// What the endpoint calls the shard of an agent's leg here, and of a caller's.
const AGENTS_SHARD: u32 = 1;
const CALLERS_SHARD: u32 = 2;
/// A gateway that says nothing to an INVITE for so long is dead: the next one is tried.
const SILENT_GATEWAY_MS: u64 = 2_000;
/// The thread looks up at least so often.
const NAP_MS_MAX: u64 = 500;
/// Messages read before anything else is looked at.
const BURST_MAX: usize = 64;
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Everybody with a phone.
pub(crate) struct Phones {
    socket: UdpSocket,
    endpoint: Endpoint,
    clock: Clock,
    gateways: Vec<SocketAddr>,
    /// Index of the gateway that is called.
    gateway: usize,
    next_call_ms: u64,
    next_frame_ms: u64,
    lines: BTreeMap<LegId, Line>,
    /// Whoever is rung next on the same phone drops this one.
    busy: HashMap<String, LegId>,
}

/// One leg at a phone.
#[derive(Debug)]
struct Line {
    stream: Stream,
    /// Index of the gateway that a caller dialled.
    gateway: Option<usize>,
    plan: Plan,
    /// When the plan goes on, whatever is heard.
    due_ms: u64,
}

/// What the person at the phone is about to do when `due_ms` comes.
#[derive(Debug)]
enum Plan {
    /// An agent's phone rings; it is picked up.
    PickUp,
    /// An agent talks, then hangs up.
    Finish,
    /// A caller waits, then gives up.
    GiveUp,
    /// A caller hears an agent; both planned end and last words count.
    Chat { until_ms: u64 },
}

/// Unix time that does not jump.
#[derive(Debug, Clone, Copy)]
struct Clock {
    start: Instant,
    start_ms: u64,
}

impl Clock {
    fn new() -> Self {
        let start_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        Self { start: Instant::now(), start_ms }
    }

    fn now_ms(self) -> u64 {
        self.start_ms + self.start.elapsed().as_millis() as u64
    }
}

/// Whom the phones listen to: calls for the agents who sit here.
struct House;

impl Access for House {
    fn shard_of_number(&self, number: &str) -> Option<u32> {
        AGENTS.contains(&number).then_some(AGENTS_SHARD)
    }

    fn trunk_allows(&self, ip: IpAddr) -> bool {
        ip.is_loopback()
    }

    fn credential(&self, _agent: &str) -> Option<Ha1> {
        None
    }
}

impl Phones {
    /// Phones behind `socket` that call the first of `gateways`, or the next when that is dead.
    pub(crate) fn new(socket: UdpSocket, gateways: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let port = socket.local_addr()?.port();
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).context("no randomness")?;
        let mut config = EndpointConfig::new(secret, "demo", &Ipv4Addr::LOCALHOST.to_string(), port);
        config.user_agent = "Cordboard demo phone".to_owned();
        config.no_provisional_ms = SILENT_GATEWAY_MS;
        let clock = Clock::new();
        let now_ms = clock.now_ms();
        Ok(Self {
            socket,
            endpoint: Endpoint::new(config),
            clock,
            gateways,
            gateway: 0,
            next_call_ms: now_ms + script::pause_ms(),
            next_frame_ms: now_ms,
            lines: BTreeMap::new(),
            busy: HashMap::new(),
        })
    }

    /// Plays for ever; ends only when the socket breaks.
    pub(crate) fn play(mut self) -> anyhow::Result<()> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let now_ms = self.clock.now_ms();
            self.do_what_is_due(now_ms);
            self.carry_out(now_ms);
            self.listen(&mut buffer)?;
        }
    }

    fn do_what_is_due(&mut self, now_ms: u64) {
        if self.endpoint.next_timeout().is_some_and(|due| due.0 <= now_ms) {
            self.endpoint.timeout(Millis(now_ms));
        }
        if self.next_frame_ms <= now_ms {
            self.next_frame_ms = (self.next_frame_ms + FRAME_MS).max(now_ms);
            self.hum(now_ms);
        }
        if self.next_call_ms <= now_ms {
            self.next_call_ms = now_ms + script::pause_ms();
            self.call(now_ms);
        }
        let due: Vec<_> = self.lines.iter().filter(|(_, line)| line.due_ms <= now_ms).map(|(leg, _)| *leg).collect();
        for leg in due {
            self.go_on(now_ms, leg);
        }
    }

    fn hum(&mut self, now_ms: u64) {
        for line in self.lines.values_mut() {
            if !line.stream.tick() {
                continue;
            }
            match line.plan {
                Plan::GiveUp => {
                    let until_ms = now_ms + script::caller_ends_after_ms();
                    line.plan = Plan::Chat { until_ms };
                    line.due_ms = until_ms.min(now_ms + script::SILENCE_MS);
                }
                Plan::Chat { until_ms } => line.due_ms = until_ms.min(now_ms + script::SILENCE_MS),
                Plan::PickUp | Plan::Finish => {}
            }
        }
    }

    /// Somebody dials.
    fn call(&mut self, now_ms: u64) {
        let callers = self.lines.keys().filter(|leg| leg.shard == CALLERS_SHARD).count();
        let Some(gateway) = self.gateways.get(self.gateway).copied() else { return };
        if callers >= script::CALLERS_MAX {
            return;
        }
        let Some((stream, media)) = open(Voice::Caller) else { return };
        let leg = LegId { shard: CALLERS_SHARD, call: fastrand::u64(..), leg: 1 };
        let number = NUMBERS[fastrand::usize(..NUMBERS.len())].to_owned();
        let invite = Invite {
            caller: script::caller(),
            caller_name: "Demo caller".to_owned(),
            number: number.clone(),
            ..Invite::to(&format!("sip:{number}@{gateway}"), media)
        };
        let due_ms = now_ms + script::patience_ms();
        self.lines.insert(leg, Line { stream, gateway: Some(self.gateway), plan: Plan::GiveUp, due_ms });
        self.endpoint.invite(Millis(now_ms), leg, invite);
    }

    /// A plan's moment has come.
    fn go_on(&mut self, now_ms: u64, leg: LegId) {
        let Some(line) = self.lines.get_mut(&leg) else { return };
        // Whatever the far end does about it, this is not looked at again in a hurry.
        line.due_ms = now_ms + script::TALK_MS_MAX;
        if let Plan::PickUp = line.plan {
            line.plan = Plan::Finish;
            line.due_ms = now_ms + script::talk_ms();
            if let Ok(port) = line.stream.port() {
                // A leg that has gone meanwhile says so with its own effect.
                let _ = self.endpoint.answer(Millis(now_ms), leg, local(port));
            }
        } else if self.endpoint.end(Millis(now_ms), leg, 200, "goodbye").is_err() {
            self.put_down(leg);
        }
    }

    fn carry_out(&mut self, now_ms: u64) {
        while let Some(effect) = self.endpoint.poll() {
            match effect {
                // UDP may lose it anyway; the endpoint sends it again.
                Effect::Send { flow, bytes } => drop(self.socket.send_to(&bytes, flow.remote)),
                Effect::Offered { leg, number, media, .. } => self.ring(now_ms, leg, number, media),
                Effect::Answered { leg, media, .. } | Effect::MediaChanged { leg, media } => self.connect(leg, media),
                Effect::Ended { leg, cause, .. } => self.ended(now_ms, leg, cause),
                Effect::Register { id, .. } => {
                    self.endpoint.answer_register(Millis(now_ms), id, RegisterOutcome::Refused);
                }
                Effect::Stray { flow, bytes, .. } => self.endpoint.answer_stray(Millis(now_ms), flow, &bytes),
                // Nobody here is transferred.
                Effect::Referred { leg, .. } => drop(self.endpoint.answer_refer(Millis(now_ms), leg, 603)),
                Effect::Ringing { .. }
                | Effect::Confirmed { .. }
                | Effect::Digits { .. }
                | Effect::Redirected { .. }
                | Effect::Bound { .. }
                | Effect::Pinged { .. } => {}
            }
        }
    }

    fn ring(&mut self, now_ms: u64, leg: LegId, agent: String, media: Option<RemoteMedia>) {
        // The cluster would not ring somebody who talks: that call's gateway is dead and cannot say so.
        if let Some(old) = self.busy.insert(agent, leg) {
            let _ = self.endpoint.end(Millis(now_ms), old, 200, "another call");
        }
        let Some((stream, _)) = open(Voice::Agent) else {
            let _ = self.endpoint.end(Millis(now_ms), leg, 500, "no port");
            return;
        };
        let due_ms = now_ms + script::ring_ms();
        self.lines.insert(leg, Line { stream, gateway: None, plan: Plan::PickUp, due_ms });
        let _ = self.endpoint.alert(Millis(now_ms), leg);
        if let Some(media) = media {
            self.connect(leg, media);
        }
    }

    fn connect(&mut self, leg: LegId, media: RemoteMedia) {
        let Some(line) = self.lines.get_mut(&leg) else { return };
        let codec = match media.codec {
            sip::Codec::Pcmu => media::Codec::Pcmu,
            sip::Codec::Pcma => media::Codec::Pcma,
        };
        line.stream.connect(media.direction.receives().then_some((media.address, codec)));
    }

    fn ended(&mut self, now_ms: u64, leg: LegId, cause: EndCause) {
        let dialled = self.lines.get(&leg).and_then(|line| line.gateway);
        if cause == EndCause::Unreachable && dialled == Some(self.gateway) {
            self.call_elsewhere(now_ms);
        }
        self.put_down(leg);
    }

    /// The gateway is dead: whoever waits there hears nothing any more and hangs up.
    fn call_elsewhere(&mut self, now_ms: u64) {
        let dead = self.gateway;
        self.gateway = (dead + 1) % self.gateways.len().max(1);
        for line in self.lines.values_mut().filter(|line| line.gateway == Some(dead)) {
            line.due_ms = now_ms;
        }
        self.next_call_ms = now_ms;
    }

    fn put_down(&mut self, leg: LegId) {
        self.lines.remove(&leg);
        self.busy.retain(|_, busy| *busy != leg);
    }

    /// Reads what has come; waits for it until something else is due.
    fn listen(&mut self, buffer: &mut [u8]) -> anyhow::Result<()> {
        for read in 0..BURST_MAX {
            let now_ms = self.clock.now_ms();
            let wait_ms = if read == 0 { self.due_ms(now_ms).saturating_sub(now_ms).clamp(1, NAP_MS_MAX) } else { 1 };
            self.socket.set_read_timeout(Some(Duration::from_millis(wait_ms)))?;
            match self.socket.recv_from(buffer) {
                Ok((length, remote)) => {
                    let flow = Flow { transport: Transport::Udp, remote, connection: 0 };
                    let now_ms = self.clock.now_ms();
                    self.endpoint.receive(Millis(now_ms), flow, &buffer[..length], &House);
                    self.carry_out(now_ms);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                // A message to a dead gateway came back, or a signal.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error).context("the demo phones' socket is broken"),
            }
        }
        Ok(())
    }

    fn due_ms(&self, now_ms: u64) -> u64 {
        let lines = self.lines.values().map(|line| line.due_ms);
        let frame = (!self.lines.is_empty()).then_some(self.next_frame_ms);
        let timer = self.endpoint.next_timeout().map(|due| due.0);
        lines.chain(frame).chain(timer).chain([self.next_call_ms]).min().unwrap_or(now_ms)
    }
}

fn open(voice: Voice) -> Option<(Stream, LocalMedia)> {
    let stream = Stream::open(voice).ok()?;
    let media = local(stream.port().ok()?);
    Some((stream, media))
}

fn local(port: u16) -> LocalMedia {
    LocalMedia { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port, crypto: None }
}
