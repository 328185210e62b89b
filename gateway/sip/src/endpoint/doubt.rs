//! Fencing: a gateway that has lost touch with a shard begins nothing in that shard's dialogs, and one whose legs have
//! moved forgets them without a word.
//! Never asks anybody.

use super::core::Core;
use super::{Endpoint, refer};
use crate::leg::LegState;
use crate::timers::{Due, LegTimer};
use crate::transaction::{ClientState, Purpose};
use crate::types::{LegId, Millis};

/// What would be begun in doubt is looked at again after this.
pub(super) const DOUBT_MS: u64 = 500;

impl Endpoint {
    /// Whether this gateway still holds the legs of a shard cannot be said at present, or can be again. In doubt nothing is
    /// begun by time: no BYE, no refusal, no re-INVITE, no CANCEL; a re-INVITE or UPDATE of the far end is put off. What the
    /// far end ends has ended, and what the gateway asks for is done.
    pub fn set_doubt(&mut self, shard: u32, doubt: bool) {
        if doubt {
            self.core.doubts.insert(shard);
        } else {
            self.core.doubts.remove(&shard);
        }
    }

    /// The shard has accepted this offer: from now on it may be another gateway's. Before, it is nobody else's, and a caller
    /// whom nobody decides about is refused after `setup_wait_ms` also in doubt.
    pub fn taken(&mut self, leg: LegId) {
        if let Some(leg) = self.legs.get_mut(&leg)
            && let LegState::Offered(offered) = &mut leg.state
        {
            offered.taken = true;
        }
    }

    /// Another gateway goes on with this leg: it is dropped with what it has under way, without a word to anybody and
    /// without `Ended`. What only repeats an ACK stays until its time is over.
    pub fn forget(&mut self, leg: LegId) {
        let Some(gone) = self.legs.remove(&leg) else { return };
        if let LegState::Offered(offered) = &gone.state {
            self.core.forget_server(offered.key);
        }
        refer::forget(&mut self.core, &gone);
        self.core.logins.remove(&leg);
        let silent = |state| matches!(state, ClientState::Completed | ClientState::Accepted);
        self.core.clients.retain(|_, tx| tx.leg != leg || silent(tx.state));
    }

    /// In doubt: the timer of a leg is put off; says whether it was.
    pub(super) fn postponed(&mut self, now: Millis, id: LegId, timer: LegTimer) -> bool {
        if !self.core.in_doubt(id.shard) {
            return false;
        }
        let Some(leg) = self.legs.get_mut(&id) else { return false };
        if matches!((&leg.state, timer), (LegState::Offered(offered), LegTimer::Setup) if !offered.taken) {
            return false;
        }
        // A 2xx that waits for its ACK was said before; only its end would be begun.
        let repeats = match (&leg.state, timer) {
            (LegState::Up(up), LegTimer::Ok) => up.unacked.as_ref().is_some_and(|unacked| now < unacked.until),
            _ => false,
        };
        if !repeats {
            self.core.wake_leg(leg, timer, now.plus(DOUBT_MS));
        }
        !repeats
    }
}

impl Core {
    pub(super) fn in_doubt(&self, shard: u32) -> bool {
        self.doubts.contains(&shard)
    }

    /// In doubt: a request of ours that nobody answered is not given up; says whether it was put off.
    pub(super) fn patient(&mut self, now: Millis, key: u64) -> bool {
        let Some(tx) = self.clients.get_mut(&key) else { return false };
        let begins = matches!(tx.purpose, Purpose::Invite | Purpose::Reinvite | Purpose::Update);
        if !begins || !self.doubts.contains(&tx.leg.shard) {
            return false;
        }
        tx.due = now.plus(DOUBT_MS);
        self.timers.arm(tx.due, Due::Client(key));
        true
    }
}
