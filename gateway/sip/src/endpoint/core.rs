//! What legs share: configuration, transactions, timers and the effects that wait to be polled.
//! Never holds a leg, so that a leg and this can be borrowed together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::config::EndpointConfig;
use crate::dialog::Dialog;
use crate::echo::Echo;
use crate::leg::Leg;
use crate::login;
use crate::message::{Method, Request};
use crate::tag::Keys;
use crate::timers::{Due, LegTimer, TimerHeap};
use crate::transaction::{ByHash, ClientState, ClientTx, Purpose, Seed, ServerState, ServerTx};
use crate::types::{Effect, Flow, LegId, LocalMedia, Login, Millis, Transport};
use crate::write;

pub(crate) struct Core {
    pub(crate) config: EndpointConfig,
    pub(crate) keys: Keys,
    /// `host:port` of our Via and Contact.
    pub(crate) host_port: String,
    pub(crate) timers: TimerHeap,
    pub(crate) servers: ByHash<ServerTx>,
    /// Ordered, because `flow_failed` walks it.
    pub(crate) clients: BTreeMap<u64, ClientTx>,
    /// (Call-ID, From-tag, CSeq) of INVITEs whose transaction lives.
    pub(crate) merges: ByHash<u64>,
    /// How legs answer challenges.
    pub(crate) logins: BTreeMap<LegId, Arc<Login>>,
    pub(crate) effects: VecDeque<Effect>,
    /// Shards whose legs may have moved.
    pub(crate) doubts: BTreeSet<u32>,
}

impl Core {
    pub(crate) fn new(config: EndpointConfig) -> Self {
        Self {
            keys: Keys::new(&config.secret),
            host_port: write::host_port(&config),
            config,
            timers: TimerHeap::default(),
            servers: ByHash::default(),
            clients: BTreeMap::new(),
            merges: ByHash::default(),
            logins: BTreeMap::new(),
            effects: VecDeque::new(),
            doubts: BTreeSet::new(),
        }
    }

    pub(crate) fn send(&mut self, flow: Flow, bytes: Bytes) {
        self.effects.push_back(Effect::Send { flow, bytes });
    }

