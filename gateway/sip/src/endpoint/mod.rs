//! The endpoint: everything one lane knows about SIP. Inputs are methods, outputs are effects.
//! Never blocks, never reads a clock. Files follow the road of a message: `inbound` sorts it, `offered` takes calls in,
//! `calling` sends them out, `dialogue` is what happens inside of a dialog, `due` is what time does.

mod adopting;
mod again;
mod binding;
mod calling;
mod core;
mod dialogue;
mod doubt;
mod due;
mod guard;
mod inbound;
mod offered;
mod offering;
mod outbound;
mod ping;
mod redirect;
mod refer;
mod register;
mod reliable;
mod session;
mod stray;
mod take_back;

use std::collections::{BTreeMap, BTreeSet};

use self::binding::Binding;
use self::core::Core;
use self::register::PendingRegister;
use crate::config::EndpointConfig;
use crate::leg::{Fate, Leg};
use crate::timers::LEG_TIMERS;
use crate::types::{BindingId, Effect, Flow, LegId, LocalMedia, Millis, PingId, RegisterId, RemoteMedia};

/// All SIP state of one lane.
pub struct Endpoint {
    core: Core,
    legs: BTreeMap<LegId, Box<Leg>>,
    registers: BTreeMap<RegisterId, PendingRegister>,
    registers_seen: u64,
    bindings: BTreeMap<BindingId, Binding>,
    pings: BTreeSet<PingId>,
    guard: guard::Guard,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("legs", &self.legs.len()).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An endpoint without legs.
    #[must_use]
    pub fn new(config: EndpointConfig) -> Self {
        Self {
            core: Core::new(config),
            legs: BTreeMap::new(),
            registers: BTreeMap::new(),
            registers_seen: 0,
            bindings: BTreeMap::new(),
            pings: BTreeSet::new(),
            guard: guard::Guard::default(),
        }
    }

    /// Which hosts are ours beside our own, from now on.
    pub fn set_names(&mut self, names: Vec<String>) {
        self.core.config.names = names;
    }

    /// The next effect, in order.
    pub fn poll(&mut self) -> Option<Effect> {
        self.core.effects.pop_front()
    }

    /// When `timeout` wants to be called next; may be early, never late.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Millis> {
        self.core.timers.next()
    }

    /// The far end's audio.
    #[must_use]
    pub fn remote_media(&self, leg: LegId) -> Option<&RemoteMedia> {
        self.legs.get(&leg)?.audio.remote.as_ref()
    }

    /// Our end of the audio as it was offered or answered, with the SRTP key when SRTP was agreed.
    #[must_use]
    pub fn local_media(&self, leg: LegId) -> Option<&LocalMedia> {
        self.legs.get(&leg)?.audio.local.as_ref()
    }

    /// The dialog of an answered leg, or the transaction of a caller without an answer, as any gateway needs it to go on.
    #[must_use]
    pub fn passport(&self, leg: LegId) -> Option<Vec<u8>> {
        self.legs.get(&leg).and_then(|leg| self.core.passport(leg))
    }

    /// Where our requests to the far end of a leg go.
    #[must_use]
    pub fn flow(&self, leg: LegId) -> Option<Flow> {
        self.legs.get(&leg).map(|leg| leg.dialog.flow)
    }

    /// All legs, in order.
    pub fn legs(&self) -> impl Iterator<Item = LegId> + '_ {
        self.legs.keys().copied()
    }

    /// Transactions that live, those that only absorb repeats included.
    #[must_use]
    pub fn transactions(&self) -> usize {
        self.core.transactions() + self.registers.len()
    }

    /// The only place where legs end.
    fn settle(&mut self, leg: LegId, fate: Fate) {
        if let Fate::Ended(cause, status) = fate
            && let Some(gone) = self.legs.remove(&leg)
        {
            refer::abandon(&mut self.core, &gone);
            self.core.logins.remove(&leg);
            self.core.tell(Effect::Ended { leg, cause, status });
        }
    }

    fn has_room_for_leg(&self) -> bool {
        self.legs.len() < self.core.config.limits.legs_max
    }
}

/// No timer armed.
const ASLEEP: [Millis; LEG_TIMERS] = [Millis(0); LEG_TIMERS];
