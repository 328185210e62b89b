//! The checker itself: histories whose verdict is known, and small ones against trying every order.

mod linear;

use linear::register::{Register, RegisterAnswer as A, RegisterCall as C};
use linear::{Fault, Model as _, Seen, by_key, check};

const STEPS_MAX: u64 = 1_000_000;

fn seen(call: C, began: u64, ended: Option<(u64, A)>) -> Seen<C, A> {
    Seen { call, began, ended }
}

fn is_linearizable(history: &[Seen<C, A>]) -> bool {
    match check(&Register, history, STEPS_MAX) {
        Ok(()) => true,
        Err(Fault::NotLinearizable { .. }) => false,
        Err(fault) => panic!("{fault:?}"),
    }
}

#[test]
fn known_histories_have_their_known_verdicts() {
    let write = |value, began, ended| seen(C::Write(value), began, Some((ended, A::Written)));
    let read = |value, began, ended| seen(C::Read, began, Some((ended, A::Value(value))));
    assert!(is_linearizable(&[]));
    assert!(is_linearizable(&[write(1, 0, 1), read(1, 2, 3)]));
    assert!(!is_linearizable(&[write(1, 0, 1), read(0, 2, 3)]), "a stale read");
    assert!(is_linearizable(&[write(1, 0, 4), read(0, 1, 3)]), "the write had not ended");
    assert!(!is_linearizable(&[write(1, 0, 9), read(1, 1, 2), read(0, 3, 4)]), "what was seen does not go away");
    assert!(
        is_linearizable(&[seen(C::Write(1), 0, None), read(0, 1, 2), read(1, 8, 9)]),
        "an unknown one may come late"
    );
    assert!(is_linearizable(&[seen(C::Write(1), 0, None), read(0, 1, 2)]), "or never");
    assert!(!is_linearizable(&[seen(C::Write(1), 0, None), read(1, 1, 2), read(0, 3, 4)]), "but not be taken back");
    assert!(!is_linearizable(&[read(1, 0, 1), seen(C::Write(1), 2, None)]), "nor be seen before it was asked");
    let swap = |from, to, began, ended, done| seen(C::Swap(from, to), began, Some((ended, A::Swapped(done))));
    assert!(is_linearizable(&[swap(0, 1, 0, 5, true), swap(0, 2, 0, 5, false)]));
    assert!(!is_linearizable(&[swap(0, 1, 0, 5, true), swap(0, 2, 0, 5, true)]), "two of one value");
}

#[test]
fn it_says_which_call_cannot_be_explained() {
    let history = [
        seen(C::Write(1), 0, Some((1, A::Written))),
        seen(C::Read, 2, Some((3, A::Value(1)))),
        seen(C::Read, 4, Some((5, A::Value(0)))),
    ];
    assert_eq!(check(&Register, &history, STEPS_MAX), Err(Fault::NotLinearizable { call: 2, explained: 2 }));
}

/// Every order of every subset that holds all answered calls.
fn by_trying_all(history: &[Seen<C, A>]) -> bool {
    fn go(history: &[Seen<C, A>], done: &mut Vec<bool>, state: u64) -> bool {
        if history.iter().zip(done.iter()).all(|(seen, done)| *done || seen.ended.is_none()) {
            return true;
        }
        (0..history.len()).any(|at| {
            let open = |other: usize| !done[other] && other != at;
            let may_be_next = !done[at]
                && (0..history.len())
                    .filter(|other| open(*other))
                    .all(|other| history[other].ended.is_none_or(|(ended, _)| ended >= history[at].began));
            if !may_be_next {
                return false;
            }
            let (next, answer) = Register.call(&state, &history[at].call);
            if history[at].ended.is_some_and(|(_, known)| known != answer) {
                return false;
            }
            done[at] = true;
            let good = go(history, done, next);
            done[at] = false;
            good
        })
    }
    go(history, &mut vec![false; history.len()], 0)
}

#[test]
fn small_histories_are_judged_as_by_trying_all_orders() {
    let mut verdicts = [0, 0];
    for seed in 0..20_000 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let history: Vec<_> = (0..dice.usize(1..7))
            .map(|_| {
                let began = dice.u64(0..12);
                let (call, answer) = match dice.u8(0..3) {
                    0 => (C::Read, A::Value(dice.u64(0..3))),
                    1 => (C::Write(dice.u64(1..3)), A::Written),
                    _ => (C::Swap(dice.u64(0..3), dice.u64(0..3)), A::Swapped(dice.bool())),
                };
                seen(call, began, (dice.u8(0..5) > 0).then(|| (began + dice.u64(1..6), answer)))
            })
            .collect();
        let expected = by_trying_all(&history);
        verdicts[usize::from(expected)] += 1;
        assert_eq!(is_linearizable(&history), expected, "seed {seed}: {history:?}");
    }
    assert!(verdicts.iter().all(|count| *count > 1_000), "{verdicts:?}");
}

/// Clients over one true register, with some answers lost; then one read is made stale.
#[test]
fn long_histories_are_judged_and_one_stale_read_in_them_is_found() {
    for seed in 0..10 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let (mut value, mut moment) = (0, 0);
        let mut open: Vec<(u64, C, A)> = Vec::new();
        let mut history = Vec::new();
        for number in 0..1_000u64 {
            moment += 1;
            let call = match dice.u8(0..3) {
                0 => C::Read,
                1 => C::Write(number + 1),
                _ => C::Swap(value, number + 1),
            };
            let (next, answer) = Register.call(&value, &call);
            value = next;
            open.push((moment, call, answer));
            if open.len() > 4 {
                let (began, call, answer) = open.swap_remove(dice.usize(0..open.len()));
                moment += 1;
                let is_known = call == C::Read || dice.u16(0..400) > 0;
                history.push(seen(call, began, is_known.then_some((moment, answer))));
            }
        }
        history.extend(open.into_iter().map(|(began, call, _)| seen(call, began, None)));
        let parts = by_key(history, |_| 0);
        let mut history = parts.into_values().next().expect("one register");
        assert!(is_linearizable(&history), "seed {seed}");
        let old = A::Value(0);
        let late = history.iter().rposition(|seen| seen.call == C::Read && seen.ended.is_some()).expect("a read");
        history[late].ended = history[late].ended.map(|(ended, _)| (ended, old));
        assert!(!is_linearizable(&history), "seed {seed}");
    }
}
