//! Snapshots of a shard's tenants, written in slices while entries go on being applied. A shard with its own tenant alone
//! is written as every release wrote it; another one begins with four bytes that no tenant's state begins with.

use std::{mem, sync::Arc};

use cluster::RestoreError;
use prost::Message as _;
use proto::v1::{TenantState, TenantsSnapshot};

use super::{State, Tenancy, Tenants, arrived, unreadable};

/// Before a snapshot of several tenants.
const MANY: &[u8; 4] = b"CBT1";
/// Rows that one slice of a snapshot writes: a few milliseconds.
const ROWS: usize = 4_096;
/// Small tenants that are written in one slice,
const TENANTS_PER_SLICE: usize = 32;
/// as long as they are no more bytes.
const BYTES_PER_SLICE: usize = 512 << 10;

/// A snapshot that is under way.
#[derive(Debug)]
pub(super) enum Saving {
    /// The shard's own tenant alone.
    Own,
    /// Parts to be written, the next one last, and those that are.
    Many { parts: Vec<Part>, done: Vec<TenantState> },
}

#[derive(Debug)]
pub(super) struct Part {
    row: TenantState,
    source: Source,
}

/// Where a tenant's state is, as it was when the snapshot began.
#[derive(Debug)]
enum Source {
    /// In `row` already.
    Here,
    /// The tenant keeps what it was beside what it is.
    Frozen,
    Sealed(Arc<acd::Shard>),
}

impl Tenants {
    pub(crate) fn begin_save(&mut self) {
        if self.is_plain()
            && let Some(own) = self.own()
        {
            own.begin_save();
            self.saving = Some(Saving::Own);
            return;
        }
        let mut parts = Vec::with_capacity(self.tenancies.len());
        for (&tenant, Tenancy { name, moved, state }) in &mut self.tenancies {
            let row = TenantState { tenant, r#move: *moved, name: name.clone(), ..TenantState::default() };
            parts.push(match state {
                State::Lives(shard) => {
                    shard.begin_save();
                    Part { row, source: Source::Frozen }
                }
                State::Sealed(shard) => {
                    Part { row: TenantState { sealed: true, ..row }, source: Source::Sealed(Arc::clone(shard)) }
                }
                State::Arriving { total, bytes } => {
                    let row = TenantState { arriving_total: *total, state: bytes.clone(), ..row };
                    Part { row, source: Source::Here }
                }
                State::Arrived { bytes, .. } => {
                    let row = TenantState { arriving_total: bytes.len() as u64, state: bytes.clone(), ..row };
                    Part { row, source: Source::Here }
                }
                State::Gone => Part { row: TenantState { gone: true, ..row }, source: Source::Here },
            });
        }
        parts.reverse();
        self.saving = Some(Saving::Many { parts, done: Vec::new() });
    }

    pub(crate) fn save_slice(&mut self) -> Option<Vec<u8>> {
        match self.saving.as_mut()? {
            Saving::Own => {
                let saved = self.own()?.save_slice(ROWS);
                if saved.is_some() {
                    self.saving = None;
                }
                saved
            }
            Saving::Many { parts, done } => {
                let mut bytes = 0;
                for _ in 0..TENANTS_PER_SLICE {
                    let Some(part) = parts.last_mut() else {
                        let snapshot = TenantsSnapshot { tenants: mem::take(done) };
                        self.saving = None;
                        return Some([MANY.as_slice(), &snapshot.encode_to_vec()].concat());
                    };
                    let frozen = self.tenancies.get_mut(&part.row.tenant);
                    if !part.write(frozen) {
                        return None;
                    }
                    bytes += part.row.state.len();
                    done.extend(parts.pop().map(|part| part.row));
                    if bytes > BYTES_PER_SLICE {
                        return None;
                    }
                }
                None
            }
        }
    }

    /// This tenant will not be where a snapshot that is under way looks for it: its part is written now.
    pub(super) fn finish_save_of(&mut self, tenant: u32) {
        let Some(saving) = self.saving.as_mut() else { return };
        let Some(tenancy) = self.tenancies.get_mut(&tenant) else { return };
        if matches!(saving, Saving::Own) {
            // From now on this is a shard of another kind; what was begun is told in the form it was begun in.
            let row = TenantState { tenant, r#move: 0, ..TenantState::default() };
            *saving = Saving::Many { parts: vec![Part { row, source: Source::Frozen }], done: Vec::new() };
        }
        let Saving::Many { parts, .. } = saving else { return };
        if let Some(part) = parts.iter_mut().find(|part| part.row.tenant == tenant) {
            while !part.write(Some(tenancy)) {}
        }
    }

    pub(crate) fn restore(&mut self, data: &[u8]) -> Result<(), RestoreError> {
        let mut tenants = Self::new(self.shard);
        match data.strip_prefix(MANY.as_slice()) {
            None => {
                let state = State::Lives(Box::new(acd::Shard::restore(data).map_err(unreadable)?));
                tenants.tenancies.insert(self.shard, Tenancy { state, ..Tenancy::born() });
            }
            Some(data) => {
                let snapshot = TenantsSnapshot::decode(data).map_err(unreadable)?;
                tenants.tenancies.clear();
                for row in snapshot.tenants {
                    tenants.tenancies.insert(row.tenant, tenancy(row)?);
                }
            }
        }
        *self = tenants;
        Ok(())
    }

    /// Nothing is here that an earlier release could not read.
    fn is_plain(&self) -> bool {
        let own = |(&tenant, tenancy): (&u32, &Tenancy)| {
            tenant == self.shard
                && tenancy.name.is_empty()
                && tenancy.moved == 0
                && matches!(tenancy.state, State::Lives(_))
        };
        self.tenancies.len() == 1 && self.tenancies.iter().all(own)
    }

    fn own(&mut self) -> Option<&mut acd::Shard> {
        match &mut self.tenancies.get_mut(&self.shard)?.state {
            State::Lives(shard) => Some(shard),
            State::Arriving { .. } | State::Arrived { .. } | State::Sealed(_) | State::Gone => None,
        }
    }
}

impl Part {
    /// Writes some of it; true when all of it is.
    fn write(&mut self, tenancy: Option<&mut Tenancy>) -> bool {
        let state = match (&self.source, tenancy) {
            (Source::Here, _) => return true,
            (Source::Sealed(shard), _) => Some(shard.save()),
            (Source::Frozen, Some(Tenancy { state: State::Lives(shard), .. })) => {
                // Of a small tenant the second slice is the last one.
                shard.save_slice(ROWS).or_else(|| shard.save_slice(ROWS))
            }
            // Its part is written before it goes.
            (Source::Frozen, _) => Some(Vec::new()),
        };
        let Some(state) = state else { return false };
        (self.row.state, self.source) = (state, Source::Here);
        true
    }
}

fn tenancy(row: TenantState) -> Result<Tenancy, RestoreError> {
    let TenantState { r#move: moved, sealed, state: bytes, arriving_total: total, gone, name, .. } = row;
    let state = if gone {
        State::Gone
    } else if total > 0 && bytes.len() as u64 == total {
        let crc = crc32fast::hash(&bytes);
        arrived(bytes, crc)
    } else if total > 0 {
        State::Arriving { total, bytes }
    } else {
        let shard = acd::Shard::restore(&bytes).map_err(unreadable)?;
        if sealed { State::Sealed(Arc::new(shard)) } else { State::Lives(Box::new(shard)) }
    };
    Ok(Tenancy { name, moved, state })
}
