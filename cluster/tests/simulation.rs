//! Seeded stories of a bad day: `CLUSTER_SEEDS=2000 cargo nextest run -p cluster`, `CLUSTER_SEED=42` for one of them.

mod linear;
#[allow(dead_code, reason = "other stories use other parts of it")]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::{Sabotage, World};

/// Seeds per run, unless the environment says otherwise.
const SEEDS: u64 = 200;

#[test]
fn whatever_breaks_nothing_acknowledged_is_lost() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("CLUSTER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CLUSTER_SEEDS").unwrap_or(SEEDS),
    };
    let mut sums = [0u64; 12];
    let mut more = [0u64; 10];
    for seed in seeds {
        let world = bad_day(seed, Sabotage::None);
        let did = [
            world.counts.crashes,
            world.counts.wipes,
            world.counts.elections,
            world.counts.snapshots,
            world.oracle.acknowledged() as u64,
            world.oracle.answered_reads() as u64,
            world.counts.between.applied,
            world.counts.between.crashes,
            world.counts.between.elections,
            world.counts.between.restored,
            world.counts.between.offered,
            1,
        ];
        sums.iter_mut().zip(did).for_each(|(sum, did)| *sum += did);
        let asleep = world.counts.asleep;
        let did = [
            world.counts.pauses,
            world.counts.changes,
            asleep.sleeps,
            asleep.crashes,
            asleep.proposals,
            asleep.reads,
            asleep.silences,
            world.clients.answered,
            world.clients.unknown,
            world.clients.undecided,
        ];
        more.iter_mut().zip(did).for_each(|(sum, did)| *sum += did);
    }
    let [crashes, wipes, elections, snapshots, acknowledged, reads, between @ .., seeds] = sums;
    eprintln!(
        "{seeds} seeds: {crashes} crashes, {wipes} wipes, {elections} elections, {snapshots} snapshots received, \
         {acknowledged} commands acknowledged, {reads} reads"
    );
    let [applied, crashed, elected, restored, offered] = between;
    eprintln!(
        "between slices of a snapshot: {applied} entries applied, {crashed} crashes, {elected} elections, {restored} \
         snapshots received; {offered} made for followers"
    );
    let [
        pauses,
        changes,
        sleeps,
        asleep_crashes,
        asleep_proposals,
        asleep_reads,
        silences,
        answered,
        unknown,
        undecided,
    ] = more;
    eprintln!(
        "{pauses} pauses, {changes} changes of members; {sleeps} replicas fell asleep, and while they slept: \
         {asleep_crashes} crashes, {asleep_proposals} commands, {asleep_reads} reads, {silences} silences"
    );
    eprintln!("{answered} calls of clients answered, {unknown} unknown; {undecided} histories not decided");
    if seeds >= 100 {
        assert!(pauses > seeds && changes > seeds && sleeps > seeds && asleep_crashes > seeds / 10);
        assert!(asleep_proposals > seeds / 10 && asleep_reads > seeds / 20 && silences > seeds / 10);
        assert!(answered > 50 * seeds && unknown > seeds && undecided * 50 < seeds);
        assert!(
            crashes > seeds && wipes > seeds / 10 && snapshots > seeds && acknowledged > 50 * seeds && reads > seeds
        );
        assert!(
            applied > 50 * seeds && crashed > seeds && elected > seeds / 10 && restored > 0 && offered > seeds / 10
        );
    }
}

#[test]
fn the_same_seed_is_the_same_day() {
    for seed in [1, 7, 1234] {
        assert_eq!(bad_day(seed, Sabotage::None).trace(), bad_day(seed, Sabotage::None).trace(), "seed {seed}");
    }
}

#[test]
fn acknowledging_before_the_disk_has_it_is_caught() {
    let caught = (0..SEEDS).find(|seed| {
        let day = catch_unwind(AssertUnwindSafe(|| bad_day(*seed, Sabotage::AcknowledgeBeforeDurable).trace()));
        day.is_err()
    });
    eprintln!("caught by seed {caught:?}");
    assert!(caught.is_some());
}

#[test]
fn a_snapshot_that_holds_what_came_after_it_is_caught() {
    let caught = (0..SEEDS).find(|seed| {
        let day = catch_unwind(AssertUnwindSafe(|| bad_day(*seed, Sabotage::SaveTooMuch).trace()));
        day.is_err()
    });
    eprintln!("caught by seed {caught:?}");
    assert!(caught.is_some());
}

#[test]
fn a_stale_read_of_a_woken_leader_is_caught() {
    caught_by_the_checker(Sabotage::ReadWithoutAsking);
}

