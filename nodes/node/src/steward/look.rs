//! From what nodes say of themselves to a picture that can be planned on.

use std::{collections::BTreeMap, time::Duration};

use cluster::placement::{Node, Picture, Shard, Wish};
use futures::future::join_all;
use proto::v1::{DescribeRequest, NodeDescription, NodeWish, ReplicaInfo, query_client::QueryClient};
use tokio::time::Instant;

use super::{SPREAD_AFTER, Steward};
use crate::{members::number_of, roster::Roster, shards::within};

/// How long a node may take to describe itself before it counts as silent.
const DESCRIBE_MAX: Duration = Duration::from_millis(500);
/// A follower that lacks no more entries than this has caught up.
const BEHIND_MAX: u64 = 1_000;
/// A disk is slow when its flushes take so many times as long as those of the others,
const SLOW_TIMES: u64 = 4;
/// and longer than this, in microseconds,
const SLOW_FLUSH_US: u64 = 20_000;
/// in so many looks in a row.
const SLOW_LOOKS: u32 = 5;

impl Steward {
    pub(super) async fn look(&self, roster: &Roster) -> Picture {
        let members = self.members.all();
        let asked = members.iter().map(|(number, member)| async move {
            let mut query = QueryClient::new(self.shards.channels().to(&member.endpoint))
                .max_decoding_message_size(crate::process::MESSAGE_BYTES_MAX);
            (*number, within(DESCRIBE_MAX, query.describe(DescribeRequest {})).await.ok())
        });
        let described: BTreeMap<u64, NodeDescription> =
            join_all(asked).await.into_iter().filter_map(|(number, described)| Some((number, described?))).collect();
        let now = Instant::now();
        self.seen.with(|state| {
            let since = *state.since.get_or_insert(now);
            let mut nodes = BTreeMap::new();
            let mut known: Vec<u64> = members.iter().map(|(number, _)| *number).collect();
            known.extend(roster.nodes.iter().map(|row| row.number));
            known.sort_unstable();
            known.dedup();
            let present = |number: u64| {
                let seal = roster.row(number).map_or(0, |row| row.seal);
                described.get(&number).filter(|said| named(said) == Some(number) && (seal == 0 || said.seal == seal))
            };
            let slow: Vec<u64> = known.iter().copied().filter(|node| is_slow(&described, *node)).collect();
            for number in known {
                let row = roster.row(number);
                let said = present(number);
                if said.is_some() {
                    state.heard.insert(number, now);
                }
                let looks = state.slow.entry(number).or_default();
                *looks = if slow.contains(&number) {
                    looks.saturating_add(1).min(2 * SLOW_LOOKS)
                } else {
                    looks.saturating_sub(1)
                };
                let heard = state.heard.get(&number).copied().unwrap_or(since);
                nodes.insert(
                    number,
                    Node {
                        zone: row.map(|row| row.zone.clone()).unwrap_or_default(),
                        wish: row.map_or(Wish::Stay, |row| match row.wish() {
                            NodeWish::Unspecified | NodeWish::Added => Wish::Stay,
                            NodeWish::Drained => Wish::Drain,
                            NodeWish::Replaced | NodeWish::Removed => Wish::Leave,
                        }),
                        replacement: row.and_then(|row| number_of(&row.replacement)),
                        up: said.is_some(),
                        gone_ms: u64::try_from((now - heard).as_millis()).unwrap_or(u64::MAX),
                        slow: *looks >= SLOW_LOOKS,
                        holds: said
                            .map(|said| said.replicas.iter().map(|replica| replica.shard).collect())
                            .unwrap_or_default(),
                    },
                );
            }
            let whole = nodes.values().all(|node| node.up || node.wish == Wish::Leave);
            state.whole = if whole { state.whole.or(Some(now)) } else { None };
            let spread_leads = state.whole.is_some_and(|since| now - since >= SPREAD_AFTER);
            let shards = std::iter::once(0).chain(roster.shards.iter().copied());
            let of_shard = |shard: u32| {
                let replicas = nodes.iter().filter(|(_, node)| node.up).filter_map(|(number, _)| {
                    let replicas = &described.get(number)?.replicas;
                    Some((*number, replicas.iter().find(|replica| replica.shard == shard)?))
                });
                picture_of(&replicas.collect::<Vec<_>>())
            };
            let mut shards: BTreeMap<u32, Shard> = shards.map(|shard| (shard, of_shard(shard))).collect();
            for row in &roster.born {
                if let Some(shard) = shards.get_mut(&row.shard) {
                    shard.born_with = row.born_with.iter().copied().collect();
                }
            }
            state.described = described;
            Picture { nodes, shards, spread_leads }
        })
    }
}

