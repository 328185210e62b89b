//! A what-if on paper: what it assumed, then both runs side by side. Judges nothing.

use people::whatif::{self, AgentFigures, Figures, Report, compare};
use serde::Serialize;

use super::{Outcome, Recorded};
use crate::output::{Page, figure, plain};

#[derive(Serialize)]
pub(super) struct View<'a> {
    seed: u64,
    recorded_calls: usize,
    recorded_changes: usize,
    assumed: &'a [String],
    before: Run<'a>,
    after: Run<'a>,
    /// What the table shows.
    figures: Vec<Row>,
}

#[derive(Serialize)]
struct Run<'a> {
    from_ms: u64,
    until_ms: u64,
    whole: Counted,
    occupancy_permille: Option<u64>,
    /// 0: all agents are equally busy.
    gini_permille: Option<u64>,
    places_lost: u64,
    queues: Vec<Queue<'a>>,
    agents: Vec<Agent<'a>>,
}

#[derive(Serialize)]
struct Queue<'a> {
    name: &'a str,
    #[serde(flatten)]
    counted: Counted,
    occupancy_permille: Option<u64>,
    gini_permille: Option<u64>,
}

#[derive(Serialize)]
struct Counted {
    offered: u64,
    answered: u64,
    within_threshold: u64,
    abandoned: u64,
    abandoned_short: u64,
    refused: u64,
    failed: u64,
    unfinished: u64,
    wait_ms: u64,
    abandon_ms: u64,
    talk_ms: u64,
    longest_wait_ms: u64,
    service_level_permille: Option<u64>,
    asa_ms: Option<u64>,
    average_talk_ms: Option<u64>,
    abandonment_permille: Option<u64>,
}

#[derive(Serialize)]
struct Agent<'a> {
    name: &'a str,
    answered: u64,
    signed_in_ms: u64,
    talk_ms: u64,
    wrap_up_ms: u64,
    ring_ms: u64,
    ready_ms: u64,
    not_ready_ms: u64,
    occupancy_permille: Option<u64>,
}

#[derive(Serialize)]
struct Row {
    subject: String,
    figure: &'static str,
    before: Option<String>,
    after: Option<String>,
}

impl<'a> View<'a> {
    pub(super) fn of(outcome: &'a Outcome, recorded: &Recorded, seed: u64) -> Self {
        let there = |text: String| Some(text).filter(|text| text != "-");
        let rows = compare(&outcome.before, &outcome.after).rows.into_iter();
        let figures = rows.map(|whatif::Row { subject, figure, before, after }| Row {
            subject,
            figure,
            before: there(before),
            after: there(after),
        });
        Self {
            seed,
            recorded_calls: recorded.calls.len(),
            recorded_changes: recorded.changes.len(),
            assumed: &outcome.assumed,
            before: Run::of(&outcome.before),
            after: Run::of(&outcome.after),
            figures: figures.collect(),
        }
    }
}

pub(super) fn draw(page: &mut Page, outcome: &Outcome, recorded: &Recorded, seed: u64) {
    page.line(format_args!("What-if with {} calls, seed {seed}. Assumed:", recorded.calls.len()));
    for assumed in &outcome.assumed {
        page.line(format_args!("  - {assumed}"));
    }
    page.line("");
    let rows = compare(&outcome.before, &outcome.after).rows;
    page.table(
        ["QUEUE", "FIGURE", "BEFORE", "AFTER"],
        rows.into_iter().map(|row| [plain(row.subject), plain(row.figure), figure(row.before), figure(row.after)]),
    );
}

impl<'a> Run<'a> {
    fn of(report: &'a Report) -> Self {
        let queues = report.queues.iter().map(|(name, figures)| Queue {
            name,
            counted: Counted::of(figures),
            occupancy_permille: report.occupancy_of_permille(name),
            gini_permille: report.gini_of_permille(name),
        });
        Self {
            from_ms: report.from_ms,
            until_ms: report.until_ms,
            whole: Counted::of(&report.whole),
            occupancy_permille: report.occupancy_permille(),
            gini_permille: report.gini_permille(),
            places_lost: report.places_lost,
            queues: queues.collect(),
            agents: report.agents.iter().map(Agent::of).collect(),
        }
    }
}

impl Counted {
    fn of(figures: &Figures) -> Self {
        Self {
            offered: figures.offered,
            answered: figures.answered,
            within_threshold: figures.within,
            abandoned: figures.abandoned,
            abandoned_short: figures.abandoned_short,
            refused: figures.refused,
            failed: figures.failed,
            unfinished: figures.unfinished,
            wait_ms: figures.wait_ms,
            abandon_ms: figures.abandon_ms,
            talk_ms: figures.talk_ms,
            longest_wait_ms: figures.longest_wait_ms,
            service_level_permille: figures.service_level_permille(),
            asa_ms: figures.asa_ms(),
            average_talk_ms: figures.average_talk_ms(),
            abandonment_permille: figures.abandonment_permille(),
        }
    }
}

impl<'a> Agent<'a> {
    fn of(agent: &'a AgentFigures) -> Self {
        let AgentFigures { name, calls, signed_in_ms, talk_ms, wrap_up_ms, ring_ms, ready_ms, not_ready_ms } = agent;
        Self {
            name,
            answered: *calls,
            signed_in_ms: *signed_in_ms,
            talk_ms: *talk_ms,
            wrap_up_ms: *wrap_up_ms,
            ring_ms: *ring_ms,
            ready_ms: *ready_ms,
            not_ready_ms: *not_ready_ms,
            occupancy_permille: agent.occupancy_permille(),
        }
    }
}
