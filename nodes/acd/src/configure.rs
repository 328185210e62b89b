//! A tenant's configuration taking effect while calls wait; nobody who waits loses their place by it.

mod lists;
mod removals;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::agents::ABSENT;
use crate::command::{Accepted, Rejection, RejectionCode};
use crate::counts::Counts;
use crate::document::{self, Document, StartState};
use crate::limits::CAPACITY_MAX;
use crate::output::Output;
use crate::policy::{Asked, CentrePolicy, QueuePolicy};
use crate::rows::{
    AfterCall, Agent, AgentPolicy, CallState, Class, Forward, LegWant, Member, Presence, Queue, QueueTotals, Rank,
    Release, Stage, State, TIERS, Tally,
};
use crate::schedule::Calendar;
use crate::shard::{NumberRow, Shard};
use crate::table::{AgentKey, QueueKey};

use wanted::Wanted;

/// Under earlier rules whoever comes to a queue is compared with those who come or go at the same time too.
const NEWCOMERS_RULES: u32 = 4;

/// What held before, as far as a change of it concerns those who wait.
struct Former {
    queues: BTreeMap<QueueKey, QueuePolicy>,
    classes: BTreeMap<crate::CallId, (u8, u64)>,
}

impl Shard {
    pub(crate) fn configure(
        &mut self,
        version: u64,
        documents: &[Document],
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        if version < self.config_version {
            return Err(Rejection::new(RejectionCode::Stale, "a later version is in force"));
        }
        if version == self.config_version {
            return Ok(Accepted);
        }
        let wanted = Wanted::read(documents, &self.limits)?;
        let kept: Vec<&Document> =
            documents.iter().filter(|document| !matches!(document, Document::Trunk(_))).collect();
        let kept =
            serde_json::to_vec(&kept).map_err(|error| Rejection::new(RejectionCode::Invalid, error.to_string()))?;
        self.documents = kept.into();
        self.config_version = version;
        let former_centre = self.centre.clone();
        let former = Former {
            queues: self.queues.iter().map(|(key, queue)| (key, (*queue.policy).clone())).collect(),
            classes: self.classes_by_documents(),
        };
        self.put_all(&wanted);
        self.put_queues(&wanted);
        let memberships = |agent: &Agent| agent.members.iter().map(|member| member.queue).collect();
        let before: BTreeMap<AgentKey, Vec<QueueKey>> =
            self.agents.iter().map(|(key, agent)| (key, memberships(agent))).collect();
        for agent in wanted.agents.values() {
            self.put_agent(agent, &wanted, out);
        }
        self.build_pools();
        self.level_newcomers(&before, &wanted);
        self.review_calls(&former);
        self.review_legs(&former.queues, &former_centre);
        for key in self.agents.keys() {
            if !wanted.agents.contains_key(&*self.agents[key].name) {
                self.remove_agent(key, out);
            } else {
                self.leave_foreign_offer(key, out);
            }
        }
        self.build_members();
        for key in self.queues.keys() {
            if !wanted.queues.contains_key(&*self.queues[key].name) {
                self.remove_queue(key, out);
            }
        }
        self.fresh.queues.extend(self.queues.keys());
        Ok(Accepted)
    }

    /// Whoever is new in a queue whose strategy counts begins at the least of those who were there `before` and stay.
    fn level_newcomers(&mut self, before: &BTreeMap<AgentKey, Vec<QueueKey>>, wanted: &Wanted<'_>) {
        let was_in = |agent: AgentKey, queue| before.get(&agent).is_some_and(|queues| queues.contains(&queue));
        let stays = |(_, agent): &(AgentKey, &Agent)| wanted.agents.contains_key(&*agent.name);
        let staying: BTreeSet<AgentKey> = self.agents.iter().filter(stays).map(|(key, _)| key).collect();
        for key in self.agents.keys() {
            if self.agents[key].class() == Class::LoggedOut {
                continue; // at the log-in
            }
            for index in 0..self.agents[key].members.len() {
                let queue = self.agents[key].members[index].queue;
                let somebody_was_in = self.queues[queue].members.iter().any(|other| was_in(*other, queue));
                if was_in(key, queue) || !somebody_was_in {
                    continue;
                }
                if self.rules < NEWCOMERS_RULES {
                    self.level_entry(key, index, |other| other != key);
                } else {
                    self.level_entry(key, index, |other| was_in(other, queue) && staying.contains(&other));
                }
            }
        }
    }

