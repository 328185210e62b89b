//! Provisional responses that must arrive (RFC 3262), and UPDATE before the answer (RFC 3311).

use sip::{Effect, EndCause, LegId};

use super::peer::*;

fn prack(cseq: u32, ringing: &str, rack: &str) -> String {
    in_dialog("PRACK", cseq, ringing, &format!("RAck: {rack}\n"))
}

fn alerted(more: &str, sdp: &str) -> (Desk, LegId) {
    let mut desk = desk();
    desk.hear(&invite_with(more, sdp));
    let leg = desk.offered();
    desk.endpoint.alert(desk.now, leg).unwrap();
    desk.drain();
    (desk, leg)
}

#[test]
fn a_caller_that_requires_it_hears_ringing_until_it_says_so() {
    let (mut desk, leg) = alerted("Require: 100rel\n", OFFER);
    let ringing = desk.says("SIP/2.0 180");
    assert_eq!(field(&ringing, "Require"), "100rel");
    let rseq: u32 = field(&ringing, "RSeq").parse().unwrap();
    for wait in [500, 1_000] {
        desk.wait(wait);
        assert_eq!(desk.says("SIP/2.0 180"), ringing);
    }
    desk.hear(&prack(2, &ringing, &format!("{} 1 INVITE", rseq + 1)));
    desk.says("SIP/2.0 481");
    desk.hear(&prack(3, &ringing, "nonsense"));
    desk.says("SIP/2.0 400");
    desk.hear(&prack(4, &ringing, &format!("{rseq} 1 INVITE")));
    assert_eq!(field(&desk.says("SIP/2.0 200"), "CSeq"), "4 PRACK");
    desk.hear(&prack(5, &ringing, &format!("{rseq} 1 INVITE")));
    desk.says("SIP/2.0 481");
    desk.wait(58_000);
    desk.silent();
    desk.wait(5_000);
    let next = desk.says("SIP/2.0 180");
    assert_eq!(field(&next, "RSeq").parse::<u32>().unwrap(), rseq + 1);
    desk.sent.clear();
    // The 200 need not wait, and the late PRACK is still answered.
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200 OK");
    desk.hear(&prack(6, &ringing, &format!("{} 1 INVITE", rseq + 1)));
    assert_eq!(field(&desk.says("SIP/2.0 200"), "CSeq"), "6 PRACK");
    desk.hear(&in_dialog("ACK", 1, &ok, ""));
    assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
}

#[test]
fn a_caller_that_never_says_so_is_refused() {
    let (mut desk, leg) = alerted("Require: 100rel\n", OFFER);
    desk.wait(32_000);
    let last = desk.sent.pop_back().unwrap().1;
    assert!(last.starts_with("SIP/2.0 504 "), "{last}");
    desk.ended(leg, EndCause::Failed, 504);
    desk.sent.clear();
    desk.forgets_everything();
}

#[test]
fn who_only_supports_it_is_not_burdened_and_a_late_offer_hears_no_ringing() {
    let (mut desk, _) = alerted("Supported: 100rel\n", OFFER);
    assert_eq!(field(&desk.says("SIP/2.0 180"), "RSeq"), "");
    desk.wait(10_000);
    desk.silent();
    let (mut desk, leg) = alerted("Require: 100rel\n", "");
    desk.silent();
    desk.wait(10_000);
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    desk.says("SIP/2.0 200 OK");
}

#[test]
fn after_a_take_over_nothing_more_is_said_reliably() {
    let mut one = desk();
    one.hear(&invite_with("Require: 100rel\n", OFFER));
    let leg = one.offered();
    one.endpoint.alert(one.now, leg).unwrap();
    one.drain();
    let ringing = one.says("SIP/2.0 180");
    let passport = one.endpoint.passport(leg).unwrap();
    let mut two = desk();
    two.endpoint.adopt(two.now, leg, &passport).unwrap();
    two.endpoint.alert(two.now, leg).unwrap();
    two.drain();
    two.silent();
    // The PRACK for what the other gateway said comes here.
    two.hear(&prack(2, &ringing, &format!("{} 1 INVITE", field(&ringing, "RSeq"))));
    two.says("SIP/2.0 200");
    two.endpoint.answer(two.now, leg, MEDIA).unwrap();
    two.drain();
    two.says("SIP/2.0 200 OK");
}

