//! What was recorded, as far as a what-if needs it: calls and changes of agents, from lines or from the cluster. What makes
//! no sense is refused with its line; decides nothing about people.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

use people::whatif::{CallOutcome, RecordedCall, RecordedChange};
use serde::Deserialize;

use crate::{
    cluster::Cluster,
    commands::{files::is_stdin, stream::Records},
    failure::{Failure, counted},
    output::clean,
    records::{Activity, Ended, Outcome, What, Written},
};

/// Bytes of one line.
pub(super) const LINE_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes of all lines together.
pub(super) const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Calls and changes of agents together.
pub(super) const RECORDS_MAX: usize = 5_000_000;
/// Between the first and the last: a year and a day.
pub(super) const SPAN_MS_MAX: u64 = 366 * 86_400_000;
/// 2100-01-01: what is said to be later is a mistake.
pub(super) const TIME_MS_MAX: u64 = 4_102_444_800_000;
/// Broken lines that are shown; looking for more is of no use.
pub(super) const ERRORS_MAX: usize = 20;

/// Records in the order in which they were read.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) calls: Vec<RecordedCall>,
    pub(super) changes: Vec<RecordedChange>,
    /// Read more than once.
    pub(super) repeated: u64,
    /// Older ones are gone.
    pub(super) pruned: bool,
    /// Calls by id, offered and ended: an id may come back after years.
    seen: BTreeSet<(u64, u64, u64)>,
}

