//! Which actor owns which shard on this node. The actors are fixed at start, the replicas come and go.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};

use actix::Addr;

use crate::{actor::ShardActor, homes::Homes};

/// The node's actors; shard `s` belongs to the one at `s` modulo their count. All clones share it.
#[derive(Clone)]
pub struct Owners {
    actors: Vec<Addr<ShardActor>>,
    shards: Arc<RwLock<BTreeSet<u32>>>,
    homes: Homes,
}

impl Owners {
    /// At least one actor; `shards` are those that this node has replicas of.
    #[must_use]
    pub fn new(actors: Vec<Addr<ShardActor>>, shards: Vec<u32>, homes: Homes) -> Self {
        Self { actors, shards: Arc::new(RwLock::new(shards.into_iter().collect())), homes }
    }

    /// Which actor of `count` owns a shard.
    #[must_use]
    pub const fn index(shard: u32, count: usize) -> usize {
        shard as usize % count
    }

    /// The owner of a shard, if there is a replica here.
    #[must_use]
    pub fn of(&self, shard: u32) -> Option<Addr<ShardActor>> {
        let here = self.shards.read().unwrap_or_else(PoisonError::into_inner).contains(&shard);
        here.then(|| self.place_of(shard))
    }

    /// Where tenants live.
    #[must_use]
    pub const fn homes(&self) -> &Homes {
        &self.homes
    }

    /// The owner of the shard on which a tenant lives, if there is a replica here.
    #[must_use]
    pub fn of_tenant(&self, tenant: u32) -> Option<Addr<ShardActor>> {
        self.of(self.homes.of(tenant)?)
    }

    /// Whatever belongs to tenants, handed to the owner of each one's shard.
    #[must_use]
    pub fn split_by_tenant<T>(&self, items: Vec<T>, tenant: impl Fn(&T) -> u32) -> Vec<(Addr<ShardActor>, Vec<T>)> {
        let homes = self.homes.now();
        self.split(items, |item| homes.of(tenant(item)).unwrap_or(0))
    }

    /// The actor that owns the shard if there is a replica here, now or later.
    #[must_use]
    pub fn place_of(&self, shard: u32) -> Addr<ShardActor> {
        self.actors[Self::index(shard, self.actors.len())].clone()
    }

    /// A replica has come.
    pub fn add(&self, shard: u32) {
        self.shards.write().unwrap_or_else(PoisonError::into_inner).insert(shard);
    }

    /// A replica has gone.
    pub fn remove(&self, shard: u32) {
        self.shards.write().unwrap_or_else(PoisonError::into_inner).remove(&shard);
    }

    /// Whatever belongs to shards, handed to the owner of each. An unknown shard's goes to the actor of its number, which
    /// refuses it.
    #[must_use]
    pub fn split<T>(&self, items: Vec<T>, shard: impl Fn(&T) -> u32) -> Vec<(Addr<ShardActor>, Vec<T>)> {
        if let [only] = self.actors.as_slice() {
            return vec![(only.clone(), items)];
        }
        let mut parts: Vec<_> = self.actors.iter().map(|actor| (actor.clone(), Vec::new())).collect();
        for item in items {
            parts[Self::index(shard(&item), self.actors.len())].1.push(item);
        }
        parts.retain(|(_, items)| !items.is_empty());
        parts
    }

    /// Every actor.
    pub fn all(&self) -> impl Iterator<Item = &Addr<ShardActor>> {
        self.actors.iter()
    }

    /// Every shard with a replica here, in order.
    #[must_use]
    pub fn shards(&self) -> Vec<u32> {
        self.shards.read().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}
