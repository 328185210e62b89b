//! Power cuts of the real store: a process works on its disk under a shim that writes down what it does; then, for many
//! moments of its life, the disk is looked at as a power cut of that moment would have left it.

#[path = "power/journal.rs"]
mod journal;
#[path = "power/life.rs"]
mod life;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use fastrand::Rng;

use journal::{Disk, Step};
use life::{Life, Promised};

/// In the process that is cut off: works on its disk and ends, and never comes back to the test that it was started as.
fn be_cut_off_if_asked() {
    let Some(folder) = std::env::var_os("POWER_DIR") else { return };
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(if cluster::is_disk_panic(panic) { 74 } else { 101 });
    }));
    let (seed, rounds) = (setting("POWER_SEED", 0), setting("POWER_ROUNDS", 0));
    let mut told = |line: String| {
        // In one write each, for a cut may come between two.
        let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
    };
    let lived = Life::begin(Path::new(&folder))
        .and_then(|mut life| life.live(rounds as u32, &mut Rng::with_seed(seed), &mut told));
    if let Err(error) = lived {
        eprintln!("{error}");
        // As a node does.
        std::process::exit(74);
    }
    std::process::exit(0);
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

/// In memory where there is such a place: what is durable is the journal's to say.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

/// How often the disk is used, and what else is wrong with it.
struct Day {
    rounds: u64,
    seed: u64,
    fault: Option<(&'static str, String)>,
}

/// Starts the first test as a process of its own on a disk, under the shim, where it is the one that is cut off.
fn run(folder: &Path, shim: &Path, day: &Day) -> (Output, Vec<Step>) {
    let journal = folder.join("journal");
    let _ = fs::remove_file(&journal);
    let mut command = Command::new(std::env::current_exe().expect("a test has a name"));
    command.args(["--exact", "nothing_acknowledged_is_lost_by_a_power_cut", "--nocapture", "--test-threads=1"]);
    command.env("POWER_SEED", day.seed.to_string()).env("POWER_ROUNDS", day.rounds.to_string());
    journal::watch(&mut command, shim, &folder.join("disk"), &journal);
    command.envs(day.fault.iter().map(|(name, value)| (name, value)));
    let output = command.output().expect("it starts");
    (output, journal::read(&journal).expect("a journal"))
}

/// Moments before which the power goes: some anywhere, some just before and after something was made durable.
fn moments(steps: &[Step], count: u64, dice: &mut Rng) -> Vec<usize> {
    let syncs: Vec<usize> = (0..steps.len()).filter(|at| steps[*at].is_sync()).collect();
    let mut moments: Vec<usize> = (0..count as usize)
        .map(|number| match number % 3 {
            0 => dice.usize(..=steps.len()),
            after => syncs[dice.usize(..syncs.len())] + after - 1,
        })
        .collect();
    moments.sort_unstable();
    moments
}

/// A disk that lives on through power cuts: each generation works on what the last cut of the one before has left, and is
/// looked at as of many moments. What was wrong, if anything.
fn cuts(seed: u64, lies: bool) -> Result<u64, String> {
    let folder = folder();
    let shim = journal::build_shim(folder.path());
    let (disk_path, image) = (folder.path().join("disk"), folder.path().join("image"));
    let mut dice = Rng::with_seed(seed);
    let (mut promised, mut done, mut on_the_way) = (Promised::default(), 0, 0);
    for generation in 0..setting("POWER_GENERATIONS", 2) {
        fs::create_dir_all(&disk_path).expect("a folder");
        let mut disk = Disk::of(&disk_path).expect("readable");
        let fault = lies.then(|| ("POWER_LIES", "2".to_owned()));
        let day = Day { rounds: setting("POWER_ROUNDS", 120), seed: dice.u64(..), fault };
        let (output, steps) = run(folder.path(), &shim, &day);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "seed {seed}, generation {generation}: {said}");
        assert!(steps.iter().filter(|step| step.is_sync()).count() > 100, "the shim sees what is synced");
        let mut at = 0;
        for (number, moment) in moments(&steps, setting("POWER_CUTS", 50), &mut dice).into_iter().enumerate() {
            for step in &steps[at..moment] {
                disk.take(step);
                step.mark().into_iter().for_each(|words| promised.hear(words));
            }
            at = moment;
            let _ = fs::remove_dir_all(&image);
            on_the_way += usize::from(disk.unsynced() > 0);
            let mercy = [0.0, 0.5, 0.9, 1.0][number % 4];
            disk.cut(&image, mercy, &mut dice).expect("written");
            let wrong = |error| format!("seed {seed}, generation {generation}, step {moment}, mercy {mercy}: {error}");
            promised.check(&image).map_err(wrong)?;
            done += 1;
        }
        // The next life begins with what the last cut has left.
        fs::remove_dir_all(&disk_path).expect("removed");
        fs::rename(&image, &disk_path).expect("renamed");
    }
    assert!(on_the_way > 0, "the power went while something was on its way to the disk");
    Ok(done)
}

