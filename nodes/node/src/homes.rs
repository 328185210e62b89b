//! On which shard each tenant lives, as the directory of this node has it. Shared by doors and cores, and never a promise:
//! the shard itself says when a tenant does not live there any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use crate::tenancy::INSTALLED_FROM;

/// Tenants and their shards. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Homes(Arc<RwLock<Arc<Places>>>);

#[derive(Debug, Default)]
struct Places {
    /// The shard of each tenant.
    homes: BTreeMap<u32, u32>,
    /// Every shard that there is for tenants.
    shards: BTreeSet<u32>,
}

impl Homes {
    /// The directory has changed: the shard of each tenant, and all shards for tenants.
    pub fn set(&self, homes: BTreeMap<u32, u32>, shards: BTreeSet<u32>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Places { homes, shards });
    }

    /// The shard of a tenant. One that the directory does not name lives where it was born, if it was born with a shard;
    /// the directory itself, number 0, always does.
    #[must_use]
    pub fn of(&self, tenant: u32) -> Option<u32> {
        self.now().of(tenant)
    }

    /// All of them as they are now, for many questions at once.
    #[must_use]
    pub fn now(&self) -> HomesNow {
        HomesNow(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Where tenants lived at one moment.
#[derive(Debug, Clone)]
pub struct HomesNow(Arc<Places>);

impl HomesNow {
    /// Every shard that there is for tenants, also one on which none lives any more: what was written down there stays.
    #[must_use]
    pub fn shards(&self) -> &BTreeSet<u32> {
        &self.0.shards
    }

    /// See [`Homes::of`].
    #[must_use]
    pub fn of(&self, tenant: u32) -> Option<u32> {
        self.0.homes.get(&tenant).copied().or((tenant < INSTALLED_FROM).then_some(tenant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_lives_where_the_directory_says_or_else_where_it_was_born() {
        let homes = Homes::default();
        let other = homes.clone();
        assert_eq!((homes.of(0), homes.of(3), homes.of(INSTALLED_FROM)), (Some(0), Some(3), None));
        other.set(BTreeMap::from([(3, 1), (INSTALLED_FROM, 2)]), BTreeSet::from([1, 2, 3]));
        assert_eq!((homes.of(0), homes.of(3), homes.of(INSTALLED_FROM)), (Some(0), Some(1), Some(2)));
    }
}
