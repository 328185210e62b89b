//! Legs and their standing orders; never decides what a call becomes.

use crate::output::{Order, Output, Ring, Want};
use crate::rows::{Call, Leg, LegWant, Release};
use crate::shard::Shard;
use crate::table::CallKey;

impl Shard {
    /// All standing orders of a gateway's present life, by call and leg. Empty for any other life.
    pub fn standing_orders(&self, gateway: &str, incarnation: u64) -> Vec<Order> {
        let Some(key) = self.gateway_ids.get(gateway) else { return Vec::new() };
        let gateway = &self.gateways[*key];
        if gateway.incarnation != incarnation {
            return Vec::new();
        }
        let calls = gateway.calls.iter().map(|key| &self.calls[*key]);
        calls.flat_map(|call| call.legs.iter().map(|leg| self.order(call, leg))).collect()
    }

    /// Changes what ought to be true of a leg. Told once at the end of the apply.
    pub(crate) fn want(&mut self, key: CallKey, number: u32, want: LegWant) {
        self.revision += 1;
        let leg = self.calls[key].leg_mut(number).expect("only a leg in hand is ordered about");
        leg.want = want;
        leg.revision = self.revision;
        self.touched.push((self.revision, key, number));
    }

    pub(crate) fn want_gone(&mut self, key: CallKey, number: u32, release: Release) {
        self.want(key, number, LegWant::Gone { release });
    }

    /// Adds a leg; `agent` is the name of whom it rings.
    pub(crate) fn add_leg(&mut self, key: CallKey, agent: Option<Box<str>>, want: LegWant) -> u32 {
        let legs_max = self.limits.legs_per_call_max;
        let call = &mut self.calls[key];
        if call.legs.len() >= legs_max
            && let Some(index) = call.legs.iter().position(|leg| matches!(leg.want, LegWant::Gone { .. }))
        {
            // Its gateway has not reported it for many offers. Not being told of it any more ends it too.
            call.legs.remove(index);
        }
        call.legs_made += 1;
        let number = call.legs_made;
        let passport = Box::default();
        call.legs.push(Leg { number, agent, answered: false, want: LegWant::Alert, revision: 0, passport });
        self.want(key, number, want);
        number
    }

    /// Appends the orders of the legs that changed, each once, the last.
    pub(crate) fn tell(&mut self, out: &mut Output) {
        let touched = std::mem::take(&mut self.touched);
        for (revision, key, number) in &touched {
            // The leg, the call, even the slot may be another's by now; a revision is unique.
            let Some(call) = self.calls.get(*key) else { continue };
            let Some(leg) = call.leg(*number).filter(|leg| leg.revision == *revision) else { continue };
            out.orders.push((self.gateways[call.gateway].id.clone(), self.order(call, leg)));
        }
        self.touched = touched;
        self.touched.clear();
    }

    pub(crate) fn order(&self, call: &Call, leg: &Leg) -> Order {
        let queue = call.line().map(|line| &self.queues[line.queue]);
        let want = match &leg.want {
            LegWant::Alert => Want::Alert,
            LegWant::Ring { contact } => Want::Ring(Ring {
                contact: contact.to_string(),
                agent: leg.agent.as_deref().unwrap_or_default().to_owned(),
                caller: call.caller.clone(),
                caller_name: call.caller_name.clone(),
                number: call.number.clone(),
                queue: queue.map(|queue| queue.name.clone()).unwrap_or_default(),
            }),
            LegWant::Listen => {
                Want::Listen { prompt: queue.map(|queue| queue.policy.music.clone()).unwrap_or_default() }
            }
            LegWant::Join { leg } => Want::Join { leg: *leg },
            LegWant::Gone { release } => {
                Want::Gone { sip_status: release.sip_status(), reason: release.reason().to_owned() }
            }
        };
        Order { call: call.id, leg: leg.number, revision: leg.revision, trace: call.trace.clone(), want }
    }
}
