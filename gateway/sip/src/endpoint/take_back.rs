//! An INVITE that another gateway had out is taken back by this one (RFC 3261 9.1): its branch is derived, so that the
//! CANCEL finds the far end's transaction.
//! Never makes a leg: nobody waits for an answer. A 2xx that comes here anyway is `stray`'s.

use super::Endpoint;
use super::calling::early_dialog;
use super::core::Ask;
use crate::message::Method;
use crate::transaction::Purpose;
use crate::types::{Effect, EndCause, Invite, LegId, Millis};
use crate::{tag, write};

impl Endpoint {
    /// Takes back `invite`, which the gateway at `former` (host:port of its Via) had out for this leg: CANCEL, repeated
    /// until it is answered; `Ended` follows at once. The far end's 487 goes to the former's address and is repeated there
    /// for a while.
    #[allow(clippy::needless_pass_by_value)] // the order is spent here, as by `invite`
    pub fn take_back(&mut self, now: Millis, leg: LegId, invite: Invite, former: &str) {
        if self.legs.contains_key(&leg) {
            // It is rung from here.
            let _ = self.end(now, leg, 0, "");
            return;
        }
        // Everything is written as the former wrote it.
        let ours = std::mem::replace(&mut self.core.host_port, former.to_owned());
        self.cancel_for_former(now, leg, &invite);
        self.core.host_port = ours;
        self.core.tell(Effect::Ended { leg, cause: EndCause::Ordered, status: 0 });
    }

    fn cancel_for_former(&mut self, now: Millis, leg: LegId, invite: &Invite) {
        let Some((target, flow, route)) = self.way_out(invite) else { return };
        let token = tag::encode(&self.core.keys, leg);
        let seed = self.seed(leg, &token, &target, invite);
        let dialog = early_dialog(&seed, flow, route);
        // Who was challenged has asked a second time, with the next number.
        for cseq in invite.cseq()..=invite.cseq() + u32::from(invite.login.is_some()) {
            let branch = self.core.branch(leg, "INVITE", cseq, b"");
            let key = self.core.client_key(branch.as_bytes(), Method::Cancel);
            if self.core.clients.contains_key(&key) {
                continue;
            }
            let mut out = dialog.request("CANCEL", cseq, &self.core.host_port, &branch);
            write::reason(&mut out, 0, "taken over");
            let (purpose, bytes) = (Purpose::Cancel, write::finish(out));
            let patience_ms = self.core.config.timers.patience_ms();
            self.core.ask(now, key, Ask { purpose, leg, flow, bytes, seed: None, patience_ms });
        }
    }
}
