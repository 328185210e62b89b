//! A gateway vanishes at any moment, another one goes on from the last passports over the same bad network: in the end both
//! sides of each call agree whether it lives.

use std::collections::{BTreeMap, BTreeSet};

use sip::{Adopted, Effect, Endpoint, EndpointConfig, Flow, Invite, LegId, LocalMedia, Millis, Transport};

use super::{MEDIA, Open, flow};

/// The gateway that vanishes, the far end, the gateway that goes on.
const FORMER: usize = 0;
const FAR: usize = 1;
const NEXT: usize = 2;

/// How long nobody asks for anything, so that everything comes to an end.
const QUIET_MS: u64 = 200_000;
/// A BYE that the former said so short before it vanished may never have come.
const BYE_MS: u64 = 40_000;

#[derive(Default)]
struct Call {
    ours: Option<LegId>,
    theirs: Option<LegId>,
}

#[derive(Clone, Copy, Default)]
struct Wish {
    answer: bool,
    end: bool,
}

struct World {
    ends: Vec<Endpoint>,
    former_lives: bool,
    wire: BTreeMap<(u64, u64), (usize, usize, Vec<u8>)>,
    order: u64,
    dice: fastrand::Rng,
    loss: f64,
    /// The far end sends re-INVITEs. One to a gateway that is gone ends its call (RFC 3261 14.1), whoever has that.
    restless: bool,
    /// What the shard would know of our legs.
    passports: BTreeMap<LegId, Vec<u8>>,
    wishes: BTreeMap<LegId, Wish>,
    invites: BTreeMap<LegId, Invite>,
    ended: BTreeMap<LegId, u64>,
    calls: BTreeMap<String, Call>,
    begun: u64,
    adopted: BTreeSet<LegId>,
    lived: u32,
}

fn call_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().find_map(|line| line.strip_prefix("Call-ID: ")).unwrap_or_default().to_owned()
}

fn address(end: usize) -> Flow {
    flow(&format!("127.0.0.1:{}", 5060 + end), Transport::Udp)
}

fn media(end: usize) -> LocalMedia {
    LocalMedia { port: 20_000 + 1_000 * u16::try_from(end).unwrap(), ..MEDIA }
}

impl World {
    fn new(seed: u64) -> Self {
        let end = |port: u16, secret: u8| {
            let mut config = EndpointConfig::new([secret; 32], "cordboard", "127.0.0.1", port);
            config.no_provisional_ms = 32_000;
            config.setup_wait_ms = 60_000;
            Endpoint::new(config)
        };
        Self {
            ends: vec![end(5060, 0), end(5061, 1), end(5062, 0)],
            former_lives: true,
            wire: BTreeMap::new(),
            order: 0,
            dice: fastrand::Rng::with_seed(seed),
            restless: seed % 2 == 1,
            loss: [0.0, 0.05, 0.1][usize::try_from(seed % 3).unwrap()],
            passports: BTreeMap::new(),
            wishes: BTreeMap::new(),
            invites: BTreeMap::new(),
            ended: BTreeMap::new(),
            calls: BTreeMap::new(),
            begun: 0,
            adopted: BTreeSet::new(),
            lived: 0,
        }
    }

    /// Carries out what an end wants; `call` is the Call-ID of what made it want that.
    fn drain(&mut self, end: usize, now: u64, call: &str) {
        while let Some(effect) = self.ends[end].poll() {
            match effect {
                Effect::Send { flow, bytes } => self.send(end, now, flow, &bytes),
                Effect::Offered { leg, passport, .. } => {
                    self.name(call, end, leg);
                    if end != FAR {
                        self.passports.insert(leg, passport);
                    }
                }
                Effect::Answered { leg, passport, .. } | Effect::Confirmed { leg, passport } if end != FAR => {
                    self.passports.insert(leg, passport);
                }
                Effect::Ended { leg, .. } if end != FAR => {
                    self.passports.remove(&leg);
                    assert!(self.ended.insert(leg, now).is_none(), "{leg:?} ended twice");
                }
                Effect::Stray { flow, bytes, .. } => self.ends[end].answer_stray(Millis(now), flow, &bytes),
                _ => {}
            }
        }
    }

