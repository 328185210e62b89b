//! The dice of a scenario. Each person and each fault has its own, so that one that is left out moves no other.

use fastrand::Rng;

use super::{Agent, Caller, Fault, FaultKind, Length, MILLI, SECOND, Scenario, Us, centre};

/// A call without a gateway has failed after this.
const HOMELESS_US: Us = 60 * SECOND;

pub(super) fn scenario(seed: u64, length: Length) -> Scenario {
    let mut dice = Rng::with_seed(seed);
    let (nodes, gateways) = (3, 2);
    let (heal_us, callers) = match length {
        Length::Short => (60 * SECOND, dice.usize(40..100)),
        Length::Long => (600 * SECOND, dice.usize(300..700)),
    };
    let agents = dice.usize(3..12);
    let (documents, queues) = centre::first(&mut dice, agents);
    Scenario {
        seed,
        nodes,
        gateways,
        heal_us,
        documents,
        callers: (0..callers).map(|at| caller(seed, at, heal_us, queues)).collect(),
        agents: (0..agents).map(|at| agent(seed, at, heal_us)).collect(),
        faults: [faults(&mut dice, length, nodes, gateways, heal_us), moves(seed, length, heal_us)].concat(),
    }
}

/// The tenant moves whatever else is going on.
fn moves(seed: u64, length: Length, heal_us: Us) -> Vec<Fault> {
    let mut dice = own(seed, 3, 0);
    let many = match length {
        Length::Short => dice.usize(0..4),
        Length::Long => dice.usize(5..20),
    };
    let one = |_| {
        let at_us = between(&mut dice, 5 * SECOND, heal_us - 4 * SECOND);
        Fault { at_us, for_us: 0, kind: FaultKind::MoveTenant(dice.u64(..)) }
    };
    (0..many).map(one).collect()
}

/// In one seed of three nobody begins to call for a while, so that all that was to be done is done, and the shard sleeps.
fn lull(seed: u64, heal_us: Us) -> (Us, Us) {
    if seed.is_multiple_of(3) { (heal_us * 2 / 5, heal_us * 13 / 20) } else { (0, 0) }
}

fn own(seed: u64, kind: u64, at: usize) -> Rng {
    Rng::with_seed(seed ^ (kind << 56) ^ ((at as u64 + 1) << 32))
}

fn between(dice: &mut Rng, from: Us, to: Us) -> Us {
    dice.u64(from..to)
}

fn caller(seed: u64, at: usize, heal_us: Us, queues: usize) -> Caller {
    let mut dice = own(seed, 1, at);
    // Most come early in waves: a morning and a noon.
    let peak = if dice.bool() { heal_us / 4 } else { heal_us * 2 / 3 };
    let spread = heal_us / 5;
    let near = (0..3).map(|_| between(&mut dice, 0, 2 * spread / 3)).sum::<Us>();
    let arrives_us = if dice.u8(0..5) == 0 { between(&mut dice, 3 * SECOND, heal_us) } else { peak + near - spread };
    let long = dice.u8(0..4) > 0;
    let (from_us, to_us) = lull(seed, heal_us);
    let arrives_us = if (from_us..to_us).contains(&arrives_us) { arrives_us + to_us - from_us } else { arrives_us };
    Caller {
        name: format!("c{}", at + 1),
        arrives_us: arrives_us.max(2 * SECOND),
        number: format!("500{}", dice.usize(0..queues)),
        patience_us: if long {
            between(&mut dice, 10 * SECOND, 60 * SECOND)
        } else {
            between(&mut dice, MILLI, 6 * SECOND)
        },
        talk_us: between(&mut dice, 200 * MILLI, 12 * SECOND),
        redials: dice.u32(0..3),
        redial_us: between(&mut dice, 500 * MILLI, 8 * SECOND),
    }
}

fn agent(seed: u64, at: usize, heal_us: Us) -> Agent {
    let mut dice = own(seed, 2, at);
    let begins_us = between(&mut dice, 1_500 * MILLI, 8 * SECOND);
    let breaks = (0..dice.usize(0..3)).map(|_| {
        let from = between(&mut dice, begins_us, heal_us);
        (from, from + between(&mut dice, 500 * MILLI, 10 * SECOND))
    });
    let mut breaks: Vec<_> = breaks.collect();
    breaks.sort_unstable();
    let early = dice.u8(0..4) == 0;
    Agent {
        name: format!("a{}", at + 1),
        begins_us,
        ends_us: if early { between(&mut dice, heal_us / 2, heal_us) } else { heal_us + 60 * SECOND },
        breaks,
        ignores: dice.u32(0..25),
        refuses: dice.u32(0..15),
        talk_us: between(&mut dice, 2 * SECOND, 15 * SECOND),
    }
}

