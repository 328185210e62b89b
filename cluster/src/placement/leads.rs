//! Who should lead: nobody who is about to go or whose disk is slow, and all about as much. Changes no members.

use std::collections::{BTreeMap, BTreeSet};

use super::{Picture, Shard, Step, Wish};

/// Leads moved in one plan.
const LEADS_MAX: usize = 8;

/// The steps that bring leads to where they are wanted: of shards whose members do not change just now.
pub(super) fn spread(picture: &Picture, wanted: &BTreeMap<u32, BTreeSet<u64>>, changes: &[Step]) -> Vec<Step> {
    let mut leads: BTreeMap<u64, usize> = BTreeMap::new();
    for node in picture.nodes.keys().filter(|node| fit(picture, **node)) {
        leads.insert(*node, 0);
    }
    for (_, shard) in picture.shards.iter().filter(|(number, _)| **number != 0) {
        if let Some(leader) = shard.leader {
            *leads.entry(leader).or_default() += 1;
        }
    }
    let mut steps = Vec::new();
    for (&number, shard) in &picture.shards {
        let (Some(leader), Some(set)) = (shard.leader, wanted.get(&number)) else { continue };
        let changes_now = !shard.outgoing.is_empty() || changes.iter().any(|step| step.shard() == number);
        if steps.len() >= LEADS_MAX || changes_now {
            continue;
        }
        let others = set.intersection(&shard.voters).copied().filter(|node| *node != leader && fit(picture, *node));
        let others = others.filter(|node| shard.caught_up.contains(node) && shard.heard.contains(node));
        let lead_of = |node: u64| leads.get(&node).copied().unwrap_or(0);
        let Some(to) = others.min_by_key(|node| (lead_of(*node), *node)) else { continue };
        let unfit = !fit(picture, leader);
        // The directory's own lead is small work: it is moved for a reason only.
        let uneven = number != 0 && changes.is_empty() && picture.spread_leads && lead_of(leader) > lead_of(to) + 1;
        if unfit || uneven {
            if number != 0 {
                leads.entry(leader).and_modify(|count| *count -= 1);
                *leads.entry(to).or_default() += 1;
            }
            steps.push(Step::Lead { shard: number, to });
        }
    }
    steps
}

/// The best of some voters to hand a shard to.
pub(super) fn fittest(picture: &Picture, shard: &Shard, voters: impl Iterator<Item = u64>) -> Option<u64> {
    voters
        .filter(|node| shard.leader != Some(*node) && picture.is_up(*node))
        .filter(|node| shard.caught_up.contains(node) && shard.heard.contains(node))
        .min_by_key(|node| (picture.is_slow(*node), *node))
}

fn fit(picture: &Picture, node: u64) -> bool {
    picture.is_up(node) && picture.wish(node) == Wish::Stay && !picture.is_slow(node)
}
