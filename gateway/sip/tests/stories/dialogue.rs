//! What happens inside of a call: hold, glare, digits, session timers, forged tags, take-over.

use sip::{Direction, Effect, EndCause, LegId, LocalMedia};

use super::peer::*;

fn reinvite(cseq: u32, ok: &str, sdp: &str) -> String {
    in_dialog_with("INVITE", cseq, ok, "", "application/sdp", sdp)
}

#[test]
fn hold_and_resume_are_answered_inside() {
    let mut desk = desk();
    let (leg, ok) = desk.talking();
    let version = |text: &str| {
        body(text).lines().find(|l| l.starts_with("o=")).unwrap().split(' ').nth(2).unwrap().parse::<u64>().unwrap()
    };
    for (cseq, offered, answered, seen) in [
        (2, "sendonly", "recvonly", Direction::SendOnly),
        (3, "inactive", "inactive", Direction::Inactive),
        (4, "sendrecv", "sendrecv", Direction::SendRecv),
    ] {
        desk.hear(&reinvite(cseq, &ok, &OFFER.replace("sendrecv", offered)));
        let held = desk.says("SIP/2.0 200");
        assert!(body(&held).contains(&format!("a={answered}\r\n")), "{held}");
        assert_eq!(version(&held), u64::from(cseq));
        let Effect::MediaChanged { media, .. } = desk.tells() else { panic!() };
        assert_eq!(media.direction, seen);
        // Not acknowledged yet: said again.
        desk.wait(500);
        desk.says("SIP/2.0 200");
        desk.hear(&in_dialog("ACK", cseq, &ok, ""));
        assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
    }
    desk.hear(&reinvite(5, &ok, &OFFER.replace("RTP/AVP 8 0", "RTP/AVP 9")));
    desk.says("SIP/2.0 488");
    desk.tells_nothing();
    assert_eq!(desk.endpoint.legs().collect::<Vec<_>>(), [leg]);
}

#[test]
fn a_reinvite_without_ack_ends_the_call() {
    let mut desk = desk();
    let (leg, ok) = desk.talking();
    desk.hear(&reinvite(2, &ok, OFFER));
    desk.wait(32_000);
    let last = desk.sent.pop_back().unwrap().1;
    assert!(last.starts_with("BYE "), "{last}");
    desk.ended(leg, EndCause::Failed, 408);
    desk.sent.clear();
    desk.forgets_everything();
}

#[test]
fn glare_is_491_both_ways() {
    let mut desk = desk();
    let (leg, ok) = desk.talking();
    let other = LocalMedia { port: 20_002, ..MEDIA };
    desk.endpoint.reoffer(desk.now, leg, other).unwrap();
    desk.endpoint.reoffer(desk.now, leg, other).unwrap();
    desk.drain();
    let ours = desk.says("INVITE sip:491234@192.0.2.77:5060 SIP/2.0\r\n");
    assert!(body(&ours).contains("m=audio 20002 "));
    desk.silent();
    desk.hear(&reinvite(2, &ok, OFFER));
    desk.says("SIP/2.0 491");
    desk.hear(&response(&ours, "491 Request Pending", "", ""));
    desk.says("ACK ");
    // Asked again in a while, with a higher number.
    desk.hear(&in_dialog("ACK", 2, &ok, "").replace("z9hG4bKACK2", "z9hG4bKINVITE2"));
    desk.wait(2_000);
    let again = desk.says("INVITE ");
    assert_eq!(field(&again, "CSeq"), "2 INVITE");
    desk.hear(&response_with(
        &again,
        "200 OK",
        "",
        "Contact: <sip:491234@192.0.2.78:5060>\n",
        &OFFER.replace("6000", "6002"),
    ));
    let ack = desk.says("ACK sip:491234@192.0.2.77:5060 ");
    assert_eq!(field(&ack, "CSeq"), "2 ACK");
    let Effect::MediaChanged { media, .. } = desk.tells() else { panic!() };
    assert_eq!(media.address.port(), 6002);
    assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
    // Its 200 again gets the ACK again; what is in use is not offered again.
    desk.hear(&response(&again, "200 OK", "", OFFER));
    desk.says("ACK ");
    desk.endpoint.reoffer(desk.now, leg, other).unwrap();
    desk.drain();
    desk.silent();
}

