//! A phone that is reached only over a connection of one gateway, called and called for by another; and requests of calls
//! that another gateway has.

use sip::relay::{Passage, Relay};
use sip::{Adopted, Effect, EndCause, EndpointConfig, Flow, Invite, LegId, RegisterOutcome, Transport};

use super::peer::*;

const LEG: LegId = LegId { shard: 1, call: 77, leg: 2 };
const CONTACT: &str = "sip:alice@198.51.100.20:41000;transport=tcp";

/// The phone's connection to the edge.
fn phone() -> Flow {
    tcp("198.51.100.20:41000", 3)
}

fn holder_address() -> Flow {
    udp("192.0.2.1:5060")
}

fn edge_address() -> Flow {
    udp("192.0.2.2:5060")
}

fn config(incarnation: u64) -> EndpointConfig {
    let mut config = EndpointConfig::new(SECRET, "cordboard", "192.0.2.2", 5060);
    config.incarnation = incarnation;
    config
}

fn relay() -> Relay {
    Relay::new(&config(7))
}

fn edge() -> Desk {
    desk_with(|changed| *changed = config(7))
}

#[track_caller]
fn forwarded(passage: Passage) -> (Flow, String) {
    let Passage::Forward { flow, bytes } = passage else { panic!("wanted a forward, got {passage:?}") };
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    well_formed(&text);
    (flow, text)
}

#[track_caller]
fn answered(passage: Passage) -> (Flow, String) {
    let Passage::Answer { flow, bytes } = passage else { panic!("wanted an answer, got {passage:?}") };
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    well_formed(&text);
    (flow, text)
}

/// The Path by which the phone is reached.
fn path() -> String {
    let mut desk = edge();
    desk.hear_from(phone(), &register(""));
    let challenge = desk.says("SIP/2.0 401");
    let nonce =
        field(&challenge, "WWW-Authenticate").split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    desk.hear_from(phone(), &register(&super::register::authorization("MD5", "alice", "secret", &nonce)));
    let Effect::Register { id, path, contact, flow, .. } = desk.tells() else { panic!() };
    assert_eq!((contact.as_str(), flow), (CONTACT, true));
    desk.endpoint.answer_register(desk.now, id, RegisterOutcome::Accepted);
    path
}

fn register(more: &str) -> String {
    super::register::register(&(more.to_owned() + "Contact: <sip:alice@198.51.100.20:5070;transport=tcp>\n"))
}

fn invite_of_phone(path: &str) -> Invite {
    Invite { route: vec![path.to_owned()], ..invite_to(CONTACT) }
}

/// The holder's INVITE, as it left and as the phone gets it.
fn rung(holder: &mut Desk) -> (String, String) {
    let path = path();
    holder.endpoint.invite(holder.now, LEG, invite_of_phone(&path));
    holder.drain();
    let (flow, invite) = holder.says_to(&format!("INVITE {CONTACT} SIP/2.0\r\n"));
    assert_eq!(flow, edge_address());
    assert_eq!(field(&invite, "Route"), path);
    assert!(field(&invite, "Via").starts_with("SIP/2.0/UDP 192.0.2.1:5060;"));
    let (flow, at_phone) = forwarded(relay().sort(holder_address(), invite.as_bytes()));
    assert_eq!(flow, phone());
    (invite, at_phone)
}

/// A response of the phone: every Via and Record-Route of the request again.
fn phone_says(request: &str, status: &str, sdp: &str) -> String {
    let lines = |name: &str| -> String {
        let start = format!("{name}: ");
        request
            .lines()
            .take_while(|line| !line.is_empty())
            .filter(|line| line.starts_with(&start))
            .fold(String::new(), |all, line| all + line + "\n")
    };
    let to = if field(request, "To").contains("tag=") { lines("To") } else { lines("To").replace('\n', ";tag=p1\n") };
    let head = format!(
        "SIP/2.0 {status}\n{}{}{}{to}{}{}Contact: <{CONTACT}>\n",
        lines("Via"),
        lines("Record-Route"),
        lines("From"),
        lines("Call-ID"),
        lines("CSeq"),
    );
    with_body(&head, "application/sdp", sdp)
}

