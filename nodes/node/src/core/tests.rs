//! Stories of three cores in one thread: memory stores, a network that can be cut, time by hand. Never a real clock.

mod leaps;
mod takeover;
mod trio;

use std::collections::BTreeSet;

use proto::v1::{
    AdvanceClock, AnswerLeg, ChooseAgents, CommandId, EndCause, EndLeg, LogInAgent, LoseGateway, MakeAgentReady,
    OfferCall, RejectionCode, SetRules, TakeLead, command, outcome, watch_reply,
};
use trio::{SHARD, Trio, accepted, chooser_queue, limits, rejection, submission};

use super::Limits;

const GATEWAY: &str = "g1";
const LIFE: u64 = 77;

fn offer(call: u64) -> command::Kind {
    command::Kind::OfferCall(OfferCall {
        call,
        gateway: GATEWAY.into(),
        incarnation: LIFE,
        number: "5000".into(),
        caller: "100".into(),
        ..OfferCall::default()
    })
}

fn answer(call: u64, leg: u32, passport: usize) -> command::Kind {
    command::Kind::AnswerLeg(AnswerLeg { call, leg, passport: vec![7; passport], ..AnswerLeg::default() })
}

/// Three cores, a leader, a queue, and a gateway that watches over `key`.
fn centre(limits: Limits, key: u64) -> Trio {
    let mut trio = Trio::new(limits);
    trio.elect();
    trio.configure();
    trio.watch(key, GATEWAY, LIFE);
    trio.run_ms(40);
    assert!(trio.in_sync(key));
    trio
}

#[test]
fn a_command_that_is_sent_again_over_a_leader_change_gets_its_first_answer() {
    let mut trio = centre(limits(), 1);
    let id = CommandId { sender: 9, number: 1 };
    trio.submit(5, submission(id, offer(0xc1)));
    trio.run_ms(40);
    assert!(accepted(&trio.outcomes(5)));
    // The answer is lost on its way; the leader dies; the next one is asked the same.
    let old = trio.leader();
    trio.cut(old);
    trio.elect_other_than(old);
    trio.watch(2, GATEWAY, LIFE);
    trio.submit(6, submission(id, offer(0xc1)));
    trio.run_ms(60);
    assert!(accepted(&trio.outcomes(6)), "not a second, refused offer");
    assert_eq!(trio.calls().len(), 1);
}

#[test]
fn a_command_in_flight_when_the_leader_changes_is_answered_unavailable_and_done_once() {
    let mut trio = centre(limits(), 1);
    let old = trio.leader();
    let id = CommandId { sender: 9, number: 1 };
    // It reaches the leader's log only.
    trio.cut(old);
    trio.submit_at(old, 5, submission(id, offer(0xc1)));
    trio.run_ms(40);
    trio.elect_other_than(old);
    trio.watch(2, GATEWAY, LIFE);
    trio.submit(6, submission(id, offer(0xc1)));
    trio.run_ms(60);
    trio.heal();
    trio.run_ms(1_000);
    let told = trio.outcomes(5);
    assert!(
        matches!(told[0].result, Some(outcome::Result::Unavailable(_) | outcome::Result::NotLeader(_))),
        "{told:?}"
    );
    assert!(accepted(&trio.outcomes(6)));
    assert_eq!(trio.calls().len(), 1);
    trio.replicas_agree();
}

