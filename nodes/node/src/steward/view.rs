//! What the steward has seen, in the words of the admin API.

use proto::v1::{ClusterView, NodeRow, NodeView, NodeWish, ShardView};

use super::Seen;
use crate::{members::id_of, roster::Roster};

/// A node that has been silent for longer is said to be gone.
const GONE_AFTER_MS: u64 = 3_000;

impl Seen {
    /// Rows of the directory, and what was seen of them.
    pub(crate) fn view(&self, roster: &Roster, members: &crate::members::Members) -> ClusterView {
        self.with(|state| {
            let picture = &state.picture;
            let mut rows = roster.nodes.clone();
            for (number, member) in members.all() {
                if rows.iter().all(|row| row.number != number) {
                    rows.push(NodeRow { number, id: member.id, endpoint: member.endpoint, ..NodeRow::default() });
                }
            }
            rows.sort_by_key(|row| row.number);
            let nodes: Vec<NodeView> = rows
                .into_iter()
                .map(|mut row| {
                    let seen = picture.nodes.get(&row.number);
                    let described = state.described.get(&row.number);
                    if let Some(said) = described.filter(|_| row.release.is_empty()) {
                        row.release = said.info.as_ref().map(|info| info.version.clone()).unwrap_or_default();
                        row.rules_max = said.rules_max;
                    }
                    let number = row.number;
                    let up = seen.is_some_and(|node| node.up);
                    let members = |node: u64| {
                        picture.shards.values().filter(move |shard| {
                            shard.voters.contains(&node)
                                || shard.learners.contains(&node)
                                || shard.outgoing.contains(&node)
                        })
                    };
                    let votes = picture.shards.values().filter(|shard| shard.voters.contains(&number)).count();
                    let leads = picture.shards.values().filter(|shard| shard.leader == Some(number)).count();
                    let gone_ms = seen.map_or(0, |node| if node.up { 0 } else { node.gone_ms });
                    let tenants = picture.shards.iter().filter(|(shard, held)| {
                        **shard != 0 && {
                            held.voters.contains(&number)
                                || held.learners.contains(&number)
                                || held.outgoing.contains(&number)
                        }
                    });
                    let holds = votes > 0 || tenants.count() > 0;
                    let state = match row.wish() {
                        NodeWish::Removed if members(number).count() > 0 => "leaving",
                        NodeWish::Removed => "removed",
                        NodeWish::Drained | NodeWish::Replaced if holds => "draining",
                        NodeWish::Drained | NodeWish::Replaced => "drained",
                        NodeWish::Added => "expected",
                        NodeWish::Unspecified if !up && gone_ms > GONE_AFTER_MS => "gone",
                        NodeWish::Unspecified if members(number).count() == 0 => "new",
                        NodeWish::Unspecified => "active",
                    };
                    NodeView {
                        up,
                        gone_ms,
                        replicas: count(members(number).count()),
                        leads: count(leads),
                        state: state.into(),
                        slow: seen.is_some_and(|node| node.slow),
                        row: Some(row),
                    }
                })
                .collect();
            let present =
                nodes.iter().filter_map(|node| node.row.as_ref()).filter(|row| row.wish() != NodeWish::Removed);
            let possible = present.map(|row| row.rules_max).min().unwrap_or_default();
            ClusterView {
                tenants: roster.tenants.clone(),
                rules: roster.rules,
                rules_possible: possible,
                nodes,
                shards: picture
                    .shards
                    .iter()
                    .map(|(number, shard)| ShardView {
                        shard: *number,
                        leader: shard.leader.unwrap_or_default(),
                        voters: shard.voters.iter().copied().collect(),
                        learners: shard.learners.iter().copied().collect(),
                        changing: !shard.outgoing.is_empty(),
                        asleep: shard.leader.is_some_and(|leader| {
                            let said = state.described.get(&leader).map(|said| said.replicas.as_slice());
                            said.unwrap_or_default().iter().any(|replica| replica.shard == *number && replica.asleep)
                        }),
                    })
                    .collect(),
                next_steps: state.next.clone(),
                ..ClusterView::default()
            }
        })
    }

    /// Who of those that are up cannot follow these rules, or cannot be asked; empty when all can.
    pub(crate) fn cannot_follow(&self, rules: u32, roster: &Roster, members: &crate::members::Members) -> Vec<String> {
        self.with(|state| {
            let removed = |number: u64| roster.row(number).is_some_and(|row| row.wish() == NodeWish::Removed);
            let asked = members.all().into_iter().filter(|(number, _)| !removed(*number));
            let lacking = asked.filter_map(|(number, _)| match state.described.get(&number) {
                Some(said) if said.rules_max >= rules => None,
                Some(said) => Some(format!("{} knows rules up to {}", id_of(number), said.rules_max)),
                None => Some(format!("{} does not answer", id_of(number))),
            });
            lacking.collect()
        })
    }

    /// The first voters of a shard that begins now: nodes that are up, in different zones, with the fewest replicas.
    pub(crate) fn first_voters(&self, replicas: usize) -> Vec<u64> {
        self.with(|state| cluster::placement::first_voters(&state.picture, replicas))
    }
}

/// A number for a new shard: the next one that no tenant has who lives elsewhere.
pub(crate) fn next_shard(roster: &Roster) -> u32 {
    let taken = |shard: &u32| roster.tenants.iter().any(|row| row.number == *shard && row.shard != *shard);
    let last = roster.shards.iter().copied().max().unwrap_or_default();
    (last + 1..).find(|shard| !taken(shard)).unwrap_or(last)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
