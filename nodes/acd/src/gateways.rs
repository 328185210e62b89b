//! Gateways and their lives; what becomes of their calls is in `takeover.rs`.

use crate::Name;
use crate::command::{Accepted, Rejection, RejectionCode};
use crate::output::{CallOutcome, Output};
use crate::rows::{CallState, Gateway, Release};
use crate::shard::Shard;
use crate::table::{CallKey, GatewayKey};

impl Shard {
    pub(crate) fn attach_gateway(
        &mut self,
        id: &str,
        incarnation: u64,
        sip: String,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        if id.is_empty() || incarnation == 0 {
            return Err(Rejection::new(RejectionCode::Invalid, "gateway or incarnation is missing"));
        }
        self.check_name("gateway", id)?;
        self.check_name("sip", &sip)?;
        let Some(key) = self.gateway_ids.get(id).copied() else {
            self.room_for_gateway()?;
            let gateway = Gateway {
                id: id.into(),
                incarnation,
                former: 0,
                sip,
                up: true,
                draining: false,
                since: self.now,
                calls: Default::default(),
            };
            let key = self.gateways.insert(gateway);
            self.gateway_ids.insert(id.into(), key);
            self.gateway_came(key, out);
            return Ok(Accepted);
        };
        if self.gateways[key].former == incarnation {
            return Err(Rejection::new(RejectionCode::Stale, "a later life of this gateway is attached"));
        }
        if self.gateways[key].incarnation == incarnation {
            let gateway = &mut self.gateways[key];
            let was_up = std::mem::replace(&mut gateway.up, true);
            gateway.sip = sip;
            if !was_up {
                gateway.since = self.now;
                self.gateway_came(key, out);
            }
            return Ok(Accepted);
        }
        if !self.takes_over() {
            self.orphan_calls(key, out);
        }
        self.lose_flows(id);
        let gateway = &mut self.gateways[key];
        gateway.former = std::mem::replace(&mut gateway.incarnation, incarnation);
        gateway.up = true;
        gateway.draining = false;
        gateway.since = self.now;
        let former_sip: Name = std::mem::replace(&mut gateway.sip, sip).into();
        if self.takes_over() {
            self.deal_calls(key, &former_sip, out);
        }
        self.gateway_came(key, out);
        Ok(Accepted)
    }

    fn takes_over(&self) -> bool {
        self.rules >= crate::takeover::RULES
    }

    /// There is somewhere to go for calls that nobody has, and for those that are to leave another gateway.
    pub(crate) fn gateway_came(&mut self, key: GatewayKey, out: &mut Output) {
        if self.takes_over() {
            self.house_calls(key, out);
            self.look_for_settled();
        }
    }

    pub(crate) fn lose_gateway(&mut self, id: &str, incarnation: u64, out: &mut Output) -> Result<Accepted, Rejection> {
        let key = self.gateway_key(id, incarnation)?;
        if self.gateways[key].up {
            self.gateways[key].up = false;
            self.gateways[key].since = self.now;
            self.lose_flows(id);
            if self.takes_over() {
                let sip: Name = self.gateways[key].sip.as_str().into();
                self.deal_calls(key, &sip, out);
            } else {
                self.orphan_calls(key, out);
            }
        }
        Ok(Accepted)
    }

    /// The gateway that has this life and is attached.
    pub(crate) fn living_gateway(&self, id: &str, incarnation: u64) -> Result<GatewayKey, Rejection> {
        let key = self.gateway_key(id, incarnation)?;
        if !self.gateways[key].up {
            return Err(Rejection::new(RejectionCode::UnknownGateway, "the gateway was lost and must attach again"));
        }
        Ok(key)
    }

    fn gateway_key(&self, id: &str, incarnation: u64) -> Result<GatewayKey, Rejection> {
        let unknown = || Rejection::new(RejectionCode::UnknownGateway, "no such gateway is attached");
        let key = self.gateway_ids.get(id).copied().ok_or_else(unknown)?;
        if self.gateways[key].incarnation != incarnation {
            return Err(Rejection::new(RejectionCode::Stale, "another life of this gateway is attached"));
        }
        Ok(key)
    }

    fn room_for_gateway(&mut self) -> Result<(), Rejection> {
        if self.gateways.len() < self.limits.gateways_max {
            return Ok(());
        }
        let lost =
            self.gateways.iter().find(|(_, gateway)| !gateway.up && gateway.calls.is_empty()).map(|(key, _)| key);
        let lost = lost.ok_or_else(|| Rejection::new(RejectionCode::LimitReached, "gateways_max"))?;
        let gateway = self.gateways.remove(lost);
        self.gateway_ids.remove(&gateway.id);
        Ok(())
    }

    fn orphan_calls(&mut self, key: GatewayKey, out: &mut Output) {
        for call in self.gateways[key].calls.clone() {
            self.orphan_call(call, out);
        }
    }

    /// What becomes of a call whose gateway is lost, under rules without take-over: it fails. A caller who is to be called
    /// back is on no gateway, and loses nothing.
    fn orphan_call(&mut self, key: CallKey, out: &mut Output) {
        let call = &self.calls[key];
        if call.in_line().is_some_and(|line| line.callback.is_some()) {
            if matches!(call.state, CallState::Calling { .. }) {
                self.give_up_calling(key, out);
            }
            self.calls[key].legs.clear();
            return;
        }
        if !call.is_ended() {
            self.conclude(key, CallOutcome::Failed, "system", Release::Failed, out);
        }
        if self.calls.get(key).is_some() {
            self.drop_call(key);
        }
    }
}
