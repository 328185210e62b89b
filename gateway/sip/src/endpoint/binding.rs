//! Bindings of ours at somebody else's registrar (RFC 3261 section 10.2): made, kept fresh, taken back.
//! Never resolves a name; where the registrar is, it is told.

use super::Endpoint;
use super::core::Ask;
use crate::message::{Field, Method, Response};
use crate::raw;
use crate::timers::Due;
use crate::transaction::{ClientTx, Purpose};
use crate::types::{Bind, BindingId, Effect, LegId, Millis};
use crate::uri::{Scheme, Uri};
use crate::write;

/// The first pause after a failure; it doubles up to the last.
const PAUSE_MS: u64 = 5_000;
const PAUSE_MS_MAX: u64 = 300_000;
/// Longest interval that is asked for or believed; a day.
const SECONDS_MAX: u32 = 86_400;
/// A binding is refreshed at so many percent of what was granted.
const REFRESH_PERCENT: u64 = 80;

/// No leg: what is asked for a binding or a ping.
pub(super) const NO_LEG: LegId = LegId { shard: 0, call: 0, leg: 0 };

/// A binding of ours.
#[derive(Debug)]
pub(super) struct Binding {
    bind: Bind,
    aor: Uri,
    cseq: u32,
    /// The REGISTER that is under way.
    asking: Option<u64>,
    /// When it is asked next; zero: not armed.
    due: Millis,
    failures: u32,
    /// It is being taken back.
    leaving: bool,
}

impl Endpoint {
    /// Binds us at a registrar and keeps it so, until `unbind`. What comes of each REGISTER is told by `Effect::Bound`.
    /// Asked again with other terms, they hold from this moment.
    pub fn bind(&mut self, now: Millis, id: BindingId, bind: Bind) {
        if self.bindings.get(&id).is_some_and(|binding| binding.bind == bind && !binding.leaving) {
            return;
        }
        let aor = Uri::parse(bind.aor.as_bytes()).filter(|uri| uri.is_sip() && !uri.user.is_empty());
        let room = self.bindings.contains_key(&id) || self.bindings.len() < self.core.config.limits.bindings_max;
        let (Some(aor), true) = (aor, room) else {
            return self.core.tell(Effect::Bound { id, status: 503, expires_seconds: 0 });
        };
        // RFC 3261 10.2.4: the CSeq of a registrar's Call-ID only grows, also over our restarts: seconds do.
        let begin = ((now.0 / 1_000) & 0x7fff_ffff) as u32;
        let old = self.bindings.remove(&id);
        if let Some(key) = old.as_ref().and_then(|old| old.asking) {
            self.core.clients.remove(&key);
        }
        let cseq = old.map_or(begin, |old| old.cseq.max(begin));
        let binding = Binding { bind, aor, cseq, asking: None, due: Millis(0), failures: 0, leaving: false };
        self.bindings.insert(id, binding);
        self.register(now, id);
    }

    /// Takes a binding back: a REGISTER with `Expires: 0`, whose end is told like every other.
    pub fn unbind(&mut self, now: Millis, id: BindingId) {
        let Some(binding) = self.bindings.get_mut(&id).filter(|binding| !binding.leaving) else { return };
        binding.leaving = true;
        binding.due = Millis(0);
        if let Some(key) = binding.asking.take() {
            self.core.clients.remove(&key);
        }
        self.register(now, id);
    }

