//! A configuration that was found to be whole; refuses what the directory would never send.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{Rejection, RejectionCode};
use crate::document::{self, Action, Condition, Document, Strategy, Target};
use crate::limits::Limits;

pub(super) struct Wanted<'a> {
    pub(super) queues: BTreeMap<&'a str, &'a document::Queue>,
    pub(super) agents: BTreeMap<&'a str, &'a document::Agent>,
    pub(super) numbers: BTreeMap<&'a str, &'a document::Number>,
    pub(super) skills: BTreeSet<&'a str>,
    pub(super) schedules: BTreeMap<&'a str, &'a document::Schedule>,
    pub(super) zones: BTreeMap<&'a str, &'a document::Zone>,
    pub(super) callers: BTreeMap<&'a str, &'a document::Caller>,
    pub(super) forwardings: BTreeMap<&'a str, &'a document::Forwarding>,
    pub(super) centre: Option<&'a document::Centre>,
}

impl<'a> Wanted<'a> {
    pub(super) fn read(documents: &'a [Document], limits: &Limits) -> Result<Self, Rejection> {
        let mut wanted = Wanted {
            queues: BTreeMap::new(),
            agents: BTreeMap::new(),
            numbers: BTreeMap::new(),
            skills: BTreeSet::new(),
            schedules: BTreeMap::new(),
            zones: BTreeMap::new(),
            callers: BTreeMap::new(),
            forwardings: BTreeMap::new(),
            centre: None,
        };
        if documents.len() > limits.documents_max {
            return reached("documents_max");
        }
        for document in documents {
            let (name, fresh) = match document {
                Document::Queue(queue) => (&queue.name, wanted.queues.insert(&queue.name, queue).is_none()),
                Document::Agent(agent) => (&agent.name, wanted.agents.insert(&agent.name, agent).is_none()),
                Document::Number(number) => (&number.name, wanted.numbers.insert(&number.name, number).is_none()),
                Document::Skill(skill) => (&skill.name, wanted.skills.insert(&skill.name)),
                Document::Schedule(schedule) => {
                    (&schedule.name, wanted.schedules.insert(&schedule.name, schedule).is_none())
                }
                Document::Zone(zone) => (&zone.name, wanted.zones.insert(&zone.name, zone).is_none()),
                Document::Caller(caller) => (&caller.name, wanted.callers.insert(&caller.name, caller).is_none()),
                Document::Forwarding(forwarding) => {
                    (&forwarding.name, wanted.forwardings.insert(&forwarding.name, forwarding).is_none())
                }
                Document::Centre(centre) => (&centre.name, wanted.centre.replace(centre).is_none()),
                Document::Trunk(_) => continue,
            };
            if name.is_empty() {
                return invalid("a document has no name");
            }
            if name.len() > limits.name_bytes_max {
                return invalid("a field is too long");
            }
            if !fresh {
                return invalid("two documents have one name");
            }
        }
        wanted.check_limits(limits)?;
        wanted.check_queues(limits)?;
        wanted.check_agents(limits)?;
        wanted.check_others()?;
        Ok(wanted)
    }

    fn check_limits(&self, limits: &Limits) -> Result<(), Rejection> {
        if self.queues.len() > limits.queues_max {
            return reached("queues_max");
        }
        if self.agents.len() > limits.agents_max {
            return reached("agents_max");
        }
        if self.numbers.len() > limits.numbers_max {
            return reached("numbers_max");
        }
        if self.skills.len() > limits.skills_max {
            return reached("skills_max");
        }
        Ok(())
    }

    fn check_queues(&self, limits: &Limits) -> Result<(), Rejection> {
        for queue in self.queues.values() {
            if queue.music.len() > limits.name_bytes_max {
                return invalid("a field is too long");
            }
            if !queue.order.is_single() {
                return invalid("a queue's order ranks no single agents");
            }
            if queue.strategy == Strategy::Progressive && queue.steps.is_empty() {
                return invalid("a progressive queue has no steps");
            }
            if queue.strategy == Strategy::External && queue.chooser.is_none() {
                return invalid("an external queue has no chooser");
            }
            if !queue.schedule.is_empty() && !self.schedules.contains_key(queue.schedule.as_str()) {
                return invalid("a queue names an unknown schedule");
            }
            self.check_skills(&queue.skills)?;
            let actions = queue
                .overflow
                .iter()
                .map(|step| (&step.when, &step.action))
                .chain(queue.join.iter().map(|rule| (&rule.when, &rule.action)))
                .chain(queue.leave.iter().map(|(when, action)| (when, action)));
            for (when, action) in actions {
                self.check_condition(when)?;
                self.check_action(action)?;
            }
            for action in queue.closed.iter().chain(queue.keys.iter().map(|(_, action)| action)) {
                self.check_action(action)?;
            }
        }
        Ok(())
    }

