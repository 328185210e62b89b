//! `make faults`: every fault on one site under load, then a schedule by dice. Its last line says what held. Never tries a
//! thing twice: what fails once has failed.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use tests::faults::{
    scenarios::{ALL, Scenario, leaders, upgrades},
    schedule::Schedule,
    site::Binaries,
    story::{Load, Story},
};

const USAGE: &str =
    "faults [--only NAME]... [--skip NAME]... [--seed N] [--random N] [--minutes N] [--rate N] [--waiting N]
     [--former FILE] [--list]
  --only NAME    these scenarios and no schedule; may be given again
  --skip NAME    for a machine on which this fault cannot be made
  --seed N       of the schedule by dice; with it alone only the schedule is played
  --random N     how many faults the schedule has [10]
  --minutes N    a schedule that lasts so long (soak)
  --former FILE  only: from this binary of a former release to the present one, under load
  --rate N       calls a second over each gateway [5]
  --waiting N    callers in line [20]";

fn main() -> anyhow::Result<()> {
    let (mut only, mut skip) = (Vec::new(), Vec::new());
    let mut former: Option<PathBuf> = None;
    let (mut seed, mut random, mut minutes, mut load) = (None, None, None, Load::default());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} wants a value\n{USAGE}"));
        match argument.as_str() {
            "--only" => only.push(value()?),
            "--skip" => skip.push(value()?),
            "--seed" => seed = Some(value()?.parse::<u64>()?),
            "--random" => random = Some(value()?.parse::<usize>()?),
            "--minutes" => minutes = Some(value()?.parse::<u64>()?),
            "--former" => former = Some(PathBuf::from(value()?).canonicalize()?),
            "--rate" => load.rate = value()?.parse()?,
            "--waiting" => load.waiting = value()?.parse()?,
            "--help" => {
                writeln!(std::io::stdout(), "{USAGE}")?;
                return Ok(());
            }
            "--list" => {
                let names: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
                writeln!(std::io::stdout(), "{}", names.join("\n"))?;
                return Ok(());
            }
            _ => bail!("unknown argument {argument}\n{USAGE}"),
        }
    }
    if let Some(former) = former {
        return upgraded(&former, load);
    }
    if let Some(unknown) = only.iter().chain(&skip).find(|name| ALL.iter().all(|known| known.name != name.as_str())) {
        bail!("there is no scenario {unknown}; --list shows them");
    }
    let allowed = |scenario: &&Scenario| !skip.iter().any(|name| name == scenario.name);
    let fixed = seed.is_none() && minutes.is_none() && random.is_none();
    let fixed: Vec<&Scenario> = ALL
        .iter()
        .filter(allowed)
        .filter(|scenario| if only.is_empty() { fixed } else { only.iter().any(|name| name == scenario.name) })
        .collect();
    let dice = only.is_empty().then(|| seed.unwrap_or_else(now));

    let mut story = Story::open(Binaries::own()?, load)?;
    for scenario in fixed {
        story.play(scenario.name, scenario.play)?;
    }
    if let Some(seed) = dice {
        story.say(&format!("seed {seed}"));
        let mut schedule = Schedule::of(seed, ALL.iter().filter(allowed).copied().collect());
        let end = minutes.map(|minutes| Instant::now() + Duration::from_secs(minutes * 60));
        let mut left = random.unwrap_or(if end.is_some() { usize::MAX } else { 10 });
        while left > 0 && end.is_none_or(|end| Instant::now() < end) {
            schedule.play_next(&mut story).with_context(|| format!("seed {seed}"))?;
            left -= 1;
        }
    }
    let proofs = story.close()?;
    writeln!(std::io::stdout(), "{} faults under load, every one proved, every rule held", proofs.len())?;
    Ok(())
}

/// A cluster of the former release becomes one of the present one while everybody calls.
fn upgraded(former: &Path, load: Load) -> anyhow::Result<()> {
    let binaries = Binaries::own()?;
    let next = binaries.cordboard.canonicalize()?;
    let mut story = Story::open(Binaries { cordboard: former.to_owned(), know_papers: false, ..binaries }, load)?;
    story.play("half way and back", |story| upgrades::half_way_and_back(story, former, &next))?;
    story.play("leader killed between releases", leaders::leader_killed)?;
    story.play("all the way", |story| upgrades::all_the_way(story, &next))?;
    story.play("finished", upgrades::finished)?;
    story.play("leader killed after it", leaders::leader_killed)?;
    let proofs = story.close()?;
    writeln!(std::io::stdout(), "{} steps of an upgrade under load, every one proved, every rule held", proofs.len())?;
    Ok(())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
