use super::*;

/// A cluster that does at once what it is told, and says when that would have been wrong.
#[derive(Clone)]
struct World {
    picture: Picture,
    limits: Limits,
}

impl World {
    fn new(nodes: u64, zones: &[&str], shards: u32) -> Self {
        let mut picture = Picture { spread_leads: true, ..Picture::default() };
        for number in 1..=nodes {
            let zone = zones.get(number as usize - 1).copied().unwrap_or_default().to_owned();
            picture.nodes.insert(number, Node { zone, up: true, ..Node::default() });
        }
        let first: BTreeSet<u64> = (1..=nodes.min(3)).collect();
        for number in 0..=shards {
            for node in &first {
                picture.nodes.get_mut(node).expect("a node").holds.insert(number);
            }
            picture.shards.insert(number, Shard { voters: first.clone(), ..Shard::default() });
        }
        let mut world = Self { picture, limits: Limits::default() };
        world.breathe();
        world
    }

    fn node(&mut self, number: u64) -> &mut Node {
        self.picture.nodes.get_mut(&number).expect("a node")
    }

    fn join(&mut self, number: u64, zone: &str) {
        self.picture.nodes.insert(number, Node { up: true, zone: zone.into(), ..Node::default() });
    }

    fn lose(&mut self, number: u64) {
        let node = self.node(number);
        (node.up, node.gone_ms) = (false, 600_000);
    }

    fn lives(&self, node: u64, shard: u32) -> bool {
        self.picture.is_up(node) && self.picture.holds(node, shard)
    }

    /// Elections, heartbeats, appends.
    fn breathe(&mut self) {
        let before = self.picture.clone();
        for (&number, shard) in &mut self.picture.shards {
            let lives = |node: &u64| before.is_up(*node) && before.holds(*node, number);
            let voters = if shard.voters.is_empty() { &shard.born_with } else { &shard.voters };
            let living: BTreeSet<u64> = voters.iter().copied().filter(lives).collect();
            if living.len() * 2 <= voters.len() {
                shard.leader = None;
                continue;
            }
            shard.voters = voters.clone();
            if shard.leader.is_none_or(|leader| !living.contains(&leader)) {
                shard.leader = living.first().copied();
            }
            shard.heard = shard.voters.union(&shard.learners).copied().filter(lives).collect();
            shard.caught_up = shard.heard.clone();
        }
    }

    fn carry_out(&mut self, step: &Step) {
        match step.clone() {
            Step::Open { node, shard, born_with } => {
                assert!(self.picture.is_up(node), "{step}: it is not there");
                assert!(born_with.is_empty() || !self.picture.shards[&shard].born_with.is_empty());
                let votes = born_with.is_empty() && self.picture.shards[&shard].voters.contains(&node);
                assert!(!votes, "{step}: it would keep the vote of the replica that was lost");
                self.node(node).holds.insert(shard);
            }
            Step::Drop { node, shard } => {
                let members = &self.picture.shards[&shard];
                assert!(!members.voters.contains(&node) && !members.learners.contains(&node), "{step}: it is a member");
                self.node(node).holds.remove(&shard);
            }
            Step::Change { shard: number, learn, vote, leave } => {
                let mut shard = self.picture.shards[&number].clone();
                let leader = shard.leader.expect("somebody to change it");
                assert!(!leave.contains(&leader) && !learn.contains(&leader), "{step}: it leads");
                for node in leave {
                    shard.voters.remove(&node);
                    shard.learners.remove(&node);
                }
                for node in learn {
                    assert!(shard.voters.remove(&node) || self.lives(node, number), "{step}: it has no replica");
                    shard.learners.insert(node);
                }
                for node in vote {
                    assert!(shard.learners.remove(&node) && self.lives(node, number), "{step}: it did not learn");
                    shard.voters.insert(node);
                }
                let living = shard.voters.iter().filter(|node| self.lives(**node, number)).count();
                assert!(living * 2 > shard.voters.len(), "{step}: nobody could lead after it");
                self.picture.shards.insert(number, shard);
            }
            Step::Lead { shard, to } => {
                assert!(self.picture.shards[&shard].voters.contains(&to) && self.lives(to, shard), "{step}");
                self.picture.shards.get_mut(&shard).expect("it").leader = Some(to);
            }
            Step::Born { shard } => self.picture.shards.get_mut(&shard).expect("it").born_with.clear(),
        }
    }

