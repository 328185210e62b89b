//! Every other document that a document names, with the field that names it. Decides nothing.

use proto::v1::{
    Action, Condition, Document, ForwardRule, ForwardWhen, SkillDemand, SkillLevel, Target, action, document, target,
};

use super::fields::plain;

/// A name in a field.
#[derive(Debug)]
pub(super) struct Reference<'a> {
    /// The field.
    pub(super) field: String,
    /// The kind of what is named.
    pub(super) kind: &'static str,
    /// Its name.
    pub(super) name: &'a str,
    /// Whether there must be one. A number need not be ours.
    pub(super) needed: bool,
    /// Whether calls go there by themselves, without anybody's choice.
    pub(super) leads: bool,
}

/// What collects them.
#[derive(Default)]
struct Found<'a>(Vec<Reference<'a>>);

/// All of them, in the order of the fields. Empty names, which were already refused, are left out.
pub(super) fn references(document: &Document) -> Vec<Reference<'_>> {
    let mut found = Found::default();
    match &document.kind {
        Some(document::Kind::Number(number)) => {
            found.lead("route.queue".to_owned(), "Queue", &number.queue);
            found.lead("route.agent".to_owned(), "Agent", &number.agent);
            for (index, route) in number.routes.iter().enumerate() {
                found.name(format!("route.timed[{index}].schedule"), "Schedule", &route.schedule);
                found.lead(format!("route.timed[{index}].queue"), "Queue", &route.queue);
            }
            found.demands(&number.skills);
        }
        Some(document::Kind::Queue(queue)) => {
            found.demands(&queue.skills);
            for (index, step) in queue.overflow.iter().enumerate() {
                found.rule(&format!("overflow[{index}]"), step.when.as_ref(), step.action.as_ref());
            }
            for (index, rule) in queue.join.iter().enumerate() {
                found.rule(&format!("join[{index}]"), rule.when.as_ref(), rule.action.as_ref());
            }
            found.rule("leave", queue.leave.as_ref(), queue.leave_action.as_ref());
            found.name("schedule".to_owned(), "Schedule", &queue.schedule);
            found.action("closed", queue.closed.as_ref(), true);
            for key in &queue.keys {
                found.action(&format!("keys.{}", plain(&key.key)), key.action.as_ref(), false);
            }
        }
        Some(document::Kind::Agent(agent)) => {
            for (index, membership) in agent.queues.iter().enumerate() {
                found.name(format!("queues[{index}].name"), "Queue", &membership.queue);
            }
            for SkillLevel { skill, .. } in &agent.skills {
                found.name(format!("skills.{}", plain(skill)), "Skill", skill);
            }
        }
        Some(document::Kind::Caller(caller)) => found.name("agent".to_owned(), "Agent", &caller.agent),
        Some(document::Kind::Forwarding(forwarding)) => {
            found.name("agent".to_owned(), "Agent", &forwarding.agent);
            for (index, rule) in forwarding.rules.iter().enumerate() {
                found.forward_rule(index, rule);
            }
        }
        Some(document::Kind::Centre(centre)) => {
            found.target("transfer_failed", centre.transfer_failed.as_ref(), false);
        }
        Some(
            document::Kind::Trunk(_)
            | document::Kind::Skill(_)
            | document::Kind::Schedule(_)
            | document::Kind::Zone(_)
            | document::Kind::TenantItself(_),
        )
        | None => {}
    }
    found.0.retain(|reference| !reference.name.is_empty());
    found.0
}

impl<'a> Found<'a> {
    fn name(&mut self, field: String, kind: &'static str, name: &'a str) {
        self.0.push(Reference { field, kind, name, needed: true, leads: false });
    }

    fn lead(&mut self, field: String, kind: &'static str, name: &'a str) {
        self.0.push(Reference { field, kind, name, needed: true, leads: true });
    }

    fn demands(&mut self, demands: &'a [SkillDemand]) {
        for SkillDemand { skill, .. } in demands {
            self.name(format!("skills.{}", plain(skill)), "Skill", skill);
        }
    }

    fn rule(&mut self, path: &str, when: Option<&'a Condition>, action: Option<&'a Action>) {
        if let Some(when) = when {
            self.name(format!("{path}.when.closed"), "Schedule", &when.closed);
            self.name(format!("{path}.when.open"), "Schedule", &when.open);
        }
        self.action(&format!("{path}.do"), action, true);
    }

    fn action(&mut self, path: &str, action: Option<&'a Action>, leads: bool) {
        let queue =
            |word: &str, name| Reference { field: format!("{path}.{word}"), kind: "Queue", name, needed: true, leads };
        match action.and_then(|action| action.kind.as_ref()) {
            // Moves no call: two queues may lend each other their agents.
            Some(action::Kind::AddQueue(name)) => self.0.push(Reference { leads: false, ..queue("add-queue", name) }),
            Some(action::Kind::MoveTo(name)) => self.0.push(queue("move-to", name)),
            Some(action::Kind::Relax(demand)) => {
                self.name(format!("{path}.relax.{}", plain(&demand.skill)), "Skill", &demand.skill);
            }
            Some(action::Kind::Forward(target)) => self.target(&format!("{path}.forward"), Some(target), leads),
            Some(
                action::Kind::OpenTier(_)
                | action::Kind::Priority(_)
                | action::Kind::BoostSeconds(_)
                | action::Kind::OfferCallback(_)
                | action::Kind::HangUp(_)
                | action::Kind::Announce(_)
                | action::Kind::TakeCallback(_),
            )
            | None => {}
        }
    }

    fn target(&mut self, path: &str, target: Option<&'a Target>, leads: bool) {
        let (word, kind, name, needed) = match target.and_then(|target| target.kind.as_ref()) {
            Some(target::Kind::Agent(name)) => ("agent", "Agent", name, true),
            Some(target::Kind::Queue(name)) => ("queue", "Queue", name, true),
            Some(target::Kind::Number(name)) => ("number", "Number", name, false),
            Some(target::Kind::Sip(_)) | None => return,
        };
        self.0.push(Reference { field: format!("{path}.{word}"), kind, name, needed, leads });
    }

    /// One target may stand without a list: its field then has no index, and `Source` finds the nearest there is.
    fn forward_rule(&mut self, index: usize, rule: &'a ForwardRule) {
        for (place, to) in rule.targets.iter().enumerate() {
            // Only what always holds goes on for ever; of the others the hop limit takes care.
            let leads = rule.when() == ForwardWhen::Always;
            self.target(&format!("rules[{index}].to[{place}]"), to.target.as_ref(), leads);
        }
    }
}
