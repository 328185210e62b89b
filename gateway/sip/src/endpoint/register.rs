//! REGISTER: who it is, what is bound, and where that can be reached. What it means is asked by `Effect::Register`.
//! Never stores a binding.

use std::net::SocketAddr;

use super::Endpoint;
use crate::digest::{self, Credentials, Verdict};
use crate::echo::Echo;
use crate::message::{Field, Request};
use crate::timers::Due;
use crate::transaction::{ServerState, ServerTx};
use crate::types::{Access, Effect, Flow, Millis, RegisterId, RegisterOutcome};
use crate::uri::Uri;
use crate::{raw, write};

/// A REGISTER that waits for its bindings to be committed.
#[derive(Debug)]
pub(super) struct PendingRegister {
    /// Several bindings of one request share this number; the last answer completes it.
    request: u64,
    key: u64,
    echo: Echo,
    /// The Contact of the 200, empty for a removed binding.
    contact: String,
    outcome: Option<RegisterOutcome>,
}

/// A status, and the field it must have.
type Refused = (u16, Option<(&'static str, String)>);

/// A binding asked for.
struct Binding {
    /// As the phone wrote it.
    written: String,
    /// As we can reach it.
    reached: String,
    seconds: u32,
}

impl Endpoint {
    pub(super) fn on_register(&mut self, now: Millis, flow: Flow, key: u64, request: &Request, access: &dyn Access) {
        let config = &self.core.config;
        let values = request.fields.list(Field::Authorization);
        let joined = values.join(", ");
        let credentials = Credentials::parse(&joined);
        let ha1 = credentials.as_ref().and_then(|credentials| access.credential(&credentials.username));
        let verdict = credentials.as_ref().map_or(Verdict::Wrong, |credentials| {
            credentials.check(&config.secret, &config.realm, "REGISTER", ha1.as_ref(), now, config.nonce_ms)
        });
        let (Some(credentials), Some(ha1), Verdict::Good) = (credentials, ha1, verdict) else {
            let [sha256, md5] = digest::challenges(&config.secret, &config.realm, now, verdict == Verdict::Stale);
            let more = [("WWW-Authenticate", sha256.as_str()), ("WWW-Authenticate", md5.as_str())];
            let wanted = if config.challenge_sha256 { &more[..] } else { &more[1..] };
            return self.core.refuse(&request.echo, 401, wanted);
        };
        // RFC 3261 10.3 step 4: one may bind only oneself.
        if request.to.uri.user != credentials.username.as_bytes() {
            return self.core.refuse(&request.echo, 403, &[]);
        }
        if let Err((status, field)) = self.take_bindings(now, flow, key, request, &credentials.username, ha1.shard) {
            match field {
                Some((name, value)) => self.core.refuse(&request.echo, status, &[(name, &value)]),
                None => self.core.refuse(&request.echo, status, &[]),
            }
        }
    }

    fn take_bindings(
        &mut self,
        now: Millis,
        flow: Flow,
        key: u64,
        request: &Request,
        agent: &str,
        shard: u32,
    ) -> Result<(), Refused> {
        let limits = self.core.config.limits;
        let contacts = request.fields.list(Field::Contact);
        if contacts.len() > limits.contacts_max {
            return Err((403, None));
        }
        let mut unknown = request.fields.list(Field::Require);
        unknown.retain(|option| !option.eq_ignore_ascii_case("path"));
        if !unknown.is_empty() {
            return Err((420, Some(("Unsupported", unknown.join(", ")))));
        }
        // A broken Expires counts as an hour (RFC 3261 10.3 step 7).
        let expires = request.fields.first(Field::Expires).map(|value| value.trim().parse().unwrap_or(3_600u32));
        let mut bindings = Vec::with_capacity(contacts.len());
        for value in &contacts {
            bindings.push(
                binding(value, expires, contacts.len(), flow, limits.register_seconds_max).ok_or((400u16, None))?,
            );
        }
        if bindings.iter().any(|binding| binding.seconds > 0 && binding.seconds < limits.register_seconds_min) {
            return Err((423, Some(("Min-Expires", limits.register_seconds_min.to_string()))));
        }
        if bindings.is_empty() {
            // A question for the bindings; they are the shard's, and nobody here knows them.
            let mut out = request.echo.response(200, "");
            write::field(&mut out, "Server", &self.core.config.user_agent);
            self.core.reply(now, key, request.echo.flow, write::finish(out));
            return Ok(());
        }
        if self.registers.len() + bindings.len() > limits.registers_max {
            return Err((503, None));
        }
        // Repeats are absorbed until there is an answer.
        let (state, response) = (ServerState::Proceeding, bytes::Bytes::new());
        let tx = ServerTx { state, flow: request.echo.flow, response, due: Millis(0), merge: 0, leg: None };
        self.core.serve(key, tx);
        let first = self.registers_seen + 1;
        for binding in bindings {
            self.registers_seen += 1;
            let id = RegisterId(self.registers_seen);
            let contact = match binding.seconds {
                0 => String::new(),
                seconds => format!("<{}>;expires={seconds}", binding.written),
            };
            let pending = PendingRegister { request: first, key, echo: request.echo.clone(), contact, outcome: None };
            self.registers.insert(id, pending);
            let (agent, contact, expires_seconds) = (agent.to_owned(), binding.reached, binding.seconds);
            let (path, flow) = (String::new(), false);
            self.core.tell(Effect::Register { id, agent, shard, contact, expires_seconds, path, flow });
        }
        self.core.timers.arm(now.plus(self.core.config.setup_wait_ms), Due::Register(first));
        Ok(())
    }

    /// What the shard said about one binding. The REGISTER is answered when all of its bindings are.
    pub fn answer_register(&mut self, now: Millis, register: RegisterId, outcome: RegisterOutcome) {
        let Some(pending) = self.registers.get_mut(&register).filter(|pending| pending.outcome.is_none()) else {
            return;
        };
        pending.outcome = Some(outcome);
        let request = pending.request;
        if self.bindings_of(request).all(|(_, pending)| pending.outcome.is_some()) {
            self.complete_register(now, request);
        }
    }

    /// Nobody said anything in time.
    pub(super) fn register_due(&mut self, now: Millis, request: u64) {
        self.complete_register(now, request);
    }

    fn bindings_of(&self, request: u64) -> impl Iterator<Item = (&RegisterId, &PendingRegister)> {
        let last = request.saturating_add(self.core.config.limits.contacts_max as u64);
        self.registers
            .range(RegisterId(request)..=RegisterId(last))
            .filter(move |(_, pending)| pending.request == request)
    }

    fn complete_register(&mut self, now: Millis, request: u64) {
        let ids: Vec<RegisterId> = self.bindings_of(request).map(|(id, _)| *id).collect();
        let all: Vec<PendingRegister> = ids.into_iter().filter_map(|id| self.registers.remove(&id)).collect();
        let Some(first) = all.first() else { return };
        let any = |wanted: Option<RegisterOutcome>| all.iter().any(|pending| pending.outcome == wanted);
        let status = if any(None) || any(Some(RegisterOutcome::Unavailable)) {
            503
        } else if any(Some(RegisterOutcome::Refused)) {
            403
        } else {
            200
        };
        let tag = format!("{:016x}", self.core.keys.digest(b'T', &[first.echo.identity()]));
        let mut out = first.echo.response(status, &tag);
        if status == 200 {
            for pending in all.iter().filter(|pending| !pending.contact.is_empty()) {
                write::field(&mut out, "Contact", &pending.contact);
            }
        }
        self.core.finish_refusal(&mut out, status);
        let (key, flow) = (first.key, first.echo.flow);
        self.core.reply(now, key, flow, write::finish(out));
    }
}

/// RFC 3261 10.3 steps 6 and 7: one Contact value.
fn binding(value: &str, expires: Option<u32>, contacts: usize, flow: Flow, seconds_max: u32) -> Option<Binding> {
    if value == "*" {
        // Only alone and only to remove.
        let removes = contacts == 1 && expires == Some(0);
        return removes.then(|| Binding { written: String::new(), reached: "*".to_owned(), seconds: 0 });
    }
    let uri = Uri::of_value(value.as_bytes()).filter(Uri::is_sip)?;
    let own = raw::param(value.as_bytes(), b"expires");
    let own = (!own.is_empty()).then(|| String::from_utf8_lossy(own).trim().parse::<u32>().unwrap_or(3_600));
    let seconds = own.or(expires).unwrap_or(seconds_max).min(seconds_max);
    let written = String::from_utf8_lossy(&uri.text).into_owned();
    Some(Binding { reached: reachable(&uri, flow), written, seconds })
}

/// The contact as it can be reached from here: with the packet's source when the phone does not know its own address.
fn reachable(uri: &Uri, flow: Flow) -> String {
    let kept = uri.ip == Some(flow.remote.ip()) && !flow.transport.is_reliable();
    let address: SocketAddr = match uri.socket() {
        Some(written) if kept => written,
        // Over TCP the connection is the address (RFC 5626).
        _ => flow.remote,
    };
    let mut out = Vec::with_capacity(96);
    out.extend_from_slice(b"sip:");
    if !uri.user.is_empty() {
        write::user(&mut out, &String::from_utf8_lossy(&uri.user));
        out.push(b'@');
    }
    out.extend_from_slice(address.to_string().as_bytes());
    if flow.transport.is_reliable() {
        out.extend_from_slice(b";transport=");
        out.extend_from_slice(flow.transport.uri_name().as_bytes());
    }
    String::from_utf8_lossy(&out).into_owned()
}
