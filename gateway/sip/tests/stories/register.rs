//! Agents who register, and those who only pretend to; OPTIONS.

use sip::{Effect, RegisterId, RegisterOutcome};

use super::peer::*;

pub(super) fn register(more: &str) -> String {
    with_body(
        &format!(
            "REGISTER sip:192.0.2.1 SIP/2.0
Via: SIP/2.0/UDP 10.0.0.5:5066;branch=z9hG4bKr1;rport
Max-Forwards: 70
From: <sip:alice@192.0.2.1>;tag=r1
To: <sip:alice@192.0.2.1>
Call-ID: reg-1
CSeq: 1 REGISTER
{more}"
        ),
        "",
        "",
    )
}

fn hash(algorithm: &str, text: &str) -> String {
    use md5::Digest;
    let bytes: Vec<u8> = match algorithm {
        "MD5" => md5::Md5::digest(text).to_vec(),
        _ => sha2::Sha256::digest(text).to_vec(),
    };
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn nonce(challenge: &str) -> String {
    field(challenge, "WWW-Authenticate").split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

pub(super) fn authorization(algorithm: &str, user: &str, password: &str, nonce: &str) -> String {
    let ha1 = hash(algorithm, &format!("{user}:cordboard:{password}"));
    let ha2 = hash(algorithm, "REGISTER:sip:192.0.2.1");
    let response = hash(algorithm, &format!("{ha1}:{nonce}:00000001:abc:auth:{ha2}"));
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"cordboard\", nonce=\"{nonce}\", uri=\"sip:192.0.2.1\", response=\"{response}\", algorithm={algorithm}, qop=auth, nc=00000001, cnonce=\"abc\"\n"
    )
}

fn challenged() -> (Desk, String) {
    let mut desk = desk();
    desk.from = udp("198.51.100.20:40000");
    desk.hear(&register(""));
    let challenge = desk.says("SIP/2.0 401 ");
    // Phones of RFC 2617 give up at a challenge they do not know, so it is not there unless it is wanted.
    assert!(!challenge.contains("SHA-256") && challenge.contains("algorithm=MD5"));
    (desk, nonce(&challenge))
}

#[test]
fn where_it_is_wanted_the_stronger_challenge_comes_first() {
    let mut desk = desk_with(|config| config.challenge_sha256 = true);
    desk.hear(&register(""));
    let challenge = desk.says("SIP/2.0 401 ");
    let places = ["algorithm=SHA-256", "algorithm=MD5"].map(|algorithm| challenge.find(algorithm).unwrap());
    assert!(places[0] < places[1], "{challenge}");
}

fn bound(desk: &mut Desk) -> (RegisterId, String, u32) {
    let Effect::Register { id, agent, shard, contact, expires_seconds, .. } = desk.tells() else { panic!() };
    assert_eq!((agent.as_str(), shard), ("alice", 1));
    (id, contact, expires_seconds)
}

#[test]
fn an_agent_registers_through_nat_with_either_algorithm() {
    for algorithm in ["SHA-256", "MD5"] {
        let (mut desk, nonce) = challenged();
        let text = register(
            &(authorization(algorithm, "alice", "secret", &nonce)
                + "Contact: <sip:alice@10.0.0.5:5066>;expires=7200\n"),
        );
        desk.hear(&text);
        desk.silent();
        let (id, contact, seconds) = bound(&mut desk);
        assert_eq!((contact.as_str(), seconds), ("sip:alice@198.51.100.20:40000", 3_600));
        desk.hear(&text);
        desk.tells_nothing();
        desk.endpoint.answer_register(desk.now, id, RegisterOutcome::Accepted);
        desk.endpoint.answer_register(desk.now, id, RegisterOutcome::Unavailable);
        desk.drain();
        let ok = desk.says("SIP/2.0 200 OK\r\n");
        assert_eq!(field(&ok, "Contact"), "<sip:alice@10.0.0.5:5066>;expires=3600");
        desk.silent();
        // The answer was lost.
        desk.hear(&text);
        assert_eq!(desk.says("SIP/2.0 200"), ok);
        desk.tells_nothing();
        desk.forgets_everything();
    }
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let mut answers = Vec::new();
    for (user, password) in [("alice", "wrong"), ("nobody", "secret")] {
        let (mut desk, nonce) = challenged();
        desk.hear(&register(&authorization("SHA-256", user, password, &nonce)));
        answers.push(desk.says("SIP/2.0 401 "));
        desk.tells_nothing();
        assert_eq!(desk.endpoint.transactions(), 0);
    }
    assert_eq!(answers[0], answers[1]);
    assert!(!answers[0].contains("stale"));
}

#[test]
fn an_old_nonce_is_stale_and_a_forged_one_is_wrong() {
    let (mut desk, nonce) = challenged();
    desk.wait(60_001);
    desk.hear(&register(&authorization("SHA-256", "alice", "secret", &nonce)));
    assert!(desk.says("SIP/2.0 401 ").contains("stale=true"));
    let forged = format!("0{}", &nonce[1..]).replace('a', "b");
    desk.hear(&register(&authorization("SHA-256", "alice", "secret", &forged)));
    assert!(!desk.says("SIP/2.0 401 ").contains("stale"));
    for broken in [", nc=00000001", ", qop=auth", ", cnonce=\"abc\""] {
        let (mut desk, nonce) = challenged();
        desk.hear(&register(&authorization("MD5", "alice", "secret", &nonce).replace(broken, "")));
        desk.says("SIP/2.0 401 ");
        desk.tells_nothing();
    }
}

#[test]
fn one_may_register_only_oneself_and_not_too_briefly() {
    let (mut desk, nonce) = challenged();
    let authorization = authorization("SHA-256", "alice", "secret", &nonce);
    desk.hear(&register(&authorization).replace("To: <sip:alice@", "To: <sip:bob@"));
    desk.says("SIP/2.0 403");
    desk.hear(&register(&(authorization.clone() + "Contact: <sip:alice@10.0.0.5>\nExpires: 59\n")));
    assert_eq!(field(&desk.says("SIP/2.0 423"), "Min-Expires"), "60");
    desk.hear(&register(&(authorization.clone() + "Contact: *\nExpires: 5\n")));
    desk.says("SIP/2.0 400");
    desk.hear(&register(&(authorization.clone() + "Contact: <tel:123>\n")));
    desk.says("SIP/2.0 400");
    desk.tells_nothing();
    desk.hear(&register(&(authorization.clone() + "Contact: *\nExpires: 0\n")));
    let (id, contact, seconds) = bound(&mut desk);
    assert_eq!((contact.as_str(), seconds), ("*", 0));
    desk.endpoint.answer_register(desk.now, id, RegisterOutcome::Accepted);
    desk.drain();
    assert_eq!(field(&desk.says("SIP/2.0 200"), "Contact"), "");
    // A question.
    desk.hear(&register(&authorization).replace("z9hG4bKr1", "z9hG4bKr2"));
    desk.says("SIP/2.0 200");
}

#[test]
fn several_contacts_are_answered_together_and_a_silent_shard_is_503() {
    let (mut desk, nonce) = challenged();
    let more = authorization("SHA-256", "alice", "secret", &nonce)
        + "Contact: <sip:alice@198.51.100.20:5070>;expires=600, \"A, B\" <sip:alice@10.0.0.5;transport=tcp>\nContact: <sip:alice@10.0.0.6>;expires=0\nExpires: 900\n";
    desk.hear(&register(&more));
    let all = [bound(&mut desk), bound(&mut desk), bound(&mut desk)];
    assert_eq!((all[0].1.as_str(), all[0].2), ("sip:alice@198.51.100.20:5070", 600));
    assert_eq!((all[1].1.as_str(), all[1].2), ("sip:alice@198.51.100.20:40000", 900));
    assert_eq!(all[2].2, 0);
    for (id, _, _) in &all {
        desk.silent();
        desk.endpoint.answer_register(desk.now, *id, RegisterOutcome::Accepted);
        desk.drain();
    }
    let ok = desk.says("SIP/2.0 200");
    assert_eq!(ok.matches("\r\nContact: ").count(), 2);
    desk.hear(&register(&more).replace("z9hG4bKr1", "z9hG4bKr3"));
    desk.told.clear();
    desk.wait(8_000);
    assert_eq!(field(&desk.says("SIP/2.0 503"), "Retry-After"), "5");
    desk.forgets_everything();
}

#[test]
fn over_tcp_the_connection_is_the_contact() {
    let (mut desk, nonce) = challenged();
    let text = register(
        &(authorization("SHA-256", "alice", "secret", &nonce)
            + "Contact: <sip:alice@198.51.100.20:5070;transport=tcp>\n"),
    );
    desk.hear_from(tcp("198.51.100.20:41000", 3), &text);
    let Effect::Register { id, contact, path, flow, .. } = desk.tells() else { panic!() };
    assert_eq!(contact, "sip:alice@198.51.100.20:41000;transport=tcp");
    assert!(flow && path.starts_with("<sip:cbf.1.3.c6336414.a028.") && path.ends_with("@192.0.2.1:5060;lr>"), "{path}");
    // It needs not know of it.
    desk.endpoint.answer_register(desk.now, id, RegisterOutcome::Accepted);
    desk.drain();
    assert_eq!(field(&desk.says("SIP/2.0 200"), "Path"), "");
}

#[test]
fn behind_other_proxies_their_path_is_kept_and_the_contact_left_alone() {
    let (mut desk, nonce) = challenged();
    let more = authorization("SHA-256", "alice", "secret", &nonce)
        + "Contact: <sip:alice@10.0.0.5:5066>;reg-id=1;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\"
Contact: <sip:alice@10.0.0.6:5066>
Supported: path, outbound
Require: path
Path: <sip:192.0.2.60;lr>, <sip:p2@192.0.2.61:5080;lr>
";
    desk.hear(&register(&more));
    for wanted in ["sip:alice@10.0.0.5:5066", "sip:alice@10.0.0.6:5066"] {
        let Effect::Register { id, contact, path, flow, .. } = desk.tells() else { panic!() };
        assert_eq!(
            (contact.as_str(), path.as_str(), flow),
            (wanted, "<sip:192.0.2.60;lr>,<sip:p2@192.0.2.61:5080;lr>", false)
        );
        desk.endpoint.answer_register(desk.now, id, RegisterOutcome::Accepted);
    }
    desk.drain();
    let ok = desk.says("SIP/2.0 200");
    assert_eq!(field(&ok, "Path"), "<sip:192.0.2.60;lr>, <sip:p2@192.0.2.61:5080;lr>");
    assert_eq!(ok.matches("\r\nContact: ").count(), 2);
    desk.hear(&register(&more.replace(";lr", "")).replace("z9hG4bKr1", "z9hG4bKr2"));
    desk.says("SIP/2.0 400");
    desk.hear(&register(&more.replace("Require: path", "Require: path, gruu")).replace("z9hG4bKr1", "z9hG4bKr3"));
    assert_eq!(field(&desk.says("SIP/2.0 420"), "Unsupported"), "gruu");
}

#[test]
fn options_are_answered_without_memory() {
    let mut desk = desk();
    desk.hear(&invite().replace("INVITE", "OPTIONS"));
    let ok = desk.says("SIP/2.0 200 OK\r\n");
    for name in ["Allow", "Accept", "Supported"] {
        assert!(!field(&ok, name).is_empty(), "{name}");
    }
    assert_eq!(desk.endpoint.transactions(), 0);
}
