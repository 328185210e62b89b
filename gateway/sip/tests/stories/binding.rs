//! We register somewhere, and ask whether somebody is there.

use sip::{Bind, BindingId, Effect, Login, PingId};

use super::peer::*;

const ID: BindingId = BindingId(7);
const REGISTRAR: &str = "198.51.100.5:5060";

fn terms() -> Bind {
    let login =
        Login { user: "alice".into(), realm: "cordboard".into(), md5: super::md5_ha1(), sha256: super::sha256_ha1() };
    Bind { aor: "sip:4930@trunk.example".into(), registrar: udp(REGISTRAR), expires_seconds: 600, login: Some(login) }
}

fn binding() -> (Desk, String) {
    let mut desk = desk();
    desk.from = udp(REGISTRAR);
    desk.endpoint.bind(desk.now, ID, terms());
    desk.endpoint.bind(desk.now, ID, terms());
    desk.drain();
    let (flow, register) = desk.says_to("REGISTER sip:trunk.example SIP/2.0\r\n");
    assert_eq!(flow, udp(REGISTRAR));
    desk.silent();
    (desk, register)
}

fn number(register: &str) -> u32 {
    field(register, "CSeq").split(' ').next().unwrap().parse().unwrap()
}

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"cordboard\", nonce=\"n1\", qop=\"auth\"\n";

#[track_caller]
fn told(desk: &mut Desk, status: u16, expires_seconds: u32) {
    assert_eq!(desk.tells(), Effect::Bound { id: ID, status, expires_seconds });
    desk.tells_nothing();
}

fn granted(register: &str, seconds: u32) -> String {
    let more = format!("Contact: <sip:x@y>;expires=9, <sip:4930@192.0.2.1:5060>;expires={seconds}\n");
    response_with(register, "200 OK", "r", &more, "")
}

#[test]
fn a_binding_is_made_and_refreshed_before_it_ends() {
    let (mut desk, first) = binding();
    assert_eq!(field(&first, "Contact"), "<sip:4930@192.0.2.1:5060>");
    assert_eq!(field(&first, "To"), "<sip:4930@trunk.example>");
    assert_eq!(field(&first, "Expires"), "600");
    desk.hear(&response_with(&first, "401 Unauthorized", "r", CHALLENGE, ""));
    let second = desk.says("REGISTER ");
    assert_eq!(number(&second), number(&first) + 1);
    for name in ["Call-ID", "From", "To", "Contact"] {
        assert_eq!(field(&second, name), field(&first, name));
    }
    assert!(field(&second, "Authorization").contains("uri=\"sip:trunk.example\""));
    desk.tells_nothing();
    desk.hear(&granted(&second, 300));
    told(&mut desk, 200, 300);
    desk.wait(239_999);
    desk.silent();
    desk.wait(1);
    let third = desk.says("REGISTER ");
    assert_eq!(number(&third), number(&second) + 1);
    assert_eq!(field(&third, "Call-ID"), field(&first, "Call-ID"));
    // The password was changed: it is not tried again and again, but in a while.
    desk.hear(&response_with(&third, "401 Unauthorized", "r", CHALLENGE, ""));
    let fourth = desk.says("REGISTER ");
    desk.hear(&response_with(&fourth, "401 Unauthorized", "r", CHALLENGE, ""));
    desk.silent();
    told(&mut desk, 401, 0);
    desk.wait(5_000);
    desk.says("REGISTER ");
}

#[test]
fn a_registrar_that_is_away_is_asked_with_growing_pauses() {
    let (mut desk, _) = binding();
    let mut times = Vec::new();
    for _ in 0..10 {
        desk.endpoint.flow_failed(desk.now, udp(REGISTRAR));
        desk.drain();
        told(&mut desk, 503, 0);
        desk.sent.clear();
        let begun = desk.now;
        while desk.sent.is_empty() {
            desk.wait(100);
        }
        times.push(desk.now.0 - begun.0);
    }
    assert!(times[0] <= 5_000 && times.windows(2).all(|pair| pair[0] <= pair[1]), "{times:?}");
    assert!(times[9] > 250_000 && times[9] <= 300_000, "{times:?}");
    desk.wait(32_000);
    told(&mut desk, 408, 0);
}

#[test]
fn too_brief_is_asked_again_longer() {
    let (mut desk, first) = binding();
    desk.hear(&response_with(&first, "423 Interval Too Brief", "r", "Min-Expires: 3600\n", ""));
    let second = desk.says("REGISTER ");
    assert_eq!(field(&second, "Expires"), "3600");
    desk.hear(&response_with(&second, "423 Interval Too Brief", "r", "Min-Expires: 60\n", ""));
    desk.silent();
    told(&mut desk, 423, 0);
}

#[test]
fn a_binding_is_taken_back() {
    let (mut desk, first) = binding();
    desk.hear(&granted(&first, 600));
    told(&mut desk, 200, 600);
    desk.endpoint.unbind(desk.now, ID);
    desk.endpoint.unbind(desk.now, ID);
    desk.drain();
    let last = desk.says("REGISTER ");
    assert_eq!(field(&last, "Expires"), "0");
    desk.silent();
    desk.hear(&response_with(&last, "401 Unauthorized", "r", CHALLENGE, ""));
    let last = desk.says("REGISTER ");
    desk.hear(&response_with(&last, "200 OK", "r", "", ""));
    told(&mut desk, 200, 0);
    desk.forgets_everything();
    desk.silent();
    let odd = Bind { aor: "tel:1".into(), ..terms() };
    desk.endpoint.bind(desk.now, ID, odd);
    desk.drain();
    told(&mut desk, 503, 0);
}

#[test]
fn a_ping_says_who_is_there() {
    let mut desk = desk();
    desk.from = udp(REGISTRAR);
    let pinged = |desk: &mut Desk, status| assert_eq!(desk.tells(), Effect::Pinged { id: PingId(3), status });
    desk.endpoint.ping(desk.now, PingId(3), udp(REGISTRAR), "trunk.example");
    desk.endpoint.ping(desk.now, PingId(3), udp(REGISTRAR), "trunk.example");
    desk.drain();
    let first = desk.says("OPTIONS sip:trunk.example SIP/2.0\r\n");
    desk.silent();
    desk.hear(&response(&first, "405 Method Not Allowed", "x", ""));
    pinged(&mut desk, 405);
    desk.wait(1);
    desk.endpoint.ping(desk.now, PingId(3), udp(REGISTRAR), "trunk.example");
    desk.drain();
    assert_ne!(field(&desk.says("OPTIONS "), "Via"), field(&first, "Via"));
    desk.wait(4_000);
    pinged(&mut desk, 0);
    desk.sent.clear();
    desk.endpoint.ping(desk.now, PingId(3), udp(REGISTRAR), "trunk.example\r\nEvil: 1");
    desk.drain();
    pinged(&mut desk, 0);
    desk.silent();
    desk.forgets_everything();
}
