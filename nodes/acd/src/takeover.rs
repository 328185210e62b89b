//! Take-over: the calls of a gateway that is lost go on at others; never what is inside a passport.
//!
//! A call keeps its place, its agents and its talk. Its tenure grows, so that what the former gateway says of it is
//! refused as stale, and each leg is told to the new one with all that is needed to go on. Only a leg that rings
//! cannot be gone on with: the new gateway takes that INVITE back, and the same phone rings anew by another leg.

use crate::limits::RING_AGAIN_MS_MIN;
use crate::output::{CallOutcome, Output};
use crate::rows::{AsideStage, CallState, LegWant, Party, Release};
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey, GatewayKey};
use crate::{Name, Timestamp};

/// Under earlier rules a call ends with its gateway.
pub(crate) const RULES: u32 = 3;

impl Shard {
    /// The living gateway with the fewest calls that is not being emptied; of equals the first by id.
    pub(crate) fn lightest_gateway(&self) -> Option<GatewayKey> {
        let living = self.gateway_ids.values().filter(|key| {
            let gateway = &self.gateways[**key];
            gateway.up && !gateway.draining
        });
        living.copied().min_by_key(|key| self.gateways[*key].calls.len())
    }

    /// Deals the calls of a gateway that is lost, or of its former life, among the living. Those that nobody takes
    /// are homeless.
    pub(crate) fn deal_calls(&mut self, from: GatewayKey, former_sip: &Name, out: &mut Output) {
        // Taken off it first: its next life has none of them yet.
        for key in std::mem::take(&mut self.gateways[from].calls) {
            if self.calls.get(key).is_none() {
                continue; // one before it has ended it
            }
            match self.lightest_gateway() {
                Some(to) => self.take_over(key, to, former_sip, out),
                None => self.make_homeless(key, from, out),
            }
        }
    }

    /// A gateway has come: it gets what nobody had. One that comes back in the same life goes on with its own.
    pub(crate) fn house_calls(&mut self, came: GatewayKey, out: &mut Output) {
        if self.gateways[came].calls.iter().any(|key| self.calls[*key].homeless.is_some()) {
            for key in self.gateways[came].calls.clone() {
                self.end_homelessness(key);
                for number in self.leg_numbers(key) {
                    self.touch(key, number);
                }
            }
        }
        for from in self.gateways.keys() {
            if !self.gateways[from].up && self.lightest_gateway().is_some() {
                let sip: Name = self.gateways[from].sip.as_str().into();
                self.deal_calls(from, &sip, out);
            }
        }
    }

    /// Nobody can go on with the call now. All that is due waits until somebody does, for a while.
    fn make_homeless(&mut self, key: CallKey, from: GatewayKey, out: &mut Output) {
        self.gateways[from].calls.insert(key);
        if self.calls[key].in_line().is_some_and(|line| line.callback.is_some()) {
            // The caller is not on the phone; what rings is as if it had not been tried.
            if matches!(self.calls[key].state, CallState::Calling { .. }) {
                self.give_up_calling(key, out);
            }
            self.calls[key].legs.clear();
            return;
        }
        let waits = self.waits_in_line(key);
        if waits {
            self.leave_line(key);
        }
        let now = self.now;
        self.calls[key].homeless.get_or_insert(now);
        if waits {
            self.stand_in_line(key);
        }
        self.set_call_alarm(key);
    }

    fn end_homelessness(&mut self, key: CallKey) {
        let Some(since) = self.calls[key].homeless else { return };
        let waits = self.waits_in_line(key);
        if waits {
            self.leave_line(key);
        }
        self.calls[key].homeless = None;
        self.prolong_call(key, self.now - since);
        if waits {
            self.stand_in_line(key);
        }
        self.set_call_alarm(key);
    }

    fn waits_in_line(&self, key: CallKey) -> bool {
        self.calls[key].state == CallState::Waiting && self.calls[key].line.is_some()
    }

    /// No gateway has come in time.
    pub(crate) fn give_up_homeless(&mut self, key: CallKey, out: &mut Output) {
        if self.calls[key].in_line().is_some_and(|line| line.callback.is_some()) {
            // Has asked to be called back meanwhile, which needs no gateway yet.
            self.calls[key].legs.clear();
            return self.end_homelessness(key);
        }
        if !self.calls[key].is_ended() {
            self.conclude(key, CallOutcome::Failed, "system", Release::Failed, out);
        }
        if self.calls.get(key).is_some() {
            self.drop_call(key);
        }
    }

