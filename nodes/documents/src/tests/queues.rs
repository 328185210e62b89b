//! What is wrong within one document of the newer kinds and fields: each with its line and its field.

use proto::v1::{Strategy, Window};

use super::*;

/// The one error of a queue that has these further lines, the first of which is line 3.
#[track_caller]
fn queue_refused(lines: &str, expected: &str) {
    refused(&[], &format!("kind: Queue\nname: q\n{lines}\n"), &format!("centre.yaml:{expected}"));
}

#[track_caller]
fn schedule_refused(lines: &str, expected: &str) {
    let text = format!("kind: Schedule\nname: s\nzone: UTC\n{lines}\n");
    refused(&[], &text, &format!("centre.yaml:{expected}"));
}

#[test]
fn figures_outside_their_range_are_refused() {
    let text = "kind: Agent
name: a
queues: [{ name: q, tier: 10 }, { name: r, weight: 101 }]
skills: { k: 0 }
capacity: 11
---
kind: Number
name: 1
route: { queue: q }
priority: 10
skills: { k: 101 }
---
kind: Queue
name: q
strategy: fewest-calls
window: 1441m
skills: { k: none }
---
kind: Queue
name: r
---
kind: Skill
name: k
";
    refused(
        &[],
        text,
        r#"
centre.yaml:3: Agent a: queues[0].tier: "10" is out of range (allowed: 1 to 9)
centre.yaml:3: Agent a: queues[1].weight: "101" is out of range (allowed: 1 to 100)
centre.yaml:4: Agent a: skills.k: "0" is out of range (allowed: 1 to 100)
centre.yaml:5: Agent a: capacity: "11" is out of range (allowed: 1 to 10)
centre.yaml:10: Number 1: priority: "10" is out of range (allowed: 1 to 9)
centre.yaml:11: Number 1: skills.k: "101" is out of range (allowed: 1 to 100)
centre.yaml:16: Queue q: window: unknown value "1441m" (allowed: shift, day, or whole minutes from 1m to 24h)
centre.yaml:17: Queue q: skills.k: "none" is not a whole number (allowed: 1 to 100)
"#,
    );
}

#[test]
fn a_tier_is_there_once_and_opens_later_than_the_one_before() {
    let agents = "---\nkind: Agent\nname: a\nqueues: [{ name: q, tier: 2 }]\n---\nkind: Agent\nname: b\nqueues: [{ name: q, tier: 3 }]";
    queue_refused(
        &format!("tiers:\n  3: 10s\n  2: 10s\n{agents}"),
        "4: Queue q: tiers.3: tier 3 opens no later than tier 2 (allowed: more than 10s)",
    );
    let twice = "tiers:\n  2: 10s\n  2: 20s";
    let member = "---\nkind: Agent\nname: a\nqueues: [{ name: q, tier: 2 }]";
    queue_refused(&format!("{twice}\n{member}"), "5: Queue q: tiers.2: is there twice (allowed: once)");
    queue_refused("tiers: { 1: 10s }", "3: Queue q: tiers.1: \"1\" is no later tier (allowed: 2 to 9)");
}

#[test]
fn a_key_is_there_once_and_on_a_phone() {
    queue_refused(
        "keys:\n  1: hang-up\n  2: hang-up\n  1: { announce: x }",
        "6: Queue q: keys.1: is there twice (allowed: once)",
    );
    queue_refused(
        "keys: { 12: hang-up }",
        "3: Queue q: keys.12: \"12\" is no key of a phone (allowed: one of 0123456789*#)",
    );
}

#[test]
fn external_needs_a_chooser_and_progressive_its_steps() {
    queue_refused("strategy: external", "1: Queue q: chooser: is missing (allowed: { endpoint: http://HOST:PORT })");
    queue_refused("strategy: progressive", "1: Queue q: steps: is missing (allowed: a list of { agents, for })");
    queue_refused(
        "strategy: progressive\nsteps: []",
        "4: Queue q: steps: has no step (allowed: a list of { agents, for })",
    );
    queue_refused(
        "strategy: external\nchooser: { endpoint: \"https://x:1\" }",
        "4: Queue q: chooser.endpoint: \"https://x:1\" is not an endpoint (allowed: http://HOST:PORT)",
    );
}

