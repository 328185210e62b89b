//! The torture messages of RFC 4475 and the IPv6 messages of RFC 5118, each with its verdict, over UDP and as a stream.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::net::IpAddr;

use md5::{Digest, Md5};
use sip::framing::{Framed, Framer};
use sip::{Access, Effect, Endpoint, EndpointConfig, Flow, Ha1, Limits, Millis, RemoteMedia, Transport};

struct Open;

impl Access for Open {
    fn shard_of_number(&self, _: &str) -> Option<u32> {
        Some(1)
    }
    fn trunk_allows(&self, _: IpAddr) -> bool {
        true
    }
    fn credential(&self, agent: &str) -> Option<Ha1> {
        let md5 = Md5::digest(format!("{agent}:cordboard:pw")).into();
        Some(Ha1 { md5, sha256: [0; 32], shard: 1 })
    }
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// Answered with this final status.
    Answered(u16),
    /// An INVITE that is taken: 100, and this number is offered.
    Offered(String),
    /// Nothing is said.
    Silence,
    /// Over a stream: it cannot be followed any more, the connection is closed.
    Closed,
    /// Over a stream: the rest of the message is waited for.
    Waits,
}

use Verdict::{Answered, Closed, Silence, Waits};

fn offered(number: &str) -> Verdict {
    Verdict::Offered(number.to_owned())
}

struct Told {
    verdict: Verdict,
    text: String,
    media: Option<RemoteMedia>,
    contact: Option<String>,
}

fn endpoint() -> Endpoint {
    Endpoint::new(EndpointConfig::new([3; 32], "cordboard", "127.0.0.1", 5060))
}

fn hear(endpoint: &mut Endpoint, bytes: &[u8], transport: Transport) -> Told {
    let flow = Flow { transport, remote: "127.0.0.1:5070".parse().unwrap(), connection: 1 };
    endpoint.receive(Millis(1_000_000), flow, bytes, &Open);
    let mut told = Told { verdict: Silence, text: String::new(), media: None, contact: None };
    while let Some(effect) = endpoint.poll() {
        match effect {
            Effect::Send { bytes, .. } => {
                told.text = String::from_utf8_lossy(&bytes).into_owned();
                let status = told.text.strip_prefix("SIP/2.0 ").map(|rest| rest[..3].parse().unwrap());
                told.verdict = Answered(status.expect("a response"));
            }
            Effect::Offered { number, media, .. } => {
                told.verdict = Verdict::Offered(number);
                told.media = media;
            }
            Effect::Register { contact, .. } => told.contact = Some(contact),
            other => panic!("{other:?}"),
        }
    }
    told
}

fn over_udp(bytes: &[u8]) -> Verdict {
    hear(&mut endpoint(), bytes, Transport::Udp).verdict
}

/// All verdicts of a stream, however it is split.
fn over_tcp(bytes: &[u8]) -> Vec<Verdict> {
    let mut all = BTreeSet::new();
    let mut first = Vec::new();
    for chunk in [1, 7, 64, bytes.len().max(1)] {
        let verdicts = cut(bytes, chunk);
        all.insert(format!("{verdicts:?}"));
        first = verdicts;
    }
    assert_eq!(all.len(), 1, "it depends on how it is split: {all:?}");
    first
}

fn cut(bytes: &[u8], chunk: usize) -> Vec<Verdict> {
    let (mut framer, mut endpoint) = (Framer::new(Limits::default()), endpoint());
    let mut verdicts = Vec::new();
    for part in bytes.chunks(chunk) {
        framer.push(part);
        loop {
            match framer.next_frame() {
                Ok(Some(Framed::Message(message))) => {
                    verdicts.push(hear(&mut endpoint, &message, Transport::Tcp).verdict);
                }
                Ok(Some(Framed::Ping)) => {}
                Ok(None) => break,
                Err(_) => {
                    verdicts.push(Closed);
                    return verdicts;
                }
            }
        }
    }
    if framer.pending() > 2 {
        verdicts.push(Waits);
    }
    verdicts
}

