//! `cordctl simulate`: what recorded days would have been like under another policy or with other staff. The same input and
//! seed print the same bytes; changes nothing anywhere.

mod policy;
mod recorded;
mod view;

use people::whatif::{self, Replay, Report};

use super::{files, stats::now_ms};
use crate::{
    args::Simulate,
    cluster::Cluster,
    failure::Failure,
    output::Output,
    times::{Moment, in_utc},
};
use policy::Policies;
use recorded::Recorded;

/// After the last record, so that who waits then can still be served or give up.
const AFTER_MS: u64 = 3_600_000;
/// With `--live`.
const SINCE_DEFAULT: Moment = Moment::Ago(24 * 3_600_000);

pub(super) async fn run(
    asked: Simulate,
    cluster: impl Fn() -> Result<Cluster, Failure>,
    output: Output,
) -> Result<String, Failure> {
    let paths = || asked.policy.iter().chain(&asked.base).chain(&asked.agents_from).chain(&asked.from);
    if paths().filter(|path| files::is_stdin(path)).count() > 1 {
        return Err(Failure::Usage("simulate: stdin (-) can be read only once".to_owned()));
    }
    let base = if asked.base.is_empty() {
        policy::present(&mut cluster()?).await?
    } else {
        policy::checked(&[], &files::read("simulate", &asked.base)?)?
    };
    let changes = files::read("simulate", &asked.policy)?;
    let staff = files::read("simulate", &asked.agents_from)?;
    let policies = policy::both(base, &changes, &staff)?;
    let since = asked.since.or(asked.live.then_some(SINCE_DEFAULT)).map(|since| since.resolve(now_ms()));
    let recorded = match &asked.from {
        Some(path) => recorded::from_lines(path, since)?,
        None => recorded::from_cluster(&mut cluster()?, since).await?,
    };
    let outcome = play(policies, &recorded, asked.seed)?;
    output.show(&view::View::of(&outcome, &recorded, asked.seed), |page| {
        view::draw(page, &outcome, &recorded, asked.seed)
    })
}

/// Both runs.
struct Outcome {
    before: Report,
    after: Report,
    /// What was taken for granted, in sentences.
    assumed: Vec<String>,
}

fn play(policies: Policies, recorded: &Recorded, seed: u64) -> Result<Outcome, Failure> {
    if recorded.calls.is_empty() {
        let why =
            "simulate: no call is among the records, so there is nothing to compare; give records of a longer time";
        return Err(Failure::Usage(why.to_owned()));
    }
    let Policies { before, after } = policies;
    let replay = whatif::from_records(&recorded.calls, &recorded.changes);
    let horizon = replay.until_ms.saturating_add(AFTER_MS);
    let renewed = replay.clone().with_newcomers(&before, &after);
    let assumed = assumed(&replay, &renewed, recorded);
    let run = |name: &str, documents, replay: Replay| {
        whatif::run(documents, replay.plan, seed, horizon)
            .map_err(|rejection| Failure::InvalidPolicy(vec![format!("the {name} policy: {rejection}")]))
    };
    let before = run("present", before, replay)?;
    let after = run("new", after, renewed)?;
    Ok(Outcome { before, after, assumed })
}

fn assumed(replay: &Replay, renewed: &Replay, recorded: &Recorded) -> Vec<String> {
    let answered = recorded.calls.iter().filter(|call| call.answered_ms > 0).count();
    let abandoned = recorded.calls.iter().filter(|call| call.outcome == whatif::CallOutcome::Abandoned).count();
    let (from, until) = (in_utc(replay.from_ms), in_utc(replay.until_ms));
    let newcomers: Vec<&str> =
        renewed.plan.workers[replay.plan.workers.len()..].iter().map(|worker| worker.name.as_str()).collect();
    let mut assumed = vec![
        format!(
            "{} calls to {} numbers and {} agents, recorded from {from} to {until}; calls come when they came",
            recorded.calls.len(),
            replay.plan.lines.len(),
            replay.plan.workers.len(),
        ),
        format!(
            "patience: the {abandoned} who abandoned leave after as long as they did; the others are more patient than \
             they had to be, by a Kaplan-Meier curve for each number"
        ),
        format!(
            "talk times: as recorded for the {answered} who were answered; the others draw from those of their number"
        ),
        "repeat calls: a call within an hour after one in vain comes only if that one is in vain again; nobody else \
         rings again"
            .to_owned(),
        "agents: at work, on breaks and as quick to answer as recorded; whoever is at work at the last record goes home \
         then; wrap-up is the policy's"
            .to_owned(),
        "not acted out: transfers, holds, keys that callers press, callbacks; an external chooser is silent".to_owned(),
        format!("both runs go on for {} minutes after the last record, with the same dice", AFTER_MS / 60_000),
    ];
    if !newcomers.is_empty() {
        let names = shown(&newcomers);
        assumed.push(format!("agents who are not in the records work all the time: {names}"));
    }
    if recorded.repeated > 0 {
        assumed.push(format!("{} records were there twice and count once", recorded.repeated));
    }
    if recorded.pruned {
        assumed.push("the cluster no longer has the oldest of these records".to_owned());
    }
    assumed
}

/// The first ones by name, the others counted.
fn shown(names: &[&str]) -> String {
    const SHOWN_MAX: usize = 10;
    let more = names.len().saturating_sub(SHOWN_MAX);
    let first = names.get(..SHOWN_MAX).unwrap_or(names).join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}