/// Through the edge to the holder.
fn back(holder: &mut Desk, response: &str) {
    let (flow, text) = answered(relay().sort(phone(), response.as_bytes()));
    assert_eq!(flow, holder_address());
    assert_eq!(text.matches("\r\nVia: ").count(), 1);
    holder.hear_from(edge_address(), &text);
}

/// A request of the phone inside of the dialog, through the edge to `holder`; what comes back to the phone.
fn phone_asks(holder: &mut Desk, at_phone: &str, text: &str, to: Flow) -> String {
    let mut edge = edge();
    assert_eq!(relay().sort(phone(), text.as_bytes()), Passage::Here);
    edge.hear_from(phone(), text);
    let Effect::Stray { shard, call, flow, bytes } = edge.tells() else { panic!() };
    assert_eq!((shard, call, flow), (Some(LEG.shard), LEG.call, phone()));
    let (flow, passed) = forwarded(relay().forward(&bytes, phone(), to));
    assert_eq!((flow, field(&passed, "Route").as_str()), (to, ""));
    assert!(at_phone.contains("Record-Route"));
    holder.hear_from(edge_address(), &passed);
    let (flow, answer) = holder.says_to("SIP/2.0 ");
    assert_eq!(flow, edge_address());
    let (flow, answer) = answered(relay().sort(to, answer.as_bytes()));
    assert_eq!(flow, phone());
    assert_eq!(field(&answer, "Via"), field(text, "Via"));
    answer
}

fn in_phones_dialog(method: &str, cseq: u32, at_phone: &str) -> String {
    let target = field(at_phone, "Contact").trim_matches(['<', '>']).to_owned();
    let routes: Vec<&str> = at_phone.lines().filter_map(|line| line.strip_prefix("Record-Route: ")).collect();
    let head = format!(
        "{method} {target} SIP/2.0
Via: SIP/2.0/TCP 198.51.100.20:41000;branch=z9hG4bKphone{cseq}
Max-Forwards: 70
Route: {}
From: {};tag=p1
To: {}
Call-ID: {}
CSeq: {cseq} {method}
Contact: <{CONTACT}>
",
        routes.join(", "),
        field(at_phone, "To"),
        field(at_phone, "From"),
        field(at_phone, "Call-ID"),
    );
    with_body(&head, "", "")
}

#[test]
fn a_phone_behind_another_gateway_is_called_and_hangs_up() {
    let mut holder = desk();
    let (invite, at_phone) = rung(&mut holder);
    let vias: Vec<&str> = at_phone.lines().filter(|line| line.starts_with("Via: ")).collect();
    assert!(vias[0].starts_with("Via: SIP/2.0/TCP 192.0.2.2:5060;branch=z9hG4bKr"), "{vias:?}");
    assert!(vias[1].contains(";received=192.0.2.1;rport=5060"), "{vias:?}");
    assert_eq!(field(&at_phone, "Max-Forwards"), "69");
    assert_eq!(field(&at_phone, "Route"), "");
    assert_eq!(body(&at_phone), body(&invite));
    // The same again is the same again.
    assert_eq!(forwarded(relay().sort(holder_address(), invite.as_bytes())).1, at_phone);

    back(&mut holder, &phone_says(&at_phone, "180 Ringing", ""));
    assert_eq!(holder.tells(), Effect::Ringing { leg: LEG });
    back(&mut holder, &phone_says(&at_phone, "200 OK", ANSWER));
    let Effect::Answered { .. } = holder.tells() else { panic!() };
    let (flow, ack) = holder.says_to(&format!("ACK {CONTACT} "));
    assert_eq!((flow, ack.matches("\r\nRoute: ").count()), (edge_address(), 2));
    let (flow, ack) = forwarded(relay().sort(holder_address(), ack.as_bytes()));
    assert_eq!((flow, field(&ack, "Route").as_str()), (phone(), ""));

    // The phone's own requests find the holder through the edge; ours go on through it.
    phone_asks(&mut holder, &at_phone, &in_phones_dialog("UPDATE", 1, &at_phone), holder_address());
    holder.told.clear();
    holder.endpoint.reoffer(holder.now, LEG, sip::LocalMedia { port: 31_000, ..MEDIA }).unwrap();
    holder.drain();
    let (flow, again) = holder.says_to(&format!("INVITE {CONTACT} "));
    assert_eq!(flow, edge_address());
    let (_, again) = forwarded(relay().sort(holder_address(), again.as_bytes()));
    back(&mut holder, &phone_says(&again, "200 OK", ANSWER));
    holder.says("ACK ");
    holder.told.clear();
    phone_asks(&mut holder, &at_phone, &in_phones_dialog("BYE", 2, &at_phone), holder_address());
    holder.ended(LEG, EndCause::Hangup, 200);
    holder.forgets_everything();
}

