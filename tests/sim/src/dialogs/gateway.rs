//! A gateway's board in small: orders to an endpoint, what the endpoint says to the shard, and how gateways come and go.

use std::collections::{BTreeMap, BTreeSet};

use acd::{Command, EndCause, Order, RejectionCode, Want};
use sip::relay::{Passage, Relay};
use sip::{Adopted, Effect, Endpoint, Invite, LegId, Millis};

use super::{DEAD_MS, Event, GATEWAYS, Open, SHARD, SILENT_MS, World, config, flow, media};

/// What is known of a leg here.
#[derive(Debug, Clone, Default)]
struct Leg {
    tenure: u32,
    revision: u64,
    /// An INVITE that is not answered yet.
    asked: bool,
    over: bool,
}

/// One gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) life: u64,
    /// Counts the times that it was told everything.
    pub(super) stream: u64,
    lives: bool,
    frozen: bool,
    attached: bool,
    up_at: u64,
    down_at: u64,
    relay: Relay,
    legs: BTreeMap<LegId, Leg>,
    /// Came while it stood still.
    waiting: Vec<(usize, Vec<u8>)>,
    /// That were taken over here, ever.
    pub(super) adopted: BTreeSet<LegId>,
}

impl Gateway {
    pub(super) fn new(at: usize) -> Self {
        Self {
            life: 0,
            stream: 0,
            lives: false,
            frozen: false,
            attached: false,
            up_at: 0,
            down_at: 0,
            relay: Relay::new(&config(at)),
            legs: BTreeMap::new(),
            waiting: Vec::new(),
            adopted: BTreeSet::new(),
        }
    }

    pub(super) fn name(at: usize) -> String {
        format!("g{}", at + 1)
    }

    pub(super) fn runs(&self) -> bool {
        self.lives && !self.frozen
    }
}

impl World {
    // How gateways come and go.

    pub(super) fn fault(&mut self) {
        if !self.busy {
            return;
        }
        let pause = self.dice.u64(4_000..14_000);
        self.schedule(pause, Event::Fault);
        let at = self.dice.usize(0..GATEWAYS);
        if !self.gateways[at].runs() {
            return;
        }
        let (life, stream) = (self.gateways[at].life, self.gateways[at].stream);
        match self.dice.u32(0..3) {
            0 => {
                self.say(&format!("-- g{} vanishes", at + 1));
                self.gateways[at].lives = false;
                self.gateways[at].attached = false;
                self.schedule(DEAD_MS, Event::Lose { at, life, stream });
                let back = self.dice.u64(300..9_000);
                self.schedule(back, Event::Start { at });
            }
            1 => {
                self.say(&format!("-- g{} stands still", at + 1));
                self.gateways[at].frozen = true;
                let back = self.dice.u64(300..6_000);
                if back > SILENT_MS {
                    self.schedule(SILENT_MS, Event::Lose { at, life, stream });
                }
                self.schedule(back, Event::Thaw { at });
            }
            _ => {
                self.schedule(0, Event::Drained { at, undo: false });
                let back = self.dice.u64(1_000..9_000);
                self.schedule(back, Event::Drained { at, undo: true });
            }
        }
    }

    pub(super) fn lose(&mut self, at: usize, life: u64, stream: u64) {
        if self.gateways[at].life != life || self.gateways[at].stream != stream {
            return;
        }
        self.say(&format!("g{} is lost", at + 1));
        self.gateways[at].attached = false;
        let _ = self.apply(Command::LoseGateway { gateway: Gateway::name(at), incarnation: life });
        self.gateways[at].stream += 1;
    }

    pub(super) fn start(&mut self, at: usize) {
        self.say(&format!("g{} starts", at + 1));
        self.ends[at] = Endpoint::new(config(at));
        let gateway = &mut self.gateways[at];
        let (life, stream, adopted) = (gateway.life + 1, gateway.stream, std::mem::take(&mut gateway.adopted));
        *gateway = Gateway { life, stream, lives: true, adopted, ..Gateway::new(at) };
        self.watch(at);
    }

