//! Two endpoints over a lossy, reordering, seeded network; torture messages; mutated messages.
//! Every call ends, each leg is told gone exactly once, nothing is left, nothing panics.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sip::framing::Framer;
use sip::{Access, Effect, Endpoint, EndpointConfig, Flow, Ha1, Invite, LegId, Limits, LocalMedia, Millis, Transport};

struct Open;

impl Access for Open {
    fn shard_of_number(&self, _: &str) -> Option<u32> {
        Some(1)
    }
    fn trunk_allows(&self, _: IpAddr) -> bool {
        true
    }
    fn credential(&self, _: &str) -> Option<Ha1> {
        None
    }
}

fn flow(address: &str, transport: Transport) -> Flow {
    Flow { transport, remote: address.parse().unwrap(), connection: 0 }
}

const MEDIA: LocalMedia = LocalMedia { address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port: 20_000, crypto: None };

struct World {
    sides: [Endpoint; 2],
    addresses: [Flow; 2],
    /// (when, order) -> (to, bytes)
    wire: BTreeMap<(u64, u64), (usize, Vec<u8>)>,
    order: u64,
    dice: fastrand::Rng,
    loss: f64,
    begun: BTreeSet<(usize, LegId)>,
    ended: BTreeMap<(usize, LegId), u32>,
    answered: u32,
}

impl World {
    fn new(seed: u64, loss: f64, transport: Transport) -> Self {
        let side = |n: u8| {
            let mut config = EndpointConfig::new([n; 32], "cordboard", "127.0.0.1", 5060 + u16::from(n));
            config.no_provisional_ms = 32_000;
            Endpoint::new(config)
        };
        Self {
            sides: [side(0), side(1)],
            addresses: [flow("127.0.0.1:5060", transport), flow("127.0.0.1:5061", transport)],
            wire: BTreeMap::new(),
            order: 0,
            dice: fastrand::Rng::with_seed(seed),
            loss,
            begun: BTreeSet::new(),
            ended: BTreeMap::new(),
            answered: 0,
        }
    }

    fn drain(&mut self, side: usize, now: u64) {
        while let Some(effect) = self.sides[side].poll() {
            match effect {
                Effect::Send { flow, bytes } => {
                    let to = usize::from(flow.remote == self.addresses[1].remote);
                    if self.dice.f64() < self.loss {
                        continue;
                    }
                    let copies = if self.dice.f64() < self.loss { 2 } else { 1 };
                    for _ in 0..copies {
                        self.order += 1;
                        let late = if self.loss > 0.0 { self.dice.u64(1..300) } else { 1 };
                        self.wire.insert((now + late, self.order), (to, bytes.to_vec()));
                    }
                }
                Effect::Offered { leg, .. } => {
                    assert!(self.begun.insert((side, leg)), "a second leg for {leg:?}");
                }
                Effect::Answered { .. } => self.answered += 1,
                Effect::Ended { leg, .. } => *self.ended.entry((side, leg)).or_default() += 1,
                Effect::Ringing { .. } | Effect::Confirmed { .. } | Effect::MediaChanged { .. } => {}
                Effect::Stray { flow, bytes, .. } => self.sides[side].answer_stray(Millis(now), flow, &bytes),
                Effect::Digits { .. }
                | Effect::Register { .. }
                | Effect::Referred { .. }
                | Effect::Redirected { .. }
                | Effect::Bound { .. }
                | Effect::Pinged { .. } => unreachable!("nobody sends these"),
            }
        }
    }

    /// Random things are asked of random legs.
    fn meddle(&mut self, now: u64) {
        let side = self.dice.usize(0..2);
        let legs: Vec<LegId> = self.sides[side].legs().collect();
        let Some(leg) = legs.get(self.dice.usize(0..legs.len().max(1))).copied() else { return };
        let at = Millis(now);
        let endpoint = &mut self.sides[side];
        match self.dice.u32(0..10) {
            0..=2 => drop(endpoint.alert(at, leg)),
            3..=6 => drop(endpoint.answer(at, leg, MEDIA)),
            7 => drop(endpoint.reoffer(at, leg, LocalMedia { port: self.dice.u16(2_000..3_000) * 2, ..MEDIA })),
            _ => drop(endpoint.end(at, leg, 486, "enough")),
        }
        self.drain(side, now);
    }

