//! Trunks as metrics show them: taken over as they stand whenever somebody looks.

use std::sync::atomic::AtomicI64;

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::trunks::Standing;

/// A trunk's name is of the directory, so its labels are not known beforehand.
type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<i64, AtomicI64>>;

pub(super) struct TrunkMetrics {
    addresses: Gauges,
    calls: Gauges,
    bound: Gauges,
}

impl TrunkMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let mut gauges = |name: &str, help: &str| {
            let gauges = Gauges::default();
            registry.register(name, help, gauges.clone());
            gauges
        };
        Self {
            addresses: gauges("trunk_addresses", "Addresses of a trunk's hosts, by whether they live"),
            calls: gauges("trunk_calls", "Calls of a trunk, both directions"),
            bound: gauges("trunk_bound", "Whether a trunk's registration stands"),
        }
    }

    pub(super) fn set(&self, standings: &[Standing]) {
        for gauges in [&self.addresses, &self.calls, &self.bound] {
            gauges.clear();
        }
        for standing in standings {
            let trunk = ("trunk", standing.name.clone());
            let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            for (state, addresses) in [("up", standing.up), ("down", standing.down)] {
                let labels = vec![trunk.clone(), ("state", state.to_owned())];
                self.addresses.get_or_create(&labels).set(count(addresses));
            }
            let labels = vec![trunk];
            self.calls.get_or_create(&labels).set(i64::from(standing.calls));
            if let Some(bound) = standing.bound {
                self.bound.get_or_create(&labels).set(i64::from(bound));
            }
        }
    }
}
