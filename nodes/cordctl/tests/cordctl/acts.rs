//! What is done with calls and agents, and what was counted.

use std::process::Command;

use proto::v1::{AgentChange, CallControl, act_on_call_request::Action, target};

use super::{Fake, centre, centre_of, err, out};

#[test]
fn each_action_on_a_call_is_asked_as_it_was_written() {
    let centre = centre();
    for line in [
        "call pull deadbeef anna",
        "call change deadbeef --priority 2 --boost 30s --move-to sales",
        "call transfer deadbeef anna queue:sales",
        "call consult deadbeef anna sip:bob@example.test",
        "call hold deadbeef anna",
        "call resume deadbeef anna",
        "call complete deadbeef anna",
        "call swap deadbeef anna",
        "call conference deadbeef anna",
        "call take-back deadbeef anna",
        "call leave deadbeef anna",
        "call callback deadbeef --number 555",
        "call cancel-callback deadbeef",
    ] {
        assert_eq!(centre.json(line)["state"], "talking", "{line}");
    }
    let acts = &centre.asked.blocking_lock().acts;
    let mut acts = acts.iter().map(|act| act.action.clone().expect("an action"));
    let mut next = || acts.next().expect("one more");
    let call = 0xdead_beef;
    assert!(matches!(next(), Action::Pull(pull) if pull.call == call && pull.agent == "anna" && !pull.by.is_empty()));
    assert!(matches!(next(), Action::Change(to) if (to.call, to.priority, to.boost_seconds) == (call, 2, 30)
        && to.move_to == "sales"));
    assert!(matches!(next(), Action::Transfer(to)
        if to.agent == "anna" && to.target.clone().and_then(|to| to.kind) == Some(target::Kind::Queue("sales".into()))));
    assert!(matches!(next(), Action::Consult(to)
        if to.target.clone().and_then(|to| to.kind) == Some(target::Kind::Sip("sip:bob@example.test".into()))));
    for wanted in [
        CallControl::Hold,
        CallControl::Resume,
        CallControl::Complete,
        CallControl::Swap,
        CallControl::Conference,
        CallControl::TakeBack,
        CallControl::Leave,
    ] {
        assert!(matches!(next(), Action::Control(to) if to.control() == wanted && to.agent == "anna"), "{wanted:?}");
    }
    assert!(matches!(next(), Action::Callback(to) if to.call == call && to.number == "555"));
    assert!(matches!(next(), Action::CancelCallback(to) if to.call == call));
}

#[test]
fn what_cannot_be_meant_is_wrong_usage() {
    let centre = centre();
    for (line, words) in [
        ("call change deadbeef", "--priority"),
        ("call change deadbeef --priority 10", "from 1 (first) to 9"),
        ("call change deadbeef --boost 2days", "such as 30s"),
        ("call transfer deadbeef anna bob", "agent:NAME, queue:NAME"),
        ("call consult deadbeef anna agent:", "agent:NAME, queue:NAME"),
        ("agent extend-wrap-up anna 0", "such as 30s"),
        ("stats queue --from yesterday", "RFC 3339"),
        ("stats queue --from -1h --until -2h", "--from is not before --until"),
        ("stats trunk", "queue, agent, number"),
    ] {
        let output = centre.run(line);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", err(&output));
        assert!(err(&output).contains(words), "{line}: {}", err(&output));
    }
    assert!(centre.asked.blocking_lock().acts.is_empty());
}

#[test]
fn what_the_centre_refuses_is_said_in_its_words() {
    let output = centre().run("call pull deadbeef ben");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("call pull 00000000deadbeef: ") && err(&output).contains("refused: ben is talking"));
}

#[test]
fn an_action_whose_answer_is_lost_is_not_asked_of_another_node() {
    let centre = centre_of(Fake { loses_acts: true, ..Fake::default() });
    let other = centre.runtime.block_on(Fake { asked: centre.asked.clone(), ..Fake::default() }.serve());
    let output = Command::new(env!("CARGO_BIN_EXE_cordctl"))
        .args(["call", "swap", "deadbeef", "anna", "--endpoint", &format!("{},{other}", centre.endpoint)])
        .output()
        .expect("cordctl runs");
    assert_eq!(output.status.code(), Some(3), "{}", err(&output));
    assert!(err(&output).contains("done or not"), "{}", err(&output));
    assert_eq!(centre.asked.blocking_lock().acts.len(), 1);
}

