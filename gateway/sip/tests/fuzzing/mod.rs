//! A seeded mutation fuzzer over everything that reads bytes of the network: messages, URIs, SDP, multipart, digest on
//! both sides, `peek`, framing. Same seed, same run. Used by a short test and by `examples/fuzz.rs`.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod mutate;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use sip::framing::Framer;
use sip::{
    Access, Bind, BindingId, Effect, Endpoint, EndpointConfig, Flow, Ha1, Identity, Invite, LegId, Limits, LocalMedia,
    Login, Millis, PingId, RegisterOutcome, Transport,
};

/// Header fields that an endpoint writes; everything else in an emitted message was smuggled in.
const WRITTEN: &[&str] = &[
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Max-Forwards",
    "Contact",
    "Route",
    "Record-Route",
    "Allow",
    "Supported",
    "Unsupported",
    "Require",
    "Accept",
    "Server",
    "User-Agent",
    "Reason",
    "Retry-After",
    "Session-Expires",
    "Min-SE",
    "Min-Expires",
    "WWW-Authenticate",
    "Authorization",
    "Proxy-Authorization",
    "Expires",
    "Content-Type",
    "Content-Length",
    "Event",
    "Subscription-State",
    "Refer-Sub",
    "RSeq",
    "RAck",
    "P-Asserted-Identity",
    "Privacy",
    "History-Info",
    "Diversion",
    "Replaces",
    "Referred-By",
    "Path",
];
const LEGS_MAX: usize = 40;
const TRANSACTIONS_MAX: usize = 200;
/// Emitted messages that are kept to be answered.
const LIVE_MAX: usize = 32;
const REALM: &str = "cordboard";

struct Anybody;

impl Access for Anybody {
    fn shard_of_number(&self, _: &str) -> Option<u32> {
        Some(1)
    }
    fn trunk_allows(&self, _: IpAddr) -> bool {
        true
    }
    fn credential(&self, agent: &str) -> Option<Ha1> {
        (agent != "nobody").then_some(Ha1 { md5: [1; 16], sha256: [2; 32], shard: 1 })
    }
    fn trusts_identity(&self, _: IpAddr) -> bool {
        true
    }
}

/// One run.
pub struct Fuzzer {
    dice: fastrand::Rng,
    corpus: Vec<Vec<u8>>,
    limits: Limits,
    endpoint: Endpoint,
    now: Millis,
    /// Requests of ours and responses that made dialogs, to be answered and gone on with.
    live: VecDeque<String>,
    calls: u64,
    /// The last passport of a leg, to be taken over from.
    passport: Option<(LegId, Vec<u8>)>,
    pub sent: u64,
    pub effects: u64,
    /// How often each kind of effect was told: what a run has reached.
    pub reached: BTreeMap<String, u64>,
}

/// The messages a run begins with: those of the RFCs and the folder `corpus/`.
pub fn corpus() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = sipx_testkit::rfc4475::CASES.iter().map(|case| case.bytes.to_vec()).collect();
    all.extend(sipx_testkit::rfc5118::classified().map(|case| case.wire().to_vec()));
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut paths: Vec<_> = std::fs::read_dir(folder).expect("corpus/").map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a text");
        all.push(text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes());
    }
    all
}

impl Fuzzer {
    pub fn new(seed: u64) -> Self {
        let limits = Limits {
            legs_max: LEGS_MAX,
            transactions_max: TRANSACTIONS_MAX,
            registers_max: 20,
            failures_max: 50,
            bindings_max: 4,
            pings_max: 4,
            ..Limits::default()
        };
        let mut config = EndpointConfig::new([3; 32], REALM, "192.0.2.1", 5060);
        config.limits = limits;
        Self {
            dice: fastrand::Rng::with_seed(seed),
            corpus: corpus(),
            limits,
            endpoint: Endpoint::new(config),
            now: Millis(1_700_000_000_000),
            live: VecDeque::new(),
            calls: 0,
            passport: None,
            sent: 0,
            effects: 0,
            reached: BTreeMap::new(),
        }
    }

