//! Who had to be chosen, by walking over everybody.

use proto::v1::{DecisionRecord, IdleSince, Queue, Strategy};

use super::picture::{Agent, Line, Picture, Stage, ageing, asked};
use crate::verdict::{Check, hold};

/// Everybody who could take the call.
pub(super) fn eligible(picture: &Picture, line: &Line) -> Vec<String> {
    able(picture, line).iter().map(|agent| agent.name.clone()).collect()
}

fn able<'a>(picture: &'a Picture, line: &Line) -> Vec<&'a Agent> {
    picture.agents.iter().filter(|agent| can_take(picture, agent, line)).collect()
}

fn can_take(picture: &Picture, agent: &Agent, line: &Line) -> bool {
    let Some((tier, _)) = Picture::membership(agent, &line.queue) else { return false };
    let reachable =
        !agent.rules.contact.is_empty() || agent.contacts.iter().any(|(_, until_ms)| *until_ms > picture.now_ms);
    let mut demands = picture.queue(&line.queue).map_or_else(Vec::new, |queue| asked(&queue.skills));
    demands.extend(line.skills.clone());
    let skilled = demands.iter().all(|(skill, level)| level_of(agent, skill) >= *level);
    reachable && skilled && agent.state == "ready" && tier <= picture.open_tier(line)
}

fn level_of(agent: &Agent, skill: &str) -> u32 {
    agent.rules.skills.iter().find(|held| held.skill == skill).map_or(0, |held| held.level)
}

/// The strategy that ranks single agents.
pub(super) fn single(queue: &Queue) -> Strategy {
    let ranks = |strategy| match strategy {
        Strategy::Unspecified => Strategy::LongestIdle,
        other => other,
    };
    match queue.strategy() {
        Strategy::RingAll | Strategy::Progressive | Strategy::External => ranks(queue.order()),
        other => ranks(other),
    }
}

/// Talks and talk time that count for a queue: of the shift, and for a newcomer what the least busy one had then.
pub(super) fn done(agent: &Agent, queue: &str) -> (u64, u64) {
    let entry = agent.entries.iter().find(|(name, ..)| name == queue).map_or((0, 0), |(_, talks, ms)| (*talks, *ms));
    (agent.talks.0 + entry.0, agent.talks.1 + entry.1)
}

/// Holds a decision against the model. `mixed`: many calls and agents became free at once, as by new rules; then it is
/// said who takes a call, and not which call comes first.
pub(super) fn check(picture: &Picture, decision: &DecisionRecord, mixed: bool) -> Check {
    let (call, chosen) = (decision.call, &decision.chosen);
    let Some(line) = picture.line(call) else {
        hold!(false, Reference, "call {call:x} is in no line and is given to {chosen}");
        return Ok(());
    };
    let Some(queue) = picture.queue(&line.queue) else { return Ok(()) };
    let goes_on = line.stage == Stage::Offered && queue.strategy() == Strategy::Progressive;
    let free = line.stage == Stage::Waiting || goes_on;
    hold!(free, Reference, "call {call:x} is {:?} and is given to {chosen}", line.stage);
    hold!(line.queue == decision.queue, Reference, "call {call:x} waits in {}, not in {}", line.queue, decision.queue);
    let able = able(picture, line);
    let mut fits = among(picture, queue, decision, able.clone(), goes_on);
    if fits.is_err() && queue.strategy() == Strategy::Progressive && picture.offered_before.contains(&call) {
        // Its next step rings whoever is free already: for those who have just become so, the whole line is looked at.
        let free_before = able.into_iter().filter(|agent| !picture.freed.contains(&agent.name)).collect();
        fits = among(picture, queue, decision, free_before, goes_on);
    }
    fits?;
    if single(queue) == Strategy::LeastOccupied && queue.strategy() == Strategy::LeastOccupied {
        least_occupied(picture, queue, decision)?;
    }
    let Some(agent) = picture.agents.iter().find(|agent| agent.name == *chosen) else { return Ok(()) };
    // An offer that goes on by steps takes whoever is there, whatever else they could take.
    if mixed || queue.strategy() == Strategy::Progressive {
        return Ok(());
    }
    // Of all that this agent could take, nobody has a better claim.
    let waits = |other: &&Line| other.stage == Stage::Waiting && other.homeless_ms.is_none();
    for other in picture.lines.iter().filter(waits).filter(|other| can_take(picture, agent, other)) {
        let (mine, theirs) = (claim(picture, agent, line), claim(picture, agent, other));
        let (queue, other) = (&other.queue, other.call);
        let claims = format!("{mine:?} against {theirs:?}");
        let of = &line.queue;
        hold!(
            mine <= theirs,
            Order,
            "{chosen} gets call {call:x} of {of} and {other:x} in {queue} comes first: {claims}"
        );
    }
    Ok(())
}

