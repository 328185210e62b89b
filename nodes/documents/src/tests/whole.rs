//! What is wrong between documents: each with its line and its field.

use super::*;

/// Documents that others may refer to, for files that are about one thing.
const HOUSE: &str = "kind: Queue\nname: support\n---\nkind: Queue\nname: sales\n---\nkind: Agent\nname: anna\n---\n\
                     kind: Agent\nname: ben\n---\nkind: Skill\nname: english\n---\nkind: Schedule\nname: days\n\
                     zone: UTC\nhours: mon-fri 09:00-17:00\n";

fn house() -> Vec<Document> {
    checked(&[], HOUSE).expect("valid").upserts
}

#[track_caller]
fn refused_in_the_house(text: &str, expected: &str) {
    refused(&house(), text, expected);
}

#[test]
fn every_unknown_name_anywhere_is_told_with_its_field() {
    let text = "kind: Number
name: 1
route:
  queue: q1
  agent: a1
  timed:
    - { schedule: s1, queue: q2 }
skills: { k1: 5 }
---
kind: Queue
name: desk
skills:
  k2: 10
join:
  - when: { open: s2 }
    do: { move-to: q3 }
overflow:
  - after: 10s
    when:
      closed: s3
    do:
      add-queue: q4
  - { after: 20s, do: { relax: { k3: 5 } } }
leave: { when: { some-wait: true }, do: { forward: { queue: q5 } } }
schedule: s4
closed: { forward: { agent: a2 } }
keys:
  1: { move-to: q6 }
---
kind: Agent
name: carl
queues:
  - q7
  - name: q8
skills: { k4: 7 }
---
kind: Caller
name: c
numbers: 5
agent: a3
---
kind: Forwarding
name: f
agent: a4
rules:
  - when: busy
    to: { agent: a5 }
  - when: no-answer
    to:
      - queue: q9
---
kind: Centre
name: main
transfer_failed: { agent: a6 }
";
    refused_in_the_house(
        text,
        r#"
centre.yaml:4: Number 1: route.queue: no queue "q1" (allowed: desk, sales, support)
centre.yaml:5: Number 1: route.agent: no agent "a1" (allowed: anna, ben, carl)
centre.yaml:7: Number 1: route.timed[0].schedule: no schedule "s1" (allowed: days)
centre.yaml:7: Number 1: route.timed[0].queue: no queue "q2" (allowed: desk, sales, support)
centre.yaml:8: Number 1: skills.k1: no skill "k1" (allowed: english)
centre.yaml:13: Queue desk: skills.k2: no skill "k2" (allowed: english)
centre.yaml:15: Queue desk: join[0].when.open: no schedule "s2" (allowed: days)
centre.yaml:16: Queue desk: join[0].do.move-to: no queue "q3" (allowed: desk, sales, support)
centre.yaml:20: Queue desk: overflow[0].when.closed: no schedule "s3" (allowed: days)
centre.yaml:22: Queue desk: overflow[0].do.add-queue: no queue "q4" (allowed: desk, sales, support)
centre.yaml:23: Queue desk: overflow[1].do.relax.k3: no skill "k3" (allowed: english)
centre.yaml:24: Queue desk: leave.do.forward.queue: no queue "q5" (allowed: desk, sales, support)
centre.yaml:25: Queue desk: schedule: no schedule "s4" (allowed: days)
centre.yaml:26: Queue desk: closed.forward.agent: no agent "a2" (allowed: anna, ben, carl)
centre.yaml:28: Queue desk: keys.1.move-to: no queue "q6" (allowed: desk, sales, support)
centre.yaml:33: Agent carl: queues[0]: no queue "q7" (allowed: desk, sales, support)
centre.yaml:34: Agent carl: queues[1].name: no queue "q8" (allowed: desk, sales, support)
centre.yaml:35: Agent carl: skills.k4: no skill "k4" (allowed: english)
centre.yaml:40: Caller c: agent: no agent "a3" (allowed: anna, ben, carl)
centre.yaml:44: Forwarding f: agent: no agent "a4" (allowed: anna, ben, carl)
centre.yaml:47: Forwarding f: rules[0].to: no agent "a5" (allowed: anna, ben, carl)
centre.yaml:50: Forwarding f: rules[1].to[0].queue: no queue "q9" (allowed: desk, sales, support)
centre.yaml:54: Centre main: transfer_failed.agent: no agent "a6" (allowed: anna, ben, carl)
"#,
    );
}

