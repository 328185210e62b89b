//! Distributions are what they are called.

use std::sync::Arc;

use fastrand::Rng;
use people::whatif::kaplan_meier;
use people::{Spread, Survival};

const THROWS: usize = 200_000;

fn throws(spread: &Spread, floor: u64, seed: u64) -> Vec<u64> {
    let mut dice = Rng::with_seed(seed);
    (0..THROWS).map(|_| spread.draw_above(floor, &mut dice).expect("it ends")).collect()
}

fn mean_and_deviation(throws: &[u64]) -> (f64, f64) {
    let mean = throws.iter().map(|ms| *ms as f64).sum::<f64>() / throws.len() as f64;
    let squares: f64 = throws.iter().map(|ms| (*ms as f64 - mean) * (*ms as f64 - mean)).sum();
    (mean, (squares / throws.len() as f64).sqrt())
}

#[test]
fn means_and_deviations_are_as_written() {
    let log_normal = Spread::LogNormal { mean_ms: 180_000, deviation_percent: 80 };
    let recorded = Spread::Recorded(vec![10_000, 20_000, 90_000].into());
    let cases = [
        (Spread::Exactly { ms: 5_000 }, 0.0),
        (Spread::Uniform { from_ms: 1_000, to_ms: 5_000 }, 1_154.7),
        (Spread::Exponential { mean_ms: 60_000 }, 60_000.0),
        (log_normal, 144_000.0),
        (recorded, 35_590.0),
    ];
    for (spread, deviation) in cases {
        let (seen_mean, seen_deviation) = mean_and_deviation(&throws(&spread, 0, 7));
        let mean = spread.mean_ms().expect("it has one");
        assert!((seen_mean / mean - 1.0).abs() < 0.01, "{spread:?}: mean {seen_mean}");
        assert!((seen_deviation - deviation).abs() <= 0.03 * deviation, "{spread:?}: deviation {seen_deviation}");
    }
}

#[test]
fn throws_are_the_same_on_every_machine() {
    let mut dice = Rng::with_seed(42);
    let spreads =
        [Spread::Exponential { mean_ms: 60_000 }, Spread::LogNormal { mean_ms: 180_000, deviation_percent: 80 }];
    let drawn: Vec<u64> = (0..3).flat_map(|_| spreads.each_ref().map(|s| s.draw(&mut dice).expect("ends"))).collect();
    assert_eq!(drawn, GOLDEN);
}

const GOLDEN: [u64; 6] = [93_868, 137_654, 2_444, 573_442, 135_514, 82_508];

#[test]
fn what_is_drawn_above_a_floor_is_above_it() {
    let curve = Survival { steps: vec![(10_000, 0.8), (30_000, 0.5), (60_000, 0.25)], tail_ms: 40_000 };
    let spreads = [
        Spread::Uniform { from_ms: 1_000, to_ms: 50_000 },
        Spread::Exponential { mean_ms: 20_000 },
        Spread::LogNormal { mean_ms: 20_000, deviation_percent: 50 },
        Spread::Recorded(vec![5_000, 90_000].into()),
        Spread::Survival(Arc::new(curve)),
        Spread::Exactly { ms: 10 },
    ];
    for spread in spreads {
        for floor in [1, 10_000, 30_000, 70_000] {
            let least = throws(&spread, floor, 3).into_iter().min();
            assert!(least >= Some(floor), "{spread:?} above {floor}: {least:?}");
        }
    }
}

#[test]
fn a_survival_curve_is_drawn_by_its_shares() {
    let curve = Survival { steps: vec![(10, 0.8), (30, 0.5), (60, 0.25)], tail_ms: 40 };
    let mean = Spread::Survival(Arc::new(curve.clone())).mean_ms().expect("it ends");
    let drawn = throws(&Spread::Survival(Arc::new(curve.clone())), 0, 1);
    let share = |above: u64| drawn.iter().filter(|ms| **ms > above).count() as f64 / THROWS as f64;
    for (ms, outlast) in &curve.steps {
        assert!((share(*ms) - outlast).abs() < 0.005, "beyond {ms}: {}", share(*ms));
    }
    assert!((mean_and_deviation(&drawn).0 / mean - 1.0).abs() < 0.02);
    // Of those who outlast 10, five in eight outlast 30.
    let above = throws(&Spread::Survival(Arc::new(curve)), 10, 1);
    let share = above.iter().filter(|ms| **ms > 30).count() as f64 / THROWS as f64;
    assert!((share - 0.625).abs() < 0.005, "{share}");
}

#[test]
fn patience_is_found_again_behind_the_waits_it_was_cut_off_by() {
    let patience = Spread::Exponential { mean_ms: 90_000 };
    let service = Spread::Exponential { mean_ms: 40_000 };
    let mut dice = Rng::with_seed(8);
    let waits: Vec<(u64, bool)> = (0..20_000)
        .map(|_| (patience.draw(&mut dice).expect("ends"), service.draw(&mut dice).expect("ends")))
        .map(|(patience, wait)| (patience.min(wait), patience < wait))
        .collect();
    let curve = kaplan_meier(&waits);
    for ms in [20_000u64, 60_000, 120_000] {
        let index = curve.steps.partition_point(|(step, _)| *step <= ms);
        let told = (-(ms as f64) / 90_000.0).exp();
        assert!((curve.steps[index - 1].1 - told).abs() < 0.03, "at {ms}: {} of {told}", curve.steps[index - 1].1);
    }
    let naive = waits.iter().map(|(ms, _)| *ms as f64).sum::<f64>() / waits.len() as f64;
    let mean = Spread::Survival(Arc::new(curve)).mean_ms().expect("somebody left");
    assert!((mean / 90_000.0 - 1.0).abs() < 0.1, "mean {mean}; whoever averages waits finds {naive}");
}