#[test]
fn a_phone_that_rings_is_cancelled_and_its_refusal_acknowledged_on_the_same_branch() {
    let mut holder = desk();
    let (_, at_phone) = rung(&mut holder);
    back(&mut holder, &phone_says(&at_phone, "180 Ringing", ""));
    holder.tells();
    holder.endpoint.end(holder.now, LEG, 0, "").unwrap();
    holder.drain();
    let cancel = holder.says("CANCEL ");
    let (flow, cancel) = forwarded(relay().sort(holder_address(), cancel.as_bytes()));
    assert_eq!((flow, field(&cancel, "Via")), (phone(), field(&at_phone, "Via")));
    back(&mut holder, &phone_says(&at_phone, "487 Terminated", ""));
    let (_, ack) = forwarded(relay().sort(holder_address(), holder.says("ACK ").as_bytes()));
    assert_eq!(field(&ack, "Via"), field(&at_phone, "Via"));
    holder.ended(LEG, EndCause::Ordered, 487);
    // Another gateway takes it back in the holder's name: the phone finds the same transaction.
    let mut third = desk_with(|config| config.host = "192.0.2.3".to_owned());
    third.endpoint.take_back(third.now, LEG, invite_of_phone(&path()), "192.0.2.1:5060");
    third.drain();
    let (flow, cancel) = third.says_to("CANCEL ");
    assert_eq!(flow, edge_address());
    let (flow, cancel) = forwarded(relay().sort(udp("192.0.2.3:5060"), cancel.as_bytes()));
    assert_eq!(flow, phone());
    let branch = |text: &str| field(text, "Via").split(";rport").next().unwrap().to_owned();
    assert_eq!(branch(&cancel), branch(&at_phone));
    let (flow, _) = answered(relay().sort(phone(), phone_says(&cancel, "200 OK", "").as_bytes()));
    assert_eq!(flow, udp("192.0.2.3:5060"));
}

#[test]
fn after_a_take_over_the_phone_is_still_reached_through_its_gateway() {
    let mut holder = desk();
    let (_, at_phone) = rung(&mut holder);
    back(&mut holder, &phone_says(&at_phone, "200 OK", ANSWER));
    holder.says("ACK ");
    let Effect::Answered { passport, .. } = holder.tells() else { panic!() };
    let mut third = desk_with(|config| config.host = "192.0.2.3".to_owned());
    assert_eq!(third.endpoint.adopt(third.now, LEG, &passport), Ok(Adopted::Up));
    third.endpoint.reoffer(third.now, LEG, MEDIA).unwrap();
    third.drain();
    let (flow, again) = third.says_to(&format!("INVITE {CONTACT} "));
    assert_eq!(flow, edge_address());
    let (flow, at_phone_again) = forwarded(relay().sort(udp("192.0.2.3:5060"), again.as_bytes()));
    assert_eq!(flow, phone());
    let (flow, ok) = answered(relay().sort(phone(), phone_says(&at_phone_again, "200 OK", ANSWER).as_bytes()));
    assert_eq!(flow, udp("192.0.2.3:5060"));
    third.hear_from(edge_address(), &ok);
    third.says("ACK ");
    third.told.clear();
    // It still knows the former's Contact: the edge asks who has the call.
    phone_asks(&mut third, &at_phone, &in_phones_dialog("BYE", 2, &at_phone), udp("192.0.2.3:5060"));
    third.ended(LEG, EndCause::Hangup, 200);
}

