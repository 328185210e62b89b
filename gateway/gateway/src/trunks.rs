//! Trunks: by which way a call leaves, whether a trunk may take it, which of its addresses live, what is to be asked and
//! registered. Pure: time, dice and what DNS said come in; what is to be sent comes out of [`Trunks::due`].

mod bindings;
mod caps;
mod health;
mod order;
mod retry;
#[cfg(test)]
mod tests;
mod trunk;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sip::{Bind, Flow};

use crate::{
    directory::View,
    resolve::{Hop, Name},
};

use bindings::Bindings;
use caps::Caps;
use health::Health;
use order::{Dice, in_order};

pub(crate) use caps::{Full, Slot};
pub(crate) use retry::retry;
pub(crate) use trunk::{Trunk, Way};

/// Ways of one call that are tried at most.
const WAYS_MAX: usize = 8;
/// Addresses of one host that are tried at most.
const HOPS_MAX: usize = 16;

/// What is to be sent for the trunks themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// OPTIONS; its answer goes to [`Trunks::pinged`] with this id.
    Ping { id: u64, flow: Flow, host: String },
    /// To the endpoint, which keeps it bound; what becomes of it goes to [`Trunks::bound`] with this id. The same id again
    /// moves it to another registrar.
    Bind { id: u64, bind: Bind },
    /// The endpoint takes it back.
    Unbind { id: u64 },
}

/// All trunks of one gateway, for all lanes: no call in it takes long.
pub(crate) type SharedTrunks = Arc<Mutex<Trunks>>;

/// Its guard. What a lane that panicked left behind is as good as before.
pub(crate) fn lock(trunks: &SharedTrunks) -> MutexGuard<'_, Trunks> {
    trunks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All trunks of one gateway; none before the first view.
#[derive(Default)]
pub(crate) struct Trunks {
    /// By name.
    trunks: Vec<Arc<Trunk>>,
    view: Option<Arc<View>>,
    caps: BTreeMap<String, Caps>,
    resolved: BTreeMap<Name, Vec<Hop>>,
    addresses: BTreeMap<Flow, Address>,
    bindings: Bindings,
    ids: u64,
    /// Something happened that may move a binding.
    stirred: bool,
}

/// One trunk as metrics and people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) name: String,
    /// Addresses that are up.
    pub(crate) up: usize,
    pub(crate) down: usize,
    pub(crate) calls: u32,
    /// None: it registers nothing.
    pub(crate) bound: Option<bool>,
}

/// One address that calls go out to.
#[derive(Debug)]
struct Address {
    id: u64,
    /// As OPTIONS name it.
    host: String,
    health: Health,
}

impl Trunks {
    #[cfg(test)]
    pub(crate) fn new(now_ms: u64, view: &Arc<View>) -> Self {
        let mut trunks = Self::default();
        trunks.set_view(now_ms, view);
        trunks
    }

    /// Another view: calls that stand keep their places, addresses what is known of them, bindings that are the same their time.
    pub(crate) fn set_view(&mut self, now_ms: u64, view: &Arc<View>) {
        self.view = Some(Arc::clone(view));
        self.trunks.clone_from(&view.trunks);
        let names: BTreeSet<&str> = self.trunks.iter().map(|trunk| trunk.name.as_str()).collect();
        self.caps.retain(|name, caps| names.contains(name.as_str()) || caps.calls() > 0);
        for trunk in &self.trunks {
            self.caps.entry(trunk.name.clone()).or_insert_with(Caps::new);
        }
        self.bindings.set_trunks(&self.trunks, &mut self.ids);
        let wanted: BTreeSet<Name> = self.names().into_iter().collect();
        self.resolved.retain(|name, _| wanted.contains(name));
        self.look_at_addresses(now_ms);
    }

    /// The names whose addresses DNS must be asked for.
    pub(crate) fn names(&self) -> Vec<Name> {
        let hosts = self.trunks.iter().flat_map(|trunk| &trunk.hosts);
        let names: BTreeSet<_> = hosts.map(|host| &host.name).filter(|name| name.address().is_none()).collect();
        names.into_iter().cloned().collect()
    }

    /// What DNS said about a name.
    pub(crate) fn set_resolved(&mut self, now_ms: u64, name: Name, mut hops: Vec<Hop>) {
        hops.truncate(HOPS_MAX);
        self.resolved.insert(name, hops);
        self.look_at_addresses(now_ms);
    }

