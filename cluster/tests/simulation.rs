//! Seeded stories of a bad day: `CLUSTER_SEEDS=2000 cargo nextest run -p cluster`, `CLUSTER_SEED=42` for one of them.

mod linear;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::{Sabotage, World};

/// Seeds per run, unless the environment says otherwise.
const SEEDS: u64 = 300;

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
            world.crashes,
            world.wipes,
            world.elections,
            world.snapshots,
            world.oracle.acknowledged() as u64,
            world.oracle.answered_reads() as u64,
            world.between.applied,
            world.between.crashes,
            world.between.elections,
            world.between.restored,
            world.between.offered,
            1,
        ];
        sums.iter_mut().zip(did).for_each(|(sum, did)| *sum += did);
        let asleep = world.asleep;
        let did = [
            world.pauses,
            world.changes,
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
        assert_eq!(world.elections, 1, "seed {seed}");
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
        world.garble = true;
        for _ in 0..200 {
            let at = world.leader().unwrap_or(0);
            world.propose(at);
            world.run(25);
        }
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
    world.loss_percent = [0, 2, 10][(seed / 3 % 3) as usize];
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
