//! Callers come when the plan says.

mod centre;

use centre::{HOUR, MINUTE, START};
use people::{Arrival, Arrivals, Curve, Deed, Habits, Line, People, Plan, Repeat, Sense, Spread};

fn plan(arrivals: Arrivals, habits: Habits) -> Plan {
    Plan { lines: vec![Line { number: "8800".into(), arrivals, habits }], ..Plan::default() }
}

/// Lets everybody act, refuses every call with this status or lets it ring for ever, gives the time of every dial.
fn dials(plan: Plan, seed: u64, status: Option<u32>) -> Vec<(u64, u64, String)> {
    let mut people = People::new(plan, seed, START);
    let (mut dials, mut deeds) = (Vec::new(), Vec::new());
    while let Some(now) = people.next() {
        people.act(now, &mut deeds);
        for deed in deeds.drain(..) {
            let Deed::Dial { call, caller, .. } = deed else { continue };
            if let Some(status) = status {
                people.sense(now, &Sense::Gone { call, leg: 1, status });
            }
            dials.push((now, call, caller));
        }
    }
    assert!(status.is_none() || people.is_quiet());
    dials
}

#[test]
fn calls_follow_the_curve_interval_by_interval() {
    let calls = vec![0.0, 400.0, 1_600.0, 900.0, 0.0, 25.0];
    let curve = Curve { from: START, interval_ms: HOUR, calls: calls.clone(), rounds: 10 };
    for seed in 0..5 {
        let mut counts = vec![0u32; calls.len()];
        let mut squares = 0.0;
        let mut last = START;
        for (at, ..) in dials(plan(Arrivals::Curve(curve.clone()), Habits::default()), seed, Some(404)) {
            let interval = ((at - START) / HOUR) as usize;
            assert!(interval < calls.len() * 10 && at >= last);
            last = at;
            counts[interval % calls.len()] += 1;
        }
        for (seen, mean) in counts.iter().zip(&calls) {
            let mean = mean * 10.0;
            let off = f64::from(*seen) - mean;
            assert!(off.abs() <= 4.0 * f64::sqrt(mean), "seed {seed}: {seen} calls, {mean} expected");
            squares += if mean > 0.0 { off * off / mean } else { 0.0 };
        }
        assert!(squares < 20.0, "seed {seed}: chi square {squares} over four intervals");
    }
}

#[test]
fn gaps_between_calls_are_exponential() {
    let curve = Curve { from: START, interval_ms: MINUTE, calls: vec![10.0], rounds: 2_000 };
    let times: Vec<u64> =
        dials(plan(Arrivals::Curve(curve), Habits::default()), 9, Some(404)).iter().map(|d| d.0).collect();
    let gaps: Vec<f64> = times.windows(2).map(|two| (two[1] - two[0]) as f64).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean) * (gap - mean)).sum::<f64>() / gaps.len() as f64;
    assert!((mean / 6_000.0 - 1.0).abs() < 0.03, "mean gap {mean}");
    assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "deviation {} of mean {mean}", variance.sqrt());
}

#[test]
fn recorded_calls_come_at_their_moments_with_their_callers() {
    let call = |at, caller: &str| Arrival { at: START + at, caller: caller.into(), ..Arrival::default() };
    let list = vec![call(0, "101"), call(7, "102"), call(7, "103"), call(90, "101")];
    let seen = dials(plan(Arrivals::List(list), Habits::default()), 1, Some(486));
    let told: Vec<(u64, u64, &str)> =
        seen.iter().map(|(at, call, caller)| (at - START, *call, caller.as_str())).collect();
    assert_eq!(told, [(0, 1, "101"), (7, 2, "102"), (7, 3, "103"), (90, 4, "101")]);
}

#[test]
fn who_was_refused_rings_again_but_not_for_ever() {
    let repeat = Repeat { refused: 1.0, after: Spread::Exactly { ms: 1_000 }, most: 2, ..Repeat::default() };
    let list = vec![Arrival { at: START, ..Arrival::default() }];
    let seen = dials(plan(Arrivals::List(list), Habits { repeat, ..Habits::default() }), 1, Some(486));
    let times: Vec<u64> = seen.iter().map(|(at, ..)| at - START).collect();
    assert_eq!(times, [0, 1_000, 2_000]);
    assert!(seen.iter().all(|(_, _, caller)| *caller == seen[0].2), "it is the same caller");
}

#[test]
fn who_gave_up_rings_again_with_the_planned_chance() {
    let patience = Spread::Exactly { ms: 30_000 };
    let repeat = Repeat { abandoned: 0.25, after: Spread::Exactly { ms: 10_000 }, most: 1, ..Repeat::default() };
    let curve = Curve { from: START, interval_ms: HOUR, calls: vec![4_000.0], rounds: 1 };
    let habits = Habits { patience, repeat, ..Habits::default() };
    let once = dials(plan(Arrivals::Curve(curve.clone()), Habits::default()), 3, Some(404)).len() as f64;
    let with_repeats = dials(plan(Arrivals::Curve(curve), habits), 3, None).len() as f64;
    assert!((with_repeats / once - 1.25).abs() < 0.03, "{with_repeats} of {once}");
}

#[test]
fn vip_callers_are_as_frequent_as_planned() {
    let habits = Habits { vips: vec!["111".into(), "222".into()], vip_share: 0.1, population: 50, ..Habits::default() };
    let curve = Curve { from: START, interval_ms: HOUR, calls: vec![5_000.0], rounds: 1 };
    let seen = dials(plan(Arrivals::Curve(curve), habits), 2, Some(404));
    let share = |who: &str| seen.iter().filter(|(_, _, caller)| caller == who).count() as f64 / seen.len() as f64;
    assert!((share("111") - 0.05).abs() < 0.01 && (share("222") - 0.05).abs() < 0.01);
    let mut callers: Vec<&str> = seen.iter().map(|(_, _, caller)| caller.as_str()).collect();
    callers.sort_unstable();
    callers.dedup();
    assert_eq!(callers.len(), 52, "fifty who ring again and again, and the two");
}