/// Name, over UDP, over TCP where that differs, and why (sections of RFC 3261 where no other is named).
type Row = (&'static str, Verdict, Option<Vec<Verdict>>, &'static str);

fn table() -> Vec<Row> {
    let same = |name, verdict, why| (name, verdict, None, why);
    let tcp = |name, verdict, stream: &[Verdict], why| (name, verdict, Some(stream.to_vec()), why);
    vec![
        // 3.1.1: valid messages.
        same("wsinv", Answered(481), "well formed; its To has a tag and names no dialog of ours (12.2.2)"),
        same("intmeth", Answered(501), "well formed; a method nobody knows (8.2.1, 21.5.2)"),
        same("esc01", offered("sips:user@example.com"), "the escaped user part is one user (19.1.2)"),
        same(
            "escnull",
            Answered(401),
            "NUL in a user part is legal when escaped (25.1); registering needs a login (22.1)",
        ),
        same("esc02", Answered(501), "% is no escape in a method: it is another, unknown one (25.1)"),
        same("lwsdisp", Answered(200), "no space is needed before < (25.1 name-addr)"),
        same("longreq", offered("user"), "long is not wrong"),
        tcp(
            "dblreq",
            Answered(401),
            &[Answered(401), Answered(400), Closed],
            "octets after the body of a datagram are nobody's (18.3); a stream has a second request there, whose SDP is \
             broken and whose body is longer than it says",
        ),
        same("semiuri", Answered(200), "semicolons are part of a user part (25.1 user-unreserved)"),
        same("transports", Answered(200), "an unknown transport in a Via further down is nobody's business (20.42)"),
        same("mpart01", Answered(405), "well formed; MESSAGE is defined and not served (8.2.1)"),
        same("unreason", Silence, "a response to nothing of ours (18.1.2)"),
        same("noreason", Silence, "a response to nothing of ours; its reason phrase may be empty (25.1)"),
        // 3.1.2: invalid messages.
        same("badinv01", Answered(400), "a Via that ends in ;;,; (25.1 via-parm)"),
        tcp("clerr", Answered(400), &[Waits], "a datagram that is too short is refused, a stream is waited for (18.3)"),
        tcp("ncl", Answered(400), &[Closed], "a negative Content-Length leaves no way to find the end (18.3, 20.14)"),
        same("scalar02", Answered(400), "numbers that do not fit (8.1.1.5)"),
        same("scalarlg", Silence, "a broken response is dropped (18.1.2)"),
        same("quotbal", Answered(400), "the quoted string never ends (25.1)"),
        same("ltgtruri", Answered(400), "no <> around a Request-URI (25.1 Request-Line)"),
        same("lwsruri", Answered(400), "no space in a Request-URI (7.1)"),
        same("lwsstart", Answered(400), "one SP between the words of the start line (7.1)"),
        same("trws", Answered(400), "nothing between version and CRLF (7.1)"),
        same("escruri", Answered(400), "no headers in a Request-URI (19.1.1)"),
        same("baddate", offered("user"), "nobody here reads Date; what is not understood is ignored (7.3.2, 20.17)"),
        same("regbadct", Answered(401), "who it is comes first (22.1); `registering` has the rest"),
        same("badaspec", Answered(400), "spaces inside of an addr-spec (25.1)"),
        tcp("baddn", Answered(400), &[Waits], "an unquoted comma in a display name (25.1); the file has no empty line"),
        same("badvers", Answered(505), "SIP/7.0 (7.1, 21.5.6)"),
        same("mismatch01", Answered(400), "the method of CSeq is another one (8.1.1.5)"),
        same("mismatch02", Answered(400), "the same with a method nobody knows (8.1.1.5)"),
        same("bigcode", Silence, "4294967301 is no status; a broken response is dropped (18.1.2)"),
        // 3.2, 3.3, 3.4: transactions, applications, RFC 2543.
        same("badbranch", Answered(200), "a branch with nothing after the cookie is matched as RFC 2543 did (17.2.3)"),
        same("insuf", Answered(400), "no Call-ID, no From, no To (8.1.1)"),
        same("unkscm", Answered(416), "a scheme nobody knows (8.2.2.1)"),
        same("novelsc", Answered(416), "a scheme that is not routed (8.2.2.1)"),
        same("unksm2", Answered(401), "strange schemes in To, From, Contact: who it is comes first (22.1)"),
        same("bext01", Answered(420), "nothControl is not understood (8.2.2.3)"),
        same("invut", Answered(415), "a body of a type nobody knows (8.2.3)"),
        same("regaut01", Answered(401), "an Authorization scheme nobody knows is none (22.1)"),
        same("multi01", Answered(400), "fields that must stand once stand twice (7.3.1)"),
        tcp("mcl01", Answered(400), &[Closed], "two Content-Lengths, and no way to choose (20.14)"),
        same("bcast", Silence, "a response to nothing of ours, whatever its Via wants (18.1.2)"),
        same("zeromf", Answered(200), "it has arrived: only who would forward it counts hops (16.3)"),
        same("cparam01", Answered(401), "`registering` has the rest"),
        same("cparam02", Answered(401), "`registering` has the rest"),
        same("regescrt", Answered(401), "`registering` has the rest"),
        same("sdp01", Answered(406), "the caller reads no SDP: there is no answer for it (8.2.3, 20.1)"),
        tcp("inv2543", offered("UserB"), &[Closed], "no branch, no Contact, no length: a datagram has an end (17.2.3)"),
        same("test", Silence, "not of RFC 4475; no version on the start line: not SIP (7.1)"),
    ]
}

