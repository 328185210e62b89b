//! `cordctl apply`: hands files to the cluster as they are. Never reads YAML: every client gets the same errors.

use std::{
    env, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use proto::v1::{ApplyRequest, DocumentChange, DocumentError, SourceFile};
use serde::Serialize;

use crate::{
    cluster::{Admin, Cluster},
    failure::{Failure, counted},
    output::{Format, Output, clean, plain, word},
};

/// Bytes of all files together; the server has the same limit.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
const FILES_MAX: usize = 10_000;

#[derive(Serialize)]
struct Reply {
    version: u64,
    dry_run: bool,
    changes: Vec<Change>,
    errors: Vec<Wrong>,
}

#[derive(Serialize)]
struct Change {
    action: String,
    kind: String,
    name: String,
}

#[derive(Serialize)]
struct Wrong {
    file: String,
    line: Option<u32>,
    document: String,
    field: String,
    message: String,
    allowed: String,
}

/// Reads what `-f` names.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<SourceFile>, Failure> {
    let mut files = Vec::new();
    let mut left = BYTES_MAX;
    if paths.iter().filter(|path| is_stdin(path)).count() > 1 {
        return Err(Failure::Usage("apply: stdin (-) can be read only once".to_owned()));
    }
    for path in paths {
        if is_stdin(path) {
            files.push(source("stdin", io::stdin().lock(), &mut left)?);
        } else if path.is_dir() {
            for path in documents_in(path)? {
                files.push(open(&path, &mut left)?);
            }
        } else {
            files.push(open(path, &mut left)?);
        }
    }
    Ok(files)
}

pub(super) async fn run(
    files: Vec<SourceFile>,
    dry_run: bool,
    cluster: &mut Cluster,
    output: Output,
) -> Result<String, Failure> {
    let by = env::var("USER").unwrap_or_else(|_| "cordctl".to_owned());
    let rpc = async |admin: &mut Admin, request| admin.apply(request).await;
    let answer = cluster.ask("apply", ApplyRequest { files, dry_run, by }, rpc).await?;
    let lines: Vec<String> = answer.errors.iter().map(|error| clean(&line(error))).collect();
    let reply = Reply {
        version: answer.version,
        dry_run,
        changes: answer.changes.into_iter().map(Change::from).collect(),
        errors: answer.errors.into_iter().map(Wrong::from).collect(),
    };
    if !lines.is_empty() {
        let data = if output.format == Format::Table { String::new() } else { output.show(&reply, |_| {})? };
        return Err(Failure::Invalid { lines, data });
    }
    eprintln!("{}", summary(&reply));
    output.show(&reply, |page| {
        let changes = reply.changes.iter().filter(|change| change.action != "unchanged");
        page.table(
            ["KIND", "NAME", "CHANGE"],
            changes.map(|change| [plain(&change.kind), plain(&change.name), word(&change.action)]),
        );
    })
}

fn summary(reply: &Reply) -> String {
    let count = |action: &str| reply.changes.iter().filter(|change| change.action == action).count();
    let counts =
        format!("{} created, {} changed, {} unchanged", count("created"), count("changed"), count("unchanged"));
    if reply.dry_run {
        format!("dry run, nothing was changed: {counts}; the present version is {}", reply.version)
    } else {
        format!("applied as version {}: {counts}", reply.version)
    }
}

/// `centre.yaml:12: Queue support: strategy: unknown value "fastest" (allowed: longest-idle)`.
fn line(error: &DocumentError) -> String {
    let mut line = error.file.clone();
    if error.line > 0 {
        line.push_str(&format!(":{}", error.line));
    }
    for part in [&error.document, &error.field, &error.message].into_iter().filter(|part| !part.is_empty()) {
        line.push_str(": ");
        line.push_str(part);
    }
    if !error.allowed.is_empty() {
        line.push_str(&format!(" (allowed: {})", error.allowed));
    }
    line
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn documents_in(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: io::Error| Failure::Usage(format!("apply: cannot read {}: {error}", dir.display()));
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if yaml && path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() || paths.len() > FILES_MAX {
        let found = counted(paths.len(), "file");
        let dir = dir.display();
        return Err(Failure::Usage(format!("apply: {dir} has {found} *.yaml or *.yml; 1 to {FILES_MAX} are needed")));
    }
    paths.sort();
    Ok(paths)
}

fn open(path: &Path, left: &mut u64) -> Result<SourceFile, Failure> {
    let name = path.display().to_string();
    let file = fs::File::open(path).map_err(|error| Failure::Usage(format!("apply: cannot read {name}: {error}")))?;
    source(&name, file, left)
}

fn source(name: &str, from: impl Read, left: &mut u64) -> Result<SourceFile, Failure> {
    let mut text = String::new();
    let read = from
        .take(*left + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::Usage(format!("apply: cannot read {name}: {error}")))?;
    *left = left
        .checked_sub(read.try_into().unwrap_or(u64::MAX))
        .ok_or_else(|| Failure::Usage(format!("apply: {name}: more than {BYTES_MAX} bytes of files")))?;
    Ok(SourceFile { name: name.to_owned(), text })
}

impl From<DocumentChange> for Change {
    fn from(change: DocumentChange) -> Self {
        let DocumentChange { action, kind, name } = change;
        Self { action, kind, name }
    }
}

impl From<DocumentError> for Wrong {
    fn from(error: DocumentError) -> Self {
        let DocumentError { file, line, field, message, allowed, document } = error;
        Self { file, line: Some(line).filter(|line| *line > 0), document, field, message, allowed }
    }
}
