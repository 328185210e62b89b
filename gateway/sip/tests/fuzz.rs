//! A short, bounded run of the fuzzer. Long ones: `cargo run -p sip --example fuzz -- --seconds 60 --seed 1`.

use std::collections::BTreeSet;

mod fuzzing;

#[test]
fn nothing_that_a_stranger_sends_breaks_anything() {
    let mut reached = BTreeSet::new();
    for seed in 0..6 {
        let mut fuzzer = fuzzing::Fuzzer::new(seed);
        for _ in 0..1_500 {
            fuzzer.round();
        }
        fuzzer.close();
        assert!(fuzzer.sent > 300, "seed {seed} moved nothing");
        reached.extend(fuzzer.reached.into_keys());
    }
    for kind in [
        "Offered",
        "Ringing",
        "Answered",
        "Confirmed",
        "MediaChanged",
        "Digits",
        "Referred",
        "Redirected",
        "Bound",
        "Pinged",
        "Ended",
    ] {
        assert!(reached.contains(kind), "no run reached {kind}: {reached:?}");
    }
}