    /// The call goes on at this gateway.
    fn take_over(&mut self, key: CallKey, to: GatewayKey, former_sip: &Name, out: &mut Output) {
        self.give_call(key, to);
        self.end_homelessness(key);
        let legs = self.leg_numbers(key);
        for number in &legs {
            let leg = self.calls[key].leg_mut(*number).expect("its number was just read");
            // Until it is confirmed, the far end knows of the one before only.
            leg.former.get_or_insert_with(|| former_sip.clone());
            self.touch(key, *number);
        }
        self.drop_phones_gone(key, out);
        for number in legs {
            let leg = self.calls.get(key).and_then(|call| call.leg(number));
            if leg.is_some_and(crate::rows::Leg::rings) {
                self.ring_again(key, number);
            }
        }
        self.set_call_alarm(key);
    }

    /// Puts a call on a gateway's list; the former has it no more.
    pub(crate) fn give_call(&mut self, key: CallKey, to: GatewayKey) {
        let call = &mut self.calls[key];
        let from = std::mem::replace(&mut call.gateway, to);
        call.tenure = call.tenure.saturating_add(1);
        self.gateways[from].calls.remove(&key);
        self.gateways[to].calls.insert(key);
    }

    pub(crate) fn leg_numbers(&self, key: CallKey) -> Vec<u32> {
        self.calls[key].legs.iter().map(|leg| leg.number).collect()
    }

    /// The same phone rings by a new leg, for what is left of the time. It is no other offer, and nobody missed one.
    fn ring_again(&mut self, key: CallKey, number: u32) {
        let leg = self.calls[key].leg(number).expect("its number was just read");
        let (party, want) = (leg.party.clone(), leg.want.clone());
        self.want_gone(key, number, Release::Withdrawn);
        let again = self.add_leg(key, party, want);
        let least = self.now.saturating_add(RING_AGAIN_MS_MIN);
        let call = &mut self.calls[key];
        if call.caller_leg == number {
            call.caller_leg = again;
        }
        let swap = |leg: &mut u32| {
            if *leg == number {
                *leg = again;
            }
        };
        let longer = |until: &mut Timestamp| *until = (*until).max(least);
        match &mut call.state {
            CallState::Offered(offer) => {
                offer.ringing.iter_mut().for_each(|ringing| swap(&mut ringing.leg));
                longer(&mut offer.until);
            }
            CallState::Calling { leg, until, .. } => {
                swap(leg);
                longer(until);
            }
            CallState::Moving(moving) => {
                moving.ringing.iter_mut().for_each(|(_, leg)| swap(leg));
                longer(&mut moving.until);
            }
            CallState::Talking(talk) => {
                if let Some(aside) = &mut talk.aside {
                    aside.legs.iter_mut().for_each(swap);
                    if let AsideStage::Ringing { until } = &mut aside.stage {
                        longer(until);
                    }
                }
            }
            CallState::Waiting | CallState::Asking { .. } | CallState::Leaving { .. } | CallState::Ended { .. } => {}
        }
    }

    /// Phones whose connection ended with the gateway are rung no more; nobody is blamed for it.
    fn drop_phones_gone(&mut self, key: CallKey, out: &mut Output) {
        let rung = self.calls[key].legs.iter().filter_map(|leg| match (&leg.want, &leg.party) {
            (LegWant::Ring(rung), Some(name)) => Some((name.clone(), rung.contact.clone())),
            _ => None,
        });
        for (name, contact) in rung.collect::<Vec<_>>() {
            let Some(agent) = self.agent_names.get(&name).copied() else { continue };
            if self.calls.get(key).is_none() || self.agents[agent].has_contact(&contact) {
                continue;
            }
            self.drop_phone(key, agent, &contact, out);
        }
    }

    fn drop_phone(&mut self, key: CallKey, agent: AgentKey, contact: &str, out: &mut Output) {
        let rings = |leg: &&crate::rows::Leg| matches!(&leg.want, LegWant::Ring(rung) if *rung.contact == *contact);
        let Some(leg) = self.calls[key].legs.iter().find(rings).map(|leg| leg.number) else { return };
        let others = match &mut self.calls[key].state {
            CallState::Offered(offer) => {
                let mine = offer.ringing.iter().filter(|ringing| ringing.agent == agent).count();
                if mine > 1 {
                    offer.ringing.retain(|ringing| ringing.leg != leg);
                }
                mine > 1
            }
            CallState::Moving(moving) => {
                let mine = moving.ringing.iter().filter(|(party, _)| *party == Party::Agent(agent)).count();
                if mine > 1 {
                    moving.ringing.retain(|(_, ringing)| *ringing != leg);
                }
                mine > 1
            }
            CallState::Talking(talk) => talk.aside.as_mut().is_some_and(|aside| {
                let mine = aside.legs.len();
                if mine > 1 {
                    aside.legs.retain(|ringing| *ringing != leg);
                }
                mine > 1
            }),
            _ => return,
        };
        if others {
            return self.want_gone(key, leg, Release::Withdrawn);
        }
        self.take_back(key, agent, Release::Withdrawn, out);
        self.drop_work(agent, key, "unreachable", out);
    }
}