#[test]
fn wrap_up_is_extended_by_seconds() {
    let centre = centre();
    centre.text("agent extend-wrap-up anna 2m");
    let changes = &centre.asked.blocking_lock().changes;
    assert_eq!((changes[0].change(), changes[0].seconds), (AgentChange::ExtendWrapUp, 120));
}

#[test]
fn an_agent_is_shown_with_skills_times_and_calls_in_hand() {
    let text = centre().text("agent show anna");
    for words in ["english:50", "1 of 2", "not-ready 1m00s, ready 12s, talking 10m00s, wrap-up 30s"] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
}

#[test]
fn a_queue_is_shown_with_what_its_figures_are_now() {
    let text = centre().text("queue show support");
    for words in ["1m05s-2m10s", "75.0%", "unknown", "english:50", "5.0s-9.0s", "1 done"] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
}

#[test]
fn figures_are_derived_and_a_ratio_of_nothing_is_a_dash() {
    let centre = centre();
    assert_eq!(
        centre.text("stats queue"),
        "NAME     FROM                  UNTIL                 OFFERED  ANSWERED  ABANDONED  SHORT  SERVICE LEVEL  ASA    \
         AHT  ABANDONMENT   P50 WAIT  P95 WAIT  RONA  TRANSFERS IN/OUT  CALLBACKS DONE/ASKED  OVERFLOWED  REFUSED\n\
         support  2023-11-14T22:13:20Z  2023-11-14T22:28:20Z       25        20          5      1          75.0%  10s  \
         2m50s        16.7%  3.0s-5.0s    4h00m+     4               0/3                   1/2           0        0\n\
         sales    2023-11-14T22:13:20Z  2023-11-14T22:28:20Z        0         0          0      0              -    -      \
         -            -          -         -     0               0/0                   0/0           0        0\n"
    );
    assert!(centre.text("stats agent").contains("70.0%"), "occupancy is 7 of 10 seconds");
    let stats = centre.json("stats queue");
    assert_eq!(stats["rows"][0]["service_level_permille"], 750);
    assert_eq!(stats["rows"][0]["wait_p95"], serde_json::json!({"at_least_ms": 14_400_000, "below_ms": null}));
    assert_eq!(stats["rows"][1]["service_level_permille"], serde_json::Value::Null);
    assert_eq!(stats["complete"], true);
    let output = centre.run("stats queue support --from 2023-11-14T22:00:00Z --intervals");
    assert!(err(&output).contains("older records are gone"), "{}", err(&output));
    assert!(!out(&output).is_empty());
    let stats = &centre.asked.blocking_lock().stats;
    let last = stats.last().expect("asked");
    assert_eq!((last.from_ms, last.intervals, last.name.as_str()), (1_699_999_200_000, true, "support"));
}

#[test]
fn the_definitions_are_in_the_help() {
    let text = centre().text("stats --help");
    for words in ["service level", "ASA", "AHT", "abandonment", "occupancy", "RONA", "p50"] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
}

#[test]
fn a_gateway_is_drained_until_it_is_empty_or_the_time_is_up() {
    let centre = centre();
    let empty = centre.json("gateway drain g1");
    assert_eq!((&empty["id"], &empty["calls"], &empty["draining"]), (&"g1".into(), &0.into(), &true.into()));
    assert_eq!(centre.json("gateway drain g1 --undo")["draining"], false);
    let left = centre.run("gateway drain g2 --deadline 1s");
    assert_eq!(left.status.code(), Some(1));
    let said = err(&left);
    assert_eq!(said.lines().count(), 2, "the same is not said twice: {said}");
    assert!(said.lines().all(|line| line.contains("2 calls left")), "{said}");
    assert_eq!(centre.run("gateway drain g3").status.code(), Some(4));
}
