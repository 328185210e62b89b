//! Sent elsewhere: REFER inside of a call, and 3xx to an INVITE of ours.

use sip::{Effect, EndCause, LegId};

use super::peer::*;

fn refer(cseq: u32, ok: &str, more: &str) -> String {
    in_dialog("REFER", cseq, ok, more)
}

#[track_caller]
fn referred(desk: &mut Desk) -> (String, String, bool, String) {
    match desk.tells() {
        Effect::Referred { to, user, ours, replaces, .. } => (to, user, ours, replaces),
        other => panic!("wanted a REFER, got {other:?}"),
    }
}

#[test]
fn a_blind_transfer_is_followed_to_its_end() {
    let mut desk = desk();
    let (leg, ok) = desk.talking();
    desk.hear(&refer(2, &ok, "Refer-To: <sip:5001@192.0.2.1>\nReferred-By: \"A\" <sip:alice@192.0.2.77>\n"));
    desk.silent();
    assert_eq!(referred(&mut desk), ("sip:5001@192.0.2.1".into(), "5001".into(), true, String::new()));
    assert_eq!(desk.endpoint.referred_by(leg), "<sip:alice@192.0.2.77>");
    // Its repeat is absorbed; another one has to wait.
    desk.hear(&refer(2, &ok, "Refer-To: <sip:5001@192.0.2.1>\n"));
    desk.silent();
    desk.hear(&refer(3, &ok, "Refer-To: <sip:5002@192.0.2.1>\n"));
    desk.says("SIP/2.0 491");
    desk.endpoint.answer_refer(desk.now, leg, 202).unwrap();
    desk.drain();
    let accepted = desk.says("SIP/2.0 202 Accepted\r\n");
    assert_eq!(field(&accepted, "CSeq"), "2 REFER");
    let trying = desk.says("NOTIFY sip:491234@192.0.2.77:5060 SIP/2.0\r\n");
    assert_eq!(field(&trying, "Event"), "refer;id=2");
    assert!(field(&trying, "Subscription-State").starts_with("active;expires="));
    assert_eq!(field(&trying, "Content-Type"), "message/sipfrag;version=2.0");
    assert_eq!(body(&trying), "SIP/2.0 100 Trying\r\n");
    assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
    // The far end does not know what to do with it: the call does not mind.
    desk.hear(&response(&trying, "481 No Subscription", "", ""));
    desk.tells_nothing();
    desk.endpoint.refer_ended(desk.now, leg, 486).unwrap();
    desk.endpoint.refer_ended(desk.now, leg, 486).unwrap();
    desk.drain();
    assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
    let last = desk.says("NOTIFY ");
    assert_eq!(field(&last, "Subscription-State"), "terminated;reason=noresource");
    assert_eq!(body(&last), "SIP/2.0 486 Busy Here\r\n");
    desk.hear(&response(&last, "200 OK", "", ""));
    desk.silent();
    desk.hear(&refer(4, &ok, "Refer-To: <tel:+49-30-123>\n"));
    assert_eq!(referred(&mut desk).1, "+4930123");
    assert_eq!(desk.endpoint.legs().collect::<Vec<_>>(), [leg]);
}

#[test]
fn a_leg_that_goes_because_its_transfer_is_done_says_so_first() {
    for (status, told) in [(200, "SIP/2.0 200 OK\r\n"), (0, "SIP/2.0 503 Service Unavailable\r\n")] {
        let mut desk = desk();
        let (leg, ok) = desk.talking();
        desk.hear(&refer(2, &ok, "Refer-To: <sip:5001@192.0.2.1>\n"));
        desk.tells();
        desk.endpoint.answer_refer(desk.now, leg, 202).unwrap();
        desk.endpoint.end(desk.now, leg, status, "").unwrap();
        desk.drain();
        assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
        desk.says("SIP/2.0 202");
        desk.says("NOTIFY ");
        let last = desk.says("NOTIFY ");
        assert_eq!(body(&last), told);
        let bye = desk.says("BYE ");
        assert_eq!(field(&bye, "CSeq"), "3 BYE");
        desk.ended(leg, EndCause::Ordered, 200);
        desk.sent.clear();
        desk.forgets_everything();
    }
}

#[test]
fn a_refer_that_nobody_decides_is_refused_and_never_left_open() {
    let mut desk = desk();
    let (leg, ok) = desk.talking();
    desk.hear(&refer(2, &ok, "Refer-To: <sip:5001@192.0.2.1>\n"));
    desk.tells();
    desk.wait(8_000);
    desk.says("SIP/2.0 503");
    desk.hear(&refer(3, &ok, "Refer-To: <sip:5001@192.0.2.1>\n"));
    desk.tells();
    desk.endpoint.answer_refer(desk.now, leg, 603).unwrap();
    desk.drain();
    desk.says("SIP/2.0 603");
    desk.hear(&refer(4, &ok, "Refer-To: <sip:5001@192.0.2.1>\n"));
    desk.tells();
    desk.hear(&in_dialog("BYE", 5, &ok, ""));
    desk.says("SIP/2.0 200");
    let refusal = desk.says("SIP/2.0 487");
    assert_eq!(field(&refusal, "CSeq"), "4 REFER");
    desk.ended(leg, EndCause::Hangup, 200);
    desk.forgets_everything();
}

#[test]
fn a_refer_without_subscription_gets_no_notify() {
    let mut desk = desk();
    let (leg, ok) = desk.talking();
    desk.hear(&refer(2, &ok, "Refer-To: <sip:5001@192.0.2.1>\nRefer-Sub: false\nSupported: norefersub\n"));
    desk.tells();
    desk.endpoint.answer_refer(desk.now, leg, 200).unwrap();
    desk.endpoint.refer_ended(desk.now, leg, 200).unwrap();
    desk.drain();
    assert_eq!(field(&desk.says("SIP/2.0 202"), "Refer-Sub"), "false");
    desk.silent();
}