#[test]
fn what_we_do_not_know_is_not_required_of_us() {
    for (require, unsupported) in
        [("100rel, timer, precondition", "precondition"), ("replaces", "replaces"), ("path", "path")]
    {
        let mut desk = desk();
        desk.hear(&invite_with(&format!("Require: {require}\n"), OFFER));
        assert_eq!(field(&desk.says("SIP/2.0 420"), "Unsupported"), unsupported);
    }
}

const LEG: LegId = LegId { shard: 1, call: 77, leg: 2 };

fn rung() -> (Desk, String) {
    let mut desk = desk();
    desk.from = udp("192.0.2.50:5070");
    desk.endpoint.invite(desk.now, LEG, invite_to("sip:bob@192.0.2.50:5070"));
    desk.drain();
    let invite = desk.says("INVITE ");
    assert!(field(&invite, "Supported").contains("100rel"));
    (desk, invite)
}

fn reliable(invite: &str, tag: &str, rseq: u32, sdp: &str) -> String {
    let more = format!("Contact: <sip:bob@192.0.2.50:5070>\nRequire: 100rel\nRSeq: {rseq}\n");
    response_with(invite, "183 Session Progress", tag, &more, sdp)
}

#[test]
fn a_reliable_answer_is_acknowledged_in_order() {
    let (mut desk, invite) = rung();
    desk.hear(&reliable(&invite, "b1", 10, ANSWER));
    let prack = desk.says("PRACK sip:bob@192.0.2.50:5070 SIP/2.0\r\n");
    assert_eq!((field(&prack, "RAck"), field(&prack, "CSeq")), ("10 1 INVITE".into(), "2 PRACK".into()));
    assert!(field(&prack, "To").ends_with(";tag=b1"));
    assert_eq!(desk.tells(), Effect::Ringing { leg: LEG });
    // Said again: our PRACK is on its way already, and repeats itself.
    desk.hear(&reliable(&invite, "b1", 10, ANSWER));
    desk.silent();
    desk.wait(500);
    assert_eq!(desk.says("PRACK "), prack);
    desk.hear(&response(&prack, "200 OK", "", ""));
    desk.hear(&reliable(&invite, "b1", 12, ""));
    desk.silent();
    desk.hear(&reliable(&invite, "b1", 11, ""));
    assert_eq!(field(&desk.says("PRACK "), "RAck"), "11 1 INVITE");
    // Another phone of the same agent counts for itself.
    desk.hear(&reliable(&invite, "b2", 5, ""));
    assert!(field(&desk.says("PRACK "), "To").ends_with(";tag=b2"));
    desk.hear(&response(&invite, "200 OK", "b1", ""));
    assert_eq!(field(&desk.says("ACK "), "CSeq"), "1 ACK");
    let Effect::Answered { media, .. } = desk.tells() else { panic!() };
    assert_eq!(media.address.port(), 7_000);
    desk.endpoint.end(desk.now, LEG, 0, "").unwrap();
    desk.drain();
    assert_eq!(field(&desk.says("BYE "), "CSeq"), "5 BYE");
}

#[test]
fn an_early_dialog_is_updated_before_the_answer() {
    let (mut desk, invite) = rung();
    desk.hear(&agent_says("UPDATE", 1, &invite, "b1"));
    desk.says("SIP/2.0 481");
    desk.hear(&reliable(&invite, "b1", 10, ANSWER));
    desk.says("PRACK ");
    desk.tells();
    desk.hear(&agent_says("UPDATE", 2, &invite, "b1"));
    assert_eq!(body(&desk.says("SIP/2.0 200")), "");
    let offer = crlf(&ANSWER.replace("7000", "7002"));
    let update = agent_says("UPDATE", 3, &invite, "b1").replace(
        "Content-Length: 0\r\n\r\n",
        &format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{offer}", offer.len()),
    );
    desk.hear(&update);
    assert!(body(&desk.says("SIP/2.0 200")).contains("m=audio 20000 RTP/AVP 0 101"));
    desk.tells_nothing();
    desk.hear(&response(&invite, "200 OK", "b1", ""));
    desk.says("ACK ");
    let Effect::Answered { media, .. } = desk.tells() else { panic!() };
    assert_eq!(media.address.port(), 7_002);
    // A caller that offers before it has our answer comes too early.
    let (mut desk, _) = alerted("", OFFER);
    let ringing = desk.says("SIP/2.0 180");
    desk.hear(&in_dialog_with("UPDATE", 2, &ringing, "", "application/sdp", OFFER));
    assert_eq!(field(&desk.says("SIP/2.0 500"), "Retry-After"), "1");
    desk.hear(&in_dialog("UPDATE", 3, &ringing, ""));
    desk.says("SIP/2.0 200");
}
