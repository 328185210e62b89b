//! Gateways that watch, what each of them is told, and the leases of those that watch no more. Who counts as lost is told to
//! the tenant by a command of the desk; nothing of the tenant is changed here.

use std::collections::BTreeMap;

use proto::v1::{AttachGateway, InSync, KeepAlive, LoseGateway, NotLeader, Order, WatchRequest, watch_reply::Kind};

use super::Limits;
use crate::{
    core::{
        Effects, WatcherKey,
        replies::{in_messages, not_led_here, watch_reply},
    },
    machine::{gateways, standing_orders},
};

/// Bytes of a gateway's name and address together; what is longer is not put into the log to be refused there.
const GATEWAY_BYTES_MAX: usize = 1_024;

#[derive(Debug)]
struct Watcher {
    gateway: String,
    incarnation: u64,
    /// Orders are told only after the attachment is applied.
    attached: bool,
    told_us: u64,
}

#[derive(Debug)]
pub(super) struct Watchers {
    limits: Limits,
    watchers: BTreeMap<WatcherKey, Watcher>,
    /// Gateways without a watcher: when they count as lost.
    lapses: BTreeMap<(String, u64), u64>,
}

impl Watchers {
    pub(super) const fn new(limits: Limits) -> Self {
        Self { limits, watchers: BTreeMap::new(), lapses: BTreeMap::new() }
    }

    /// Every gateway that the tenant knows gets time to find the new leader.
    pub(super) fn wait_for_all(&mut self, now_us: u64, shard: &acd::Shard) {
        let lapse_us = now_us.saturating_add(self.limits.find_leader_us.max(self.limits.lease_us));
        self.lapses = gateways(shard).into_iter().map(|gateway| (gateway, lapse_us)).collect();
    }

    /// Takes a stream in: what is to be applied before its gateway is told anything. None when it is closed instead.
    pub(super) fn open(&mut self, now_us: u64, key: WatcherKey, request: WatchRequest) -> Option<AttachGateway> {
        let WatchRequest { gateway, incarnation, sip, .. } = request;
        let named = gateway.len() + sip.len() <= GATEWAY_BYTES_MAX;
        if !named || self.watchers.len() >= self.limits.watchers_max {
            return None;
        }
        self.watchers.insert(key, Watcher { gateway: gateway.clone(), incarnation, attached: false, told_us: now_us });
        Some(AttachGateway { gateway, incarnation, sip })
    }

    /// The stream has ended: its gateway's lease runs from here.
    pub(super) fn end(&mut self, now_us: u64, key: WatcherKey) {
        if let Some(watcher) = self.watchers.remove(&key) {
            self.lapses.insert((watcher.gateway, watcher.incarnation), now_us.saturating_add(self.limits.lease_us));
        }
    }

    /// The clock leapt: every lease that runs has the time that was lost.
    pub(super) fn leapt(&mut self, by_us: u64) {
        self.lapses.values_mut().for_each(|at_us| *at_us = at_us.saturating_add(by_us));
    }

    /// Somebody else leads, or nobody.
    pub(super) fn close_all(&mut self, next: &NotLeader, effects: &mut Effects) {
        for key in std::mem::take(&mut self.watchers).into_keys() {
            effects.watch.push((key, not_led_here(next.clone())));
            effects.unwatch.push(key);
        }
    }

    /// Whoever has heard nothing for a while hears that we still lead.
    pub(super) fn keep_alive(&mut self, now_us: u64, shard: &acd::Shard, effects: &mut Effects) {
        for (&key, watcher) in &mut self.watchers {
            if watcher.told_us.saturating_add(self.limits.keep_alive_us) <= now_us {
                watcher.told_us = now_us;
                let load = shard.load(&watcher.gateway);
                let calls = load.map_or(0, |load| load.calls);
                let draining = load.is_some_and(|load| load.draining);
                let takers = load.map_or(0, |load| load.takers);
                effects.watch.push((key, watch_reply(Kind::KeepAlive(KeepAlive { draining, calls, takers }))));
            }
        }
    }

    /// Gateways that are to be lost now. A lapse stays until its gateway is lost or attached, for a LoseGateway of ours may
    /// not be taken by consensus.
    pub(super) fn lapsed(&mut self, now_us: u64, shard: &acd::Shard) -> Vec<LoseGateway> {
        let mut lost = Vec::new();
        let due: Vec<_> = self.lapses.iter().filter(|(_, at)| **at <= now_us).map(|(life, _)| life.clone()).collect();
        if due.is_empty() {
            return lost;
        }
        let living = gateways(shard);
        for life in due {
            let same = |watcher: &&Watcher| watcher.gateway == life.0 && watcher.incarnation == life.1;
            let watcher = self.watchers.values().filter(same).max_by_key(|watcher| watcher.attached);
            if !living.contains(&life) || watcher.is_some_and(|watcher| watcher.attached) {
                self.lapses.remove(&life);
                continue;
            }
            self.lapses.insert(life.clone(), now_us.saturating_add(self.limits.keep_alive_us));
            // One that is about to attach was here in time.
            if watcher.is_none() {
                let (gateway, incarnation) = life;
                lost.push(LoseGateway { gateway, incarnation });
            }
        }
        lost
    }

    /// Orders that an entry has changed, to those whom they are for.
    pub(super) fn tell_changes(
        &mut self,
        now_us: u64,
        orders: Vec<(String, Order)>,
        shard: &acd::Shard,
        effects: &mut Effects,
    ) {
        if orders.is_empty() {
            return;
        }
        let mut by_gateway: BTreeMap<String, Vec<Order>> = BTreeMap::new();
        for (gateway, order) in orders {
            by_gateway.entry(gateway).or_default().push(order);
        }
        for (&key, watcher) in self.watchers.iter_mut().filter(|(_, watcher)| watcher.attached) {
            // Not those of a life that has just attached: this one would take them for its own.
            let present = shard.load(&watcher.gateway).is_some_and(|load| load.incarnation == watcher.incarnation);
            if !present {
                continue;
            }
            if let Some(orders) = by_gateway.remove(&watcher.gateway) {
                watcher.told_us = now_us;
                effects.watch.extend(in_messages(orders).map(|message| (key, message)));
            }
        }
    }

    /// The attachment is applied: from here on its gateway is told all. `shard` is None when it was refused.
    pub(super) fn attached(&mut self, now_us: u64, key: WatcherKey, shard: Option<&acd::Shard>, effects: &mut Effects) {
        let Some(mut watcher) = self.watchers.remove(&key) else { return };
        let Some(shard) = shard else {
            // A newer life of this gateway is attached: this one must not act.
            effects.unwatch.push(key);
            return;
        };
        // An older stream of the same gateway has been replaced.
        let older: Vec<_> =
            self.watchers.iter().filter(|(_, other)| other.gateway == watcher.gateway).map(|(key, _)| *key).collect();
        for key in older {
            self.watchers.remove(&key);
            effects.unwatch.push(key);
        }
        self.lapses.retain(|(gateway, _), _| *gateway != watcher.gateway);
        let orders = standing_orders(shard, &watcher.gateway, watcher.incarnation);
        effects.watch.extend(in_messages(orders).map(|message| (key, message)));
        let draining = shard.load(&watcher.gateway).is_some_and(|load| load.draining);
        let lease_ms = u32::try_from(self.limits.lease_us / 1_000).unwrap_or(u32::MAX);
        effects.watch.push((key, watch_reply(Kind::InSync(InSync { draining, lease_ms }))));
        watcher.attached = true;
        watcher.told_us = now_us;
        self.watchers.insert(key, watcher);
    }
}