    /// Every way by which a call to `number` may leave, the best first: trunks whose prefixes it has by priority, among
    /// equals by weight; within each its hosts alike. Ways whose address is down come last.
    pub(crate) fn candidates(&self, now_ms: u64, number: &str, dice: u64) -> Vec<Way> {
        let mut dice = Dice::new(dice);
        let trunks = self.trunks.iter().filter(|trunk| trunk.takes(number));
        let trunks = in_order(trunks, &mut dice, |trunk| (trunk.priority, trunk.weight));
        let ways = trunks.into_iter().flat_map(|trunk| self.ways(trunk, number, &mut dice));
        let (mut up, down): (Vec<_>, Vec<_>) = ways.partition(|way| self.is_up(now_ms, way.destination));
        up.extend(down);
        up.truncate(WAYS_MAX);
        up
    }

    fn ways(&self, trunk: &Arc<Trunk>, number: &str, dice: &mut Dice) -> Vec<Way> {
        let mut ways: Vec<Way> = Vec::new();
        for host in in_order(&trunk.hosts, dice, |host| (host.priority, host.weight)) {
            let hops = self.hops(&host.name);
            for hop in in_order(&hops, dice, |hop| (hop.priority.into(), hop.weight.into())) {
                let destination = flow(&host.name, hop);
                if ways.iter().all(|way| way.destination != destination) {
                    let target = trunk.uri(number, &host.name);
                    ways.push(Way { trunk: Arc::clone(trunk), target, destination });
                }
            }
        }
        ways
    }

    /// Whose source an address is.
    pub(crate) fn trunk_of(&self, source: IpAddr) -> Option<Arc<Trunk>> {
        self.view.as_ref()?.trunk_of(source).map(Arc::clone)
    }

    /// A place for a call in or out, kept as long as the call stands on the trunk.
    pub(crate) fn begin(&mut self, now_ms: u64, trunk: &Trunk) -> Result<Slot, Full> {
        let caps = self.caps.get_mut(&trunk.name).ok_or(Full::Gone)?;
        caps.begin(now_ms.saturating_mul(1_000), trunk)
    }

    /// A place for a call that stands already: it was taken over from another gateway.
    pub(crate) fn count(&mut self, trunk: &str) -> Option<Slot> {
        self.caps.get(trunk).map(Caps::count)
    }

    /// Calls of a trunk at present.
    pub(crate) fn calls(&self, trunk: &str) -> u32 {
        self.caps.get(trunk).map_or(0, Caps::calls)
    }

    /// What became of OPTIONS: 0 when nothing came.
    pub(crate) fn pinged(&mut self, now_ms: u64, id: u64, status: u16, retry_after_seconds: u32) {
        let Some(address) = self.addresses.values_mut().find(|address| address.id == id) else { return };
        address.health.answered(now_ms, status, retry_after_seconds);
        self.stirred = true;
    }

    /// A call failed by this address, as [`retry`] says: two failures in a row, of calls or of OPTIONS, and it is down.
    pub(crate) fn call_failed(&mut self, now_ms: u64, destination: Flow, status: u16, retry_after_seconds: u32) {
        let Some(address) = self.addresses.get_mut(&plain(destination)) else { return };
        // RFC 3261 22.2: refused credentials say nothing about the host.
        if matches!(status, 401 | 407) {
            return address.health.lives();
        }
        address.health.suspected(now_ms, status, retry_after_seconds);
        self.stirred = true;
    }

    /// A call was answered, or refused by its party: this address lives.
    pub(crate) fn call_went(&mut self, destination: Flow) {
        if let Some(address) = self.addresses.get_mut(&plain(destination)) {
            address.health.lives();
        }
    }

    /// What became of a REGISTER: 0 when nothing came.
    pub(crate) fn bound(&mut self, now_ms: u64, id: u64, status: u16, expires_seconds: u32) {
        if let Some(flow) = self.bindings.bound(id, status, expires_seconds)
            && let Some(address) = self.addresses.get_mut(&flow)
        {
            address.health.suspected(now_ms, status, 0);
        }
    }

    /// What is to be sent now.
    pub(crate) fn due(&mut self, now_ms: u64) -> Vec<Due> {
        let mut due: Vec<Due> = self.bindings.take_leaving().map(|id| Due::Unbind { id }).collect();
        for (flow, address) in &mut self.addresses {
            if address.health.ask(now_ms) {
                due.push(Due::Ping { id: address.id, flow: *flow, host: address.host.clone() });
            }
        }
        due.extend(self.due_bindings(now_ms).into_iter().map(|(id, bind)| Due::Bind { id, bind }));
        due
    }

