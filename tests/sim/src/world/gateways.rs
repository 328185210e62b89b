//! What happens to gateways and to the people above them.

use super::{Event, World};
use crate::{
    gateway::Gateway,
    link::Want,
    network::{Down, Up},
    people::{Deed, LegKey, Sense},
    scenario::{MILLI, Us},
    verdict::{Check, hold},
};

/// A node asks whoever is silent whether it is there, and hangs up after this.
const PING_US: Us = 850 * MILLI;

impl World {
    pub(super) fn start_gateway(&mut self, at: usize) {
        let nodes = self.nodes.len();
        let slot = &mut self.gateways[at];
        slot.life += 1;
        slot.since_us = self.now_us;
        slot.gateway = Some(Gateway::new(at, slot.life, nodes, self.mutant));
        self.say(|| format!("g{} starts", at + 1));
        self.schedule(1, Event::GatewayWake { gateway: at });
    }

    /// A gateway is gone: who is on the phone hears nothing, and nobody says so to the shard.
    pub(super) fn vanish(&mut self, at: usize) {
        if self.gateways[at].gateway.take().is_none() {
            return;
        }
        self.gateways[at].since_us = self.now_us;
        let polite = self.dice.bool();
        for session in self.sessions_of(at) {
            if polite {
                self.schedule(MILLI, Event::HungUp { session });
            } else {
                self.break_soon(session);
            }
        }
    }

    pub(super) fn sessions_of(&self, at: usize) -> Vec<u64> {
        let theirs = self.network.connections.iter().filter(|(_, connection)| connection.gateway == at);
        theirs.map(|(session, _)| *session).collect()
    }

    pub(super) fn wake_gateway(&mut self, at: usize) {
        if self.gateways[at].wake_us.is_some_and(|at_us| at_us <= self.now_us) {
            self.gateways[at].wake_us = None;
        }
        let now_us = self.now_us;
        // One that stands still is woken when that is over.
        if let Some(gateway) = self.gateways[at].awake() {
            gateway.wake(now_us);
        }
    }

    /// A gateway stands still: whoever asks it whether it is there hears nothing, and hangs up.
    pub(super) fn freeze(&mut self, at: usize, until_us: Us) {
        self.gateways[at].frozen_until_us = Some(until_us);
        self.gateways[at].sessions = self.sessions_of(at);
        if until_us > self.now_us + PING_US {
            for session in self.sessions_of(at) {
                self.schedule(PING_US, Event::HungUp { session });
            }
        }
    }

    /// It goes on, and learns what it has missed.
    pub(super) fn thaw(&mut self, at: usize) {
        self.gateways[at].frozen_until_us = None;
        let sessions = std::mem::take(&mut self.gateways[at].sessions);
        let open = self.sessions_of(at);
        let now_us = self.now_us;
        let Some(gateway) = &mut self.gateways[at].gateway else { return };
        for session in sessions.into_iter().filter(|session| !open.contains(session)) {
            gateway.link().closed(now_us, session);
        }
        let gone: Vec<LegKey> = gateway.standing().filter(|leg| self.judge.gone.contains(leg)).collect();
        gone.into_iter().for_each(|leg| gateway.hang_up(leg));
        self.schedule(1, Event::GatewayWake { gateway: at });
    }

    pub(super) fn arrived_down(&mut self, session: u64, message: Down) {
        let Some(connection) = self.network.connections.get(&session).filter(|connection| !connection.broken) else {
            return;
        };
        let (at, life, node) = (connection.gateway, connection.gateway_life, connection.node);
        let to = self.network.gateway(at);
        if self.lost_in_cut(node, to) {
            return self.break_soon(session);
        }
        if let Some(until_us) = self.gateways[at].frozen_until_us {
            return self.schedule_at(until_us.max(self.now_us) + 1, Event::Down { session, message });
        }
        let now_us = self.now_us;
        let Some(gateway) = self.gateways[at].of_life(life) else {
            return;
        };
        match message {
            Down::Reply(reply) => gateway.link().told(now_us, session, reply),
            Down::Outcomes(outcomes) => gateway.link().answered(now_us, session, outcomes),
            Down::Closed => gateway.link().closed(now_us, session),
        }
    }

