//! Real SIP endpoints around a real shard: callers, gateways and phones over a network that loses, doubles and reorders,
//! while gateways vanish, stand still and are drained. A dialog that was established and that nobody ended is never lost
//! by a take-over, and in the end both sides of each dialog agree.
//!
//! Smaller than the world: the shard is one replica and its links lose nothing; what they do under faults is the world's
//! business. Passports travel through the shard as they are.

mod far;
mod gateway;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use acd::{Command, CommandId, Document, Entry, Order, Output, RejectionCode, Shard, Want};
use fastrand::Rng;
use sip::{Access, Effect, Endpoint, EndpointConfig, Flow, Ha1, LegId, LocalMedia, Millis, Transport};

use gateway::Gateway;

/// Of all dialogs here.
const SHARD: u32 = 1;
const GATEWAYS: usize = 2;
const CALLERS: usize = 2;
const PHONES: usize = 3;
const ENDS: usize = 4;
const AGENTS: usize = 4;
const START_MS: u64 = 1_700_000_000_000;
/// Faults and new calls for so long.
const BUSY_MS: u64 = 90_000;
/// Then nobody does anything, and everything comes to an end.
const QUIET_MS: u64 = 60_000;
/// What is on its way arrives.
const STILL_MS: u64 = 20_000;
/// All timers of SIP are over after this.
const CLOSING_MS: u64 = 120_000;
/// A dead gateway is lost after this, one that is silent after that.
const DEAD_MS: u64 = 700;
const SILENT_MS: u64 = 1_600;

/// What a run was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Played {
    /// Dialogs that were established.
    pub established: u64,
    /// Legs that another gateway went on with.
    pub adopted: u64,
    /// Legs whose INVITE another gateway took back.
    pub taken_back: u64,
    /// Established dialogs that went on at another gateway and lived when all was quiet.
    pub lived: u64,
}

/// The two sides of a dialog.
#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    ours: Option<LegId>,
    theirs: Option<(usize, LegId)>,
    established: bool,
    /// The far end wanted it to end, or says that it has.
    left: bool,
}

#[derive(Debug)]
enum Event {
    Wire {
        from: usize,
        to: usize,
        bytes: Vec<u8>,
    },
    Up {
        at: usize,
        life: u64,
        command: Box<Command>,
    },
    Verdict {
        at: usize,
        life: u64,
        command: Box<Command>,
        verdict: Result<(), RejectionCode>,
    },
    Down {
        at: usize,
        stream: u64,
        orders: Vec<Order>,
        whole: bool,
    },
    Dial,
    Fault,
    Lose {
        at: usize,
        life: u64,
        stream: u64,
    },
    Start {
        at: usize,
    },
    Thaw {
        at: usize,
    },
    Drained {
        at: usize,
        undo: bool,
    },
    /// Somebody at a far end answers or hangs up.
    Answer {
        end: usize,
        leg: LegId,
    },
    HangUp {
        end: usize,
        leg: LegId,
    },
    Clock,
}

struct Open;

impl Access for Open {
    fn shard_of_number(&self, _: &str) -> Option<u32> {
        Some(SHARD)
    }
    fn trunk_allows(&self, _: IpAddr) -> bool {
        true
    }
    fn credential(&self, _: &str) -> Option<Ha1> {
        None
    }
}

struct World {
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    dice: Rng,
    loss: f64,
    shard: Shard,
    commands: u64,
    ends: Vec<Endpoint>,
    gateways: Vec<Gateway>,
    pairs: BTreeMap<String, Pair>,
    /// Legs that the shard has ever wanted gone.
    gone: BTreeSet<LegId>,
    dialled: u64,
    busy: bool,
    /// Nobody answers or hangs up any more.
    still: bool,
    played: Played,
    problem: Option<String>,
    /// What happened, for people.
    story: Vec<String>,
}

fn media(end: usize) -> LocalMedia {
    LocalMedia { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 20_000 + 1_000 * end as u16, crypto: None }
}

fn config(end: usize) -> EndpointConfig {
    let secret = if end < GATEWAYS { 0 } else { end as u8 };
    let mut config = EndpointConfig::new([secret; 32], "cordboard", "127.0.0.1", 5060 + end as u16);
    config.no_provisional_ms = 32_000;
    config.setup_wait_ms = 60_000;
    config
}

fn flow(end: usize) -> Flow {
    let remote = (Ipv4Addr::LOCALHOST, 5060 + end as u16).into();
    Flow { transport: Transport::Udp, remote, connection: 0 }
}

fn end_of(flow: Flow) -> Option<usize> {
    usize::from(flow.remote.port()).checked_sub(5060).filter(|end| *end < ENDS)
}

fn call_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().find_map(|line| line.strip_prefix("Call-ID: ")).unwrap_or_default().to_owned()
}