/// More of it: `POWER_SEED=7 POWER_SEEDS=100 POWER_GENERATIONS=4 POWER_ROUNDS=500 POWER_CUTS=300`.
#[test]
fn nothing_acknowledged_is_lost_by_a_power_cut() {
    be_cut_off_if_asked();
    let first = setting("POWER_SEED", 0);
    for seed in first..first + setting("POWER_SEEDS", 3) {
        let done = cuts(seed, false).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(done, setting("POWER_GENERATIONS", 2) * setting("POWER_CUTS", 50));
    }
}

#[test]
fn a_disk_that_does_not_sync_what_it_says_is_found_out() {
    let wrong = cuts(1, true).expect_err("every second sync is a lie");
    assert!(wrong.contains("acknowledged") || wrong.contains("life") || wrong.contains("remembered"), "{wrong}");
}

/// Whoever says that something failed says it with 74 and an explanation; what was promised before is there afterwards, on
/// the disk as it stands and after a power cut on top.
fn fails(kind: &str, errno: i32, count: usize) {
    let folder = folder();
    let shim = journal::build_shim(folder.path());
    let disk_path = folder.path().join("disk");
    let mut dice = Rng::with_seed(5);
    let begin = || {
        let _ = fs::remove_dir_all(&disk_path);
        fs::create_dir_all(&disk_path).expect("a folder");
    };
    let day = |fault| Day { rounds: 15, seed: 5, fault };
    begin();
    let (output, steps) = run(folder.path(), &shim, &day(None));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let calls = steps.iter().filter(|step| if kind == "sync" { step.is_sync() } else { step.is_write() }).count();
    for number in 0..count {
        // The first ones are those of a disk that begins.
        let at = if number < count.min(24) / 4 { number * 2 + 1 } else { dice.usize(1..calls * 9 / 10) };
        begin();
        let fault = Some(("POWER_FAIL", format!("{kind}:{at}:{errno}")));
        let (output, steps) = run(folder.path(), &shim, &day(fault));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(74), "{kind} {at} of {calls}: {said}");
        assert!(!said.trim().is_empty(), "it says why");
        let (mut promised, mut disk) = (Promised::default(), Disk::of(Path::new("/nowhere")).expect("empty"));
        for step in &steps {
            disk.take(step);
            step.mark().into_iter().for_each(|words| promised.hear(words));
        }
        let image = folder.path().join("image");
        let _ = fs::remove_dir_all(&image);
        disk.cut(&image, [0.0, 0.5][number % 2], &mut dice).expect("written");
        for left in [&image, &disk_path] {
            promised.check(left).unwrap_or_else(|wrong| panic!("{kind} {at}, {}: {wrong}", left.display()));
        }
    }
}

#[test]
fn a_failed_fsync_ends_the_node_and_nothing_acknowledged_is_lost() {
    const EIO: i32 = 5;
    fails("sync", EIO, setting("POWER_FAULTS", 24) as usize);
}

#[test]
fn a_full_disk_ends_the_node_and_nothing_acknowledged_is_lost() {
    const ENOSPC: i32 = 28;
    fails("write", ENOSPC, setting("POWER_FAULTS", 24) as usize);
}