    /// Those without a registrar, and those whose registrar is down or gone while another one lives.
    fn due_bindings(&mut self, now_ms: u64) -> Vec<(u64, Bind)> {
        self.stirred = false;
        let moves: Vec<(u64, Flow)> = self
            .bindings
            .iter()
            .filter_map(|(id, binding)| {
                let trunk = self.trunk(&binding.trunk)?;
                let stays = |at: &Flow| self.is_up(now_ms, *at) && self.flows(&trunk).any(|flow| flow == *at);
                let registrar = binding.registrar.filter(stays);
                Some((id, registrar.or_else(|| self.registrar(now_ms, &trunk))?))
            })
            .collect();
        moves.into_iter().filter_map(|(id, flow)| Some((id, self.bindings.bind(id, flow)?))).collect()
    }

    /// When [`Trunks::due`] has something next.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        let asked = self.addresses.values().map(|address| address.health.next_ms()).min();
        if self.stirred && self.bindings.iter().next().is_some() { Some(0) } else { asked }
    }

    /// The gateway stops: everything that is bound is taken back.
    pub(crate) fn leave(&mut self) -> Vec<Due> {
        self.bindings.leave();
        self.bindings.take_leaving().map(|id| Due::Unbind { id }).collect()
    }

    /// All trunks at present, by name.
    pub(crate) fn standings(&self, now_ms: u64) -> Vec<Standing> {
        let standing = |trunk: &Arc<Trunk>| {
            let flows: BTreeSet<Flow> = self.flows(trunk).collect();
            let up = flows.iter().filter(|flow| self.is_up(now_ms, **flow)).count();
            Standing {
                name: trunk.name.clone(),
                up,
                down: flows.len() - up,
                calls: self.calls(&trunk.name),
                bound: self.bindings.is_bound(&trunk.name),
            }
        };
        self.trunks.iter().map(standing).collect()
    }

    fn trunk(&self, name: &str) -> Option<Arc<Trunk>> {
        self.trunks.iter().find(|trunk| trunk.name == name).cloned()
    }

    fn hops(&self, name: &Name) -> Vec<Hop> {
        match name.address() {
            Some(address) => vec![Hop { address, priority: 0, weight: 0 }],
            None => self.resolved.get(name).cloned().unwrap_or_default(),
        }
    }

    fn flows(&self, trunk: &Trunk) -> impl Iterator<Item = Flow> {
        trunk.hosts.iter().flat_map(|host| self.hops(&host.name).into_iter().map(|hop| flow(&host.name, &hop)))
    }

    fn is_up(&self, now_ms: u64, flow: Flow) -> bool {
        self.addresses.get(&flow).is_none_or(|address| address.health.is_up(now_ms))
    }

    /// Where a trunk's binding is asked for: the first that lives.
    fn registrar(&self, now_ms: u64, trunk: &Arc<Trunk>) -> Option<Flow> {
        let ways = self.ways(trunk, "", &mut Dice::new(0));
        let up = ways.iter().find(|way| self.is_up(now_ms, way.destination));
        up.or(ways.first()).map(|way| way.destination)
    }

    /// Addresses that are gone are forgotten, those that come are asked at once.
    fn look_at_addresses(&mut self, now_ms: u64) {
        self.stirred = true;
        let mut wanted: BTreeMap<Flow, (String, u64)> = BTreeMap::new();
        for trunk in &self.trunks {
            for host in &trunk.hosts {
                for hop in self.hops(&host.name) {
                    let entry = wanted.entry(flow(&host.name, &hop));
                    let (_, options_ms) = entry.or_insert_with(|| (host.name.host.clone(), u64::MAX));
                    *options_ms = trunk.options_ms.min(*options_ms);
                }
            }
        }
        self.addresses.retain(|flow, _| wanted.contains_key(flow));
        for (flow, (host, options_ms)) in wanted {
            let ids = &mut self.ids;
            let address = self.addresses.entry(flow).or_insert_with(|| {
                *ids += 1;
                Address { id: *ids, host, health: Health::new(now_ms, options_ms) }
            });
            address.health.options_ms = options_ms;
        }
    }
}

fn flow(name: &Name, hop: &Hop) -> Flow {
    Flow { transport: name.transport, remote: hop.address, connection: 0 }
}

/// The address without the connection that was made to it.
fn plain(flow: Flow) -> Flow {
    Flow { connection: 0, ..flow }
}
