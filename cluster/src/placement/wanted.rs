//! Which nodes should vote in which shard. Moves as little as it can: whoever votes and may stay does.

use std::collections::{BTreeMap, BTreeSet};

use super::{Limits, Picture, Shard, Wish};

/// The wanted voters of every shard that has begun.
pub(super) fn voters(picture: &Picture, limits: &Limits) -> BTreeMap<u32, BTreeSet<u64>> {
    let mut load: BTreeMap<u64, usize> = BTreeMap::new();
    for (number, shard) in picture.shards.iter().filter(|(number, _)| **number != 0) {
        let _ = number;
        shard.voters.iter().for_each(|voter| *load.entry(*voter).or_default() += 1);
    }
    let mut wanted = BTreeMap::new();
    for (&number, shard) in picture.shards.iter().filter(|(_, shard)| shard.born_with.is_empty()) {
        if shard.voters.is_empty() {
            continue;
        }
        let set = of_one(picture, limits, number, shard, &load);
        if number != 0 {
            shard.voters.iter().for_each(|voter| *load.entry(*voter).or_default() -= 1);
            set.iter().for_each(|voter| *load.entry(*voter).or_default() += 1);
        }
        wanted.insert(number, set);
    }
    let settled = picture.shards.iter().all(|(number, shard)| {
        shard.outgoing.is_empty()
            && wanted.get(number).is_some_and(|set| *set == shard.voters)
            && (*number == 0 || shard.learners.is_empty())
    });
    if settled {
        even_out(picture, &mut wanted, &load);
    }
    wanted
}

fn of_one(
    picture: &Picture,
    limits: &Limits,
    number: u32,
    shard: &Shard,
    load: &BTreeMap<u64, usize>,
) -> BTreeSet<u64> {
    let target = target(picture, limits, number, shard);
    let mut set: BTreeSet<u64> =
        shard.voters.iter().copied().filter(|voter| picture.may_keep(*voter, limits)).collect();
    let began = |node: u64| number != 0 && shard.learners.contains(&node);
    // A learner of a tenant's shard is a move that has begun: it is brought to its end.
    let arriving = shard.learners.iter().copied().filter(|node| began(*node) && picture.may_take(*node));
    let arriving: Vec<_> = arriving.take(target).collect();
    set.extend(&arriving);
    let replacements: BTreeSet<u64> = shard
        .voters
        .iter()
        .filter(|voter| !set.contains(*voter))
        .filter_map(|voter| picture.nodes.get(voter)?.replacement)
        .collect();
    while set.len() < target {
        let free = picture.nodes.keys().copied().filter(|node| picture.may_take(*node) && !set.contains(node));
        let best = free.min_by_key(|node| {
            let alike = set.iter().filter(|other| picture.zone(**other) == picture.zone(*node)).count();
            let slow = picture.is_slow(*node);
            (!replacements.contains(node), alike, slow, load.get(node).copied().unwrap_or(0), *node)
        });
        match best {
            Some(node) => drop(set.insert(node)),
            None => break,
        }
    }
    // Nobody can take the place of one that is drained or gone: it keeps it.
    let last_resort = |living: bool, wish: Wish| {
        let voters = shard.voters.iter().copied();
        voters.filter(move |voter| picture.is_up(*voter) == living && picture.wish(*voter) == wish)
    };
    for voter in last_resort(true, Wish::Drain).chain(last_resort(false, Wish::Stay)) {
        if set.len() < target {
            set.insert(voter);
        }
    }
    while set.len() > target.max(1) {
        let worst = set.iter().copied().filter(|node| !arriving.contains(node)).max_by_key(|node| {
            let alike = set.iter().filter(|other| picture.zone(**other) == picture.zone(*node)).count();
            let leads = shard.leader == Some(*node);
            (!picture.is_up(*node), alike, load.get(node).copied().unwrap_or(0), !leads, *node)
        });
        match worst {
            Some(node) => drop(set.remove(&node)),
            None => break,
        }
    }
    if set.is_empty() {
        // Nobody may stay and nobody can come: better as it is.
        return shard.voters.clone();
    }
    set
}

fn target(picture: &Picture, limits: &Limits, number: u32, shard: &Shard) -> usize {
    let known: BTreeSet<u64> = picture.nodes.keys().chain(&shard.voters).copied().collect();
    let staying = known.iter().filter(|node| picture.wish(**node) == Wish::Stay).count();
    let few = staying.min(limits.replicas);
    if number != 0 {
        return few;
    }
    let most = known.iter().filter(|node| picture.may_keep(**node, limits)).count().min(limits.directory_voters);
    // A fourth voter makes more wait and none safer.
    few.max(if most % 2 == 0 { most.saturating_sub(1) } else { most })
}

/// One move that makes zones or loads more even, when nothing else is to be done.
fn even_out(picture: &Picture, wanted: &mut BTreeMap<u32, BTreeSet<u64>>, load: &BTreeMap<u64, usize>) {
    let load_of = |node: u64| load.get(&node).copied().unwrap_or(0);
    let takers: Vec<u64> = picture.nodes.keys().copied().filter(|node| picture.may_take(*node)).collect();
    let mut best: Option<((usize, usize), u32, u64, u64)> = None;
    for (&number, set) in wanted.iter().filter(|(number, _)| **number != 0) {
        let alike = |node: u64, without: u64| {
            let others = set.iter().filter(|other| **other != without && **other != node);
            others.filter(|other| picture.zone(**other) == picture.zone(node)).count()
        };
        for &from in set {
            for &to in takers.iter().filter(|node| !set.contains(*node)) {
                let zones = alike(from, from).saturating_sub(alike(to, from));
                if alike(to, from) > alike(from, from) {
                    continue;
                }
                let loads = load_of(from).saturating_sub(load_of(to) + 1);
                if (zones, loads) > (0, 0) && best.is_none_or(|(gain, ..)| (zones, loads) > gain) {
                    best = Some(((zones, loads), number, from, to));
                }
            }
        }
    }
    if let Some((_, number, from, to)) = best
        && let Some(set) = wanted.get_mut(&number)
    {
        set.remove(&from);
        set.insert(to);
    }
}
