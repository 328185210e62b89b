//! Legs and their standing orders; never decides what a call becomes.

use crate::Name;
use crate::document::Presentation;
use crate::output::{Dial, Order, Output, Ring, Saying, Takeover, Want};
use crate::rows::{Call, Leg, LegWant, Release, Rung};
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
        if !gateway.up {
            return Vec::new();
        }
        let calls = gateway.calls.iter().map(|key| &self.calls[*key]);
        calls.flat_map(|call| call.legs.iter().map(|leg| self.order(call, leg))).collect()
    }

    /// Changes what ought to be true of a leg. Told once at the end of the apply.
    pub(crate) fn want(&mut self, key: CallKey, number: u32, want: LegWant) {
        self.revision += 1;
        let keeps = self.rules >= crate::takeover::RULES;
        let leg = self.calls[key].leg_mut(number).expect("only a leg in hand is ordered about");
        let rang = leg.rings() && matches!(want, LegWant::Gone { .. });
        let former = std::mem::replace(&mut leg.want, want);
        if keeps && rang && !leg.answered {
            leg.rang = Some(Box::new(former));
        }
        leg.revision = self.revision;
        self.touched.push((self.revision, key, number));
    }

    /// What is wanted stays, but it is to be told anew.
    pub(crate) fn touch(&mut self, key: CallKey, number: u32) {
        self.revision += 1;
        let leg = self.calls[key].leg_mut(number).expect("only a leg in hand is ordered about");
        leg.revision = self.revision;
        self.touched.push((self.revision, key, number));
    }

    pub(crate) fn want_gone(&mut self, key: CallKey, number: u32, release: Release) {
        self.want(key, number, LegWant::Gone { release, status: 0 });
    }

    pub(crate) fn want_caller(&mut self, key: CallKey, want: LegWant) {
        self.want(key, self.calls[key].caller_leg, want);
    }

    /// Adds a leg; `party` is the name of whom it rings.
    pub(crate) fn add_leg(&mut self, key: CallKey, party: Option<Name>, want: LegWant) -> u32 {
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
        call.legs.push(Leg {
            number,
            party,
            answered: false,
            want: LegWant::Alert,
            revision: 0,
            passport: Box::default(),
            former: None,
            rang: None,
        });
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
            let gateway = &self.gateways[call.gateway];
            if gateway.up {
                out.orders.push((gateway.id.clone(), self.order(call, leg)));
            }
        }
        self.touched = touched;
        self.touched.clear();
        // After those of the gateway that has the leg now: make before break.
        for (gateway, mut order) in std::mem::take(&mut self.yielded) {
            self.revision += 1;
            order.revision = self.revision;
            out.orders.push((gateway, order));
        }
    }

    pub(crate) fn order(&self, call: &Call, leg: &Leg) -> Order {
        let takeover = leg.former.as_ref().map(|former| {
            let rang = leg.rang.as_ref().map(|rang| self.wanted(call, leg, rang));
            Box::new(Takeover { passport: leg.passport.to_vec(), former_sip: former.to_string(), rang })
        });
        let want = self.wanted(call, leg, &leg.want);
        let (call, trace, tenure) = (call.id, call.trace.clone(), call.tenure);
        Order { call, leg: leg.number, revision: leg.revision, trace, tenure, takeover, want }
    }

    /// A want in words that a gateway needs.
    fn wanted(&self, call: &Call, leg: &Leg, want: &LegWant) -> Want {
        let queue = call.line.as_deref().map(|line| &self.queues[line.queue]);
        match want {
            LegWant::Alert => Want::Alert,
            LegWant::Ring(Rung { contact, path, replaces }) => Want::Ring(Ring {
                contact: contact.clone(),
                path: path.clone(),
                replaces: replaces.clone(),
                history: call.history.clone(),
                agent: leg.party.clone().unwrap_or_else(|| self.empty.clone()),
                caller: call.caller.clone(),
                caller_name: call.caller_name.clone(),
                number: call.number.clone(),
                queue: queue.map_or_else(|| self.empty.clone(), |queue| queue.name.clone()),
            }),
            LegWant::Dial { target, replaces } => {
                Want::Dial(Dial { replaces: replaces.clone(), ..self.dialled(call, leg, target) })
            }
            LegWant::Listen => Want::Listen {
                prompt: queue.map_or("music", |queue| queue.policy.music()).to_owned(),
                announcement: (call.said.0 > 0 && leg.number == call.caller_leg)
                    .then(|| Saying { number: call.said.0, parts: call.said.1.clone() }),
            },
            LegWant::Quiet => Want::Quiet,
            LegWant::Join { leg } => Want::Join { leg: *leg },
            LegWant::Meet { legs } => Want::Meet { legs: legs.to_vec() },
            LegWant::Gone { release, status } => Want::Gone {
                sip_status: if *status == 0 { release.sip_status() } else { u32::from(*status) },
                reason: release.reason().to_owned(),
            },
        }
    }

    /// Who is called outside, and what they see of the caller.
    fn dialled(&self, call: &Call, leg: &Leg, target: &str) -> Dial {
        let centre = &self.centre.document;
        let to_caller = leg.party.is_none();
        let shown = if to_caller { Presentation::Company } else { centre.outside };
        let company = if centre.number.is_empty() { &*call.number } else { &centre.number };
        let (caller, caller_name) = match shown {
            Presentation::Caller => (call.caller.to_string(), call.caller_name.to_string()),
            Presentation::Company => (company.to_owned(), String::new()),
            // Who is asked may know it all the same: of those whom the gateway trusts (RFC 3325).
            Presentation::Hidden => (company.to_owned(), String::new()),
        };
        let hidden = shown == Presentation::Hidden;
        let history = call.history.clone();
        Dial { target: target.to_owned(), caller, caller_name, hidden, history, replaces: None }
    }
}