    fn check_skills(&self, asked: &[document::SkillDemand]) -> Result<(), Rejection> {
        for demand in asked {
            if !self.skills.contains(demand.skill.as_str()) {
                return invalid("an unknown skill is asked");
            }
            if demand.level > 100 {
                return invalid("a level is above 100");
            }
        }
        Ok(())
    }

    fn check_condition(&self, when: &Condition) -> Result<(), Rejection> {
        for schedule in [&when.closed, &when.open] {
            if !schedule.is_empty() && !self.schedules.contains_key(schedule.as_str()) {
                return invalid("a condition names an unknown schedule");
            }
        }
        Ok(())
    }

    fn check_action(&self, action: &Action) -> Result<(), Rejection> {
        match action {
            Action::AddQueue(queue) | Action::MoveTo(queue) if !self.queues.contains_key(queue.as_str()) => {
                invalid("an action names an unknown queue")
            }
            Action::Relax(demand) => self.check_skills(std::slice::from_ref(demand)),
            Action::Forward(target) => self.check_target(target),
            _ => Ok(()),
        }
    }

    fn check_target(&self, target: &Target) -> Result<(), Rejection> {
        let known = match target {
            Target::Agent(agent) => self.agents.contains_key(agent.as_str()),
            Target::Queue(queue) => self.queues.contains_key(queue.as_str()),
            Target::Number(address) | Target::Sip(address) => !address.is_empty(),
        };
        if known { Ok(()) } else { invalid("a target is unknown") }
    }

    fn check_agents(&self, limits: &Limits) -> Result<(), Rejection> {
        for agent in self.agents.values() {
            if agent.contact.len() > limits.contact_bytes_max {
                return invalid("a field is too long");
            }
            if agent.queues.len() > limits.queues_per_agent_max {
                return reached("queues_per_agent_max");
            }
            if agent.capacity > u32::from(crate::limits::CAPACITY_MAX) {
                return invalid("a capacity is above 10");
            }
            let mut seen = BTreeSet::new();
            for member in &agent.queues {
                if !self.queues.contains_key(member.queue.as_str()) {
                    return invalid("an agent is a member of an unknown queue");
                }
                if !seen.insert(&member.queue) {
                    return invalid("an agent is twice a member of one queue");
                }
                if member.tier > 9 || member.weight > 100 {
                    return invalid("a tier is above 9 or a weight above 100");
                }
            }
            for skill in &agent.skills {
                if !self.skills.contains(skill.skill.as_str()) {
                    return invalid("an agent has an unknown skill");
                }
                if skill.level > 100 {
                    return invalid("a level is above 100");
                }
            }
        }
        Ok(())
    }

    fn check_others(&self) -> Result<(), Rejection> {
        for number in self.numbers.values() {
            if !self.queues.contains_key(number.queue.as_str()) {
                return invalid("a number leads to an unknown queue");
            }
            if !number.agent.is_empty() && !self.agents.contains_key(number.agent.as_str()) {
                return invalid("a number leads to an unknown agent");
            }
            self.check_skills(&number.skills)?;
            for route in &number.routes {
                let known = self.queues.contains_key(route.queue.as_str())
                    && self.schedules.contains_key(route.schedule.as_str());
                if !known {
                    return invalid("a number's route names an unknown queue or schedule");
                }
            }
        }
        for caller in self.callers.values() {
            if !caller.agent.is_empty() && !self.agents.contains_key(caller.agent.as_str()) {
                return invalid("a caller names an unknown agent");
            }
        }
        for forwarding in self.forwardings.values() {
            if !self.agents.contains_key(forwarding.agent.as_str()) {
                return invalid("a forwarding names an unknown agent");
            }
            for (target, _) in forwarding.rules.iter().flat_map(|rule| &rule.targets) {
                self.check_target(target)?;
            }
        }
        let zones =
            self.schedules.values().map(|schedule| &schedule.zone).chain(self.centre.map(|centre| &centre.zone));
        for zone in zones {
            if !zone.is_empty() && zone != "UTC" && !self.zones.contains_key(zone.as_str()) {
                return invalid("a zone is unknown");
            }
        }
        self.centre
            .and_then(|centre| centre.transfer_failed.as_ref())
            .map_or(Ok(()), |target| self.check_target(target))
    }
}

fn invalid<T>(detail: &str) -> Result<T, Rejection> {
    Err(Rejection::new(RejectionCode::Invalid, detail))
}

fn reached<T>(name: &str) -> Result<T, Rejection> {
    Err(Rejection::new(RejectionCode::LimitReached, name))
}
