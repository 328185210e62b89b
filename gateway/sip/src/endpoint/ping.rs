//! OPTIONS out of a dialog (RFC 3261 section 11): whether somebody is there. Never concludes anything from it.

use super::Endpoint;
use super::binding::NO_LEG;
use super::core::Ask;
use crate::message::Method;
use crate::transaction::Purpose;
use crate::types::{Effect, Flow, Millis, PingId};
use crate::write;

impl Endpoint {
    /// Asks whether somebody is there; `host` is the host of the Request-URI. Answered once by `Effect::Pinged`, after
    /// `no_provisional_ms` with 0. Nothing is done while the same ping is under way.
    pub fn ping(&mut self, now: Millis, id: PingId, flow: Flow, host: &str) {
        if self.pings.contains(&id) {
            return;
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
        let named = !host.is_empty() && host.len() <= 255 && host.bytes().all(plain);
        if !named || self.pings.len() >= self.core.config.limits.pings_max {
            return self.core.tell(Effect::Pinged { id, status: 0 });
        }
        let core = &mut self.core;
        let salt = [id.0.to_le_bytes(), now.0.to_le_bytes()].concat();
        let branch = core.branch(NO_LEG, "OPTIONS", 1, &salt);
        let key = core.client_key(branch.as_bytes(), Method::Options);
        let (call_id, tag) = (core.keys.digest(b'o', &[&salt]), core.keys.digest(b'p', &[&salt]));
        let mut out = format!("OPTIONS sip:{host} SIP/2.0\r\n").into_bytes();
        write::via(&mut out, flow.transport, &core.host_port, &branch);
        write::field(&mut out, "Max-Forwards", "70");
        write::field(&mut out, "From", &format!("<sip:{}>;tag={tag:016x}", core.host_port));
        write::field(&mut out, "To", &format!("<sip:{host}>"));
        write::field(&mut out, "Call-ID", &format!("{call_id:016x}"));
        write::field(&mut out, "CSeq", "1 OPTIONS");
        core.contact(&mut out, "ping", flow.transport);
        write::field(&mut out, "Accept", "application/sdp");
        write::field(&mut out, "User-Agent", &core.config.user_agent);
        let bytes = write::finish(out);
        self.pings.insert(id);
        let patience_ms = core.config.no_provisional_ms;
        core.ask(now, key, Ask { purpose: Purpose::Options(id), leg: NO_LEG, flow, bytes, seed: None, patience_ms });
    }

    pub(super) fn pinged(&mut self, id: PingId, status: u16) {
        if self.pings.remove(&id) {
            self.core.tell(Effect::Pinged { id, status });
        }
    }
}
