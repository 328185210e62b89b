//! The telephone's calls and what is still to be repeated: RFC 3261 as a simple phone over UDP does it. Does no IO but
//! in `flush`.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use super::{
    Call, End, Rule, State,
    door::Door,
    words::{self, Message},
};
use crate::tone::Law;

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// Longer than 64*T1: a cluster that starts again meanwhile must still hear us.
const GIVE_UP: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Line {
    pub(super) rule: Rule,
    /// What OPTIONS are answered with.
    pub(super) options: u16,
    /// How often they came.
    pub(super) options_heard: u32,
    /// Who calls or registers must show this password.
    pub(super) door: Option<Door>,
    own: SocketAddr,
    media: SocketAddr,
    /// Users whose sound goes elsewhere.
    own_media: BTreeMap<String, SocketAddr>,
    /// Where the other side of such a user's newest call listens.
    their_media: BTreeMap<String, SocketAddr>,
    laws: Vec<Law>,
    calls: BTreeMap<String, Dialog>,
    begun: u64,
    counter: u64,
    out: VecDeque<(SocketAddr, String)>,
    repeats: Vec<Repeat>,
}

/// A call with what its dialog needs.
#[derive(Debug)]
struct Dialog {
    call: Call,
    /// Our side and theirs as header values.
    local: String,
    remote: String,
    /// Request URI and address of what we ask.
    target: String,
    to: SocketAddr,
    cseq: u32,
    invite: String,
    /// CSeq of the INVITE that is out or was last out.
    invite_cseq: u32,
    /// The INVITE that came in, as long as it can be answered.
    incoming: Option<String>,
    their_cseq: u32,
    answered: String,
    direction: String,
    sdp_version: u32,
    media: SocketAddr,
    cancel_wanted: bool,
    bye_said: Option<Instant>,
}

/// Sent again until somebody hears it.
#[derive(Debug)]
struct Repeat {
    key: String,
    to: SocketAddr,
    text: String,
    due: Instant,
    pause: Duration,
    end: Instant,
}

impl Line {
    pub(super) fn new(own: SocketAddr, media: SocketAddr, laws: Vec<Law>, rule: Rule) -> Self {
        let (calls, out, repeats) = (BTreeMap::new(), VecDeque::new(), Vec::new());
        let (own_media, their_media) = (BTreeMap::new(), BTreeMap::new());
        let (options, options_heard, door, begun, counter) = (200, 0, None, 0, 0);
        Self {
            rule,
            options,
            options_heard,
            door,
            own,
            media,
            own_media,
            their_media,
            laws,
            calls,
            begun,
            counter,
            out,
            repeats,
        }
    }

    pub(super) fn call(&mut self, gateway: SocketAddr, number: &str, caller: &str) -> String {
        let order = self.next_order();
        let (own, id) = (self.own, format!("{order}.{}@{}", self.fresh(), self.own));
        let dialog = Dialog {
            call: Call {
                id: id.clone(),
                order,
                outgoing: true,
                own: caller.to_owned(),
                peer: number.to_owned(),
                state: State::Calling,
                media: None,
                sdp: String::new(),
                answers: Vec::new(),
                asked: Vec::new(),
                told: Vec::new(),
                infos: 0,
                text: String::new(),
                target: gateway,
                moved: None,
                bye_took: None,
            },
            local: format!("<sip:{caller}@{own}>;tag=t{order}"),
            remote: format!("<sip:{number}@{gateway}>"),
            target: format!("sip:{number}@{gateway}"),
            to: gateway,
            cseq: 0,
            invite: String::new(),
            invite_cseq: 0,
            incoming: None,
            their_cseq: 0,
            answered: String::new(),
            direction: "sendrecv".to_owned(),
            sdp_version: 0,
            media: self.own_media.get(caller).copied().unwrap_or(self.media),
            cancel_wanted: false,
            bye_said: None,
        };
        self.calls.insert(id.clone(), dialog);
        self.invite(&id);
        id
    }

