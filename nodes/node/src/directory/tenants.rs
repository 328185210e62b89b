//! Where tenants live, and the steps of their moves. What is done about it is not known here, and no call is.
//!
//! A move is begun, has arrived or has failed, and is done when nothing is left where the tenant does not live. Only one of
//! arrived and failed is ever decided of one move, so a tenant never lives twice, whoever does the work and however often.

use std::collections::BTreeMap;

use proto::v1::{
    DirectorySnapshot, Document, MoveStep, MoveTenant, Rejection, RejectionCode, RestoreDirectory, TenantRow, document,
};

use super::{Directory, Key, key_of, refuse};
use crate::tenancy::{INSTALLED_FROM, MAIN, MAIN_NAME};

/// Tenants that a cluster has at most.
const TENANTS_MAX: usize = documents::limits::TENANTS_MAX;

/// Rows of tenants, by number. The main one is among them as soon as there is a cluster; it is saved under rules that know
/// tenants.
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

/// The name of the tenant whose a document is; of a tenant itself its own.
#[must_use]
pub fn document_tenant(document: &Document) -> &str {
    match &document.kind {
        Some(document::Kind::TenantItself(tenant)) => &tenant.name,
        _ => documents::tenant_name(&document.tenant),
    }
}

/// What the directory makes of a step of a tenant's move: whether it changed anything. Of arrived and failed only the
/// first is ever taken.
///
/// # Errors
/// The move is another one, or not so far.
pub fn decide(row: &mut TenantRow, step: &MoveTenant) -> Result<bool, Rejection> {
    if step.step() != MoveStep::Begin && row.r#move != step.r#move {
        return Err(refuse(RejectionCode::Stale, "that is another move of the tenant"));
    }
    match step.step() {
        MoveStep::Begin => {
            row.r#move += 1;
            (row.moving_to, row.own) = (step.to, row.own || step.own);
        }
        MoveStep::Arrived if row.moving_from != 0 => return Ok(false),
        MoveStep::Arrived if row.moving_to != 0 && !row.failing => {
            (row.moving_from, row.shard, row.moving_to) = (row.shard, row.moving_to, 0);
        }
        MoveStep::Failed if row.failing => return Ok(false),
        MoveStep::Failed if row.moving_to != 0 => row.failing = true,
        MoveStep::Done if row.moving_from != 0 => row.moving_from = 0,
        MoveStep::Done if row.failing => (row.moving_to, row.failing) = (0, false),
        MoveStep::Done if row.moving_to == 0 => return Ok(false),
        MoveStep::Unspecified => return Err(refuse(RejectionCode::Invalid, "a step of no kind")),
        MoveStep::Arrived | MoveStep::Failed | MoveStep::Done => {
            let detail = format!("the move of tenant {} is not so far", row.name);
            return Err(refuse(RejectionCode::WrongState, &detail));
        }
    }
    Ok(true)
}

