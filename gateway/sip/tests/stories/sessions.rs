//! Session timers that we ask for (RFC 4028); those of callers are in `dialogue`.

use sip::{Effect, LegId};

use super::peer::*;

const LEG: LegId = LegId { shard: 1, call: 77, leg: 2 };

fn answered(more: &str) -> (Desk, String) {
    let mut desk = desk();
    desk.from = udp("192.0.2.50:5070");
    desk.endpoint.invite(desk.now, LEG, invite_to("sip:bob@192.0.2.50:5070"));
    desk.drain();
    let invite = desk.says("INVITE ");
    let more = format!("Contact: <sip:bob@192.0.2.50:5070>\n{more}");
    desk.hear(&response_with(&invite, "200 OK", "b1", &more, ANSWER));
    desk.says("ACK ");
    assert!(matches!(desk.tells(), Effect::Answered { .. }));
    (desk, invite)
}

#[test]
fn we_refresh_what_we_asked_for_without_changing_a_word() {
    let (mut desk, invite) = answered("Require: timer\nSession-Expires: 1800;refresher=uac\n");
    assert_eq!(field(&invite, "Session-Expires"), "1800");
    desk.wait(899_999);
    desk.silent();
    desk.wait(1);
    let again = desk.says("INVITE ");
    assert_eq!(body(&again), body(&invite));
    assert_eq!(field(&again, "Session-Expires"), "1800;refresher=uac");
    desk.hear(&response_with(&again, "422 Session Interval Too Small", "", "Min-SE: 2000\n", ""));
    desk.says("ACK ");
    let longer = desk.says("INVITE ");
    assert_eq!(field(&longer, "Session-Expires"), "2000;refresher=uac");
    assert_eq!(field(&longer, "Min-SE"), "2000");
    desk.hear(&response_with(&longer, "200 OK", "", "Session-Expires: 2000;refresher=uac\n", ANSWER));
    desk.says("ACK ");
    // The interval is another: so is the passport.
    assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
    desk.tells_nothing();
    desk.wait(999_999);
    desk.silent();
    desk.wait(1);
    desk.says("INVITE ");
}

#[test]
fn who_may_be_updated_is_not_reinvited() {
    let (mut desk, _) = answered("Session-Expires: 120;refresher=uac\nAllow: INVITE, UPDATE\n");
    desk.wait(60_000);
    assert_eq!(body(&desk.says("UPDATE ")), "");
}

#[test]
fn the_far_end_refreshes_when_it_said_so_and_nobody_when_it_knows_no_timers() {
    let (mut desk, _) = answered("Session-Expires: 120;refresher=uas\n");
    desk.wait(87_999);
    desk.silent();
    desk.wait(1);
    desk.says("BYE ");
    let (mut desk, _) = answered("");
    desk.wait(4_000_000);
    desk.silent();
}

#[test]
fn a_held_leg_stays_held_when_it_is_refreshed() {
    let mut desk = desk();
    desk.hear(&invite_with("Supported: timer\nMin-SE: 200\n", OFFER));
    let leg = desk.offered();
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200");
    assert_eq!(field(&ok, "Session-Expires"), "1800;refresher=uas");
    desk.hear(&in_dialog("ACK", 1, &ok, ""));
    desk.tells();
    let hold = OFFER.replace("sendrecv", "sendonly");
    desk.hear(&in_dialog_with("INVITE", 2, &ok, "Supported: timer\n", "application/sdp", &hold));
    let held = desk.says("SIP/2.0 200");
    desk.hear(&in_dialog("ACK", 2, &ok, ""));
    desk.wait(900_000);
    let again = desk.says("INVITE ");
    assert_eq!(body(&again), body(&held));
    assert!(body(&again).contains("a=recvonly"));
}

#[test]
fn none_is_asked_for_where_none_is_wanted() {
    let mut desk = desk_with(|config| config.session_seconds = 0);
    desk.endpoint.invite(desk.now, LEG, invite_to("sip:bob@192.0.2.50:5070"));
    desk.drain();
    assert_eq!(field(&desk.says("INVITE "), "Session-Expires"), "");
    desk.hear(&invite_with("Supported: timer\n", OFFER));
    let leg = loop {
        if let Effect::Offered { leg, .. } = desk.tells() {
            break leg;
        }
    };
    desk.says("SIP/2.0 100");
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    assert_eq!(field(&desk.says("SIP/2.0 200"), "Session-Expires"), "");
}
