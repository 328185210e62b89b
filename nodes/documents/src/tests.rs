use std::time::{Duration, Instant};

use proto::v1::{AnswerMode, StartState};

use super::*;

mod dice;
mod queues;
mod reference;
mod tenants;
mod trunks;
mod whole;
mod zones;

const CENTRE: &str = r#"kind: Number
name: "5000"
route: { queue: support }
---
kind: Queue
name: support
strategy: longest-idle
answer: on-entry        # 200 and music at once
ring_seconds: 15
wrap_up_seconds: 0
---
kind: Agent
name: agent0001
contact: sip:agent0001@127.0.0.1:15080    # static
queues: [{ name: support }]
start: ready
---
kind: Trunk
name: carrier
addresses: [192.0.2.0/24, 2001:db8::1]
"#;

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.to_owned(), text: text.to_owned() }
}

fn checked(current: &[Document], text: &str) -> Result<Plan, String> {
    check(current, &[file("centre.yaml", text)])
        .map_err(|errors| errors.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn centre() -> Vec<Document> {
    checked(&[], CENTRE).expect("the example is valid").upserts
}

#[track_caller]
fn refused(current: &[Document], text: &str, expected: &str) {
    match checked(current, text) {
        Ok(plan) => panic!("was accepted: {plan:?}"),
        Err(errors) => assert_eq!(errors, expected.trim_matches('\n')),
    }
}

#[test]
fn the_example_of_the_contract_is_read_with_its_defaults() {
    let documents = centre();
    let Some(document::Kind::Number(number)) = &documents[0].kind else { panic!("{documents:?}") };
    assert_eq!((number.name.as_str(), number.queue.as_str()), ("5000", "support"));
    let Some(document::Kind::Queue(queue)) = &documents[1].kind else { panic!("{documents:?}") };
    assert_eq!(queue.answer(), AnswerMode::OnEntry);
    assert_eq!((queue.ring_seconds, queue.wrap_up_seconds, queue.waiting_max, queue.wait_seconds_max), (15, 0, 0, 0));
    assert_eq!((queue.busy_delay_seconds, queue.unreachable_delay_seconds, queue.music.as_str()), (5, 30, "music"));
    let Some(document::Kind::Agent(agent)) = &documents[2].kind else { panic!("{documents:?}") };
    assert_eq!(agent.contact, "sip:agent0001@127.0.0.1:15080");
    assert_eq!(agent.start(), StartState::Ready);
    assert_eq!(agent.queues[0].queue, "support");
    let Some(document::Kind::Trunk(trunk)) = &documents[3].kind else { panic!("{documents:?}") };
    assert_eq!(trunk.addresses, ["192.0.2.0/24", "2001:db8::1"]);
}

#[test]
fn a_wrong_word_names_file_line_field_and_what_is_allowed() {
    let text = "# our centre\nkind: Queue\nname: support\n\nstrategy: fastest\n";
    refused(
        &[],
        text,
        r#"centre.yaml:5: Queue support: strategy: unknown value "fastest" (allowed: longest-idle, round-robin, linear, fewest-calls, least-talk, least-occupied, most-skilled, random, weighted-random, ring-all, progressive, external)"#,
    );
}

#[test]
fn every_error_of_every_document_is_told_at_once() {
    let text = r#"kind: Queue
name: support
strategy: fastest
ring_seconds: 900
wrap_up_seconds: soon
colour: red
---
kind: Agent
name: anna b
contact: tel:123
queues: [{ name: support }, { name: sales }, { name: support }, {}]
start: asleep
---
kind: Number
name: "5000"
---
kind: Flow
name: menu
---
name: nobody
---
just text
---
kind: Trunk
name: carrier
addresses: [10.0.0.1/8, nowhere, 10.0.0.0/33]
"#;
    refused(
        &[],
        text,
        r#"
centre.yaml:3: Queue support: strategy: unknown value "fastest" (allowed: longest-idle, round-robin, linear, fewest-calls, least-talk, least-occupied, most-skilled, random, weighted-random, ring-all, progressive, external)
centre.yaml:4: Queue support: ring_seconds: "900" is out of range (allowed: 1 to 300)
centre.yaml:5: Queue support: wrap_up_seconds: "soon" is not a whole number (allowed: 0 to 86400)
centre.yaml:6: Queue support: colour: unknown field (allowed: kind, name, tenant, strategy, answer, ring_seconds, wrap_up_seconds, waiting_max, wait_seconds_max, busy_delay_seconds, unreachable_delay_seconds, music, order, idle_since, window, ring_max, ring_one_tier, steps, progressive, chooser, rona, rona_delay_seconds, rona_max, ageing_permille, tiers, skills, sticky, reorder, short_abandon_seconds, service_level_seconds, wrap_up_max_seconds, callback, overflow, join, leave, schedule, closed, closing, keys, announcements)
centre.yaml:9: Agent: name: "anna b" cannot be a name (allowed: 1 to 64 letters, digits and . _ - +)
centre.yaml:10: Agent: contact: "tel:123" is not a SIP URI (allowed: sip:user@ADDRESS, sip:user@ADDRESS:port, with ;transport=udp or ;transport=tcp)
centre.yaml:11: Agent: queues[2].name: "support" is there twice (allowed: each queue once)
centre.yaml:11: Agent: queues[3].name: is missing (allowed: the name of a queue)
centre.yaml:12: Agent: start: unknown value "asleep" (allowed: ready, not-ready, logged-out)
centre.yaml:14: Number 5000: route: is missing (allowed: { queue: NAME })
centre.yaml:17: kind: unknown kind "Flow" (allowed: Number, Queue, Agent, Trunk, Skill, Schedule, Caller, Forwarding, Centre, Tenant)
centre.yaml:20: kind: is missing (allowed: Number, Queue, Agent, Trunk, Skill, Schedule, Caller, Forwarding, Centre, Tenant)
centre.yaml:22: a single value where a mapping belongs
centre.yaml:26: Trunk carrier: addresses[0]: "10.0.0.1/8" has bits beyond its prefix; the network is 10.0.0.0/8 (allowed: an address or a network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32)
centre.yaml:26: Trunk carrier: addresses[1]: "nowhere" is not an IP address (allowed: an address or a network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32)
centre.yaml:26: Trunk carrier: addresses[2]: "10.0.0.0/33" the prefix length is not 0 to 32 (allowed: an address or a network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32)
"#,
    );
}

#[test]
fn a_reference_to_nothing_is_refused_beside_other_errors() {
    let text = "kind: Queue\nname: support\nring_seconds: 0\n---\nkind: Number\nname: 5000\nroute:\n  queue: suport\n\
                ---\nkind: Agent\nname: a1\nqueues:\n  - name: support\n  - name: sales\n";
    refused(
        &[],
        text,
        r#"
centre.yaml:3: Queue support: ring_seconds: "0" is out of range (allowed: 1 to 300)
centre.yaml:8: Number 5000: route.queue: no queue "suport" (allowed: support)
centre.yaml:14: Agent a1: queues[1].name: no queue "sales" (allowed: support)
"#,
    );
}

#[test]
fn a_reference_may_lead_to_what_is_already_there() {
    let plan = checked(&centre(), "kind: Number\nname: 5001\nroute: { queue: support }\n").expect("valid");
    assert_eq!(plan.upserts.len(), 1);
    assert_eq!(plan.changes[0].action, "created");
}

#[test]
fn the_same_document_twice_is_refused_with_both_places() {
    let one = file("one.yaml", "kind: Queue\nname: support\n");
    let two = file("two.yaml", "\nkind: Queue\nname: support\nmusic: waltz\n");
    let errors = check(&[], &[one, two]).expect_err("twice");
    assert_eq!(
        errors.iter().map(line).collect::<Vec<_>>(),
        ["two.yaml:3: Queue support: name: Queue support is already at one.yaml:1 (allowed: each document once)"]
    );
}

#[test]
fn a_field_that_is_there_twice_is_refused() {
    refused(
        &[],
        "kind: Queue\nname: support\nring_seconds: 10\nring_seconds: 20\n",
        "centre.yaml:4: Queue support: ring_seconds: is there twice (allowed: once)",
    );
}

#[test]
fn a_syntax_error_hides_only_the_rest_of_its_document() {
    let text = "kind: Queue\nname: support\nmusic: [waltz\n---\nkind: Queue\nname: sales\nanswer: never\n";
    let errors = checked(&[], text).expect_err("broken");
    let errors: Vec<_> = errors.lines().collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("centre.yaml:3: not valid YAML: "), "{errors:?}");
    assert_eq!(errors[1], r#"centre.yaml:7: Queue sales: answer: unknown value "never" (allowed: on-entry, on-agent)"#);
}

#[test]
fn what_is_applied_again_is_unchanged_and_not_written() {
    let current = centre();
    let text = CENTRE.replace("ring_seconds: 15", "ring_seconds: 20");
    let plan = checked(&current, &text).expect("valid");
    let told: Vec<_> = plan.changes.iter().map(|c| format!("{} {} {}", c.kind, c.name, c.action)).collect();
    assert_eq!(
        told,
        ["Number 5000 unchanged", "Queue support changed", "Agent agent0001 unchanged", "Trunk carrier unchanged"]
    );
    assert_eq!(plan.upserts.len(), 1);
}

#[test]
fn what_is_printed_can_be_applied_as_it_is() {
    let text = format!("{CENTRE}---\nkind: Agent\nname: \"007\"\npassword: \"s3cret: #1\"\nwrap_up_seconds: 9\n");
    let current = checked(&[], &text).expect("valid").upserts;
    let yaml = to_yaml(&current);
    assert!(!yaml.contains("s3cret"), "{yaml}");
    let plan = checked(&current, &yaml).expect("what we print is valid");
    assert_eq!(plan.upserts, []);
    assert_eq!(plan.changes.len(), 5);
    assert_eq!(checked(&[], &yaml).expect("valid").upserts, current);
}

#[test]
fn a_password_becomes_the_two_digests_and_is_kept_nowhere() {
    // Figures from `printf anna:cordboard:secret | md5sum` and `sha256sum`.
    let plan = checked(&[], "kind: Agent\nname: anna\npassword: secret\n").expect("valid");
    let Some(document::Kind::Agent(agent)) = &plan.upserts[0].kind else { panic!("{plan:?}") };
    assert_eq!(values::to_hex(&agent.ha1_md5), "d2f8edf412ce69ff85d1c864af0d27c1");
    assert_eq!(values::to_hex(&agent.ha1_sha256), "083b94a04fcb2656fcab2bfa6a4628db8a521e641276e2a4539ddaf48bc2f871");
    assert!(!format!("{:?}", plan.upserts).contains("secret"));
}

#[test]
fn no_error_repeats_a_password() {
    let text = "kind: Agent\nname: anna\npassword: [hunter2]\nha1_md5: hunter2\n---\nkind: Agent\nname: ben\n\
                password: hunter2\nha1_md5: 00112233445566778899aabbccddeeff\n";
    let errors = checked(&[], text).expect_err("invalid");
    assert_eq!(
        errors,
        "centre.yaml:3: Agent anna: password: a list where one value belongs\n\
         centre.yaml:4: Agent anna: ha1_md5: is not such a digest (allowed: 32 hex digits)\n\
         centre.yaml:8: Agent ben: password: stands beside ha1_md5 or ha1_sha256 (allowed: either the password or the digests)"
    );
}

#[test]
fn contacts_are_sip_uris_with_an_address() {
    for good in [
        "sip:a@127.0.0.1:15080",
        "sip:a@[2001:db8::1]:5060;transport=tcp",
        "sip:192.0.2.1",
        "sip:a%20b@192.0.2.1",
        "SIP:a@192.0.2.1;transport=UDP;lr",
    ] {
        assert_eq!(values::check_contact(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "a@b",
        "sip:",
        "sip:@host",
        "sip:a@",
        "sip:a@host:0",
        "sip:a@host:65536",
        "sip:a@host:+1",
        "sip:a@host:",
        "sip:a@300.1.1.1",
        "sip:a@phones.example",
        "sip:a@[::1",
        "sip:a@[::x]",
        "sip:a@[::1]5060",
        "sip:a@h?x=y",
        "sip:a@h;",
        "sips:a@h",
        "sip:a b@h",
        "sip:a@h\r\nVia: x",
        "sip:a@h;transport=tls",
        "<sip:a@h>",
        "sip:a%2@h",
        "sip:a:pw@h",
        "sip:a@-h",
    ] {
        assert!(values::check_contact(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_trunks_network_has_no_bits_beyond_its_prefix() {
    for good in ["0.0.0.0/0", "192.0.2.1", "192.0.2.1/32", "::/0", "2001:db8::/32", "::1/128"] {
        assert_eq!(values::check_network(good).as_deref(), Ok(good));
    }
    for bad in ["", "/", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/+8", "1.2.3.0/8", "2001:db8::1/32", "::/129", "1.2.3"] {
        assert!(values::check_network(bad).is_err(), "{bad}");
    }
}

#[test]
fn anchors_aliases_and_tags_are_refused() {
    let text = "kind: Queue\nname: &n support\nmusic: *n\nanswer: !x on-entry\n";
    refused(
        &[],
        text,
        r#"
centre.yaml:2: an anchor (&name) is not supported (allowed: the value alone)
centre.yaml:3: an alias (*name) is not supported (allowed: the value itself)
centre.yaml:4: a tag (!name) is not supported (allowed: the value alone)
"#,
    );
}

#[test]
fn hostile_text_costs_little_and_is_refused() {
    let started = Instant::now();
    for text in [
        "[".repeat(1_000_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "---\na\n".repeat(200_000),
        "? ".repeat(100_000),
        format!("kind: Queue\nname: {}\n", "x".repeat(1_000_000)),
        format!("kind: Queue\nname: q\n{}", (0..100_000).map(|n| format!("k{n}: 1\n")).collect::<String>()),
        "\u{0}\u{7}\t\t:".to_owned(),
    ] {
        let errors = check(&[], &[file("f", &text)]).expect_err("hostile");
        assert!(errors.len() <= limits::ERRORS_MAX + 1);
        assert!(errors.iter().all(|error| line(error).len() < 1_000), "an error is short");
    }
    let large = "#".repeat(limits::TEXT_BYTES_MAX + 1);
    let errors = check(&[], &[file("f", &large)]).expect_err("too large");
    assert_eq!(line(&errors[0]), "f: is too large (allowed: 16777216 bytes of all files together)");
    assert!(started.elapsed() < Duration::from_secs(20), "took {:?}", started.elapsed());
}

#[test]
fn an_empty_file_changes_nothing() {
    for text in ["", "# only words\n", "---\n---\n", "\u{feff}"] {
        assert_eq!(checked(&centre(), text), Ok(Plan::default()), "{text:?}");
    }
}

#[test]
fn an_empty_field_is_not_a_default() {
    refused(
        &[],
        "kind: Queue\nname: support\nmusic:\nanswer: ~\n",
        r#"
centre.yaml:3: Queue support: music: has no value (allowed: a value, or no such field)
centre.yaml:4: Queue support: answer: has no value (allowed: a value, or no such field)
"#,
    );
}

#[test]
fn two_thousand_agents_are_read_in_well_under_a_second() {
    let agent = |n: u32| {
        format!(
            "---\nkind: Agent\nname: agent{n:04}\ncontact: sip:agent{n:04}@127.0.0.1:15080\nqueues: [{{ name: support }}]\nstart: ready\n"
        )
    };
    let text = format!("{CENTRE}{}", (2..=2001).map(agent).collect::<String>());
    let started = Instant::now();
    let current = checked(&[], &text).expect("valid").upserts;
    let again = checked(&current, &to_yaml(&current)).expect("valid");
    let took = started.elapsed();
    assert_eq!((current.len(), again.upserts.len()), (2004, 0));
    assert!(took < Duration::from_secs(2), "twice, and once printed, took {took:?}");
}

#[test]
fn names_that_look_like_something_else_stay_names() {
    for name in ["null", "true", "1e5", "0x10", "1.5", "-", "--", "---", "+1", ".", "...", "007", "no", "12_3", ".inf"]
    {
        let text = format!(
            "kind: Queue\nname: \"{name}\"\nmusic: \"{name}\"\n---\nkind: Number\nname: \"{name}\"\nroute: {{ queue: \"{name}\" }}\n"
        );
        let current = checked(&[], &text).expect("valid").upserts;
        let yaml = to_yaml(&current);
        assert_eq!(checked(&[], &yaml).expect("valid").upserts, current, "{yaml}");
        // Other readers of YAML must see text, too.
        let read: Vec<std::collections::BTreeMap<String, Typed>> = serde_saphyr::from_multiple(&yaml).expect("valid");
        assert!(matches!(&read[0]["name"], Typed::Text(text) if text == name), "{yaml}");
    }
}

/// What another reader of YAML takes a value for.
#[derive(serde::Deserialize)]
#[serde(untagged)]
#[expect(dead_code, reason = "only the variant matters")]
enum Typed {
    Figure(f64),
    Truth(bool),
    Text(String),
    Fields(std::collections::BTreeMap<String, String>),
}

#[test]
fn no_text_makes_reading_panic() {
    let mut dice = fastrand::Rng::with_seed(2);
    let scraps = [
        "kind: Queue\n",
        "name: q\n",
        "---\n",
        "...\n",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ": ",
        "? ",
        "&a ",
        "*a",
        "!x ",
        "|\n",
        ">",
        "\"",
        "'",
        "#",
        "\n",
        "  ",
        "\t",
        "\u{0}",
        "\u{feff}",
        "é",
        "<<: ",
        "%YAML 1.2\n",
        "password: ",
        "queues: ",
        "addresses: ",
        "hosts: ",
        "- { host: h }\n",
        "login: ",
        "route: ",
        "kind: Agent\n",
        "kind: Trunk\n",
        "kind: Number\n",
        "1",
        "-1",
        "~",
        ",",
    ];
    for _ in 0..20_000 {
        let text: String = (0..dice.usize(0..30)).map(|_| scraps[dice.usize(0..scraps.len())]).collect();
        if let Ok(plan) = check(&[], &[file("f", &text)]) {
            let yaml = to_yaml(&plan.upserts);
            assert_eq!(checked(&[], &yaml).expect("what we print is valid").upserts, plan.upserts, "{text}");
        }
    }
}
