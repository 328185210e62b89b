//! The patience of callers, estimated from those who left and those who were served; never a throw of the dice.

use crate::Survival;

/// Kaplan-Meier: from (milliseconds waited, left of their own will), the share that outlasts each time at which somebody
/// left. Who was served is censored: their patience is only known to be longer.
///
/// Beyond the longest wait nothing is known; there the curve goes on exponentially at the overall rate of leaving (all
/// waiting / all who left). When nobody ever left, patience never ends.
pub fn kaplan_meier(waits: &[(u64, bool)]) -> Survival {
    let mut waits = waits.to_vec();
    waits.sort_unstable();
    let left_total = waits.iter().filter(|(_, left)| *left).count() as u64;
    let waited_total = waits.iter().fold(0u64, |total, (ms, _)| total.saturating_add(*ms));
    let (mut steps, mut share) = (Vec::new(), 1.0);
    let mut from = 0;
    while from < waits.len() {
        let ms = waits[from].0;
        let same = waits[from..].iter().take_while(|(other, _)| *other == ms).count();
        let left = waits[from..from + same].iter().filter(|(_, left)| *left).count();
        // Who was served at this very moment was still at risk, as is usual.
        let at_risk = waits.len() - from;
        if left > 0 {
            share *= (at_risk - left) as f64 / at_risk as f64;
            steps.push((ms, share));
        }
        from += same;
    }
    if let (true, Some((longest, _))) = (share > 0.0 && !steps.is_empty(), waits.last()) {
        // The tail begins where knowledge ends, not where somebody last left.
        if steps.last().is_some_and(|(ms, _)| ms < longest) {
            steps.push((*longest, share));
        }
    }
    Survival { steps, tail_ms: waited_total.checked_div(left_total).unwrap_or(0).max(u64::from(left_total > 0)) }
}

#[cfg(test)]
mod tests {
    use super::kaplan_meier;

    #[test]
    fn without_anybody_served_it_is_the_plain_share() {
        let curve = kaplan_meier(&[(10, true), (20, true), (30, true), (40, true)]);
        assert_eq!(curve.steps, [(10, 0.75), (20, 0.5), (30, 0.25), (40, 0.0)]);
    }

    #[test]
    fn who_was_served_counts_as_long_as_they_waited() {
        // The textbook example: 6, 6, 6, 6+, 7, 9+, 10 of seven.
        let curve = kaplan_meier(&[(6, true), (6, true), (6, true), (6, false), (7, true), (9, false), (10, true)]);
        let shares: Vec<(u64, i64)> = curve.steps.iter().map(|(ms, share)| (*ms, (share * 1e6) as i64)).collect();
        assert_eq!(shares, [(6, 571_428), (7, 380_952), (10, 0)]);
    }

    #[test]
    fn nobody_left_so_nobody_ever_will() {
        let curve = kaplan_meier(&[(10, false), (20, false)]);
        assert!(curve.steps.is_empty());
        assert_eq!(curve.tail_ms, 0);
        assert_eq!(kaplan_meier(&[]).tail_ms, 0);
    }
}
