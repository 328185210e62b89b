//! Changes of members, one at a time: who is in, who hears of it, and who must not lead. What happens when everything breaks
//! meanwhile is in `simulation.rs`.

mod linear;
#[allow(dead_code, reason = "a part of the seeded world is enough here")]
mod world;

use cluster::{GroupStatus, Membership, ProposeError};
use world::{Sabotage, World};

const WITHIN_MS: u64 = 10_000;

/// Three founders and two spares, with a leader and some history, so that a newcomer needs a snapshot.
fn begin(seed: u64) -> World {
    let mut world = World::with_spares(seed, 3, 2, Sabotage::None);
    world.run(1_000);
    let leader = world.leader().expect("a leader");
    for _ in 0..60 {
        world.propose(leader);
        world.run(5);
    }
    world
}

fn status(world: &World, at: usize) -> GroupStatus {
    world.status(at).expect("a replica")
}

fn until(world: &mut World, what: &str, good: impl Fn(&World) -> bool) {
    for _ in 0..WITHIN_MS {
        if good(world) {
            return;
        }
        world.run(1);
    }
    let seen: Vec<_> = (0..world.size()).map(|at| world.status(at)).collect();
    panic!("not within {WITHIN_MS} ms: {what}: {seen:#?}");
}

fn change(world: &mut World, steps: &[Membership]) {
    let leader = world.leader().expect("a leader");
    world.change(leader, steps).expect("it is taken");
}

/// Of the leader: voters and learners, when no change is under way.
fn members(world: &World) -> Option<(Vec<u64>, Vec<u64>)> {
    let status = status(world, world.leader()?);
    status.voters_outgoing.is_empty().then_some((status.voters, status.learners))
}

#[test]
fn a_newcomer_learns_by_snapshot_and_then_votes() {
    for seed in 0..10 {
        let mut world = begin(seed);
        change(&mut world, &[Membership::Learn(4)]);
        until(&mut world, "it has caught up", |world| {
            let leader = status(world, world.leader().expect("a leader"));
            leader.progress.iter().any(|progress| progress.node == 4 && progress.matched == leader.last)
        });
        assert!(world.counts.snapshots > 0, "seed {seed}: by snapshot");
        assert_eq!(status(&world, 3).learners, [4], "seed {seed}");
        change(&mut world, &[Membership::Vote(4)]);
        let good = |world: &World| members(world) == Some((vec![1, 2, 3, 4], vec![]));
        until(&mut world, "it votes", good);
        until(&mut world, "it knows", |world| status(world, 3).voters == [1, 2, 3, 4]);
        // What is so already is left out, and is no change.
        change(&mut world, &[Membership::Vote(4), Membership::Leave(5)]);
        assert!(good(&world));
        world.settle();
    }
}

#[test]
fn one_takes_the_place_of_another_and_the_other_hears_of_it() {
    for seed in 0..20 {
        let mut world = begin(seed);
        change(&mut world, &[Membership::Learn(5)]);
        until(&mut world, "a learner", |world| members(world).is_some_and(|(_, learners)| learners == [5]));
        let leader = world.leader().expect("a leader");
        let leaver = (1..=3).find(|node| *node != leader as u64 + 1).expect("a follower");
        until(&mut world, "it is taken", |world| status(world, 4).seeded);
        change(&mut world, &[Membership::Vote(5), Membership::Leave(leaver)]);
        until(&mut world, "the change is over", |world| {
            members(world)
                .is_some_and(|(voters, _)| voters.len() == 3 && voters.contains(&5) && !voters.contains(&leaver))
        });
        // It can give its replica up: it knows that it is out.
        until(&mut world, "who has left knows", |world| {
            let status = status(world, leaver as usize - 1);
            !status.voters.contains(&leaver) && status.voters_outgoing.is_empty()
        });
        world.settle();
    }
}

#[test]
fn a_leader_does_not_take_its_own_vote_nor_everybodys() {
    let mut world = begin(1);
    let leader = world.leader().expect("a leader");
    let own = leader as u64 + 1;
    assert_eq!(world.change(leader, &[Membership::Leave(own)]), Err(ProposeError::Senseless));
    assert_eq!(world.change(leader, &[Membership::Learn(own)]), Err(ProposeError::Senseless));
    assert_eq!(world.change(leader, &[Membership::Learn(0)]), Err(ProposeError::Senseless));
    let follower = (leader + 1) % 3;
    assert!(matches!(world.change(follower, &[Membership::Learn(4)]), Err(ProposeError::NotLeader { .. })));
    assert_eq!(world.change(leader, &[Membership::Learn(4)]), Ok(()));
    assert_eq!(world.change(leader, &[Membership::Learn(5)]), Err(ProposeError::Busy), "one at a time");
    world.settle();
}

