//! Agents: rung, busy, silent, forked, taken back.

use sip::{Effect, EndCause, LegId};

use super::peer::*;

const LEG: LegId = LegId { shard: 1, call: 77, leg: 2 };

fn rung() -> (Desk, String) {
    let mut desk = desk();
    desk.from = udp("192.0.2.50:5070");
    desk.endpoint.invite(desk.now, LEG, invite_to("sip:bob@192.0.2.50:5070"));
    desk.endpoint.invite(desk.now, LEG, invite_to("sip:bob@192.0.2.50:5070"));
    desk.drain();
    let (flow, invite) = desk.says_to("INVITE sip:bob@192.0.2.50:5070 SIP/2.0\r\n");
    assert_eq!(flow.remote, address("192.0.2.50:5070"));
    desk.silent();
    (desk, invite)
}

#[test]
fn an_invite_is_repeated_until_something_comes() {
    let (mut desk, invite) = rung();
    for wait in [500, 1_000] {
        desk.wait(wait);
        assert_eq!(desk.says("INVITE "), invite);
    }
    desk.hear(&response(&invite, "100 Trying", "", ""));
    desk.hear(&response(&invite, "180 Ringing", "b1", ""));
    desk.hear(&response(&invite, "183 Session Progress", "b1", ""));
    assert_eq!(desk.tells(), Effect::Ringing { leg: LEG });
    desk.tells_nothing();
    desk.wait(60_000);
    desk.silent();
    desk.hear(&response(&invite, "200 OK", "b1", ANSWER));
    let ack = desk.says("ACK sip:bob@192.0.2.50:5070 SIP/2.0\r\n");
    assert_eq!(field(&ack, "CSeq"), "1 ACK");
    assert!(matches!(desk.tells(), Effect::Answered { leg: LEG, .. }));
    // Our ACK was lost.
    desk.hear(&response(&invite, "200 OK", "b1", ANSWER));
    assert_eq!(desk.says("ACK "), ack);
    desk.tells_nothing();
}

#[test]
fn an_agent_who_never_answers_a_word_is_unreachable() {
    let (mut desk, invite) = rung();
    desk.wait(4_000);
    desk.ended(LEG, EndCause::Unreachable, 408);
    desk.sent.clear();
    // It wakes up late: CANCEL to a provisional answer, BYE to a 200.
    desk.hear(&response(&invite, "180 Ringing", "b1", ""));
    desk.says("CANCEL ");
    desk.hear(&response(&invite, "200 OK", "b1", ANSWER));
    desk.says("ACK ");
    desk.says("BYE ");
    desk.tells_nothing();
    desk.forgets_everything();
}

#[test]
fn a_refusal_says_why() {
    let cases = [
        ("486 Busy Here", EndCause::Busy, 486),
        ("600 Busy Everywhere", EndCause::Busy, 600),
        ("603 Decline", EndCause::Rejected, 603),
        ("305 Use Proxy", EndCause::Rejected, 305),
        ("401 Unauthorized", EndCause::Rejected, 401),
        ("408 Request Timeout", EndCause::NoAnswer, 408),
        ("480 Away", EndCause::NoAnswer, 480),
        ("404 Not Found", EndCause::Unreachable, 404),
        ("410 Gone", EndCause::Unreachable, 410),
        ("503 Overloaded", EndCause::Unreachable, 503),
    ];
    for (line, cause, status) in cases {
        let (mut desk, invite) = rung();
        desk.hear(&response(&invite, line, "b1", ""));
        let ack = desk.says("ACK sip:bob@192.0.2.50:5070 SIP/2.0\r\n");
        assert_eq!(field(&ack, "Via"), field(&invite, "Via"));
        assert!(field(&ack, "To").ends_with(";tag=b1"));
        desk.ended(LEG, cause, status);
        desk.hear(&response(&invite, line, "b1", ""));
        assert_eq!(desk.says("ACK "), ack);
        desk.tells_nothing();
        desk.forgets_everything();
    }
}

#[test]
fn nobody_at_the_address_is_unreachable() {
    let (mut desk, _) = rung();
    desk.endpoint.flow_failed(desk.now, udp("192.0.2.50:5070"));
    desk.drain();
    desk.ended(LEG, EndCause::Unreachable, 503);
    desk.forgets_everything();
}

#[test]
fn an_address_that_is_none_is_unreachable() {
    for target in [
        "",
        "sip:bob@phone.example",
        "tel:123",
        "sip:bob@192.0.2.50?Route=x",
        "sip:bob@192.0.2.50\r\nX: y",
        "sips:bob@phone.example",
    ] {
        let mut desk = desk();
        desk.endpoint.invite(desk.now, LEG, invite_to(target));
        desk.drain();
        desk.ended(LEG, EndCause::Unreachable, 0);
        desk.silent();
    }
}

#[test]
fn an_agent_who_rings_is_cancelled() {
    let (mut desk, invite) = rung();
    desk.hear(&response(&invite, "180 Ringing", "b1", ""));
    desk.tells();
    desk.endpoint.end(desk.now, LEG, 200, "answered elsewhere").unwrap();
    desk.endpoint.end(desk.now, LEG, 200, "answered elsewhere").unwrap();
    desk.drain();
    let cancel = desk.says("CANCEL sip:bob@192.0.2.50:5070 SIP/2.0\r\n");
    desk.silent();
    assert_eq!(field(&cancel, "Via"), field(&invite, "Via"));
    assert_eq!(field(&cancel, "CSeq"), "1 CANCEL");
    assert_eq!(field(&cancel, "Reason"), "SIP;cause=200;text=\"answered elsewhere\"");
    desk.hear(&response(&cancel, "200 OK", "b1", ""));
    desk.hear(&response(&invite, "487 Request Terminated", "b1", ""));
    desk.says("ACK ");
    desk.ended(LEG, EndCause::Ordered, 487);
    desk.forgets_everything();
}

