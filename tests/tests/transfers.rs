//! Transfers as an agent's phone asks for them (REFER, star codes), hold, and what a console does: consult, conference, take-back.
//! Who hears whom is checked by tones.

use std::sync::Arc;

use anyhow::ensure;
use serde_json::Value;
use tests::{
    floor::{Floor, Person},
    ports::Ports,
    ua::{Call, End, Rule, State},
};

/// RFC 4733 events of a code's keys.
fn keys(code: &str) -> impl Iterator<Item = u8> {
    code.bytes().map(|key| match key {
        b'*' => 10,
        b'#' => 11,
        digit => digit - b'0',
    })
}

/// A floor with a carrier to which numbers with + go.
fn with_carrier(trunk: &str, more: &str) -> anyhow::Result<(Floor, Person)> {
    let ports = Arc::new(Ports::take()?);
    let carrier = Person::on(&ports, 1_300, Rule::Answer)?;
    let documents = format!(
        "---\nkind: Trunk\nname: carrier\naddresses: [127.0.0.1/32]\nprefixes: [\"+\"]\n\
         hosts: [{{ host: 127.0.0.1, port: {} }}]\n{trunk}{more}",
        carrier.port()
    );
    Ok((Floor::open_on(ports, &documents)?, carrier))
}

/// 202, NOTIFY 100, NOTIFY 200, BYE: what the phone that asked must see (RFC 3515).
fn referred(person: &Person, call: &str) -> anyhow::Result<()> {
    let seen = person.phone.wait(call, "the REFER is followed and the phone let go", |call| {
        call.state == State::Ended(End::ByThem) && call.told.len() == 2
    })?;
    ensure!(seen.answers.iter().any(|(method, status)| method == "REFER" && *status == 202), "{seen:#?}");
    ensure!(seen.told[0].starts_with("SIP/2.0 100") && seen.told[1].starts_with("SIP/2.0 200"), "{:?}", seen.told);
    ensure!(seen.asked.last().is_some_and(|last| last == "BYE"), "{:?}", seen.asked);
    Ok(())
}

fn field<'a>(call: &'a Call, name: &str) -> Vec<&'a str> {
    let lines = call.text.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
}

fn ends_with(records: &[Value], kind: &str, result: &str) -> bool {
    records.last().is_some_and(|record| record["kind"] == kind && record["result"] == result)
}

#[test]
fn refer_joins_the_customer_to_another_agent_a_queue_and_a_number_outside() -> anyhow::Result<()> {
    let (floor, carrier) = with_carrier("", "")?;
    let host = floor.sip();
    for (to, taker) in [
        (format!("sip:5001@{host}"), &floor.boris),
        (format!("sip:boris@{host}"), &floor.boris),
        (format!("sip:5002@{host}"), &floor.clara),
        (format!("sip:+493012345@{host}"), &carrier),
        ("tel:+493012345".to_owned(), &carrier),
        (format!("sip:somebody@{}", carrier.phone.address), &carrier),
    ] {
        let (call, hers) = floor.talk()?;
        let before = taker.phone.calls().len();
        floor.anna.phone.refer(&hers, &to);
        let theirs = taker.taken(before)?.id;
        referred(&floor.anna, &hers)?;
        floor.joined(&call, taker, &theirs)?;
        floor.customer.hears(&[taker], &[&floor.anna])?;
        floor.goodbye(&call, taker, &theirs)?;
    }
    Ok(())
}

#[test]
fn a_transfer_that_fails_brings_the_customer_back_to_the_agent() -> anyhow::Result<()> {
    let (floor, carrier) = with_carrier("", "")?;
    carrier.phone.rule(Rule::Refuse(486));
    let (call, hers) = floor.talk()?;
    let id = floor.call_id()?;
    let before = floor.anna.phone.calls().len();
    floor.anna.phone.refer(&hers, &format!("sip:+493012345@{}", floor.sip()));
    referred(&floor.anna, &hers)?;
    let again = floor.anna.taken(before)?.id;
    floor.joined(&call, &floor.anna, &again)?;
    floor.transfers(&id, |all| ends_with(all, "blind", "busy"))?;
    floor.goodbye(&call, &floor.anna, &again)
}