    /// One input, and everything that comes of it.
    pub fn round(&mut self) {
        let message = match self.dice.u32(0..10) {
            0..=3 => self.stranger(),
            4..=6 => self.response(),
            7 | 8 => self.in_dialog(),
            _ => {
                self.act();
                Vec::new()
            }
        };
        let transport = *self.dice.choice(&[Transport::Udp, Transport::Udp, Transport::Tcp, Transport::Wss]).unwrap();
        let flow = Flow { transport, remote: "192.0.2.50:5070".parse().unwrap(), connection: 1 };
        let _ = sip::peek(&sip::tag::Keys::new(&[3; 32]), &message);
        self.cut(&message);
        self.endpoint.receive(self.now, flow, &message, &Anybody);
        self.drain(message.len());
        self.now = self.now.plus(self.dice.u64(0..400));
        for _ in 0..4 {
            if self.endpoint.next_timeout().is_some_and(|at| at <= self.now) {
                self.endpoint.timeout(self.now);
                self.drain(0);
            }
        }
        assert!(self.endpoint.legs().count() <= LEGS_MAX, "more legs than there may be");
        assert!(self.endpoint.transactions() <= TRANSACTIONS_MAX * 2, "more transactions than there may be");
    }

    /// Everything is ended, and after all timers nothing is left.
    pub fn close(&mut self) {
        for id in 0..4 {
            self.endpoint.unbind(self.now, BindingId(id));
        }
        for leg in self.endpoint.legs().collect::<Vec<_>>() {
            let _ = self.endpoint.end(self.now, leg, 480, "");
        }
        self.drain(0);
        for _ in 0..100_000 {
            let Some(at) = self.endpoint.next_timeout() else { break };
            self.now = self.now.max(at);
            self.endpoint.timeout(self.now);
            self.drain(0);
        }
        assert_eq!((self.endpoint.legs().count(), self.endpoint.transactions()), (0, 0), "something is left");
    }

    fn stranger(&mut self) -> Vec<u8> {
        let mut message = self.dice.choice(&self.corpus).unwrap().clone();
        if self.dice.bool() {
            // Another call each time, else most are repeats.
            self.calls += 1;
            let text = String::from_utf8_lossy(&message).replace("Call-ID: ", &format!("Call-ID: {}-", self.calls));
            message = text.into_bytes();
        }
        self.mutate(&mut message);
        message
    }