    fn send(&mut self, end: usize, now: u64, to: Flow, bytes: &[u8]) {
        let to = usize::from(to.remote.port() - 5060);
        for _ in 0..if self.dice.f64() < self.loss { 2 } else { 1 } {
            if self.dice.f64() >= self.loss {
                self.order += 1;
                let late = self.dice.u64(1..200);
                self.wire.insert((now + late, self.order), (end, to, bytes.to_vec()));
            }
        }
    }

    fn name(&mut self, call: &str, end: usize, leg: LegId) {
        let call = self.calls.entry(call.to_owned()).or_default();
        *(if end == FAR { &mut call.theirs } else { &mut call.ours }) = Some(leg);
    }

    /// Somebody calls somebody.
    fn call(&mut self, now: u64) {
        self.begun += 1;
        let gateway = if self.former_lives { FORMER } else { NEXT };
        let (from, to) = if self.dice.bool() { (gateway, FAR) } else { (FAR, gateway) };
        let leg = LegId { shard: 1, call: self.begun, leg: 2 };
        let target = format!("sip:5000@127.0.0.1:{}", 5060 + to);
        let invite = Invite { caller: "1".into(), ..Invite::to(&target, media(from)) };
        if from != FAR {
            self.invites.insert(leg, invite.clone());
        }
        self.ends[from].invite(Millis(now), leg, invite);
        let mut probe = None;
        while let Some(effect) = self.ends[from].poll() {
            if let Effect::Send { flow, bytes } = effect {
                probe = Some(call_of(&bytes));
                self.send(from, now, flow, &bytes);
            }
        }
        self.name(&probe.unwrap(), from, leg);
    }

    /// Random things are asked of random legs.
    fn meddle(&mut self, now: u64, adopting: bool) {
        let gateway = if self.former_lives { FORMER } else { NEXT };
        let end = if self.dice.bool() { FAR } else { gateway };
        if end != FAR && adopting {
            return;
        }
        let legs: Vec<LegId> = self.ends[end].legs().collect();
        let Some(leg) = legs.get(self.dice.usize(0..legs.len().max(1))).copied() else { return };
        let at = Millis(now);
        let endpoint = &mut self.ends[end];
        let wish = self.wishes.entry(leg).or_default();
        match self.dice.u32(0..20) {
            0..=5 => endpoint.alert(at, leg).unwrap(),
            6..=13 => {
                wish.answer |= end != FAR;
                endpoint.answer(at, leg, media(end)).unwrap();
            }
            14..=17 if end != FAR || self.restless => {
                let port = self.dice.u16(2_000..3_000) * 2;
                let _ = endpoint.reoffer(at, leg, LocalMedia { port, ..MEDIA });
            }
            _ if self.dice.u32(0..4) > 0 => {}
            _ => {
                wish.end = true;
                endpoint.end(at, leg, 486, "enough").unwrap();
            }
        }
        self.drain(end, now, "");
    }

    /// The next gateway goes on with everything that the former had.
    fn take_over(&mut self, now: u64) {
        let at = Millis(now);
        for leg in self.ends[FORMER].legs().collect::<Vec<_>>() {
            let wish = self.wishes.get(&leg).copied().unwrap_or_default();
            let next = &mut self.ends[NEXT];
            match self.passports.get(&leg) {
                Some(passport) => {
                    let adopted = next.adopt(at, leg, passport).unwrap();
                    self.adopted.insert(leg);
                    match adopted {
                        _ if wish.end => next.end(at, leg, 0, "").unwrap(),
                        Adopted::Up => next.reoffer(at, leg, media(NEXT)).unwrap(),
                        Adopted::Offered if wish.answer => next.answer(at, leg, media(NEXT)).unwrap(),
                        Adopted::Offered => next.alert(at, leg).unwrap(),
                    }
                }
                None => next.take_back(at, leg, self.invites[&leg].clone(), "127.0.0.1:5060"),
            }
            self.drain(NEXT, now, "");
        }
    }

