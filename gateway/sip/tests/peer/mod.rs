//! A hand that plays the far ends of an endpoint: literal SIP in, literal SIP out, time by hand.
//! Never an endpoint itself.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use sip::{
    Access, Effect, EndCause, Endpoint, EndpointConfig, Flow, Ha1, Invite, LegId, LocalMedia, Millis, Transport,
};

pub const SECRET: [u8; 32] = *b"0123456789abcdef0123456789ABCDEF";

/// The trunk that may say who calls.
pub const TRUSTED: &str = "192.0.2.88:5060";

pub struct Directory;

impl Access for Directory {
    fn shard_of_number(&self, number: &str) -> Option<u32> {
        (number == "5000").then_some(1)
    }
    fn trunk_allows(&self, ip: IpAddr) -> bool {
        ip != IpAddr::from([203, 0, 113, 66])
    }
    fn trusts_identity(&self, ip: IpAddr) -> bool {
        ip == address(TRUSTED).ip()
    }
    fn credential(&self, agent: &str) -> Option<Ha1> {
        // HA1 of alice:cordboard:secret.
        (agent == "alice").then(|| Ha1 { md5: super::md5_ha1(), sha256: super::sha256_ha1(), shard: 1 })
    }
}

pub fn udp(address: &str) -> Flow {
    Flow { transport: Transport::Udp, remote: address.parse().unwrap(), connection: 0 }
}

pub fn tcp(address: &str, connection: u64) -> Flow {
    Flow { transport: Transport::Tcp, remote: address.parse().unwrap(), connection }
}

pub struct Desk {
    pub endpoint: Endpoint,
    pub now: Millis,
    pub sent: VecDeque<(Flow, String)>,
    pub told: VecDeque<Effect>,
    pub from: Flow,
}

pub fn desk() -> Desk {
    desk_with(|_| {})
}

pub fn desk_with(change: impl FnOnce(&mut EndpointConfig)) -> Desk {
    let mut config = EndpointConfig::new(SECRET, "cordboard", "192.0.2.1", 5060);
    change(&mut config);
    Desk {
        endpoint: Endpoint::new(config),
        now: Millis(1_700_000_000_000),
        sent: VecDeque::new(),
        told: VecDeque::new(),
        from: udp("192.0.2.77:5060"),
    }
}

pub const MEDIA: LocalMedia =
    LocalMedia { address: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), port: 20_000, crypto: None };

pub fn invite_to(target: &str) -> Invite {
    Invite {
        caller: "491234".to_owned(),
        caller_name: "Ann \"A\" \\ B".to_owned(),
        number: "5000".to_owned(),
        headers: vec![("X-Queue".to_owned(), "support".to_owned()), ("X-Bad".to_owned(), "a\r\nEvil: 1".to_owned())],
        ..Invite::to(target, MEDIA)
    }
}

impl Desk {
    pub fn hear(&mut self, text: &str) {
        let from = self.from;
        self.hear_from(from, text);
    }

    pub fn hear_from(&mut self, from: Flow, text: &str) {
        self.endpoint.receive(self.now, from, crlf(text).as_bytes(), &Directory);
        self.drain();
    }

    pub fn hear_bytes(&mut self, bytes: &[u8]) {
        self.endpoint.receive(self.now, self.from, bytes, &Directory);
        self.drain();
    }

    pub fn drain(&mut self) {
        while let Some(effect) = self.endpoint.poll() {
            match effect {
                Effect::Send { flow, bytes } => {
                    let text = String::from_utf8(bytes.to_vec()).unwrap();
                    well_formed(&text);
                    self.sent.push_back((flow, text));
                }
                other => self.told.push_back(other),
            }
        }
    }

