//! The board of one lane: every leg it holds, what ought to be true of it and what is. Pure but for its `Wires` and
//! the media plane: no socket, no clock, no waiting. Never decides who talks to whom; shards do.
//!
//! Follow a call: `effects.rs` (SIP happened) -> shard -> `orders.rs` (what ought to be) and `outcomes.rs` (answers).

mod effects;
mod leg;
mod orders;
mod outcomes;
mod outward;
mod reading;
mod registered;
mod takeover;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use media::{Media, MediaEvent, MediaKey};
use proto::v1::{self, command::Kind};
use sip::{Endpoint, Flow, LegId, Millis, Route};

use self::{
    leg::{Hears, Leg, Standing},
    reading::Reading,
    registered::Attached,
    takeover::Arriving,
};
use crate::{
    directory::View,
    egress::{Egress, Own},
    link::{Ask, Ticket, Urgency},
    telemetry::{
        metrics::{LegPhase, Metrics},
        trace::{Parent, Tracing},
    },
    trunks::SharedTrunks,
};

/// Keys that are pressed within this time travel as one command.
const PRESSED_MS: u64 = 40;
/// Digits of one leg that wait to travel.
const PRESSED_MAX: usize = 32;
/// An ended leg is remembered for this long after the shard has taken note: orders told before that may still arrive.
const GRAVE_MS: u64 = 2_000;

/// What a board reaches the world with.
pub(crate) trait Wires: Send {
    /// Puts a message on the wire.
    fn send(&mut self, flow: Flow, bytes: Bytes);
    /// Whether new work may be asked of this shard.
    fn has_room(&self, shard: u32) -> bool;
    /// A fresh SRTP master key; offered only where it may travel.
    fn key(&mut self) -> Option<[u8; 30]>;
    /// Finds out which gateway has a call, and passes the message on to it; or `Board::nobody_has` hears of it.
    fn locate(&mut self, stray: Stray);
    /// Asks a shard; false when there is no link to it.
    fn ask(&mut self, shard: u32, ask: Ask) -> bool;
}

/// A message about a leg that is not here.
#[derive(Debug)]
pub(crate) struct Stray {
    /// From its tag; none when only the call is known.
    pub(crate) shard: Option<u32>,
    pub(crate) call: u64,
    pub(crate) flow: Flow,
    pub(crate) bytes: Bytes,
}

/// What a board is told at its birth.
#[derive(Clone)]
pub(crate) struct BoardConfig {
    pub(crate) lane: usize,
    pub(crate) gateway: String,
    pub(crate) incarnation: u64,
    pub(crate) rtp_ip: IpAddr,
    /// Legs get keys for SRTP.
    pub(crate) srtp: bool,
    pub(crate) legs_max: usize,
    /// An accepted offer about which no order came for so long is asked after.
    pub(crate) limbo_ms: u64,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tracing: Tracing,
    pub(crate) trunks: SharedTrunks,
    /// What of the cluster no call goes to.
    pub(crate) own: Arc<Own>,
    /// Legs of the whole process, ended ones that shards must still hear of included.
    pub(crate) legs_held: Arc<AtomicUsize>,
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// New calls are welcome.
    Serving,
    /// Calls go on; no new ones in either direction.
    Draining,
}

/// All legs of one lane.
pub(crate) struct Board {
    config: BoardConfig,
    endpoint: Endpoint,
    media: Arc<dyn Media>,
    wires: Box<dyn Wires>,
    view: Arc<View>,
    egress: Egress,
    /// The message that is being read.
    reading: Option<Reading>,
    /// INVITEs about which the shard has not said anything: another gateway may have their calls.
    invites: HashMap<MediaKey, (Flow, Bytes)>,
    /// Who is registered over which connection: nobody is reached over one that is closed.
    attached: Attached,
    legs: HashMap<MediaKey, Leg>,
    /// Counts up at each leader that begins to tell its orders.
    epochs: BTreeMap<u32, u32>,
    next_birth: u32,
    graves: VecDeque<(u64, MediaKey, u32)>,
    /// Legs of other gateways that are taken over as fast as is good for all.
    arriving: Arriving,
    /// Legs that other gateways have now, and until when their sound goes on here.
    yielded: VecDeque<(u64, MediaKey, u32)>,
    /// Accepted offers, and when an order ought to have come at the latest.
    limbo: VecDeque<(u64, MediaKey, u32)>,
    /// Shards whose leader has been silent for too long.
    doubted: BTreeSet<u32>,
    pressed: Vec<(MediaKey, String)>,
    pressed_since_ms: Option<u64>,
    stage: Stage,
}