    /// It goes on, and is in doubt until it has heard everything.
    pub(super) fn thaw(&mut self, at: usize) {
        if !self.gateways[at].lives {
            return;
        }
        self.say(&format!("g{} goes on", at + 1));
        self.gateways[at].frozen = false;
        if !self.gateways[at].attached {
            self.ends[at].set_doubt(SHARD, true);
        }
        for (from, bytes) in std::mem::take(&mut self.gateways[at].waiting) {
            self.arrived_at_gateway(from, at, bytes);
        }
        if !self.gateways[at].attached {
            self.watch(at);
        }
    }

    /// Attaches, and is told everything.
    fn watch(&mut self, at: usize) {
        self.gateways[at].stream += 1;
        self.gateways[at].attached = true;
        let (gateway, incarnation) = (Gateway::name(at), self.gateways[at].life);
        let sip = format!("127.0.0.1:{}", 5060 + at);
        let _ = self.apply(Command::AttachGateway { gateway: gateway.clone(), incarnation, sip });
        let orders = self.shard.standing_orders(&gateway, incarnation);
        let stream = self.gateways[at].stream;
        self.down(at, stream, orders, true);
    }

    /// In order, after a while.
    pub(super) fn down(&mut self, at: usize, stream: u64, orders: Vec<Order>, whole: bool) {
        let when = (self.now + self.dice.u64(1..40)).max(self.gateways[at].down_at + 1);
        self.gateways[at].down_at = when;
        self.schedule(when - self.now, Event::Down { at, stream, orders, whole });
    }

    fn tell(&mut self, at: usize, command: Command) {
        let when = (self.now + self.dice.u64(1..40)).max(self.gateways[at].up_at + 1);
        self.gateways[at].up_at = when;
        let life = self.gateways[at].life;
        self.schedule(when - self.now, Event::Up { at, life, command: Box::new(command) });
    }

    /// What a gateway said arrives, whatever became of it meanwhile; what has no answer is said again.
    pub(super) fn arrived_up(&mut self, at: usize, life: u64, command: Box<Command>) {
        if self.gateways[at].life != life && matches!(*command, Command::OfferCall { .. }) {
            return;
        }
        let verdict = self.apply((*command).clone());
        if verdict == Err(RejectionCode::UnknownGateway) && self.gateways[at].life == life {
            return self.schedule(200, Event::Up { at, life, command });
        }
        let late = self.dice.u64(1..40);
        self.schedule(late, Event::Verdict { at, life, command, verdict });
    }

    pub(super) fn told(&mut self, at: usize, life: u64, command: Command, verdict: Result<(), RejectionCode>) {
        if self.gateways[at].life != life || !self.gateways[at].lives {
            return;
        }
        if self.gateways[at].frozen {
            return self.schedule(100, Event::Verdict { at, life, command: Box::new(command), verdict });
        }
        let Err(code) = verdict else { return };
        match command {
            Command::OfferCall { call, .. } => {
                let leg = LegId { shard: SHARD, call, leg: 1 };
                if code == RejectionCode::WrongState { self.forget(at, leg) } else { self.end(at, leg, 503) }
            }
            Command::AnswerLeg { call, leg, .. } | Command::ConfirmLeg { call, leg, .. } => {
                let leg = LegId { shard: SHARD, call, leg };
                if code == RejectionCode::Stale { self.forget(at, leg) } else { self.end(at, leg, 480) }
            }
            Command::EndLeg { call, leg, cause: EndCause::Lost, .. } => {
                let leg = LegId { shard: SHARD, call, leg };
                if code == RejectionCode::Stale { self.forget(at, leg) } else { self.end(at, leg, 480) }
            }
            _ => {}
        }
    }

    fn forget(&mut self, at: usize, leg: LegId) {
        self.ends[at].forget(leg);
        self.gateways[at].legs.remove(&leg);
        self.drain(at, "");
    }

    fn end(&mut self, at: usize, leg: LegId, status: u16) {
        let _ = self.ends[at].end(Millis(self.now), leg, status, "over");
        self.drain(at, "");
    }

    // What the shard wants.