#[test]
fn a_watch_is_told_the_whole_and_then_each_change() {
    let mut trio = centre(limits(), 1);
    for agent in ["a1", "a2", "a3"] {
        trio.do_now(command::Kind::LogInAgent(LogInAgent { agent: agent.into() }));
        trio.do_now(command::Kind::MakeAgentReady(MakeAgentReady { agent: agent.into() }));
    }
    let mut dice = fastrand::Rng::with_seed(11);
    let mut number = 0;
    let mut key = 1;
    // Of a leg whose end it has reported itself a gateway is told nothing more.
    let mut ended = BTreeSet::new();
    for round in 0..300_u64 {
        // Commands pile up around each new stream, so that one batch holds both.
        for _ in 0..dice.usize(0..6) {
            number += 1;
            let call = dice.u64(1..40);
            let kind = match dice.u8(0..4) {
                0 | 1 => offer(call),
                2 => answer(call, dice.u32(1..4), 3),
                _ => {
                    let (leg, cause) = (dice.u32(1..3), EndCause::Hangup.into());
                    ended.insert((call, leg));
                    command::Kind::EndLeg(EndLeg { call, leg, cause, ..EndLeg::default() })
                }
            };
            trio.submit(5, submission(CommandId { sender: 9, number }, kind));
        }
        if round % 7 == 0 {
            key += 1;
            trio.watch(key, GATEWAY, LIFE);
        }
        trio.run_ms(20 * dice.u64(0..3));
        if round % 50 == 49 {
            let old = trio.leader();
            trio.cut(old);
            trio.elect_other_than(old);
            trio.heal();
            trio.run_ms(20);
            key += 1;
            trio.watch(key, GATEWAY, LIFE);
        }
        if dice.u8(0..4) == 0 {
            trio.run_ms(60);
            if trio.closed(key) {
                // That one led no more.
                key += 1;
                trio.watch(key, GATEWAY, LIFE);
                trio.run_ms(60);
            }
            let (mut told, standing) = (trio.told_to(key), trio.standing_orders(GATEWAY, LIFE));
            told.retain(|leg, _| standing.contains_key(leg) || !ended.contains(leg));
            assert_eq!(told, standing, "round {round}");
        }
    }
    trio.run_ms(1_000);
    trio.replicas_agree();
}

#[test]
fn a_gateway_is_lost_after_its_lease_and_not_before() {
    let mut trio = centre(limits(), 1);
    trio.do_now(offer(0xc1));
    trio.unwatch(1);
    trio.run_ms(lease_ms() - 60);
    assert!(trio.gateway_is_up(GATEWAY));
    trio.run_ms(120);
    assert!(!trio.gateway_is_up(GATEWAY));
    assert_eq!(trio.calls().len(), 1, "its caller waits until another one comes");
}

#[test]
fn a_gateway_that_is_back_in_time_keeps_its_calls() {
    let mut trio = centre(limits(), 1);
    trio.do_now(offer(0xc1));
    trio.unwatch(1);
    trio.run_ms(lease_ms() - 60);
    trio.watch(2, GATEWAY, LIFE);
    trio.run_ms(3 * lease_ms());
    assert!(trio.gateway_is_up(GATEWAY));
    assert_eq!(trio.calls().len(), 1);
}

#[test]
fn a_new_leader_gives_every_gateway_a_whole_lease() {
    let mut trio = centre(limits(), 1);
    trio.do_now(offer(0xc1));
    let old = trio.leader();
    trio.cut(old);
    trio.elect_other_than(old);
    trio.run_ms(lease_ms() - 100);
    assert!(trio.gateway_is_up(GATEWAY));
    trio.run_ms(200);
    assert!(!trio.gateway_is_up(GATEWAY), "it has not come");
}

#[test]
fn an_earlier_life_of_a_gateway_does_not_keep_the_lease_of_the_present_one() {
    let mut trio = centre(limits(), 1);
    trio.watch(2, GATEWAY, LIFE + 1);
    trio.run_ms(40);
    trio.unwatch(2);
    // The earlier life knocks again and again, and is refused.
    for key in 10..10 + lease_ms() / 20 + 5 {
        trio.watch(key, GATEWAY, LIFE);
        trio.run_ms(20);
    }
    trio.run_ms(lease_ms());
    assert!(!trio.gateway_is_up(GATEWAY));
}

#[test]
fn a_watch_that_consensus_does_not_take_is_closed_and_not_left_hanging() {
    let mut trio = centre(limits(), 1);
    trio.stall_hand_over();
    trio.watch(2, "g2", 5);
    trio.run_ms(100);
    assert!(trio.closed(2), "or it would be told that all is well for ever, and never get an order");
    trio.heal();
    trio.run_ms(600);
    trio.watch(3, "g2", 5);
    trio.run_ms(60);
    assert!(trio.in_sync(3));
}

#[test]
fn a_lost_gateway_is_lost_even_when_consensus_was_busy_at_its_moment() {
    let mut trio = centre(limits(), 1);
    let leader = trio.leader();
    trio.unwatch(1);
    trio.run_ms(lease_ms() - 40);
    trio.stall_hand_over();
    trio.run_ms(100);
    trio.heal();
    trio.run_ms(1_500);
    assert_eq!(trio.leader(), leader, "the hand-over came to nothing");
    assert!(!trio.gateway_is_up(GATEWAY));
}

