//! Emptying a gateway: its calls are handed to the others one by one, each when all its legs have settled; never a call
//! that rings.

use crate::Name;
use crate::command::{Accepted, Rejection, RejectionCode};
use crate::output::{Order, Output, Want};
use crate::rows::{Call, CallState};
use crate::shard::Shard;
use crate::table::CallKey;

impl Shard {
    pub(crate) fn drain_gateway(
        &mut self,
        id: &str,
        incarnation: u64,
        undo: bool,
        by: &str,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        self.check_name("by", by)?;
        if self.rules < crate::takeover::RULES {
            return Err(Rejection::new(RejectionCode::WrongState, "these rules know no take-over"));
        }
        let present = self.gateway_ids.get(id).map_or(0, |key| self.gateways[*key].incarnation);
        let key = self.living_gateway(id, if incarnation == 0 { present } else { incarnation })?;
        self.gateways[key].draining = !undo;
        self.gateway_came(key, out);
        Ok(Accepted)
    }

    /// The calls of all gateways that are being emptied may be handed on at the end of this apply.
    pub(crate) fn look_for_settled(&mut self) {
        let draining = self.gateways.iter().filter(|(_, gateway)| gateway.up && gateway.draining);
        self.settled.extend(draining.flat_map(|(_, gateway)| gateway.calls.iter().copied()));
    }

    /// A leg of the call was settled or has ended.
    pub(crate) fn leg_settled(&mut self, key: CallKey) {
        if self.gateways[self.calls[key].gateway].draining {
            self.settled.push(key);
        }
    }

    /// Hands on what has settled, at the end of an apply.
    pub(crate) fn drain_settled(&mut self) {
        for key in std::mem::take(&mut self.settled) {
            let Some(call) = self.calls.get(key) else { continue };
            let from = &self.gateways[call.gateway];
            if !(from.up && from.draining && is_settled(call)) {
                continue;
            }
            let Some(to) = self.lightest_gateway() else { return };
            let (former, sip): (Name, Name) = (from.id.clone(), from.sip.as_str().into());
            for leg in &call.legs {
                let (call, tenure, trace) = (call.id, call.tenure, call.trace.clone());
                let order =
                    Order { call, leg: leg.number, revision: 0, trace, tenure, takeover: None, want: Want::Yield };
                self.yielded.push((former.clone(), order));
            }
            self.give_call(key, to);
            for number in self.leg_numbers(key) {
                self.calls[key].leg_mut(number).expect("its number was just read").former = Some(sip.clone());
                self.touch(key, number);
            }
        }
    }
}

/// Every leg can be gone on with by another gateway without anybody noticing.
fn is_settled(call: &Call) -> bool {
    !matches!(call.state, CallState::Ended { .. }) && call.legs.iter().all(|leg| leg.is_settled())
}