    /// Lets time pass, timer by timer.
    pub fn wait(&mut self, ms: u64) {
        let end = self.now.plus(ms);
        while let Some(at) = self.endpoint.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.endpoint.timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// The next message that was sent; it must begin like this.
    #[track_caller]
    pub fn says(&mut self, start: &str) -> String {
        self.says_to(start).1
    }

    #[track_caller]
    pub fn says_to(&mut self, start: &str) -> (Flow, String) {
        let Some((flow, text)) = self.sent.pop_front() else { panic!("nothing sent, wanted {start}") };
        assert!(text.starts_with(start), "wanted {start}, got\n{text}");
        (flow, text)
    }

    #[track_caller]
    pub fn silent(&mut self) {
        assert!(self.sent.is_empty(), "sent {:?}", self.sent);
    }

    #[track_caller]
    pub fn tells(&mut self) -> Effect {
        self.told.pop_front().expect("an effect")
    }

    #[track_caller]
    pub fn tells_nothing(&mut self) {
        assert!(self.told.is_empty(), "told {:?}", self.told);
    }

    #[track_caller]
    pub fn ended(&mut self, leg: LegId, cause: EndCause, status: u16) {
        assert_eq!(self.tells(), Effect::Ended { leg, cause, status });
        self.tells_nothing();
    }

    /// A caller has been offered; returns its leg. 100 has been checked.
    #[track_caller]
    pub fn offered(&mut self) -> LegId {
        self.says("SIP/2.0 100 Trying\r\n");
        match self.tells() {
            Effect::Offered { leg, .. } => leg,
            other => panic!("wanted an offer, got {other:?}"),
        }
    }

    /// A caller that has been answered and has said ACK; returns its leg and the 200.
    #[track_caller]
    pub fn talking(&mut self) -> (LegId, String) {
        self.hear(&invite());
        let leg = self.offered();
        self.endpoint.answer(self.now, leg, MEDIA).unwrap();
        self.drain();
        let ok = self.says("SIP/2.0 200 OK\r\n");
        self.hear(&in_dialog("ACK", 1, &ok, ""));
        assert!(matches!(self.tells(), Effect::Confirmed { .. }));
        self.silent();
        (leg, ok)
    }

    /// An agent leg that has answered; returns its leg, our INVITE, and its flow.
    #[track_caller]
    pub fn agent_talking(&mut self) -> (LegId, String) {
        let leg = LegId { shard: 1, call: 77, leg: 2 };
        self.endpoint.invite(self.now, leg, invite_to("sip:bob@192.0.2.50:5070"));
        self.drain();
        let (flow, invite) = self.says_to("INVITE sip:bob@192.0.2.50:5070 SIP/2.0\r\n");
        self.hear_from(flow, &response(&invite, "200 OK", "b1", ANSWER));
        self.says("ACK sip:bob@192.0.2.50:5070 SIP/2.0\r\n");
        assert!(matches!(self.tells(), Effect::Answered { .. }));
        (leg, invite)
    }

    /// After the last timer nothing is left.
    #[track_caller]
    pub fn forgets_everything(&mut self) {
        self.wait(200_000);
        assert_eq!(self.endpoint.legs().count(), 0);
        assert_eq!(self.endpoint.transactions(), 0);
    }
}

/// Every message we send must be this much.
pub fn well_formed(text: &str) {
    let (head, body) = text.split_once("\r\n\r\n").expect("an empty line");
    assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "bare CR or LF in {head:?}");
    for name in ["Via", "From", "To", "Call-ID", "CSeq", "Content-Length"] {
        assert!(head.contains(&format!("\r\n{name}: ")) || head.contains("SIP/2.0 4"), "no {name} in\n{head}");
    }
    let length = field(text, "Content-Length");
    assert_eq!(length.parse::<usize>().unwrap(), body.len(), "Content-Length of\n{text}");
}

/// Literal messages are written with plain line ends.
pub fn crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

/// The first value of a field.
#[track_caller]
pub fn field(text: &str, name: &str) -> String {
    let start = format!("{name}: ");
    let line = text.lines().take_while(|line| !line.trim().is_empty()).find(|line| line.starts_with(&start));
    line.map(|line| line[start.len()..].trim().to_owned()).unwrap_or_default()
}