    pub(super) fn answer(&mut self, id: &str) {
        let laws = self.laws.clone();
        let own = self.own;
        let Some(dialog) = self.calls.get_mut(id) else { return };
        let Some(invite) = dialog.incoming.clone() else { return };
        let Some(message) = Message::read(&invite) else { return };
        dialog.call.state = State::Up;
        dialog.sdp_version += 1;
        let sdp = words::sdp(dialog.media, &laws, "sendrecv", dialog.sdp_version);
        let lines = message.echo(&format!("u{}", dialog.call.order)) + &contact(&dialog.call.own, own);
        let text = words::message("SIP/2.0 200 OK", &lines, "application/sdp", &sdp);
        dialog.answered.clone_from(&text);
        let to = dialog.to;
        self.repeat_until(format!("{id} ACK"), to, text);
    }

    pub(super) fn hang_up(&mut self, id: &str) {
        let Some(dialog) = self.calls.get_mut(id).filter(|dialog| dialog.call.state == State::Up) else { return };
        dialog.call.state = State::Ended(End::ByUs);
        dialog.bye_said = Some(Instant::now());
        self.ask(id, "BYE", "", "");
    }

    pub(super) fn cancel(&mut self, id: &str) {
        let Some(dialog) = self.calls.get_mut(id).filter(|dialog| dialog.call.state == State::Calling) else { return };
        // RFC 3261 9.1: not before a provisional answer.
        if dialog.call.answers.is_empty() {
            dialog.cancel_wanted = true;
            return;
        }
        let lines = dialog.lines(self.own, &dialog.invite, dialog.invite_cseq, "CANCEL");
        let text = words::message(&format!("CANCEL {} SIP/2.0", dialog.target), &lines, "", "");
        let to = dialog.to;
        self.repeat_until(format!("{id} CANCEL"), to, text);
    }

    pub(super) fn offer_again(&mut self, id: &str, direction: &str, media: SocketAddr) {
        let Some(dialog) = self.calls.get_mut(id) else { return };
        direction.clone_into(&mut dialog.direction);
        dialog.media = media;
        self.invite(id);
    }

    pub(super) fn ask(&mut self, id: &str, method: &str, body: &str, kind: &str) {
        self.ask_with(id, method, "", body, kind);
    }

    /// The same with these header lines besides.
    pub(super) fn ask_with(&mut self, id: &str, method: &str, more: &str, body: &str, kind: &str) {
        let branch = self.branch();
        let Some(dialog) = self.calls.get_mut(id) else { return };
        dialog.cseq += 1;
        let lines = dialog.lines(self.own, &branch, dialog.cseq, method) + more;
        let text = words::message(&format!("{method} {} SIP/2.0", dialog.target), &lines, kind, body);
        let to = dialog.to;
        self.repeat_until(format!("{id} {method}"), to, text);
    }

    fn invite(&mut self, id: &str) {
        let branch = self.branch();
        let Some(dialog) = self.calls.get_mut(id) else { return };
        dialog.cseq += 1;
        dialog.sdp_version += 1;
        (dialog.invite, dialog.invite_cseq) = (branch, dialog.cseq);
        let sdp = words::sdp(dialog.media, &self.laws, &dialog.direction, dialog.sdp_version);
        let lines = dialog.lines(self.own, &dialog.invite, dialog.cseq, "INVITE");
        let text = words::message(&format!("INVITE {} SIP/2.0", dialog.target), &lines, "application/sdp", &sdp);
        let to = dialog.to;
        self.repeat_until(format!("{id} INVITE"), to, text);
    }

    pub(super) fn hear(&mut self, text: &str, from: SocketAddr) {
        let Some(message) = Message::read(text) else { return };
        let id = message.one("Call-ID").to_owned();
        match message.status() {
            Some(status) => self.hear_answer(&id, status, &message, text),
            None if matches!(message.method(), "INVITE" | "REGISTER") && self.is_shut(&message, from) => {}
            None if message.method() == "REGISTER" => self.hear_register(&message, from),
            None if message.method() == "INVITE" && !self.calls.contains_key(&id) => {
                self.hear_invite(&id, &message, from, text);
            }
            None => self.hear_request(&id, &message, from),
        }
        if !self.own_media.is_empty() && text.contains("m=audio") {
            self.note_media(&id);
        }
    }