#[test]
fn a_read_of_a_follower_is_caught() {
    caught_by_the_checker(Sabotage::ReadAnywhere);
}

#[test]
fn a_write_that_is_answered_before_it_is_committed_is_caught() {
    caught_by_the_checker(Sabotage::AnswerBeforeCommit);
}

/// What clients are told wrongly, all else being right.
fn caught_by_the_checker(sabotage: Sabotage) {
    let caught = (0..SEEDS).find(|seed| {
        let day = catch_unwind(AssertUnwindSafe(|| bad_day(*seed, sabotage).trace()));
        let Err(panic) = day else { return false };
        let text = panic.downcast_ref::<String>().expect("a panic with words");
        assert!(text.contains("is not linearizable"), "{text}");
        true
    });
    eprintln!("caught by seed {caught:?}");
    assert!(caught.is_some());
}

#[test]
fn an_unharmed_group_elects_once_and_commits() {
    for seed in 0..20 {
        let mut world = World::new(seed, 3, Sabotage::None);
        world.run(1_000);
        let leader = world.leader().expect("a leader within a second");
        for _ in 0..100 {
            world.propose(leader);
            world.run(1);
        }
        world.run(5_000);
        assert_eq!(world.oracle.acknowledged(), 100);
        assert_eq!(world.counts.elections, 1, "seed {seed}");
        world.settle();
    }
}

#[test]
fn a_dead_leader_is_replaced_within_half_a_second() {
    for seed in 0..20 {
        let mut world = World::new(seed, 3, Sabotage::None);
        world.run(1_000);
        let first = world.leader().expect("a leader");
        world.crash(first);
        let mut waited_ms = 0;
        while world.leader().is_none() {
            world.run(1);
            waited_ms += 1;
            assert!(waited_ms < 500, "seed {seed}: still no leader");
        }
        world.settle();
    }
}

#[test]
fn leadership_is_handed_over_within_fifty_milliseconds() {
    for seed in 0..20 {
        let mut world = World::new(seed, 3, Sabotage::None);
        world.run(1_000);
        let first = world.leader().expect("a leader");
        world.propose(first);
        world.hand_over(first);
        world.run(50);
        assert!(world.leader().is_some_and(|leader| leader != first), "seed {seed}");
        world.settle();
    }
}

#[test]
fn damaged_messages_are_counted_and_break_nothing() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, 3, Sabotage::None);
        world.run(1_000);
        world.wires.garble = true;
        for _ in 0..200 {
            let at = world.leader().unwrap_or(0);
            world.propose(at);
            world.run(25);
        }
    }
}

/// Everybody sleeps, after one election.
fn asleep(seed: u64, size: usize) -> World {
    let mut world = World::new(seed, size, Sabotage::None);
    world.let_sleep();
    world.run(4_000);
    assert!((0..size).all(|at| world.is_asleep(at)), "seed {seed}");
    assert_eq!(world.counts.elections, 1, "seed {seed}");
    world
}

#[test]
fn an_idle_group_sleeps_for_minutes_and_wakes_for_a_command_and_for_a_read() {
    for seed in 0..6 {
        let size = [1, 3, 5][(seed % 3) as usize];
        let mut world = asleep(seed, size);
        let sent = world.counts.messages;
        world.run(60_000);
        assert!((0..size).all(|at| world.is_asleep(at)), "seed {seed}");
        let per_second = (world.counts.messages - sent) / 60;
        let pairs = (size * (size - 1)) as u64;
        assert!(per_second <= 25 * pairs, "seed {seed}: {per_second} messages per second for {pairs} pairs of nodes");
        let leader = world.leader().expect("it leads asleep");
        world.propose(leader);
        world.run(60);
        assert_eq!(world.oracle.acknowledged(), 1, "seed {seed}");
        world.run(4_000);
        assert!((0..size).all(|at| world.is_asleep(at)), "seed {seed}");
        let before = world.oracle.answered_reads();
        world.read(leader);
        world.run(60);
        assert_eq!(world.oracle.answered_reads(), before + 1, "seed {seed}");
        assert_eq!(world.counts.elections, 1, "seed {seed}");
        world.settle();
    }
}

#[test]
fn a_follower_that_is_asked_in_error_sleeps_on() {
    let mut world = asleep(1, 3);
    let leader = world.leader().expect("a leader");
    let follower = (leader + 1) % 3;
    world.propose(follower);
    world.read(follower);
    world.hand_over(follower);
    world.run(5_000);
    assert!((0..3).all(|at| world.is_asleep(at)));
    assert_eq!(world.counts.elections, 1);
}

