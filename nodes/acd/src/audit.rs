//! Recomputes from the rows what the indices say and what must always hold; never repairs anything.

use std::collections::{BTreeMap, BTreeSet};

use crate::alarms::Alarm;
use crate::rows::{AsideStage, Call, CallState, Class, ClassKey, LegWant, Party, Place, Presence, Stage, TIERS};
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey, QueueKey};

macro_rules! ensure {
    ($holds:expr, $($what:tt)*) => { if !$holds { return Err(format!($($what)*)); } };
}

impl Shard {
    /// Whether all indices agree with the rows and the invariants hold. Slow: for tests, the simulator and restores.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn audit(&self) -> Result<(), String> {
        self.audit_names()?;
        self.audit_calls()?;
        self.audit_agents()?;
        self.audit_staff()?;
        self.audit_lines()?;
        self.audit_pools()?;
        self.audit_alarms()
    }

    fn audit_names(&self) -> Result<(), String> {
        let fresh = &self.fresh;
        let scratch = self.settled.is_empty()
            && self.yielded.is_empty()
            && fresh.agents.is_empty()
            && fresh.calls.is_empty()
            && fresh.queues.is_empty();
        ensure!(scratch && self.touched.is_empty(), "scratch is not empty");
        ensure!(self.queue_names.len() == self.queues.len(), "queue names");
        ensure!(self.agent_names.len() == self.agents.len(), "agent names");
        ensure!(self.call_ids.len() == self.calls.len(), "call ids");
        ensure!(self.gateway_ids.len() == self.gateways.len(), "gateway ids");
        for (name, row) in self.numbers.iter().filter(|(_, row)| !row.removed) {
            let queue = self.queue_names.get(row.policy.queue.as_str()).map(|key| &self.queues[*key]);
            ensure!(queue.is_some_and(|queue| !queue.removed), "number {name} leads nowhere");
        }
        Ok(())
    }

    fn audit_calls(&self) -> Result<(), String> {
        for (key, call) in self.calls.iter() {
            let id = call.id;
            ensure!(self.call_ids.get(&id) == Some(&key), "call {id}: id index");
            let gateway = self.gateways.get(call.gateway);
            ensure!(gateway.is_some_and(|row| row.calls.contains(&key)), "call {id}: not on its gateway");
            let absent = call.line.as_deref().is_some_and(|line| line.callback.is_some());
            let up = gateway.is_some_and(|row| row.up);
            ensure!(absent || up || call.homeless.is_some(), "call {id}: on a gateway that does not serve it");
            ensure!(!up || call.homeless.is_none(), "call {id}: homeless on a gateway that is there");
            ensure!(call.tenure >= 1, "call {id}: no tenure");
            for leg in &call.legs {
                // Who was lost before the caller's INVITE was kept leaves nothing to go on with, which is said as it is.
                let known = !leg.passport.is_empty()
                    || leg.rang.is_some()
                    || leg.party.is_none()
                    || leg.answered
                    || leg.is_gone();
                ensure!(leg.former.is_none() || known, "call {id}: leg {} is to be adopted blindly", leg.number);
                ensure!(leg.former.is_none() || call.tenure > 1, "call {id}: leg {} had no other gateway", leg.number);
                ensure!(leg.rang.is_none() || leg.is_gone(), "call {id}: leg {} rings and is taken back", leg.number);
            }
            ensure!(call.offered <= self.now, "call {id}: offered in the future");
            ensure!(absent || !call.legs.is_empty(), "call {id}: no legs");
            ensure!(call.legs.len() <= self.limits.legs_per_call_max.max(8), "call {id}: too many legs");
            ensure!(call.legs.windows(2).all(|pair| pair[0].number < pair[1].number), "call {id}: leg order");
            ensure!(call.legs.iter().all(|leg| leg.number <= call.legs_made), "call {id}: leg numbers");
            ensure!(call.legs.iter().all(|leg| leg.revision <= self.revision), "call {id}: leg revisions");
            ensure!(self.call_due(call) == call.alarm, "call {id}: alarm {:?}", call.alarm);
            ensure!(
                call.alarm.is_none_or(|at| at > self.now),
                "call {id}: {:?} was due and not done: {call:?}",
                call.alarm
            );
            self.audit_legs(key, call).map_err(|what| format!("call {id}: {what}"))?;
        }
        let homeless = self.calls.iter().any(|(_, call)| call.homeless.is_some());
        ensure!(!homeless || self.lightest_gateway().is_none(), "a call is homeless though a gateway could take it");
        let listed: usize = self.gateways.iter().map(|(_, gateway)| gateway.calls.len()).sum();
        ensure!(listed == self.calls.len(), "gateways list {listed} calls");
        Ok(())
    }

    /// What is wanted of the legs fits the state, and agents know of their part in it.
    fn audit_legs(&self, key: CallKey, call: &Call) -> Result<(), String> {
        let wants: BTreeMap<u32, &LegWant> = call
            .legs
            .iter()
            .filter(|leg| !matches!(leg.want, LegWant::Gone { .. }))
            .map(|leg| (leg.number, &leg.want))
            .collect();
        let caller = call.caller_leg;
        let hears = matches!(wants.get(&caller), Some(LegWant::Alert | LegWant::Listen));
        let callback = call.line.as_deref().is_some_and(|line| line.callback.is_some());
        let works =
            |agent: AgentKey, stages: &[Stage]| self.stage_of(agent, key).is_some_and(|stage| stages.contains(&stage));
        let rings = |leg: &u32| matches!(wants.get(leg), Some(LegWant::Ring(_) | LegWant::Dial { .. }));
        let fits = match &call.state {
            CallState::Waiting | CallState::Asking { .. } if callback => wants.is_empty(),
            CallState::Waiting | CallState::Asking { .. } | CallState::Leaving { .. } => hears && wants.len() == 1,
            CallState::Offered(offer) => {
                let all =
                    offer.ringing.iter().all(|ringing| rings(&ringing.leg) && works(ringing.agent, &[Stage::Reserved]));
                hears && all && !offer.ringing.is_empty() && wants.len() == offer.ringing.len() + 1
            }
            CallState::Calling { agent, leg, .. } => {
                callback && wants.len() == 1 && rings(leg) && works(*agent, &[Stage::Reserved])
            }
            CallState::Moving(moving) => {
                let all = moving.ringing.iter().all(|(party, leg)| match party {
                    Party::Agent(agent) => rings(leg) && works(*agent, &[Stage::Reserved]),
                    Party::Outside(_) => rings(leg),
                });
                hears && all && !moving.ringing.is_empty() && wants.len() == moving.ringing.len() + 1
            }
            CallState::Talking(talk) => {
                let party = match &talk.party {
                    Party::Agent(agent) => works(*agent, &[Stage::Talking, Stage::Held, Stage::Consulting]),
                    Party::Outside(_) => true,
                };
                let aside_legs = talk.aside.as_ref().map_or(0, |aside| aside.legs.len());
                let shape = match &talk.aside {
                    None if talk.held.is_some() => hears && wants.get(&talk.leg) == Some(&&LegWant::Quiet),
                    None => {
                        wants.get(&caller) == Some(&&LegWant::Join { leg: talk.leg })
                            && wants.get(&talk.leg) == Some(&&LegWant::Join { leg: caller })
                    }
                    Some(aside) => match aside.stage {
                        AsideStage::Ringing { .. } => hears && aside.legs.iter().all(rings),
                        AsideStage::Target => hears && aside.legs.len() == 1,
                        AsideStage::Caller => wants.get(&caller) == Some(&&LegWant::Join { leg: talk.leg }),
                        AsideStage::Conference => {
                            wants.values().all(|want| matches!(want, LegWant::Meet { .. })) && wants.len() == 3
                        }
                    },
                };
                party && shape && wants.len() == 2 + aside_legs
            }
            CallState::Ended { .. } => wants.is_empty(),
        };
        ensure!(fits, "legs {wants:?} do not fit {:?}", call.state);
        Ok(())
    }

    fn audit_agents(&self) -> Result<(), String> {
        for (key, agent) in self.agents.iter() {
            let name = &agent.name;
            ensure!(self.agent_names.get(name) == Some(&key), "agent {name}: name index");
            ensure!(agent.since <= self.now && agent.counted <= self.now, "agent {name}: since the future");
            ensure!(agent.state == agent.derived_state(), "agent {name}: state");
            // Not the present capacity: one that was lowered lets calls in hand end, and gives no new ones (`available`).
            ensure!(agent.work.len() <= 1 + usize::from(crate::limits::CAPACITY_MAX), "agent {name}: beyond capacity");
            let reserved = agent.work.iter().filter(|work| work.stage == Stage::Reserved).count();
            ensure!(reserved <= 1, "agent {name}: rings for several calls");
            for work in &agent.work {
                let part = self.calls.get(work.call).is_some_and(|call| has_part(call, key));
                ensure!(part, "agent {name}: {work:?} does not fit the call");
            }
            ensure!(
                agent.after == crate::rows::AfterCall::Ready || !agent.work.is_empty(),
                "agent {name}: something is left to be done after calls that are over"
            );
            if agent.removed {
                ensure!(!agent.work.is_empty() && agent.members.is_empty(), "agent {name}: removed and still here");
            }
            if let Some(until) = agent.until() {
                ensure!(until > self.now, "agent {name}: past the deadline in {}", agent.state.name());
                ensure!(agent.alarm.is_some_and(|at| at <= until), "agent {name}: no alarm");
                let free = agent.work.is_empty()
                    || matches!(agent.presence, Presence::NotReady { .. } | Presence::WrapUp { .. });
                ensure!(free, "agent {name}: talks with a deadline");
            }
            let fresh = agent.contacts.iter().all(|contact| contact.expires > self.now);
            ensure!(fresh, "agent {name}: a contact has expired");
            ensure!(agent.contacts_alarm == agent.contacts_deadline(), "agent {name}: contacts alarm");
        }
        Ok(())
    }

    fn audit_staff(&self) -> Result<(), String> {
        let mut staff: BTreeMap<QueueKey, [[u32; Class::COUNT]; TIERS]> = BTreeMap::new();
        let mut members: BTreeMap<QueueKey, BTreeSet<AgentKey>> = BTreeMap::new();
        for (key, agent) in self.agents.iter() {
            for member in &agent.members {
                staff.entry(member.queue).or_default()[usize::from(member.tier)][agent.class() as usize] += 1;
                members.entry(member.queue).or_default().insert(key);
            }
        }
        for (key, queue) in self.queues.iter() {
            let name = &queue.name;
            ensure!(self.queue_names.get(name) == Some(&key), "queue {name}: name index");
            ensure!(queue.staff == staff.get(&key).copied().unwrap_or_default(), "queue {name}: staff");
            let listed: BTreeSet<AgentKey> = queue.members.iter().copied().collect();
            ensure!(listed == members.remove(&key).unwrap_or_default(), "queue {name}: members");
        }
        Ok(())
    }

    fn audit_lines(&self) -> Result<(), String> {
        let mut classes: BTreeMap<(QueueKey, ClassKey), BTreeMap<Place, CallKey>> = BTreeMap::new();
        let mut offered: BTreeMap<QueueKey, BTreeMap<Place, CallKey>> = BTreeMap::new();
        let mut talking: BTreeMap<QueueKey, u32> = BTreeMap::new();
        for (key, call) in self.calls.iter() {
            let Some(line) = call.line.as_deref() else { continue };
            if matches!(call.state, CallState::Talking(_)) {
                *talking.entry(line.queue).or_default() += 1;
            }
            let callback = line.callback.is_some() && !call.is_ended();
            let remembered = self.callbacks.contains(&(call.caller.clone(), line.queue, key));
            ensure!(callback == remembered, "call {}: callback index", call.id);
            if call.in_line().is_none() {
                continue;
            }
            ensure!(line.joined <= self.now, "call {}: joined in the future", call.id);
            let rests = line.callback.as_ref().is_some_and(|wish| wish.rest_until.is_some()) || call.homeless.is_some();
            let more = if line.wanted.is_some() { &[][..] } else { &line.more[..] };
            for queue in std::iter::once(line.queue).chain(more.iter().copied()) {
                if call.state == CallState::Waiting && !rests {
                    let class = match line.wanted {
                        Some(wanted) => ClassKey::Own(wanted.agent),
                        None => ClassKey::Open { demand: line.demand, tier: line.tier, shuns: line.shuns },
                    };
                    classes.entry((queue, class)).or_default().insert(line.place, key);
                } else {
                    offered.entry(queue).or_default().insert(line.place, key);
                }
            }
        }
        for (key, queue) in self.queues.iter() {
            let name = &queue.name;
            for (class, line) in &queue.classes {
                let wanted = classes.remove(&(key, *class)).unwrap_or_default();
                let listed: Vec<_> = line.iter().map(|(_, call)| call).collect();
                ensure!(line.iter().eq(wanted.clone()), "queue {name}: class {class:?}: {listed:?} for {wanted:?}");
                if let ClassKey::Own(agent) = class {
                    let known = self.agents.get(*agent).is_some_and(|agent| agent.own.contains(&key));
                    ensure!(known, "queue {name}: an agent does not know of own calls");
                }
            }
            ensure!(queue.offered == offered.remove(&key).unwrap_or_default(), "queue {name}: offered");
            ensure!(
                queue.callbacks as usize == self.callbacks.iter().filter(|(_, at, _)| *at == key).count(),
                "queue {name}: callbacks"
            );
            ensure!(queue.talking == talking.remove(&key).unwrap_or_default(), "queue {name}: talking");
            if queue.removed {
                ensure!(queue.in_line() == 0, "queue {name}: removed and still here");
            }
        }
        ensure!(classes.is_empty() && offered.is_empty(), "calls in line that no queue lists");
        Ok(())
    }

    /// Seats are where they should be, and nobody sits for whom a call waits.
    fn audit_pools(&self) -> Result<(), String> {
        let mut seats = 0;
        for (key, agent) in self.agents.iter() {
            let name = &agent.name;
            ensure!(agent.available() || agent.seats.is_empty(), "agent {name}: a seat without being available");
            seats += agent.seats.len();
            if !agent.available() {
                continue;
            }
            for seat in &agent.seats {
                let pool = self.queues.get(seat.queue).and_then(|queue| queue.pools.get(usize::from(seat.pool)));
                let sits = pool.and_then(|pool| pool.ready.get(&seat.standing));
                ensure!(sits == Some(&key), "agent {name}: not where the seat says");
            }
            let wanted: usize = agent
                .members
                .iter()
                .map(|member| self.queues[member.queue].pools.iter().filter(|pool| agent.is_able(pool.demand)).count())
                .sum();
            ensure!(agent.seats.len() == wanted, "agent {name}: {} seats of {wanted}", agent.seats.len());
            for queue in &agent.own {
                let waits = self.queues[*queue].classes.contains_key(&ClassKey::Own(key));
                ensure!(!waits, "agent {name}: an own call waits though the agent is ready");
            }
            for member in &agent.members {
                let queue = &self.queues[member.queue];
                for (class, line) in &queue.classes {
                    let ClassKey::Open { demand, tier, shuns } = class else { continue };
                    let takes = agent.is_able(*demand) && queue.open_tier(*tier) >= member.tier;
                    let may = *shuns != Some(key) && !line.is_empty();
                    let asked_enough = queue.policy.document.strategy == crate::Strategy::External
                        && !self.may_ask(member.queue, *demand, *tier, false);
                    ensure!(
                        !(takes && may) || asked_enough,
                        "queue {}: a call waits for {name} who is ready, {class:?}",
                        queue.name
                    );
                }
            }
        }
        let seated: usize = self.queues.iter().flat_map(|(_, queue)| &queue.pools).map(|pool| pool.ready.len()).sum();
        ensure!(seats == seated, "pools seat {seated} of {seats}");
        Ok(())
    }

    fn audit_alarms(&self) -> Result<(), String> {
        let seen_later = self.senders.rows.values().any(|row| row.last_seen > self.now);
        ensure!(!seen_later, "a sender was seen in the future");
        ensure!(self.now <= crate::limits::TIME_MAX, "time is beyond its end");
        let set: BTreeSet<(u64, Alarm)> = self.alarms.iter().collect();
        let agents = self.agents.iter().flat_map(|(key, row)| {
            let own = row.alarm.map(|at| (at, Alarm::Agent(key)));
            own.into_iter().chain(row.contacts_alarm.map(|at| (at, Alarm::Contacts(key))))
        });
        let calls = self.calls.iter().filter_map(|(key, row)| row.alarm.map(|at| (at, Alarm::Call(key))));
        let queues = self.queues.iter().filter_map(|(key, row)| row.alarm.map(|at| (at, Alarm::Queue(key))));
        let senders = self.senders.rows.iter().map(|(id, row)| (row.check_at, Alarm::Sender(*id)));
        for alarm in agents.chain(calls).chain(queues).chain(senders) {
            ensure!(set.contains(&alarm), "an alarm is not set: {alarm:?}");
        }
        ensure!(self.next_deadline().is_none_or(|at| at > self.now), "something due was not done");
        Ok(())
    }
}

fn has_part(call: &Call, agent: AgentKey) -> bool {
    let me = Party::Agent(agent);
    match &call.state {
        CallState::Offered(offer) => offer.ringing.iter().any(|ringing| ringing.agent == agent),
        CallState::Calling { agent: kept, .. } => *kept == agent,
        CallState::Moving(moving) => moving.ringing.iter().any(|(party, _)| *party == me),
        CallState::Talking(talk) => talk.party == me || talk.aside.as_ref().is_some_and(|aside| aside.party == me),
        CallState::Waiting | CallState::Asking { .. } | CallState::Leaving { .. } | CallState::Ended { .. } => false,
    }
}
