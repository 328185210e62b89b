//! Dialogs of real SIP endpoints through take-over and drain; `DIALOG_SEEDS=1000` plays more of them, `DIALOG_SEED=7` one.

/// Played every day.
const SEEDS: u64 = 120;

#[test]
fn no_dialog_that_nobody_ended_is_lost_by_a_take_over() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("DIALOG_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DIALOG_SEEDS").unwrap_or(SEEDS),
    };
    let (mut adopted, mut taken_back, mut lived) = (0, 0, 0);
    let many = seeds.end - seeds.start >= SEEDS;
    for seed in seeds {
        let played = sim::dialogs::play(seed).unwrap_or_else(|what| panic!("{what}"));
        adopted += played.adopted;
        taken_back += played.taken_back;
        lived += played.lived;
    }
    eprintln!("{adopted} adopted, {taken_back} taken back, {lived} lived");
    assert!(!many || (adopted > SEEDS && taken_back > SEEDS / 4 && lived > SEEDS / 4));
}