/// The number that a node says it has.
fn named(described: &NodeDescription) -> Option<u64> {
    number_of(&described.info.as_ref()?.id)
}

fn picture_of(replicas: &[(u64, &ReplicaInfo)]) -> Shard {
    // A leader of an earlier term has not heard yet that it leads no more.
    let leader = replicas.iter().filter(|(_, replica)| replica.leads).max_by_key(|(_, replica)| replica.term);
    let latest = replicas.iter().map(|(_, replica)| replica.term).max().unwrap_or_default();
    let leader = leader.filter(|(_, replica)| replica.term == latest);
    let Some((number, replica)) =
        leader.or_else(|| replicas.iter().max_by_key(|(_, replica)| (replica.term, replica.last)))
    else {
        return Shard::default();
    };
    let mut shard = Shard {
        leader: leader.map(|(number, _)| *number),
        voters: replica.voters.iter().copied().collect(),
        outgoing: replica.voters_outgoing.iter().copied().collect(),
        learners: replica.learners.iter().copied().collect(),
        ..Shard::default()
    };
    if shard.leader.is_some() {
        // One that has said nothing yet has nothing.
        let near = |matched: u64| matched > 0 && matched + BEHIND_MAX >= replica.last;
        let others = || replica.progress.iter().filter(|other| other.active);
        shard.heard = others().map(|other| other.node).chain([*number]).collect();
        shard.caught_up =
            others().filter(|other| near(other.matched)).map(|other| other.node).chain([*number]).collect();
    }
    shard
}

fn is_slow(described: &BTreeMap<u64, NodeDescription>, node: u64) -> bool {
    let Some(own) = described.get(&node).map(|said| said.flush_us).filter(|us| *us > SLOW_FLUSH_US) else {
        return false;
    };
    let mut others: Vec<u64> = described
        .iter()
        .filter(|(number, said)| **number != node && said.flush_us > 0)
        .map(|(_, said)| said.flush_us)
        .collect();
    others.sort_unstable();
    others.get(others.len() / 2).is_some_and(|median| own > SLOW_TIMES * median)
}

#[cfg(test)]
mod tests {
    use proto::v1::Progress;

    use super::*;

    #[test]
    fn a_leader_that_leads_no_more_is_not_believed() {
        let replica = |leads, term, voters: &[u64]| ReplicaInfo {
            leads,
            term,
            voters: voters.to_vec(),
            ..ReplicaInfo::default()
        };
        let (old, new) = (replica(true, 5, &[1, 2, 3]), replica(false, 6, &[1, 2, 4]));
        assert_eq!(picture_of(&[(1, &old), (2, &new)]).leader, None);
        assert_eq!(picture_of(&[(1, &old)]).leader, Some(1));
    }

    #[test]
    fn whoever_lacks_much_or_is_silent_has_not_caught_up() {
        let progress = |node, matched, active| Progress { node, matched, active };
        let progress = vec![progress(2, 4_999, true), progress(3, 100, true), progress(4, 5_000, false)];
        let leader = ReplicaInfo { leads: true, last: 5_000, progress, ..ReplicaInfo::default() };
        let shard = picture_of(&[(1, &leader)]);
        assert_eq!(shard.caught_up.into_iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(shard.heard.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
        let new = ReplicaInfo { last: 5, progress: vec![Progress { node: 2, matched: 0, active: true }], ..leader };
        assert_eq!(picture_of(&[(1, &new)]).caught_up.into_iter().collect::<Vec<_>>(), [1], "in a short log, too");
    }

    #[test]
    fn a_disk_is_slow_beside_the_others() {
        let node = |flush_us| NodeDescription { flush_us, ..NodeDescription::default() };
        let disks = BTreeMap::from([(1, node(2_000)), (2, node(3_000)), (3, node(90_000))]);
        assert_eq!([1, 2, 3].map(|number| is_slow(&disks, number)), [false, false, true]);
        let all = BTreeMap::from([(1, node(80_000)), (2, node(70_000)), (3, node(90_000))]);
        assert!(!is_slow(&all, 3), "they are all alike");
    }
}