#[derive(Deserialize)]
struct Line {
    at_ms: u64,
    #[serde(flatten)]
    what: Read,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Read {
    Call(Box<Ended>),
    Agent(Activity),
    #[serde(other)]
    Other,
}

/// From a file of lines as `events` writes them, or stdin.
pub(super) fn from_lines(path: &Path, since_ms: Option<u64>) -> Result<Recorded, Failure> {
    let name = if is_stdin(path) { "stdin".to_owned() } else { path.display().to_string() };
    let unreadable = |error: io::Error| Failure::Usage(format!("simulate: cannot read {name}: {error}"));
    if is_stdin(path) {
        return read(io::stdin().lock(), &name, since_ms);
    }
    let file = File::open(path).map_err(unreadable)?;
    read(BufReader::new(file), &name, since_ms)
}

fn read(mut lines: impl BufRead, name: &str, since_ms: Option<u64>) -> Result<Recorded, Failure> {
    let mut recorded = Recorded::default();
    let mut errors = Vec::new();
    let mut line = Vec::new();
    let (mut number, mut bytes) = (0_u64, 0_u64);
    loop {
        line.clear();
        let read = lines.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line);
        let read = read.map_err(|error| Failure::Usage(format!("simulate: cannot read {name}: {error}")))?;
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        if read == 0 {
            break;
        }
        number += 1;
        bytes = bytes.saturating_add(read);
        if read > LINE_BYTES_MAX {
            errors.push(format!("{name}:{number}: the line has more than {LINE_BYTES_MAX} bytes"));
            break;
        }
        if bytes > FILE_BYTES_MAX {
            return Err(Failure::Usage(format!("simulate: {name}: more than {FILE_BYTES_MAX} bytes of records")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let kept =
            serde_json::from_slice(&line).map_err(|error| unplaced(&error)).and_then(
                |Line { at_ms, what }| match what {
                    Read::Call(ended) => recorded.keep_call(*ended, since_ms),
                    Read::Agent(activity) => recorded.keep_change(at_ms, activity, since_ms),
                    Read::Other => Ok(()),
                },
            );
        if let Err(why) = kept {
            errors.push(clean(&format!("{name}:{number}: {why}")));
        }
        if errors.len() >= ERRORS_MAX {
            errors.push("there may be more; no further line was read".to_owned());
            break;
        }
        recorded.check_count(name)?;
    }
    if !errors.is_empty() {
        let what = "these lines are not records as `cordctl events -o json` writes them";
        return Err(Failure::Usage(format!("simulate: {what}:\n  {}", errors.join("\n  "))));
    }
    recorded.finish(name)
}

/// From the cluster, up to the present.
pub(super) async fn from_cluster(cluster: &mut Cluster, since_ms: Option<u64>) -> Result<Recorded, Failure> {
    let mut records = Records::after("simulate --live", String::new(), &["call", "agent"], false);
    let mut recorded = Recorded::default();
    while let Some(batch) = records.next(cluster).await? {
        recorded.pruned |= batch.pruned;
        for record in batch.records {
            let Written { at_ms, what } = record.into();
            let kept = match what {
                What::Call(ended) => recorded.keep_call(ended, since_ms),
                What::Agent(activity) => recorded.keep_change(at_ms, activity, since_ms),
                What::Decision(_) | What::Transfer(_) | What::Interval(_) | What::Audit(_) | What::Unknown => Ok(()),
            };
            kept.map_err(|why| {
                Failure::Local(format!("simulate: the cluster has a record that makes no sense: {why}"))
            })?;
        }
        recorded.check_count("the cluster")?;
    }
    recorded.finish("the cluster")
}

impl Recorded {
    fn keep_call(&mut self, ended: Ended, since_ms: Option<u64>) -> Result<(), String> {
        let offered_ms = ended.offered_at_ms.ok_or("the call has no offered_at_ms")?;
        let answered_ms = ended.answered_at_ms.unwrap_or(0);
        let ended_ms = ended.ended_at_ms;
        sane(offered_ms)?;
        sane(ended_ms)?;
        let answer_fits = answered_ms == 0 || (offered_ms..=ended_ms).contains(&answered_ms);
        if offered_ms > ended_ms || !answer_fits {
            return Err("offered_at_ms, answered_at_ms and ended_at_ms are not in that order".to_owned());
        }
        let wait_ms = if answered_ms > 0 { answered_ms } else { ended_ms } - offered_ms;
        // A caller who was handed on may have stood in line again.
        let waited_ms = ended.waited_ms.unwrap_or(wait_ms);
        if waited_ms > ended_ms - offered_ms {
            return Err("waited_ms is longer than the call".to_owned());
        }
        let outcome = match ended.outcome {
            Outcome::Completed => CallOutcome::Completed,
            Outcome::Abandoned => CallOutcome::Abandoned,
            Outcome::Refused => CallOutcome::Refused,
            Outcome::Failed => CallOutcome::Failed,
            Outcome::Unknown => return Err("the outcome is unknown".to_owned()),
        };
        if since_ms.is_some_and(|since_ms| offered_ms < since_ms) {
            return Ok(());
        }
        if let Some(call) = ended.call {
            let call = u64::from_str_radix(&call, 16).map_err(|_| "call is not an id of 16 hex digits")?;
            if !self.seen.insert((call, offered_ms, ended_ms)) {
                self.repeated += 1;
                return Ok(());
            }
        }
        self.calls.push(RecordedCall {
            number: ended.number,
            caller: ended.caller,
            offered_ms,
            answered_ms,
            ended_ms,
            outcome,
            agent: ended.agent.unwrap_or_default(),
            waited_ms: waited_ms.min(wait_ms),
        });
        Ok(())
    }

    fn keep_change(&mut self, at: u64, activity: Activity, since_ms: Option<u64>) -> Result<(), String> {
        let Activity { agent, from, to, reason, .. } = activity;
        sane(at)?;
        if since_ms.is_some_and(|since_ms| at < since_ms) {
            return Ok(());
        }
        self.changes.push(RecordedChange { agent, at, from, to, reason: reason.unwrap_or_default() });
        Ok(())
    }

    fn check_count(&self, name: &str) -> Result<(), Failure> {
        if self.calls.len() + self.changes.len() <= RECORDS_MAX {
            return Ok(());
        }
        let allowed = counted(RECORDS_MAX, "record");
        Err(Failure::Usage(format!("simulate: {name} has more than {allowed}; give fewer with --since")))
    }

    fn finish(mut self, name: &str) -> Result<Self, Failure> {
        self.changes.sort_by_key(|change| change.at);
        let (all, mut moment, mut seen) = (self.changes.len(), 0, BTreeSet::new());
        self.changes.retain(|change| {
            if change.at != moment {
                seen.clear();
                moment = change.at;
            }
            seen.insert((change.agent.clone(), change.from.clone(), change.to.clone()))
        });
        self.repeated += u64::try_from(all - self.changes.len()).unwrap_or(u64::MAX);
        self.check_span(name)?;
        Ok(self)
    }

    /// Virtual time is cheap but not free.
    fn check_span(&self, name: &str) -> Result<(), Failure> {
        let calls = self.calls.iter().flat_map(|call| [call.offered_ms, call.ended_ms]);
        let moments = || calls.clone().chain(self.changes.iter().map(|change| change.at));
        let span_ms = moments().max().unwrap_or(0).saturating_sub(moments().min().unwrap_or(0));
        if span_ms <= SPAN_MS_MAX {
            return Ok(());
        }
        let (days, allowed) = (span_ms / 86_400_000, SPAN_MS_MAX / 86_400_000);
        Err(Failure::Usage(format!("simulate: {name} spans {days} days, more than {allowed}; give fewer with --since")))
    }
}

fn sane(ms: u64) -> Result<(), String> {
    if (1..=TIME_MS_MAX).contains(&ms) { Ok(()) } else { Err(format!("{ms} is not a time in Unix milliseconds")) }
}

/// The place within the file is ours to say.
fn unplaced(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((why, _)) => format!("{why} (column {})", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = r#"{"at_ms":9000,"type":"call","call":"01","number":"5000","caller":"101","offered_at_ms":1000,
        "answered_at_ms":4000,"ended_at_ms":9000,"outcome":"completed"}"#;

    fn call() -> String {
        CALL.replace('\n', " ") + "\n"
    }

    fn refused(text: &str) -> String {
        read(text.as_bytes(), "f", None).expect_err(text).to_string()
    }

    #[test]
    fn calls_and_agents_are_enough_and_all_else_is_passed_over() {
        let text = call()
            + "\n"
            + r#"{"at_ms":1,"type":"agent","agent":"anna","from":"ready","to":"reserved","cursor":"x"}"#
            + "\n"
            + r#"{"at_ms":1,"type":"a-thing-of-tomorrow","with":{"much":[1]}}"#;
        let recorded = read(text.as_bytes(), "f", None).expect("records");
        assert_eq!((recorded.calls.len(), recorded.changes.len(), recorded.repeated), (1, 1, 0));
        assert_eq!((recorded.calls[0].waited_ms, recorded.calls[0].outcome), (3_000, CallOutcome::Completed));
    }

    #[test]
    fn what_was_read_twice_counts_once() {
        let change = r#"{"at_ms":1,"type":"agent","agent":"anna","from":"ready","to":"reserved"}"#.to_owned() + "\n";
        let later = change.replace(":1,", ":2,");
        let all = call() + &change + &later + &call() + &change;
        let recorded = read(all.as_bytes(), "f", None).expect("records");
        assert_eq!((recorded.calls.len(), recorded.changes.len(), recorded.repeated), (1, 2, 2));
    }

    #[test]
    fn what_came_before_since_is_left_out() {
        assert!(read(call().as_bytes(), "f", Some(1_001)).expect("records").calls.is_empty());
        assert_eq!(read(call().as_bytes(), "f", Some(1_000)).expect("records").calls.len(), 1);
    }

    #[test]
    fn a_broken_line_is_named_with_what_is_wrong_with_it() {
        let second = |line: &str| refused(&(call() + line + "\n"));
        assert!(second("nonsense").contains("f:2: expected"), "{}", second("nonsense"));
        assert!(second(r#"{"at_ms":1}"#).contains("f:2: missing field `type`"));
        assert!(second(r#"{"at_ms":1,"type":"agent","from":"a","to":"b"}"#).contains("f:2: missing field `agent`"));
        let changed = |from: &str, to: &str| second(call().replace(from, to).trim());
        assert!(changed("\"completed\"", "\"great\"").contains("f:2: unknown variant `great`"));
        assert!(changed("4000", "9001").contains("f:2: offered_at_ms, answered_at_ms and ended_at_ms are not in that"));
        assert!(changed("1000", "-5").contains("f:2: "));
        assert!(changed("9000,\"outcome", "99999999999999,\"outcome").contains("is not a time"));
        assert!(changed("\"outcome", "\"waited_ms\":8001,\"outcome").contains("longer than the call"));
        assert!(changed("\"offered_at_ms\":1000,", "").contains("no offered_at_ms"));
    }

    #[test]
    fn a_file_of_nothing_but_errors_or_of_one_endless_line_ends_soon() {
        let said = refused(&"{\n".repeat(1_000_000));
        assert_eq!(said.lines().count(), 1 + ERRORS_MAX + 1, "{said}");
        let endless = io::repeat(b'x');
        let said = read(BufReader::new(endless), "f", None).expect_err("no end").to_string();
        assert!(said.contains("f:1: the line has more than"), "{said}");
    }

    #[test]
    fn records_of_two_centuries_are_a_mistake() {
        let late = call().replace("9000,\"outcome", "4000000000000,\"outcome");
        assert!(refused(&late).contains("spans 46296 days, more than 366"));
    }
}
