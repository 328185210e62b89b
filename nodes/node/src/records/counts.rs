//! Adding up what was counted, in the words of the wire. Ratios are derived by whoever shows them, never here.

use proto::v1::{Counts, Histogram};

/// Adds `from` to `sum`, field by field and bucket by bucket. Everything saturates.
pub fn add(sum: &mut Counts, from: &Counts) {
    // Named one by one, so that a field cannot be forgotten.
    let Counts {
        offered,
        answered,
        abandoned,
        abandoned_short,
        within_threshold,
        overflowed,
        refused,
        transferred_in,
        transferred_out,
        callbacks_asked,
        callbacks_done,
        rona,
        wait_ms,
        abandon_ms,
        talk_ms,
        hold_ms,
        wrap_up_ms,
        ring_ms,
        repeated_callers,
        waits,
        handles,
        state_ms,
        abandoned_within_threshold,
    } = from;
    let each = [
        (&mut sum.offered, offered),
        (&mut sum.answered, answered),
        (&mut sum.abandoned, abandoned),
        (&mut sum.abandoned_short, abandoned_short),
        (&mut sum.within_threshold, within_threshold),
        (&mut sum.overflowed, overflowed),
        (&mut sum.refused, refused),
        (&mut sum.transferred_in, transferred_in),
        (&mut sum.transferred_out, transferred_out),
        (&mut sum.callbacks_asked, callbacks_asked),
        (&mut sum.callbacks_done, callbacks_done),
        (&mut sum.rona, rona),
        (&mut sum.wait_ms, wait_ms),
        (&mut sum.abandon_ms, abandon_ms),
        (&mut sum.talk_ms, talk_ms),
        (&mut sum.hold_ms, hold_ms),
        (&mut sum.wrap_up_ms, wrap_up_ms),
        (&mut sum.ring_ms, ring_ms),
        (&mut sum.repeated_callers, repeated_callers),
        (&mut sum.abandoned_within_threshold, abandoned_within_threshold),
    ];
    for (ours, theirs) in each {
        *ours = ours.saturating_add(*theirs);
    }
    add_histogram(&mut sum.waits, waits.as_ref());
    add_histogram(&mut sum.handles, handles.as_ref());
    add_each(&mut sum.state_ms, state_ms, u64::saturating_add);
}

fn add_histogram(sum: &mut Option<Histogram>, from: Option<&Histogram>) {
    if let Some(from) = from {
        add_each(&mut sum.get_or_insert_default().buckets, &from.buckets, u32::saturating_add);
    }
}

/// A release with more places may have written either of the two.
fn add_each<T: Copy + Default>(sum: &mut Vec<T>, from: &[T], add: impl Fn(T, T) -> T) {
    if sum.len() < from.len() {
        sum.resize(from.len(), T::default());
    }
    for (ours, theirs) in sum.iter_mut().zip(from) {
        *ours = add(*ours, *theirs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field its own number, times `by`.
    fn all(by: u64) -> acd::counts::Counts {
        let mut histogram = acd::counts::Histogram::default();
        (0..by * 3).for_each(|ms| histogram.add(ms * 700));
        acd::counts::Counts {
            offered: by,
            answered: 2 * by,
            abandoned: 3 * by,
            abandoned_short: 4 * by,
            within_threshold: 5 * by,
            overflowed: 6 * by,
            refused: 7 * by,
            transferred_in: 8 * by,
            transferred_out: 9 * by,
            callbacks_asked: 10 * by,
            callbacks_done: 11 * by,
            rona: 12 * by,
            wait_ms: 13 * by,
            abandon_ms: 14 * by,
            talk_ms: 15 * by,
            hold_ms: 16 * by,
            wrap_up_ms: 17 * by,
            ring_ms: 18 * by,
            repeated_callers: 19 * by,
            waits: histogram,
            handles: histogram,
            state_ms: [by; acd::counts::STATES],
            abandoned_within_threshold: 20 * by,
        }
    }

    #[test]
    fn adding_on_the_wire_is_adding_in_the_shard() {
        let (mut inside, mut outside) = (all(1), crate::translate::counts(&all(1)));
        for by in [3, 10] {
            inside.merge(&all(by));
            add(&mut outside, &crate::translate::counts(&all(by)));
        }
        assert_eq!(outside, crate::translate::counts(&inside));
    }

    #[test]
    fn nothing_added_to_nothing_has_no_histogram_and_the_largest_stays() {
        let mut sum = Counts::default();
        add(&mut sum, &Counts::default());
        assert_eq!(sum, Counts::default());
        let full =
            Counts { offered: u64::MAX, waits: Some(Histogram { buckets: vec![u32::MAX] }), ..Counts::default() };
        add(&mut sum, &full);
        add(&mut sum, &full);
        assert_eq!(sum, full);
    }

    #[test]
    fn fewer_buckets_are_added_to_the_first_ones() {
        let mut sum = Counts { waits: Some(Histogram { buckets: vec![1, 2] }), ..Counts::default() };
        add(&mut sum, &Counts { waits: Some(Histogram { buckets: vec![1, 1, 5] }), ..Counts::default() });
        assert_eq!(sum.waits, Some(Histogram { buckets: vec![2, 3, 5] }));
    }
}
