//! A leg may be another gateway's by now: nothing is begun in doubt, and what is forgotten hears nothing.

use sip::{Effect, EndCause, LegId};

use super::peer::*;
use super::take_over::THEIRS;

#[test]
fn who_is_forgotten_hears_nothing() {
    let mut desk = desk();
    desk.hear(&invite());
    let waiting = desk.offered();
    desk.endpoint.forget(waiting);
    let (talks, _) = desk.agent_talking();
    desk.endpoint.reoffer(desk.now, talks, THEIRS).unwrap();
    desk.drain();
    desk.says("INVITE ");
    desk.endpoint.forget(talks);
    desk.endpoint.forget(talks);
    let rings = LegId { leg: 3, ..talks };
    desk.endpoint.invite(desk.now, rings, invite_to("sip:eve@192.0.2.51:5070"));
    desk.drain();
    let invite = desk.says("INVITE ");
    desk.endpoint.forget(rings);
    desk.wait(100_000);
    desk.silent();
    desk.tells_nothing();
    desk.forgets_everything();
    // But who answers it is not left alone.
    desk.hear(&response(&invite, "200 OK", "e1", ANSWER));
    desk.says("ACK ");
    desk.says("BYE ");
}

#[test]
fn in_doubt_nothing_is_begun() {
    // A caller nobody decided about, an answer without ACK, an agent who does not answer.
    let mut desk = desk();
    desk.endpoint.set_doubt(1, true);
    desk.hear(&invite());
    let caller = desk.offered();
    desk.endpoint.taken(caller);
    let rings = LegId { shard: 1, call: 77, leg: 2 };
    desk.endpoint.invite(desk.now, rings, invite_to("sip:bob@192.0.2.50:5070"));
    desk.wait(60_000);
    assert!(desk.sent.iter().all(|(_, text)| text.starts_with("INVITE ")));
    desk.sent.clear();
    desk.tells_nothing();
    desk.endpoint.set_doubt(1, false);
    desk.wait(500);
    desk.says("SIP/2.0 503");
    assert!(desk.told.contains(&Effect::Ended { leg: caller, cause: EndCause::Failed, status: 503 }));
    assert!(desk.told.contains(&Effect::Ended { leg: rings, cause: EndCause::Unreachable, status: 408 }));
}

#[test]
fn in_doubt_a_caller_whom_no_shard_has_is_refused_in_time() {
    let mut desk = desk();
    desk.endpoint.set_doubt(1, true);
    desk.hear(&invite());
    let caller = desk.offered();
    desk.wait(60_000);
    desk.says("SIP/2.0 503");
    desk.ended(caller, EndCause::Failed, 503);
}

#[test]
fn in_doubt_a_session_does_not_expire_and_an_answer_is_repeated_no_longer_than_ever() {
    let mut desk = desk();
    desk.hear(&invite_with("Session-Expires: 90\nSupported: timer\n", OFFER));
    let leg = desk.offered();
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    desk.endpoint.set_doubt(1, true);
    desk.wait(200_000);
    assert!(desk.sent.iter().all(|(_, text)| text.starts_with("SIP/2.0 200")));
    assert_eq!(desk.sent.len(), 11);
    desk.sent.clear();
    desk.tells_nothing();
    desk.endpoint.set_doubt(2, false);
    desk.endpoint.set_doubt(1, false);
    desk.wait(500);
    desk.says("BYE ");
    desk.ended(leg, EndCause::Failed, 408);
}

#[test]
fn in_doubt_the_far_end_is_put_off_but_may_leave() {
    let mut desk = desk();
    let (leg, ok) = desk.talking();
    desk.endpoint.reoffer(desk.now, leg, THEIRS).unwrap();
    desk.drain();
    let again = desk.says("INVITE ");
    desk.endpoint.set_doubt(1, true);
    for (cseq, method) in [(2, "INVITE"), (3, "UPDATE")] {
        desk.hear(&in_dialog_with(method, cseq, &ok, "", "application/sdp", OFFER));
        assert_eq!(field(&desk.says("SIP/2.0 500"), "Retry-After"), "1");
    }
    desk.hear(&in_dialog("BYE", 4, &ok, ""));
    desk.says("SIP/2.0 200");
    desk.ended(leg, EndCause::Hangup, 200);
    let _ = again;
    // Who forgot the call is not told so.
    let mut desk = super::peer::desk();
    let (leg, _) = desk.talking();
    desk.endpoint.reoffer(desk.now, leg, THEIRS).unwrap();
    desk.drain();
    let again = desk.says("INVITE ");
    desk.endpoint.set_doubt(1, true);
    desk.hear(&response(&again, "481 Gone", "", ""));
    desk.says("ACK ");
    desk.silent();
    desk.ended(leg, EndCause::Failed, 481);
}
