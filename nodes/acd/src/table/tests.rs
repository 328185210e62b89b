//! Stories of a frozen table.

use super::*;

type Rows = Table<CallKey, String>;

/// Reads what is left of the freeze.
fn rest(table: &mut Rows) -> Vec<(u32, String)> {
    let mut rows = Vec::new();
    while table.freeze_rows(2, |slot, row| rows.push((slot, row.clone()))) {}
    rows
}

fn living(table: &Rows) -> Vec<(u32, String)> {
    table.iter().map(|(key, row)| (key.slot(), row.clone())).collect()
}

fn of(names: &[&str]) -> Rows {
    let mut table = Rows::new();
    for name in names {
        table.insert((*name).into());
    }
    table
}

#[test]
fn what_happens_after_the_freeze_is_not_seen_by_it_but_by_everybody_else() {
    let mut table = of(&["a", "b", "c", "d"]);
    table.remove(CallKey(1));
    table.begin_freeze();
    table[CallKey(0)].push('!');
    table.get_mut(CallKey(0)).expect("a row").push('!');
    assert_eq!(table.insert("late".into()).slot(), 1, "a slot that was free at the freeze");
    assert_eq!(table.insert("later".into()).slot(), 4, "a slot that there was not");
    table.remove(CallKey(2));
    assert_eq!(table.insert("instead of c".into()).slot(), 2);

    let frozen = [(0, "a".into()), (2, "c".into()), (3, "d".into())];
    assert_eq!(rest(&mut table), frozen);
    assert_eq!(table[CallKey(0)], "a!!");
    assert_eq!(table.len(), 5);
    assert_eq!(table.get(CallKey(2)).map(String::as_str), Some("instead of c"));
}

#[test]
fn a_slice_looks_at_no_more_slots_than_it_may() {
    let mut table = of(&["a", "b", "c", "d", "e"]);
    table.remove(CallKey(1));
    table.begin_freeze();
    let mut slices = Vec::new();
    loop {
        let mut slice = Vec::new();
        let more = table.freeze_rows(2, |slot, _| slice.push(slot));
        slices.push(slice);
        if !more {
            break;
        }
    }
    assert_eq!(slices, [vec![0], vec![2, 3], vec![4]]);
}

#[test]
fn a_freeze_is_over_when_all_is_read_or_it_is_given_up_or_another_begins() {
    let mut table = of(&["a", "b"]);
    assert!(!table.freeze_rows(9, |_, _| unreachable!("no freeze is on")));
    table.begin_freeze();
    assert_eq!(rest(&mut table).len(), 2);
    assert!(table.freeze.is_none());
    table.begin_freeze();
    table.abort_freeze();
    assert_eq!(rest(&mut table), []);
    table.begin_freeze();
    assert!(table.freeze_rows(1, |_, _| {}));
    table[CallKey(1)] = "z".into();
    table.begin_freeze();
    assert_eq!(rest(&mut table), [(0, "a".into()), (1, "z".into())]);
}

#[test]
fn an_empty_table_freezes_to_nothing() {
    let mut table = Rows::new();
    table.begin_freeze();
    table.insert("late".into());
    assert_eq!(rest(&mut table), []);
    assert!(table.freeze.is_none());
}

#[test]
fn a_row_that_was_read_is_not_copied_any_more() {
    let mut table = of(&["a", "b", "c"]);
    table.begin_freeze();
    table.freeze_rows(2, |_, _| {});
    table[CallKey(0)].push('!');
    table[CallKey(2)].push('!');
    table[CallKey(2)].push('!');
    table.insert("d".into());
    let kept: Vec<_> = table.freeze.as_ref().expect("on").kept.iter().collect();
    assert_eq!(kept, [(&2, &Some("c".into()))]);
}

#[test]
fn whatever_happens_between_slices_the_freeze_is_the_copy_that_was_made_at_it() {
    let mut handed_out = 0;
    for seed in 0..500 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut table = Rows::new();
        // The same life without any freeze.
        let mut plain = Rows::new();
        for _ in 0..dice.usize(..150) {
            live(&mut dice, &mut table, &mut plain);
        }
        for _ in 0..3 {
            let expected = living(&table);
            table.begin_freeze();
            let mut frozen = Vec::new();
            let gives_up = dice.u8(..10) == 0;
            loop {
                for _ in 0..dice.usize(..12) {
                    live(&mut dice, &mut table, &mut plain);
                }
                let more = table.freeze_rows(dice.usize(1..8), |slot, row| frozen.push((slot, row.clone())));
                if gives_up {
                    table.abort_freeze();
                    assert!(frozen.iter().eq(&expected[..frozen.len()]), "seed {seed}");
                    break;
                }
                if !more {
                    assert_eq!(frozen, expected, "seed {seed}");
                    handed_out += frozen.len();
                    break;
                }
            }
            assert!(table.freeze.is_none());
            assert_eq!(living(&table), living(&plain), "seed {seed}");
            let slots = table.rows.len() as u32;
            let restored = Rows::from_rows(frozen, slots).expect("rising slots");
            assert!(gives_up || living(&restored) == expected, "seed {seed}");
        }
    }
    assert!(handed_out > 10_000, "{handed_out} rows are no test");
}

/// One thing happens to both.
fn live(dice: &mut fastrand::Rng, table: &mut Rows, plain: &mut Rows) {
    let keys = table.keys();
    match dice.u8(..5) {
        0 if !keys.is_empty() => {
            let key = keys[dice.usize(..keys.len())];
            assert_eq!(table.remove(key), plain.remove(key));
        }
        1 if !keys.is_empty() => {
            let key = keys[dice.usize(..keys.len())];
            table[key].push('+');
            plain[key].push('+');
        }
        2 => {
            let key = CallKey(dice.u32(..40));
            table.get_mut(key).into_iter().chain(plain.get_mut(key)).for_each(|row| row.push('-'));
        }
        _ => {
            let name = format!("{:04x}", dice.u16(..));
            assert_eq!(table.insert(name.clone()).slot(), plain.insert(name).slot());
        }
    }
}
