//! What an agent's phone asks by SIP itself: REFER, hold, 3xx. The rules are those of a transfer, a hold, a forward.

use crate::command::{Accepted, Rejection, RejectionCode};
use crate::document::Target;
use crate::limits::{FORWARD_SECONDS_DEFAULT, MOVED_TO_MAX};
use crate::output::Output;
use crate::rows::{CallState, LegWant, Party};
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey};
use crate::{CallId, Name};

impl Shard {
    pub(crate) fn refer_leg(
        &mut self,
        id: CallId,
        leg: u32,
        tenure: u32,
        target: Target,
        replaces: &str,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let key = self.held_leg(id, leg, tenure)?;
        self.check_name("replaces", replaces)?;
        self.check_target(&target)?;
        let Some(agent) = self.agent_of_leg(key, leg) else {
            return Err(Rejection::new(RejectionCode::WrongState, "no agent talks by this leg"));
        };
        let target = self.meant(target);
        let whom = self.who_replaces(&target).filter(|_| !replaces.is_empty());
        self.blind_transfer(key, agent, target, out);
        if let Some(whom) = whom {
            self.put_replaces(key, &whom, &replaces.into());
        }
        Ok(Accepted)
    }

    /// A phone writes the name of an agent where it writes numbers; numbers go first.
    fn meant(&self, target: Target) -> Target {
        match target {
            Target::Number(name) if !self.is_number(&name) && self.agent_key(&name).is_ok() => Target::Agent(name),
            other => other,
        }
    }

    fn is_number(&self, number: &str) -> bool {
        self.numbers.get(number).is_some_and(|row| !row.removed)
    }

    /// Whose dialog would be replaced: an agent's, or that of somebody outside. A queue has none.
    fn who_replaces(&self, target: &Target) -> Option<Party> {
        let agent = |name: &str| self.agent_key(name).ok().map(Party::Agent);
        match target {
            Target::Agent(name) => agent(name),
            Target::Number(number) if self.is_number(number) => agent(&self.numbers.get(number.as_str())?.policy.agent),
            Target::Number(outside) | Target::Sip(outside) => Some(Party::Outside(outside.as_str().into())),
            Target::Queue(_) => None,
        }
    }

    /// The phones of the target are asked to go on with another dialog of theirs. Told for the first time after this.
    fn put_replaces(&mut self, key: CallKey, whom: &Party, replaces: &Name) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let CallState::Moving(moving) = &call.state else { return };
        let ringing = moving.ringing.iter().filter(|(party, _)| party == whom).map(|(_, leg)| *leg);
        for number in ringing.collect::<Vec<_>>() {
            match call.leg_mut(number).map(|leg| &mut leg.want) {
                Some(LegWant::Ring(rung)) => rung.replaces = Some(replaces.clone()),
                Some(LegWant::Dial { replaces: of, .. }) => *of = Some(replaces.clone()),
                _ => {}
            }
        }
    }

    pub(crate) fn hold_leg(
        &mut self,
        id: CallId,
        leg: u32,
        tenure: u32,
        held: bool,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let key = self.held_leg(id, leg, tenure)?;
        // A caller who holds us, or somebody outside, has music of their own.
        if self.agent_of_leg(key, leg).is_none() {
            return Ok(Accepted);
        }
        if matches!(&self.calls[key].state, CallState::Talking(talk) if talk.aside.is_some()) {
            return Err(Rejection::new(RejectionCode::WrongState, "the agent consults"));
        }
        if held {
            self.hold(key, out);
        } else {
            self.resume(key, out);
        }
        Ok(Accepted)
    }

    /// The agent who talks to the caller by this leg.
    fn agent_of_leg(&self, key: CallKey, leg: u32) -> Option<AgentKey> {
        match &self.calls[key].state {
            CallState::Talking(talk) if talk.leg == leg => match talk.party {
                Party::Agent(agent) => Some(agent),
                Party::Outside(_) => None,
            },
            _ => None,
        }
    }

    /// Somebody outside may send a call to a number of ours or to a SIP address, but not have us dial numbers: that is how
    /// strangers telephone on a company's bill.
    pub(crate) fn not_at_our_cost(&self, mut places: Vec<(Target, u64)>) -> Vec<(Target, u64)> {
        places.retain(|(target, _)| match target {
            Target::Number(number) => self.numbers.get(number.as_str()).is_some_and(|row| !row.removed),
            Target::Agent(_) | Target::Queue(_) | Target::Sip(_) => true,
        });
        places
    }

    /// What of a 3xx can be called, best first.
    pub(crate) fn moved_to(&self, places: &[String]) -> Vec<(Target, u64)> {
        let target = |place: &String| {
            let sip = place.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sip:"))
                || place.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"));
            self.meant(if sip { Target::Sip(place.clone()) } else { Target::Number(place.clone()) })
        };
        let usable = places.iter().map(target).filter(|target| self.check_target(target).is_ok());
        usable.take(MOVED_TO_MAX).map(|target| (target, u64::from(FORWARD_SECONDS_DEFAULT) * 1000)).collect()
    }
}