impl Board {
    pub(crate) fn new(
        config: BoardConfig,
        endpoint: Endpoint,
        media: Arc<dyn Media>,
        wires: Box<dyn Wires>,
        view: Arc<View>,
    ) -> Self {
        let egress = Egress::of(&view, &config.own);
        Self {
            config,
            endpoint,
            media,
            wires,
            egress,
            view,
            reading: None,
            invites: HashMap::new(),
            attached: Attached::default(),
            legs: HashMap::new(),
            epochs: BTreeMap::new(),
            next_birth: 0,
            graves: VecDeque::new(),
            arriving: Arriving::default(),
            yielded: VecDeque::new(),
            limbo: VecDeque::new(),
            doubted: BTreeSet::new(),
            pressed: Vec::new(),
            pressed_since_ms: None,
            stage: Stage::Serving,
        }
    }

    /// A whole SIP message.
    pub(crate) fn receive(&mut self, now_ms: u64, flow: Flow, bytes: &[u8]) {
        self.reading = Some(Reading::of(flow, bytes));
        self.endpoint.receive(Millis(now_ms), flow, bytes, &*self.view);
        self.carry_out(now_ms);
        self.reading = None;
    }

    /// Nothing gets through to that far end.
    pub(crate) fn flow_failed(&mut self, now_ms: u64, flow: Flow) {
        self.endpoint.flow_failed(Millis(now_ms), flow);
        self.detach(flow);
        self.carry_out(now_ms);
    }

    /// Whether a message is about a call that has a leg here.
    pub(crate) fn knows_of(&self, bytes: &[u8]) -> bool {
        match sip::peek(&self.view.keys, bytes) {
            Route::Call(call) => self.legs.contains_key(&MediaKey { call, leg: 1 }),
            Route::Nowhere => false,
        }
    }

    /// No gateway holds the call of a stray message.
    pub(crate) fn nobody_has(&mut self, now_ms: u64, flow: Flow, bytes: &[u8]) {
        self.endpoint.answer_stray(Millis(now_ms), flow, bytes);
        self.carry_out(now_ms);
    }

    /// The directory has changed.
    pub(crate) fn set_view(&mut self, view: Arc<View>) {
        self.egress = Egress::of(&view, &self.config.own);
        self.endpoint.set_names(view.names());
        self.view = view;
    }

    /// The media plane heard something.
    pub(crate) fn media_event(&mut self, now_ms: u64, event: MediaEvent) {
        match event {
            MediaEvent::Digit { key, digit, .. } => self.press(now_ms, key, &[digit]),
            // Silence alone ends no call: the far end may mute.
            MediaEvent::Silent { key, for_ms } => {
                tracing::debug!(call = format!("{:016x}", key.call), leg = key.leg, for_ms, "no media");
            }
        }
    }

    /// Does whatever is due.
    pub(crate) fn timeout(&mut self, now_ms: u64) {
        if self.pressed_since_ms.is_some_and(|since| since + PRESSED_MS <= now_ms) {
            self.tell_pressed();
        }
        while let Some(&(until_ms, key, birth)) = self.graves.front()
            && until_ms <= now_ms
        {
            self.graves.pop_front();
            if self.legs.get(&key).is_some_and(|leg| leg.birth == birth) {
                self.remove(key);
            }
        }
        self.close_yielded(now_ms);
        self.look_into_limbo(now_ms);
        self.take_over_portion(now_ms);
        self.tend_trunks(now_ms);
        if self.endpoint.next_timeout().is_some_and(|due| due.0 <= now_ms) {
            self.endpoint.timeout(Millis(now_ms));
        }
        self.carry_out(now_ms);
    }