#[test]
fn a_phone_of_this_gateway_is_called_without_a_detour() {
    let mut desk = edge();
    desk.endpoint.invite(desk.now, LEG, invite_of_phone(&path()));
    desk.drain();
    let (flow, invite) = desk.says_to(&format!("INVITE {CONTACT} "));
    assert_eq!((flow, field(&invite, "Route").as_str()), (phone(), ""));
    assert!(field(&invite, "Via").starts_with("SIP/2.0/TCP 192.0.2.2:5060;"));
    // After a restart its connection is no more.
    let mut desk = desk_with(|changed| *changed = config(8));
    desk.endpoint.invite(desk.now, LEG, invite_of_phone(&path()));
    desk.drain();
    desk.silent();
    desk.ended(LEG, EndCause::Unreachable, 0);
}

#[test]
fn a_token_that_is_stale_forged_or_anothers_is_430() {
    let mut holder = desk();
    let (invite, _) = rung(&mut holder);
    let stale = Relay::new(&config(8));
    let (flow, refusal) = answered(stale.sort(holder_address(), invite.as_bytes()));
    assert_eq!(flow, holder_address());
    assert!(refusal.starts_with("SIP/2.0 430 Flow Failed\r\n"));
    holder.hear_from(edge_address(), &refusal);
    holder.says("ACK ");
    holder.ended(LEG, EndCause::Rejected, 430);
    let forged = invite.replace("<sip:cbf.1.3.", "<sip:cbf.1.4.");
    assert!(answered(relay().sort(holder_address(), forged.as_bytes())).1.starts_with("SIP/2.0 430"));
    assert_eq!(relay().sort(holder_address(), forged.replace("INVITE", "ACK").as_bytes()), Passage::Nothing);
    // The connection was there a moment ago.
    assert!(answered(relay().refuse(invite.as_bytes(), holder_address(), 430)).1.starts_with("SIP/2.0 430"));
}

#[test]
fn it_is_no_open_relay() {
    let mut holder = desk();
    let (invite, at_phone) = rung(&mut holder);
    // Somewhere else on top, nothing on top, a host of ours without a token: the endpoint's.
    for route in [
        "Route: <sip:203.0.113.9;lr>",
        "X-Route: x",
        "Route: <sip:192.0.2.2:5060;lr>",
        "Route: <sip:cbf.x@203.0.113.9;lr>",
    ] {
        let text = invite.replace(&format!("Route: {}", field(&invite, "Route")), route);
        assert_eq!(relay().sort(udp("203.0.113.9:5060"), text.as_bytes()), Passage::Here, "{route}");
    }
    // A response to nothing that passed here.
    let ok = crlf(&phone_says(&at_phone, "200 OK", ANSWER));
    for (from, to) in [
        ("branch=z9hG4bKr", "branch=z9hG4bKr0"),
        ("192.0.2.1:5060;branch", "203.0.113.9:5060;branch"),
        ("cbf=cbf.0.0.c0000201", "cbf=cbf.0.0.cb007109"),
    ] {
        assert!(ok.contains(from), "{ok}");
        assert_eq!(relay().sort(phone(), ok.replacen(from, to, 1).as_bytes()), Passage::Nothing, "{to}");
    }
    // Responses to the gateway's own requests, and of others.
    assert_eq!(relay().sort(phone(), response(&invite, "200 OK", "b", "").as_bytes()), Passage::Here);
    assert_eq!(
        relay().sort(phone(), ok.replace("192.0.2.2:5060;branch", "192.0.2.9:5060;branch").as_bytes()),
        Passage::Here
    );
}