#[test]
fn an_attended_transfer_carries_replaces_to_the_target() -> anyhow::Result<()> {
    let (floor, carrier) = with_carrier("", "")?;
    let host = floor.sip();
    for (to, taker) in [
        (format!("sip:5001@{host}"), &floor.boris),
        (format!("sip:boris@{host}"), &floor.boris),
        (format!("sip:somebody@{}", carrier.phone.address), &carrier),
    ] {
        let (call, hers) = floor.talk()?;
        let before = taker.phone.calls().len();
        floor.anna.phone.refer(&hers, &format!("{to}?Replaces=abc%40there%3Bto-tag%3D1%3Bfrom-tag%3D2"));
        let theirs = taker.taken(before)?;
        ensure!(field(&theirs, "Replaces") == ["abc@there;to-tag=1;from-tag=2"], "{}", theirs.text);
        referred(&floor.anna, &hers)?;
        floor.joined(&call, taker, &theirs.id)?;
        floor.goodbye(&call, taker, &theirs.id)?;
    }
    Ok(())
}

#[test]
fn a_refer_that_nobody_can_follow_is_refused_and_the_talk_goes_on() -> anyhow::Result<()> {
    let floor = Floor::open("")?;
    let (call, hers) = floor.talk()?;
    for to in ["mailto:x@example.net", "sip:5001@127.0.0.1;method=BYE"] {
        let before = floor.anna.phone.look(&hers).map_or(0, |call| call.answers.len());
        floor.anna.phone.refer(&hers, to);
        floor.anna.phone.wait(&hers, "a refusal", |call| {
            call.answers.len() > before && call.answer_to("REFER").is_some_and(|status| status >= 400)
        })?;
    }
    // The customer is no agent.
    floor.customer.phone.refer(&call, &format!("sip:5001@{}", floor.sip()));
    floor.customer.phone.wait(&call, "a refusal", |call| call.answer_to("REFER") == Some(603))?;
    floor.joined(&call, &floor.anna, &hers)?;
    floor.goodbye(&call, &floor.anna, &hers)
}

#[test]
fn star_codes_transfer_and_consult_by_rtp_events_and_by_info() -> anyhow::Result<()> {
    let floor = Floor::open("")?;
    for by_info in [false, true] {
        let (call, hers) = floor.talk()?;
        let before = floor.boris.phone.calls().len();
        press(&floor.anna, &hers, "*85001#", by_info)?;
        let his = floor.boris.taken(before)?.id;
        floor.anna.left(&hers)?;
        floor.joined(&call, &floor.boris, &his)?;
        floor.goodbye(&call, &floor.boris, &his)?;

        let (call, hers) = floor.talk()?;
        let before = floor.boris.phone.calls().len();
        press(&floor.anna, &hers, "*75001#", by_info)?;
        let his = floor.boris.taken(before)?.id;
        floor.boris.speak(&his)?;
        floor.customer.hears_music(&[&floor.anna, &floor.boris])?;
        floor.anna.hears(&[&floor.boris], &[&floor.customer])?;
        floor.boris.hears(&[&floor.anna], &[&floor.customer])?;
        // Who hangs up hands over.
        floor.anna.phone.hang_up(&hers);
        floor.joined(&call, &floor.boris, &his)?;
        floor.goodbye(&call, &floor.boris, &his)?;
    }
    Ok(())
}

fn press(person: &Person, call: &str, code: &str, by_info: bool) -> anyhow::Result<()> {
    for (key, event) in code.chars().zip(keys(code)) {
        if by_info {
            let before = person.phone.look(call).map_or(0, |call| call.infos);
            let body = format!("Signal={key}\r\nDuration=160\r\n");
            person.phone.ask(call, "INFO", &body, "application/dtmf-relay");
            person.phone.wait(call, "INFO is answered", |call| call.infos > before)?;
        } else {
            person.ear.press(event);
            tests::patience::wait_for("a key is said", || person.ear.pressed().then_some(()))?;
        }
    }
    Ok(())
}

#[test]
fn an_agent_holds_by_reinvite_and_the_customer_hears_music() -> anyhow::Result<()> {
    let floor = Floor::open("")?;
    let (call, hers) = floor.talk()?;
    for direction in ["sendonly", "inactive"] {
        floor.anna.phone.offer_again(&hers, direction, floor.anna.ear.address);
        floor.customer.hears_music(&[&floor.anna])?;
        let held = floor.anna.phone.look(&hers).map(|call| call.sdp).unwrap_or_default();
        let answer = if direction == "sendonly" { "a=recvonly" } else { "a=inactive" };
        ensure!(held.contains(answer), "{direction}: {held}");
        floor.anna.phone.offer_again(&hers, "sendrecv", floor.anna.ear.address);
        floor.customer.hears(&[&floor.anna], &[])?;
        floor.anna.hears(&[&floor.customer], &[])?;
    }
    floor.goodbye(&call, &floor.anna, &hers)
}