    pub(crate) fn tell(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    // Requests from others.

    /// RFC 3261 17.2.3: branch and sent-by name a transaction, ACK and CANCEL that of their INVITE. Call-ID and CSeq
    /// are mixed in, which also serves senders without a real branch.
    pub(crate) fn server_key(&self, request: &Request, method: Method) -> u64 {
        let method = if method == Method::Ack { Method::Invite } else { method };
        let cseq = request.cseq.to_le_bytes();
        let parts: [&[u8]; 6] =
            [&request.branch, request.sent_by.as_bytes(), &request.call_id, &request.from.tag, &cseq, &[method as u8]];
        self.keys.digest(b'S', &parts)
    }

    pub(crate) fn merge_key(&self, request: &Request) -> u64 {
        self.merge_key_of(&request.call_id, &request.from.tag, request.cseq)
    }

    pub(crate) fn merge_key_of(&self, call_id: &[u8], from_tag: &[u8], cseq: u32) -> u64 {
        self.keys.digest(b'M', &[call_id, from_tag, &cseq.to_le_bytes()])
    }

    /// A refusal nobody remembers (RFC 3261 8.2.7): a repeat of the request gets the same bytes, the ACK is dropped.
    pub(crate) fn refuse(&mut self, echo: &Echo, status: u16, more: &[(&str, &str)]) {
        let tag = format!("{:016x}", self.keys.digest(b'T', &[echo.identity()]));
        let mut out = echo.response(status, &tag);
        for (name, value) in more {
            write::field(&mut out, name, value);
        }
        self.finish_refusal(&mut out, status);
        self.send(echo.flow, write::finish(out));
    }

    /// Fields that a refusal of this status must have.
    pub(crate) fn finish_refusal(&self, out: &mut Vec<u8>, status: u16) {
        match status {
            405 | 501 => write::field(out, "Allow", write::ALLOW),
            415 => write::field(out, "Accept", "application/sdp"),
            503 => write::field(out, "Retry-After", &self.config.retry_after_seconds.to_string()),
            _ => {}
        }
        write::field(out, "Server", &self.config.user_agent);
    }

    /// Answers a request that is not an INVITE, and remembers the answer for its repeats.
    pub(crate) fn reply(&mut self, now: Millis, key: u64, flow: Flow, response: Bytes) {
        self.send(flow, response.clone());
        // RFC 3261 17.2.2: timer J is zero over reliable transports.
        if flow.transport.is_reliable() {
            self.servers.remove(&key);
            return;
        }
        let due = now.plus(self.config.timers.patience_ms());
        let tx = ServerTx { state: ServerState::Answered, flow, response, due, merge: 0, leg: None };
        self.serve(key, tx);
    }

    pub(crate) fn serve(&mut self, key: u64, tx: ServerTx) {
        if tx.due > Millis(0) {
            self.timers.arm(tx.due, Due::Server(key));
        }
        if tx.merge != 0 {
            self.merges.insert(tx.merge, key);
        }
        self.servers.insert(key, tx);
    }

    pub(crate) fn rearm_server(&mut self, key: u64) {
        if let Some(tx) = self.servers.get(&key) {
            self.timers.arm(tx.due, Due::Server(key));
        }
    }

    pub(crate) fn forget_server(&mut self, key: u64) {
        if let Some(tx) = self.servers.remove(&key)
            && tx.merge != 0
            && self.merges.get(&tx.merge) == Some(&key)
        {
            self.merges.remove(&tx.merge);
        }
    }

    /// Transactions of both sides.
    pub(crate) fn transactions(&self) -> usize {
        self.servers.len() + self.clients.len()
    }

    // Requests of ours.

    /// Derived, so that any gateway writes the same for the same leg, method and CSeq.
    pub(crate) fn branch(&self, leg: LegId, method: &str, cseq: u32, salt: &[u8]) -> String {
        let parts: [&[u8]; 6] = [
            &leg.shard.to_le_bytes(),
            &leg.call.to_le_bytes(),
            &leg.leg.to_le_bytes(),
            method.as_bytes(),
            &cseq.to_le_bytes(),
            salt,
        ];
        format!("z9hG4bK{:016x}", self.keys.digest(b'B', &parts))
    }

    pub(crate) fn client_key(&self, branch: &[u8], method: Method) -> u64 {
        self.keys.digest(b'C', &[branch, &[method as u8]])
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&mut self, now: Millis, key: u64, ask: Ask) {
        let t1 = self.config.timers.t1_ms;
        let until = now.plus(ask.patience_ms);
        let due = if ask.flow.transport.is_reliable() { until } else { now.plus(t1).min(until) };
        self.send(ask.flow, ask.bytes.clone());
        self.timers.arm(due, Due::Client(key));
        let state = ClientState::Trying { interval_ms: t1, until };
        let Ask { purpose, leg, flow, bytes, seed, .. } = ask;
        let login = self.logins.get(&leg).cloned();
        self.clients.insert(key, ClientTx { purpose, leg, flow, state, bytes, due, seed, login, tries: 0 });
    }

    /// BYE with a Reason; the leg need not live any longer.
    pub(crate) fn hang_up(&mut self, now: Millis, leg: LegId, dialog: &mut Dialog, status: u16, reason: &str) {
        dialog.local_cseq += 1;
        let salt = dialog.remote_tag.clone();
        let branch = self.branch(leg, "BYE", dialog.local_cseq, &salt);
        let key = self.client_key(branch.as_bytes(), Method::Bye);
        if self.clients.contains_key(&key) {
            return;
        }
        let mut out = dialog.request("BYE", dialog.local_cseq, &self.host_port, &branch);
        write::reason(&mut out, status, reason);
        write::field(&mut out, "User-Agent", &self.config.user_agent);
        let patience_ms = self.config.timers.patience_ms();
        let ask =
            Ask { purpose: Purpose::Bye, leg, flow: dialog.flow, bytes: write::finish(out), seed: None, patience_ms };
        self.ask(now, key, ask);
    }

    /// The ACK for a 2xx (RFC 3261 13.2.2.4): its own transaction, in the dialog.
    pub(crate) fn ack(&mut self, leg: LegId, dialog: &Dialog, cseq: u32) -> Bytes {
        self.ack_as(leg, dialog, cseq, b"")
    }

    /// The same for an INVITE whose bytes are known: RFC 3261 22.1 wants its credentials in the ACK.
    pub(crate) fn ack_as(&mut self, leg: LegId, dialog: &Dialog, cseq: u32, invite: &[u8]) -> Bytes {
        let branch = self.branch(leg, "ACK", cseq, &dialog.remote_tag);
        let mut out = dialog.request("ACK", cseq, &self.host_port, &branch);
        login::copy_credentials(&mut out, invite);
        let bytes = write::finish(out);
        self.send(dialog.flow, bytes.clone());
        bytes
    }

    /// Our Contact.
    pub(crate) fn contact(&self, out: &mut Vec<u8>, token: &str, transport: Transport) {
        out.extend_from_slice(b"Contact: <sip:");
        out.extend_from_slice(token.as_bytes());
        out.push(b'@');
        out.extend_from_slice(self.host_port.as_bytes());
        if transport.is_reliable() {
            out.extend_from_slice(b";transport=");
            out.extend_from_slice(transport.uri_name().as_bytes());
        }
        out.extend_from_slice(b">\r\n");
    }

    /// Whether an SDP that goes this way may hold SRTP keys (RFC 4568 7: only over a protected transport).
    pub(crate) fn keys_may_travel(&self, flow: Flow) -> bool {
        flow.transport.is_secure() || self.config.crypto_anywhere
    }

    /// Our media as it may be offered there.
    pub(crate) fn offerable(&self, media: LocalMedia, flow: Flow) -> LocalMedia {
        LocalMedia { crypto: media.crypto.filter(|_| self.keys_may_travel(flow)), ..media }
    }

    /// Wakes a leg's timer at a moment; an earlier wish of the same timer is dropped.
    pub(crate) fn wake_leg(&mut self, leg: &mut Leg, timer: LegTimer, at: Millis) {
        leg.wakes[timer as usize] = at;
        self.timers.arm(at, Due::Leg(leg.id, timer));
    }
}

/// A request to send.
pub(crate) struct Ask {
    pub(crate) purpose: Purpose,
    pub(crate) leg: LegId,
    pub(crate) flow: Flow,
    pub(crate) bytes: Bytes,
    pub(crate) seed: Option<Box<Seed>>,
    pub(crate) patience_ms: u64,
}