#[test]
fn an_order_is_a_strategy_that_ranks_single_agents() {
    let single = "longest-idle, round-robin, linear, fewest-calls, least-talk, least-occupied, most-skilled, random, weighted-random";
    queue_refused(
        "strategy: ring-all\norder: progressive",
        &format!("4: Queue q: order: unknown value \"progressive\" (allowed: {single})"),
    );
}

#[test]
fn settings_that_the_strategy_would_not_look_at_are_refused() {
    for (lines, expected) in [
        (
            "steps: [{ agents: 1, for: 5s }]",
            "3: Queue q: steps: would not count: nothing goes by steps (allowed: with strategy: progressive)",
        ),
        (
            "progressive: replace",
            "3: Queue q: progressive: would not count: nothing goes by steps (allowed: with strategy: progressive)",
        ),
        (
            "chooser: { endpoint: \"http://x:1\" }",
            "3: Queue q: chooser: would not count: nobody is asked (allowed: with strategy: external)",
        ),
        ("ring_max: 5", "3: Queue q: ring_max: would not count: not all ring (allowed: with strategy: ring-all)"),
        (
            "ring_one_tier: true",
            "3: Queue q: ring_one_tier: would not count: not all ring (allowed: with strategy: ring-all)",
        ),
        (
            "order: linear",
            "3: Queue q: order: would not count: the strategy chooses (allowed: with ring-all, progressive or external)",
        ),
        (
            "window: day",
            "3: Queue q: window: would not count: nothing is counted (allowed: with fewest-calls, least-talk or least-occupied)",
        ),
        (
            "strategy: linear\nidle_since: last-call",
            "4: Queue q: idle_since: would not count: nobody looks at idle times (allowed: with a strategy that does)",
        ),
        (
            "rona_delay_seconds: 5",
            "3: Queue q: rona_delay_seconds: would not count: the agent is made not ready (allowed: with rona: stay-ready)",
        ),
        ("closed: hang-up", "3: Queue q: closed: would not count: the queue never closes (allowed: with a schedule)"),
        ("closing: go", "3: Queue q: closing: would not count: the queue never closes (allowed: with a schedule)"),
    ] {
        queue_refused(lines, expected);
    }
}

#[test]
fn the_window_of_an_order_counts() {
    let text = "kind: Queue\nname: q\nstrategy: ring-all\norder: least-talk\nwindow: 2h\n";
    let plan = checked(&[], text).expect("valid");
    let Some(document::Kind::Queue(queue)) = &plan.upserts[0].kind else { panic!("{plan:?}") };
    assert_eq!((queue.order(), queue.window(), queue.window_minutes), (Strategy::LeastTalk, Window::Minutes, 120));
}

#[test]
fn callbacks_need_their_policy_and_a_key() {
    queue_refused(
        "keys: { 1: take-callback }",
        "3: Queue q: keys.1.take-callback: there is no callback policy (allowed: with callback: true or settings)",
    );
    queue_refused(
        "callback: false\noverflow:\n  - { after: 1m, do: offer-callback }",
        "5: Queue q: overflow[0].do.offer-callback: there is no callback policy (allowed: with callback: true or settings)",
    );
    queue_refused(
        "callback: true\njoin:\n  - do: { offer-callback: true }",
        "5: Queue q: join[0].do.offer-callback: no key takes the callback (allowed: keys: { 1: take-callback })",
    );
}

#[test]
fn rules_that_can_never_hold_or_always_do_are_refused() {
    queue_refused(
        "join:\n  - do: hang-up\n  - { when: { waiting-over: 3 }, do: hang-up }",
        "5: Queue q: join[1]: would not count: the rule before it always holds (allowed: a when before it)",
    );
    queue_refused(
        "leave: { do: hang-up }",
        "3: Queue q: leave.when: is missing (allowed: a condition; without one nobody could wait)",
    );
    queue_refused(
        "overflow:\n  - { after: 1m, when: {}, do: hang-up }",
        "4: Queue q: overflow[0].when: asks nothing (allowed: at least one condition)",
    );
    queue_refused(
        "overflow:\n  - { after: 1m, do: hang-up }\n  - { after: 30s, do: hang-up }",
        "5: Queue q: overflow[1].after: is before the step before it (allowed: at least 1m)",
    );
}