#[test]
fn a_sleeping_leader_that_dies_or_is_cut_off_is_replaced_as_fast_as_one_that_is_awake() {
    for seed in 0..40 {
        let mut world = asleep(seed, 3);
        let first = world.leader().expect("a leader");
        let others = [(first + 1) % 3, (first + 2) % 3];
        match seed % 4 {
            0 => world.crash(first),
            1 => others.iter().for_each(|other| world.cut(first, *other, true)),
            // Only its own words are lost: it hears everybody.
            2 => others.iter().for_each(|other| world.cut(first, *other, false)),
            _ => world.pause(first, 3_000),
        }
        let mut waited_ms = 0;
        while !others.iter().any(|other| world.leads(*other)) {
            world.run(1);
            waited_ms += 1;
            assert!(waited_ms < 600, "seed {seed}: still no leader");
        }
        // And it learns that it is not one any more.
        world.run(4_000);
        assert!(!world.leads(first), "seed {seed}");
        world.settle();
    }
}

#[test]
fn a_sleeping_follower_that_dies_costs_no_election_and_is_welcome_again() {
    for seed in 0..20 {
        let mut world = asleep(seed, 3);
        let leader = world.leader().expect("a leader");
        let follower = (leader + 1) % 3;
        world.crash(follower);
        world.run(2_000);
        assert!(world.leads(leader) && !world.is_asleep(leader), "seed {seed}: it watches for the lost one");
        world.start(follower);
        world.run(5_000);
        assert!((0..3).all(|at| world.is_asleep(at)), "seed {seed}");
        assert_eq!(world.counts.elections, 1, "seed {seed}");
    }
}

/// Some virtual seconds in which everything goes wrong, then a good one.
fn bad_day(seed: u64, sabotage: Sabotage) -> World {
    let size = if seed.is_multiple_of(3) { 5 } else { 3 };
    let spares = if seed % 4 >= 2 { 2 } else { 0 };
    let mut world = World::with_spares(seed, size, spares, sabotage);
    if seed % 2 == 1 {
        world.let_sleep();
    }
    if seed.is_multiple_of(5) {
        world.run_unevenly();
    }
    world.run(600);
    world.wires.loss_percent = [0, 2, 10][(seed / 3 % 3) as usize];
    let mut quiet_ms = 0;
    for _ in 0..8_000 {
        world.step();
        quiet_ms -= i64::from(quiet_ms > 0);
        if world.may_sleep && quiet_ms == 0 && world.chance(1) && world.chance(10) {
            // Long enough to fall asleep, most of the time.
            quiet_ms = 300 + world.pick_of(2_000) as i64;
            if world.chance(50) {
                world.heal();
            }
        }
        if quiet_ms == 0 && world.chance(12) {
            let at = world.leader().unwrap_or(0);
            let at = if world.chance(10) { world.pick() } else { at };
            (0..1 + u64::from(world.chance(20)) * 5).for_each(|_| world.propose(at));
            if world.chance(30) {
                world.read(at);
            }
            let at = if world.chance(30) { world.pick() } else { at };
            world.ask(at);
        }
        if quiet_ms > 0 && world.chance(1) && world.chance(20) {
            let at = world.leader().unwrap_or(0);
            world.read(at);
        }
        if let Some(leader) = world.leader().filter(|leader| quiet_ms > 0 && world.is_asleep(*leader))
            && world.chance(1)
            && world.chance(25)
        {
            let other = world.pick();
            match world.pick_of(4) {
                0 => world.crash(leader),
                1 => world.pause(leader, 700),
                2 => world.cut(leader, other, false),
                _ => world.cut(other, leader, false),
            }
        }
        // While all sleep, less happens, or nobody would ever fall asleep.
        if !world.chance(1) || (quiet_ms > 0 && !world.chance(30)) {
            continue;
        }
        if world.changes_members && world.chance(40) {
            world.change_members();
            continue;
        }
        let (one, other) = (world.pick(), world.pick());
        match world.pick_of(14) {
            0..=1 if world.is_up(one) => world.crash(one),
            0..=4 => (0..world.size())
                .filter(|at| !world.is_up(*at))
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|at| world.start(at)),
            5..=6 => world.cut(one, other, true),
            7 => world.cut(one, other, false),
            8..=9 => world.heal(),
            10 => world.hand_over(one),
            // The power goes, for all at once.
            11 => (0..world.size())
                .filter(|at| world.is_up(*at))
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|at| world.crash(at)),
            12 if world.is_up(one) => {
                let ms = 50 + world.pick_of(1_500);
                world.pause(one, ms);
            }
            _ if world.may_wipe() => {
                world.wipe(one);
                world.start(one);
            }
            _ => {}
        }
    }
    world.settle();
    world
}