#[test]
fn a_number_that_is_not_ours_may_be_anywhere_outside() {
    let text = "kind: Queue\nname: q\noverflow: [{ after: 5s, do: { forward: { number: \"+4930\" } } }]\n";
    assert!(checked(&[], text).is_ok());
}

#[test]
fn a_tier_without_an_agent_is_told_at_the_queue() {
    let text =
        "kind: Queue\nname: q\ntiers:\n  2: 10s\n  3: 20s\n---\nkind: Agent\nname: a\nqueues: [{ name: q, tier: 2 }]\n";
    refused(
        &[],
        text,
        "centre.yaml:5: Queue q: tiers.3: no agent is in tier 3 \
         (allowed: a tier that an agent names, as in queues: [{ name: q, tier: 3 }])",
    );
}

#[test]
fn the_last_agent_of_a_tier_cannot_leave_it() {
    let text = "kind: Queue\nname: q\ntiers: { 2: 10s }\n---\nkind: Agent\nname: a\nqueues: [{ name: q, tier: 2 }]\n";
    let current = checked(&[], text).expect("valid").upserts;
    refused(
        &current,
        "kind: Agent\nname: a\n\nqueues: [q]\n",
        "centre.yaml:4: Agent a: queues: tier 2 of queue \"q\" would have no agent \
         (allowed: a tier that an agent names, as in queues: [{ name: q, tier: 2 }])",
    );
}

#[test]
fn there_is_one_centre() {
    let current = checked(&[], "kind: Centre\nname: main\n").expect("valid").upserts;
    refused(
        &current,
        "\nkind: Centre\nname: other\n",
        "centre.yaml:2: Centre other: there would be 2 documents of kind Centre (allowed: up to 1)",
    );
    assert!(checked(&current, "kind: Centre\nname: main\nhops_max: 3\n").is_ok());
}

#[test]
fn an_agent_has_one_forwarding() {
    let text = "kind: Forwarding\nname: one\nagent: anna\nrules: [{ when: busy, to: { agent: ben } }]\n---\n\
                kind: Forwarding\nname: two\nagent: anna\nrules: [{ when: always, to: { agent: ben } }]\n";
    refused_in_the_house(
        text,
        "centre.yaml:8: Forwarding two: agent: agent \"anna\" is already in Forwarding one (allowed: one document for each)",
    );
}

#[test]
fn a_calling_number_has_one_caller() {
    let current = checked(&[], "kind: Caller\nname: one\nnumbers: [1, 2]\n").expect("valid").upserts;
    refused(
        &current,
        "kind: Caller\nname: two\nnumbers:\n  - 3\n  - 2\n",
        "centre.yaml:5: Caller two: numbers[1]: number \"2\" is already in Caller one (allowed: one document for each)",
    );
}

#[test]
fn two_queues_that_overflow_into_each_other_are_a_circle() {
    let text = "kind: Queue\nname: a\noverflow:\n  - { after: 10s, do: { move-to: b } }\n---\n\
                kind: Queue\nname: b\noverflow:\n  - { after: 10s, do: { move-to: a } }\n";
    refused(
        &[],
        text,
        "centre.yaml:4: Queue a: overflow[0].do.move-to: calls would go in a circle: queue a, queue b, queue a \
         (allowed: ways that do not come back)",
    );
}

#[test]
fn two_queues_may_lend_each_other_their_agents() {
    let text = "kind: Queue\nname: a\noverflow:\n  - { after: 10s, do: { add-queue: b } }\n---\n\
                kind: Queue\nname: b\noverflow:\n  - { after: 10s, do: { add-queue: a } }\n";
    assert!(checked(&[], text).is_ok());
}

#[test]
fn a_queue_that_is_closed_into_itself_is_a_circle() {
    let text = "kind: Queue\nname: q\nschedule: days\nclosed: { move-to: q }\n";
    refused_in_the_house(
        text,
        "centre.yaml:4: Queue q: closed.move-to: calls would go in a circle: queue q, queue q \
         (allowed: ways that do not come back)",
    );
}