#[test]
fn one_that_was_out_and_comes_back_disturbs_nobody() {
    for seed in 0..20 {
        let mut world = begin(seed);
        let leader = world.leader().expect("a leader");
        let leaver = (leader + 1) % 3;
        // It is away while it is taken out, so it hears nothing of it.
        world.crash(leaver);
        change(&mut world, &[Membership::Learn(4)]);
        until(&mut world, "a learner", |world| members(world).is_some_and(|(_, learners)| learners == [4]));
        until(&mut world, "it is taken", |world| status(world, 3).seeded);
        change(&mut world, &[Membership::Vote(4), Membership::Leave(leaver as u64 + 1)]);
        until(&mut world, "it is out", |world| {
            members(world).is_some_and(|(voters, _)| !voters.contains(&(leaver as u64 + 1)))
        });
        let (elections, term) = (world.counts.elections, status(&world, world.leader().expect("a leader")).term);
        world.start(leaver);
        world.run(10_000);
        assert_eq!(world.counts.elections, elections, "seed {seed}: nobody is elected anew");
        assert_eq!(status(&world, world.leader().expect("a leader")).term, term, "seed {seed}");
        assert!(!world.leads(leaver), "seed {seed}");
        // Asked in again, it goes on from what it has.
        change(&mut world, &[Membership::Learn(leaver as u64 + 1)]);
        until(&mut world, "it is back", |world| {
            let leader = status(world, world.leader().expect("a leader"));
            leader.progress.iter().any(|progress| progress.node == leaver as u64 + 1 && progress.matched == leader.last)
        });
        world.settle();
    }
}

#[test]
fn a_leader_that_is_voted_out_by_an_earlier_leaders_change_gives_the_lead_away() {
    let mut did = 0;
    for seed in 0..60 {
        let mut world = begin(seed);
        change(&mut world, &[Membership::Learn(4)]);
        until(&mut world, "it is taken", |world| world.status(3).is_some_and(|status| status.seeded));
        let first = world.leader().expect("a leader");
        let next = (first + 1) % 3;
        // The lead goes to the very node that the change takes out.
        if world.change(first, &[Membership::Vote(4), Membership::Leave(next as u64 + 1)]).is_err() {
            continue;
        }
        world.run(1 + seed % 5);
        world.hand_over_to(first, next);
        for _ in 0..1_000 {
            world.run(1);
            did += u64::from(world.leads(next));
        }
        until(&mut world, "the change is over and a member leads", |world| {
            members(world).is_some_and(|(voters, _)| {
                voters.len() == 3 && world.leader().is_some_and(|leader| voters.contains(&(leader as u64 + 1)))
            })
        });
        world.settle();
    }
    assert!(did > 0, "it has led in no story");
}

#[test]
fn one_that_catches_up_slowly_under_load_needs_one_snapshot() {
    for seed in 0..10 {
        let mut world = begin(seed);
        let before = world.counts.snapshots;
        // Many times as many commands come while it travels as are kept for others.
        world.wires.snapshot_ms = Some(1_000);
        change(&mut world, &[Membership::Learn(4)]);
        let leader = world.leader().expect("a leader");
        for _ in 0..4_000 {
            if world.chance(30) {
                world.propose(leader);
            }
            world.run(1);
        }
        until(&mut world, "it has caught up", |world| {
            let leader = status(world, leader);
            leader.progress.iter().any(|progress| progress.node == 4 && progress.matched == leader.last)
        });
        assert_eq!(world.counts.snapshots - before, 1, "seed {seed}");
        world.run(2_000);
        let held = status(&world, leader);
        assert!(held.last - held.first < 100, "seed {seed}: what was kept for it is let go: {held:?}");
        world.settle();
    }
}

#[test]
fn a_replica_that_is_left_alone_while_it_flushes_a_snapshot_lives_on() {
    for seed in 0..20 {
        let mut world = begin(seed);
        let leader = world.leader().expect("a leader");
        let follower = (leader + 1) % 3;
        // It lags behind the log, and its disk is slower than an election.
        world.crash(follower);
        for _ in 0..200 {
            world.propose(leader);
            world.run(5);
        }
        world.flush_ms = Some(1_500);
        world.start(follower);
        let received = world.counts.snapshots;
        until(&mut world, "it is sent a snapshot", |world| world.counts.snapshots > received);
        // It asks for votes alone.
        world.crash(leader);
        world.crash((leader + 2) % 3);
        world.run(3_000);
        world.flush_ms = None;
        world.settle();
    }
}
