//! Two reports side by side, for people; never a judgement which is better.

use std::fmt;

use super::report::{Figures, Report};

/// Rows of two columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// In the order of reading.
    pub rows: Vec<Row>,
}

/// One figure of both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `all`, or the queue.
    pub subject: String,
    /// What, with its unit.
    pub figure: &'static str,
    /// Of the first report; `-` when there is none.
    pub before: String,
    /// Of the second.
    pub after: String,
}

/// Puts two reports side by side: the whole, then queue by queue, those of either.
pub fn compare(before: &Report, after: &Report) -> Table {
    let mut table = Table::default();
    table.put_figures("all", Some(&before.whole), Some(&after.whole));
    let mut put = |figure, of: fn(&Report) -> Option<u64>, show: fn(u64) -> String| {
        table.put("all", figure, of(before).map(show), of(after).map(show));
    };
    put("occupancy, %", Report::occupancy_permille, tenths);
    put("agents signed in", |report| Some(report.agents.len() as u64), |count| count.to_string());
    put("calls per agent", Report::calls_per_agent_permille, thousandths);
    put("fairness, Gini of occupancy (0 is even)", Report::gini_permille, thousandths);
    put("places lost", |report| Some(report.places_lost), |count| count.to_string());
    let mut names: Vec<&String> = before.queues.iter().chain(&after.queues).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let of = |report: &Report| report.queues.iter().find(|(queue, _)| queue == name).map(|(_, figures)| *figures);
        table.put_figures(name, of(before).as_ref(), of(after).as_ref());
        let mut put = |figure, of: fn(&Report, &str) -> Option<u64>, show: fn(u64) -> String| {
            table.put(name, figure, of(before, name).map(show), of(after, name).map(show));
        };
        put("occupancy of its agents, %", Report::occupancy_of_permille, tenths);
        put("fairness among its agents", Report::gini_of_permille, thousandths);
    }
    table
}

impl Table {
    fn put(&mut self, subject: &str, figure: &'static str, before: Option<String>, after: Option<String>) {
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        self.rows.push(Row { subject: subject.to_owned(), figure, before: text(before), after: text(after) });
    }

    fn put_figures(&mut self, subject: &str, before: Option<&Figures>, after: Option<&Figures>) {
        let mut put = |figure, of: fn(&Figures) -> Option<u64>, show: fn(u64) -> String| {
            self.put(subject, figure, before.and_then(of).map(show), after.and_then(of).map(show));
        };
        let count = |count: u64| count.to_string();
        put("offered", |figures| Some(figures.offered), count);
        put("answered", |figures| Some(figures.answered), count);
        put("abandoned", |figures| Some(figures.abandoned), count);
        put("of these short", |figures| Some(figures.abandoned_short), count);
        put("refused", |figures| Some(figures.refused), count);
        put("failed", |figures| Some(figures.failed), count);
        put("unfinished", |figures| Some(figures.unfinished), count);
        put("service level, %", Figures::service_level_permille, tenths);
        put("average speed of answer, s", Figures::asa_ms, seconds);
        put("longest wait, s", |figures| Some(figures.longest_wait_ms), seconds);
        put("abandonment, %", Figures::abandonment_permille, tenths);
        put("average talk, s", Figures::average_talk_ms, seconds);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = |of: fn(&Row) -> &str| self.rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        let subject = widest(|row| &row.subject).max("queue".len());
        let figure = widest(|row| row.figure).max("figure".len());
        let before = widest(|row| &row.before).max("before".len());
        let after = widest(|row| &row.after).max("after".len());
        writeln!(f, "{:subject$}  {:figure$}  {:>before$}  {:>after$}", "queue", "figure", "before", "after")?;
        for row in &self.rows {
            writeln!(
                f,
                "{:subject$}  {:figure$}  {:>before$}  {:>after$}",
                row.subject, row.figure, row.before, row.after
            )?;
        }
        Ok(())
    }
}

fn tenths(permille: u64) -> String {
    format!("{}.{}", permille / 10, permille % 10)
}

fn thousandths(permille: u64) -> String {
    format!("{}.{:03}", permille / 1000, permille % 1000)
}

fn seconds(ms: u64) -> String {
    tenths((ms + 50) / 100)
}
