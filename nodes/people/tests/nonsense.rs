//! A world that tells people nonsense: they never panic, and once it falls silent they all come to rest.

mod centre;

use centre::{HOUR, MINUTE, START, names, worker};
use fastrand::Rng;
use people::{Arrivals, Break, Curve, Deed, Habits, Line, Manners, People, Plan, Press, Repeat, Sense, Spread, Target};

fn plan() -> Plan {
    let targets = vec![Target::Agent("a002".into()), Target::Queue("sales".into()), Target::Sip("sip:x@y".into())];
    let manners = Manners {
        ignores: 0.1,
        busy: 0.1,
        rejects: 0.1,
        holds: 0.3,
        consults: 0.4,
        conferences: 0.3,
        transfers: 0.3,
        targets,
        wrap_up: Some(Spread::Exponential { mean_ms: 10_000 }),
        ..Manners::default()
    };
    let habits = Habits {
        patience: Spread::Exponential { mean_ms: 60_000 },
        repeat: Repeat { abandoned: 0.5, refused: 0.5, ..Repeat::default() },
        presses: vec![Press { digits: "1".into(), share: 0.5, after: Spread::Exponential { mean_ms: 9_000 } }],
        ..Habits::default()
    };
    let curve = Curve { from: START, interval_ms: HOUR, calls: vec![300.0], rounds: 1 };
    let mut workers: Vec<_> = names(6).map(|name| worker(name, START + HOUR, manners.clone())).collect();
    for worker in &mut workers {
        worker.shifts[0].breaks = vec![Break { at: START + 10 * MINUTE, length_ms: 9 * MINUTE, reason: "tea".into() }];
    }
    Plan {
        lines: vec![Line { number: "8800".into(), arrivals: Arrivals::Curve(curve), habits }],
        workers,
        ..Plan::default()
    }
}

fn nonsense(dice: &mut Rng, deeds: &[Deed]) -> Sense {
    let call = dice.u64(1..40);
    let leg = dice.u32(1..5);
    match dice.u8(..9) {
        0 => Sense::Alerting { call, leg },
        1 | 2 => Sense::Ringing { call, leg, agent: format!("a{:03}", dice.u32(0..9)) },
        3 => Sense::Called { call, leg, target: "123".into() },
        4 => Sense::Listening { call, leg },
        5 => Sense::Joined { call, leg, with: (0..dice.u32(0..3)).map(|_| dice.u32(1..5)).collect() },
        6 => Sense::Quiet { call, leg },
        7 => match dice.choice(deeds) {
            Some(deed) => Sense::Refused { deed: deed.clone() },
            None => Sense::Alerting { call, leg },
        },
        _ => Sense::Gone { call, leg, status: dice.u32(0..700) },
    }
}

fn tell(seed: u64) -> (Vec<Deed>, usize) {
    let mut dice = Rng::with_seed(seed);
    let mut people = People::new(plan(), seed, START);
    let (mut done, mut deeds, mut now) = (Vec::new(), Vec::new(), START);
    for _ in 0..2_000 {
        now = now.max(people.next().unwrap_or(now)) + dice.u64(0..500);
        people.act(now, &mut deeds);
        people.sense(now, &nonsense(&mut dice, &deeds));
        done.append(&mut deeds);
    }
    // The world falls silent but for the dead lines of those who are still on the phone.
    let mut rounds = 0;
    while let Some(next) = people.next() {
        now = now.max(next);
        people.act(now, &mut deeds);
        for deed in &deeds {
            if let Deed::Dial { call, .. } = deed {
                people.sense(now, &Sense::Gone { call: *call, leg: 1, status: 404 });
            }
        }
        done.append(&mut deeds);
        rounds += 1;
        assert!(rounds < 100_000, "seed {seed}: people never come to rest");
    }
    for call in 0..2_000 {
        for leg in 0..6 {
            people.sense(now, &Sense::Gone { call, leg, status: 0 });
        }
    }
    while let Some(next) = people.next() {
        now = now.max(next);
        people.act(now, &mut done);
        for call in 0..2_000 {
            people.sense(now, &Sense::Gone { call, leg: 1, status: 404 });
        }
        rounds += 1;
        assert!(rounds < 100_000, "seed {seed}: people never come to rest");
    }
    assert!(people.is_quiet(), "seed {seed}: {} calls are left", people.calls());
    (done, rounds)
}

#[test]
fn nonsense_neither_breaks_people_nor_keeps_them_from_rest() {
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let (deeds, _) = tell(seed);
        for deed in &deeds {
            let text = format!("{deed:?}");
            let name = text.split_whitespace().next().unwrap_or_default().to_owned();
            kinds.insert(match deed {
                Deed::Act { act, .. } => format!("{name} {:?}", act).split('(').next().unwrap_or_default().to_owned(),
                _ => name,
            });
        }
    }
    assert!(kinds.len() >= 15, "the dice left something out: {kinds:?}");
}

#[test]
fn the_same_nonsense_brings_the_same_deeds() {
    for seed in 0..10 {
        assert_eq!(tell(seed), tell(seed));
    }
    assert_ne!(tell(1), tell(2));
}