/// Plays the dialogs of a seed.
///
/// # Errors
/// What did not hold, with the story of it.
pub fn play(seed: u64) -> Result<Played, String> {
    let mut world = World::new(seed);
    let what = world.run();
    what.map_err(|what| format!("seed {seed}: {what}\n{}", world.story.join("\n")))?;
    Ok(world.played)
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            now: START_MS,
            events: BTreeMap::new(),
            sequence: 0,
            dice: Rng::with_seed(seed),
            loss: [0.0, 0.03, 0.08][(seed % 3) as usize],
            shard: Shard::default(),
            commands: 0,
            ends: (0..ENDS).map(|end| Endpoint::new(config(end))).collect(),
            gateways: (0..GATEWAYS).map(Gateway::new).collect(),
            pairs: BTreeMap::new(),
            gone: BTreeSet::new(),
            dialled: 0,
            busy: true,
            still: false,
            played: Played::default(),
            problem: None,
            story: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<(), String> {
        self.begin();
        self.pass(BUSY_MS)?;
        self.busy = false;
        self.pass(QUIET_MS)?;
        self.still = true;
        self.pass(STILL_MS)?;
        self.both_sides_agree()?;
        for end in [CALLERS, PHONES] {
            for leg in self.ends[end].legs().collect::<Vec<_>>() {
                self.hang_up(end, leg);
            }
        }
        self.pass(CLOSING_MS)?;
        self.nothing_is_left()
    }

    fn begin(&mut self) {
        let _ = self.apply(Command::SetRules { version: acd::RULES });
        let queue = acd::Queue { name: "q".into(), ring_seconds: 6, ..acd::Queue::default() };
        let number = acd::Number { name: "5000".into(), queue: "q".into(), ..acd::Number::default() };
        let mut documents = vec![Document::Queue(Box::new(queue)), Document::Number(number)];
        for agent in 1..=AGENTS {
            documents.push(Document::Agent(acd::Agent {
                name: format!("a{agent}"),
                contact: format!("sip:a{agent}@127.0.0.1:{}", 5060 + PHONES),
                queues: vec![acd::Membership { queue: "q".into(), tier: 1, weight: 1 }],
                start: acd::StartState::Ready,
                ..acd::Agent::default()
            }));
        }
        let _ = self.apply(Command::Configure { version: 1, documents });
        (0..GATEWAYS).for_each(|at| self.start(at));
        self.schedule(500, Event::Dial);
        self.schedule(3_000, Event::Fault);
        self.schedule(100, Event::Clock);
    }

    fn schedule(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay, self.sequence), event);
    }

    fn say(&mut self, what: &str) {
        self.story.push(format!("{:>8.3} {what}", (self.now - START_MS) as f64 / 1e3));
    }

    /// Time goes on for so long.
    fn pass(&mut self, ms: u64) -> Result<(), String> {
        let until = self.now + ms;
        loop {
            let timers = (0..ENDS).filter(|end| self.runs(*end)).filter_map(|end| self.ends[end].next_timeout());
            let timer = timers.map(|at| at.0.max(self.now)).min().unwrap_or(u64::MAX);
            let event = self.events.keys().next().map_or(u64::MAX, |(at, _)| *at);
            if timer.min(event) > until {
                break;
            }
            self.now = timer.min(event).max(self.now);
            if event <= timer {
                if let Some((_, event)) = self.events.pop_first() {
                    self.handle(event);
                }
            } else {
                for end in (0..ENDS).filter(|end| self.runs(*end)).collect::<Vec<_>>() {
                    if self.ends[end].next_timeout().is_some_and(|at| at.0 <= self.now) {
                        self.ends[end].timeout(Millis(self.now));
                        self.drain(end, "");
                    }
                }
            }
            if let Some(problem) = self.problem.take() {
                return Err(problem);
            }
        }
        self.now = until;
        Ok(())
    }

    fn runs(&self, end: usize) -> bool {
        self.gateways.get(end).is_none_or(Gateway::runs)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Wire { from, to, bytes } => self.arrived(from, to, bytes),
            Event::Up { at, life, command } => self.arrived_up(at, life, command),
            Event::Verdict { at, life, command, verdict } => self.told(at, life, *command, verdict),
            Event::Down { at, stream, orders, whole } => self.ordered(at, stream, orders, whole),
            Event::Dial => self.dial(),
            Event::Fault => self.fault(),
            Event::Lose { at, life, stream } => self.lose(at, life, stream),
            Event::Start { at } => self.start(at),
            Event::Thaw { at } => self.thaw(at),
            Event::Drained { at, undo } => {
                let (gateway, incarnation) = (Gateway::name(at), self.gateways[at].life);
                self.say(&format!("-- g{} is drained, undo {undo}", at + 1));
                let _ = self.apply(Command::DrainGateway { gateway, incarnation, undo, by: "boss".into() });
            }
            Event::Answer { .. } | Event::HangUp { .. } if self.still => {}
            Event::Answer { end, leg } => self.lift(end, leg),
            Event::HangUp { end, leg } => self.hang_up(end, leg),
            Event::Clock => {
                let _ = self.apply(Command::AdvanceClock);
                self.schedule(100, Event::Clock);
            }
        }
    }

    /// The shard does it, and tells whom it concerns.
    fn apply(&mut self, command: Command) -> Result<(), RejectionCode> {
        self.commands += 1;
        let id = CommandId { sender: 1, number: self.commands };
        let entry = Entry { at: self.now, id, settled_below: self.commands, trace: None, command };
        let mut out = Output::default();
        let verdict = self.shard.apply(entry, &mut out).map(|_| ()).map_err(|rejection| rejection.code);
        let mut orders: BTreeMap<usize, Vec<Order>> = BTreeMap::new();
        for (gateway, order) in out.orders {
            if matches!(order.want, Want::Gone { .. }) {
                self.gone.insert(LegId { shard: SHARD, call: order.call, leg: order.leg });
            }
            let at = (0..GATEWAYS).find(|at| *gateway == *Gateway::name(*at)).expect("one of ours");
            orders.entry(at).or_default().push(order);
        }
        for (at, orders) in orders {
            let stream = self.gateways[at].stream;
            self.down(at, stream, orders, false);
        }
        verdict
    }

    /// An endpoint's message goes out, perhaps more than once, perhaps never.
    fn send(&mut self, from: usize, to: Flow, bytes: &[u8]) {
        let Some(to) = end_of(to) else { return };
        for _ in 0..if self.dice.f64() < self.loss { 2 } else { 1 } {
            let late = self.dice.u64(1..150);
            if self.dice.f64() >= self.loss {
                self.schedule(late, Event::Wire { from, to, bytes: bytes.to_vec() });
            }
        }
    }

    fn arrived(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        if to < GATEWAYS {
            return self.arrived_at_gateway(from, to, bytes);
        }
        self.ends[to].receive(Millis(self.now), flow(from), &bytes, &Open);
        self.drain(to, &call_of(&bytes));
    }

    /// Carries out what an endpoint wants; `call` is the Call-ID of what made it want that.
    fn drain(&mut self, end: usize, call: &str) {
        while let Some(effect) = self.ends[end].poll() {
            if let Effect::Send { flow, bytes } = &effect {
                self.send(end, *flow, bytes);
            } else if end < GATEWAYS {
                self.at_gateway(end, effect, call);
            } else {
                self.at_far_end(end, effect, call);
            }
        }
    }

    /// Sends an INVITE by one end and remembers what it is called.
    fn invite(&mut self, end: usize, leg: LegId, invite: sip::Invite) {
        self.ends[end].invite(Millis(self.now), leg, invite);
        let mut name = None;
        while let Some(effect) = self.ends[end].poll() {
            if let Effect::Send { flow, bytes } = &effect {
                name = Some(call_of(bytes));
                self.send(end, *flow, bytes);
            }
        }
        let pair = self.pairs.entry(name.unwrap_or_default()).or_default();
        if end < GATEWAYS { pair.ours = Some(leg) } else { pair.theirs = Some((end, leg)) }
    }

    fn pair_of(&mut self, wanted: impl Fn(&Pair) -> bool) -> Option<&mut Pair> {
        self.pairs.values_mut().find(|pair| wanted(pair))
    }

    /// Whoever has the call in the shard's eyes has its dialogs, and so have the far ends.
    fn both_sides_agree(&mut self) -> Result<(), String> {
        for (name, pair) in &self.pairs {
            let (Some(ours), Some((end, theirs))) = (pair.ours, pair.theirs) else { continue };
            let holder = self.shard.holder(ours.call).map(|(gateway, _)| gateway);
            let at = (0..GATEWAYS).find(|at| holder.as_deref() == Some(&Gateway::name(*at)));
            let here = at.is_some_and(|at| self.ends[at].legs().any(|leg| leg == ours));
            let there = self.ends[end].legs().any(|leg| leg == theirs);
            // The BYE of a gateway that died with it may never have come: only the far end can find that out.
            let said = self.gone.contains(&ours) || self.shard.call(ours.call).is_none();
            if here != there && !said && pair.established {
                return Err(format!("{ours:?} ({name}): here {here}, there {there}"));
            }
            let moved = self.shard.call(ours.call).is_some_and(|call| call.legs.iter().any(|leg| leg.leg == ours.leg));
            self.played.lived += u64::from(
                here && there
                    && moved
                    && pair.established
                    && self.gateways.iter().any(|gateway| gateway.adopted.contains(&ours)),
            );
        }
        Ok(())
    }

    fn nothing_is_left(&mut self) -> Result<(), String> {
        let calls = self.shard.calls(&acd::view::CallFilter::default());
        if !calls.is_empty() {
            return Err(format!("left in the shard: {calls:?}"));
        }
        for end in 0..ENDS {
            let legs: Vec<_> = self.ends[end].legs().collect();
            let transactions = self.ends[end].transactions();
            if !legs.is_empty() || transactions > 0 {
                return Err(format!("left at end {end}: {legs:?}, {transactions} transactions"));
            }
        }
        Ok(())
    }
}