#[test]
fn a_far_end_that_forgot_the_call_ends_it() {
    for status in ["481 Gone", "408 Timeout"] {
        let mut desk = desk();
        let (leg, _) = desk.talking();
        desk.endpoint.reoffer(desk.now, leg, LocalMedia { port: 20_002, ..MEDIA }).unwrap();
        desk.drain();
        let ours = desk.says("INVITE ");
        desk.hear(&response(&ours, status, "", ""));
        desk.says("ACK ");
        desk.says("BYE ");
        desk.ended(leg, EndCause::Failed, status[..3].parse().unwrap());
    }
}

#[test]
fn keys_come_by_info() {
    let mut desk = desk();
    let (leg, ok) = desk.talking();
    let cases = [
        ("application/dtmf-relay", "Signal=5\nDuration=160\n", Some("5")),
        ("application/dtmf-relay", "Signal = *\n", Some("*")),
        ("application/dtmf", "11", Some("#")),
        ("application/dtmf", "d", Some("D")),
        ("application/dtmf", "55", None),
        ("application/dtmf-relay", "Duration=1\n", None),
        ("text/plain", "5", None),
    ];
    for (index, (kind, text, digits)) in cases.into_iter().enumerate() {
        let info = in_dialog_with("INFO", 2 + index as u32, &ok, "", kind, text);
        desk.hear(&info);
        match digits {
            Some(digits) => {
                desk.says("SIP/2.0 200");
                assert_eq!(desk.tells(), Effect::Digits { leg, digits: digits.to_owned() });
                desk.hear(&info);
                desk.says("SIP/2.0 200");
            }
            None => {
                desk.says("SIP/2.0 4");
            }
        }
        desk.tells_nothing();
    }
}

#[test]
fn other_requests_in_the_dialog_get_their_answer() {
    let mut desk = desk();
    let (_, ok) = desk.talking();
    desk.hear(&in_dialog("OPTIONS", 2, &ok, ""));
    desk.says("SIP/2.0 200");
    desk.hear(&in_dialog("UPDATE", 3, &ok, ""));
    desk.says("SIP/2.0 200");
    desk.hear(&in_dialog("NOTIFY", 4, &ok, ""));
    desk.says("SIP/2.0 405");
    desk.hear(&in_dialog("INFO", 2, &ok, ""));
    desk.says("SIP/2.0 500");
    desk.hear(&in_dialog("INFO", 5, &ok, "Require: x\n"));
    desk.says("SIP/2.0 420");
    desk.tells_nothing();
    // The far end moves.
    desk.hear(
        &in_dialog("UPDATE", 6, &ok, "")
            .replace("Contact: <sip:491234@192.0.2.77:5060>", "Contact: <sip:491234@192.0.2.99:5062>"),
    );
    desk.says("SIP/2.0 200");
    let Effect::Confirmed { leg, .. } = desk.tells() else { panic!() };
    desk.endpoint.end(desk.now, leg, 0, "").unwrap();
    desk.drain();
    let (flow, _) = desk.says_to("BYE sip:491234@192.0.2.99:5062 ");
    assert_eq!(flow.remote, address("192.0.2.99:5062"));
}

#[test]
fn a_forged_or_foreign_dialog_is_481() {
    let mut desk = desk();
    let (_, ok) = desk.talking();
    let to = field(&ok, "To");
    let tag = to.split("tag=").nth(1).unwrap();
    let flipped = if tag.ends_with('0') { '1' } else { '0' };
    let forged = format!("{}{flipped}", &tag[..tag.len() - 1]);
    desk.hear(&in_dialog("BYE", 2, &ok.replace(tag, &forged), ""));
    desk.says("SIP/2.0 481");
    desk.hear(&in_dialog("BYE", 3, &ok.replace("tag=a1", "tag=zz"), ""));
    desk.says("SIP/2.0 481");
    desk.hear(&in_dialog("BYE", 4, &ok.replace("call-1@", "call-9@"), ""));
    desk.says("SIP/2.0 481");
    desk.tells_nothing();
    assert_eq!(desk.endpoint.legs().count(), 1);
}

#[test]
fn a_reinvite_before_the_answer_comes_too_early() {
    let mut desk = desk();
    desk.hear(&invite());
    let leg = desk.offered();
    desk.endpoint.alert(desk.now, leg).unwrap();
    desk.drain();
    let ringing = desk.says("SIP/2.0 180");
    desk.hear(&reinvite(2, &ringing, OFFER));
    let refusal = desk.says("SIP/2.0 500");
    assert_eq!(field(&refusal, "Retry-After"), "1");
    // A BYE ends it (RFC 3261 15.1.2).
    desk.hear(&in_dialog("BYE", 3, &ringing, ""));
    desk.says("SIP/2.0 200");
    desk.says("SIP/2.0 487");
    desk.ended(leg, EndCause::Cancelled, 487);
}