    fn register(&mut self, now: Millis, id: BindingId) {
        let core = &mut self.core;
        let Some(binding) = self.bindings.get_mut(&id) else { return };
        binding.due = Millis(0);
        binding.cseq = binding.cseq.saturating_add(1);
        let expires = if binding.leaving { 0 } else { binding.bind.expires_seconds.clamp(1, SECONDS_MAX) };
        let flow = binding.bind.registrar;
        let branch = core.branch(NO_LEG, "REGISTER", binding.cseq, &id.0.to_le_bytes());
        let key = core.client_key(branch.as_bytes(), Method::Register);
        // Gateways that bind the same address are different user agents: our own address is mixed in.
        let parts: [&[u8]; 3] = [binding.aor.text.as_ref(), core.host_port.as_bytes(), &id.0.to_le_bytes()];
        let (call_id, tag) = (core.keys.digest(b'R', &parts), core.keys.digest(b'r', &parts));
        let mut out = b"REGISTER ".to_vec();
        out.extend_from_slice(if binding.aor.scheme == Scheme::Sips { b"sips:" } else { b"sip:" });
        out.extend_from_slice(binding.aor.host_text().as_bytes());
        if let Some(port) = binding.aor.port {
            out.push(b':');
            write::number(&mut out, u64::from(port));
        }
        out.extend_from_slice(b" SIP/2.0\r\n");
        write::via(&mut out, flow.transport, &core.host_port, &branch);
        write::field(&mut out, "Max-Forwards", "70");
        let aor = String::from_utf8_lossy(&binding.aor.text).into_owned();
        write::field(&mut out, "From", &format!("<{aor}>;tag={tag:016x}"));
        write::field(&mut out, "To", &format!("<{aor}>"));
        write::field(&mut out, "Call-ID", &format!("{call_id:016x}"));
        write::field(&mut out, "CSeq", &format!("{} REGISTER", binding.cseq));
        core.contact(&mut out, &contact_user(&binding.aor), flow.transport);
        write::field(&mut out, "Expires", &expires.to_string());
        write::field(&mut out, "Supported", "path");
        write::field(&mut out, "User-Agent", &core.config.user_agent);
        let bytes = write::finish(out);
        let login = binding.bind.login.clone();
        binding.asking = Some(key);
        let patience_ms = core.config.timers.patience_ms();
        core.ask(now, key, Ask { purpose: Purpose::Register(id), leg: NO_LEG, flow, bytes, seed: None, patience_ms });
        if let Some(tx) = core.clients.get_mut(&key) {
            tx.login = login.map(std::sync::Arc::new);
        }
    }

    /// The challenged REGISTER goes on under another key.
    pub(super) fn register_moved(&mut self, id: BindingId, key: u64, cseq: u32) {
        if let Some(binding) = self.bindings.get_mut(&id) {
            binding.asking = Some(key);
            binding.cseq = binding.cseq.max(cseq);
        }
    }

    /// Whether this transaction is the one the binding waits for.
    pub(super) fn registers(&self, id: BindingId, key: u64) -> bool {
        self.bindings.get(&id).is_some_and(|binding| binding.asking == Some(key))
    }

    /// A final answer of the registrar.
    pub(super) fn on_bound(&mut self, now: Millis, key: u64, id: BindingId, response: &Response) {
        if !self.registers(id, key) {
            return;
        }
        let Some(binding) = self.bindings.get_mut(&id) else { return };
        match response.status {
            200..=299 => {
                let granted = granted(binding, response);
                self.bound(now, id, response.status, granted);
            }
            // RFC 3261 10.2.8: at once, with what the registrar wants at least. Only ever longer.
            423 if !binding.leaving => {
                let least = response.fields.first(Field::MinExpires).and_then(|value| value.trim().parse::<u32>().ok());
                let longer = least.filter(|least| (binding.bind.expires_seconds + 1..=SECONDS_MAX).contains(least));
                match longer {
                    Some(least) => {
                        binding.bind.expires_seconds = least;
                        self.register(now, id);
                    }
                    None => self.unbound(now, id, 423),
                }
            }
            status => self.unbound(now, id, status),
        }
    }

    /// A REGISTER got no answer: 408, or 503 when it could not even be sent.
    pub(super) fn register_lost(&mut self, now: Millis, key: u64, id: BindingId, status: u16) {
        if self.registers(id, key) {
            self.unbound(now, id, status);
        }
    }