#[test]
fn a_cancel_waits_for_the_first_provisional_answer() {
    let (mut desk, invite) = rung();
    desk.endpoint.end(desk.now, LEG, 0, "").unwrap();
    desk.drain();
    desk.silent();
    desk.hear(&response(&invite, "100 Trying", "", ""));
    desk.says("CANCEL ");
    desk.tells_nothing();
    // Nothing more ever comes.
    desk.wait(200_000);
    assert_eq!(desk.told.len(), 1);
    desk.sent.clear();
    desk.forgets_everything();
}

#[test]
fn a_200_that_crosses_our_cancel_is_acknowledged_and_hung_up() {
    let (mut desk, invite) = rung();
    desk.hear(&response(&invite, "180 Ringing", "b1", ""));
    desk.tells();
    desk.endpoint.end(desk.now, LEG, 0, "").unwrap();
    desk.drain();
    desk.says("CANCEL ");
    desk.hear(&response(&invite, "200 OK", "b1", ANSWER));
    desk.says("ACK ");
    desk.says("BYE ");
    desk.ended(LEG, EndCause::Ordered, 200);
    desk.wait(200_000);
    desk.sent.clear();
    desk.forgets_everything();
}

#[test]
fn a_second_fork_is_hung_up() {
    let (mut desk, invite) = rung();
    desk.hear(&response(&invite, "200 OK", "b1", ANSWER));
    desk.says("ACK ");
    desk.tells();
    desk.hear(
        &response(&invite, "200 OK", "b2", ANSWER)
            .replace("sip:bob@192.0.2.50:5070>\r\nContent", "sip:bob@192.0.2.51:5071>\r\nContent"),
    );
    let (flow, ack) = desk.says_to("ACK sip:bob@192.0.2.51:5071 ");
    assert_eq!(flow.remote, address("192.0.2.51:5071"));
    assert!(field(&ack, "To").ends_with(";tag=b2"));
    let bye = desk.says("BYE sip:bob@192.0.2.51:5071 ");
    assert!(field(&bye, "To").ends_with(";tag=b2"));
    desk.tells_nothing();
    assert_eq!(desk.endpoint.legs().count(), 1);
}

#[test]
fn an_answer_without_a_common_codec_is_hung_up() {
    let (mut desk, invite) = rung();
    desk.hear(&response(&invite, "200 OK", "b1", &ANSWER.replace("RTP/AVP 0 101", "RTP/AVP 9 101")));
    desk.says("ACK ");
    desk.says("BYE ");
    desk.ended(LEG, EndCause::Media, 200);
}

#[test]
fn sdp_of_a_provisional_answer_serves_a_200_without() {
    let (mut desk, invite) = rung();
    desk.hear(&response(&invite, "183 Session Progress", "b1", ANSWER));
    desk.tells();
    desk.hear(&response(&invite, "200 OK", "b1", ""));
    desk.says("ACK ");
    assert!(matches!(desk.tells(), Effect::Answered { .. }));
}

#[test]
fn routes_are_followed() {
    let (mut desk, invite) = rung();
    let more = "Contact: <sip:bob@192.0.2.50:5070>\nRecord-Route: <sip:192.0.2.61;lr>, <sip:192.0.2.60:5080;lr>\n";
    desk.hear(&response_with(&invite, "200 OK", "b1", more, ANSWER));
    let (flow, ack) = desk.says_to("ACK sip:bob@192.0.2.50:5070 ");
    assert_eq!(flow.remote, address("192.0.2.60:5080"));
    let first = ack.find("Route: <sip:192.0.2.60:5080;lr>").unwrap();
    assert!(first < ack.find("Route: <sip:192.0.2.61;lr>").unwrap());
    desk.tells();
    // A strict router gets its own URI on the start line.
    let (mut desk, invite) = rung();
    let more = "Contact: <sip:bob@192.0.2.50:5070>\nRecord-Route: <sip:192.0.2.60:5080>\n";
    desk.hear(&response_with(&invite, "200 OK", "b1", more, ANSWER));
    let ack = desk.says("ACK sip:192.0.2.60:5080 SIP/2.0\r\n");
    assert_eq!(field(&ack, "Route"), "<sip:bob@192.0.2.50:5070>");
}

#[test]
fn over_tcp_nothing_is_repeated() {
    let mut desk = desk();
    desk.endpoint.invite(desk.now, LEG, invite_to("sip:bob@192.0.2.50:5070;transport=tcp"));
    desk.drain();
    let (flow, invite) = desk.says_to("INVITE ");
    assert_eq!(flow, tcp("192.0.2.50:5070", 0));
    assert!(field(&invite, "Via").starts_with("SIP/2.0/TCP"));
    assert!(field(&invite, "Contact").ends_with(";transport=tcp>"));
    desk.wait(3_000);
    desk.silent();
    desk.hear_from(tcp("192.0.2.50:5070", 9), &response(&invite, "200 OK", "b1", ANSWER));
    let (flow, _) = desk.says_to("ACK ");
    assert_eq!(flow, tcp("192.0.2.50:5070", 9));
}