    pub(super) fn ordered(&mut self, at: usize, stream: u64, orders: Vec<Order>, whole: bool) {
        if self.gateways[at].stream != stream || !self.gateways[at].lives {
            return;
        }
        if self.gateways[at].frozen {
            return self.schedule(100, Event::Down { at, stream, orders, whole });
        }
        let told: BTreeSet<LegId> = orders.iter().map(leg_of).collect();
        orders.into_iter().for_each(|order| self.order(at, order));
        if whole {
            let legs = self.gateways[at].legs.iter();
            let lost = legs.filter(|(leg, row)| !told.contains(leg) && !row.over && row.revision > 0);
            let lost: Vec<(LegId, u32)> = lost.map(|(leg, row)| (*leg, row.tenure)).collect();
            for (leg, tenure) in lost {
                self.tell(at, end_leg(leg, EndCause::Lost, 0, tenure));
            }
            self.ends[at].set_doubt(SHARD, false);
            self.drain(at, "");
        }
    }

    fn order(&mut self, at: usize, order: Order) {
        let (leg, now) = (leg_of(&order), Millis(self.now));
        let known = self.gateways[at].legs.get(&leg).cloned();
        if known.as_ref().is_some_and(|row| order.tenure < row.tenure || order.revision < row.revision)
            && order.want != Want::Yield
        {
            return;
        }
        if order.want == Want::Yield {
            if known.is_some_and(|row| row.tenure <= order.tenure) {
                self.forget(at, leg);
            }
            return;
        }
        let here = known.as_ref().is_some_and(|row| row.tenure == order.tenure);
        if let Some(takeover) = order.takeover.as_deref().filter(|_| !here) {
            self.ends[at].forget(leg);
            let row = Leg { tenure: order.tenure, revision: order.revision, ..Leg::default() };
            self.gateways[at].legs.insert(leg, row);
            if let Some(Want::Ring(ring)) = &takeover.rang {
                self.played.taken_back += 1;
                self.say(&format!("g{} takes back {leg:?}", at + 1));
                self.ends[at].take_back(now, leg, Invite::to(&ring.contact, media(at)), &takeover.former_sip);
                return self.drain(at, "");
            }
            self.played.adopted += 1;
            self.gateways[at].adopted.insert(leg);
            let adopted = self.ends[at].adopt(now, leg, &takeover.passport);
            self.say(&format!("g{} adopts {leg:?}: {adopted:?}, {:?}", at + 1, order.want));
            match adopted {
                Ok(Adopted::Up) if !matches!(order.want, Want::Gone { .. }) => {
                    let _ = self.ends[at].reoffer(now, leg, media(at));
                }
                Ok(Adopted::Up) => {}
                Ok(Adopted::Offered) => self.row(at, leg, |row| row.asked = true),
                Err(error) => {
                    self.problem.get_or_insert(format!("{leg:?} cannot be adopted: {error}"));
                }
            }
        }
        let new = !self.gateways[at].legs.contains_key(&leg);
        let row = self.gateways[at].legs.entry(leg).or_default();
        (row.tenure, row.revision) = (order.tenure, order.revision);
        let (asked, over) = (row.asked, row.over);
        match order.want {
            _ if over => {}
            Want::Ring(ring) if new => {
                self.invite(at, leg, Invite { caller: "5000".into(), ..Invite::to(&ring.contact, media(at)) })
            }
            Want::Ring(_) => {}
            // A life before this one had it, and nobody knows it any more.
            _ if new => self.tell(at, end_leg(leg, EndCause::Lost, 0, order.tenure)),
            Want::Alert if asked => _ = self.ends[at].alert(now, leg),
            Want::Listen { .. } | Want::Join { .. } if asked => {
                self.row(at, leg, |row| row.asked = false);
                let _ = self.ends[at].answer(now, leg, media(at));
            }
            Want::Gone { sip_status, .. } => self.end(at, leg, u16::try_from(sip_status).unwrap_or(480)),
            _ => {}
        }
        self.drain(at, "");
    }

    fn row(&mut self, at: usize, leg: LegId, change: impl FnOnce(&mut Leg)) {
        change(self.gateways[at].legs.entry(leg).or_default());
    }

    // What the endpoint says.

    pub(super) fn arrived_at_gateway(&mut self, from: usize, at: usize, bytes: Vec<u8>) {
        if !self.gateways[at].lives {
            return;
        }
        if self.gateways[at].frozen {
            return self.gateways[at].waiting.push((from, bytes));
        }
        match self.gateways[at].relay.sort(flow(from), &bytes) {
            Passage::Here => {
                self.ends[at].receive(Millis(self.now), flow(from), &bytes, &Open);
                self.drain(at, &super::call_of(&bytes));
            }
            Passage::Forward { flow, bytes } | Passage::Answer { flow, bytes } => self.send(at, flow, &bytes),
            Passage::Nothing => {}
        }
    }