    /// Puts restored documents in force: policy only, no effect on anybody.
    pub(crate) fn restore_documents(&mut self, documents: &[Document]) -> Result<(), Rejection> {
        let wanted = Wanted::read(documents, &self.limits)?;
        self.put_all(&wanted);
        for document in wanted.queues.values() {
            if let Some(key) = self.queue_names.get(document.name.as_str()).copied() {
                *self.queues[key].policy = self.policy_of(document);
            }
        }
        for document in wanted.agents.values() {
            if let Some(key) = self.agent_names.get(document.name.as_str()).copied()
                && !self.agents[key].removed
            {
                self.agents[key].policy = self.agent_policy(document, &wanted);
            }
        }
        Ok(())
    }

    fn put_all(&mut self, wanted: &Wanted<'_>) {
        for skill in &wanted.skills {
            if !self.skills.iter().any(|known| **known == **skill) {
                self.skills.push((*skill).into());
            }
        }
        let zones: BTreeMap<&str, Arc<document::Zone>> =
            wanted.zones.iter().map(|(name, zone)| (*name, Arc::new((*zone).clone()))).collect();
        let calendars = wanted.schedules.iter().map(|(name, schedule)| {
            ((*name).to_owned(), Calendar::new(schedule, zones.get(schedule.zone.as_str()).cloned()))
        });
        self.calendars = calendars.collect();
        let centre = wanted.centre.cloned().unwrap_or_default();
        let zone = wanted.zones.get(centre.zone.as_str()).map(|zone| (*zone).clone());
        if zone != self.zone {
            self.zone = zone;
            if self.interval_ends > 0 {
                self.begin_day();
            }
        }
        self.centre = CentrePolicy { document: centre };
        self.callers = BTreeMap::new();
        for caller in wanted.callers.values() {
            for number in &caller.numbers {
                self.callers.insert(number.clone(), (*caller).clone());
            }
        }
        for row in self.numbers.values_mut() {
            row.removed = true;
        }
        for number in wanted.numbers.values() {
            let row = self.numbers.entry(number.name.as_str().into()).or_insert_with(|| NumberRow {
                name: number.name.as_str().into(),
                policy: document::Number::default(),
                counts: Box::new(Counts::default()),
                demands: Vec::new(),
                removed: false,
            });
            row.policy = (*number).clone();
            row.removed = false;
        }
        for row in self.numbers.values_mut() {
            row.demands.clear();
        }
        self.numbers.retain(|_, row| !row.removed || !row.counts.is_empty());
        let windows =
            wanted.queues.values().filter_map(|queue| queue.sticky).map(|sticky| match sticky.window_seconds {
                0 => crate::limits::STICKY_SECONDS_DEFAULT,
                seconds => seconds,
            });
        self.memory.window_ms = u64::from(windows.max().unwrap_or(0)) * 1000;
    }

    /// What documents say of the class and the boost of each call in line.
    fn classes_by_documents(&self) -> BTreeMap<crate::CallId, (u8, u64)> {
        let in_line = self.calls.iter().filter(|(_, call)| call.in_line().is_some());
        in_line.map(|(key, call)| (call.id, self.class_and_boost(key))).collect()
    }

    fn policy_of(&self, document: &document::Queue) -> QueuePolicy {
        let mut skills: Vec<Asked> = document.skills.iter().filter_map(|demand| self.asked(demand)).collect();
        skills.sort_unstable();
        QueuePolicy::new(document, skills, self.calendars.get(&document.schedule).cloned())
    }

    fn put_queues(&mut self, wanted: &Wanted<'_>) {
        for document in wanted.queues.values() {
            let policy = Box::new(self.policy_of(document));
            if let Some(key) = self.queue_names.get(document.name.as_str()).copied() {
                self.queues[key].removed = false;
                self.queues[key].policy = policy;
                self.look_at_the_clock(key);
                continue;
            }
            let key = self.queues.insert(Queue {
                name: document.name.as_str().into(),
                policy,
                removed: false,
                classes: BTreeMap::new(),
                offered: BTreeMap::new(),
                talking: 0,
                pools: Vec::new(),
                members: Vec::new(),
                staff: [[0; Class::COUNT]; TIERS],
                cursor: None,
                totals: QueueTotals::default(),
                counts: Box::new(Counts::default()),
                handled: 0,
                handle_ms: 0,
                callbacks: 0,
                open: true,
                alarm: None,
            });
            self.queue_names.insert(document.name.as_str().into(), key);
            self.look_at_the_clock(key);
        }
    }

