//! `cordctl events`: everything that is written down, as lines. The cursor is kept only after the lines are out, so that
//! whoever starts again goes on where the lines end.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use proto::v1::{Record, RecordBatch};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::stream::Records;
use crate::{
    args::{Events, RecordKind},
    cluster::Cluster,
    failure::Failure,
    output::{Format, clean, given, json_line, time_of_day},
    records::Written,
};

/// It names each shard.
const CURSOR_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Serialize)]
struct Line {
    /// On the last line of a batch: what to go on after.
    cursor: Option<String>,
    /// Records before this one were pruned and are missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    after_gap: bool,
    /// Whose it is; left out for the main tenant, as earlier releases did.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(flatten)]
    written: Written,
}

impl RecordKind {
    fn word(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Agent => "agent",
            Self::Decision => "decision",
            Self::Interval => "interval",
            Self::Transfer => "transfer",
            Self::Audit => "audit",
        }
    }
}

pub(super) async fn run(asked: Events, cluster: &mut Cluster, format: Format) -> Result<String, Failure> {
    if format == Format::Yaml {
        return Err(Failure::Usage("events: lines are JSON (-o json) or for people (-o table)".to_owned()));
    }
    let kept = asked.cursor_file.map(Kept);
    let cursor = match &kept {
        Some(kept) => kept.read()?,
        None => asked.cursor.unwrap_or_default(),
    };
    let kinds: Vec<&str> = asked.kind.into_iter().map(RecordKind::word).collect();
    let mut records = Records::after("events", cursor, &kinds, asked.follow);
    let unheard = |error: io::Error| Failure::Local(format!("events: cannot listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
    let mut gap = false;
    loop {
        // A signal ends it between batches, never within one.
        let batch = tokio::select! {
            batch = records.next(cluster) => batch?,
            _ = interrupt.recv() => None,
            _ = terminate.recv() => None,
        };
        let Some(batch) = batch else { return Ok(String::new()) };
        if batch.pruned {
            gap = true;
            eprintln!(
                "cordctl: events: records after the cursor were pruned before they could be read: there is a gap"
            );
        }
        let cursor = batch.cursor.clone();
        let text = lines(batch, format, &mut gap)?;
        match put(&text) {
            Ok(()) => {}
            // Who reads has gone away: what they did not take is not theirs.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(String::new()),
            Err(error) => return Err(Failure::Local(format!("events: cannot write to stdout: {error}"))),
        }
        if let (Some(kept), false) = (&kept, cursor.is_empty()) {
            kept.write(&cursor)?;
        }
    }
}

fn lines(batch: RecordBatch, format: Format, gap: &mut bool) -> Result<String, Failure> {
    let mut text = String::new();
    let last = batch.records.len().saturating_sub(1);
    for (at, record) in batch.records.into_iter().enumerate() {
        let cursor = (at == last).then(|| batch.cursor.clone()).and_then(given);
        match format {
            Format::Table | Format::Yaml => tell(record, &mut text),
            Format::Json => {
                let tenant = given(record.tenant.clone());
                let line = Line { cursor, after_gap: *gap, tenant, written: record.into() };
                text.push_str(&json_line(&line)?);
                text.push('\n');
            }
        }
        *gap = false;
    }
    Ok(text)
}

fn tell(record: Record, text: &mut String) {
    let whose = given(record.tenant.clone()).map(|tenant| format!("{tenant}: ")).unwrap_or_default();
    let Written { at_ms, what } = record.into();
    let call = what.call().unwrap_or("-").to_owned();
    for (at, line) in what.words().into_iter().enumerate() {
        let (head, whose) = match at {
            0 => (format!("{}  {call:16}", time_of_day(at_ms)), whose.as_str()),
            _ => (" ".repeat(30), ""),
        };
        text.push_str(&clean(&format!("{head}  {whose}{line}")));
        text.push('\n');
    }
}

/// All of it, as far as this machine can promise: a file is synced, for the cursor must not get ahead of it.
fn put(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    let file = File::from(stdout.as_fd().try_clone_to_owned()?);
    if file.metadata()?.is_file() {
        file.sync_data()?;
    }
    Ok(())
}

/// The file that keeps the cursor: whole at any moment, the former or the next one.
struct Kept(PathBuf);

impl Kept {
    /// Empty when there is no file yet.
    fn read(&self) -> Result<String, Failure> {
        let name = self.0.display();
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(Failure::Usage(format!("events: cannot read {name}: {error}"))),
        };
        let mut text = String::new();
        let read = file.take(CURSOR_BYTES_MAX + 1).read_to_string(&mut text);
        let read = read.map_err(|error| Failure::Usage(format!("events: cannot read {name}: {error}")))?;
        if u64::try_from(read).unwrap_or(u64::MAX) > CURSOR_BYTES_MAX {
            return Err(Failure::Usage(format!(
                "events: {name} is no cursor: it has more than {CURSOR_BYTES_MAX} bytes"
            )));
        }
        Ok(text.trim().to_owned())
    }

    fn write(&self, cursor: &str) -> Result<(), Failure> {
        self.replace(cursor)
            .map_err(|error| Failure::Local(format!("events: cannot keep the cursor in {}: {error}", self.0.display())))
    }

    fn replace(&self, cursor: &str) -> io::Result<()> {
        let mut temporary = self.0.clone().into_os_string();
        temporary.push(".next");
        let temporary = PathBuf::from(temporary);
        let mut file = File::create(&temporary)?;
        writeln!(file, "{cursor}")?;
        file.sync_all()?;
        fs::rename(&temporary, &self.0)?;
        // The rename itself is only there for sure once its directory is.
        let dir = self.0.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    }
}
