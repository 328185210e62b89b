//! What a lost gateway had out: its INVITEs are taken back, and answers to them find somebody.

use sip::{EndCause, LegId};

use super::peer::*;
use super::take_over::{THEIRS, other};

pub(super) const RUNG: LegId = LegId { shard: 1, call: 77, leg: 2 };

/// What the former had sent to an agent's phone.
fn rung() -> String {
    let mut former = desk();
    former.endpoint.invite(former.now, RUNG, invite_to("sip:bob@192.0.2.50:5070"));
    former.drain();
    former.says("INVITE ")
}

#[test]
fn an_agent_whom_the_former_rings_is_cancelled_in_its_name() {
    let invite = rung();
    let mut desk = other();
    desk.endpoint.take_back(desk.now, RUNG, invite_to("sip:bob@192.0.2.50:5070"), "192.0.2.1:5060");
    desk.drain();
    let (flow, cancel) = desk.says_to("CANCEL sip:bob@192.0.2.50:5070 SIP/2.0\r\n");
    assert_eq!(flow.remote, address("192.0.2.50:5070"));
    for name in ["Via", "From", "To", "Call-ID"] {
        assert_eq!(field(&cancel, name), field(&invite, name), "{name}");
    }
    assert_eq!(field(&cancel, "CSeq"), "1 CANCEL");
    desk.ended(RUNG, EndCause::Ordered, 0);
    // Lost: again. Told again: nothing more.
    desk.wait(500);
    assert_eq!(desk.says("CANCEL "), cancel);
    desk.endpoint.take_back(desk.now, RUNG, invite_to("sip:bob@192.0.2.50:5070"), "192.0.2.1:5060");
    desk.drain();
    desk.silent();
    desk.told.clear();
    desk.hear(&response(&cancel, "200 OK", "b1", ""));
    desk.wait(32_000);
    desk.silent();
    desk.forgets_everything();
    // It has answered: hung up, as often as it says so, and nothing is kept.
    for _ in 0..2 {
        desk.hear(&response(&invite, "200 OK", "b1", ANSWER));
        let ack = desk.says("ACK sip:bob@192.0.2.50:5070 ");
        let bye = desk.says("BYE sip:bob@192.0.2.50:5070 ");
        assert_eq!((field(&ack, "CSeq").as_str(), field(&bye, "CSeq").as_str()), ("1 ACK", "2 BYE"));
        assert!(field(&bye, "To").ends_with(";tag=b1"));
    }
    desk.tells_nothing();
    assert_eq!(desk.endpoint.transactions(), 0);
}

#[test]
fn an_answer_to_nobodys_invite_is_noise() {
    let invite = rung();
    let mut desk = other();
    let answer = response(&invite, "200 OK", "b1", ANSWER);
    let tag = field(&invite, "From").split("tag=").nth(1).unwrap().to_owned();
    desk.hear(&answer.replace(&tag, "cb1.1.000000000000004d.2.0123456789abcdef"));
    desk.hear(&answer.replace("z9hG4bK", "z9hG4bKx"));
    desk.hear(&response(&invite, "180 Ringing", "b1", ""));
    desk.hear(&response(&invite, "486 Busy", "b1", ""));
    desk.hear(&answer.replace("1 INVITE", "1 BYE"));
    desk.silent();
    desk.tells_nothing();
}

#[test]
fn an_answer_again_to_a_leg_that_is_up_here_is_acknowledged_only() {
    let mut former = desk();
    let (leg, invite) = former.agent_talking();
    let passport = former.endpoint.passport(leg).unwrap();
    let mut desk = other();
    desk.endpoint.adopt(desk.now, leg, &passport).unwrap();
    desk.hear(&response(&invite, "200 OK", "b1", ANSWER));
    desk.says("ACK ");
    desk.silent();
    // Another phone of the same agent.
    desk.hear(&response(&invite, "200 OK", "b2", ANSWER));
    desk.says("ACK ");
    desk.says("BYE ");
    assert_eq!(desk.endpoint.legs().collect::<Vec<_>>(), [leg]);
    // A re-INVITE of the former's, answered late: its dialog may live.
    former.endpoint.reoffer(former.now, leg, THEIRS).unwrap();
    former.drain();
    let again = former.says("INVITE ");
    former.endpoint.forget(leg);
    former.hear(&response(&again, "200 OK", "", ANSWER));
    former.says("ACK ");
    former.silent();
    former.tells_nothing();
}
