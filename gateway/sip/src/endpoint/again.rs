//! A request of ours that is refused for a reason that can be mended is asked once more: a digest challenge of our
//! realm (RFC 3261 22.2), a session interval that is too small (RFC 4028 7.3), a binding too brief is `binding`'s.
//! Never asks for ever.

use bytes::Bytes;

use super::Endpoint;
use super::calling::derive;
use super::core::Ask;
use crate::leg::LegState;
use crate::login;
use crate::message::{Field, Method, Response};
use crate::raw;
use crate::transaction::{ClientState, ClientTx, Purpose};
use crate::types::Millis;
use crate::write;

/// How often one request may be asked again, for whatever reasons together.
const TRIES_MAX: u8 = 3;

/// What is different the next time.
struct Change {
    /// Header lines that are written.
    lines: Vec<u8>,
    /// Fields that they replace.
    replaced: &'static [&'static [u8]],
}

const CREDENTIALS: &[&[u8]] = &[b"Authorization", b"Proxy-Authorization"];
const INTERVAL: &[&[u8]] = &[b"Session-Expires", b"Min-SE"];

impl Endpoint {
    /// Asks again when that can help; else gives the transaction back, to be refused as it was.
    pub(super) fn again(&mut self, now: Millis, key: u64, tx: ClientTx, response: &Response) -> Option<ClientTx> {
        let waits = matches!(tx.state, ClientState::Trying { .. } | ClientState::Proceeding { .. });
        if !waits || tx.tries >= TRIES_MAX || !self.is_wanted(key, &tx) {
            return Some(tx);
        }
        let cseq = self.next_cseq(&tx);
        let change = match response.status {
            401 | 407 => self.credentials(&tx, response, cseq),
            422 => interval(&tx, response),
            _ => None,
        };
        let Some(change) = change else { return Some(tx) };
        self.ask_again(now, key, tx, response, cseq, &change);
        None
    }

    /// Whether anybody still wants it: an INVITE only as long as its leg rings and nobody asked to end it.
    fn is_wanted(&self, key: u64, tx: &ClientTx) -> bool {
        let state = self.legs.get(&tx.leg).map(|leg| &leg.state);
        match tx.purpose {
            Purpose::Invite => {
                matches!(state, Some(LegState::Calling(calling)) if calling.key == key && calling.ending.is_none())
            }
            Purpose::Reinvite | Purpose::Update => {
                matches!(state, Some(LegState::Up(up)) if up.asking.is_some_and(|asking| asking.key == key))
            }
            Purpose::Bye => true,
            Purpose::Register(id) => self.registers(id, key),
            Purpose::Notify | Purpose::Prack => state.is_some(),
            // RFC 3261 22.1: CANCEL cannot be asked again. A ping has its answer.
            Purpose::Cancel | Purpose::Options(_) => false,
        }
    }

    fn next_cseq(&self, tx: &ClientTx) -> u32 {
        let own = cseq_of(&tx.bytes);
        self.legs.get(&tx.leg).map_or(own, |leg| leg.dialog.local_cseq.max(own)).saturating_add(1)
    }

    /// RFC 3261 22.2: once, and once more when only the nonce was too old.
    fn credentials(&self, tx: &ClientTx, response: &Response, cseq: u32) -> Option<Change> {
        let login = tx.login.as_ref()?;
        let challenge = login::choose(&response.fields, login)?;
        let answered = raw::fields(&tx.bytes).any(|(name, _)| CREDENTIALS.contains(&name));
        if answered && !challenge.stale {
            return None;
        }
        let (method, uri) = start_line(&tx.bytes)?;
        let lines = challenge.answer(login, &self.core.keys, method, uri, cseq)?;
        Some(Change { lines, replaced: CREDENTIALS })
    }