impl Directory {
    /// The tenants, by number.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantRow> {
        self.tenants.rows.values()
    }

    /// The shard of each tenant.
    #[must_use]
    pub fn homes(&self) -> BTreeMap<u32, u32> {
        self.tenants().map(|row| (row.number, row.shard)).collect()
    }

    /// The number of each tenant by the name that documents say.
    pub(super) fn tenant_numbers(&self) -> BTreeMap<&str, u32> {
        self.tenants().map(|row| (if row.number == MAIN { "" } else { row.name.as_str() }, row.number)).collect()
    }

    /// The main tenant is always there.
    pub(super) fn begin_tenants(&mut self) {
        if self.identity.is_some() {
            self.tenants.rows.entry(MAIN).or_insert_with(|| TenantRow {
                number: MAIN,
                name: MAIN_NAME.into(),
                shard: MAIN,
                documents: self.version,
                ..TenantRow::default()
            });
        }
    }

    /// A document has changed: its tenant is to be configured again, or begins.
    pub(super) fn touch_tenants(&mut self, document: &Document) {
        let (version, name) = (self.version, document_tenant(document));
        if let Some(document::Kind::TenantItself(tenant)) = &document.kind {
            self.place(name, tenant.placement == "own");
        }
        // Zones are everybody's.
        let all = matches!(document.kind, Some(document::Kind::Zone(_)));
        for row in self.tenants.rows.values_mut().filter(|row| all || row.name == name) {
            row.documents = version;
        }
    }

    /// A tenant begins, or wants another kind of place; where it lives already it stays until it is moved.
    fn place(&mut self, name: &str, own: bool) {
        if let Some(known) = self.tenants.rows.values_mut().find(|row| row.name == name) {
            known.own = own;
            return;
        }
        if self.tenants.rows.len() >= TENANTS_MAX {
            return;
        }
        let shard = self.least_loaded(own);
        let number = self.free_number(shard);
        let row = TenantRow { number, name: name.to_owned(), shard, own, ..TenantRow::default() };
        self.tenants.rows.insert(number, row);
        self.changes += 1;
    }

    /// The shard with the fewest tenants. Who wants to be alone gets an empty one if there is one, and no others come.
    fn least_loaded(&self, own: bool) -> u32 {
        let shards = self.identity.iter().flat_map(|identity| &identity.shards).copied();
        let load = |shard: u32| {
            let here = self.tenants().filter(|row| row.shard == shard || row.moving_to == shard);
            here.fold((false, 0), |(alone, count), row| (alone || row.own, count + 1))
        };
        let best = shards.min_by_key(|&shard| {
            let (alone, count) = load(shard);
            (alone || (own && count > 0), count, shard)
        });
        best.unwrap_or(MAIN)
    }

    /// The number of the shard if nobody has it, for that tenant is there already, or one that nobody ever had.
    fn free_number(&self, shard: u32) -> u32 {
        if shard < INSTALLED_FROM && !self.tenants.rows.contains_key(&shard) {
            return shard;
        }
        let last = self.tenants.rows.keys().next_back().copied().unwrap_or(0);
        last.max(INSTALLED_FROM - 1) + 1
    }

    pub(super) fn move_tenant(&mut self, step: &MoveTenant) -> Result<(), Rejection> {
        if step.step() == MoveStep::Begin
            && let Some(why) = self.may_not_move(step)
        {
            return Err(refuse(RejectionCode::WrongState, &why));
        }
        let Some(row) = self.tenants.rows.get_mut(&step.tenant) else {
            return Err(refuse(RejectionCode::Invalid, "there is no such tenant"));
        };
        self.changes += u64::from(decide(row, step)?);
        Ok(())
    }

    fn may_not_move(&self, step: &MoveTenant) -> Option<String> {
        let row = self.tenants.rows.get(&step.tenant)?;
        let (name, to) = (&row.name, step.to);
        if row.moving_to != 0 || row.moving_from != 0 {
            return Some(format!("tenant {name} is moving already"));
        }
        if row.shard == to {
            return Some(format!("tenant {name} lives on shard {to} already"));
        }
        if !self.identity.as_ref().is_some_and(|identity| identity.shards.contains(&to)) {
            return Some(format!("there is no shard {to} for tenants"));
        }
        let mut there = self.tenants().filter(|other| {
            other.number != row.number && (other.shard == to || other.moving_to == to || other.moving_from == to)
        });
        if step.own || row.own {
            return there
                .next()
                .map(|other| format!("tenant {} lives on shard {to}, and {name} wants to be alone", other.name));
        }
        let alone = there.find(|other| other.own && other.moving_from != to);
        alone.map(|other| format!("tenant {} is alone on shard {to}, as it is wanted", other.name))
    }

    /// The documents and tenants of a saved cluster. Its secret and its identity are not taken: this is another cluster.
    pub(super) fn take_in(&mut self, restore: &RestoreDirectory) -> Result<(), Rejection> {
        if self.identity.is_none() {
            return Err(refuse(RejectionCode::WrongState, "the cluster is not founded yet"));
        }
        if !self.documents.is_empty() {
            return Err(refuse(RejectionCode::WrongState, "the cluster has documents already"));
        }
        let Ok(mut saved) = prost::Message::decode(restore.snapshot.as_slice()).map(|saved: DirectorySnapshot| saved)
        else {
            return Err(refuse(RejectionCode::Invalid, "this is no directory of ours"));
        };
        let tenants = Tenants::restore(&mut saved);
        // A tenant that was born with a shard has its number for ever, and that shard is where there is room for it.
        let shards = self.identity.as_ref().map_or(&[][..], |identity| &identity.shards);
        let born = |row: &TenantRow| row.number < INSTALLED_FROM && !shards.contains(&row.number);
        if let Some(row) = tenants.rows.values().find(|row| born(row)) {
            let detail =
                format!("tenant {} needs shard {}: let the cluster have as many shards first", row.name, row.number);
            return Err(refuse(RejectionCode::WrongState, &detail));
        }
        // Those that were there must be configured anew, so no version comes twice.
        self.version = self.version.max(saved.version) + 1;
        self.documents = saved
            .documents
            .into_iter()
            .filter_map(|document| Some((key_of(&document)?, document)))
            .collect::<BTreeMap<Key, _>>();
        for (number, row) in tenants.rows {
            let version = self.version;
            if number == MAIN {
                self.begin_tenants();
                if let Some(main) = self.tenants.rows.get_mut(&MAIN) {
                    // Where it lives an empty one lives already: two moves on one shard bring the saved one in its place.
                    (main.r#move, main.documents) = (row.r#move.max(main.r#move) + 2, version);
                }
                continue;
            }
            let shard = if number < INSTALLED_FROM { number } else { self.least_loaded(row.own) };
            let row = TenantRow {
                number,
                name: row.name,
                shard,
                own: row.own,
                r#move: row.r#move + 2,
                documents: version,
                ..TenantRow::default()
            };
            self.tenants.rows.insert(number, row);
        }
        self.changes += 1;
        Ok(())
    }
}
