//! The two policies of a what-if: the present one, and what it would be after an apply. Applies nothing.

use std::collections::BTreeMap;

use people::whatif;
use proto::v1::{Document, DocumentError, GetDocumentsRequest, SourceFile, document};

use crate::{
    cluster::{Admin, Cluster},
    failure::Failure,
    output::clean,
};

/// As the shard understands them.
pub(super) struct Policies {
    pub(super) before: Vec<whatif::Document>,
    pub(super) after: Vec<whatif::Document>,
}

/// What holds in the cluster.
pub(super) async fn present(cluster: &mut Cluster) -> Result<Vec<Document>, Failure> {
    let rpc = async |admin: &mut Admin, request| admin.get_documents(request).await;
    Ok(cluster.ask("simulate: the present documents", GetDocumentsRequest::default(), rpc).await?.documents)
}

/// What `files` make of the documents there are, or every error that `apply` would list.
pub(super) fn checked(current: &[Document], files: &[SourceFile]) -> Result<Vec<Document>, Failure> {
    let plan = documents::check(current, files).map_err(wrong)?;
    Ok(laid_over(current, plan.upserts))
}

/// The present documents and those after the changes; with `staff` its agents instead of all others.
pub(super) fn both(base: Vec<Document>, changes: &[SourceFile], staff: &[SourceFile]) -> Result<Policies, Failure> {
    let after = if staff.is_empty() {
        checked(&base, changes)?
    } else {
        let (changes, staff) = (documents::parse(changes), documents::parse(staff));
        let (mut incoming, staff) = match (changes, staff) {
            (Ok(changes), Ok(staff)) => (changes, staff),
            (changes, staff) => {
                return Err(wrong([changes.err(), staff.err()].into_iter().flatten().flatten().collect()));
            }
        };
        incoming.retain(|sourced| !is_agent(&sourced.document));
        incoming.extend(staff.into_iter().filter(|sourced| is_agent(&sourced.document)));
        let others: Vec<Document> = base.iter().filter(|document| !is_agent(document)).cloned().collect();
        laid_over(&others, documents::plan(&others, incoming).map_err(wrong)?.upserts)
    };
    Ok(Policies { before: for_shard(base), after: for_shard(after) })
}

fn is_agent(document: &Document) -> bool {
    matches!(document.kind, Some(document::Kind::Agent(_)))
}

/// Each kind and name once, in their order, so that the order of files moves nothing.
fn laid_over(current: &[Document], upserts: Vec<Document>) -> Vec<Document> {
    let all = current.iter().cloned().chain(upserts);
    let named: BTreeMap<_, _> = all.filter_map(|document| Some((documents::key(&document)?, document))).collect();
    named.into_values().collect()
}

/// With the time zones of this release, as the directory would add them.
fn for_shard(documents: Vec<Document>) -> Vec<whatif::Document> {
    let zones = documents::zones(&documents);
    let mut documents = laid_over(&documents, Vec::new());
    documents.retain(|document| !matches!(document.kind, Some(document::Kind::Zone(_))));
    documents.into_iter().chain(zones).filter_map(documents::for_shard).collect()
}

fn wrong(errors: Vec<DocumentError>) -> Failure {
    Failure::InvalidPolicy(errors.iter().map(|error| clean(&documents::line(error))).collect())
}
