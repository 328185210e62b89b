//! A gateway is lost, another one goes on: callers without an answer, callers who may have one, and who talks.

use sip::{Adopted, Direction, Effect, EndCause, LegId, LocalMedia};

use super::peer::*;
use super::take_back::RUNG;

pub(super) const THEIRS: LocalMedia = LocalMedia { port: 31_000, ..MEDIA };

/// The gateway that goes on.
pub(super) fn other() -> Desk {
    let mut desk = desk_with(|config| config.host = "192.0.2.2".to_owned());
    desk.wait(10_000);
    desk
}

/// A caller offered to a gateway that dies then, and the gateway that has adopted it.
pub(super) fn waiting(text: &str) -> (LegId, Desk) {
    let mut former = desk();
    former.hear(text);
    former.says("SIP/2.0 100");
    let Effect::Offered { leg, passport, .. } = former.tells() else { panic!() };
    let mut desk = other();
    assert_eq!(desk.endpoint.adopt(desk.now, leg, &passport), Ok(Adopted::Offered));
    assert!(desk.endpoint.adopt(desk.now, leg, &passport).is_err());
    desk.drain();
    desk.silent();
    (leg, desk)
}

pub(super) fn cancel(invite: &str) -> String {
    let head = crlf(invite).split("Contact").next().unwrap().to_owned();
    with_body(&head.replace("INVITE sip", "CANCEL sip").replace("1 INVITE", "1 CANCEL"), "", "")
}

/// The far end says yes to a re-INVITE of ours, and is acknowledged.
pub(super) fn agree(desk: &mut Desk, leg: LegId, again: &str) {
    desk.hear(&response_with(again, "200 OK", "", "Contact: <sip:491234@192.0.2.77:5060>\n", OFFER));
    desk.says("ACK ");
    let Effect::MediaChanged { leg: heard, .. } = desk.tells() else { panic!() };
    assert_eq!(heard, leg);
    assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
    desk.tells_nothing();
}

#[test]
fn a_caller_who_waits_is_alerted_and_answered_by_another_gateway() {
    let (leg, mut desk) = waiting(&invite());
    // The INVITE again, to the gateway that has the call: what was said last.
    desk.hear(&invite());
    let trying = desk.says("SIP/2.0 100 Trying\r\n");
    assert!(trying.contains(";branch=z9hG4bKa1;received=192.0.2.77;rport=5060\r\n"), "{trying}");
    desk.endpoint.alert(desk.now, leg).unwrap();
    desk.drain();
    let (flow, ringing) = desk.says_to("SIP/2.0 180");
    assert_eq!(flow.remote, address("192.0.2.77:5060"));
    desk.hear(&invite());
    assert_eq!(desk.says("SIP/2.0 180"), ringing);
    desk.endpoint.answer(desk.now, leg, THEIRS).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200 OK\r\n");
    assert!(body(&ok).contains("m=audio 31000 RTP/AVP 8 101\r\n"), "{ok}");
    assert!(field(&ok, "Contact").contains("@192.0.2.2:5060>"));
    for name in ["Via", "From", "Call-ID", "CSeq", "To"] {
        assert_eq!(field(&ok, name), field(&ringing, name));
    }
    desk.hear(&in_dialog("ACK", 1, &ok, ""));
    assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
    // The former may have answered before: with what media is asked at once.
    let again = desk.says("INVITE sip:491234@192.0.2.77:5060 ");
    assert!(body(&again).contains("m=audio 31000 "));
    assert_eq!(field(&again, "From"), field(&ok, "To"));
    agree(&mut desk, leg, &again);
    desk.wait(40_000);
    desk.silent();
    desk.hear(&in_dialog("BYE", 2, &ok, ""));
    desk.says("SIP/2.0 200");
    desk.ended(leg, EndCause::Hangup, 200);
    desk.forgets_everything();
}

#[test]
fn the_answer_of_another_gateway_is_the_same_but_for_its_address() {
    let more = "Record-Route: <sip:192.0.2.61;lr>, <sip:192.0.2.60:5080;lr>\nSession-Expires: 90\nSupported: timer\n";
    let mut former = desk();
    former.hear(&invite_with(more, OFFER));
    let same = former.offered();
    former.endpoint.answer(former.now, same, MEDIA).unwrap();
    former.drain();
    let wanted = former
        .says("SIP/2.0 200")
        .replace("Record-Route: <sip:192.0.2.61;lr>, ", "Record-Route: <sip:192.0.2.61;lr>\r\nRecord-Route: ");
    let (leg, mut desk) = waiting(&invite_with(more, OFFER));
    assert_eq!(leg, same);
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200");
    assert_eq!(ok.replace("@192.0.2.2:5060>", "@192.0.2.1:5060>"), wanted);
}

