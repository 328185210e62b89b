//! Callers: in, answered, gone.

use sip::{Codec, Direction, Effect, EndCause};

use super::peer::*;

#[test]
fn a_call_is_offered_alerted_answered_and_hung_up_by_the_caller() {
    let mut desk = desk();
    desk.hear(&invite());
    let trying = desk.says("SIP/2.0 100 Trying\r\n");
    assert!(trying.contains(";branch=z9hG4bKa1;received=192.0.2.77;rport=5060\r\n"), "{trying}");
    let Effect::Offered { leg, number, caller, caller_name, media, .. } = desk.tells() else { panic!() };
    assert_eq!((number.as_str(), caller.as_str(), caller_name.as_str()), ("5000", "491234", "Ann"));
    let media = media.unwrap();
    assert_eq!((media.address, media.codec, media.dtmf_payload), (address("192.0.2.77:6000"), Codec::Pcma, Some(101)));
    assert_eq!(media.direction, Direction::SendRecv);

    desk.endpoint.alert(desk.now, leg).unwrap();
    desk.endpoint.alert(desk.now, leg).unwrap();
    desk.drain();
    let ringing = desk.says("SIP/2.0 180 Ringing\r\n");
    desk.silent();
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200 OK\r\n");
    desk.silent();
    assert_eq!(field(&ringing, "To"), field(&ok, "To"));
    assert!(body(&ok).contains("m=audio 20000 RTP/AVP 8 101\r\n"), "{ok}");
    desk.hear(&in_dialog("ACK", 1, &ok, ""));
    assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
    desk.wait(5_000);
    desk.silent();
    desk.hear(&in_dialog("BYE", 2, &ok, ""));
    desk.says("SIP/2.0 200 OK\r\n");
    desk.ended(leg, EndCause::Hangup, 200);
    desk.hear(&in_dialog("BYE", 2, &ok, ""));
    desk.says("SIP/2.0 200 OK\r\n");
    desk.forgets_everything();
}

#[test]
fn an_answered_caller_is_hung_up_by_us() {
    let mut desk = desk();
    let (leg, _) = desk.talking();
    desk.endpoint.end(desk.now, leg, 0, "goodbye").unwrap();
    desk.drain();
    let bye = desk.says("BYE sip:491234@192.0.2.77:5060 SIP/2.0\r\n");
    assert_eq!(field(&bye, "Reason"), "Q.850;cause=16;text=\"goodbye\"");
    assert_eq!(field(&bye, "To"), "\"Ann\" <sip:491234@192.0.2.77>;tag=a1");
    desk.ended(leg, EndCause::Ordered, 200);
    assert!(desk.endpoint.end(desk.now, leg, 0, "").is_err());
    desk.hear(&response(&bye, "200 OK", "", ""));
    desk.wait(2_000);
    desk.silent();
    desk.forgets_everything();
}

#[test]
fn an_agent_is_rung_answers_and_hangs_up() {
    let mut desk = desk();
    let (leg, invite) = desk.agent_talking();
    assert_eq!(field(&invite, "X-Queue"), "support");
    assert!(!invite.contains("Evil"));
    assert!(field(&invite, "From").starts_with("\"Ann \\\"A\\\" \\\\ B\" <sip:491234@192.0.2.1:5060>;tag=cb1."));
    desk.hear_from(udp("192.0.2.50:5070"), &agent_says("BYE", 1, &invite, "b1"));
    let (flow, _) = desk.says_to("SIP/2.0 200 OK\r\n");
    assert_eq!(flow.remote, address("192.0.2.50:5070"));
    desk.ended(leg, EndCause::Hangup, 200);
    desk.forgets_everything();
}
