//! The tenants of one shard: who lives here, who arrives and who has gone. Part of the machine, so pure: no IO, no clock.
//! It decides nothing about a call, and nothing about where a tenant ought to live; that is the directory's.
//!
//! A tenant moves by four entries: sealed in the shard it leaves, its state in pieces in the other one, an empty last piece
//! with which it lives there, and dropped where it was. Each names the move, and done twice is done once.

mod save;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use cluster::RestoreError;
use proto::v1::{Batch, Command, Configure, DropTenant, InstallTenant, Record, SealTenant, batch, command, document};

use crate::machine::{TenantOutput, apply_batch};
use save::Saving;

/// The tenant that every cluster has, born on the shard of this number.
pub const MAIN: u32 = 1;
/// Its name in documents. Records leave it out.
pub const MAIN_NAME: &str = "main";
/// Below this the tenant of a number is born with the shard of that number; from here on tenants are installed.
pub const INSTALLED_FROM: u32 = 1 << 16;
/// Tenants in one shard, those that have gone included; one more is not installed.
pub const TENANTS_PER_SHARD_MAX: usize = 10_000;
/// Bytes of a tenant's state that can be moved.
pub const STATE_BYTES_MAX: u64 = 1 << 30;

/// All tenants of one shard.
#[derive(Debug)]
pub struct Tenants {
    shard: u32,
    tenancies: BTreeMap<u32, Tenancy>,
    saving: Option<Saving>,
}

/// What a shard has of one tenant.
#[derive(Debug)]
struct Tenancy {
    /// As its configuration says it; empty for the main one.
    name: String,
    /// The last of its moves that this shard knows of.
    moved: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// So many bytes are to come; these have.
    Arriving {
        total: u64,
        bytes: Vec<u8>,
    },
    /// All of it is here and can be read; it may still not come. The bytes are kept to be saved.
    Arrived {
        shard: Box<acd::Shard>,
        bytes: Vec<u8>,
    },
    Lives(Box<acd::Shard>),
    /// Nothing changes any more, so it can be read while other entries are applied.
    Sealed(Arc<acd::Shard>),
    Gone,
}

/// How a tenant stands in a shard, for those who move it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The shard has never heard of it.
    Unknown,
    /// So many bytes of it have come.
    Arriving(u64),
    /// All of it has come, so many bytes, and waits for the word that it lives here.
    Arrived(u64),
    /// It lives here.
    Lives,
    /// It is about to go, and nothing of it changes.
    Sealed,
    /// It lives elsewhere.
    Gone,
}

/// An entry changed where a tenant lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// It lives here from now on.
    Begins,
    /// It does not live here any more, or not for now.
    Ends,
    /// Neither.
    Same,
}

impl Tenants {
    /// A shard at its beginning: the tenant of its own number lives here.
    #[must_use]
    pub fn new(shard: u32) -> Self {
        Self { shard, tenancies: BTreeMap::from([(shard, Tenancy::born())]), saving: None }
    }

    /// The state of a tenant that lives here.
    #[must_use]
    pub fn living(&self, tenant: u32) -> Option<&acd::Shard> {
        match &self.tenancies.get(&tenant)?.state {
            State::Lives(shard) => Some(shard),
            State::Arriving { .. } | State::Arrived { .. } | State::Sealed(_) | State::Gone => None,
        }
    }