#[test]
fn a_caller_whom_the_former_answered_is_asked_again_although_no_ack_comes() {
    let (leg, mut desk) = waiting(&invite());
    desk.endpoint.answer(desk.now, leg, THEIRS).unwrap();
    desk.drain();
    desk.says("SIP/2.0 200");
    desk.wait(999);
    desk.says("SIP/2.0 200");
    desk.silent();
    desk.wait(1);
    let again = desk.says("INVITE sip:491234@192.0.2.77:5060 ");
    agree(&mut desk, leg, &again);
    // That was as good as an ACK.
    desk.wait(100_000);
    desk.silent();
    desk.tells_nothing();
    assert_eq!(desk.endpoint.legs().collect::<Vec<_>>(), [leg]);
    desk.endpoint.end(desk.now, leg, 0, "").unwrap();
    desk.drain();
    desk.says("BYE ");
    desk.ended(leg, EndCause::Ordered, 200);
    desk.forgets_everything();
}

#[test]
fn a_caller_who_does_not_know_the_dialog_yet_is_asked_later() {
    let (leg, mut desk) = waiting(&invite());
    desk.endpoint.answer(desk.now, leg, THEIRS).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200");
    desk.wait(1_000);
    desk.says("SIP/2.0 200");
    let early = desk.says("INVITE ");
    desk.hear(&response(&early, "481 Unknown", "", ""));
    desk.says("ACK ");
    desk.tells_nothing();
    desk.hear(&in_dialog("ACK", 1, &ok, ""));
    assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
    let again = desk.says("INVITE ");
    assert_ne!(field(&again, "CSeq"), field(&early, "CSeq"));
    agree(&mut desk, leg, &again);
    desk.wait(60_000);
    desk.silent();
}

#[test]
fn a_caller_of_whom_nothing_is_heard_any_more_is_given_up() {
    let (leg, mut desk) = waiting(&invite());
    desk.endpoint.answer(desk.now, leg, THEIRS).unwrap();
    desk.wait(32_000);
    assert!(desk.sent.iter().any(|(_, text)| text.starts_with("BYE ")));
    desk.ended(leg, EndCause::Failed, 408);
    desk.sent.clear();
    desk.wait(200_000);
    desk.tells_nothing();
    assert_eq!(desk.endpoint.transactions(), 0);
}

#[test]
fn a_caller_who_gives_up_finds_the_gateway_that_went_on() {
    let (leg, mut desk) = waiting(&invite());
    desk.hear(&cancel(&invite()));
    desk.says("SIP/2.0 200 OK\r\n");
    let refusal = desk.says("SIP/2.0 487");
    desk.ended(leg, EndCause::Cancelled, 487);
    let ack = cancel(&invite())
        .replace("CANCEL", "ACK")
        .replace("To: <sip:5000@192.0.2.1>", &format!("To: {}", field(&refusal, "To")));
    desk.hear(&ack);
    desk.wait(4_000);
    desk.silent();
    desk.forgets_everything();
}

#[test]
fn a_caller_who_is_refused_may_have_been_answered() {
    let (leg, mut desk) = waiting(&invite());
    desk.endpoint.end(desk.now, leg, 486, "").unwrap();
    desk.drain();
    desk.says("SIP/2.0 486");
    desk.says("BYE sip:491234@192.0.2.77:5060 ");
    desk.ended(leg, EndCause::Ordered, 486);
    // Nobody orders anything: as ever.
    let (leg, mut desk) = waiting(&invite());
    desk.wait(8_000);
    desk.says("SIP/2.0 503");
    desk.ended(leg, EndCause::Failed, 503);
}

