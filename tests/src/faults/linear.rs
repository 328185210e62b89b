//! Were these registers linearizable? Every value is written once, so no search is needed: what was done with one value
//! makes a zone in time, and zones that cross say no (Gibbons and Korach, Testing Shared Memories, 1997). Exact, and fast
//! enough for a history of hours.

use std::collections::BTreeMap;

use super::registers::{Operation, What};

/// What a register holds before anything was written.
const AT_FIRST: &str = "";

/// All that was done with one value of one register.
#[derive(Clone, Debug)]
struct Zone {
    value: String,
    /// When the first of it was over.
    first_end: i64,
    /// When the last of it began.
    last_begin: i64,
    /// When its write began.
    written: i64,
}

impl Zone {
    /// The register held this value at least from the one to the other.
    const fn is_forward(&self) -> bool {
        self.first_end < self.last_begin
    }
}

/// Every contradiction, in words.
#[must_use]
pub fn contradictions(operations: &[Operation]) -> Vec<String> {
    let mut found = Vec::new();
    let mut registers: BTreeMap<u64, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        registers.entry(operation.register).or_default().push(operation);
    }
    for (register, operations) in registers {
        let zones = zones(register, &operations, &mut found);
        let (mut forward, backward): (Vec<Zone>, Vec<Zone>) = zones.into_iter().partition(Zone::is_forward);
        forward.sort_by_key(|zone| zone.first_end);
        for pair in forward.windows(2) {
            if pair[1].first_end < pair[0].last_begin {
                found.push(format!(
                    "register {register} held {} and {} at once, around {} us",
                    pair[0].value, pair[1].value, pair[1].first_end
                ));
            }
        }
        for zone in &backward {
            // The last forward zone that begins before it.
            let place = forward.partition_point(|known| known.first_end < zone.last_begin);
            let Some(around) = place.checked_sub(1).map(|place| &forward[place]) else { continue };
            if zone.first_end < around.last_begin {
                found.push(format!(
                    "register {register} held {} from {} to {} us, and {} within that time",
                    around.value, around.first_end, around.last_begin, zone.value
                ));
            }
        }
    }
    found
}

