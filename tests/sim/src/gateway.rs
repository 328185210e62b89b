//! A gateway without SIP: legs, what ought to be true of each and what is, as the real board keeps them. It decides
//! nothing. A leg that another gateway had comes with its passport (`adopt`); what a former one still has of it is let go
//! of without a word when the shard says that it is stale.

use std::collections::{BTreeMap, VecDeque};

use proto::v1::{
    AnswerLeg, ConfirmLeg, EndCause, EndLeg, OfferCall, Order, RejectionCode, WatchRequest, command::Kind,
    order::Want as Told,
};

use crate::{
    link::{Link, News, TENANT, Ticket, Want as Wire},
    mutant::Mutant,
    people::{LegKey, Sense, Wish},
    scenario::{SECOND, Us},
};

/// An ended leg is remembered for so long after the shard has taken note.
const GRAVE_US: Us = 2 * SECOND;
const CALLER: u32 = 1;
/// An offer that was accepted has brought an order after this.
const DOUBT_US: Us = SECOND;
/// First byte of a passport of an INVITE that is not answered yet.
const EARLY: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Offered, and no answer yet.
    Asked,
    /// The shard has spoken of it.
    Known,
    /// Refused by the shard.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hears {
    Nothing,
    Ringing,
    Prompt,
    Leg(u32),
}

#[derive(Debug)]
struct Leg {
    birth: u32,
    seen: u32,
    revision: u64,
    standing: Standing,
    tenure: u32,
    want: Option<Told>,
    answered: bool,
    over: bool,
    hears: Hears,
}

/// What a shard said about a command, as this gateway heard it.
#[derive(Debug)]
pub(crate) struct Ack {
    pub(crate) id: (u64, u64),
    pub(crate) verdict: Result<(), RejectionCode>,
}

/// Everything that came out of an input.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) wires: Vec<Wire>,
    pub(crate) senses: Vec<Sense>,
    pub(crate) acks: Vec<Ack>,
    /// Call and how many agents are joined to its caller, where that is more than one.
    pub(crate) crowded: Vec<(u64, usize)>,
}

/// One life of a gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    name: String,
    incarnation: u64,
    link: Link,
    legs: BTreeMap<LegKey, Leg>,
    epoch: u32,
    births: u32,
    graves: VecDeque<(Us, LegKey, u32)>,
    /// Offers that were accepted: an order of each must have come by then.
    doubts: VecDeque<(Us, LegKey, u32)>,
    mutant: Option<Mutant>,
    out: Out,
}

impl Gateway {
    pub(crate) fn new(at: usize, life: u64, nodes: usize, mutant: Option<Mutant>) -> Self {
        let name = format!("g{}", at + 1);
        // Any number that no other life has.
        let incarnation = 0x6000 + (at as u64) * 0x100 + life;
        let request =
            WatchRequest { shard: TENANT, gateway: name.clone(), incarnation, sip: format!("10.0.1.{at}:5060") };
        let link = Link::new(request, nodes, 0x5e00_0000 + incarnation, incarnation * 0x1_0000, mutant);
        Self {
            name,
            incarnation,
            link,
            legs: BTreeMap::new(),
            epoch: 0,
            births: 0,
            graves: VecDeque::new(),
            doubts: VecDeque::new(),
            mutant,
            out: Out::default(),
        }
    }

    /// What has come out since the last time.
    pub(crate) fn take(&mut self, now_us: Us) -> Out {
        loop {
            let (wires, news) = self.link.take();
            self.out.wires.extend(wires);
            if news.is_empty() {
                return std::mem::take(&mut self.out);
            }
            news.into_iter().for_each(|news| self.news(now_us, news));
        }
    }

    pub(crate) fn next_us(&self) -> Option<Us> {
        let grave = self.graves.front().map(|(at_us, _, _)| *at_us);
        let doubt = self.doubts.front().map(|(at_us, _, _)| *at_us);
        self.link.next_us().into_iter().chain(grave).chain(doubt).min()
    }

    pub(crate) fn wake(&mut self, now_us: Us) {
        while self.graves.front().is_some_and(|(at_us, _, _)| *at_us <= now_us) {
            let Some((_, key, birth)) = self.graves.pop_front() else { break };
            if self.legs.get(&key).is_some_and(|leg| leg.birth == birth) {
                self.legs.remove(&key);
            }
        }
        while self.doubts.front().is_some_and(|(at_us, _, _)| *at_us <= now_us) {
            let Some((_, key, birth)) = self.doubts.pop_front() else { break };
            // The answer was to an offer of long ago, and another gateway has the call by now.
            let told = |leg: &&Leg| leg.birth == birth && !leg.over && leg.revision == 0;
            if !self.legs.get(&key).as_ref().is_some_and(told) {
                continue;
            }
            if self.link.is_in_sync() {
                self.say_lost(key);
            } else {
                // Nobody can have said anything.
                self.doubts.push_back((now_us + DOUBT_US, key, birth));
            }
        }
        self.link.wake(now_us);
    }

