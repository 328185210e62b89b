//! `cordctl apply`: hands files to the cluster as they are. Never reads YAML: every client gets the same errors.

use proto::v1::{ApplyRequest, DocumentChange, DocumentError, SourceFile};
use serde::Serialize;

use crate::{
    cluster::{Admin, Cluster, by},
    failure::Failure,
    output::{Format, Output, clean, plain, word},
};

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

pub(super) async fn run(
    files: Vec<SourceFile>,
    dry_run: bool,
    cluster: &mut Cluster,
    output: Output,
) -> Result<String, Failure> {
    let rpc = async |admin: &mut Admin, request| admin.apply(request).await;
    let answer = cluster.ask("apply", ApplyRequest { files, dry_run, by: by() }, rpc).await?;
    let lines: Vec<String> = answer.errors.iter().map(|error| clean(&documents::line(error))).collect();
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