    /// When `timeout` is wanted next.
    pub(crate) fn next_timeout_ms(&self) -> Option<u64> {
        let endpoint = self.endpoint.next_timeout().map(|due| due.0);
        let pressed = self.pressed_since_ms.map(|since| since + PRESSED_MS);
        let grave = self.graves.front().map(|(until_ms, _, _)| *until_ms);
        let arriving = self.arriving.due_ms();
        let first = |line: &VecDeque<(u64, MediaKey, u32)>| line.front().map(|(until_ms, _, _)| *until_ms);
        let trunks = self.trunks_due_ms();
        let waits = [endpoint, pressed, grave, arriving, first(&self.yielded), first(&self.limbo), trunks];
        waits.into_iter().flatten().min()
    }

    /// No new calls from outside, or again. The shards hand over those that are here.
    pub(crate) fn drain(&mut self, draining: bool) {
        self.stage = if draining { Stage::Draining } else { Stage::Serving };
    }

    /// A leg that a stop need not wait for any longer.
    fn let_go(&self) {
        self.config.legs_held.fetch_sub(1, Ordering::Relaxed);
    }

    /// The process ends: what is still here is refused, cancelled or hung up, and reported.
    pub(crate) fn end_all(&mut self, now_ms: u64) {
        self.drain(true);
        self.leave_trunks(now_ms);
        let keys: Vec<_> = self.legs.iter().filter(|(_, leg)| leg.stands()).map(|(key, _)| *key).collect();
        for key in keys {
            self.end(now_ms, key, v1::EndCause::Failed, 503, "Gateway stops");
        }
        self.carry_out(now_ms);
    }

    // -- legs ------------------------------------------------------------------------------------------------

    fn insert(&mut self, key: MediaKey, shard: u32, standing: Standing, phase: LegPhase) -> &mut Leg {
        self.next_birth = self.next_birth.wrapping_add(1);
        let leg = Leg::new(shard, self.next_birth, self.epoch(shard), standing, phase);
        self.config.metrics.leg(None, Some(phase));
        self.config.legs_held.fetch_add(1, Ordering::Relaxed);
        if self.legs.contains_key(&key) {
            // The far end tries again with the same SIP ids, which it may after a refusal.
            self.remove(key);
        }
        self.legs.entry(key).or_insert(leg)
    }

    fn remove(&mut self, key: MediaKey) {
        self.invites.remove(&key);
        if let Some(leg) = self.legs.remove(&key) {
            if leg.port.is_some() {
                self.media.close(key);
            }
            self.config.metrics.leg(Some(leg.phase), None);
            if !leg.buried {
                self.let_go();
            }
        }
    }

    fn set_phase(&mut self, key: MediaKey, phase: LegPhase) {
        if let Some(leg) = self.legs.get_mut(&key)
            && leg.phase != phase
        {
            self.config.metrics.leg(Some(leg.phase), Some(phase));
            leg.phase = phase;
        }
    }

    fn epoch(&self, shard: u32) -> u32 {
        self.epochs.get(&shard).copied().unwrap_or(0)
    }

    /// Makes a leg go; its end comes back as an effect, and the shard hears `cause`.
    fn end(&mut self, now_ms: u64, key: MediaKey, cause: v1::EndCause, status: u16, reason: &str) {
        let Some(leg) = self.legs.get_mut(&key) else { return };
        leg.cause.get_or_insert(cause);
        let id = LegId { shard: leg.shard, call: key.call, leg: key.leg };
        if self.endpoint.end(Millis(now_ms), id, status, reason).is_err() {
            self.ended(key, cause, 0);
        }
    }