    pub(crate) const fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Legs that are there, by key.
    pub(crate) fn standing(&self) -> impl Iterator<Item = LegKey> + '_ {
        self.legs.iter().filter(|(_, leg)| !leg.over).map(|(key, _)| *key)
    }

    /// Whether nothing is left to do or to say.
    pub(crate) fn is_idle(&self) -> bool {
        self.link.pending() == 0 && self.standing().next().is_none()
    }

    // What people do.

    pub(crate) fn dial(&mut self, call: u64, caller: String, number: String) {
        let key = (call, CALLER);
        let birth = self.insert(key, Standing::Asked, 0, 1);
        self.ask_offer(call, caller, number, Ticket::Offer(key, birth));
    }

    fn ask_offer(&mut self, call: u64, caller: String, number: String, ticket: Ticket) {
        let (gateway, incarnation) = (self.name.clone(), self.incarnation);
        let offer = OfferCall {
            call,
            gateway,
            incarnation,
            number,
            caller_name: caller.clone(),
            caller,
            passport: vec![EARLY; 8],
        };
        self.link.ask(Kind::OfferCall(offer), ticket);
    }

    /// The INVITE comes again: a SIP stack absorbs it; this one asks again, for it must not matter.
    pub(crate) fn retransmit(&mut self, call: u64, caller: String, number: String) {
        if self.holds((call, CALLER)) {
            let call = if self.mutant == Some(Mutant::DoubleInvite) { call + 0x1000_0000_0000 } else { call };
            self.ask_offer(call, caller, number, Ticket::Nothing);
        }
    }

    pub(crate) fn say(&mut self, agent: String, number: u64, wish: Wish) {
        let ticket = Ticket::Say(agent.clone(), number);
        let kind = match wish {
            Wish::LogIn => Kind::LogInAgent(proto::v1::LogInAgent { agent }),
            Wish::LogOut => Kind::LogOutAgent(proto::v1::LogOutAgent { agent }),
            Wish::Ready => Kind::MakeAgentReady(proto::v1::MakeAgentReady { agent }),
            Wish::NotReady => Kind::MakeAgentNotReady(proto::v1::MakeAgentNotReady { agent, reason: "break".into() }),
        };
        self.link.ask(kind, ticket);
    }

    pub(crate) fn clear(&mut self, call: u64) {
        self.link.ask(Kind::ClearCall(proto::v1::ClearCall { call, by: "boss".into() }), Ticket::Nothing);
    }

    pub(crate) fn answer(&mut self, key: LegKey) {
        let Some(leg) = self.legs.get_mut(&key).filter(|leg| !leg.over) else { return };
        leg.answered = true;
        let ticket = Ticket::Answer(key, leg.birth);
        self.link.ask(
            Kind::AnswerLeg(AnswerLeg { call: key.0, leg: key.1, passport: vec![7; 8], tenure: leg.tenure }),
            ticket,
        );
        self.settle(key);
    }

    pub(crate) fn refuse(&mut self, key: LegKey, status: u32) {
        let cause = match status {
            486 => EndCause::Busy,
            603 => EndCause::Rejected,
            _ => EndCause::Unreachable,
        };
        self.ended(key, cause);
    }

    pub(crate) fn hang_up(&mut self, key: LegKey) {
        let Some(leg) = self.legs.get(&key).filter(|leg| !leg.over) else { return };
        let cause = if leg.answered { EndCause::Hangup } else { EndCause::Cancelled };
        self.ended(key, cause);
    }

    pub(crate) fn holds(&self, key: LegKey) -> bool {
        self.legs.get(&key).is_some_and(|leg| !leg.over)
    }

    // What the shard says.

    fn news(&mut self, now_us: Us, news: News) {
        match news {
            News::Watching => self.epoch += 1,
            News::Orders(orders) => orders.into_iter().for_each(|order| self.order(order)),
            News::InSync => self.in_sync(),
            News::Outcome { id, ticket, verdict } => {
                self.out.acks.push(Ack { id, verdict });
                self.outcome(now_us, ticket, verdict);
            }
        }
    }

    fn outcome(&mut self, now_us: Us, ticket: Ticket, verdict: Result<(), RejectionCode>) {
        let epoch = self.epoch;
        match ticket {
            Ticket::Offer(key, birth) => {
                let Some(leg) = self.legs.get_mut(&key).filter(|leg| leg.birth == birth) else { return };
                match verdict {
                    Ok(()) => {
                        leg.standing = Standing::Known;
                        leg.seen = epoch;
                        self.doubts.push_back((now_us + DOUBT_US, key, birth));
                    }
                    Err(_) if leg.over => {}
                    // Another gateway has the call: the INVITE is relayed to it.
                    Err(RejectionCode::WrongState) => _ = self.legs.remove(&key),
                    Err(_) => {
                        leg.standing = Standing::Unknown;
                        self.ended(key, EndCause::Rejected);
                    }
                }
            }
            Ticket::Answer(key, birth) => {
                let stands = self.legs.get(&key).is_some_and(|leg| leg.birth == birth && !leg.over);
                if stands && verdict == Err(RejectionCode::Stale) {
                    self.legs.remove(&key);
                } else if stands && verdict.is_err() {
                    self.ended(key, EndCause::Ordered);
                }
            }
            Ticket::End(key, birth) if verdict == Err(RejectionCode::Stale) => self.forget(key, birth),
            Ticket::End(key, birth) => self.graves.push_back((now_us + GRAVE_US, key, birth)),
            Ticket::Lost(key, birth) => {
                if verdict != Err(RejectionCode::Stale) && self.legs.get(&key).is_some_and(|leg| leg.birth == birth) {
                    self.out.senses.push(Sense::Over(key));
                }
                self.forget(key, birth);
            }
            Ticket::Say(agent, number) => {
                self.out.senses.push(Sense::Done { agent, number, accepted: verdict.is_ok() });
            }
            Ticket::Nothing => {}
        }
    }

    fn in_sync(&mut self) {
        let epoch = self.epoch;
        let lost: Vec<_> = self
            .legs
            .iter()
            .filter(|(_, leg)| leg.seen != epoch && !leg.over && leg.standing != Standing::Asked)
            .map(|(key, _)| *key)
            .collect();
        // Whether the far end is told depends on whether another gateway has the leg: the shard knows.
        for key in lost {
            if self.mutant == Some(Mutant::LateWord) {
                self.ended(key, EndCause::Hangup);
            } else {
                self.say_lost(key);
            }
        }
    }

    fn say_lost(&mut self, key: LegKey) {
        let Some(leg) = self.legs.get(&key) else { return };
        let (birth, tenure) = (leg.birth, leg.tenure);
        let (call, leg, cause) = (key.0, key.1, EndCause::Lost.into());
        let end = EndLeg { call, leg, cause, tenure, ..EndLeg::default() };
        self.link.ask(Kind::EndLeg(end), Ticket::Lost(key, birth));
    }

    fn forget(&mut self, key: LegKey, birth: u32) {
        if self.legs.get(&key).is_some_and(|leg| leg.birth == birth) {
            self.legs.remove(&key);
        }
    }

    /// Which gateway of several that believe to have a leg really has it.
    pub(crate) fn tenure(&self, key: LegKey) -> u32 {
        self.legs.get(&key).filter(|leg| !leg.over).map_or(0, |leg| leg.tenure)
    }

    fn order(&mut self, order: Order) {
        let (key, epoch) = ((order.call, order.leg), self.epoch);
        let Some(leg) = self.legs.get_mut(&key) else { return self.unknown_leg(order) };
        if order.tenure < leg.tenure {
            return;
        }
        if matches!(order.want, Some(Told::Yield(_))) {
            self.legs.remove(&key);
            return;
        }
        if order.tenure > leg.tenure && order.takeover.is_some() {
            // What this one has of it is of the time before another one had it.
            self.legs.remove(&key);
            return self.unknown_leg(order);
        }
        leg.tenure = order.tenure;
        leg.seen = epoch;
        if leg.over || order.revision < leg.revision {
            return;
        }
        leg.revision = order.revision;
        leg.standing = Standing::Known;
        if order.want.is_some() {
            leg.want = order.want;
        }
        self.settle(key);
        let joined = self.joined(key.0);
        if joined > 1 {
            self.out.crowded.push((key.0, joined));
        }
    }

    /// Agents whom orders have joined to the caller of this call and who have answered.
    fn joined(&self, call: u64) -> usize {
        let legs = self.legs.range((call, CALLER + 1)..=(call, u32::MAX)).map(|(_, leg)| leg);
        let joined =
            |leg: &&Leg| leg.answered && !leg.over && matches!(&leg.want, Some(Told::Join(join)) if join.leg == CALLER);
        legs.filter(joined).count()
    }

    fn unknown_leg(&mut self, order: Order) {
        let key = (order.call, order.leg);
        if let Some(takeover) = order.takeover {
            self.insert(key, Standing::Known, order.revision, order.tenure);
            return self.adopt(key, order.want, &takeover.passport);
        }
        match order.want {
            Some(Told::Yield(_)) => {}
            Some(Told::Ring(ring)) => {
                self.insert(key, Standing::Known, order.revision, order.tenure);
                if !self.holds((key.0, CALLER)) && self.legs.contains_key(&(key.0, CALLER)) {
                    return self.ended(key, EndCause::Ordered);
                }
                if let Some(leg) = self.legs.get_mut(&key) {
                    leg.want = Some(Told::Ring(ring.clone()));
                }
                self.out.senses.push(Sense::Rings(ring.agent, key));
            }
            Some(_) => {
                self.insert(key, Standing::Known, order.revision, order.tenure);
                self.ended(key, EndCause::Lost);
            }
            None => {}
        }
    }

    /// Goes on with a leg that another gateway had.
    fn adopt(&mut self, key: LegKey, want: Option<Told>, passport: &[u8]) {
        if matches!(want, Some(Told::Gone(_))) {
            return self.ended(key, EndCause::Ordered);
        }
        let Some(leg) = self.legs.get_mut(&key).filter(|_| !passport.is_empty()) else {
            return self.ended(key, EndCause::Lost);
        };
        leg.want = want;
        leg.answered = passport[0] != EARLY;
        let (answered, tenure) = (leg.answered, leg.tenure);
        self.out.senses.push(Sense::Adopted(key));
        if answered {
            let confirm = ConfirmLeg { call: key.0, leg: key.1, passport: vec![9; 8], tenure };
            self.link.ask(Kind::ConfirmLeg(confirm), Ticket::Nothing);
        }
        self.settle(key);
    }

    fn settle(&mut self, key: LegKey) {
        let Some(leg) = self.legs.get_mut(&key).filter(|leg| !leg.over) else { return };
        match leg.want.clone() {
            Some(Told::Alert(_)) if leg.hears == Hears::Nothing => {
                leg.hears = Hears::Ringing;
                self.out.senses.push(Sense::Waits(key.0));
            }
            Some(Told::Listen(_)) if self.ensure_answered(key) => {
                self.hear(key, Hears::Prompt);
                self.out.senses.push(Sense::Waits(key.0));
            }
            Some(Told::Join(join)) if self.ensure_answered(key) => self.join(key, join.leg),
            Some(Told::Gone(_)) => self.ended(key, EndCause::Ordered),
            Some(_) | None => {}
        }
    }

    fn ensure_answered(&mut self, key: LegKey) -> bool {
        let Some(leg) = self.legs.get_mut(&key) else { return false };
        if !leg.answered && key.1 == CALLER {
            leg.answered = true;
            let confirm = ConfirmLeg { call: key.0, leg: key.1, passport: vec![9; 8], tenure: leg.tenure };
            self.link.ask(Kind::ConfirmLeg(confirm), Ticket::Nothing);
            return true;
        }
        leg.answered
    }

    fn hear(&mut self, key: LegKey, hears: Hears) {
        if let Some(leg) = self.legs.get_mut(&key) {
            leg.hears = hears;
        }
    }

    fn join(&mut self, key: LegKey, other: u32) {
        let partner = (key.0, other);
        let open = |key: &LegKey| self.legs.get(key).is_some_and(|leg| leg.answered && !leg.over);
        let already = self.legs.get(&key).is_some_and(|leg| leg.hears == Hears::Leg(other));
        if already || !open(&key) || !open(&partner) {
            return;
        }
        self.hear(key, Hears::Leg(other));
        self.hear(partner, Hears::Leg(key.1));
        self.out.senses.extend([Sense::Talks(key), Sense::Talks(partner)]);
    }

    fn insert(&mut self, key: LegKey, standing: Standing, revision: u64, tenure: u32) -> u32 {
        self.births += 1;
        let (birth, seen) = (self.births, self.epoch);
        let leg = Leg {
            birth,
            seen,
            revision,
            standing,
            tenure,
            want: None,
            answered: false,
            over: false,
            hears: Hears::Nothing,
        };
        self.legs.insert(key, leg);
        birth
    }

    fn ended(&mut self, key: LegKey, cause: EndCause) {
        let Some(leg) = self.legs.get_mut(&key).filter(|leg| !leg.over) else { return };
        leg.over = true;
        let (birth, known, tenure) = (leg.birth, leg.standing != Standing::Unknown, leg.tenure);
        self.out.senses.push(Sense::Over(key));
        if !known {
            self.legs.remove(&key);
            return;
        }
        if self.mutant == Some(Mutant::ForgottenHangUp) && cause == EndCause::Hangup && key.1 == CALLER {
            return;
        }
        let end = EndLeg { call: key.0, leg: key.1, cause: cause.into(), tenure, ..EndLeg::default() };
        self.link.ask(Kind::EndLeg(end), Ticket::End(key, birth));
    }
}
