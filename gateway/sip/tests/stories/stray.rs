//! Requests of calls that are elsewhere.

use sip::Effect;

use super::peer::*;
use super::take_over::{cancel, other};

#[test]
fn requests_of_calls_that_are_elsewhere_are_told() {
    let mut holder = desk();
    let (leg, ok) = holder.talking();
    let mut desk = other();
    for (cseq, method) in [(1, "ACK"), (2, "INFO"), (3, "INVITE"), (4, "BYE"), (5, "CANCEL")] {
        let text = in_dialog(method, cseq, &ok, "");
        desk.hear(&text);
        desk.silent();
        let Effect::Stray { shard, call, flow, bytes } = desk.tells() else { panic!() };
        assert_eq!((shard, call, flow, bytes.as_ref()), (Some(1), leg.call, desk.from, text.as_bytes()));
        // Nobody has it.
        desk.endpoint.answer_stray(desk.now, flow, &bytes);
        desk.drain();
        if method == "ACK" {
            desk.silent();
        } else {
            assert_eq!(field(&desk.says("SIP/2.0 481"), "CSeq"), format!("{cseq} {method}"));
        }
    }
    desk.tells_nothing();
    assert_eq!(desk.endpoint.transactions(), 0);
}

#[test]
fn a_cancel_of_a_call_that_is_elsewhere_is_told() {
    let mut desk = desk();
    desk.hear(&cancel(&invite()));
    desk.silent();
    let Effect::Stray { shard, call, .. } = desk.tells() else { panic!() };
    desk.hear(&invite());
    let leg = desk.offered();
    assert_eq!((shard, call), (Some(leg.shard), leg.call));
    // From nowhere, or for nobody's number: refused at once.
    desk.hear_from(udp("203.0.113.66:5060"), &cancel(&invite()).replace("z9hG4bKa1", "z9hG4bKq"));
    desk.says("SIP/2.0 481");
    desk.hear(&cancel(&invite()).replace("z9hG4bKa1", "z9hG4bKq").replace("CANCEL sip:5000@", "CANCEL sip:5001@"));
    desk.says("SIP/2.0 481");
    // For another transaction of a call that is here.
    desk.hear(&cancel(&invite()).replace("z9hG4bKa1", "z9hG4bKq"));
    desk.says("SIP/2.0 481");
    desk.tells_nothing();
}