/// Faults of one node never overlap, so that each of them can happen; those of different nodes may.
fn faults(dice: &mut Rng, length: Length, nodes: usize, gateways: usize, heal_us: Us) -> Vec<Fault> {
    let many = match length {
        Length::Short => dice.usize(8..20),
        Length::Long => dice.usize(40..100),
    };
    let mut starts: Vec<Us> = (0..many).map(|_| between(dice, 4 * SECOND, heal_us - 4 * SECOND)).collect();
    starts.sort_unstable();
    let mut busy = vec![0; nodes + gateways];
    let mut faults = Vec::new();
    for at_us in starts {
        let kind = kind(dice, nodes, gateways);
        let for_us = match kind {
            FaultKind::Pause(_) => between(dice, 300 * MILLI, 6 * SECOND),
            FaultKind::Isolate(_) | FaultKind::Deafen(_) | FaultKind::Mute(_) => between(dice, 800 * MILLI, 8 * SECOND),
            FaultKind::IsolateGateway(_) | FaultKind::DeafenGateway(_) => between(dice, 2 * SECOND, 9 * SECOND),
            FaultKind::Crash(_) | FaultKind::PowerCut => between(dice, 50 * MILLI, 5 * SECOND),
            FaultKind::Vanish(_) => between(dice, 50 * MILLI, 12 * SECOND),
            FaultKind::Freeze(_) | FaultKind::Drain(_) | FaultKind::Blackout => 0,
            FaultKind::Noise(_) | FaultKind::SlowDisk(_) => between(dice, SECOND, 10 * SECOND),
            FaultKind::SetClock(..)
            | FaultKind::BreakStreams(_)
            | FaultKind::HandOver
            | FaultKind::Configure(_)
            | FaultKind::ClearCall
            | FaultKind::MoveTenant(_) => 0,
        };
        let (kind, for_us) = instead(kind, at_us, for_us);
        let who = touched(&kind, nodes, gateways);
        // While the power is off there is nothing to cut a gateway from.
        let dark = matches!(kind, FaultKind::IsolateGateway(_) | FaultKind::DeafenGateway(_))
            && busy[..nodes].iter().all(|busy_us| *busy_us > at_us);
        if dark || who.iter().any(|at| busy[*at] > at_us) {
            continue;
        }
        who.iter().for_each(|at| busy[*at] = at_us + for_us + 2 * SECOND);
        faults.push(Fault { at_us, for_us, kind });
    }
    faults
}

/// A gateway goes in five ways, and a clock leaps by little or by much. Not by the dice, so that the seeds of before are what
/// they were.
fn instead(kind: FaultKind, at_us: Us, for_us: Us) -> (FaultKind, Us) {
    match (kind, at_us % 12) {
        (FaultKind::Vanish(gateway), 0 | 3 | 6 | 9) => (FaultKind::Freeze(gateway), for_us),
        (FaultKind::Vanish(gateway), 1 | 4 | 7 | 10) => (FaultKind::Drain(gateway), for_us),
        (FaultKind::Vanish(_), 2) => (FaultKind::Blackout, for_us),
        // Longer than calls are kept.
        (FaultKind::Vanish(_), 5) => (FaultKind::Blackout, HOMELESS_US + for_us),
        // So far that it is followed at once.
        (FaultKind::SetClock(node, by_ms @ 6_000..), _) => (FaultKind::SetClock(node, by_ms * 100), for_us),
        (kind, _) => (kind, for_us),
    }
}

fn kind(dice: &mut Rng, nodes: usize, gateways: usize) -> FaultKind {
    let (node, gateway) = (dice.usize(0..nodes), dice.usize(0..gateways));
    match dice.u8(0..28) {
        0..=3 => FaultKind::Crash(node),
        4 | 26 => FaultKind::PowerCut,
        5..=7 => FaultKind::Pause(node),
        8..=10 => FaultKind::Isolate(node),
        11 => FaultKind::Deafen(node),
        12 => FaultKind::Mute(node),
        13 => FaultKind::IsolateGateway(gateway),
        14 => FaultKind::DeafenGateway(gateway),
        15..=16 => FaultKind::Noise(dice.u32(5..40)),
        17 => FaultKind::SetClock(node, dice.i64(100..8_000)),
        18 => FaultKind::SetClock(node, -dice.i64(100..8_000)),
        19 => FaultKind::SlowDisk(node),
        20 | 27 => FaultKind::Vanish(gateway),
        21 => FaultKind::BreakStreams(gateway),
        22 => FaultKind::HandOver,
        23 => FaultKind::ClearCall,
        _ => FaultKind::Configure(dice.u64(..)),
    }
}

/// Whom a fault keeps busy: nodes, then gateways.
fn touched(kind: &FaultKind, nodes: usize, gateways: usize) -> Vec<usize> {
    match kind {
        FaultKind::Crash(node)
        | FaultKind::Pause(node)
        | FaultKind::Isolate(node)
        | FaultKind::Deafen(node)
        | FaultKind::Mute(node)
        | FaultKind::SlowDisk(node)
        | FaultKind::SetClock(node, _) => vec![*node],
        FaultKind::PowerCut => (0..nodes).collect(),
        FaultKind::IsolateGateway(gateway)
        | FaultKind::DeafenGateway(gateway)
        | FaultKind::Vanish(gateway)
        | FaultKind::Freeze(gateway)
        | FaultKind::Drain(gateway)
        | FaultKind::BreakStreams(gateway) => vec![nodes + gateway],
        FaultKind::Blackout => (nodes..nodes + gateways).collect(),
        // One noise, one hand-over at a time: while nothing else is wrong with the nodes it can be seen to happen.
        FaultKind::Noise(_) | FaultKind::HandOver => (0..nodes).collect(),
        FaultKind::Configure(_) | FaultKind::ClearCall => vec![nodes + gateways - 1],
        FaultKind::MoveTenant(_) => Vec::new(),
    }
}