    /// A leg is no more outside. The shard hears of it once, if it knows the leg.
    fn ended(&mut self, key: MediaKey, cause: v1::EndCause, status: u16) {
        let Some(leg) = self.legs.get_mut(&key).filter(|leg| leg.stands()) else { return };
        let (shard, birth, tenure) = (leg.shard, leg.birth, leg.tenure);
        let known = leg.standing != Standing::Unknown;
        let moved_to = leg.moved_to.take().map_or_else(Vec::new, |moved_to| *moved_to);
        let cause = leg.cause.unwrap_or(cause);
        let had_port = leg.port.take().is_some();
        (leg.outward, leg.slot) = (None, None);
        let parent = leg.parent();
        if let Some(mut trace) = leg.trace.take() {
            trace.set("cordboard.end", cause.as_str_name());
        }
        if had_port {
            self.unhook(key);
            self.media.close(key);
        }
        self.set_phase(key, LegPhase::Ended);
        if !known {
            self.remove(key);
            return;
        }
        let command = Kind::EndLeg(v1::EndLeg {
            call: key.call,
            leg: key.leg,
            cause: cause.into(),
            sip_status: status.into(),
            tenure,
            moved_to,
        });
        // The shard ordered it, so nothing waits for the news.
        let urgency = if cause == v1::EndCause::Ordered { Urgency::Lazy } else { Urgency::Urgent };
        if !self.ask(shard, command, urgency, Some(Ticket::End { call: key.call, leg: key.leg, birth }), parent) {
            self.remove(key);
        }
    }

    /// Whoever was joined to this leg hears it no longer.
    fn unhook(&mut self, key: MediaKey) {
        let Some(Hears::Leg(other)) = self.legs.get(&key).map(|leg| leg.hears.clone()) else { return };
        let other = MediaKey { call: key.call, leg: other };
        if let Some(partner) = self.legs.get_mut(&other)
            && partner.hears == Hears::Leg(key.leg)
        {
            partner.hears = Hears::Nothing;
        }
    }

    fn ask(&mut self, shard: u32, kind: Kind, urgency: Urgency, ticket: Option<Ticket>, trace: Option<Parent>) -> bool {
        let command = v1::Command { kind: Some(kind) };
        self.wires.ask(shard, Ask { command, urgency, lane: self.config.lane, ticket, trace })
    }

    /// The shard has taken note of an end: nothing is waited for any more, but late orders are still recognised.
    fn bury(&mut self, now_ms: u64, key: MediaKey, birth: u32) {
        let Some(leg) = self.legs.get_mut(&key).filter(|leg| leg.birth == birth && !leg.buried) else { return };
        leg.buried = true;
        self.let_go();
        self.graves.push_back((now_ms + GRAVE_MS, key, birth));
    }

    // -- digits ----------------------------------------------------------------------------------------------

    fn press(&mut self, now_ms: u64, key: MediaKey, digits: &[char]) {
        if !self.legs.get(&key).is_some_and(Leg::stands) {
            return;
        }
        let position = self.pressed.iter().position(|(leg, _)| *leg == key).unwrap_or_else(|| {
            self.pressed.push((key, String::new()));
            self.pressed.len() - 1
        });
        let pressed = &mut self.pressed[position].1;
        pressed.extend(digits.iter().take(PRESSED_MAX.saturating_sub(pressed.len())));
        self.pressed_since_ms.get_or_insert(now_ms);
    }

    fn tell_pressed(&mut self) {
        self.pressed_since_ms = None;
        for (key, digits) in std::mem::take(&mut self.pressed) {
            let Some(leg) = self.legs.get(&key).filter(|leg| leg.stands()) else { continue };
            let (shard, tenure, parent) = (leg.shard, leg.tenure, leg.parent());
            // Keys are new work: a link that is full loses them, as a call that stands must not be hurt by them.
            if self.wires.has_room(shard) {
                let command = Kind::PressDigits(v1::PressDigits { call: key.call, leg: key.leg, digits, tenure });
                self.ask(shard, command, Urgency::Urgent, None, parent);
            }
        }
    }
}
