//! Stories of clocks that leap under a leader that stays, and of leaders whose clocks were wrong.

use proto::v1::{CommandId, LogInAgent, MakeAgentReady, command};

use super::{
    GATEWAY, LIFE, centre, lease_ms, offer,
    trio::{Trio, accepted, limits, submission},
};

const LEAP_MS: u64 = 600_000;
const RING_MS: u64 = 15_000;

/// One call rings at one agent. When it is due.
fn ringing() -> (Trio, u64) {
    let mut trio = centre(limits(), 1);
    trio.do_now(command::Kind::LogInAgent(LogInAgent { agent: "a1".into() }));
    trio.do_now(command::Kind::MakeAgentReady(MakeAgentReady { agent: "a1".into() }));
    trio.do_now(offer(0xc1));
    let due_ms = trio.next_deadline().expect("the agent rings for a while");
    (trio, due_ms)
}

fn rings(trio: &Trio) -> bool {
    trio.agent_of(0xc1) == "a1"
}

#[test]
fn a_clock_that_leaps_takes_no_time_from_who_rings() {
    let (mut trio, due_ms) = ringing();
    trio.run_ms(RING_MS - 3_000);
    trio.leap_ms(trio.leader(), LEAP_MS);
    trio.run_ms(2_000);
    assert!(rings(&trio), "fourteen of its fifteen seconds");
    let due_now_ms = trio.next_deadline().expect("it is due some time");
    assert!((due_ms + LEAP_MS - 50..=due_ms + LEAP_MS + 50).contains(&due_now_ms), "by what the clock shows now");
    trio.run_ms(1_500);
    assert!(!rings(&trio), "and no longer than it should");
    trio.replicas_agree();
}

#[test]
fn a_leader_that_stands_still_again_and_again_does_not_let_anybody_ring_for_ever() {
    let (mut trio, _) = ringing();
    for _ in 0..RING_MS / 1_000 {
        trio.leap_ms(trio.leader(), 1_500);
        trio.run_ms(1_000);
    }
    trio.run_ms(500);
    assert!(!rings(&trio));
}

#[test]
fn a_second_and_less_is_no_leap() {
    let (mut trio, _) = ringing();
    for (leap_ms, commands) in [(1_000, 0), (1_001, 2)] {
        let before = trio.commands_applied();
        trio.leap_ms(trio.leader(), leap_ms);
        trio.drain_only(trio.leader());
        trio.run_ms(200);
        assert_eq!(trio.commands_applied() - before, commands);
    }
}

#[test]
fn what_waits_when_the_clock_leaps_is_done_before_its_time() {
    let (mut trio, _) = ringing();
    let leader = trio.leader();
    let now_ms = trio.shard_now_ms();
    // One batch has just gone, so these wait for each other; the first of them finds the clock as it was.
    trio.submit(5, submission(CommandId { sender: 9, number: 1 }, offer(0xc2)));
    trio.drain_only(leader);
    trio.submit(6, submission(CommandId { sender: 9, number: 2 }, offer(0xc3)));
    trio.leap_ms(leader, LEAP_MS);
    trio.submit(7, submission(CommandId { sender: 9, number: 3 }, offer(0xc4)));
    trio.run_ms(200);
    assert!((5..8).all(|client| accepted(&trio.outcomes(client))));
    assert_eq!(trio.calls().len(), 4);
    assert!(rings(&trio));
    assert!(trio.shard_now_ms() >= now_ms + LEAP_MS);
    trio.replicas_agree();
}

#[test]
fn a_leap_that_consensus_does_not_take_is_told_later() {
    let (mut trio, _) = ringing();
    let (leader, before_ms) = (trio.leader(), trio.shard_now_ms());
    trio.stall_hand_over();
    trio.leap_ms(leader, LEAP_MS);
    trio.run_ms(100);
    trio.heal();
    trio.run_ms(1_500);
    assert_eq!(trio.leader(), leader, "the hand-over came to nothing");
    assert!(rings(&trio));
    trio.submit(5, submission(CommandId { sender: 9, number: 1 }, offer(0xc2)));
    trio.run_ms(100);
    assert!(accepted(&trio.outcomes(5)));
    assert!(rings(&trio), "nor does what comes later bring the time that was held back");
    assert!(trio.shard_now_ms() >= before_ms + LEAP_MS, "it is told");
}

#[test]
fn a_clock_that_leaps_again_before_the_first_leap_is_told_is_told_of_once() {
    let (mut trio, due_ms) = ringing();
    let (leader, before) = (trio.leader(), trio.commands_applied());
    // A batch has just gone, so what comes next is not proposed before it is drained.
    trio.submit(5, submission(CommandId { sender: 9, number: 1 }, offer(0xc2)));
    trio.drain_only(leader);
    for number in 2..4 {
        trio.leap_ms(leader, LEAP_MS);
        trio.submit(5, submission(CommandId { sender: 9, number }, offer(0xc1 + number)));
    }
    trio.run_ms(200);
    assert!(rings(&trio));
    assert!(trio.next_deadline().is_some_and(|at_ms| at_ms >= due_ms + 2 * LEAP_MS));
    assert_eq!(trio.commands_applied() - before, 5, "three calls, the time until the leap, the leap");
}

#[test]
fn a_leap_ends_nobody_s_lease() {
    let (mut trio, _) = ringing();
    trio.unwatch(1);
    trio.leap_ms(trio.leader(), LEAP_MS);
    trio.run_ms(lease_ms() - 60);
    assert!(trio.gateway_is_up(GATEWAY));
    trio.run_ms(120);
    assert!(!trio.gateway_is_up(GATEWAY));
}

#[test]
fn a_leader_before_that_was_ahead_does_not_stop_the_time() {
    let mut trio = centre(limits(), 1);
    let old = trio.leader();
    trio.leap_ms(old, 60_000);
    trio.do_now(command::Kind::LogInAgent(LogInAgent { agent: "a1".into() }));
    trio.do_now(command::Kind::MakeAgentReady(MakeAgentReady { agent: "a1".into() }));
    trio.do_now(offer(0xc1));
    trio.cut(old);
    trio.elect_other_than(old);
    trio.watch(2, GATEWAY, LIFE);
    trio.run_ms(RING_MS - 2_000);
    assert!(rings(&trio));
    trio.run_ms(6_000);
    assert!(!rings(&trio), "not a minute later, when this leader's clock shows what the other's did");
}