#[test]
fn a_late_offer_is_adopted_too() {
    let (leg, mut desk) = waiting(&invite_with("", ""));
    assert_eq!(desk.endpoint.remote_media(leg), None);
    desk.endpoint.answer(desk.now, leg, THEIRS).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200");
    assert!(body(&ok).contains("m=audio 31000 RTP/AVP 0 8 101\r\n"));
    desk.hear(&in_dialog_with("ACK", 1, &ok, "", "application/sdp", OFFER));
    assert!(matches!(desk.tells(), Effect::MediaChanged { .. }));
    assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
    let again = desk.says("INVITE ");
    agree(&mut desk, leg, &again);
}

#[test]
fn over_a_stream_answers_leave_by_a_new_connection() {
    let mut former = desk();
    let text = invite()
        .replace("SIP/2.0/UDP 192.0.2.77:5060", "SIP/2.0/TCP 192.0.2.77:5070")
        .replace("Contact: <sip:491234@192.0.2.77:5060>", "Contact: <sip:491234@192.0.2.77:5070;transport=tcp>");
    former.hear_from(tcp("192.0.2.77:40000", 9), &text);
    former.says("SIP/2.0 100");
    let Effect::Offered { leg, passport, .. } = former.tells() else { panic!() };
    let mut desk = other();
    desk.endpoint.adopt(desk.now, leg, &passport).unwrap();
    desk.endpoint.answer(desk.now, leg, THEIRS).unwrap();
    desk.drain();
    let (flow, _) = desk.says_to("SIP/2.0 200");
    assert_eq!(flow, tcp("192.0.2.77:5070", 0));
    desk.wait(1_000);
    desk.says("SIP/2.0 200");
    let (flow, again) = desk.says_to("INVITE sip:491234@192.0.2.77:5070;transport=tcp ");
    assert_eq!(flow, tcp("192.0.2.77:5070", 0));
    assert!(field(&again, "Via").starts_with("SIP/2.0/TCP 192.0.2.2:5060"));
}

/// An answered caller, and the gateway that has adopted it; `ok` is the former's.
pub(super) fn talking(held: bool) -> (LegId, String, Desk) {
    let mut former = desk();
    let (leg, ok) = former.talking();
    if held {
        let hold = in_dialog_with("INVITE", 2, &ok, "", "application/sdp", &OFFER.replace("sendrecv", "sendonly"));
        former.hear(&hold);
        former.says("SIP/2.0 200");
        former.hear(&in_dialog("ACK", 2, &ok, ""));
        former.told.clear();
    }
    let passport = former.endpoint.passport(leg).unwrap();
    let mut desk = other();
    assert_eq!(desk.endpoint.adopt(desk.now, leg, &passport), Ok(Adopted::Up));
    (leg, ok, desk)
}

#[test]
fn who_talks_is_asked_for_our_media_at_once_even_if_it_is_the_same() {
    let (leg, _, mut desk) = talking(false);
    desk.endpoint.reoffer(desk.now, leg, MEDIA).unwrap();
    desk.endpoint.reoffer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    let again = desk.says("INVITE sip:491234@192.0.2.77:5060 ");
    desk.silent();
    agree(&mut desk, leg, &again);
    desk.endpoint.reoffer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    desk.silent();
}

#[test]
fn two_gateways_after_one_another_never_use_the_same_numbers() {
    let mut former = desk();
    let (leg, _) = former.talking();
    let passport = former.endpoint.passport(leg).unwrap();
    let mut asked = Vec::new();
    for wait in [7_000, 14_000] {
        let mut desk = desk();
        desk.wait(1_000_000_000 + wait);
        desk.endpoint.adopt(desk.now, leg, &passport).unwrap();
        desk.endpoint.reoffer(desk.now, leg, MEDIA).unwrap();
        desk.drain();
        let again = desk.says("INVITE ");
        asked.push((field(&again, "CSeq"), body(&again).lines().nth(1).unwrap().to_owned(), field(&again, "Via")));
    }
    assert_ne!(asked[0].0, asked[1].0);
    assert_ne!(asked[0].1, asked[1].1);
    assert_ne!(asked[0].2, asked[1].2);
}

#[test]
fn who_is_busy_with_another_request_is_asked_again() {
    for status in ["491 Request Pending", "500 Later", "503 Overloaded"] {
        let (leg, _, mut desk) = talking(false);
        desk.endpoint.reoffer(desk.now, leg, THEIRS).unwrap();
        desk.drain();
        let first = desk.says("INVITE ");
        desk.hear(&response(&first, status, "", ""));
        desk.says("ACK ");
        // It may wait for an ACK that the former owes it.
        for cseq in ["1 ACK", "2 ACK", "3 ACK"] {
            assert_eq!(field(&desk.says("ACK "), "CSeq"), cseq);
        }
        desk.wait(1_900);
        let again = desk.says("INVITE ");
        desk.sent.clear();
        agree(&mut desk, leg, &again);
    }
}