    /// Carries plans out until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..400 {
            let steps = plan(&self.picture, &self.limits);
            if steps.is_empty() {
                return;
            }
            // One at a time: any of them may be the only one that came through.
            for step in &steps {
                self.carry_out(step);
                self.breathe();
            }
        }
        panic!("no end: {:?}", plan(&self.picture, &self.limits));
    }

    fn voters(&self, shard: u32) -> Vec<u64> {
        self.picture.shards[&shard].voters.iter().copied().collect()
    }

    fn led(&self) -> bool {
        self.picture.shards.values().all(|shard| shard.leader.is_some())
    }

    /// What holds when there is nothing left to do.
    fn check(&self) {
        let staying: Vec<u64> =
            self.picture.nodes.keys().copied().filter(|node| self.picture.wish(*node) == Wish::Stay).collect();
        let living: Vec<u64> = staying.iter().copied().filter(|node| self.picture.is_up(*node)).collect();
        let zones: BTreeSet<&str> = living.iter().map(|node| self.picture.zone(*node)).collect();
        for (number, shard) in &self.picture.shards {
            let wanted = if *number == 0 { 5 } else { 3 };
            let sound = shard.voters.iter().filter(|node| living.contains(node)).count();
            if living.len() >= 3 {
                assert!(sound >= wanted.min(living.len()).min(3), "shard {number}: {shard:?} of {living:?}");
            }
            if *number != 0 && living.len() >= 3 {
                let used: BTreeSet<&str> = shard.voters.iter().map(|node| self.picture.zone(*node)).collect();
                assert_eq!(used.len(), zones.len().min(3), "shard {number} is spread: {shard:?}");
                assert!(shard.learners.is_empty(), "{shard:?}");
            }
            for (node, held) in &self.picture.nodes {
                let member = shard.voters.contains(node) || shard.learners.contains(node);
                if held.up {
                    assert_eq!(member, held.holds.contains(number), "n{node} of shard {number}: {shard:?}");
                }
                if held.up && *number == 0 {
                    assert_eq!(member, held.wish != Wish::Leave, "n{node} knows the directory");
                }
                if held.wish != Wish::Stay && living.len() >= staying.len().clamp(1, 3) {
                    assert!(!shard.voters.contains(node), "n{node} is wanted no more, but votes: {:?}", self.picture);
                }
            }
            assert!(living.is_empty() || shard.voters.iter().any(|voter| staying.contains(voter)));
        }
    }
}

#[test]
fn two_more_nodes_take_their_share() {
    let mut world = World::new(3, &[], 10);
    assert_eq!(plan(&world.picture, &world.limits), spread_only(&world));
    world.join(4, "");
    world.join(5, "");
    world.settle();
    world.check();
    assert_eq!(world.voters(0), [1, 2, 3, 4, 5]);
    let load = |node: u64| (1..=10).filter(|shard| world.voters(*shard).contains(&node)).count();
    assert_eq!((1..=5).map(load).collect::<Vec<_>>(), [6; 5]);
    let leads = |node| world.picture.shards.values().skip(1).filter(|shard| shard.leader == Some(node)).count();
    let leads: Vec<_> = (1..=5).map(leads).collect();
    assert!(leads.iter().all(|count| (1..=3).contains(count)), "{leads:?}");
}

/// In a whole cluster only leads may be moved.
fn spread_only(world: &World) -> Vec<Step> {
    plan(&world.picture, &world.limits).into_iter().filter(|step| matches!(step, Step::Lead { .. })).collect()
}

#[test]
fn a_fourth_node_only_learns_the_directory() {
    let mut world = World::new(3, &[], 1);
    world.join(4, "");
    world.settle();
    world.check();
    assert_eq!(world.voters(0), [1, 2, 3]);
    assert_eq!(world.picture.shards[&0].learners, BTreeSet::from([4]));
}

#[test]
fn few_shards_move_at_the_same_time() {
    let mut world = World::new(3, &[], 50);
    world.join(4, "");
    world.node(1).wish = Wish::Drain;
    let begun = |world: &World| -> BTreeSet<u32> {
        let steps = plan(&world.picture, &world.limits);
        let opened = steps.iter().filter(|step| matches!(step, Step::Open { shard, .. } if *shard != 0));
        opened.map(Step::shard).collect()
    };
    assert_eq!(begun(&world).len(), 4);
    // Nor do more begin while those are under way.
    let learning = |world: &World| {
        world.picture.shards.iter().filter(|(number, shard)| **number != 0 && !shard.learners.is_empty()).count()
    };
    while learning(&world) < 4 {
        for step in plan(&world.picture, &world.limits) {
            world.carry_out(&step);
            world.breathe();
        }
    }
    let mut slow = world.clone();
    slow.picture.shards.values_mut().for_each(|shard| shard.caught_up = shard.voters.clone());
    assert_eq!(begun(&slow), BTreeSet::new());
    world.settle();
    world.check();
}