    /// Time goes on until `until`.
    fn pass(&mut self, now: &mut u64, until: u64) {
        loop {
            let living = |end: &usize| *end != FORMER || self.former_lives;
            let ends: Vec<usize> = (0..3).filter(living).collect();
            let timers = ends.iter().filter_map(|end| self.ends[*end].next_timeout()).map(|at| at.0).min();
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let Some(next) = [timers, arrival].into_iter().flatten().min().filter(|at| *at <= until) else { break };
            *now = next.max(*now);
            while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= *now) {
                let (from, to, bytes) = entry.remove();
                if to != FORMER || self.former_lives {
                    self.ends[to].receive(Millis(*now), address(from), &bytes, &Open);
                    self.drain(to, *now, &call_of(&bytes));
                }
            }
            for end in ends {
                if self.ends[end].next_timeout().is_some_and(|at| at.0 <= *now) {
                    self.ends[end].timeout(Millis(*now));
                    self.drain(end, *now, "");
                }
            }
        }
        *now = until.max(*now);
    }

    fn run(&mut self, seed: u64) {
        let mut now = 1_700_000_000_000;
        let vanishes = now + self.dice.u64(2_000..40_000);
        let taken = vanishes + self.dice.u64(0..6_000);
        let quiet = taken + self.dice.u64(100..30_000);
        let mut adopting = false;
        while now < quiet {
            let step = now + self.dice.u64(1..400);
            self.pass(&mut now, step);
            if self.former_lives && now >= vanishes {
                self.former_lives = false;
                adopting = true;
            }
            if adopting && now >= taken {
                adopting = false;
                self.take_over(now);
            }
            if self.begun < 12 && self.dice.u32(0..4) == 0 && !adopting {
                self.call(now);
            }
            self.meddle(now, adopting);
        }
        if adopting {
            self.take_over(now);
        }
        for end in [FAR, NEXT] {
            for leg in self.ends[end].legs().collect::<Vec<_>>() {
                let _ = self.ends[end].answer(Millis(now), leg, media(end));
            }
            self.drain(end, now, "");
        }
        let until = now + QUIET_MS;
        self.pass(&mut now, until);
        self.agreed(seed, vanishes);
        for end in [FAR, NEXT] {
            for leg in self.ends[end].legs().collect::<Vec<_>>() {
                let _ = self.ends[end].end(Millis(now), leg, 0, "closing time");
            }
            self.drain(end, now, "");
        }
        let until = now + QUIET_MS;
        self.pass(&mut now, until);
        for end in [FAR, NEXT] {
            let left = (self.ends[end].legs().count(), self.ends[end].transactions());
            assert_eq!(left, (0, 0), "left on {end}, seed {seed}");
        }
    }

    fn agreed(&mut self, seed: u64, vanishes: u64) {
        let [ours, theirs] = [NEXT, FAR].map(|end| self.ends[end].legs().collect::<BTreeSet<_>>());
        for (name, call) in &self.calls {
            let lost = call.ours.and_then(|leg| self.ended.get(&leg));
            if lost.is_some_and(|at| *at <= vanishes && *at + BYE_MS > vanishes) {
                continue;
            }
            let [here, there] = [(call.ours, &ours), (call.theirs, &theirs)]
                .map(|(leg, set)| leg.is_some_and(|leg| set.contains(&leg)));
            let adopted = call.ours.is_some_and(|leg| self.adopted.contains(&leg));
            let mut legs = [call.ours, call.theirs].into_iter().flatten();
            let unwanted = legs.any(|leg| self.wishes.get(&leg).is_some_and(|wish| wish.end));
            // Who did not want it to end keeps it.
            assert!(here || !adopted || unwanted || self.restless, "seed {seed}, call {name}: {:?} dropped", call.ours);
            assert_eq!(here, there, "seed {seed}, call {name}: ours {:?}, theirs {:?}", call.ours, call.theirs);
            self.lived += u32::from(here && adopted);
        }
    }
}

#[test]
fn whenever_a_gateway_vanishes_both_ends_agree_in_the_end() {
    let (mut adopted, mut lived) = (0, 0);
    for seed in 0..400 {
        let mut world = World::new(seed);
        world.run(seed);
        adopted += world.adopted.len();
        lived += world.lived;
    }
    assert!(adopted > 400 && lived > 400, "{adopted} adopted, {lived} lived");
}