#[test]
fn who_forgot_the_call_or_wants_no_more_of_it_is_hung_up() {
    for (status, cause, number) in
        [("481 Gone", EndCause::Failed, 481), ("488 No", EndCause::Media, 488), ("403 No", EndCause::Failed, 403)]
    {
        let (leg, _, mut desk) = talking(false);
        desk.endpoint.reoffer(desk.now, leg, THEIRS).unwrap();
        desk.drain();
        let first = desk.says("INVITE ");
        desk.hear(&response(&first, status, "", ""));
        desk.says("ACK ");
        desk.says("BYE ");
        desk.ended(leg, cause, number);
    }
}

#[test]
fn who_holds_us_still_does_after_the_take_over() {
    for answered in ["sendonly", "inactive"] {
        let (leg, ok, mut desk) = talking(true);
        desk.endpoint.reoffer(desk.now, leg, THEIRS).unwrap();
        desk.drain();
        let again = desk.says("INVITE ");
        assert!(body(&again).contains("a=sendrecv"));
        desk.hear(&response(&again, "200 OK", "", &OFFER.replace("sendrecv", answered)));
        desk.says("ACK ");
        let Effect::MediaChanged { media, .. } = desk.tells() else { panic!() };
        assert_eq!(media.direction, if answered == "sendonly" { Direction::SendOnly } else { Direction::Inactive });
        let Effect::Confirmed { passport, .. } = desk.tells() else { panic!() };
        // It resumes, at the one after the next.
        let mut third = other();
        third.endpoint.adopt(third.now, leg, &passport).unwrap();
        third.endpoint.reoffer(third.now, leg, MEDIA).unwrap();
        third.drain();
        let again = third.says("INVITE ");
        third.hear(&response(&again, "200 OK", "", &OFFER.replace("sendrecv", answered)));
        third.says("ACK ");
        third.told.clear();
        third.hear(&in_dialog_with("INVITE", 3, &ok, "", "application/sdp", OFFER));
        let resumed = third.says("SIP/2.0 200");
        assert!(body(&resumed).contains("a=sendrecv"));
    }
}

#[test]
fn before_our_media_is_offered_the_far_end_is_asked_to_wait() {
    let (leg, ok, mut desk) = talking(false);
    desk.hear(&in_dialog_with("INVITE", 2, &ok, "", "application/sdp", OFFER));
    assert_eq!(field(&desk.says("SIP/2.0 500"), "Retry-After"), "1");
    desk.endpoint.reoffer(desk.now, leg, THEIRS).unwrap();
    desk.drain();
    desk.says("INVITE ");
    desk.hear(&in_dialog_with("INVITE", 3, &ok, "", "application/sdp", OFFER));
    desk.says("SIP/2.0 491");
    desk.hear(&in_dialog("BYE", 4, &ok, ""));
    desk.says("SIP/2.0 200");
    desk.ended(leg, EndCause::Hangup, 200);
}

#[test]
fn passports_are_small() {
    let size = |text: &str| {
        let mut desk = desk();
        desk.hear(text);
        desk.says("SIP/2.0 100");
        let Effect::Offered { leg, passport, .. } = desk.tells() else { panic!() };
        desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
        (passport.len(), desk.endpoint.passport(leg).unwrap().len())
    };
    let plain = size(&invite());
    // Of a carrier: two hops, long names, a session timer.
    let hops = "Via: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bK-524287-1---8a7fd1c2b3e4f5a6;rport\nVia: SIP/2.0/UDP 203.0.113.12:5060;branch=z9hG4bK-d87543-0a5b4c3d2e1f0a9b-1--d87543-;received=203.0.113.12;rport=5060\nRecord-Route: <sip:192.0.2.77:5060;lr;ftag=as5d1f8a07;did=8a1.2f3>\nRecord-Route: <sip:203.0.113.12;lr=on;nat=yes>\n";
    let text = invite_with("Session-Expires: 1800\nSupported: timer\n", OFFER)
        .replace("Via: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bKa1;rport\r\n", hops)
        .replace("call-1@192.0.2.77", "6b1d5f2e4c3a47b8a9d0e1f2a3b4c5d6@203.0.113.12:5060");
    let carrier = size(&text);
    assert!(plain.0 < 400 && carrier.0 < 900, "{plain:?}, {carrier:?}");
    assert!(plain.1 < 600 && carrier.1 < 900, "{plain:?}, {carrier:?}");
}

