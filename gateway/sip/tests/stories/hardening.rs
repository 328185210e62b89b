//! What strangers try: passwords without end, bodies in bodies.

use sip::{Direction, Effect};

use super::peer::*;

fn guess(n: u32, user: &str) -> String {
    let nonce = "0123456789ab0123456789abcdef0123456789abcdef";
    with_body(
        &format!(
            "REGISTER sip:192.0.2.1 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bKg{n};rport
From: <sip:{user}@192.0.2.1>;tag=r1
To: <sip:{user}@192.0.2.1>
Call-ID: guess-{n}
CSeq: {n} REGISTER
Authorization: Digest username=\"{user}\", realm=\"cordboard\", nonce=\"{nonce}\", uri=\"sip:x\", response=\"00\", \
             qop=auth, nc=00000001, cnonce=\"c\"
Contact: <sip:{user}@192.0.2.77>
"
        ),
        "",
        "",
    )
}

#[test]
fn passwords_are_not_tried_without_end_and_strangers_look_like_agents() {
    let mut answers = Vec::new();
    for user in ["alice", "nobody"] {
        let mut desk = desk();
        let mut statuses = Vec::new();
        for n in 1..=12 {
            desk.hear(&guess(n, user));
            statuses.push(desk.says("SIP/2.0 40")[8..11].to_owned());
        }
        assert_eq!(statuses.iter().filter(|status| *status == "401").count(), 10);
        assert_eq!(statuses.last().unwrap(), "403");
        // Another user from there is still asked, a question without a guess too, and the user's own phone.
        desk.hear(&guess(20, "carol"));
        desk.says("SIP/2.0 401");
        desk.hear_from(udp("198.51.100.20:5060"), &guess(21, user));
        desk.says("SIP/2.0 401");
        desk.wait(60_000);
        desk.hear(&guess(22, user));
        desk.says("SIP/2.0 401");
        assert_eq!(desk.endpoint.transactions(), 0);
        answers.push(statuses);
    }
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_source_that_tries_many_users_is_not_looked_at() {
    let mut desk = desk();
    for n in 1..=200 {
        desk.hear(&guess(n, &format!("user{n}")));
        desk.says("SIP/2.0 401");
    }
    desk.hear(&guess(201, "alice"));
    desk.says("SIP/2.0 403");
}

fn wrapped(sdp: &str, more: &str) -> String {
    format!("--b1\nContent-Type: application/sdp\n\n{sdp}--b1\nContent-Type: application/ISUP\n{more}\nx\n--b1--\n")
}

#[test]
fn a_session_beside_other_parts_is_read() {
    let mut desk = desk();
    let text = invite_with("", &wrapped(OFFER, ""))
        .replace("application/sdp\r\nContent-Length", "multipart/mixed;boundary=b1\r\nContent-Length");
    desk.hear(&text);
    desk.says("SIP/2.0 100");
    let Effect::Offered { leg, media, .. } = desk.tells() else { panic!() };
    assert_eq!(media.unwrap().address, address("192.0.2.77:6000"));
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200");
    desk.hear(&in_dialog("ACK", 1, &ok, ""));
    desk.tells();
    let hold = wrapped(&OFFER.replace("sendrecv", "sendonly"), "");
    desk.hear(&in_dialog_with("INVITE", 2, &ok, "", "multipart/mixed;boundary=b1", &hold));
    desk.says("SIP/2.0 200");
    let Effect::MediaChanged { media, .. } = desk.tells() else { panic!() };
    assert_eq!(media.direction, Direction::SendOnly);
}

#[test]
fn a_part_that_must_be_understood_and_is_not_refuses_the_whole() {
    for body in [
        wrapped(OFFER, "Content-Disposition: signal;handling=required\n"),
        "--b1\nContent-Type: text/plain\n\nx\n--b1--\n".to_owned(),
        "no parts at all".to_owned(),
    ] {
        let mut desk = desk();
        desk.hear(
            &invite_with("", &body)
                .replace("application/sdp\r\nContent-Length", "multipart/mixed;boundary=b1\r\nContent-Length"),
        );
        desk.says("SIP/2.0 415");
        desk.tells_nothing();
    }
}
