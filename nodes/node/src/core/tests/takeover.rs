//! Gateways that are lost, come back late or are emptied, as the leader's desk tells it to all of them.

use proto::v1::{ConfirmLeg, DrainGateway, EndCause, EndLeg, RejectionCode, command, order::Want, watch_reply};

use super::{
    GATEWAY, LIFE, centre, lease_ms, offer,
    trio::{Trio, limits, rejection, submission},
};

/// Two gateways, and a caller who waits on the first.
fn two_gateways() -> Trio {
    let mut trio = centre(limits(), 1);
    trio.watch(2, "g2", 5);
    trio.run_ms(40);
    trio.do_now(offer(0xc1));
    trio
}

fn end_lost(tenure: u32) -> command::Kind {
    let cause = EndCause::Lost.into();
    command::Kind::EndLeg(EndLeg { call: 0xc1, leg: 1, cause, tenure, ..EndLeg::default() })
}

fn confirm(tenure: u32) -> command::Kind {
    command::Kind::ConfirmLeg(ConfirmLeg { call: 0xc1, leg: 1, passport: vec![7; 8], tenure })
}

#[test]
fn the_calls_of_a_lost_gateway_go_on_at_another_and_what_it_says_late_is_stale() {
    let mut trio = two_gateways();
    trio.unwatch(1);
    trio.run_ms(lease_ms() + 60);
    assert!(!trio.gateway_is_up(GATEWAY));
    let told = trio.told_to(2);
    let order = told.get(&(0xc1, 1)).expect("it is g2's now");
    assert_eq!(order.tenure, 2);
    assert_eq!(order.takeover.as_ref().map(|takeover| takeover.former_sip.as_str()), Some("10.0.1.1:5060"));
    assert!(matches!(order.want, Some(Want::Listen(_))));
    // It wakes up: what it holds is not in its set.
    trio.watch(3, GATEWAY, LIFE);
    trio.run_ms(40);
    assert!(trio.in_sync(3) && trio.told_to(3).is_empty());
    trio.submit(9, submission(proto::v1::CommandId { sender: 9, number: 1 }, end_lost(1)));
    trio.run_ms(40);
    assert_eq!(rejection(&trio.outcomes(9)[0]), Some(RejectionCode::Stale));
    assert_eq!(trio.calls().len(), 1, "the caller waits on");
    trio.do_now(confirm(2));
    assert!(trio.standing_orders("g2", 5)[&(0xc1, 1)].takeover.is_none(), "it is confirmed");
    trio.replicas_agree();
}

#[test]
fn a_drained_gateway_lets_go_when_its_calls_have_settled_and_hears_how_many_are_left() {
    let mut trio = two_gateways();
    let drain = |undo| DrainGateway { gateway: GATEWAY.into(), incarnation: LIFE, undo, by: "kim".into() };
    trio.do_now(command::Kind::DrainGateway(drain(false)));
    trio.run_ms(300);
    assert!(trio.told_to(2).is_empty(), "the caller's dialog is not confirmed yet");
    let last = |trio: &Trio, key| {
        let kept = trio.replies(key).iter().rev().find_map(|reply| match &reply.kind {
            Some(watch_reply::Kind::KeepAlive(kept)) => Some((kept.draining, kept.calls)),
            _ => None,
        });
        kept.expect("was kept alive")
    };
    assert_eq!(last(&trio, 1), (true, 1));
    trio.do_now(confirm(1));
    trio.run_ms(300);
    let (former, present) = (trio.told_to(1), trio.told_to(2));
    assert!(matches!(former[&(0xc1, 1)].want, Some(Want::Yield(_))));
    let order = &present[&(0xc1, 1)];
    assert_eq!((order.tenure, former[&(0xc1, 1)].tenure), (2, 1));
    assert_eq!(order.takeover.as_ref().map(|takeover| takeover.passport.clone()), Some(vec![7; 8]));
    assert_eq!((last(&trio, 1), last(&trio, 2)), ((true, 0), (false, 1)));
    trio.replicas_agree();
}

#[test]
fn a_former_life_is_not_told_what_the_present_one_takes_over() {
    let mut trio = centre(limits(), 1);
    trio.do_now(offer(0xc1));
    let before = trio.told_to(1);
    // Both streams are open when the next life attaches.
    trio.watch(2, GATEWAY, LIFE + 1);
    trio.run_ms(60);
    assert_eq!(trio.told_to(1), before);
    assert!(trio.closed(1));
    assert_eq!(trio.told_to(2)[&(0xc1, 1)].tenure, 2);
}