    fn bound(&mut self, now: Millis, id: BindingId, status: u16, granted: u32) {
        let Some(binding) = self.bindings.get_mut(&id) else { return };
        binding.asking = None;
        if binding.leaving || granted == 0 {
            return self.unbound(now, id, status);
        }
        binding.failures = 0;
        let wait_ms = (u64::from(granted) * 1_000 * REFRESH_PERCENT / 100).max(1_000);
        self.ask_at(id, now.plus(wait_ms));
        self.core.tell(Effect::Bound { id, status, expires_seconds: granted });
    }

    fn unbound(&mut self, now: Millis, id: BindingId, status: u16) {
        let Some(binding) = self.bindings.get_mut(&id) else { return };
        binding.asking = None;
        if binding.leaving {
            self.bindings.remove(&id);
        } else {
            let pause = PAUSE_MS.saturating_mul(1 << binding.failures.min(10)).min(PAUSE_MS_MAX);
            binding.failures = binding.failures.saturating_add(1);
            // Many bindings that failed together do not come again together. Hashed, not drawn.
            let spread = self.core.keys.digest(b'P', &[&id.0.to_le_bytes()]) % (pause / 10);
            self.ask_at(id, now.plus(pause - spread));
        }
        self.core.tell(Effect::Bound { id, status, expires_seconds: 0 });
    }

    fn ask_at(&mut self, id: BindingId, at: Millis) {
        if let Some(binding) = self.bindings.get_mut(&id) {
            binding.due = at;
            self.core.timers.arm(at, Due::Binding(id.0));
        }
    }

    /// It is time to register again.
    pub(super) fn binding_due(&mut self, now: Millis, id: BindingId, at: Millis) {
        if self.bindings.get(&id).is_some_and(|binding| binding.due == at && binding.asking.is_none()) {
            self.register(now, id);
        }
    }

    /// A connection is gone, and with it what was registered over it (RFC 5626 4.4): again, in a moment.
    pub(super) fn bindings_failed(&mut self, now: Millis, hit: impl Fn(&crate::types::Flow) -> bool) {
        let lost = |binding: &Binding| {
            let flow = &binding.bind.registrar;
            flow.transport.is_reliable() && hit(flow) && binding.asking.is_none() && !binding.leaving
        };
        let ids: Vec<BindingId> = self.bindings.iter().filter(|(_, b)| lost(b)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(binding) = self.bindings.get_mut(&id)
                && binding.failures == 0
            {
                binding.failures = 1;
                self.ask_at(id, now.plus(PAUSE_MS));
            }
        }
    }

    /// A response to a REGISTER or OPTIONS of ours that is final.
    pub(super) fn on_answer_outside(&mut self, now: Millis, key: u64, tx: &ClientTx, response: &Response) {
        match tx.purpose {
            Purpose::Register(id) => self.on_bound(now, key, id, response),
            Purpose::Options(id) => self.pinged(id, response.status),
            _ => {}
        }
    }
}

/// The user part of our Contact: that of the address of record.
fn contact_user(aor: &Uri) -> String {
    let mut out = Vec::with_capacity(32);
    write::user(&mut out, &String::from_utf8_lossy(&aor.user));
    String::from_utf8_lossy(&out).into_owned()
}

/// For how long we are bound (RFC 3261 10.2.4): `expires` of our Contact, else Expires, else what was asked.
fn granted(binding: &Binding, response: &Response) -> u32 {
    let seconds = |text: &str| text.trim().parse::<u32>().ok();
    let ours = response
        .fields
        .list(Field::Contact)
        .into_iter()
        .find(|value| Uri::of_value(value.as_bytes()).is_some_and(|uri| uri.user == binding.aor.user));
    let own = ours.and_then(|value| seconds(&String::from_utf8_lossy(raw::param(value.as_bytes(), b"expires"))));
    let whole = || response.fields.first(Field::Expires).and_then(|value| seconds(&value));
    own.or_else(whole).unwrap_or(binding.bind.expires_seconds).min(SECONDS_MAX)
}
