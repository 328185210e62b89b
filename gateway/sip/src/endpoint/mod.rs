//! The endpoint: everything one lane knows about SIP. Inputs are methods, outputs are effects.
//! Never blocks, never reads a clock.

use crate::config::EndpointConfig;
use crate::types::{
    Access, Effect, Flow, Invite, LegId, LocalMedia, Millis, RegisterId, RegisterOutcome, RemoteMedia, UnknownLeg,
};

/// All SIP state of one lane.
pub struct Endpoint {
    config: EndpointConfig,
    effects: std::collections::VecDeque<Effect>,
}

impl Endpoint {
    /// An endpoint without legs.
    #[must_use]
    pub fn new(config: EndpointConfig) -> Self {
        Self { config, effects: std::collections::VecDeque::new() }
    }
    /// One whole message from the network.
    pub fn receive(&mut self, _now: Millis, _flow: Flow, _bytes: &[u8], _access: &dyn Access) {
        let _ = &self.config;
    }
    /// ICMP unreachable, TCP refused or closed.
    pub fn flow_failed(&mut self, _now: Millis, _flow: Flow) {}
    /// Does whatever is due.
    pub fn timeout(&mut self, _now: Millis) {}
    /// When `timeout` wants to be called next; may be early, never late.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Millis> {
        None
    }
    /// The next effect, in order.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }
    /// The caller hears ringing: 180.
    pub fn alert(&mut self, _now: Millis, leg: LegId) -> Result<(), UnknownLeg> {
        Err(UnknownLeg(leg))
    }
    /// The caller is answered: 200 with SDP.
    pub fn answer(&mut self, _now: Millis, leg: LegId, _media: LocalMedia) -> Result<(), UnknownLeg> {
        Err(UnknownLeg(leg))
    }
    /// Rings somebody. Asked again for a leg that exists, nothing is done.
    pub fn invite(&mut self, _now: Millis, _leg: LegId, _invite: Invite) {}
    /// The leg must go: a final refusal with `status`, CANCEL or BYE, whatever is right.
    pub fn end(&mut self, _now: Millis, leg: LegId, _status: u16, _reason: &str) -> Result<(), UnknownLeg> {
        Err(UnknownLeg(leg))
    }
    /// Offers new media of ours to the far end of an established leg (re-INVITE).
    pub fn reoffer(&mut self, _now: Millis, leg: LegId, _media: LocalMedia) -> Result<(), UnknownLeg> {
        Err(UnknownLeg(leg))
    }
    /// What the shard said about a REGISTER.
    pub fn answer_register(&mut self, _now: Millis, _register: RegisterId, _outcome: RegisterOutcome) {}
    /// The far end's audio.
    #[must_use]
    pub fn remote_media(&self, _leg: LegId) -> Option<&RemoteMedia> {
        None
    }
    /// The dialog of an established leg, as any gateway needs it to go on.
    #[must_use]
    pub fn passport(&self, _leg: LegId) -> Option<Vec<u8>> {
        None
    }
    /// All legs, in order.
    pub fn legs(&self) -> impl Iterator<Item = LegId> + '_ {
        std::iter::empty()
    }
}