    /// Both ends learn that their streams are broken.
    pub(super) fn broken(&mut self, session: u64) {
        let Some(connection) = self.network.connections.get(&session) else { return };
        let at = connection.gateway;
        // One that stands still learns it when it goes on.
        if let Some(gateway) = self.gateways[at].awake() {
            gateway.link().closed(self.now_us, session);
        }
        self.hung_up(session);
    }

    /// Carries out what a gateway wants and holds what it perceives against what must be.
    pub(super) fn settle_gateway(&mut self, at: usize) -> Check {
        let now_us = self.now_us;
        let Some(gateway) = self.gateways[at].awake() else { return Ok(()) };
        let out = gateway.take(now_us);
        for wire in out.wires {
            self.wire(at, wire);
        }
        if let Some((call, agents)) = out.crowded.first() {
            hold!(false, OneAgent, "g{} has {agents} agents joined to the caller of call {call:x}", at + 1);
        }
        for ack in out.acks {
            self.figures.acknowledged += 1;
            self.drain_facts()?;
            self.judge.told(ack.id, ack.verdict)?;
        }
        for sense in out.senses {
            self.sensed(at, &sense)?;
        }
        self.wake_gateway_later(at);
        Ok(())
    }

    /// The judge knows all that was applied before anybody is told of it.
    fn drain_facts(&mut self) -> Check {
        for fact in std::mem::take(&mut *self.facts.borrow_mut()) {
            self.judge.applied(self.now_us, &fact)?;
        }
        Ok(())
    }

    fn sensed(&mut self, at: usize, sense: &Sense) -> Check {
        self.say(|| match sense {
            Sense::Waits(call) => format!("{call:x} waits (g{})", at + 1),
            Sense::Talks((call, leg)) => format!("{call:x}/{leg} talks"),
            Sense::Over((call, leg)) => format!("{call:x}/{leg} is over (g{})", at + 1),
            Sense::Adopted((call, leg)) => format!("{call:x}/{leg} goes on (g{})", at + 1),
            Sense::Rings(agent, (call, leg)) => format!("{agent} is rung for {call:x}/{leg} (g{})", at + 1),
            Sense::Done { agent, number, accepted } => format!("{agent}'s wish {number} is done: {accepted}"),
        });
        if let Sense::Rings(agent, leg) = sense {
            let ordered_us = self.judge.ring_ordered_us(*leg).unwrap_or(self.now_us);
            self.watch.rings(agent, *leg, ordered_us, self.now_us);
        }
        if let Sense::Done { agent, number, accepted: true } = sense {
            self.watch.wish_done(agent, *number, self.now_us);
        }
        if let Sense::Over(leg) = sense
            && !self.judge.gone.contains(leg)
        {
            let other = self.others_leg(at, *leg);
            hold!(!other, TakeOver, "g{} ends leg {} of call {:x}, which another gateway has", at + 1, leg.1, leg.0);
        }
        match sense {
            Sense::Over(leg) => _ = self.judge.gone.insert(*leg),
            // Hung up while nobody was there to hear it: the far end answers that it knows of no such dialog.
            Sense::Adopted(leg) if self.judge.gone.contains(leg) => {
                if let Some(gateway) = &mut self.gateways[at].gateway {
                    gateway.hang_up(*leg);
                }
            }
            _ => {}
        }
        self.people.sense(self.now_us, sense);
        Ok(())
    }

    /// Another gateway goes on with the leg, and it is to live.
    fn others_leg(&self, at: usize, leg: LegKey) -> bool {
        let shard = self.judge.shard();
        let elsewhere = shard.holder(leg.0).is_some_and(|(gateway, _)| gateway != format!("g{}", at + 1));
        let answered =
            |call: acd::view::CallDetail| call.legs.iter().any(|known| known.leg == leg.1 && known.state == "answered");
        elsewhere && shard.call(leg.0).is_some_and(answered)
    }

    fn wake_gateway_later(&mut self, at: usize) {
        let wanted = self.gateways[at].gateway.as_ref().and_then(Gateway::next_us);
        let Some(wanted) = wanted.map(|at_us| at_us.max(self.now_us + 1)) else { return };
        if self.gateways[at].wake_us.is_none_or(|at_us| at_us > wanted) {
            self.gateways[at].wake_us = Some(wanted);
            self.schedule_at(wanted, Event::GatewayWake { gateway: at });
        }
    }