    /// An answer to something of ours, with odd things in it.
    fn response(&mut self) -> Vec<u8> {
        // Calls go deepest.
        let calls = self.dice.u32(0..3) > 0;
        let asked = |text: &str| if calls { text.starts_with("INVITE") } else { !text.starts_with("SIP/2.0") };
        let Some(request) = self.some_live(asked) else { return self.stranger() };
        let status = *self
            .dice
            .choice(&[100u16, 180, 183, 183, 200, 200, 202, 302, 401, 407, 422, 423, 481, 486, 491, 503])
            .unwrap();
        let to = field(&request, "To");
        let to = if to.contains(";tag=") { to } else { format!("{to};tag=t{}", self.dice.u32(0..3)) };
        let mut text = format!("SIP/2.0 {status} X\r\n");
        for (name, value) in [("Via", field(&request, "Via")), ("From", field(&request, "From")), ("To", to)] {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Call-ID: {}\r\nCSeq: {}\r\n", field(&request, "Call-ID"), field(&request, "CSeq"));
        text += "Contact: <sip:bob@192.0.2.50:5070>;q=0.3;expires=300\r\n";
        text += &self.extras();
        self.finish(text)
    }

    /// Something inside of a dialog of ours.
    fn in_dialog(&mut self) -> Vec<u8> {
        let Some(known) = self.some_live(|text| field(text, "To").contains(";tag=") || text.starts_with("INVITE"))
        else {
            return self.stranger();
        };
        let method = *self
            .dice
            .choice(&[
                "BYE", "INVITE", "UPDATE", "INFO", "REFER", "REFER", "PRACK", "OPTIONS", "NOTIFY", "ACK", "CANCEL",
            ])
            .unwrap();
        let ours = known.starts_with("SIP/2.0");
        let (from, to) = if ours { ("From", "To") } else { ("To", "From") };
        let mut remote = field(&known, from);
        if !remote.contains(";tag=") {
            remote += ";tag=t0";
        }
        self.calls += 1;
        let cseq = if self.dice.bool() { self.calls + 1_000 } else { self.dice.u64(0..5) };
        let mut text = format!(
            "{method} sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.50:5070;branch=z9hG4bKf{}\r\nFrom: {remote}\r\n\
             To: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: <sip:bob@192.0.2.50:5070>\r\n",
            self.calls,
            field(&known, to),
            field(&known, "Call-ID"),
        );
        if method == "REFER" && self.dice.u32(0..4) > 0 {
            text += "Refer-To: <sip:5001@192.0.2.1;x=y?Replaces=a%40b%3Bto-tag%3Dc%3Bfrom-tag%3Dd>\r\n";
        }
        text += &self.extras();
        self.finish(text)
    }

    fn some_live(&mut self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let fitting: Vec<&String> = self.live.iter().filter(|text| wanted(text)).collect();
        (!fitting.is_empty()).then(|| fitting[self.dice.usize(0..fitting.len())].clone())
    }

    fn extras(&mut self) -> String {
        const LINES: &[&str] = &[
            "WWW-Authenticate: Digest realm=\"cordboard\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256, opaque=\"o\"",
            "Proxy-Authenticate: Digest realm=\"cordboard\", nonce=\"n,\\\"x\", stale=true",
            "Require: 100rel\r\nRSeq: 1",
            "RAck: 1 1 INVITE",
            "Session-Expires: 90;refresher=uac",
            "Session-Expires: 4294967295",
            "Min-SE: 2000",
            "Min-Expires: 7200",
            "Supported: timer, 100rel",
            "Refer-To: <sip:5001@192.0.2.1?Replaces=a%40b%3Bto-tag%3Dc%3Bfrom-tag%3Dd>",
            "Refer-To: <sip:x%0d%0aEvil:1@y>",
            "Refer-Sub: false",
            "Referred-By: <sip:a@b>",
            "Record-Route: <sip:192.0.2.60;lr>, <sip:192.0.2.61>",
            "Contact: <sip:c%0d%0aEvil@x>;q=0.5, \"a\\\"b\" <tel:+49>",
            "P-Asserted-Identity: \"\u{202e}x\" <sip:1@2>",
            "Privacy: id",
            "Expires: 0",
            "Allow: INVITE, UPDATE",
        ];
        let mut text = String::new();
        for _ in 0..self.dice.usize(0..5) {
            text += self.dice.choice(LINES).unwrap();
            text += "\r\n";
        }
        text
    }

    fn finish(&mut self, mut text: String) -> Vec<u8> {
        const SDP: &str = "v=0\r\no=a 1 1 IN IP4 192.0.2.50\r\ns=-\r\nc=IN IP4 192.0.2.50\r\nt=0 0\r\n\
                           m=audio 7000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";
        let (kind, body) = match self.dice.u32(0..5) {
            0 => ("", String::new()),
            1 => (
                "multipart/mixed;boundary=b",
                format!("--b\r\nContent-Type: application/sdp\r\n\r\n{SDP}--b\r\n\r\nx\r\n--b--\r\n"),
            ),
            2 => ("application/dtmf-relay", "Signal=5\r\nDuration=100\r\n".to_owned()),
            _ => ("application/sdp", SDP.to_owned()),
        };
        if !kind.is_empty() {
            text += &format!("Content-Type: {kind}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let mut message = text.into_bytes();
        if self.dice.bool() {
            self.mutate(&mut message);
        }
        message
    }

    /// What a gateway asks of its endpoint.
    fn act(&mut self) {
        let now = self.now;
        let legs: Vec<LegId> = self.endpoint.legs().collect();
        let some = (!legs.is_empty()).then(|| legs[self.dice.usize(0..legs.len())]);
        let flow = Flow { transport: Transport::Udp, remote: "192.0.2.50:5070".parse().unwrap(), connection: 0 };
        match (self.dice.u32(0..13), some) {
            (0..=2, _) => self.call_out("sip:+4930123@192.0.2.50:5070"),
            (3, _) if self.dice.bool() => {
                let login = Some(login());
                let bind = Bind { aor: "sip:49@x.example".into(), registrar: flow, expires_seconds: 300, login };
                self.endpoint.bind(now, BindingId(self.dice.u64(0..4)), bind);
            }
            (3, _) => self.endpoint.ping(now, PingId(self.dice.u64(0..4)), flow, "x.example"),
            (4 | 5, Some(leg)) => drop(self.endpoint.alert(now, leg)),
            (6 | 7, Some(leg)) => drop(self.endpoint.answer(now, leg, media(20_000))),
            (8, Some(leg)) => drop(self.endpoint.reoffer(now, leg, media(self.dice.u16(100..200) * 2))),
            (9, Some(leg)) => drop(self.endpoint.refer_ended(now, leg, self.dice.u16(0..800))),
            (10, _) => self.endpoint.flow_failed(now, flow),
            (11, _) => {
                // Another gateway goes on with it, and it is this one.
                if let Some((leg, passport)) = self.passport.take() {
                    self.endpoint.forget(leg);
                    let adopted = self.endpoint.adopt(now, leg, &passport);
                    assert!(adopted.is_ok(), "{adopted:?}: {}", String::from_utf8_lossy(&passport));
                }
            }
            (_, Some(leg)) => drop(self.endpoint.end(now, leg, self.dice.u16(0..800), "re\r\nason")),
            (_, None) => {}
        }
        self.drain(0);
    }

    fn call_out(&mut self, target: &str) {
        self.calls += 1;
        let leg = LegId { shard: 1, call: self.calls, leg: 2 };
        let invite = Invite {
            caller: "49\r\nEvil: 1".into(),
            caller_name: "A\"\\\r\nEvil: 1".into(),
            headers: vec![("X\r\nEvil".into(), "1".into()), ("Referred-By".into(), "<sip:a@b>\r\nEvil: 1".into())],
            identity: Identity { asserted: self.dice.bool(), hidden: self.dice.bool() },
            history: vec!["5000".into(), "sip:a@b>;\r\nEvil: 1".into(), target.to_owned()],
            diversion: true,
            replaces: "a;to-tag=b;from-tag=c".into(),
            login: Some(login()),
            domain: if self.dice.bool() { "x.example".into() } else { "x\r\nEvil: 1".into() },
            ..Invite::to(target, media(20_000))
        };
        self.endpoint.invite(self.now, leg, invite);
    }

    fn drain(&mut self, bytes_in: usize) {
        let mut count = 0;
        let mut bytes_out = 0;
        let mut next: Vec<Effect> = Vec::new();
        while let Some(effect) = self.endpoint.poll() {
            count += 1;
            match effect {
                Effect::Send { bytes, .. } => {
                    bytes_out += bytes.len();
                    self.sent += 1;
                    self.check(&bytes);
                }
                other => next.push(other),
            }
        }
        self.effects += count;
        if bytes_in > 0 {
            // Work is bounded by what came in: no amplification beyond a few messages.
            assert!(count <= 24, "{count} effects of one message");
            assert!(bytes_out <= 6 * bytes_in + 24 * 1_024, "{bytes_out} bytes out for {bytes_in} in");
        }
        for effect in next {
            self.told(effect);
        }
    }

    fn told(&mut self, effect: Effect) {
        let kind = format!("{effect:?}").split([' ', '{', '(']).next().unwrap_or_default().to_owned();
        *self.reached.entry(kind).or_default() += 1;
        let clean = |text: &str| assert!(!text.chars().any(char::is_control), "control characters told: {text:?}");
        match effect {
            Effect::Offered { leg, number, caller, caller_name, passport, .. } => {
                self.passport = Some((leg, passport));
                [number, caller, caller_name].iter().for_each(|text| clean(text));
                match self.dice.u32(0..4) {
                    0 => drop(self.endpoint.alert(self.now, leg)),
                    1 | 2 => drop(self.endpoint.answer(self.now, leg, media(20_000))),
                    _ => drop(self.endpoint.end(self.now, leg, 486, "busy")),
                }
                self.drain(0);
            }
            Effect::Referred { leg, to, user, replaces, .. } => {
                [&to, &user, &replaces].into_iter().for_each(|text| clean(text));
                clean(self.endpoint.referred_by(leg));
                let status = self.dice.u16(0..700);
                let _ = self.endpoint.answer_refer(self.now, leg, status);
                self.call_out(&to);
                self.drain(0);
            }
            Effect::Redirected { contacts, .. } => {
                for contact in contacts {
                    clean(&contact);
                    self.call_out(&contact);
                }
                self.drain(0);
            }
            Effect::Register { id, agent, contact, .. } => {
                clean(&contact);
                clean(&agent);
                let outcome = if self.dice.bool() { RegisterOutcome::Accepted } else { RegisterOutcome::Refused };
                self.endpoint.answer_register(self.now, id, outcome);
                self.drain(0);
            }
            Effect::Digits { digits, .. } => clean(&digits),
            Effect::Answered { leg, passport, .. } | Effect::Confirmed { leg, passport } => {
                self.passport = Some((leg, passport));
            }
            _ => {}
        }
    }

    /// What goes out: lines end where they should, nobody else's header is in it, it can be read again.
    fn check(&mut self, bytes: &[u8]) {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("an empty line") + 4;
        let (head, body) = bytes.split_at(end);
        let text = String::from_utf8_lossy(head).into_owned();
        let mut length = None;
        for line in text.split("\r\n").skip(1).filter(|line| !line.is_empty()) {
            assert!(!line.contains(['\r', '\n']), "a bare CR or LF in {line:?}");
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line:?} in\n{text}"));
            assert!(WRITTEN.contains(&name), "nobody wrote {line:?} in\n{text}");
            if name == "Content-Length" {
                assert!(length.replace(value.parse::<usize>().expect("a number")).is_none(), "two lengths");
            }
        }
        assert_eq!(length, Some(body.len()), "Content-Length of\n{text}");
        let mut framer = Framer::new(self.limits);
        framer.push(bytes);
        assert!(matches!(framer.next_frame(), Ok(Some(_))), "not a frame:\n{text}");
        if !text.starts_with("SIP/2.0") {
            self.rereads(bytes, &text);
            self.keep(text);
        } else if field(&text, "CSeq").ends_with("INVITE") && field(&text, "To").contains(";tag=cb1.") {
            self.keep(text);
        }
    }

    /// A request of ours is one that we would take: another endpoint does not call it malformed.
    fn rereads(&self, bytes: &[u8], text: &str) {
        let mut other = Endpoint::new(EndpointConfig::new([4; 32], REALM, "192.0.2.2", 5060));
        let flow = Flow { transport: Transport::Udp, remote: "192.0.2.1:5060".parse().unwrap(), connection: 0 };
        other.receive(self.now, flow, bytes, &Anybody);
        while let Some(effect) = other.poll() {
            if let Effect::Send { bytes, .. } = effect {
                let answer = String::from_utf8_lossy(&bytes).into_owned();
                let refused = ["SIP/2.0 400", "SIP/2.0 513", "SIP/2.0 505"].iter().any(|bad| answer.starts_with(bad));
                assert!(!refused, "we would not take\n{text}\nbut say\n{answer}");
            }
        }
    }

    fn keep(&mut self, text: String) {
        self.live.push_back(text);
        if self.live.len() > LIVE_MAX {
            self.live.pop_front();
        }
    }

    fn cut(&mut self, message: &[u8]) {
        let mut framer = Framer::new(self.limits);
        let mut rest = message;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(self.dice.usize(1..=rest.len().min(300)));
            rest = after;
            framer.push(part);
            while let Ok(Some(_)) = framer.next_frame() {}
            assert!(framer.pending() <= self.limits.message_bytes_max + 300, "a stream is kept without end");
        }
    }
}

fn login() -> Login {
    Login { user: "u\"\r\nEvil: 1".into(), realm: REALM.into(), md5: [1; 16], sha256: [2; 32] }
}

fn media(port: u16) -> LocalMedia {
    LocalMedia { address: IpAddr::from([192, 0, 2, 1]), port, crypto: None }
}

fn field(text: &str, name: &str) -> String {
    let start = format!("{name}: ");
    text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default().trim().to_owned()
}