#[test]
fn nothing_that_is_no_passport_is_adopted() {
    let mut former = desk();
    former.hear(&invite_with("Record-Route: <sip:192.0.2.61;lr>\nSession-Expires: 90\n", OFFER));
    former.says("SIP/2.0 100");
    let Effect::Offered { leg, passport: early, .. } = former.tells() else { panic!() };
    former.endpoint.answer(former.now, leg, MEDIA).unwrap();
    let up = former.endpoint.passport(leg).unwrap();
    let mut dice = fastrand::Rng::with_seed(4);
    let mut adopted = 0;
    for round in 0..20_000 {
        let mut bytes = if round % 2 == 0 { early.clone() } else { up.clone() };
        for _ in 0..dice.usize(1..8) {
            let at = dice.usize(0..bytes.len().max(1));
            match dice.u32(0..4) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), dice.u8(..)),
                _ if at < bytes.len() => bytes[at] = dice.u8(..),
                _ => {}
            }
        }
        let mut desk = other();
        if desk.endpoint.adopt(desk.now, leg, &bytes).is_ok() {
            adopted += 1;
            // Whatever it says, it can be worked with, and no field of it ends a line early.
            let _ = desk.endpoint.alert(desk.now, leg);
            let _ = desk.endpoint.answer(desk.now, leg, THEIRS);
            let _ = desk.endpoint.reoffer(desk.now, leg, THEIRS);
            desk.now = desk.now.plus(2_000);
            desk.endpoint.timeout(desk.now);
            let _ = desk.endpoint.end(desk.now, leg, 0, "");
            while desk.endpoint.poll().is_some() {}
        }
    }
    assert!(adopted > 0);
}

#[test]
fn a_new_passport_is_told_whenever_the_dialog_is_another() {
    let mut desk = desk();
    let (leg, ok) = desk.talking();
    let told = |desk: &mut Desk, wanted: bool, what: &str| {
        let passports = desk.told.drain(..).filter(|effect| matches!(effect, Effect::Confirmed { .. })).count();
        assert_eq!(passports, usize::from(wanted), "{what}");
    };
    let ask = |desk: &mut Desk, cseq: u32, method: &str, more: &str, sdp: &str| {
        desk.hear(&in_dialog_with(method, cseq, &ok, more, "application/sdp", sdp));
        desk.says("SIP/2.0 200");
        if method == "INVITE" {
            desk.hear(&in_dialog("ACK", cseq, &ok, ""));
        }
    };
    ask(&mut desk, 2, "INVITE", "", OFFER);
    told(&mut desk, false, "nothing new");
    ask(&mut desk, 3, "INVITE", "Session-Expires: 90\nSupported: timer\n", OFFER);
    told(&mut desk, true, "a session timer by re-INVITE");
    ask(&mut desk, 4, "UPDATE", "Session-Expires: 90\nSupported: timer\n", "");
    told(&mut desk, false, "its refresh");
    ask(&mut desk, 5, "UPDATE", "Session-Expires: 120\nSupported: timer\n", "");
    told(&mut desk, true, "another session timer");
    ask(&mut desk, 6, "INVITE", "Session-Expires: 120\nSupported: timer\n", &OFFER.replace("sendrecv", "sendonly"));
    told(&mut desk, true, "hold");
    desk.endpoint.reoffer(desk.now, leg, THEIRS).unwrap();
    desk.drain();
    let again = desk.says("INVITE ");
    let more = "Contact: <sip:491234@192.0.2.78:5060>\nSession-Expires: 120;refresher=uas\n";
    desk.hear(&response_with(&again, "200 OK", "", more, &OFFER.replace("sendrecv", "sendonly")));
    desk.says("ACK ");
    told(&mut desk, true, "our media and its target");
    // All of it is in the last one.
    let passport = desk.endpoint.passport(leg).unwrap();
    let mut next = other();
    next.endpoint.adopt(next.now, leg, &passport).unwrap();
    assert_eq!(next.endpoint.remote_media(leg).unwrap().direction, Direction::SendOnly);
    next.endpoint.reoffer(next.now, leg, MEDIA).unwrap();
    next.drain();
    let again = next.says("INVITE sip:491234@192.0.2.78:5060 ");
    assert_eq!(field(&again, "Session-Expires"), "120;refresher=uas");
}