    pub(super) fn at_gateway(&mut self, at: usize, effect: Effect, call: &str) {
        match effect {
            Effect::Offered { leg, number, caller, passport, .. } => {
                self.pairs.entry(call.to_owned()).or_default().ours = Some(leg);
                self.row(at, leg, |row| *row = Leg { tenure: 1, asked: true, ..Leg::default() });
                let (gateway, incarnation) = (Gateway::name(at), self.gateways[at].life);
                let caller_name = String::new();
                self.tell(
                    at,
                    Command::OfferCall { call: leg.call, gateway, incarnation, number, caller, caller_name, passport },
                );
            }
            Effect::Answered { leg, passport, .. } => {
                let tenure = self.tenure(at, leg);
                self.tell(at, Command::AnswerLeg { call: leg.call, leg: leg.leg, passport, tenure });
            }
            Effect::Confirmed { leg, passport } => {
                let tenure = self.tenure(at, leg);
                self.tell(at, Command::ConfirmLeg { call: leg.call, leg: leg.leg, passport, tenure });
            }
            Effect::Ended { leg, cause, status } => self.ended(at, leg, cause, status),
            Effect::Stray { call, flow: from, bytes, .. } => self.stray(at, call, from, &bytes),
            _ => {}
        }
    }

    fn tenure(&self, at: usize, leg: LegId) -> u32 {
        self.gateways[at].legs.get(&leg).map_or(0, |row| row.tenure)
    }

    fn ended(&mut self, at: usize, leg: LegId, cause: sip::EndCause, status: u16) {
        self.say(&format!("g{} {leg:?} has ended: {cause:?} {status}", at + 1));
        let tenure = self.tenure(at, leg);
        self.row(at, leg, |row| row.over = true);
        let held = self.shard.holder(leg.call).is_some_and(|(gateway, _)| gateway == Gateway::name(at));
        let gone = self.gone.contains(&leg) || self.shard.call(leg.call).is_none();
        let pair = self.pair_of(|pair| pair.ours == Some(leg)).copied().unwrap_or_default();
        if held && pair.established && !pair.left && !gone {
            self.problem.get_or_insert(format!("{leg:?} was lost at g{}: {cause:?} {status}", at + 1));
        }
        let cause = match cause {
            sip::EndCause::Hangup => EndCause::Hangup,
            sip::EndCause::Cancelled => EndCause::Cancelled,
            sip::EndCause::Busy => EndCause::Busy,
            sip::EndCause::Rejected | sip::EndCause::Moved => EndCause::Rejected,
            sip::EndCause::NoAnswer => EndCause::NoAnswer,
            sip::EndCause::Unreachable => EndCause::Unreachable,
            sip::EndCause::Media => EndCause::Media,
            sip::EndCause::Ordered => EndCause::Ordered,
            sip::EndCause::Failed => EndCause::Failed,
        };
        self.tell(at, end_leg(leg, cause, u32::from(status), tenure));
    }

    /// A request of a call that another gateway has goes there.
    fn stray(&mut self, at: usize, call: u64, from: sip::Flow, bytes: &[u8]) {
        let holder = self.shard.holder(call).map(|(gateway, _)| gateway);
        let other = (0..GATEWAYS).find(|other| *other != at && holder.as_deref() == Some(&Gateway::name(*other)));
        match other.map(|other| self.gateways[at].relay.forward(bytes, from, flow(other))) {
            Some(Passage::Forward { flow, bytes } | Passage::Answer { flow, bytes }) => self.send(at, flow, &bytes),
            Some(Passage::Here | Passage::Nothing) => {}
            None => self.ends[at].answer_stray(Millis(self.now), from, bytes),
        }
    }
}

fn leg_of(order: &Order) -> LegId {
    LegId { shard: SHARD, call: order.call, leg: order.leg }
}

fn end_leg(leg: LegId, cause: EndCause, sip_status: u32, tenure: u32) -> Command {
    Command::EndLeg { call: leg.call, leg: leg.leg, cause, sip_status, tenure, moved_to: Vec::new() }
}