#[test]
fn refer_to_is_looked_at_before_anybody_is_asked() {
    let mut desk = desk();
    let (_, ok) = desk.talking();
    let long = format!("Refer-To: <sip:{}@x.example>\n", "5".repeat(600));
    let cases = [
        ("", 400),
        ("Refer-To: <sip:5001@x>\nRefer-To: <sip:5002@x>\n", 400),
        ("Refer-To: <sip:5001@x>, <sip:5002@x>\n", 400),
        ("Refer-To: <mailto:a@b.example>\n", 416),
        ("Refer-To: <sip:5001@x.example;method=SUBSCRIBE>\n", 501),
        ("Refer-To: <sip:50%0d%0aEvil:1@x.example>\n", 400),
        ("Refer-To: <sip:5001@x.example?Replaces=a%0d%0aEvil:1>\n", 400),
        ("Refer-To: nonsense\n", 400),
        (long.as_str(), 400),
    ];
    for (index, (more, status)) in cases.into_iter().enumerate() {
        desk.hear(&refer(2 + index as u32, &ok, more));
        desk.says(&format!("SIP/2.0 {status}"));
        desk.tells_nothing();
    }
    desk.hear(&refer(
        20,
        &ok,
        "Refer-To: <sip:bob@pbx.example;transport=tcp?Replaces=c1%40h%3Bto-tag%3Da%3Bfrom-tag%3Db&Route=%3Csip:evil%3E>\n",
    ));
    let wanted = ("sip:bob@pbx.example;transport=tcp".into(), "bob".into(), false, "c1@h;to-tag=a;from-tag=b".into());
    assert_eq!(referred(&mut desk), wanted);
    // Out of a dialog nobody is sent anywhere.
    let invite = invite().replace("INVITE", "REFER").replace("call-1", "call-9");
    desk.hear(&invite);
    desk.says("SIP/2.0 405");
}

#[test]
fn another_gateway_says_how_it_ended() {
    let mut one = desk();
    let (leg, ok) = one.talking();
    one.hear(&refer(2, &ok, "Refer-To: <sip:5001@192.0.2.1>\n"));
    one.tells();
    one.endpoint.answer_refer(one.now, leg, 202).unwrap();
    one.drain();
    let Effect::Confirmed { passport, .. } = one.tells() else { panic!() };
    let mut two = desk();
    two.endpoint.adopt(two.now, leg, &passport).unwrap();
    two.endpoint.refer_ended(two.now, leg, 200).unwrap();
    two.drain();
    let last = two.says("NOTIFY sip:491234@192.0.2.77:5060 ");
    assert_eq!(field(&last, "Event"), "refer;id=2");
    assert_eq!(body(&last), "SIP/2.0 200 OK\r\n");
    let Effect::Confirmed { passport, .. } = two.tells() else { panic!() };
    let mut three = desk();
    three.endpoint.adopt(three.now, leg, &passport).unwrap();
    three.endpoint.refer_ended(three.now, leg, 200).unwrap();
    three.drain();
    three.silent();
}

#[test]
fn what_is_ours_is_known_however_it_is_written() {
    let mut desk = desk_with(|config| {
        config.host = "2001:db8::1".into();
        config.names = vec!["pbx.example".into()];
    });
    let (leg, ok) = desk.talking();
    let hosts =
        [("[2001:DB8:0:0:0:0:0:1]:5060", true), ("PBX.example", true), ("Cordboard", true), ("evil.example", false)];
    for (index, (host, ours)) in hosts.into_iter().enumerate() {
        desk.hear(&refer(2 + index as u32, &ok, &format!("Refer-To: <sip:5001@{host}>\n")));
        assert_eq!(referred(&mut desk).2, ours, "{host}");
        desk.endpoint.answer_refer(desk.now, leg, 603).unwrap();
        desk.drain();
    }
}

const LEG: LegId = LegId { shard: 1, call: 77, leg: 2 };

#[test]
fn a_redirect_tells_where_else_to_try() {
    let mut desk = desk();
    desk.endpoint.invite(desk.now, LEG, invite_to("sip:bob@192.0.2.50:5070"));
    desk.drain();
    let invite = desk.says("INVITE ");
    let more = "Contact: <sip:c@x.example>;q=0.25, \"B, b\" <sip:b@x.example>;q=0.9\n\
                Contact: <tel:+4930>, <http://x.example>, <sip:c@x.example>\nContact: <sip:d@x.example?Subject=a>\n";
    desk.hear(&response_with(&invite, "302 Moved Temporarily", "b1", more, ""));
    desk.says("ACK ");
    let contacts = ["+4930", "sip:b@x.example", "sip:c@x.example"].map(str::to_owned).to_vec();
    assert_eq!(desk.tells(), Effect::Redirected { leg: LEG, contacts });
    desk.ended(LEG, EndCause::Moved, 302);
    desk.forgets_everything();
}

#[test]
fn a_redirect_to_nowhere_is_a_refusal() {
    let mut desk = desk();
    desk.endpoint.invite(desk.now, LEG, invite_to("sip:bob@192.0.2.50:5070"));
    desk.drain();
    let invite = desk.says("INVITE ");
    desk.hear(&response_with(&invite, "302 Moved Temporarily", "b1", "Contact: <mailto:a@b>\n", ""));
    desk.says("ACK ");
    desk.ended(LEG, EndCause::Rejected, 302);
}