    fn run(&mut self, calls: u32) {
        let mut now = 1_000_000u64;
        let mut begun = 0;
        let busy_until = now + 120_000;
        loop {
            let timers = self.sides.iter().filter_map(Endpoint::next_timeout).map(|at| at.0).min();
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let act = (now < busy_until).then_some(now + 50);
            let Some(next) = [timers, arrival, act].into_iter().flatten().min() else { break };
            now = now.max(next);
            while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= now) {
                let (to, bytes) = entry.remove();
                self.sides[to].receive(Millis(now), self.addresses[1 - to], &bytes, &Open);
                self.drain(to, now);
            }
            for side in 0..2 {
                if self.sides[side].next_timeout().is_some_and(|at| at.0 <= now) {
                    self.sides[side].timeout(Millis(now));
                    self.drain(side, now);
                }
            }
            if now < busy_until {
                if begun < calls && self.dice.u32(0..4) == 0 {
                    begun += 1;
                    let tcp = if self.addresses[0].transport == Transport::Tcp { ";transport=tcp" } else { "" };
                    let leg = LegId { shard: 1, call: u64::from(begun), leg: 2 };
                    let target = format!("sip:5000@127.0.0.1:5061{tcp}");
                    let invite = Invite { caller: "1".into(), ..Invite::to(&target, MEDIA) };
                    self.begun.insert((0, leg));
                    self.sides[0].invite(Millis(now), leg, invite);
                    self.drain(0, now);
                }
                self.meddle(now);
            } else {
                for side in 0..2 {
                    for leg in self.sides[side].legs().collect::<Vec<_>>() {
                        let _ = self.sides[side].end(Millis(now), leg, 480, "closing time");
                    }
                    self.drain(side, now);
                }
            }
            assert!(now < busy_until + 2_000_000, "it never ends");
        }
        for (side, endpoint) in self.sides.iter().enumerate() {
            assert_eq!(endpoint.legs().count(), 0, "legs left on {side}");
            assert_eq!(endpoint.transactions(), 0, "transactions left on {side}");
        }
        for leg in &self.begun {
            assert_eq!(self.ended.get(leg), Some(&1), "{leg:?} ended once");
        }
        assert_eq!(self.ended.len(), self.begun.len());
    }
}

#[test]
fn every_call_ends_once_over_a_bad_network() {
    for seed in 0..60 {
        let mut world = World::new(seed, f64::from(u32::try_from(seed % 5).unwrap()) * 0.08, Transport::Udp);
        world.run(40);
        assert!(world.answered > 0, "seed {seed} answered nobody");
    }
}

#[test]
fn every_call_ends_once_over_tcp() {
    for seed in 0..10 {
        let mut world = World::new(seed, 0.0, Transport::Tcp);
        world.run(40);
        assert!(world.answered > 0);
    }
}

fn answer_to(bytes: &[u8]) -> Option<u16> {
    let mut endpoint = Endpoint::new(EndpointConfig::new([3; 32], "cordboard", "127.0.0.1", 5060));
    endpoint.receive(Millis(1_000_000), flow("127.0.0.1:5070", Transport::Udp), bytes, &Open);
    let mut status = None;
    while let Some(effect) = endpoint.poll() {
        if let Effect::Send { bytes, .. } = effect {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            status = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest[..3].parse().ok());
        }
    }
    status
}