fn talking_with(more: &str) -> (Desk, LegId, String) {
    let mut desk = desk();
    desk.hear(&invite_with(more, OFFER));
    let leg = desk.offered();
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200");
    desk.hear(&in_dialog("ACK", 1, &ok, ""));
    desk.tells();
    (desk, leg, ok)
}

#[test]
fn a_session_that_the_caller_does_not_refresh_expires() {
    let (mut desk, leg, ok) = talking_with("Session-Expires: 90\nSupported: timer\n");
    assert_eq!(field(&ok, "Session-Expires"), "90;refresher=uac");
    assert_eq!(field(&ok, "Require"), "timer");
    desk.wait(50_000);
    desk.silent();
    desk.hear(&in_dialog("UPDATE", 2, &ok, "Session-Expires: 90\nSupported: timer\n"));
    let refreshed = desk.says("SIP/2.0 200");
    assert_eq!(field(&refreshed, "Session-Expires"), "90;refresher=uac");
    desk.wait(59_999);
    desk.silent();
    desk.wait(1);
    desk.says("BYE ");
    desk.ended(leg, EndCause::Failed, 408);
}

#[test]
fn a_session_is_refreshed_by_us_when_the_caller_cannot() {
    let (mut desk, leg, ok) = talking_with("Session-Expires: 100\nAllow: INVITE, UPDATE\n");
    assert_eq!(field(&ok, "Session-Expires"), "100;refresher=uas");
    desk.wait(50_000);
    let update = desk.says("UPDATE ");
    assert_eq!(field(&update, "Session-Expires"), "100;refresher=uac");
    desk.hear(&response_with(&update, "200 OK", "", "Session-Expires: 100;refresher=uac\n", ""));
    desk.wait(50_000);
    desk.says("UPDATE ");
    // Nobody is there any more.
    desk.wait(32_000);
    assert!(desk.sent.iter().any(|(_, text)| text.starts_with("BYE ")));
    desk.ended(leg, EndCause::Failed, 408);
}

#[test]
fn a_session_is_refreshed_by_reinvite_where_update_is_unknown() {
    let (mut desk, leg, ok) = talking_with("Session-Expires: 100;refresher=uas\nSupported: timer\n");
    assert_eq!(field(&ok, "Session-Expires"), "100;refresher=uas");
    desk.wait(50_000);
    let again = desk.says("INVITE ");
    desk.hear(&response_with(
        &again,
        "200 OK",
        "",
        "Session-Expires: 100;refresher=uac\nContact: <sip:491234@192.0.2.77:5060>\n",
        OFFER,
    ));
    desk.says("ACK ");
    desk.wait(49_999);
    desk.silent();
    assert_eq!(desk.endpoint.legs().collect::<Vec<_>>(), [leg]);
}

#[test]
fn another_gateway_goes_on_from_the_passport() {
    let mut one = desk();
    let (leg, ok) = one.talking();
    let passport = one.endpoint.passport(leg).unwrap();
    assert!(passport.len() < 1_000, "{} bytes", passport.len());
    let mut two = desk();
    let other = LegId { leg: 2, ..leg };
    assert!(two.endpoint.adopt(two.now, other, &passport).is_err());
    assert!(two.endpoint.adopt(two.now, leg, b"rubbish").is_err());
    two.endpoint.adopt(two.now, leg, &passport).unwrap();
    assert!(two.endpoint.adopt(two.now, leg, &passport).is_err());
    assert_eq!(two.endpoint.remote_media(leg), one.endpoint.remote_media(leg));
    two.endpoint.reoffer(two.now, leg, LocalMedia { port: 31_000, ..MEDIA }).unwrap();
    two.drain();
    let again = two.says("INVITE sip:491234@192.0.2.77:5060 ");
    assert_eq!(field(&again, "CSeq"), "10001 INVITE");
    assert_eq!(field(&again, "Call-ID"), field(&ok, "Call-ID"));
    two.hear(&response(&again, "200 OK", "", OFFER));
    two.says("ACK ");
    assert!(matches!(two.tells(), Effect::MediaChanged { .. }));
    assert!(matches!(two.tells(), Effect::Confirmed { .. }));
    two.hear(&in_dialog("BYE", 2, &ok, ""));
    two.says("SIP/2.0 200");
    two.ended(leg, EndCause::Hangup, 200);
}
