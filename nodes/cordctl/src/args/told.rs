//! The command line of what was counted and written down: stats, events, what-if. Does nothing.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::{
    counts::DEFINITIONS,
    times::{Moment, moment},
};

/// What was counted.
#[derive(Debug, Args)]
#[command(after_help = DEFINITIONS)]
pub struct Stats {
    /// Of what.
    #[arg(value_enum, ignore_case = true)]
    pub subject: Subject,
    /// Only the one with this name.
    pub name: Option<String>,
    /// From when on: RFC 3339 (2026-05-04T09:00:00Z), or so long ago (-2h) [default: the present day, in UTC].
    #[arg(long, value_name = "WHEN", value_parser = moment, allow_hyphen_values = true)]
    pub from: Option<Moment>,
    /// Up to when, likewise [default: now].
    #[arg(long, value_name = "WHEN", value_parser = moment, allow_hyphen_values = true)]
    pub until: Option<Moment>,
    /// One row an interval instead of one for the whole time.
    #[arg(long)]
    pub intervals: bool,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// By queue.
    #[value(alias = "queues")]
    Queue,
    /// By agent.
    #[value(alias = "agents")]
    Agent,
    /// By the number that was dialled.
    #[value(alias = "numbers")]
    Number,
}

/// What is written down.
#[derive(Debug, Args)]
pub struct Events {
    /// Go on after this cursor [default: from the oldest record there is].
    #[arg(long, conflicts_with = "cursor_file")]
    pub cursor: Option<String>,
    /// Go on after the cursor in this file, and keep the new one there after each batch that was written out.
    #[arg(long, value_name = "FILE")]
    pub cursor_file: Option<PathBuf>,
    /// Only these kinds [default: all].
    #[arg(long, value_enum, value_delimiter = ',', ignore_case = true)]
    pub kind: Vec<RecordKind>,
    /// Go on when the end is reached.
    #[arg(long)]
    pub follow: bool,
}

/// The kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RecordKind {
    /// A call ended.
    Call,
    /// An agent changed state.
    Agent,
    /// A call was offered.
    Decision,
    /// An interval was counted.
    Interval,
    /// A transfer was concluded.
    Transfer,
    /// Somebody changed something.
    Audit,
}

/// Who changed what.
#[derive(Debug, Args)]
pub struct Audit {
    /// Only what came after the record of this number.
    #[arg(long, default_value_t = 0)]
    pub after: u64,
    /// At most so many records, the latest ones; 0 is as many as the directory keeps.
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// Count every hash again, over all records that are kept: one that was changed, added or taken out is found.
    #[arg(long, conflicts_with_all = ["after", "limit"])]
    pub verify: bool,
}

/// What-if.
#[derive(Debug, Args)]
pub struct Simulate {
    /// The documents that would be applied: files, directories (their *.yaml and *.yml), or - for stdin.
    #[arg(long, num_args = 1.., value_name = "FILE", required_unless_present = "agents_from")]
    pub policy: Vec<PathBuf>,
    /// What they are compared with, and applied to [default: the cluster's present documents].
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub base: Vec<PathBuf>,
    /// The agents of these files instead of all others are the new staff.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub agents_from: Vec<PathBuf>,
    /// What was recorded: lines as `cordctl events -o json` writes them (calls and agents are enough), or - for stdin.
    #[arg(long, value_name = "RECORDS", required_unless_present = "live", conflicts_with = "live")]
    pub from: Option<PathBuf>,
    /// Read the records from the cluster instead.
    #[arg(long)]
    pub live: bool,
    /// Only what was recorded since: RFC 3339, or so long ago (-24h) [default: with --live -24h, else everything].
    #[arg(long, value_name = "WHEN", value_parser = moment, allow_hyphen_values = true)]
    pub since: Option<Moment>,
    /// What the dice throw; the same seed and input give the same answer.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}
