//! From the wanted voters to the next steps, shard by shard: open, learn, catch up, vote and leave at once, drop. A replica
//! that was lost with its disk leaves first. Decides nothing about who is wanted.

use std::collections::{BTreeMap, BTreeSet};

use super::{Limits, Picture, Shard, Step, Wish, leads};

/// The next steps of all shards. Few shards move at a time: those that have begun go on first.
pub(super) fn towards(picture: &Picture, wanted: &BTreeMap<u32, BTreeSet<u64>>, limits: &Limits) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut waiting = Vec::new();
    let mut moving = 0;
    for (&number, shard) in &picture.shards {
        if !shard.born_with.is_empty() {
            steps.extend(birth(picture, number, shard));
            continue;
        }
        reopen(picture, number, shard, &mut steps);
        let Some(set) = wanted.get(&number) else { continue };
        if shard.leader.is_none() {
            continue;
        }
        if let Some(step) = unvote_lost(picture, number, shard) {
            steps.push(step);
            continue;
        }
        if number != 0 && (!shard.outgoing.is_empty() || !shard.learners.is_empty()) {
            moving += 1;
        }
        let next = of_one(picture, number, shard, set);
        let begins = number != 0 && shard.learners.is_empty() && set.iter().any(|node| !shard.voters.contains(node));
        if begins {
            waiting.push(next);
        } else {
            steps.extend(next);
        }
    }
    steps.extend(
        waiting.into_iter().filter(|next| !next.is_empty()).take(limits.moves_max.saturating_sub(moving)).flatten(),
    );
    steps
}

/// A shard that begins: all its first voters are told the same. Nothing about its members changes before it has begun.
fn birth(picture: &Picture, number: u32, shard: &Shard) -> Vec<Step> {
    let born_with: Vec<u64> = shard.born_with.iter().copied().collect();
    let missing = born_with.iter().filter(|node| picture.is_up(**node) && !picture.holds(**node, number));
    let mut steps: Vec<_> =
        missing.map(|node| Step::Open { node: *node, shard: number, born_with: born_with.clone() }).collect();
    let held = born_with.iter().filter(|node| picture.holds(**node, number)).count();
    if steps.is_empty() && shard.leader.is_some() && held > born_with.len() / 2 {
        steps.push(Step::Born { shard: number });
    }
    steps
}

/// A learner whose disk is new has lost its replica: it begins again, empty, and is told.
fn reopen(picture: &Picture, number: u32, shard: &Shard, steps: &mut Vec<Step>) {
    for &node in &shard.learners {
        if has_lost(picture, node, number) {
            steps.push(Step::Open { node, shard: number, born_with: Vec::new() });
        }
    }
}

/// A voter that has lost its replica may have acknowledged what it does not know any more: its vote goes with the disk,
/// and it comes back as any other node does, to learn first. Only where those that are left decide it without it.
fn unvote_lost(picture: &Picture, number: u32, shard: &Shard) -> Option<Step> {
    if !shard.outgoing.is_empty() {
        return None;
    }
    let (lost, left): (Vec<u64>, Vec<u64>) = shard.voters.iter().partition(|node| has_lost(picture, **node, number));
    let heard = left.iter().filter(|node| shard.heard.contains(*node)).count();
    // A majority of the voters of before is one of those that are left, too.
    if lost.is_empty() || heard <= shard.voters.len() / 2 {
        return None;
    }
    Some(Step::Change { shard: number, learn: Vec::new(), vote: Vec::new(), leave: lost })
}

/// It is there as the disk that the directory knows, and has no replica.
fn has_lost(picture: &Picture, node: u64, number: u32) -> bool {
    picture.is_up(node) && !picture.holds(node, number)
}

fn of_one(picture: &Picture, number: u32, shard: &Shard, wanted: &BTreeSet<u64>) -> Vec<Step> {
    let mut steps = Vec::new();
    if !shard.outgoing.is_empty() {
        return steps;
    }
    // Of the directory everybody has a copy.
    let copies: BTreeSet<u64> = if number == 0 {
        let known = picture.nodes.keys().copied().chain(shard.voters.iter().copied());
        known.filter(|node| picture.wish(*node) != Wish::Leave && !wanted.contains(node)).collect()
    } else {
        BTreeSet::new()
    };
    let mut learn = Vec::new();
    for &node in wanted.union(&copies) {
        let member = shard.voters.contains(&node) || shard.learners.contains(&node);
        if member || !picture.is_up(node) {
            continue;
        }
        if picture.holds(node, number) {
            learn.push(node);
        } else {
            steps.push(Step::Open { node, shard: number, born_with: Vec::new() });
        }
    }
    let idle: Vec<u64> =
        shard.learners.iter().copied().filter(|node| !wanted.contains(node) && !copies.contains(node)).collect();
    if !learn.is_empty() || !idle.is_empty() {
        steps.push(Step::Change { shard: number, learn, vote: Vec::new(), leave: idle });
        return steps;
    }
    steps.extend(swap(picture, number, shard, wanted, &copies));
    let members = |node: u64| shard.voters.contains(&node) || shard.learners.contains(&node);
    for (&node, held) in &picture.nodes {
        let comes = wanted.contains(&node) || copies.contains(&node);
        if held.up && held.holds.contains(&number) && !members(node) && !comes {
            steps.push(Step::Drop { node, shard: number });
        }
    }
    steps
}

/// Those who have caught up vote, and as many leave, in one change. The leader itself hands over before it leaves.
fn swap(picture: &Picture, number: u32, shard: &Shard, wanted: &BTreeSet<u64>, copies: &BTreeSet<u64>) -> Option<Step> {
    let ready: Vec<u64> =
        wanted.difference(&shard.voters).copied().filter(|node| shard.caught_up.contains(node)).collect();
    let mut leavers: Vec<u64> = shard.voters.difference(wanted).copied().collect();
    if ready.is_empty() && leavers.is_empty() {
        return None;
    }
    // Those that are gone leave first, the leader last.
    leavers.sort_by_key(|node| (picture.is_up(*node), shard.leader == Some(*node), *node));
    let surplus = (shard.voters.len() + ready.len()).saturating_sub(wanted.len());
    leavers.truncate(surplus);
    if let Some(leader) = shard.leader
        && leavers.contains(&leader)
    {
        let stay = wanted.intersection(&shard.voters).copied();
        if let Some(to) = leads::fittest(picture, shard, stay) {
            return Some(Step::Lead { shard: number, to });
        }
        leavers.retain(|node| *node != leader);
    }
    if ready.is_empty() && leavers.is_empty() {
        return None;
    }
    let after: BTreeSet<u64> =
        shard.voters.iter().chain(&ready).copied().filter(|node| !leavers.contains(node)).collect();
    let heard = after.iter().filter(|node| shard.heard.contains(*node)).count();
    if heard <= after.len() / 2 {
        return None;
    }
    let (learn, leave) = leavers.into_iter().partition(|node| copies.contains(node));
    Some(Step::Change { shard: number, learn, vote: ready, leave })
}