fn zones(register: u64, operations: &[&Operation], found: &mut Vec<String>) -> Vec<Zone> {
    let micros = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
    let first = Zone { value: AT_FIRST.to_owned(), first_end: -1, last_begin: -1, written: -1 };
    let mut zones = BTreeMap::from([(AT_FIRST.to_owned(), first)]);
    for operation in operations {
        let What::Write { value, known } = &operation.what else { continue };
        // A write of which nobody knows the end may still happen after everything else.
        let end = if *known { micros(operation.ended) } else { i64::MAX };
        let begun = micros(operation.begun);
        let zone = Zone { value: value.clone(), first_end: end, last_begin: begun, written: begun };
        zones.insert(value.clone(), zone);
    }
    for operation in operations {
        let What::Read(value) = &operation.what else { continue };
        let (begun, ended) = (micros(operation.begun), micros(operation.ended));
        let Some(zone) = zones.get_mut(value) else {
            found.push(format!(
                "register {register} was read as {value}, which nobody wrote, through {}",
                operation.through
            ));
            continue;
        };
        if ended < zone.written {
            found.push(format!(
                "register {register}: {value} was read before it was written, through {}",
                operation.through
            ));
        }
        zone.first_end = zone.first_end.min(ended);
        zone.last_begin = zone.last_begin.max(begun);
    }
    // A write that perhaps never happened and was never seen says nothing.
    zones.into_values().filter(|zone| zone.first_end < i64::MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: &str, begun: u64, ended: u64) -> Operation {
        let what = What::Write { value: value.into(), known: true };
        Operation { register: 1, what, begun, ended, through: "n1".into() }
    }

    fn lost(value: &str, begun: u64) -> Operation {
        let what = What::Write { value: value.into(), known: false };
        Operation { register: 1, what, begun, ended: begun + 5, through: "n1".into() }
    }

    fn read(value: &str, begun: u64, ended: u64) -> Operation {
        Operation { register: 1, what: What::Read(value.into()), begun, ended, through: "n1".into() }
    }

    #[test]
    fn what_could_have_been_is_believed() {
        let good: [&[Operation]; 7] = [
            &[read("", 0, 1), write("a", 2, 3), read("a", 4, 5), write("b", 6, 7), read("b", 8, 9)],
            // Overlapping with the write, a read may see either.
            &[write("a", 0, 10), read("", 1, 2), read("a", 3, 4)],
            &[write("a", 0, 10), read("a", 1, 2), write("b", 3, 4), read("b", 5, 6)],
            // Unknown: never, soon, or much later.
            &[lost("a", 0), read("", 100, 101)],
            &[lost("a", 0), read("a", 1, 2), read("a", 100, 101)],
            &[lost("a", 0), write("b", 20, 30), read("b", 40, 50), read("a", 60, 70)],
            &[write("a", 0, 10), write("b", 0, 10), read("b", 11, 12), read("b", 13, 14)],
        ];
        for (number, history) in good.iter().enumerate() {
            assert_eq!(contradictions(history), Vec::<String>::new(), "history {number}");
        }
    }

    #[test]
    fn what_cannot_have_been_is_found() {
        let bad: [&[Operation]; 7] = [
            // Stale: a leader that woke up.
            &[write("a", 0, 1), write("b", 2, 3), read("a", 4, 5)],
            &[write("a", 0, 1), read("", 2, 3)],
            // Lost after it was acknowledged.
            &[write("a", 0, 1), read("a", 2, 3), read("", 4, 5)],
            // There and back.
            &[write("a", 0, 10), write("b", 0, 10), read("a", 11, 12), read("b", 13, 14), read("a", 15, 16)],
            // Applied twice: it comes again after another.
            &[write("a", 0, 1), write("b", 2, 3), read("b", 4, 5), read("a", 6, 7)],
            &[read("a", 0, 1), write("a", 2, 3)],
            &[read("z", 0, 1)],
        ];
        for (number, history) in bad.iter().enumerate() {
            assert_ne!(contradictions(history), Vec::<String>::new(), "history {number}");
        }
    }

    /// The rule and a search that tries every order agree on small random histories.
    #[test]
    fn it_agrees_with_trying_every_order() {
        let mut dice = 1u64;
        let mut throw = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        let mut verdicts = [0, 0];
        for _ in 0..4_000 {
            let mut history = Vec::new();
            for value in ["a", "b", "c"] {
                let begun = throw(12);
                history.push(if throw(4) == 0 {
                    lost(value, begun)
                } else {
                    write(value, begun, begun + 1 + throw(6))
                });
            }
            for _ in 0..3 {
                let begun = throw(14);
                let value = ["", "a", "b", "c"][throw(4) as usize];
                history.push(read(value, begun, begun + 1 + throw(4)));
            }
            let possible = is_possible(&history, &mut vec![false; history.len()], "");
            verdicts[usize::from(possible)] += 1;
            assert_eq!(contradictions(&history).is_empty(), possible, "{history:#?}");
        }
        assert!(verdicts.iter().all(|count| *count > 200), "{verdicts:?}");
    }

    fn is_possible(history: &[Operation], done: &mut Vec<bool>, held: &str) -> bool {
        let end = |operation: &Operation| match operation.what {
            What::Write { known: false, .. } => u64::MAX,
            _ => operation.ended,
        };
        let open = |done: &[bool]| (0..history.len()).filter(|&place| !done[place]).collect::<Vec<_>>();
        let left = open(done);
        // Writes of unknown outcome may be left out for ever.
        if left.iter().all(|&place| end(&history[place]) == u64::MAX) {
            return true;
        }
        left.iter().any(|&place| {
            let next = &history[place];
            if left.iter().any(|&other| end(&history[other]) < next.begun) {
                return false;
            }
            let held = match &next.what {
                What::Write { value, .. } => value.as_str(),
                What::Read(value) if value == held => held,
                What::Read(_) => return false,
            };
            done[place] = true;
            let possible = is_possible(history, done, held);
            done[place] = false;
            possible
        })
    }
}