#[test]
fn what_is_refused_is_refused_alone() {
    let mut trio = centre(limits(), 1);
    let leader = trio.leader();
    // One batch is under way when the hand-over begins; the next is refused.
    trio.submit(5, submission(CommandId { sender: 9, number: 1 }, offer(0xc1)));
    trio.drain_only(leader);
    trio.stall_hand_over();
    trio.submit(6, submission(CommandId { sender: 9, number: 2 }, offer(0xc2)));
    trio.run_ms(40);
    assert!(matches!(trio.outcomes(6)[0].result, Some(outcome::Result::Unavailable(_))));
    trio.heal();
    trio.run_ms(100);
    assert!(accepted(&trio.outcomes(5)));
}

#[test]
fn a_deadline_fires_within_two_ticks() {
    let mut trio = centre(limits(), 1);
    trio.do_now(command::Kind::LogInAgent(LogInAgent { agent: "a1".into() }));
    trio.do_now(command::Kind::MakeAgentReady(MakeAgentReady { agent: "a1".into() }));
    trio.do_now(offer(0xc1));
    let due_ms = trio.next_deadline().expect("the agent rings for a while");
    trio.run_until_ms(due_ms - 1);
    assert_eq!(trio.next_deadline(), Some(due_ms));
    trio.run_ms(41);
    assert_ne!(trio.next_deadline(), Some(due_ms), "late by more than two ticks");
}

#[test]
fn a_lone_command_does_not_wait_for_the_next_tick() {
    let mut trio = centre(limits(), 1);
    trio.submit(5, submission(CommandId { sender: 9, number: 1 }, offer(0xc1)));
    trio.settle();
    assert!(accepted(&trio.outcomes(5)));
}

#[test]
fn many_large_commands_are_proposed_in_pieces() {
    let mut trio = centre(limits(), 1);
    // 40 MB: more than consensus takes at once.
    for number in 1..=400 {
        trio.submit(5, submission(CommandId { sender: 9, number }, answer(0xdead, 1, 100_000)));
    }
    trio.run_ms(200);
    let told = trio.outcomes(5);
    assert_eq!(told.len(), 400);
    assert!(told.iter().all(|outcome| rejection(outcome) == Some(RejectionCode::UnknownCall)), "{:?}", told[0].result);
}

#[test]
fn limits_refuse() {
    let mut trio = centre(Limits { pending_max: 3, watchers_max: 2, command_bytes_max: 1_000, ..limits() }, 1);
    trio.submit(5, submission(CommandId { sender: 9, number: 1 }, answer(1, 1, 1_000)));
    trio.settle();
    assert_eq!(rejection(&trio.outcomes(5)[0]), Some(RejectionCode::LimitReached));
    for number in 2..=5 {
        trio.submit(6, submission(CommandId { sender: 9, number }, offer(number)));
    }
    trio.run_ms(40);
    let unavailable = |told: &proto::v1::Outcome| matches!(told.result, Some(outcome::Result::Unavailable(_)));
    assert_eq!(trio.outcomes(6).iter().filter(|told| unavailable(told)).count(), 1);
    trio.watch(4, &"g".repeat(2_000), 1);
    trio.settle();
    assert!(trio.closed(4));
    trio.watch(2, "g2", 1);
    trio.watch(3, "g3", 1);
    trio.run_ms(40);
    assert!(trio.in_sync(2) && trio.closed(3));
}

#[test]
fn a_watcher_hears_that_the_leader_lives() {
    let mut trio = centre(limits(), 1);
    let before = trio.replies(1).len();
    trio.run_ms(1_000);
    let alive = |reply: &&proto::v1::WatchReply| matches!(reply.kind, Some(watch_reply::Kind::KeepAlive(_)));
    assert!(trio.replies(1)[before..].iter().filter(alive).count() >= 3);
}

fn lease_ms() -> u64 {
    limits().lease_us / 1_000
}

#[test]
fn a_shard_that_is_not_led_here_says_who_leads() {
    let mut trio = centre(limits(), 1);
    let other = (trio.leader() + 1) % 3;
    trio.submit_at(other, 5, submission(CommandId { sender: 9, number: 1 }, offer(1)));
    trio.settle();
    let leader = format!("n{}", trio.leader() + 1);
    match &trio.outcomes(5)[0].result {
        Some(outcome::Result::NotLeader(not_leader)) => assert_eq!(not_leader.leader, leader),
        told => panic!("{told:?} on shard {SHARD}"),
    }
}