#[test]
fn actions_are_one_key_and_done_where_they_can_be() {
    let overflow = "open-tier, relax, add-queue, move-to, priority, boost, offer-callback, forward, hang-up, announce";
    for (action, expected) in [
        ("explode", format!("4: Queue q: overflow[0].do.explode: unknown action \"explode\" (allowed: {overflow})")),
        ("take-callback", format!("4: Queue q: overflow[0].do.take-callback: is not done here: \"take-callback\" (allowed: {overflow})")),
        ("{ priority: 1, boost: 5s }", format!("4: Queue q: overflow[0].do: has 2 keys where one belongs (allowed: {overflow})")),
        ("move-to", "4: Queue q: overflow[0].do.move-to: has no value (allowed: { move-to: ... })".to_owned()),
        ("{ move-to: }", "4: Queue q: overflow[0].do.move-to: has no value (allowed: a value, or no such field)".to_owned()),
        ("{ boost: soon }", "4: Queue q: overflow[0].do.boost: \"soon\" is not a span of time (allowed: 1s to 24h, such as 30s, 5m or 1h30m)".to_owned()),
        ("{ forward: { agent: a, queue: q } }", "4: Queue q: overflow[0].do.forward: has 2 targets where one belongs (allowed: { agent: NAME }, { queue: NAME }, { number: NUMBER } or { sip: URI })".to_owned()),
        ("{ hang-up: { sip_status: 200 } }", "4: Queue q: overflow[0].do.hang-up.sip_status: \"200\" is out of range (allowed: 400 to 699)".to_owned()),
        ("[hang-up]", format!("4: Queue q: overflow[0].do: a list where one belongs (allowed: {overflow})")),
    ] {
        queue_refused(&format!("overflow:\n  - {{ after: 1m, do: {action} }}"), &expected);
    }
    queue_refused(
        "schedule: q\nclosed: { add-queue: q }",
        "3: Queue q: schedule: no schedule \"q\" (allowed: there are no schedules yet)\n\
         centre.yaml:4: Queue q: closed.add-queue: is not done here: \"add-queue\" (allowed: move-to, forward, hang-up)",
    );
}

#[test]
fn conditions_say_what_would_be_right() {
    for (condition, expected) in [
        ("waiting-over: 0", "waiting-over: \"0\" is out of range (allowed: 1 to 1000000)"),
        (
            "waiting-per-agent-over: 1.234",
            "waiting-per-agent-over: \"1.234\" is not such a ratio (allowed: 0.01 to 9999.99, such as 1.5)",
        ),
        (
            "nobody: [here]",
            "nobody[0]: unknown value \"here\" (allowed: ready, not-ready, wrap-up, ringing, talking, unreachable)",
        ),
        ("some-wait: yes", "some-wait: unknown value \"yes\" (allowed: true, false)"),
    ] {
        queue_refused(
            &format!("leave: {{ when: {{ {condition} }}, do: hang-up }}"),
            &format!("3: Queue q: leave.when.{expected}"),
        );
    }
}

