//! The way in: one message, sorted to its transaction, its leg, or a refusal.
//! Never changes a leg itself.

use bytes::Bytes;

use super::Endpoint;
use super::offered::refusal_of_options;
use crate::message::{self, Method, Parsed, Request};
use crate::tag;
use crate::types::{Access, Effect, Flow, LegId, Millis};
use crate::write;

impl Endpoint {
    /// One whole message from the network.
    pub fn receive(&mut self, now: Millis, flow: Flow, bytes: &[u8], access: &dyn Access) {
        match message::parse(bytes, flow, &self.core.config.limits) {
            Parsed::Request(request) => match self.stray(flow, &request, access) {
                Some((shard, call)) => {
                    let bytes = Bytes::copy_from_slice(bytes);
                    self.core.tell(Effect::Stray { shard, call, flow, bytes });
                }
                None => self.on_request(now, flow, &request, access),
            },
            Parsed::Response(response) => self.on_response(now, flow, &response),
            Parsed::Refused { echo, status } => self.core.refuse(&echo, status, &[]),
            Parsed::Noise => {}
        }
    }

    fn on_request(&mut self, now: Millis, flow: Flow, request: &Request, access: &dyn Access) {
        let key = self.core.server_key(request, request.method);
        match request.method {
            Method::Ack => return self.on_ack(now, key, request),
            Method::Cancel => return self.on_cancel(now, request),
            _ => {}
        }
        if let Some(tx) = self.core.servers.get(&key) {
            if let Some((flow, bytes)) = tx.retransmission() {
                self.core.send(flow, bytes);
            }
            return;
        }
        let limit = self.core.config.limits.transactions_max;
        let in_dialog = !request.to.tag.is_empty() && request.method != Method::Register;
        // What goes on inside of a call comes first: a quarter of the room is kept for it.
        let limit = if in_dialog { limit } else { limit - limit / 4 };
        if self.core.transactions() + self.registers.len() >= limit {
            return self.core.refuse(&request.echo, 503, &[]);
        }
        if in_dialog {
            return self.in_dialog(now, flow, key, request);
        }
        match request.method {
            Method::Invite => self.on_invite(now, flow, key, request, access),
            Method::Register => self.on_register(now, flow, key, request, access),
            Method::Options => self.options(request),
            Method::Bye | Method::Info | Method::Update | Method::Prack => self.core.refuse(&request.echo, 481, &[]),
            Method::Unserved | Method::Refer | Method::Notify => self.core.refuse(&request.echo, 405, &[]),
            Method::Unknown | Method::Ack | Method::Cancel => self.core.refuse(&request.echo, 501, &[]),
        }
    }

    /// The leg of a request inside of a dialog; none for forged tags, foreign dialogs and legs that are not here.
    pub(super) fn leg_of(&self, request: &Request) -> Option<LegId> {
        let id = tag::decode(&self.core.keys, &request.to.tag)?;
        let dialog = &self.legs.get(&id)?.dialog;
        (dialog.call_id == request.call_id && dialog.remote_tag == request.from.tag).then_some(id)
    }

    /// RFC 3261 11: what we can do. Out of a dialog it is answered without a transaction.
    fn options(&mut self, request: &Request) {
        if let Some((status, field)) = refusal_of_options(request) {
            let more: Vec<(&str, &str)> = field.iter().map(|(name, value)| (*name, value.as_str())).collect();
            return self.core.refuse(&request.echo, status, &more);
        }
        self.core.refuse(
            &request.echo,
            200,
            &[("Allow", write::ALLOW), ("Accept", ACCEPT), ("Supported", write::SUPPORTED)],
        );
    }
}

/// Bodies we read.
pub(super) const ACCEPT: &str = "application/sdp, application/dtmf-relay, application/dtmf";
