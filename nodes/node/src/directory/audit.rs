//! Who changed what: records that are numbered and chained here. Decides about nothing else.

use std::collections::VecDeque;

use proto::v1::{Audit, AuditRecord, DirectorySnapshot, Rejection, RejectionCode};

use super::{Directory, refuse};

/// The latest records, oldest first.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Trail {
    latest: VecDeque<AuditRecord>,
    next: u64,
}

impl Trail {
    pub(super) fn save(&self, snapshot: &mut DirectorySnapshot) {
        snapshot.audit = self.latest.iter().cloned().collect();
        snapshot.audit_next = self.next;
    }

    pub(super) fn restore(snapshot: &mut DirectorySnapshot) -> Self {
        Self { latest: std::mem::take(&mut snapshot.audit).into(), next: snapshot.audit_next }
    }
}

impl Directory {
    /// The latest audit records, oldest first.
    pub fn audit(&self) -> impl Iterator<Item = &AuditRecord> {
        self.audit.latest.iter()
    }

    pub(super) fn write_audit(&mut self, audit: Audit) -> Result<(), Rejection> {
        let _ = audit;
        Err(refuse(RejectionCode::Invalid, "not yet"))
    }
}