    /// The numbers of those who live here, in order.
    pub fn all_living(&self) -> impl Iterator<Item = u32> + '_ {
        self.tenancies.iter().filter(|(_, tenancy)| matches!(tenancy.state, State::Lives(_))).map(|(&tenant, _)| tenant)
    }

    /// The state of a tenant that is about to go, to be copied.
    #[must_use]
    pub fn sealed(&self, tenant: u32) -> Option<Arc<acd::Shard>> {
        match &self.tenancies.get(&tenant)?.state {
            State::Sealed(shard) => Some(Arc::clone(shard)),
            State::Arriving { .. } | State::Arrived { .. } | State::Lives(_) | State::Gone => None,
        }
    }

    /// How a tenant stands here, and the last of its moves that this shard knows.
    #[must_use]
    pub fn standing(&self, tenant: u32) -> (Standing, u64) {
        let Some(tenancy) = self.tenancies.get(&tenant) else { return (Standing::Unknown, 0) };
        let standing = match &tenancy.state {
            State::Arriving { bytes, .. } => Standing::Arriving(bytes.len() as u64),
            State::Arrived { bytes, .. } => Standing::Arrived(bytes.len() as u64),
            State::Lives(_) => Standing::Lives,
            State::Sealed(_) => Standing::Sealed,
            State::Gone => Standing::Gone,
        };
        (standing, tenancy.moved)
    }

    /// Whether anything of a tenant is or was here.
    #[must_use]
    pub fn knows(&self, tenant: u32) -> bool {
        self.tenancies.contains_key(&tenant)
    }

    /// The name in a tenant's records: empty for the main one, and before it is configured.
    #[must_use]
    pub fn name(&self, tenant: u32) -> &str {
        self.tenancies.get(&tenant).map_or("", |tenancy| &tenancy.name)
    }

    /// The latest of the times of all tenants here.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.all_living().filter_map(|tenant| self.living(tenant)).map(acd::Shard::now).max().unwrap_or(0)
    }

    /// Applies one entry.
    pub(crate) fn apply(&mut self, mut batch: Batch) -> TenantOutput {
        let tenant = if batch.tenant == 0 { self.shard } else { batch.tenant };
        if let Some(tenancy) = batch.tenancy.take() {
            let stay = match tenancy {
                batch::Tenancy::Install(piece) => self.install(tenant, piece),
                batch::Tenancy::Seal(SealTenant { r#move }) => self.seal(tenant, r#move),
                batch::Tenancy::Drop(DropTenant { r#move, undo: false }) => self.drop(tenant, r#move),
                batch::Tenancy::Drop(DropTenant { r#move, undo: true }) => self.undo(tenant, r#move),
            };
            return TenantOutput { tenant, stay: Some(stay), ..TenantOutput::default() };
        }
        // Commands for one who does not live here were proposed before it went: nothing is done, and nobody is told.
        let Some(Tenancy { name, state: State::Lives(shard), .. }) = self.tenancies.get_mut(&tenant) else {
            return TenantOutput { tenant, ..TenantOutput::default() };
        };
        if let Some(given) = batch.commands.iter().find_map(|logged| name_in(logged.command.as_ref()?)) {
            given.clone_into(name);
        }
        let mut output = apply_batch(shard, batch);
        output.tenant = tenant;
        output.records.iter_mut().for_each(|record: &mut Record| record.tenant.clone_from(name));
        output
    }

    fn install(&mut self, tenant: u32, piece: InstallTenant) -> Stay {
        let InstallTenant { r#move: moved, offset, bytes_total: total, data, crc, name } = piece;
        if total > STATE_BYTES_MAX || data.len() as u64 > total.saturating_sub(offset) {
            return Stay::Same;
        }
        let known = self.tenancies.len();
        let begins = match self.tenancies.get(&tenant) {
            None => known < TENANTS_PER_SHARD_MAX,
            // Whoever lives here is never overwritten, whatever the move is called.
            Some(Tenancy { state: State::Lives(_) | State::Sealed(_), .. }) => return Stay::Same,
            Some(tenancy) => moved > tenancy.moved,
        };
        if begins && offset == 0 {
            self.finish_save_of(tenant);
            let state = State::Arriving { total, bytes: Vec::new() };
            self.tenancies.insert(tenant, Tenancy { name, moved, state });
        }
        let Some(tenancy) = self.tenancies.get_mut(&tenant).filter(|tenancy| tenancy.moved == moved) else {
            return Stay::Same;
        };
        tenancy.take(total, offset, &data, crc)
    }

    fn seal(&mut self, tenant: u32, moved: u64) -> Stay {
        self.finish_save_of(tenant);
        let Some(tenancy) = self.tenancies.get_mut(&tenant).filter(|tenancy| tenancy.moved < moved) else {
            return Stay::Same;
        };
        match std::mem::replace(&mut tenancy.state, State::Gone) {
            State::Lives(shard) => {
                (tenancy.state, tenancy.moved) = (State::Sealed(Arc::from(shard)), moved);
                Stay::Ends
            }
            other => {
                tenancy.state = other;
                Stay::Same
            }
        }
    }

    /// It lives elsewhere, or what came of it is not wanted. Whoever lives here stays.
    fn drop(&mut self, tenant: u32, moved: u64) -> Stay {
        let full = self.tenancies.len() >= TENANTS_PER_SHARD_MAX;
        match self.tenancies.get_mut(&tenant) {
            None if !full => {
                // A piece that is still on its way must not begin it.
                self.tenancies.insert(tenant, Tenancy { name: String::new(), moved, state: State::Gone });
            }
            Some(tenancy) if tenancy.moved <= moved && !matches!(tenancy.state, State::Lives(_)) => {
                (tenancy.state, tenancy.moved) = (State::Gone, moved);
            }
            None | Some(_) => {}
        }
        Stay::Same
    }

    /// The move has failed: it lives here again, or still does; then a seal that is late must not stop it.
    fn undo(&mut self, tenant: u32, moved: u64) -> Stay {
        let Some(tenancy) = self.tenancies.get_mut(&tenant).filter(|tenancy| tenancy.moved <= moved) else {
            return Stay::Same;
        };
        match std::mem::replace(&mut tenancy.state, State::Gone) {
            State::Lives(shard) => {
                (tenancy.state, tenancy.moved) = (State::Lives(shard), moved);
                Stay::Same
            }
            State::Sealed(shard) if tenancy.moved == moved => {
                tenancy.state = State::Lives(Box::new(Arc::unwrap_or_clone(shard)));
                Stay::Begins
            }
            other => {
                tenancy.state = other;
                Stay::Same
            }
        }
    }
}

impl Tenancy {
    fn born() -> Self {
        Self { name: String::new(), moved: 0, state: State::Lives(Box::new(acd::Shard::new())) }
    }

    /// A piece of the move that is under way here.
    fn take(&mut self, total: u64, offset: u64, data: &[u8], crc: u32) -> Stay {
        match &mut self.state {
            State::Arriving { total: known, bytes } if *known == total && bytes.len() as u64 == offset => {
                bytes.extend_from_slice(data);
                if bytes.len() as u64 == total {
                    let bytes = std::mem::take(bytes);
                    self.state = arrived(bytes, crc);
                    if total == 0 {
                        return self.begin();
                    }
                }
                Stay::Same
            }
            State::Arrived { bytes, .. } if data.is_empty() && offset == total && bytes.len() as u64 == total => {
                self.begin()
            }
            _ => Stay::Same,
        }
    }

    fn begin(&mut self) -> Stay {
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Arrived { shard, .. } => {
                self.state = State::Lives(shard);
                Stay::Begins
            }
            other => {
                self.state = other;
                Stay::Same
            }
        }
    }
}

/// What came as a whole; what cannot be read has not come, which whoever moves it sees.
fn arrived(bytes: Vec<u8>, crc: u32) -> State {
    if bytes.is_empty() {
        return State::Arrived { shard: Box::new(acd::Shard::new()), bytes };
    }
    if crc32fast::hash(&bytes) != crc {
        return State::Gone;
    }
    match acd::Shard::restore(&bytes) {
        Ok(shard) => State::Arrived { shard: Box::new(shard), bytes },
        Err(_) => State::Gone,
    }
}

/// The tenant's name, with its configuration. Nobody's name ever changes.
fn name_in(command: &Command) -> Option<&str> {
    let Some(command::Kind::Configure(Configure { documents, .. })) = &command.kind else { return None };
    documents.iter().find_map(|document| match &document.kind {
        Some(document::Kind::TenantItself(tenant)) if tenant.name != MAIN_NAME => Some(tenant.name.as_str()),
        _ => None,
    })
}

fn unreadable(error: impl std::fmt::Display) -> RestoreError {
    RestoreError(error.to_string())
}
