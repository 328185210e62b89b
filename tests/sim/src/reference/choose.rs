//! Who had to be chosen, by walking over everybody.

use proto::v1::{DecisionRecord, Strategy};

use super::picture::{Agent, Line, Picture, Stage};
use crate::verdict::{Check, hold};

/// Everybody who could take the call.
pub(super) fn eligible(picture: &Picture, line: &Line) -> Vec<String> {
    able(picture, line).iter().map(|agent| agent.name.clone()).collect()
}

fn able<'a>(picture: &'a Picture, line: &Line) -> Vec<&'a Agent> {
    picture.agents.iter().filter(|agent| can_take(picture, agent, line)).collect()
}

fn can_take(picture: &Picture, agent: &Agent, line: &Line) -> bool {
    let member = agent.rules.queues.iter().any(|member| member.queue == line.queue);
    let reachable =
        !agent.rules.contact.is_empty() || agent.contacts.iter().any(|(_, until_ms)| *until_ms > picture.now_ms);
    member && reachable && agent.state == "ready"
}

/// Holds a decision against the model.
pub(super) fn check(picture: &Picture, decision: &DecisionRecord) -> Check {
    let (call, chosen) = (decision.call, &decision.chosen);
    let Some(line) = picture.line(call) else {
        hold!(false, Reference, "call {call:x} is in no line and is given to {chosen}");
        return Ok(());
    };
    hold!(line.stage == Stage::Waiting, Reference, "call {call:x} is {:?} and is given to {chosen}", line.stage);
    hold!(
        line.queue == decision.queue,
        Reference,
        "call {call:x} waits in {}, decided for {}",
        line.queue,
        decision.queue
    );
    let able = able(picture, line);
    let names: Vec<_> = able.iter().map(|agent| agent.name.as_str()).collect();
    let Some(agent) = able.iter().find(|agent| agent.name == *chosen) else {
        hold!(false, Reference, "{chosen} cannot take call {call:x}; {names:?} could");
        return Ok(());
    };
    let total = decision.candidates_total as usize;
    hold!(total == able.len(), Reference, "call {call:x} had {total} candidates, and {names:?} could take it");
    if let Some(best) = best(picture, line, &able) {
        hold!(
            best.name == *chosen,
            Reference,
            "call {call:x} goes to {chosen} and belongs to {} ({})",
            best.name,
            decision.strategy
        );
    }
    // Of all that this agent could take, nobody has a better claim.
    for other in picture.lines.iter().filter(|other| other.stage == Stage::Waiting && can_take(picture, agent, other)) {
        let first = claim(line) <= claim(other);
        hold!(first, Order, "{chosen} gets call {call:x} and {:x} in {} comes first", other.call, other.queue);
    }
    Ok(())
}

/// Less is served first, over all queues.
fn claim(line: &Line) -> (u32, i128, u64) {
    line.claim()
}

/// Who is first by the queue's strategy; `None` where dice decide.
fn best<'a>(picture: &Picture, line: &Line, able: &[&'a Agent]) -> Option<&'a Agent> {
    let strategy = picture.queue(&line.queue)?.strategy();
    match strategy {
        Strategy::Unspecified | Strategy::LongestIdle => able.iter().min_by_key(|agent| agent.rank).copied(),
        _ => None,
    }
}