    /// Who comes without the right answer is challenged.
    fn is_shut(&mut self, message: &Message<'_>, from: SocketAddr) -> bool {
        // What belongs to a call that stands has been let in.
        if self.calls.contains_key(message.one("Call-ID")) {
            return false;
        }
        let Some(door) = &mut self.door else { return false };
        let Some(challenge) = door.challenge(message.method(), message.one("Authorization")) else { return false };
        let lines = message.echo("door") + &challenge;
        self.out.push_back((from, words::message("SIP/2.0 401 Unauthorized", &lines, "", "")));
        true
    }

    fn hear_register(&mut self, message: &Message<'_>, from: SocketAddr) {
        let (contact, expires) = (message.one("Contact"), message.one("Expires"));
        if let Some(door) = &mut self.door {
            door.bind(contact, expires);
        }
        let lines = message.echo("door") + &format!("Contact: {contact}\r\nExpires: {expires}\r\n");
        self.out.push_back((from, words::message("SIP/2.0 200 OK", &lines, "", "")));
    }

    fn hear_invite(&mut self, id: &str, message: &Message<'_>, from: SocketAddr, text: &str) {
        let order = self.next_order();
        let own = words::user(message.start.split(' ').nth(1).unwrap_or_default()).to_owned();
        let contact_uri = words::uri(message.one("Contact")).to_owned();
        let dialog = Dialog {
            call: Call {
                id: id.to_owned(),
                order,
                outgoing: false,
                own: own.clone(),
                peer: words::user(words::uri(message.one("From"))).to_owned(),
                state: State::Ringing,
                media: words::media_of(message.body),
                sdp: message.body.to_owned(),
                answers: Vec::new(),
                asked: vec!["INVITE".to_owned()],
                told: Vec::new(),
                infos: 0,
                text: text.to_owned(),
                target: words::host(&contact_uri).unwrap_or(from),
                moved: None,
                bye_took: None,
            },
            local: format!("{};tag=u{order}", message.one("To")),
            remote: message.one("From").to_owned(),
            to: words::host(&contact_uri).unwrap_or(from),
            target: contact_uri,
            cseq: 0,
            invite: String::new(),
            invite_cseq: 0,
            incoming: Some(text.to_owned()),
            their_cseq: message.cseq().0,
            answered: String::new(),
            direction: "sendrecv".to_owned(),
            sdp_version: 0,
            media: self.own_media.get(&own).copied().unwrap_or(self.media),
            cancel_wanted: false,
            bye_said: None,
        };
        self.calls.insert(id.to_owned(), dialog);
        let lines = message.echo(&format!("u{order}"));
        match self.rule {
            Rule::Refuse(status) => self.refuse(id, status, End::Refused(status), ""),
            Rule::Moved(to) => {
                self.refuse(id, 302, End::Refused(302), &format!("Contact: <{}>\r\n", to.uri()));
            }
            Rule::Ring | Rule::Answer => {
                let ringing = words::message("SIP/2.0 180 Ringing", &(lines + &contact(&own, self.own)), "", "");
                self.out.push_back((from, ringing));
                if self.rule == Rule::Answer {
                    self.answer(id);
                }
            }
        }
    }

    fn refuse(&mut self, id: &str, status: u16, end: End, more: &str) {
        let Some(dialog) = self.calls.get_mut(id) else { return };
        let Some(invite) = dialog.incoming.clone() else { return };
        let Some(message) = Message::read(&invite) else { return };
        dialog.call.state = State::Ended(end);
        let lines = message.echo(&format!("u{}", dialog.call.order)) + more;
        let text = words::message(&format!("SIP/2.0 {status} Refused"), &lines, "", "");
        dialog.answered.clone_from(&text);
        let to = dialog.to;
        self.repeat_until(format!("{id} ACK"), to, text);
    }