#[test]
fn hops_are_counted_and_noise_is_dropped() {
    let mut holder = desk();
    let (invite, _) = rung(&mut holder);
    let last = invite.replace("Max-Forwards: 70", "Max-Forwards: 0");
    assert!(answered(relay().sort(holder_address(), last.as_bytes())).1.starts_with("SIP/2.0 483 Too Many Hops\r\n"));
    let without = invite.replace("Max-Forwards: 70\r\n", "");
    assert_eq!(field(&forwarded(relay().sort(holder_address(), without.as_bytes())).1, "Max-Forwards"), "69");
    let broken = invite.replace("CSeq: 1 INVITE", "CSeq: x INVITE");
    assert!(answered(relay().sort(holder_address(), broken.as_bytes())).1.starts_with("SIP/2.0 400"));
    // No length, and on over a stream: it gets one.
    let length = format!("Content-Length: {}\r\n", field(&invite, "Content-Length"));
    let (_, bare) = forwarded(relay().sort(holder_address(), invite.replace(&length, "").as_bytes()));
    assert_eq!(body(&bare), body(&invite));
    let mut dice = fastrand::Rng::with_seed(11);
    let corpus = [invite.clone(), crlf(&phone_says(&invite, "200 OK", ANSWER))];
    for round in 0..20_000 {
        let mut bytes = corpus[round % 2].clone().into_bytes();
        for _ in 0..dice.usize(1..6) {
            let at = dice.usize(0..bytes.len().max(1));
            match dice.u32(0..4) {
                0 if dice.bool() => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), *dice.choice(b"\r\n;,:<>\" @").unwrap()),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                _ if at < bytes.len() => bytes[at] = dice.u8(..),
                _ => {}
            }
        }
        let _ = relay().sort(holder_address(), &bytes);
        let _ = relay().forward(&bytes, phone(), holder_address());
        let _ = relay().refuse(&bytes, phone(), 430);
    }
}

#[test]
fn a_request_of_a_call_that_another_gateway_has_gets_its_answer() {
    let mut holder = desk();
    let (leg, ok) = holder.talking();
    // Behind NAT, without rport: the answer goes back by the edge, and the holder still knows where the caller is.
    let caller = udp("198.51.100.9:40000");
    let mut asked = edge();
    let bye = in_dialog("BYE", 2, &ok, "");
    asked.hear_from(caller, &bye);
    let Effect::Stray { call, flow, bytes, .. } = asked.tells() else { panic!() };
    assert_eq!((call, flow), (leg.call, caller));
    let (flow, passed) = forwarded(relay().forward(&bytes, caller, holder_address()));
    assert_eq!(flow, holder_address());
    assert!(field(&passed, "Via").starts_with("SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKr"));
    holder.hear_from(edge_address(), &passed);
    let (flow, answer) = holder.says_to("SIP/2.0 200");
    assert_eq!(flow, edge_address());
    let (flow, answer) = answered(relay().sort(holder_address(), answer.as_bytes()));
    assert_eq!(flow, caller);
    assert!(field(&answer, "Via").contains("branch=z9hG4bKBYE2;received=198.51.100.9;rport=40000"));
    holder.ended(leg, EndCause::Hangup, 200);
}