#[test]
fn a_circle_over_a_number_and_those_who_leave_is_found() {
    let text = "kind: Number\nname: 5000\nroute:\n  queue: a\n---\nkind: Queue\nname: a\njoin:\n  - do: { move-to: b }\n---\n\
                kind: Queue\nname: b\nleave: { when: { some-wait: true }, do: { forward: { number: 5000 } } }\n";
    refused(
        &[],
        text,
        "centre.yaml:4: Number 5000: route.queue: calls would go in a circle: number 5000, queue a, queue b, number 5000 \
         (allowed: ways that do not come back)",
    );
}

#[test]
fn a_circle_that_is_closed_by_what_comes_in_is_told_there() {
    let current = checked(
        &[],
        "kind: Queue\nname: b\n---\nkind: Queue\nname: a\nleave: { when: { some-wait: true }, do: { move-to: b } }\n",
    );
    let current = current.expect("valid").upserts;
    refused(
        &current,
        "kind: Queue\nname: b\noverflow:\n  - { after: 1s, do: { move-to: a } }\n",
        "centre.yaml:4: Queue b: overflow[0].do.move-to: calls would go in a circle: queue b, queue a, queue b \
         (allowed: ways that do not come back)",
    );
    // And what is about something else is not hindered.
    assert!(checked(&current, "kind: Queue\nname: c\noverflow: [{ after: 1s, do: { move-to: a } }]\n").is_ok());
}

#[test]
fn agents_who_forward_to_each_other_are_a_circle() {
    let text = "kind: Forwarding\nname: f1\nagent: anna\nrules:\n  - when: always\n    to: { agent: ben }\n---\n\
                kind: Forwarding\nname: f2\nagent: ben\nrules:\n  - when: always\n    to:\n      - { sip: \"sip:x@192.0.2.1\" }\n      - { agent: anna }\n";
    refused_in_the_house(
        text,
        "centre.yaml:6: Forwarding f1: rules[0].to: calls would go in a circle: agent anna, agent ben, agent anna \
         (allowed: ways that do not come back)",
    );
}

#[test]
fn an_agent_who_forwards_always_to_herself_is_a_circle() {
    let text = "kind: Forwarding\nname: f1\nagent: anna\nrules: [{ when: always, to: [{ agent: anna }] }]\n";
    refused_in_the_house(
        text,
        "centre.yaml:4: Forwarding f1: rules[0].to[0].agent: calls would go in a circle: agent anna, agent anna \
         (allowed: ways that do not come back)",
    );
}

#[test]
fn every_circle_is_told() {
    let text = "kind: Queue\nname: a\noverflow: [{ after: 1s, do: { move-to: a } }]\n---\nkind: Queue\nname: b\n\
                overflow: [{ after: 1s, do: { move-to: c } }]\n---\nkind: Queue\nname: c\noverflow: [{ after: 1s, do: { move-to: b } }]\n";
    let errors = checked(&[], text).expect_err("two circles");
    let places: Vec<_> = errors.lines().map(|line| line.split(": calls").next().unwrap_or_default()).collect();
    assert_eq!(
        places,
        ["centre.yaml:3: Queue a: overflow[0].do.move-to", "centre.yaml:7: Queue b: overflow[0].do.move-to"]
    );
}

#[test]
fn what_a_caller_presses_is_no_circle() {
    let text =
        "kind: Queue\nname: a\nkeys: { 1: { move-to: b } }\n---\nkind: Queue\nname: b\nkeys: { 1: { move-to: a } }\n";
    assert!(checked(&[], text).is_ok());
}

#[test]
fn ways_that_meet_are_no_circle() {
    let text = "kind: Queue\nname: a\noverflow: [{ after: 1s, do: { add-queue: b } }, { after: 2s, do: { move-to: c } }]\n---\n\
                kind: Queue\nname: b\noverflow: [{ after: 1s, do: { move-to: d } }]\n---\nkind: Queue\nname: c\n\
                overflow: [{ after: 1s, do: { move-to: d } }]\n---\nkind: Queue\nname: d\n";
    assert!(checked(&[], text).is_ok());
}