#[test]
fn hours_dates_and_zones_that_do_not_exist_are_refused() {
    let weekly = "such as mon-fri 09:00-17:30 or sat,sun 22:00-06:00";
    for (hours, fault) in [
        ("mon 09:00-09:00", "ends where it starts"),
        ("mon 09:00-24:01", "has an hour outside the day"),
        ("mon 25:00-26:00", "has an hour outside the day"),
        ("mon 9-17", "has an hour that is not HH:MM"),
        ("mon 24:00-06:00", "begins at 24:00, which is 00:00 of the next day"),
        ("funday 09:00-10:00", "has an unknown weekday"),
        ("mon,mon-fri 09:00-10:00", "has a weekday twice"),
        ("09:00-10:00", "has no weekdays before the hours"),
    ] {
        let expected = format!("5: Schedule s: hours[0]: \"{hours}\" {fault} (allowed: {weekly})");
        schedule_refused(&format!("hours:\n  - {hours}"), &expected);
    }
    let date = "MM-DD for every year, or YYYY-MM-DD from 2000 to 2099";
    for (day, fault) in [
        ("02-30", "is no day of the calendar"),
        ("2026-02-29", "is no day of the calendar"),
        ("13-01", "is no day of the calendar"),
        ("1999-01-01", "has a year out of range"),
        ("christmas", "is not a date"),
    ] {
        let expected = format!("6: Schedule s: dates.{day}: \"{day}\" {fault} (allowed: {date})");
        schedule_refused(&format!("hours: closed\ndates:\n  {day}: closed"), &expected);
    }
    schedule_refused(
        "hours: closed\ndates:\n  12-25: closed\n  12-25: 09:00-10:00",
        "7: Schedule s: dates.12-25: is there twice (allowed: once)",
    );
    schedule_refused(
        "hours: closed\nseasons:\n  12-01..01-15: closed\n  01-15..02-01: closed",
        "7: Schedule s: seasons.01-15..02-01: overlaps 12-01..01-15 (allowed: seasons of which each day has one)",
    );
    for (zone, allowed) in
        [("Europe/Belin", "an IANA name, such as Europe/Berlin or UTC"), ("europe/berlin", "Europe/Berlin")]
    {
        refused(
            &[],
            &format!("kind: Centre\nname: c\nzone: {zone}\n"),
            &format!("centre.yaml:3: Centre c: zone: \"{zone}\" is no time zone (allowed: {allowed})"),
        );
    }
}

#[test]
fn the_leap_day_of_every_year_and_of_leap_years_is_a_day() {
    let text = "kind: Schedule\nname: s\nzone: UTC\nhours: closed\ndates: { 02-29: closed, 2028-02-29: closed, 2000-02-29: closed }\n";
    assert!(checked(&[], text).is_ok());
}

#[test]
fn forwarding_rules_that_would_never_be_looked_at_are_refused() {
    let text = "kind: Agent\nname: a\n---\nkind: Agent\nname: b\n---\nkind: Forwarding\nname: f\nagent: a\nrules:\n\
                \x20 - { when: busy, after: 5s, to: { agent: b } }\n  - { when: always, to: { agent: b } }\n\
                \x20 - { when: no-answer, to: { agent: b } }\n  - { to: [] }\n";
    refused(
        &[],
        text,
        "centre.yaml:11: Forwarding f: rules[0].after: would not count: nobody waits for an answer (allowed: with when: no-answer)\n\
         centre.yaml:13: Forwarding f: rules[2]: would not count: a rule before it holds whenever this one does (allowed: each case once, always as the last)\n\
         centre.yaml:14: Forwarding f: rules[3].when: is missing (allowed: always, busy, no-answer, unreachable)\n\
         centre.yaml:14: Forwarding f: rules[3].to: leads nowhere (allowed: { agent: NAME }, { queue: NAME }, { number: NUMBER } or { sip: URI })",
    );
}

#[test]
fn the_centre_s_codes_are_told_apart_and_its_number_is_there_to_be_shown() {
    refused(
        &[],
        "kind: Centre\nname: c\noutside: company\nblind_code: \"*71\"\ntransfer_prompt: a b\n",
        "centre.yaml:1: Centre c: number: is missing, and outside is company (allowed: 1 to 64 letters, digits and . _ - + * #, such as +493012345)\n\
         centre.yaml:1: Centre c: consult_code: *7 cannot be told from blind_code *71 (allowed: two codes of which none begins with the other)\n\
         centre.yaml:5: Centre c: transfer_prompt: \"a b\" cannot be a name (allowed: 1 to 64 letters, digits and . _ - +)",
    );
}

#[test]
fn nobody_writes_zones() {
    let errors = checked(&[], "kind: Zone\nname: UTC\n").expect_err("made, not written");
    assert!(errors.starts_with("centre.yaml:1: kind: unknown kind \"Zone\""), "{errors}");
}

#[test]
fn a_wait_for_nobody_is_refused() {
    let text = "kind: Number\nname: 1\nroute: { queue: q, direct_seconds: 5 }\n---\nkind: Queue\nname: q\n";
    refused(
        &[],
        text,
        "centre.yaml:3: Number 1: route.direct_seconds: would not count: there is no agent to wait for (allowed: with route.agent)",
    );
}