    fn agent_policy(&self, document: &document::Agent, wanted: &Wanted<'_>) -> AgentPolicy {
        let mut skills: Vec<Asked> = document
            .skills
            .iter()
            .filter_map(|skill| {
                let key = self.skills.iter().position(|name| **name == *skill.skill)?;
                Some((key as u16, skill.level.clamp(1, 100) as u8))
            })
            .collect();
        skills.sort_unstable();
        let forwards = wanted.forwardings.values().filter(|forwarding| forwarding.agent == document.name);
        let forwards = forwards.flat_map(|forwarding| &forwarding.rules).map(|rule| Forward {
            when: rule.when,
            after_ms: u64::from(rule.after_seconds) * 1000,
            targets: rule
                .targets
                .iter()
                .map(|(target, seconds)| (target.clone(), u64::from(*seconds) * 1000))
                .collect(),
            group: rule.group,
        });
        AgentPolicy {
            contact: document.contact.as_str().into(),
            wrap_up_seconds: document.wrap_up_seconds,
            capacity: document.capacity.clamp(1, u32::from(CAPACITY_MAX)) as u8,
            skills,
            ring_all_contacts: document.ring_all_contacts,
            number: document.number.clone(),
            forwards: forwards.collect(),
        }
    }

    fn put_agent(&mut self, document: &document::Agent, wanted: &Wanted<'_>, out: &mut Output) {
        let policy = self.agent_policy(document, wanted);
        let members = document.queues.iter().map(|member| Member {
            queue: self.queue_names[member.queue.as_str()],
            tier: member.tier.clamp(1, 9) as u8,
            weight: member.weight.clamp(1, 100) as u8,
            order: 0,
            entry: (0, 0),
        });
        let mut members: Vec<Member> = members.collect();
        let Some(key) = self.agent_names.get(document.name.as_str()).copied() else {
            let (presence, state) = match document.start {
                StartState::LoggedOut => (Presence::LoggedOut, State::LoggedOut),
                StartState::NotReady => {
                    (Presence::NotReady { reason: self.empty.clone(), until: None }, State::NotReady)
                }
                StartState::Ready => (Presence::Ready, State::Ready),
            };
            let rank = if state == State::Ready { self.next_rank() } else { Rank::default() };
            let name: crate::Name = document.name.as_str().into();
            self.write_arrival(name.clone(), ABSENT, state.name(), 0, 0, out);
            let now = self.now;
            let tally = Tally { from: now, ..Tally::default() };
            let key = self.agents.insert(Agent {
                name: name.clone(),
                policy,
                members,
                removed: false,
                presence,
                after: AfterCall::Ready,
                work: Vec::new(),
                state,
                since: now,
                counted: now,
                rank,
                last_call_end: 0,
                rona: 0,
                contacts: Vec::new(),
                answered: 0,
                shift: tally,
                day: tally,
                recent: VecDeque::new(),
                state_ms: [0; State::COUNT],
                counts: Box::new(Counts::default()),
                closing: None,
                seats: Vec::new(),
                able: Vec::new(),
                own: Vec::new(),
                alarm: None,
                contacts_alarm: None,
            });
            self.agent_names.insert(name, key);
            return;
        };
        let agent = &mut self.agents[key];
        for member in &mut members {
            if let Some(former) = agent.members.iter().find(|former| former.queue == member.queue) {
                member.entry = former.entry;
            }
        }
        agent.policy = policy;
        agent.members = members;
        agent.removed = false;
    }