#[test]
fn a_replacement_comes_from_the_zone_that_is_missing_and_not_by_way_of_another() {
    let mut world = World::new(3, &["a", "b", "c"], 1);
    world.join(4, "a");
    world.join(5, "c");
    world.settle();
    assert_eq!(world.voters(1), [1, 2, 3]);
    world.lose(3);
    world.breathe();
    let steps = plan(&world.picture, &world.limits);
    let opened = steps.iter().find_map(|step| match step {
        Step::Open { node, shard: 1, .. } => Some(*node),
        _ => None,
    });
    assert_eq!(opened, Some(5), "{steps:?}");
}

#[test]
fn a_lead_goes_only_to_one_that_its_leader_hears() {
    let mut world = World::new(3, &[], 1);
    let leader = world.picture.shards[&1].leader.expect("it is led");
    world.node(leader).slow = true;
    let others: Vec<u64> = (1..=3).filter(|node| *node != leader).collect();
    for (heard, to) in [(vec![leader, others[1]], Some(others[1])), (vec![leader], None)] {
        world.picture.shards.get_mut(&1).expect("it").heard = heard.iter().copied().collect();
        let steps = plan(&world.picture, &world.limits);
        let led = steps.iter().find_map(|step| match step {
            Step::Lead { shard: 1, to } => Some(*to),
            _ => None,
        });
        assert_eq!(led, to, "n{leader} hears {heard:?}: {steps:?}");
    }
}

#[test]
fn votes_change_only_where_the_leader_hears_most_of_those_who_would_vote() {
    let mut world = World::new(4, &[], 1);
    world.node(3).wish = Wish::Drain;
    let vote_changes = |world: &World| {
        let of_shard = |step: &Step| matches!(step, Step::Change { shard: 1, vote, .. } if !vote.is_empty());
        plan(&world.picture, &world.limits).iter().any(of_shard)
    };
    while !vote_changes(&world) {
        for step in plan(&world.picture, &world.limits) {
            world.carry_out(&step);
            world.breathe();
        }
    }
    // All of them answer the steward, but not their leader.
    let leader = world.picture.shards[&1].leader.expect("it is led");
    assert!([1, 2].contains(&leader), "it stays");
    for (heard, enough) in [(vec![leader, 4], true), (vec![leader, 3], false), (vec![leader], false)] {
        world.picture.shards.get_mut(&1).expect("it").heard = heard.iter().copied().collect();
        assert_eq!(vote_changes(&world), enough, "n{leader} hears {heard:?}");
    }
}

#[test]
fn one_that_is_gone_is_replaced_after_a_while_and_not_before() {
    let mut world = World::new(4, &[], 3);
    world.settle();
    world.lose(2);
    world.node(2).gone_ms = 60_000;
    world.breathe();
    world.settle();
    assert!((0..=3).any(|shard| world.voters(shard).contains(&2)), "it may come back");
    world.node(2).gone_ms = 300_000;
    world.settle();
    assert!((0..=3).all(|shard| !world.voters(shard).contains(&2)));
    assert!(world.picture.shards[&0].learners.contains(&2), "the directory is told to it when it comes back");
    // It is back, with replicas that nobody counts any more.
    world.node(2).up = true;
    world.breathe();
    world.settle();
    world.check();
}

#[test]
fn nobody_is_replaced_when_nobody_can_take_the_place() {
    let mut world = World::new(3, &[], 2);
    world.settle();
    world.lose(3);
    world.breathe();
    world.settle();
    assert_eq!([world.voters(0), world.voters(1), world.voters(2)], [[1, 2, 3]; 3].map(Vec::from));
}

#[test]
fn whoever_was_named_takes_the_place() {
    let mut world = World::new(6, &[], 6);
    world.settle();
    let held: Vec<u32> = (1..=6).filter(|shard| world.voters(*shard).contains(&1)).collect();
    let before: Vec<Vec<u64>> = (0..=6).map(|shard| world.voters(shard)).collect();
    let node = world.node(1);
    (node.wish, node.replacement) = (Wish::Drain, Some(6));
    world.settle();
    for shard in held.iter().filter(|shard| !before[**shard as usize].contains(&6)) {
        assert!(world.voters(*shard).contains(&6) || before[*shard as usize] != world.voters(*shard));
    }
    assert!(held.iter().all(|shard| !world.voters(*shard).contains(&1)));
    world.check();
}

#[test]
fn a_new_disk_leaves_learns_and_votes() {
    let mut world = World::new(3, &[], 2);
    world.settle();
    world.node(3).holds.clear();
    world.breathe();
    let leave = |shard| Step::Change { shard, learn: vec![], vote: vec![], leave: vec![3] };
    let steps = plan(&world.picture, &world.limits);
    assert_eq!(steps, [leave(0), leave(1), leave(2)], "its vote goes with its disk, before anything is opened");
    for step in &steps {
        world.carry_out(step);
        world.breathe();
    }
    assert!((0..=2).all(|shard| world.voters(shard) == [1, 2]));
    world.settle();
    world.check();
    assert!((0..=2).all(|shard| world.voters(shard) == [1, 2, 3]));
}