#[test]
fn consult_conference_swap_take_back_and_complete() -> anyhow::Result<()> {
    let (floor, carrier) = with_carrier("", "")?;
    let (call, hers) = floor.talk()?;
    let id = floor.call_id()?;
    let (customer, anna, boris) = (&floor.customer, &floor.anna, &floor.boris);

    floor.order(&["consult", &id, "anna", "agent:boris"])?;
    let his = boris.taken(0)?.id;
    boris.speak(&his)?;
    anna.hears(&[boris], &[customer])?;
    customer.hears_music(&[anna, boris])?;
    floor.order(&["conference", &id, "anna"])?;
    customer.hears(&[anna, boris], &[])?;
    anna.hears(&[customer, boris], &[anna])?;
    boris.hears(&[customer, anna], &[boris])?;
    floor.order(&["swap", &id, "anna"])?;
    customer.hears(&[anna], &[boris])?;
    boris.hears_music(&[anna, customer])?;
    floor.order(&["take-back", &id, "anna"])?;
    boris.left(&his)?;
    floor.joined(&call, anna, &hers)?;

    floor.order(&["consult", &id, "anna", "number:+493012345"])?;
    let outside = carrier.taken(0)?.id;
    carrier.speak(&outside)?;
    anna.hears(&[&carrier], &[customer])?;
    floor.order(&["complete", &id, "anna"])?;
    anna.left(&hers)?;
    floor.joined(&call, &carrier, &outside)?;
    floor.transfers(&id, |all| ends_with(all, "consult", "done"))?;
    floor.goodbye(&call, &carrier, &outside)
}

#[test]
fn a_blind_transfer_that_rings_is_taken_back() -> anyhow::Result<()> {
    let floor = Floor::open("")?;
    floor.boris.phone.rule(Rule::Ring);
    let (call, hers) = floor.talk()?;
    let id = floor.call_id()?;
    floor.order(&["transfer", &id, "anna", "agent:boris"])?;
    let ringing = floor.boris.phone.wait_any("boris is rung", |call| call.state == State::Ringing)?.id;
    floor.anna.left(&hers)?;
    let before = floor.anna.phone.calls().len();
    floor.order(&["take-back", &id, "anna"])?;
    floor.boris.phone.wait(&ringing, "CANCEL", |call| call.state == State::Ended(End::Cancelled))?;
    let again = floor.anna.taken(before)?.id;
    floor.joined(&call, &floor.anna, &again)?;
    floor.goodbye(&call, &floor.anna, &again)
}

#[test]
fn who_calls_and_who_was_called_before_is_told_as_the_documents_say() -> anyhow::Result<()> {
    let away =
        "---\nkind: Forwarding\nname: away\nagent: boris\nrules: [{ when: always, to: { number: \"+493012345\" } }]\n";
    for (outside, assert) in [("caller", true), ("company", false), ("hidden", true), ("hidden", false)] {
        let centre = format!("---\nkind: Centre\nname: main\nnumber: \"+4930123\"\noutside: {outside}\n");
        let trunk = format!("assert_identity: {assert}\ndiversion: true\ndomain: example.net\n");
        let (floor, carrier) = with_carrier(&trunk, &format!("{away}{centre}"))?;
        let call = floor.dial("5001");
        let seen = carrier.taken(0)?;
        let (from, asserted) = (field(&seen, "From").concat(), field(&seen, "P-Asserted-Identity").concat());
        let shown = match outside {
            "caller" => "sip:1234@example.net",
            "company" => "sip:+4930123@example.net",
            _ => "sip:anonymous@anonymous.invalid",
        };
        ensure!(from.contains(shown), "{outside} {assert}: {}", seen.text);
        ensure!(field(&seen, "Privacy").concat().contains("id") == (outside == "hidden"), "{}", seen.text);
        ensure!(asserted.is_empty() != assert, "{outside} {assert}: {}", seen.text);
        ensure!(
            outside != "hidden" || !from.contains("1234") && assert == asserted.contains("@example.net"),
            "{asserted}"
        );
        ensure!(seen.text.starts_with("INVITE sip:+493012345@example.net SIP/2.0"), "{}", seen.text);
        let history = field(&seen, "History-Info").concat();
        ensure!(history.contains("boris@example.net>;index=1") && history.contains("index=1.1"), "{history}");
        ensure!(field(&seen, "Diversion").concat().contains("boris@example.net"), "{}", seen.text);
        floor.customer.phone.wait(&call, "the customer talks", |call| call.state == State::Up)?;
        floor.goodbye(&call, &carrier, &seen.id)?;
    }
    Ok(())
}
