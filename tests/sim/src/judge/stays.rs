//! Invariant 18: where the tenant lives, as the logs of all shards show it. A move takes it as it was sealed to one other
//! place, or leaves it where it was.

use std::{collections::BTreeMap, sync::Arc};

use node::tenancy::{Standing, Tenants};

use crate::{
    link::TENANT,
    scenario::Us,
    verdict::{Check, hold},
};

/// The tenant's stays.
#[derive(Debug, Default)]
pub(super) struct Stays {
    /// As it was when it was last sealed.
    sealed: Option<Arc<acd::Shard>>,
    /// Since when it lives nowhere.
    dark_since_us: Option<Us>,
}

impl Stays {
    /// The state in which it waits to live somewhere.
    pub(super) fn sealed(&self) -> Option<&acd::Shard> {
        self.sealed.as_deref()
    }

    pub(super) const fn dark_since_us(&self) -> Option<Us> {
        self.dark_since_us
    }

    /// An entry about where the tenant lives was applied on this shard; `before`: its state there, if it lived there then.
    pub(super) fn changed(
        &mut self,
        now_us: Us,
        shard: u32,
        before: Option<u64>,
        all: &BTreeMap<u32, &Tenants>,
    ) -> Check {
        let lives = |tenants: &&Tenants| tenants.living(TENANT).is_some();
        let homes: Vec<u32> = all.iter().filter(|(_, tenants)| lives(tenants)).map(|(shard, _)| *shard).collect();
        hold!(homes.len() <= 1, Home, "it lives on shards {homes:?}");
        let whole = |tenants: &&Tenants| matches!(tenants.standing(TENANT).0, Standing::Sealed | Standing::Arrived(_));
        hold!(!homes.is_empty() || all.values().any(whole), Home, "nothing whole is left of it anywhere");
        let Some(tenants) = all.get(&shard) else { return Ok(()) };
        match (before, tenants.living(TENANT)) {
            (Some(before), Some(now)) => hold!(before == now.hash(), Home, "it is another one on shard {shard}"),
            (Some(before), None) => {
                self.sealed = tenants.sealed(TENANT);
                self.dark_since_us = Some(now_us);
                let same = self.sealed.as_ref().is_some_and(|sealed| sealed.hash() == before);
                hold!(same, Home, "shard {shard} seals another one than lived there");
            }
            (None, Some(now)) => {
                self.dark_since_us = None;
                let same = self.sealed.as_ref().is_some_and(|sealed| sealed.hash() == now.hash());
                hold!(same, Home, "on shard {shard} begins another one than was sealed");
            }
            (None, None) => {}
        }
        Ok(())
    }
}
