//! Where tenants live. Knows no call.

use std::collections::BTreeMap;

use proto::v1::{DirectorySnapshot, MoveTenant, Rejection, RejectionCode, RestoreDirectory, TenantRow};

use super::{Directory, refuse};

/// Rows of tenants, by number.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Tenants {
    rows: BTreeMap<u32, TenantRow>,
}

impl Tenants {
    pub(super) fn save(&self, snapshot: &mut DirectorySnapshot) {
        snapshot.tenants = self.rows.values().cloned().collect();
    }

    pub(super) fn restore(snapshot: &mut DirectorySnapshot) -> Self {
        let rows = std::mem::take(&mut snapshot.tenants);
        Self { rows: rows.into_iter().map(|row| (row.number, row)).collect() }
    }
}

impl Directory {
    /// The tenants, by number.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantRow> {
        self.tenants.rows.values()
    }

    pub(super) fn move_tenant(&mut self, step: &MoveTenant) -> Result<(), Rejection> {
        let _ = step;
        Err(refuse(RejectionCode::Invalid, "not yet"))
    }

    pub(super) fn take_in(&mut self, restore: &RestoreDirectory) -> Result<(), Rejection> {
        let _ = restore;
        Err(refuse(RejectionCode::Invalid, "not yet"))
    }
}