    fn hear_request(&mut self, id: &str, message: &Message<'_>, from: SocketAddr) {
        let method = message.method();
        if method == "ACK" {
            self.stop_repeat(&format!("{id} ACK"));
            return;
        }
        let Some(dialog) = self.calls.get_mut(id) else {
            if method != "ACK" {
                let status = if method == "OPTIONS" { self.options } else { 481 };
                self.options_heard += u32::from(method == "OPTIONS");
                let text = words::message(&format!("SIP/2.0 {status} So"), &message.echo("nobody"), "", "");
                self.out.push_back((from, text));
            }
            return;
        };
        let (cseq, _) = message.cseq();
        let again = cseq <= dialog.their_cseq && method != "CANCEL";
        dialog.their_cseq = dialog.their_cseq.max(cseq);
        if !again {
            dialog.call.asked.push(method.to_owned());
            if method == "NOTIFY" {
                dialog.call.told.push(message.body.trim().to_owned());
            }
        }
        let lines = message.echo(&format!("u{}", dialog.call.order));
        let plain = words::message("SIP/2.0 200 OK", &lines, "", "");
        match method {
            "INVITE" if again && !dialog.answered.is_empty() => {
                let text = dialog.answered.clone();
                self.out.push_back((from, text));
            }
            "INVITE" if again => {}
            "INVITE" if matches!(dialog.call.state, State::Ended(_)) => {
                let text = words::message("SIP/2.0 481 Over", &lines, "", "");
                self.out.push_back((from, text));
            }
            "INVITE" => {
                // RFC 3261 12.2.2: a re-INVITE may name another place for what we ask from now on.
                let target = words::uri(message.one("Contact"));
                if let Some(to) = words::host(target) {
                    if to != dialog.to {
                        dialog.call.moved = Some(Instant::now());
                    }
                    (dialog.target, dialog.to, dialog.call.target) = (target.to_owned(), to, to);
                }
                dialog.call.sdp = message.body.to_owned();
                dialog.call.media = words::media_of(message.body).or(dialog.call.media);
                dialog.sdp_version += 1;
                let sdp = words::sdp(dialog.media, &self.laws, "sendrecv", dialog.sdp_version);
                let lines = lines + &contact(&dialog.call.own, self.own);
                let text = words::message("SIP/2.0 200 OK", &lines, "application/sdp", &sdp);
                dialog.answered.clone_from(&text);
                self.repeat_until(format!("{id} ACK"), from, text);
            }
            "CANCEL" => {
                self.out.push_back((from, plain));
                if self.calls.get(id).is_some_and(|dialog| dialog.call.state == State::Ringing) {
                    self.refuse(id, 487, End::Cancelled, "");
                }
            }
            "BYE" => {
                if !matches!(dialog.call.state, State::Ended(_)) {
                    dialog.call.state = State::Ended(End::ByThem);
                }
                self.out.push_back((from, plain));
                self.repeats.retain(|repeat| !repeat.key.starts_with(id));
            }
            _ => self.out.push_back((from, plain)),
        }
    }

    fn hear_answer(&mut self, id: &str, status: u16, message: &Message<'_>, text: &str) {
        let (cseq, method) = message.cseq();
        if status >= 200 || method == "INVITE" {
            self.stop_repeat(&format!("{id} {method}"));
        }
        let Some(dialog) = self.calls.get_mut(id) else { return };
        let call = &mut dialog.call;
        if method == "BYE" && status >= 200 && call.bye_took.is_none() {
            call.bye_took = dialog.bye_said.map(|said| said.elapsed());
        }
        if call.answers.last() != Some(&(method.to_owned(), status)) {
            call.answers.push((method.to_owned(), status));
        }
        call.infos += u32::from(method == "INFO" && status == 200);
        if status >= 200 {
            text.clone_into(&mut call.text);
        }
        if method == "INVITE" {
            self.hear_invite_answer(id, status, cseq, message);
        }
    }

