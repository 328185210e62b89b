//! Stories of commands on their way.

use proto::v1::{Accepted, EndLeg, NotLeader, Outcome, Rejection, RejectionCode, Unavailable, command::Kind};

use super::*;

fn ask(call: u64, urgency: Urgency) -> Ask {
    let command = v1::Command { kind: Some(Kind::EndLeg(EndLeg { call, ..Default::default() })) };
    Ask { command, urgency, lane: 0, ticket: None, trace: None }
}

fn pending() -> Pending {
    Pending::new(1, 77)
}

fn calls(batch: &v1::SubmitRequest) -> Vec<u64> {
    let call = |s: &v1::Submission| match s.command.as_ref().and_then(|c| c.kind.as_ref()) {
        Some(Kind::EndLeg(end)) => end.call,
        _ => 0,
    };
    batch.submissions.iter().map(call).collect()
}

fn numbers(batch: &v1::SubmitRequest) -> Vec<u64> {
    batch.submissions.iter().map(|s| s.id.unwrap().number).collect()
}

fn outcome(number: u64, result: Answer) -> Outcome {
    Outcome { id: Some(v1::CommandId { sender: 77, number }), shard: 1, result: Some(result) }
}

fn accepted(number: u64) -> Outcome {
    outcome(number, Answer::Accepted(Accepted {}))
}

#[test]
fn an_idle_line_holds_nothing_back() {
    let mut pending = pending();
    assert_eq!(pending.due_ms(100), None);
    pending.ask(100, ask(1, Urgency::Urgent));
    assert_eq!(pending.due_ms(100), Some(100));
    assert_eq!(calls(&pending.batch(100).unwrap()), [1]);
    assert_eq!(pending.due_ms(100), None);
}

#[test]
fn a_busy_line_gathers_for_a_few_milliseconds() {
    let mut pending = pending();
    for call in 1..=3 {
        pending.ask(100, ask(call, Urgency::Urgent));
    }
    pending.batch(100).unwrap();
    pending.ask(101, ask(4, Urgency::Urgent));
    pending.ask(103, ask(5, Urgency::Urgent));
    assert_eq!(pending.due_ms(103), Some(106));
    for number in 1..=2 {
        pending.settle(104, accepted(number));
    }
    assert!(pending.due_ms(104).unwrap() <= 104, "the line is idle again");
    assert_eq!(calls(&pending.batch(104).unwrap()), [4, 5]);
}

#[test]
fn a_lazy_command_rides_along_and_never_waits_long() {
    let mut pending = pending();
    pending.ask(100, ask(1, Urgency::Lazy));
    assert_eq!(pending.due_ms(100), Some(150));
    pending.ask(120, ask(2, Urgency::Urgent));
    assert_eq!(pending.due_ms(120), Some(120));
    assert_eq!(calls(&pending.batch(120).unwrap()), [1, 2], "the order of asking is kept");
}

#[test]
fn after_a_new_leader_everything_goes_out_again_with_the_same_ids() {
    let mut pending = pending();
    for call in 1..=3 {
        pending.ask(100, ask(call, Urgency::Urgent));
    }
    let first = pending.batch(100).unwrap();
    assert!(matches!(pending.settle(101, accepted(2)), Settled::Final(..)));
    let not_leader = Answer::NotLeader(NotLeader { leader: "n2".into(), endpoint: "n2:1".into() });
    assert!(matches!(pending.settle(101, outcome(3, not_leader)), Settled::NotLeader(n) if n.endpoint == "n2:1"));
    pending.ask(110, ask(4, Urgency::Urgent));
    pending.resend_all(120);
    assert!(pending.due_ms(120).unwrap() <= 120);
    let again = pending.batch(120).unwrap();
    assert_eq!(numbers(&again), [1, 3, 4]);
    assert_eq!(again.submissions[0].id, first.submissions[0].id);
    assert_eq!(again.submissions[0].settled_below, 1);
}

#[test]
fn settled_below_moves_with_the_oldest_unanswered() {
    let mut pending = pending();
    pending.ask(100, ask(1, Urgency::Urgent));
    pending.ask(100, ask(2, Urgency::Urgent));
    pending.batch(100);
    pending.settle(101, accepted(2));
    pending.ask(102, ask(3, Urgency::Urgent));
    assert_eq!(pending.batch(102).unwrap().submissions[0].settled_below, 1);
    pending.settle(103, accepted(1));
    pending.settle(103, accepted(3));
    pending.ask(104, ask(4, Urgency::Urgent));
    assert_eq!(pending.batch(104).unwrap().submissions[0].settled_below, 4);
}

#[test]
fn an_unavailable_shard_is_asked_again_with_the_same_id_but_not_in_a_tight_loop() {
    let mut pending = pending();
    pending.ask(100, ask(1, Urgency::Urgent));
    pending.batch(100);
    let unavailable = Answer::Unavailable(Unavailable::default());
    assert!(matches!(pending.settle(101, outcome(1, unavailable)), Settled::Again));
    assert_eq!(pending.due_ms(101), Some(151));
    assert_eq!(numbers(&pending.batch(151).unwrap()), [1]);
}

#[test]
fn a_command_refused_for_an_unknown_gateway_is_sent_anew_after_attaching_and_not_for_ever() {
    let mut pending = pending();
    pending.ask(100, ask(1, Urgency::Urgent));
    let unknown = || Answer::Rejection(Rejection { code: RejectionCode::UnknownGateway.into(), detail: String::new() });
    let mut number = 1;
    for _ in 0..REATTACH_MAX {
        assert_eq!(numbers(&pending.batch(100).unwrap()), [number]);
        assert!(matches!(pending.settle(101, outcome(number, unknown())), Settled::Unattached));
        assert!(pending.batch(102).is_none());
        pending.resend_all(103);
        pending.reattached(103);
        number += 1;
    }
    pending.batch(104);
    assert!(matches!(
        pending.settle(105, outcome(number, unknown())),
        Settled::Final(_, Verdict::Rejected(RejectionCode::UnknownGateway))
    ));
}

#[test]
fn outcomes_of_strangers_are_ignored() {
    let mut pending = pending();
    pending.ask(100, ask(1, Urgency::Urgent));
    pending.batch(100);
    let mut foreign = accepted(1);
    foreign.id.as_mut().unwrap().sender = 5;
    assert!(matches!(pending.settle(101, foreign), Settled::Unknown));
    assert!(matches!(pending.settle(101, accepted(9)), Settled::Unknown));
    assert!(matches!(pending.settle(101, accepted(1)), Settled::Final(..)));
    assert!(matches!(pending.settle(101, accepted(1)), Settled::Unknown), "only the first answer counts");
}