#[test]
fn the_torture_messages_of_rfc_4475_get_their_verdict() {
    let wanted: &[(&str, Option<u16>)] = &[
        ("badinv01", Some(400)),
        ("clerr", Some(400)),
        ("ncl", Some(400)),
        ("scalar02", Some(400)),
        ("scalarlg", None),
        ("ltgtruri", Some(400)),
        ("lwsruri", Some(400)),
        ("lwsstart", Some(400)),
        ("trws", Some(400)),
        ("escruri", Some(400)),
        ("badvers", Some(505)),
        ("mismatch01", Some(400)),
        ("mismatch02", Some(400)),
        ("bigcode", None),
        ("bext01", Some(420)),
        ("invut", Some(415)),
        ("unkscm", Some(416)),
        ("novelsc", Some(416)),
        ("insuf", Some(400)),
        ("multi01", Some(400)),
        ("mcl01", Some(400)),
        ("bcast", None),
        ("unreason", None),
        ("noreason", None),
        ("regaut01", Some(401)),
        ("regescrt", Some(401)),
        ("cparam01", Some(401)),
        ("cparam02", Some(401)),
        ("wsinv", Some(481)),
        ("inv2543", Some(100)),
        ("transports", Some(200)),
    ];
    let mut wrong = Vec::new();
    for case in sipx_testkit::rfc4475::CASES {
        let got = answer_to(case.bytes);
        let Some((_, expected)) = wanted.iter().find(|(name, _)| *name == case.name) else { continue };
        if got != *expected {
            wrong.push(format!("{}: wanted {expected:?}, got {got:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_ipv6_messages_of_rfc_5118_never_panic() {
    let mut answered = 0;
    for case in sipx_testkit::rfc5118::classified() {
        answered += u32::from(answer_to(&case.wire()).is_some());
    }
    assert!(answered > 0);
}

fn corpus() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = sipx_testkit::rfc4475::CASES.iter().map(|case| case.bytes.to_vec()).collect();
    all.extend(sipx_testkit::rfc5118::classified().map(|case| case.wire().to_vec()));
    all
}

fn mutate(dice: &mut fastrand::Rng, message: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..dice.usize(1..6) {
        let at = dice.usize(0..message.len().max(1));
        match dice.u32(0..6) {
            0 => message.truncate(at),
            1 if at < message.len() => message[at] = dice.u8(..),
            2 => message.insert(at.min(message.len()), *dice.choice(b"\r\n;,:<>\" %=\0@").unwrap()),
            3 if at < message.len() => drop(message.remove(at)),
            4 => {
                let from = dice.usize(0..other.len());
                let to = dice.usize(from..other.len());
                let at = at.min(message.len());
                message.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                let end = (at + dice.usize(0..40)).min(message.len());
                message.drain(at.min(end)..end);
            }
        }
    }
}

#[test]
fn mutated_messages_never_panic_and_are_forgotten() {
    let corpus = corpus();
    let mut dice = fastrand::Rng::with_seed(4475);
    let mut config = EndpointConfig::new([3; 32], "cordboard", "127.0.0.1", 5060);
    config.limits = Limits { legs_max: 50, transactions_max: 200, ..Limits::default() };
    let mut endpoint = Endpoint::new(config.clone());
    let mut now = Millis(1_000_000);
    for round in 0..8_000u64 {
        let mut message = dice.choice(&corpus).unwrap().clone();
        let other = dice.choice(&corpus).unwrap().clone();
        mutate(&mut dice, &mut message, &other);
        now = now.plus(dice.u64(0..40));
        let transport = if round % 3 == 0 { Transport::Tcp } else { Transport::Udp };
        let _ = sip::peek(&sip::tag::Keys::new(&[3; 32]), &message);
        endpoint.receive(now, flow("127.0.0.1:5070", transport), &message, &Open);
        endpoint.timeout(now);
        let mut framer = Framer::new(config.limits);
        for chunk in message.chunks(dice.usize(1..200)) {
            framer.push(chunk);
            while let Ok(Some(_)) = framer.next_frame() {}
        }
        while let Some(effect) = endpoint.poll() {
            if let Effect::Offered { leg, .. } = effect {
                match dice.u32(0..4) {
                    0 => drop(endpoint.alert(now, leg)),
                    1 => drop(endpoint.answer(now, leg, MEDIA)),
                    2 => drop(endpoint.end(now, leg, 486, "")),
                    _ => {}
                }
            }
        }
        assert!(endpoint.legs().count() <= 50 && endpoint.transactions() <= 200 + 50);
    }
    for leg in endpoint.legs().collect::<Vec<_>>() {
        let _ = endpoint.end(now, leg, 480, "");
    }
    for _ in 0..100_000 {
        let Some(at) = endpoint.next_timeout() else { break };
        endpoint.timeout(at);
        while endpoint.poll().is_some() {}
    }
    assert_eq!((endpoint.legs().count(), endpoint.transactions()), (0, 0));
}

#[test]
fn a_stream_is_cut_wherever_it_is_split() {
    let message = b"OPTIONS sip:a@b SIP/2.0\r\nVia: x\r\nl: 5\r\n\r\nhello";
    let stream = [b"\r\n\r\n".as_slice(), message, b"\r\n", message].concat();
    for at in 0..stream.len() {
        let mut framer = Framer::new(Limits::default());
        let mut frames = Vec::new();
        for part in [&stream[..at], &stream[at..]] {
            framer.push(part);
            while let Some(frame) = framer.next_frame().unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(frames.len(), 3, "split at {at}: {frames:?}");
    }
    for bad in ["OPTIONS a SIP/2.0\r\n\r\n", "O a SIP/2.0\r\nl: -1\r\n\r\n", "O a SIP/2.0\r\nl: 99999999\r\n\r\n"] {
        let mut framer = Framer::new(Limits::default());
        framer.push(bad.as_bytes());
        assert!(framer.next_frame().is_err(), "{bad}");
        assert!(framer.next_frame().is_err());
    }
}