    fn wire(&mut self, at: usize, want: Want) {
        match want {
            Want::Open { node, session, request } => {
                let (gateway_life, node_life) = (self.gateways[at].life, self.nodes[node].life);
                self.network.open(session, at, gateway_life, node, node_life);
                if self.nodes[node].core.is_none() {
                    // Refused: nobody listens there.
                    return self.schedule(MILLI, Event::Broken { session });
                }
                self.send_up(at, session, Up::Watch(request));
            }
            Want::Submit { session, submissions } => self.send_up(at, session, Up::Submit(submissions)),
            Want::Close { session } => self.schedule(MILLI, Event::HungUp { session }),
        }
    }

    fn send_up(&mut self, at: usize, session: u64, message: Up) {
        let Some(connection) = self.network.connections.get(&session).filter(|connection| !connection.broken) else {
            return;
        };
        let (from, node) = (self.network.gateway(at), connection.node);
        if self.lost_in_cut(from, node) {
            return self.break_soon(session);
        }
        let at_us = self.network.in_order(session, self.now_us, true);
        self.schedule_at(at_us, Event::Up { session, message });
    }

    // People.

    pub(super) fn wake_people(&mut self) {
        let Some(wanted) = self.people.next_us().map(|at_us| at_us.max(self.now_us + 1)) else { return };
        if self.people_us.is_none_or(|at_us| at_us > wanted) {
            self.people_us = Some(wanted);
            self.schedule_at(wanted, Event::People);
        }
    }

    pub(super) fn people_act(&mut self) {
        if self.people_us.is_some_and(|at_us| at_us <= self.now_us) {
            self.people_us = None;
        }
        for deed in self.people.act(self.now_us) {
            self.say(|| format!("{deed:?}"));
            self.deed(deed);
        }
    }

    fn deed(&mut self, deed: Deed) {
        match deed {
            Deed::Dial { call, caller, number } => {
                self.callers.insert(call, (caller.clone(), number.clone()));
                match self.some_gateway(call as usize) {
                    Some(gateway) => gateway.dial(call, caller, number),
                    None => self.people.sense(self.now_us, &Sense::Over((call, 1))),
                }
            }
            Deed::Retransmit(call) => {
                let Some((caller, number)) = self.callers.get(&call).cloned() else { return };
                match self.holder((call, 1)) {
                    Some(gateway) => gateway.retransmit(call, caller, number),
                    // Whoever gets it is told who has the call, if anybody has.
                    None => _ = self.some_gateway(call as usize + 1).map(|gateway| gateway.dial(call, caller, number)),
                }
            }
            Deed::HangUp(leg) => {
                self.judge.gone.insert(leg);
                match self.holder(leg) {
                    Some(gateway) => gateway.hang_up(leg),
                    None => self.people.sense(self.now_us, &Sense::Over(leg)),
                };
            }
            Deed::Answer(leg) => _ = self.holder(leg).map(|gateway| gateway.answer(leg)),
            Deed::Refuse(leg, status) => {
                self.judge.gone.insert(leg);
                _ = self.holder(leg).map(|gateway| gateway.refuse(leg, status));
            }
            Deed::Say { agent, number, wish } => {
                self.watch.wish_said(&agent, number, wish);
                let pick = number as usize + agent.len();
                if let Some(gateway) = self.some_gateway(pick) {
                    gateway.say(agent, number, wish);
                }
            }
        }
    }

    /// One that is up, from this number on.
    pub(super) fn some_gateway(&mut self, from: usize) -> Option<&mut Gateway> {
        let count = self.gateways.len() - 1;
        let at = (0..count).map(|step| (from + step) % count).find(|at| self.gateways[*at].awake().is_some())?;
        self.gateways[at].awake()
    }

    fn holder(&mut self, leg: LegKey) -> Option<&mut Gateway> {
        let awake = self.gateways.iter_mut().filter_map(super::GatewayProcess::awake);
        awake.filter(|gateway| gateway.holds(leg)).max_by_key(|gateway| gateway.tenure(leg))
    }
}