#[test]
fn a_trunk_that_challenges_finds_its_login_at_every_gateway() {
    use super::login::{BOTH, challenged, login};
    let ring = || sip::Invite { login: Some(login()), ..invite_to("sip:bob@192.0.2.50:5070") };
    let mut former = desk();
    former.endpoint.invite(former.now, RUNG, ring());
    former.drain();
    let first = former.says("INVITE ");
    former.hear(&challenged(&first, BOTH));
    former.says("ACK ");
    let second = former.says("INVITE ");
    // Taken back: whichever of the two it was.
    let mut desk = other();
    desk.endpoint.take_back(desk.now, RUNG, ring(), "192.0.2.1:5060");
    desk.drain();
    for invite in [&first, &second] {
        let cancel = desk.says("CANCEL ");
        assert_eq!(field(&cancel, "Via"), field(invite, "Via"));
        assert_eq!(field(&cancel, "CSeq"), field(invite, "CSeq").replace("INVITE", "CANCEL"));
    }
    // Answered all the same, and nobody wants it.
    desk.told.clear();
    desk.hear(&response(&second, "200 OK", "b1", ANSWER));
    desk.says("ACK ");
    desk.says("BYE ");
    // Or answered in time, and then taken over.
    former.hear(&response(&second, "200 OK", "b1", ANSWER));
    former.says("ACK ");
    let Effect::Answered { passport, .. } = former.tells() else { panic!() };
    let mut desk = other();
    desk.endpoint.adopt(desk.now, RUNG, &passport).unwrap();
    desk.endpoint.reoffer(desk.now, RUNG, THEIRS).unwrap();
    desk.drain();
    let again = desk.says("INVITE ");
    desk.hear(&challenged(&again, BOTH));
    desk.says("ACK ");
    let again = desk.says("INVITE ");
    assert!(field(&again, "Authorization").contains("username=\"alice\""));
    desk.hear(&response(&again, "200 OK", "", ANSWER));
    desk.says("ACK ");
    desk.told.clear();
    desk.endpoint.forget(RUNG);
    assert!(desk.endpoint.passport(RUNG).is_none());
}

#[test]
fn a_caller_who_turns_to_the_next_gateway_by_itself_finds_its_call_there() {
    for alerted in [false, true] {
        let (leg, mut desk) = waiting(&invite());
        if alerted {
            desk.endpoint.alert(desk.now, leg).unwrap();
            desk.drain();
            desk.says("SIP/2.0 180");
        }
        let moved =
            invite().replace("z9hG4bKa1", "z9hG4bKb1").replace("192.0.2.77:5060;branch", "192.0.2.77:5062;branch");
        desk.hear(&moved);
        desk.says("SIP/2.0 100");
        if alerted {
            assert!(field(&desk.says("SIP/2.0 180"), "Via").contains("z9hG4bKb1"));
        }
        desk.silent();
        desk.tells_nothing();
        desk.hear(&moved);
        desk.says("SIP/2.0 1");
        // From nowhere: merged, as ever.
        desk.hear_from(udp("203.0.113.66:5060"), &invite().replace("z9hG4bKa1", "z9hG4bKc1"));
        desk.says("SIP/2.0 403");
        desk.endpoint.answer(desk.now, leg, THEIRS).unwrap();
        desk.drain();
        let ok = desk.says("SIP/2.0 200");
        assert!(field(&ok, "Via").contains("z9hG4bKb1"));
        desk.hear(&in_dialog("ACK", 1, &ok, ""));
        assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
        let again = desk.says("INVITE ");
        agree(&mut desk, leg, &again);
        desk.endpoint.end(desk.now, leg, 0, "").unwrap();
        desk.drain();
        desk.says("BYE ");
        desk.told.clear();
        desk.sent.clear();
        desk.wait(200_000);
        assert_eq!(desk.endpoint.transactions(), 0);
    }
}