#[test]
fn the_first_leader_of_an_empty_shard_sets_the_rules_once() {
    let mut trio = Trio::new(limits());
    trio.elect();
    trio.run_ms(60);
    assert_eq!(trio.rules(), [acd::RULES_BEFORE; 3]);
    // A shard that lives by earlier rules keeps them, whoever leads it.
    let mut trio = Trio::of_earlier_rules(limits());
    trio.elect();
    trio.run_ms(60);
    let old = trio.leader();
    trio.cut(old);
    trio.elect_other_than(old);
    trio.run_ms(60);
    trio.heal();
    trio.run_ms(1_000);
    assert_eq!(trio.rules(), [1; 3]);
    trio.replicas_agree();
}

#[test]
fn what_only_the_leader_says_is_refused_to_everybody_else() {
    let mut trio = centre(limits(), 1);
    let kinds = [
        command::Kind::SetRules(SetRules { version: acd::RULES + 1 }),
        command::Kind::TakeLead(TakeLead {}),
        command::Kind::AdvanceClock(AdvanceClock {}),
        command::Kind::LoseGateway(LoseGateway { gateway: GATEWAY.into(), incarnation: LIFE }),
    ];
    for (number, kind) in (1..).zip(kinds) {
        trio.submit(number + 100, submission(CommandId { sender: 9, number }, kind));
        trio.settle();
        let told = trio.outcomes(number + 100);
        assert_eq!(rejection(&told[0]), Some(RejectionCode::Invalid), "{told:?}");
    }
    assert!(trio.gateway_is_up(GATEWAY));
}

#[test]
fn a_chooser_is_asked_by_the_leader_and_asked_again_by_the_next() {
    let mut trio = centre(limits(), 1);
    trio.configure_with(2, chooser_queue());
    for agent in ["a1", "a2"] {
        trio.do_now(command::Kind::LogInAgent(LogInAgent { agent: agent.into() }));
        trio.do_now(command::Kind::MakeAgentReady(MakeAgentReady { agent: agent.into() }));
    }
    trio.do_now(offer(0xc1));
    let asked = trio.asks();
    let first = asked.last().expect("the chooser is asked").clone();
    assert_eq!((asked.len(), first.1, first.2.call), (1, SHARD, 0xc1));
    assert_eq!(first.0, trio.leader(), "no follower asks");
    let names: Vec<_> = first.2.candidates.iter().map(|candidate| candidate.agent.as_str()).collect();
    assert_eq!(names, ["a1", "a2"]);

    let old = trio.leader();
    trio.cut(old);
    trio.elect_other_than(old);
    trio.run_ms(60);
    let again: Vec<_> = trio.asks().into_iter().filter(|(at, ..)| *at != old).collect();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].2.ask, again[0].2.call), (first.2.ask, 0xc1));
    trio.watch(2, GATEWAY, LIFE);
    let choice = ChooseAgents { call: 0xc1, ask: first.2.ask, agents: vec!["a2".into()] };
    trio.do_now(command::Kind::ChooseAgents(choice.clone()));
    assert_eq!(trio.agent_of(0xc1), "a2");
    trio.submit(9, submission(CommandId { sender: 8, number: 1 }, command::Kind::ChooseAgents(choice)));
    trio.run_ms(40);
    assert_eq!(rejection(&trio.outcomes(9)[0]), Some(RejectionCode::WrongState), "it was answered already");
}

#[test]
fn a_replica_that_was_away_takes_a_snapshot_that_was_saved_between_entries() {
    // An entry for each command, so that some come between two slices.
    let mut trio = Trio::with_snapshots(Limits { batch_window_us: 0, ..limits() }, 40);
    trio.elect();
    trio.configure();
    trio.watch(1, GATEWAY, LIFE);
    trio.run_ms(40);
    let away = (trio.leader() + 1) % 3;
    trio.cut(away);
    // A save does a slice per tick of 20 ms.
    for call in 1..=300 {
        trio.submit(5, submission(CommandId { sender: 9, number: call }, offer(call)));
        trio.run_ms(3);
    }
    assert!(trio.saved_between_entries(), "or this is no test");
    trio.heal();
    trio.run_ms(2_000);
    assert!(trio.restored(away), "its log was cut: it came by snapshot");
    trio.replicas_agree();
    assert_eq!(trio.calls().len(), 300);
}