#[test]
fn a_chain_of_ten_thousand_queues_costs_little_and_a_long_circle_is_shown_short() {
    let link = |n: u32, to: u32| {
        format!("---\nkind: Queue\nname: q{n:05}\noverflow: [{{ after: 1s, do: {{ move-to: q{to:05} }} }}]\n")
    };
    let started = Instant::now();
    let last = 9_999;
    let chain: String = (0..last).map(|n| link(n, n + 1)).collect();
    let open = format!("{chain}---\nkind: Queue\nname: q{last:05}\n");
    assert!(checked(&[], &open).is_ok());
    let errors = checked(&[], &format!("{chain}{}", link(last, 0))).expect_err("a circle");
    assert!(errors.len() < 400 && errors.contains("(9991 more)"), "{errors}");
    assert!(started.elapsed() < Duration::from_secs(20), "took {:?}", started.elapsed());
}

#[test]
fn only_one_centre_and_so_many_of_each_list() {
    let many = |count: usize, item: fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(", ");
    let skills = many(limits::SKILL_LEVELS_MAX + 1, |n| format!("k{n}: 1"));
    let steps = many(limits::PROGRESSIVE_STEPS_MAX + 1, |_| "{ agents: 1, for: 1s }".to_owned());
    let overflow = many(limits::OVERFLOW_STEPS_MAX + 1, |n| format!("{{ after: {n}s, do: hang-up }}"));
    let join = many(limits::JOIN_RULES_MAX + 1, |_| "{ when: { some-wait: true }, do: hang-up }".to_owned());
    let said = many(limits::ANNOUNCEMENTS_MAX + 1, |_| "{ prompt: p }".to_owned());
    let dates = many(limits::DATES_MAX + 1, |n| format!("{}-01-{:02}: closed", 2000 + n / 28, n % 28 + 1));
    let hours = many(limits::HOURS_MAX + 1, |_| "mon 09:00-10:00".to_owned());
    let seasons = many(limits::SEASONS_MAX + 1, |n| {
        format!("{:02}-{:02}..{:02}-{:02}: closed", n / 28 + 1, n % 28 + 1, n / 28 + 1, n % 28 + 1)
    });
    let rules = many(limits::FORWARD_RULES_MAX + 1, |_| "{ when: busy, to: { agent: a } }".to_owned());
    let targets = many(limits::FORWARD_TARGETS_MAX + 1, |_| "{ agent: b }".to_owned());
    let numbers = many(limits::CALLER_NUMBERS_MAX + 1, |n| n.to_string());
    let routes = many(limits::ROUTES_MAX + 1, |_| "{ schedule: s, queue: q }".to_owned());
    let queues = many(limits::AGENT_QUEUES_MAX + 1, |n| format!("q{n}"));
    let networks = many(limits::TRUNK_ADDRESSES_MAX + 1, |n| format!("10.0.{}.{}", n / 256, n % 256));
    let text = format!(
        "kind: Queue\nname: q\nskills: {{ {skills} }}\nstrategy: progressive\nsteps: [{steps}]\noverflow: [{overflow}]\n\
         join: [{join}]\nannouncements: [{said}]\n---\nkind: Schedule\nname: s\nzone: UTC\nhours: [{hours}]\n\
         dates: {{ {dates} }}\nseasons: {{ {seasons} }}\n---\nkind: Agent\nname: a\nqueues: [{queues}]\n---\n\
         kind: Forwarding\nname: f\nagent: a\nrules: [{rules}]\n---\nkind: Forwarding\nname: g\nagent: b\n\
         rules: [{{ when: busy, to: [{targets}] }}]\n---\nkind: Agent\nname: b\n---\nkind: Caller\nname: c\nnumbers: [{numbers}]\n---\n\
         kind: Number\nname: n\nroute: {{ queue: q, timed: [{routes}] }}\n---\nkind: Trunk\nname: t\naddresses: [{networks}]\n"
    );
    let errors = checked(&[], &text).expect_err("too many");
    let told: Vec<_> = errors.lines().filter(|line| line.contains("are too many")).collect();
    let fields: Vec<_> = told.iter().filter_map(|line| line.split(": ").nth(2)).collect();
    assert_eq!(
        fields,
        [
            "skills",
            "steps",
            "overflow",
            "join",
            "announcements",
            "hours",
            "dates",
            "seasons",
            "queues",
            "rules",
            "rules[0].to",
            "numbers",
            "route.timed",
            "addresses"
        ],
        "{errors}"
    );
    assert!(told.iter().all(|line| line.contains("(allowed: up to ")), "{told:?}");
}