    fn hear_invite_answer(&mut self, id: &str, status: u16, cseq: u32, message: &Message<'_>) {
        let branch = self.branch();
        let Some(dialog) = self.calls.get_mut(id) else { return };
        match status {
            100..200 => {
                if std::mem::take(&mut dialog.cancel_wanted) {
                    self.cancel(id);
                }
            }
            200..300 => {
                dialog.remote = message.one("To").to_owned();
                dialog.target = words::uri(message.one("Contact")).to_owned();
                dialog.to = words::host(&dialog.target).unwrap_or(dialog.to);
                dialog.call.target = dialog.to;
                dialog.call.sdp = message.body.to_owned();
                dialog.call.media = words::media_of(message.body).or(dialog.call.media);
                if dialog.call.state == State::Calling {
                    dialog.call.state = State::Up;
                }
                // RFC 3261 13.2.2.4: the ACK to a 2xx is a transaction of its own, and said to each 2xx.
                let lines = dialog.lines(self.own, &branch, cseq, "ACK");
                let text = words::message(&format!("ACK {} SIP/2.0", dialog.target), &lines, "", "");
                self.out.push_back((dialog.to, text));
            }
            _ => {
                if dialog.call.state == State::Calling {
                    let end = if status == 487 { End::Cancelled } else { End::Refused(status) };
                    dialog.call.state = State::Ended(end);
                    dialog.remote = message.one("To").to_owned();
                }
                let remote = std::mem::replace(&mut dialog.remote, message.one("To").to_owned());
                let lines = dialog.lines(self.own, &dialog.invite, cseq, "ACK");
                let text = words::message(&format!("ACK {} SIP/2.0", dialog.target), &lines, "", "");
                dialog.remote = remote;
                self.out.push_back((dialog.to, text));
            }
        }
    }

    pub(super) fn sound_of(&mut self, user: &str, media: SocketAddr) {
        self.own_media.insert(user.to_owned(), media);
    }

    pub(super) fn media_of(&self, user: &str) -> Option<SocketAddr> {
        self.their_media.get(user).copied()
    }

    fn note_media(&mut self, id: &str) {
        let Some(call) = self.calls.get(id).map(|dialog| &dialog.call) else { return };
        if let Some(media) = call.media.filter(|_| self.own_media.contains_key(&call.own)) {
            self.their_media.insert(call.own.clone(), media);
        }
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.calls.remove(id);
        self.repeats.retain(|repeat| !repeat.key.starts_with(id));
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        let mut calls: Vec<Call> = self.calls.values().map(|dialog| dialog.call.clone()).collect();
        calls.sort_by_key(|call| call.order);
        calls
    }

    pub(super) fn look(&self, id: &str) -> Option<Call> {
        self.calls.get(id).map(|dialog| dialog.call.clone())
    }

    pub(super) fn count(&self, like: impl Fn(&Call) -> bool) -> usize {
        self.calls.values().filter(|dialog| like(&dialog.call)).count()
    }

    pub(super) fn repeat(&mut self, now: Instant) {
        self.repeats.retain(|repeat| now < repeat.end);
        for repeat in self.repeats.iter_mut().filter(|repeat| repeat.due <= now) {
            repeat.pause = (repeat.pause * 2).min(T2);
            repeat.due = now + repeat.pause;
            self.out.push_back((repeat.to, repeat.text.clone()));
        }
    }

    pub(super) fn flush(&mut self, socket: &UdpSocket) {
        for (to, text) in self.out.drain(..) {
            // A port without a listener answers with an error that belongs to an earlier datagram.
            let _ = socket.send_to(text.as_bytes(), to).or_else(|_| socket.send_to(text.as_bytes(), to));
        }
    }

    fn repeat_until(&mut self, key: String, to: SocketAddr, text: String) {
        self.stop_repeat(&key);
        let now = Instant::now();
        self.out.push_back((to, text.clone()));
        self.repeats.push(Repeat { key, to, text, due: now + T1, pause: T1, end: now + GIVE_UP });
    }

    fn stop_repeat(&mut self, key: &str) {
        self.repeats.retain(|repeat| repeat.key != key);
    }

    fn next_order(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }

    fn fresh(&mut self) -> u64 {
        self.counter += 1;
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        (since.as_micros() as u64) << 16 | (self.counter & 0xffff)
    }

    fn branch(&mut self) -> String {
        format!("z9hG4bK-{:x}", self.fresh())
    }
}

impl Dialog {
    fn lines(&self, own: SocketAddr, branch: &str, cseq: u32, method: &str) -> String {
        let Self { local, remote, call, .. } = self;
        format!(
            "Via: SIP/2.0/UDP {own};rport;branch={branch}\r\nMax-Forwards: 70\r\nFrom: {local}\r\nTo: {remote}\r\n\
             Call-ID: {}\r\nCSeq: {cseq} {method}\r\n{}",
            call.id,
            contact(&call.own, own)
        )
    }
}

fn contact(user: &str, own: SocketAddr) -> String {
    format!("Contact: <sip:{user}@{own}>\r\n")
}
