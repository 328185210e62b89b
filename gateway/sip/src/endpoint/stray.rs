//! Messages of calls that are not here: requests are told, so that the gateway asks the shard who has the call and relays
//! them, and a late 2xx is hung up. Forged and foreign ones never get this far.
//! Never keeps anything.

use bytes::Bytes;

use super::Endpoint;
use crate::dialog::Dialog;
use crate::leg::LegState;
use crate::message::{self, Method, Parsed, Request, Response};
use crate::transaction::Seed;
use crate::types::{Access, Flow, LegId, Millis};
use crate::uri::Uri;
use crate::{tag, write};

/// Why a late 2xx is hung up.
const TOO_LATE: (u16, &str) = (487, "too late");

impl Endpoint {
    /// The shard and call of a request that belongs to a leg of ours which is not here: its To tag has a good MAC, or it is
    /// the CANCEL of an INVITE from an allowed source to a number of ours, whose call is derived.
    pub(super) fn stray(&self, flow: Flow, request: &Request, access: &dyn Access) -> Option<(Option<u32>, u64)> {
        let method = if request.method == Method::Cancel { Method::Invite } else { request.method };
        if method == Method::Register || self.core.servers.contains_key(&self.core.server_key(request, method)) {
            return None;
        }
        let id = if !request.to.tag.is_empty() {
            tag::decode(&self.core.keys, &request.to.tag)?
        } else if request.method == Method::Cancel && access.trunk_allows(flow.remote.ip()) {
            let number = request.uri.user_text(self.core.config.limits.name_bytes_max);
            let shard = access.shard_of_number(&number)?;
            LegId { shard, call: self.core.keys.call_id(&request.call_id, &request.from.tag), leg: 1 }
        } else {
            return None;
        };
        (!self.legs.contains_key(&id)).then_some((Some(id.shard), id.call))
    }

    /// Nobody has the call of an `Effect::Stray`: 481 (RFC 3261 12.2.2, 9.2). An ACK gets no answer.
    pub fn answer_stray(&mut self, _now: Millis, flow: Flow, bytes: &[u8]) {
        if let Parsed::Request(request) = message::parse(bytes, flow, &self.core.config.limits)
            && request.method != Method::Ack
        {
            self.core.refuse(&request.echo, 481, &[]);
        }
    }

    /// A 2xx to an INVITE of ours whose transaction is not here: of a gateway that was lost, or that came too late.
    /// Branches are derived, so that it is known what kind of INVITE it answers.
    pub(super) fn on_stray_answer(&mut self, flow: Flow, response: &Response) {
        if response.method != Method::Invite || !(200..300).contains(&response.status) {
            return;
        }
        let Some(id) = tag::decode(&self.core.keys, &response.from_tag) else { return };
        if let Some(leg) = self.legs.get(&id).filter(|leg| matches!(leg.state, LegState::Up(_)))
            && leg.dialog.remote_tag == response.to_tag
        {
            // Its ACK was lost, or was the former's to say.
            let dialog = leg.dialog.clone();
            return self.say(id, &dialog, "ACK", response.cseq);
        }
        let branch = |salt: &[u8]| self.core.branch(id, "INVITE", response.cseq, salt);
        let (first, again) = (branch(b""), branch(&response.to_tag));
        let ours = |wanted: &str| response.branch == wanted.as_bytes();
        if !ours(&first) && !ours(&again) {
            return;
        }
        let Some(dialog) = self.dialog_of(flow, response) else { return };
        self.say(id, &dialog, "ACK", response.cseq);
        // A re-INVITE's dialog may live elsewhere; an INVITE that nobody waits for makes none.
        if ours(&first) && response.cseq < u32::MAX {
            self.say(id, &dialog, "BYE", response.cseq + 1);
        }
    }

    fn dialog_of(&self, flow: Flow, response: &Response) -> Option<Dialog> {
        let seed = Seed {
            uri: Uri::of_value(&response.to)?.text,
            local: response.from.clone(),
            remote: Bytes::new(),
            call_id: response.call_id.clone(),
            cseq: response.cseq,
            tag: response.to_tag.clone(),
            abandoned: true,
            cancelled: true,
        };
        Some(Dialog::of_response(&seed, response, flow, self.core.config.limits.routes_max))
    }

    /// A request that nobody waits for: a repeat of what it answers brings it again.
    fn say(&mut self, leg: LegId, dialog: &Dialog, method: &str, cseq: u32) {
        let branch = self.core.branch(leg, method, cseq, &dialog.remote_tag);
        let mut out = dialog.request(method, cseq, &self.core.host_port, &branch);
        if method == "BYE" {
            write::reason(&mut out, TOO_LATE.0, TOO_LATE.1);
            write::field(&mut out, "User-Agent", &self.core.config.user_agent);
        }
        self.core.send(dialog.flow, write::finish(out));
    }
}
