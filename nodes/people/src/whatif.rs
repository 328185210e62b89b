//! What-if: one bare shard in virtual time, with people before it; never a network, a log or a second replica.
//!
//! The same documents, plan and seed give the byte-equal [`Report`]. Callers are the same under every policy (see the
//! crate's first page), so [`compare`] shows what the policy does.

mod command;
mod records;
mod report;
mod run;
mod survival;
mod table;
mod tally;
mod terms;

/// What this module's functions take and give, so that whoever asks what-if needs nothing else of `acd`.
pub use acd::{CallOutcome, Document, Rejection};
pub use records::{REPEAT_MS, RecordedCall, RecordedChange, Replay, from_records};
pub use report::{AgentFigures, Figures, Report};
pub use run::{run, run_watched};
pub use survival::kaplan_meier;
pub use table::{Row, Table, compare};
pub use terms::Terms;