#[test]
fn a_target_refresh_over_another_gateway_aims_at_the_far_end() {
    let mut holder = desk();
    let (leg, ok) = holder.talking();
    let caller = udp("198.51.100.9:40000");
    // Its Contact is private: only the source says where it is.
    let update = in_dialog("UPDATE", 2, &ok, "")
        .replace("Contact: <sip:491234@192.0.2.77:5060>", "Contact: <sip:491234@10.0.0.9>");
    let (_, passed) = forwarded(relay().forward(crlf(&update).as_bytes(), caller, holder_address()));
    holder.hear_from(edge_address(), &passed);
    holder.says("SIP/2.0 200");
    holder.endpoint.end(holder.now, leg, 0, "").unwrap();
    holder.drain();
    let (flow, _) = holder.says_to("BYE ");
    assert_eq!(flow, caller);
}

#[test]
fn every_transport_is_called_by_its_name() {
    for (target, destination, via, contact) in [
        ("sip:bob@192.0.2.50", None, "SIP/2.0/UDP 192.0.2.1:5060", "@192.0.2.1:5060>"),
        ("sip:bob@192.0.2.50;transport=tcp", None, "SIP/2.0/TCP 192.0.2.1:5060", "@192.0.2.1:5060;transport=tcp>"),
        ("sip:bob@192.0.2.50;transport=tls", None, "SIP/2.0/TLS 192.0.2.1:5060", "@192.0.2.1:5061;transport=tls>"),
        ("sips:bob@192.0.2.50", None, "SIP/2.0/TLS 192.0.2.1:5060", "@192.0.2.1:5061;transport=tls>"),
        ("sip:bob@x.invalid", Some(Transport::Ws), "SIP/2.0/WS 192.0.2.1:5060", "@192.0.2.1:5060;transport=ws>"),
        ("sips:bob@x.invalid", Some(Transport::Wss), "SIP/2.0/WSS 192.0.2.1:5060", "@192.0.2.1:5060;transport=ws>"),
    ] {
        let mut desk = desk();
        let destination = destination.map(|transport| Flow { transport, ..tcp("192.0.2.50:4000", 5) });
        desk.endpoint.invite(desk.now, LEG, Invite { destination, ..invite_to(target) });
        desk.drain();
        let (flow, invite) = desk.says_to(&format!("INVITE {target} SIP/2.0\r\n"));
        assert!(field(&invite, "Via").starts_with(via), "{invite}");
        assert!(field(&invite, "Contact").ends_with(contact), "{invite}");
        assert_eq!(field(&invite, "Contact").starts_with("<sips:"), target.starts_with("sips:"));
        assert_eq!(flow.remote.port() == 5061, destination.is_none() && flow.transport == Transport::Tls);
    }
    // Never in the clear.
    let mut desk = desk();
    let invite = Invite { destination: Some(udp("192.0.2.50:5060")), ..invite_to("sips:bob@192.0.2.50") };
    desk.endpoint.invite(desk.now, LEG, invite);
    desk.drain();
    desk.silent();
    desk.ended(LEG, EndCause::Unreachable, 0);
}

#[test]
fn routes_lead_to_the_first_hop() {
    let mut desk = desk();
    let route = vec!["<sip:192.0.2.60:5080;lr>".to_owned(), "<sip:192.0.2.61;lr>".to_owned()];
    desk.endpoint.invite(desk.now, LEG, Invite { route, ..invite_to("sip:bob@x.invalid") });
    desk.drain();
    let (flow, invite) = desk.says_to("INVITE sip:bob@x.invalid SIP/2.0\r\n");
    assert_eq!(flow, udp("192.0.2.60:5080"));
    let first = invite.find("Route: <sip:192.0.2.60:5080;lr>\r\n").unwrap();
    assert!(first < invite.find("Route: <sip:192.0.2.61;lr>\r\n").unwrap());
    desk.hear_from(flow, &response(&invite, "180 Ringing", "b1", ""));
    desk.endpoint.end(desk.now, LEG, 0, "").unwrap();
    desk.drain();
    let (flow, cancel) = desk.says_to("CANCEL sip:bob@x.invalid ");
    assert_eq!(flow, udp("192.0.2.60:5080"));
    assert_eq!(cancel.matches("\r\nRoute: ").count(), 2);
}