pub fn body(text: &str) -> &str {
    text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

pub const OFFER: &str = "v=0
o=ann 1 1 IN IP4 192.0.2.77
s=-
c=IN IP4 192.0.2.77
t=0 0
m=audio 6000 RTP/AVP 8 0 101
a=rtpmap:101 telephone-event/8000
a=sendrecv
";

pub const ANSWER: &str = "v=0
o=bob 1 1 IN IP4 192.0.2.50
s=-
c=IN IP4 192.0.2.50
t=0 0
m=audio 7000 RTP/AVP 0 101
a=rtpmap:101 telephone-event/8000
";

pub fn with_body(head: &str, kind: &str, text: &str) -> String {
    let text = crlf(text);
    if text.is_empty() {
        return crlf(&format!("{head}Content-Length: 0\n\n"));
    }
    crlf(&format!("{head}Content-Type: {kind}\nContent-Length: {}\n\n{text}", text.len()))
}

/// A caller's INVITE.
pub fn invite() -> String {
    invite_with("", OFFER)
}

pub fn invite_with(more: &str, sdp: &str) -> String {
    let head = format!(
        "INVITE sip:5000@192.0.2.1 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bKa1;rport
Max-Forwards: 70
From: \"Ann\" <sip:491234@192.0.2.77>;tag=a1
To: <sip:5000@192.0.2.1>
Call-ID: call-1@192.0.2.77
CSeq: 1 INVITE
Contact: <sip:491234@192.0.2.77:5060>
{more}"
    );
    with_body(&head, "application/sdp", sdp)
}

/// A caller's request in the dialog that `ok` (our 2xx) made.
pub fn in_dialog(method: &str, cseq: u32, ok: &str, more: &str) -> String {
    in_dialog_with(method, cseq, ok, more, "", "")
}

pub fn in_dialog_with(method: &str, cseq: u32, ok: &str, more: &str, kind: &str, text: &str) -> String {
    let contact = field(ok, "Contact");
    let target = contact.trim_matches(['<', '>']);
    let (from, to, call) = (field(ok, "From"), field(ok, "To"), field(ok, "Call-ID"));
    let head = format!(
        "{method} {target} SIP/2.0
Via: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bK{method}{cseq};rport
Max-Forwards: 70
From: {from}
To: {to}
Call-ID: {call}
CSeq: {cseq} {method}
Contact: <sip:491234@192.0.2.77:5060>
{more}"
    );
    with_body(&head, kind, text)
}

/// An agent's request in the dialog of our INVITE; From and To are turned round.
pub fn agent_says(method: &str, cseq: u32, invite: &str, tag: &str) -> String {
    let contact = field(invite, "Contact");
    let target = contact.trim_matches(['<', '>']);
    let (from, to, call) = (field(invite, "To"), field(invite, "From"), field(invite, "Call-ID"));
    let head = format!(
        "{method} {target} SIP/2.0
Via: SIP/2.0/UDP 192.0.2.50:5070;branch=z9hG4bKagent{method}{cseq}
Max-Forwards: 70
From: {from};tag={tag}
To: {to}
Call-ID: {call}
CSeq: {cseq} {method}
Contact: <sip:bob@192.0.2.50:5070>
"
    );
    with_body(&head, "", "")
}

/// A far end's response to a request of ours.
pub fn response(request: &str, status: &str, tag: &str, sdp: &str) -> String {
    response_with(request, status, tag, "Contact: <sip:bob@192.0.2.50:5070>\n", sdp)
}

pub fn response_with(request: &str, status: &str, tag: &str, more: &str, sdp: &str) -> String {
    let to = field(request, "To");
    let to = if to.contains("tag=") || tag.is_empty() { to } else { format!("{to};tag={tag}") };
    let head = format!(
        "SIP/2.0 {status}
Via: {}
From: {}
To: {to}
Call-ID: {}
CSeq: {}
{more}",
        field(request, "Via"),
        field(request, "From"),
        field(request, "Call-ID"),
        field(request, "CSeq"),
    );
    with_body(&head, "application/sdp", sdp)
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