#[test]
fn the_torture_messages_of_rfc_4475_get_their_verdict() {
    let table = table();
    let mut wrong = Vec::new();
    for case in sipx_testkit::rfc4475::CASES {
        let Some((name, udp, tcp, why)) = table.iter().find(|row| row.0 == case.name) else {
            panic!("nothing is said about {}", case.name);
        };
        let got = over_udp(case.bytes);
        if got != *udp {
            wrong.push(format!("{name} over UDP: wanted {udp:?}, got {got:?}: {why}"));
        }
        let wanted = tcp.clone().unwrap_or_else(|| vec![udp.clone()]);
        let got = over_tcp(case.bytes);
        if got != wanted {
            wrong.push(format!("{name} over TCP: wanted {wanted:?}, got {got:?}: {why}"));
        }
    }
    assert_eq!(table.len(), sipx_testkit::rfc4475::CASES.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A REGISTER that passes the challenge.
fn login(endpoint: &mut Endpoint, bytes: &[u8], user: &str) -> Told {
    let challenge = hear(endpoint, bytes, Transport::Udp);
    assert_eq!(challenge.verdict, Answered(401));
    let nonce = challenge.text.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let md5 = |text: String| Md5::digest(text).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let (ha1, ha2) = (md5(format!("{user}:cordboard:pw")), md5("REGISTER:sip:x".to_owned()));
    let response = md5(format!("{ha1}:{nonce}:00000001:c:auth:{ha2}"));
    let line = format!(
        "Authorization: Digest username=\"{user}\", realm=\"cordboard\", nonce=\"{nonce}\", uri=\"sip:x\", \
         response=\"{response}\", algorithm=MD5, qop=auth, nc=00000001, cnonce=\"c\"\r\n"
    );
    let end = bytes.iter().position(|&b| b == b'\n').unwrap() + 1;
    let text = [&bytes[..end], line.as_bytes(), &bytes[end..]].concat();
    hear(endpoint, &text, Transport::Udp)
}

#[test]
fn registering() {
    let rows = [
        (
            "cparam01",
            "watson",
            Silence,
            Some("sip:+19725552222@127.0.0.1:5070"),
            "a Contact parameter is not the URI's",
        ),
        ("cparam02", "watson", Silence, Some("sip:+19725552222@127.0.0.1:5070"), "a URI parameter is"),
        ("regescrt", "user", Silence, Some("sip:user@127.0.0.1:5070"), "headers in a Contact do not lead us anywhere"),
        ("regbadct", "user", Answered(400), None, "a URI with a question mark needs <> (20.10)"),
        ("unksm2", "2983792873", Answered(403), None, "an ISBN is nobody's address of record (10.3 step 4)"),
    ];
    for (name, user, verdict, contact, why) in rows {
        let case = sipx_testkit::rfc4475::case(name).unwrap();
        let told = login(&mut endpoint(), case.bytes, user);
        assert_eq!((told.verdict, told.contact.as_deref()), (verdict, contact), "{name}: {why}");
    }
}

#[test]
fn the_ipv6_messages_of_rfc_5118_get_their_verdict() {
    let rows = [
        ("ipv6-good", Answered(401), "4.1: brackets around an IPv6 address; REGISTER needs a login"),
        ("ipv6-bad", Answered(400), "4.2: without brackets it is no host"),
        ("port-ambiguous", Answered(401), "4.3: all of it is the address"),
        ("port-unambiguous", Answered(401), "4.4: the port stands after the brackets"),
        ("via-received-param-with-delim", Answered(481), "4.5: received with brackets, as RFC 3261's grammar had it"),
        ("via-received-param-no-delim", Answered(200), "4.5: received without brackets"),
        ("ipv6-in-sdp", Answered(488), "4.6: well formed; G726 is not spoken here"),
        ("mult-ip-in-header", Answered(481), "4.7: both families in Via; a BYE of nobody"),
        ("mult-ip-in-sdp", offered("user"), "4.8: each stream has its own address"),
        ("ipv4-mapped-ipv6", Answered(488), "4.9: well formed; G726 is not spoken here"),
        ("ipv6-bug-abnf-3-colons", Answered(200), "4.10: three colons, as RFC 3261's grammar had it"),
        ("ipv6-correct-abnf-2-colons", Answered(200), "4.10: two"),
    ];
    for case in sipx_testkit::rfc5118::CASES {
        let Some((name, verdict, why)) = rows.iter().find(|row| row.0 == case.name) else {
            panic!("nothing is said about {}", case.name);
        };
        assert_eq!(over_udp(&case.wire()), *verdict, "{name}: {why}");
        assert_eq!(over_tcp(&case.wire()), std::slice::from_ref(verdict), "{name} over TCP: {why}");
    }
    assert_eq!(rows.len(), sipx_testkit::rfc5118::CASES.len());
    // With a codec that is spoken here the IPv6 address of the SDP counts.
    for (name, address) in [("ipv6-in-sdp", "[2001:db8::20]:6000"), ("ipv4-mapped-ipv6", "[::ffff:192.0.2.2]:6000")] {
        let wire = sipx_testkit::rfc5118::case(name).unwrap().wire();
        let text = String::from_utf8_lossy(&wire).replace("audio 6000 RTP/AVP 2", "audio 6000 RTP/AVP 0");
        let told = hear(&mut endpoint(), text.as_bytes(), Transport::Udp);
        assert_eq!(told.media.unwrap().address, address.parse().unwrap());
    }
    for (name, user, contact) in [
        ("ipv6-good", "user", "sip:caller@127.0.0.1:5070"),
        ("port-ambiguous", "user", "sip:caller@127.0.0.1:5070"),
        ("port-unambiguous", "user", "sip:caller@127.0.0.1:5070"),
    ] {
        let case = sipx_testkit::rfc5118::case(name).unwrap();
        assert_eq!(login(&mut endpoint(), &case.wire(), user).contact.as_deref(), Some(contact), "{name}");
    }
}