/// Holds who was chosen against all who could be.
fn among(picture: &Picture, queue: &Queue, decision: &DecisionRecord, able: Vec<&Agent>, goes_on: bool) -> Check {
    let (call, chosen) = (decision.call, &decision.chosen);
    let names: Vec<_> = able.iter().map(|agent| agent.name.as_str()).collect();
    for agent in std::iter::once(chosen).chain(&decision.also) {
        hold!(names.contains(&agent.as_str()), Reference, "{agent} cannot take call {call:x}; {names:?} could");
    }
    let rung = 1 + decision.also.len();
    if !goes_on {
        number(queue, &able, rung, decision)?;
    }
    if !goes_on && let Some(order) = in_order(picture, queue, able) {
        let best: Vec<&str> = order.iter().take(rung).map(|agent| agent.name.as_str()).collect();
        let mut taken: Vec<&str> = std::iter::once(chosen).chain(&decision.also).map(String::as_str).collect();
        let single = rung == 1;
        let mut wanted = best.clone();
        wanted.sort_unstable();
        taken.sort_unstable();
        let strategy = &decision.strategy;
        hold!(wanted == taken, Reference, "call {call:x} goes to {taken:?} and belongs to {best:?} ({strategy})");
        hold!(!single || best[0] == chosen, Reference, "call {call:x} goes to {chosen} and belongs to {best:?}");
    }
    Ok(())
}

/// How many phones had to ring at once.
fn number(queue: &Queue, able: &[&Agent], rung: usize, decision: &DecisionRecord) -> Check {
    let tier = |agent: &&&Agent| Picture::membership(agent, &queue.name).map_or(0, |(tier, _)| tier);
    let first = able.iter().map(|agent| tier(&agent)).min().unwrap_or(0);
    let due = match queue.strategy() {
        Strategy::RingAll => {
            let most = if queue.ring_max == 0 { 20 } else { queue.ring_max as usize };
            let there =
                if queue.ring_one_tier { able.iter().filter(|agent| tier(agent) == first).count() } else { able.len() };
            there.min(most)
        }
        Strategy::Progressive => {
            // A step that finds nobody is passed over, so the first one that rings may be a later one.
            let steps = queue.steps.iter().map(|step| able.len().min(step.agents.max(1) as usize));
            return if steps.into_iter().any(|due| due == rung) {
                Ok(())
            } else {
                Err((crate::verdict::Invariant::Reference, format!("{rung} phones ring for call {:x}", decision.call)))
            };
        }
        _ => 1,
    };
    hold!(rung == due, Reference, "{rung} phones ring for call {:x}, and {due} should", decision.call);
    Ok(())
}

/// Shares of time are those of the record; the choice among them is held against the rule.
fn least_occupied(picture: &Picture, queue: &Queue, decision: &DecisionRecord) -> Check {
    let tier = |name: &str| {
        let agent = picture.agents.iter().find(|agent| agent.name == name);
        agent.and_then(|agent| Picture::membership(agent, &queue.name)).map_or(0, |(tier, _)| tier)
    };
    let chosen = decision.candidates.iter().find(|candidate| candidate.agent == decision.chosen);
    let Some(chosen) = chosen.map(|candidate| (tier(&candidate.agent), candidate.figure)) else { return Ok(()) };
    for other in &decision.candidates {
        let (agent, figure) = (&other.agent, other.figure);
        let call = decision.call;
        hold!(chosen <= (tier(agent), figure), Reference, "call {call:x} goes past {agent}, who is less occupied");
    }
    Ok(())
}

/// Less is served first by this agent, over all queues.
fn claim(picture: &Picture, agent: &Agent, line: &Line) -> (u32, u32, i128, u64) {
    let weight = Picture::membership(agent, &line.queue).map_or(0, |(_, weight)| weight);
    let ageing = picture.queue(&line.queue).map_or(1_000, ageing);
    let waited = i128::from(picture.now_ms) - line.effective_ms;
    (255 - weight, line.class, -waited * i128::from(ageing), line.number)
}

/// All who could take it, the best first, tier by tier; `None` where dice or shares of time decide.
fn in_order<'a>(picture: &Picture, queue: &Queue, able: Vec<&'a Agent>) -> Option<Vec<&'a Agent>> {
    let list = picture.members(&queue.name);
    let place = |agent: &Agent| list.iter().position(|name| *name == agent.name).unwrap_or(usize::MAX);
    let tier = |agent: &Agent| Picture::membership(agent, &queue.name).map_or(0, |(tier, _)| tier);
    let strategy = single(queue);
    let offered = picture.cursors.iter().find(|(name, _)| *name == queue.name);
    let last = offered.and_then(|(_, offered)| list.iter().position(|name| Some(name) == offered.last()));
    let figure = |agent: &Agent| -> u64 {
        match strategy {
            Strategy::Linear => place(agent) as u64,
            // After the last one first, then from the top; a list that rings many at once begins at the top.
            Strategy::RoundRobin => {
                let again = queue.strategy() == Strategy::RoundRobin && last.is_some_and(|last| place(agent) <= last);
                place(agent) as u64 + if again { 1 << 32 } else { 0 }
            }
            Strategy::FewestCalls => done(agent, &queue.name).0,
            Strategy::LeastTalk => done(agent, &queue.name).1,
            _ => 0,
        }
    };
    let idle_ms = |agent: &Agent| match queue.idle_since() {
        IdleSince::LastCall if agent.last_talk_ms > 0 => agent.last_talk_ms,
        _ => agent.rank.0,
    };
    let ranks = matches!(
        strategy,
        Strategy::LongestIdle | Strategy::Linear | Strategy::RoundRobin | Strategy::FewestCalls | Strategy::LeastTalk
    );
    let mut order = able;
    order.sort_by_key(|agent| (tier(agent), figure(agent), idle_ms(agent), agent.rank.1));
    ranks.then_some(order)
}
