//! What a replica must not do whose disk was lost: it may have acknowledged what is on no other disk that is there now. What
//! happens when everything breaks meanwhile is in `simulation.rs`.

mod linear;
#[allow(dead_code, reason = "a part of the seeded world is enough here")]
mod world;

use world::{Sabotage, World};

/// Longer than any patience, and than a replica without anything takes to believe a leader.
const LONG_MS: u64 = 4_000;

/// Three nodes, the leader first, and some history; with a spare, so that a new disk is not told the founders, or without.
fn begin(seed: u64, spares: usize) -> (World, usize, usize, usize) {
    let mut world = World::with_spares(seed, 3, spares, Sabotage::None);
    world.run(1_000);
    let leader = world.leader().expect("a leader");
    commit(&mut world, leader);
    (world, leader, (leader + 1) % 3, (leader + 2) % 3)
}

fn commit(world: &mut World, leader: usize) {
    let before = world.oracle.acknowledged();
    for _ in 0..10 {
        world.propose(leader);
        world.run(20);
    }
    assert!(world.oracle.acknowledged() > before, "what follows is about something that was acknowledged");
}

fn nobody_leads(world: &mut World, seed: u64) {
    for _ in 0..LONG_MS {
        world.step();
        let leader = world.leader();
        assert!(leader.is_none(), "seed {seed}: n{} leads without what was acknowledged", leader.unwrap_or(0) + 1);
    }
}

#[test]
fn it_helps_nobody_to_power_who_may_lack_what_it_acknowledged() {
    for seed in 0..10 {
        for spares in [0, 1] {
            let (mut world, leader, lost, behind) = begin(seed, spares);
            world.cut(leader, behind, true);
            world.cut(lost, behind, true);
            commit(&mut world, leader);
            world.wipe(lost);
            world.crash(leader);
            world.heal();
            world.start(lost);
            nobody_leads(&mut world, seed);
            world.start(leader);
            world.settle();
        }
    }
}

#[test]
fn it_does_not_believe_a_leader_that_others_have_left_behind() {
    for seed in 0..10 {
        for spares in [0, 1] {
            let (mut world, former, one, other) = begin(seed, spares);
            // It stands still and hears of nothing, so that it still leads when it goes on.
            let pause_ms = 1_500;
            world.pause(former, pause_ms);
            [one, other].into_iter().for_each(|at| world.cut(former, at, true));
            world.run(pause_ms / 2);
            let (lost, later) = if world.leads(one) { (other, one) } else { (one, other) };
            assert!(world.leads(later), "seed {seed}: another one leads");
            commit(&mut world, later);
            world.wipe(lost);
            world.crash(later);
            world.run(pause_ms / 4);
            world.heal();
            world.start(lost);
            assert!(world.leads(former), "seed {seed}: it has not heard of it yet");
            let acknowledged = world.oracle.acknowledged();
            for _ in 0..LONG_MS / 20 {
                world.propose(former);
                world.run(20);
            }
            assert_eq!(
                world.oracle.acknowledged(),
                acknowledged,
                "seed {seed}: two of three, and one of them knew nothing"
            );
            world.start(later);
            world.settle();
        }
    }
}