    /// New policy for those who are in line: limits and steps count from their joining, places stay unless the queue says so.
    fn review_calls(&mut self, former: &Former) {
        for key in self.calls.keys() {
            let Some(line) = self.calls[key].in_line() else { continue };
            let (queue, joined, is_callback) = (line.queue, line.joined, line.callback.is_some());
            let policy = &self.queues[queue].policy;
            let old = former.queues.get(&queue);
            let same = |one: &dyn Fn(&QueuePolicy) -> bool| old.is_some_and(one);
            let skills_same = same(&|old| old.skills == policy.skills);
            let steps_same = same(&|old| old.document.overflow == policy.document.overflow);
            let said_same = same(&|old| old.document.announcements == policy.document.announcements);
            let sounds_same =
                same(&|old| old.music() == policy.music() && old.document.answer == policy.document.answer);
            let reorder = policy.document.reorder;
            let wait_same = same(&|old| old.document.wait_seconds_max == policy.document.wait_seconds_max);
            let wait_until = policy.wait_until(joined);
            let (steps, said) = (policy.document.overflow.clone(), policy.document.announcements.clone());
            let relaxed = line.step > 0;
            let now = self.now;
            // What steps and supervisors have given stays, unless the documents say something new of the call.
            let asked_anew = !same(&|old| old.document.reorder);
            let reorder =
                reorder && (asked_anew || former.classes.get(&self.calls[key].id) != Some(&self.class_and_boost(key)));
            let fresh = self.new_line(key, queue, joined);
            self.reclass(key, |line| {
                if !wait_same {
                    line.wait_until = wait_until;
                }
                line.tier_at = fresh.tier_at;
                if !skills_same && !relaxed {
                    line.demand = fresh.demand;
                }
                if !steps_same {
                    let next = steps.get(usize::from(line.step));
                    line.step_at = next.map(|step| joined + u64::from(step.after_seconds) * 1000);
                }
                if !said_same && !is_callback {
                    let next = |said: &document::Announcement| {
                        let first = joined + u64::from(said.after_seconds) * 1000;
                        let every = u64::from(said.every_seconds) * 1000;
                        match every {
                            _ if first > now => Some(first),
                            0 => None,
                            every => Some(first + (now - first) / every * every + every),
                        }
                    };
                    line.announce_at = said.iter().map(next).collect();
                }
                if reorder {
                    line.place = crate::rows::Place { sequence: line.place.sequence, ..fresh.place };
                    line.boost_ms = fresh.boost_ms;
                }
            });
            if !sounds_same {
                self.change_music(key);
            }
            self.set_call_alarm(key);
        }
    }

    /// Legs out of line whose orders read differently now are told so.
    fn review_legs(&mut self, former: &BTreeMap<QueueKey, QueuePolicy>, former_centre: &CentrePolicy) {
        let (now, then) = (&self.centre.document, &former_centre.document);
        let dials_same = now.outside == then.outside && now.number == then.number;
        for key in self.calls.keys() {
            let call = &self.calls[key];
            let queue = call.line.as_deref().map(|line| line.queue).filter(|_| call.in_line().is_none());
            let music = |queue: QueueKey| self.queues.get(queue).map(|queue| queue.policy.music());
            let music_same = queue.is_none_or(|queue| former.get(&queue).map(QueuePolicy::music) == music(queue));
            let legs = call.legs.iter().filter(|leg| match leg.want {
                LegWant::Listen => !music_same,
                LegWant::Dial { .. } => !dials_same,
                _ => false,
            });
            for (leg, want) in legs.map(|leg| (leg.number, leg.want.clone())).collect::<Vec<_>>() {
                self.want(key, leg, want);
            }
        }
    }

    /// Who rings for a queue they are no longer a member of, stops; the idle time goes on.
    fn leave_foreign_offer(&mut self, key: AgentKey, out: &mut Output) {
        let agent = &self.agents[key];
        let Some(work) = agent.work.iter().find(|work| work.stage == Stage::Reserved) else { return };
        let call = work.call;
        let (queue, wanted) = match &self.calls[call].state {
            CallState::Offered(offer) => (offer.queue, self.calls[call].line.as_ref().and_then(|line| line.wanted)),
            CallState::Calling { queue, .. } => (*queue, None),
            _ => return,
        };
        if agent.member(queue).is_none() && wanted.is_none_or(|wanted| wanted.agent != key) {
            self.take_back(call, key, Release::Withdrawn, out);
            self.drop_work(key, call, "no longer a member", out);
        }
    }
}