#[test]
fn a_new_disk_waits_while_the_others_cannot_decide_without_it() {
    let mut world = World::new(3, &[], 1);
    world.settle();
    world.node(3).holds.clear();
    world.breathe();
    // The leader has not noticed yet that it is alone.
    for shard in world.picture.shards.values_mut() {
        shard.heard.remove(&2);
    }
    assert_eq!(plan(&world.picture, &world.limits), []);
    world.lose(2);
    world.breathe();
    assert_eq!(plan(&world.picture, &world.limits), [], "nobody leads, and an empty replica helps nobody to");
    world.node(2).up = true;
    world.breathe();
    world.settle();
    world.check();
}

#[test]
fn a_slow_disk_leads_nothing_and_keeps_its_votes() {
    let mut world = World::new(3, &[], 4);
    world.settle();
    world.node(1).slow = true;
    world.settle();
    assert!(world.picture.shards.values().all(|shard| shard.leader != Some(1)));
    assert!((0..=4).all(|shard| world.voters(shard).contains(&1)));
}

#[test]
fn a_shard_begins_once() {
    let mut world = World::new(4, &[], 1);
    world.settle();
    let born_with = BTreeSet::from([2, 3, 4]);
    world.picture.shards.insert(2, Shard { born_with, ..Shard::default() });
    world.settle();
    world.check();
    assert!(world.picture.shards[&2].born_with.is_empty());
    // Its first voters are history: one that lost its disk is no voter any more, and never begins it again.
    world.node(3).holds.remove(&2);
    let steps = plan(&world.picture, &world.limits);
    let leave = Step::Change { shard: 2, learn: vec![], vote: vec![], leave: vec![3] };
    assert!(steps.contains(&leave), "{steps:?}");
    world.settle();
    world.check();
}

/// Every node in every state, in one, two and three zones: it comes to an end, nothing on the way is wrong, and the end
/// is what is wanted.
#[test]
fn every_small_cluster_comes_to_what_is_wanted() {
    let mut looked_at = 0;
    for zones in [&["", "", "", "", ""], &["a", "a", "b", "b", "b"], &["a", "b", "c", "a", "c"]] {
        for states in 0..4_u32.pow(5) {
            let mut world = World::new(3, zones, 3);
            world.join(4, zones[3]);
            world.join(5, zones[4]);
            for number in 1..=5 {
                match states / 4_u32.pow(number - 1) % 4 {
                    0 => {}
                    1 => world.node(number.into()).wish = Wish::Drain,
                    2 => world.lose(number.into()),
                    _ => {
                        world.lose(number.into());
                        world.node(number.into()).wish = Wish::Leave;
                    }
                }
            }
            world.breathe();
            if world.led() {
                looked_at += 1;
                world.settle();
                world.check();
            }
        }
    }
    assert!(looked_at > 1_000, "{looked_at}");
}

#[test]
fn whatever_happens_on_the_way_it_comes_to_an_end() {
    for seed in 1..=300_u64 {
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut roll = move |sides: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice % sides
        };
        let mut world = World::new(5, &["a", "b", "c", "a", "b"], 6);
        for _ in 0..60 {
            let node = roll(7) + 1;
            match roll(9) {
                0 if !world.picture.nodes.contains_key(&node) => world.join(node, ["a", "b", "c"][roll(3) as usize]),
                // Nobody can help a cluster that has lost most of a shard.
                1 if world.picture.nodes.contains_key(&node) => {
                    let mut without = world.clone();
                    without.lose(node);
                    without.breathe();
                    if without.led() {
                        world = without;
                    }
                }
                2 | 3 => world.picture.nodes.values_mut().for_each(|node| (node.up, node.gone_ms) = (true, 0)),
                4 if world.picture.nodes.contains_key(&node) => {
                    let stay = world.picture.nodes.keys().filter(|other| world.picture.wish(**other) == Wish::Stay);
                    if stay.count() > 3 {
                        world.node(node).wish = Wish::Drain;
                    }
                }
                5 => world.picture.nodes.values_mut().for_each(|node| node.wish = Wish::Stay),
                // The same: most of it must be left.
                6 if world.picture.nodes.contains_key(&node) => {
                    let mut without = world.clone();
                    without.node(node).holds.clear();
                    without.breathe();
                    if without.led() {
                        world = without;
                    }
                }
                _ => {}
            }
            world.breathe();
            let steps = plan(&world.picture, &world.limits);
            let done = roll(steps.len() as u64 + 1) as usize;
            for step in &steps[..done] {
                world.carry_out(step);
                world.breathe();
            }
        }
        world.settle();
        assert!(world.led(), "seed {seed}");
        world.check();
    }
}