    fn ask_again(&mut self, now: Millis, key: u64, mut tx: ClientTx, response: &Response, cseq: u32, change: &Change) {
        let method = response.method;
        let remote_tag =
            raw::fields(&tx.bytes).find(|(name, _)| *name == b"To").map_or(&b""[..], |(_, to)| raw::tag(to));
        let salt = match tx.purpose {
            Purpose::Register(id) => id.0.to_le_bytes().to_vec(),
            _ => remote_tag.to_vec(),
        };
        let branch = self.core.branch(tx.leg, method.name(), cseq, &salt);
        let bytes = rewrite(&tx.bytes, cseq, &branch, change);
        let (purpose, leg, flow, tries, login) = (tx.purpose, tx.leg, tx.flow, tx.tries + 1, tx.login.clone());
        let seed = tx.seed.as_ref().map(|seed| Box::new(crate::transaction::Seed { cseq, ..(**seed).clone() }));
        if method == Method::Invite {
            let ack = derive(&tx.bytes, "ACK", Some(&response.to), |_| {});
            self.core.send(flow, ack.clone());
            tx.bytes = ack;
            self.core.complete(now, key, tx);
        }
        let next = self.core.client_key(branch.as_bytes(), method);
        self.moved(leg, purpose, next, cseq);
        let patience_ms = match purpose {
            Purpose::Invite => self.core.config.no_provisional_ms.min(self.core.config.timers.patience_ms()),
            _ => self.core.config.timers.patience_ms(),
        };
        self.core.ask(now, next, Ask { purpose, leg, flow, bytes, seed, patience_ms });
        if let Some(tx) = self.core.clients.get_mut(&next) {
            tx.tries = tries;
            tx.login = login;
        }
    }

    /// Whoever waits for the answer waits for the new transaction's.
    fn moved(&mut self, leg: crate::types::LegId, purpose: Purpose, key: u64, cseq: u32) {
        if let Purpose::Register(id) = purpose {
            self.register_moved(id, key, cseq);
        }
        let Some(leg) = self.legs.get_mut(&leg) else { return };
        leg.dialog.local_cseq = leg.dialog.local_cseq.max(cseq);
        match (&mut leg.state, purpose) {
            (LegState::Calling(calling), Purpose::Invite) => {
                calling.key = key;
                calling.provisional = false;
            }
            (LegState::Up(up), Purpose::Reinvite | Purpose::Update) => {
                if let Some(asking) = up.asking.as_mut() {
                    asking.key = key;
                }
            }
            _ => {}
        }
    }
}

/// RFC 4028 7.3: with the interval that the far end wants at least. Only ever longer than what was asked.
fn interval(tx: &ClientTx, response: &Response) -> Option<Change> {
    let asked = raw::fields(&tx.bytes).find(|(name, _)| *name == b"Session-Expires").map(|(_, value)| value)?;
    let asked = std::str::from_utf8(asked).ok()?;
    let (seconds, more) = asked.split_once(';').map_or((asked, ""), |(seconds, more)| (seconds, more));
    let seconds: u32 = seconds.trim().parse().ok()?;
    let least: u32 = response.fields.first(Field::MinSe)?.split(';').next()?.trim().parse().ok()?;
    if least <= seconds || least > super::session::SECONDS_MAX {
        return None;
    }
    let more = if more.is_empty() { String::new() } else { format!(";{more}") };
    let mut lines = Vec::with_capacity(64);
    write::field(&mut lines, "Session-Expires", &format!("{least}{more}"));
    write::field(&mut lines, "Min-SE", &least.to_string());
    Some(Change { lines, replaced: INTERVAL })
}

/// Method and Request-URI of a request of ours.
fn start_line(bytes: &[u8]) -> Option<(&str, &str)> {
    let line = bytes.split(|&b| b == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    Some((words.next()?, words.next()?))
}

/// The CSeq number of a request of ours.
fn cseq_of(bytes: &[u8]) -> u32 {
    let value = raw::fields(bytes).find(|(name, _)| *name == b"CSeq").map(|(_, value)| value).unwrap_or_default();
    let digits = value.split(|&b| b == b' ').next().unwrap_or_default();
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The same request with another CSeq number, another branch and what is changed.
fn rewrite(bytes: &[u8], cseq: u32, branch: &str, change: &Change) -> Bytes {
    let head_end = bytes.windows(4).position(|w| w == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let (head, body) = bytes.split_at(head_end);
    let line_end = head.iter().position(|&b| b == b'\r').unwrap_or(head.len());
    let mut out = Vec::with_capacity(bytes.len() + 256);
    out.extend_from_slice(&head[..line_end]);
    out.extend_from_slice(b"\r\n");
    for (name, value) in raw::fields(head) {
        if change.replaced.contains(&name) {
            continue;
        }
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        match name {
            b"Via" => {
                let sent_by = value.split(|&b| b == b';').next().unwrap_or_default();
                out.extend_from_slice(sent_by);
                out.extend_from_slice(format!(";branch={branch};rport").as_bytes());
            }
            b"CSeq" => {
                let method = value.splitn(2, |&b| b == b' ').nth(1).unwrap_or_default();
                write::number(&mut out, u64::from(cseq));
                out.push(b' ');
                out.extend_from_slice(method);
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(change.lines.strip_suffix(b"\r\n").unwrap_or(&change.lines));
            }
            _ => out.extend_from_slice(value),
        }
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    Bytes::from(out)
}
