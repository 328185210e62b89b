//! Forwarding of calls for an agent: always, busy, no answer, unreachable; one after another and all at once; 302 from a phone;
//! what goes in a circle ends.

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use tests::{
    floor::{Floor, Person},
    patience::hold_for,
    ports::Ports,
    ua::{End, Place, Rule, State},
};

/// Ports of one test, somebody outside who is also the carrier for numbers with +, and the documents for that.
struct Outside {
    ports: Arc<Ports>,
    carrier: Person,
    trunk: String,
}

impl Outside {
    fn new() -> anyhow::Result<Self> {
        let ports = Arc::new(Ports::take()?);
        let carrier = Person::on(&ports, 1_300, Rule::Answer)?;
        let trunk = format!(
            "---\nkind: Trunk\nname: carrier\naddresses: [127.0.0.1/32]\nprefixes: [\"+\"]\n\
             hosts: [{{ host: 127.0.0.1, port: {} }}]\n",
            carrier.port()
        );
        Ok(Self { ports, carrier, trunk })
    }

    /// Boris has these rules.
    fn open(&self, rules: &str) -> anyhow::Result<Floor> {
        let rules = format!("---\nkind: Forwarding\nname: away\nagent: boris\nrules:\n{rules}");
        Floor::open_on(self.ports.clone(), &(self.trunk.clone() + &rules))
    }
}

/// A call to boris ends up here and both hear each other.
fn reaches(floor: &Floor, taker: &Person) -> anyhow::Result<()> {
    let before = taker.phone.calls().len();
    let call = floor.dial("5001");
    let theirs = taker.taken(before)?.id;
    floor.joined(&call, taker, &theirs)?;
    floor.goodbye(&call, taker, &theirs)
}

#[test]
fn always_to_an_agent_a_number_outside_and_a_sip_address() -> anyhow::Result<()> {
    for to in 0..3 {
        let outside = Outside::new()?;
        let target = match to {
            0 => "{ agent: clara }".to_owned(),
            1 => "{ number: \"+493012345\" }".to_owned(),
            _ => format!("{{ sip: \"sip:desk@{}\" }}", outside.carrier.phone.address),
        };
        let floor = outside.open(&format!("  - {{ when: always, to: {target} }}\n"))?;
        let taker = if to == 0 { &floor.clara } else { &outside.carrier };
        reaches(&floor, taker)?;
        ensure!(floor.boris.phone.calls().is_empty(), "boris is not rung");
        let own = taker.phone.calls()[0].own.clone();
        ensure!(own == ["clara", "+493012345", "desk"][to], "{own}");
    }
    Ok(())
}

#[test]
fn busy_unreachable_and_no_answer_each_have_their_own_way() -> anyhow::Result<()> {
    let outside = Outside::new()?;
    let floor = outside.open(
        "  - { when: busy, to: { agent: anna } }\n  - { when: unreachable, to: { agent: clara } }\n\
         \x20 - { when: no-answer, after: 2s, to: { number: \"+493012345\" } }\n",
    )?;
    // At home: he takes it himself.
    reaches(&floor, &floor.boris)?;
    // He lets it ring.
    floor.boris.phone.rule(Rule::Ring);
    reaches(&floor, &outside.carrier)?;
    let rang = floor.boris.phone.calls().pop().map(|call| call.state);
    ensure!(rang == Some(State::Ended(End::Cancelled)), "{rang:?}");
    floor.cluster.ask(&["agent", "ready", "boris"])?;
    floor.cluster.wait_for_agent("boris", "ready")?;
    // He talks.
    floor.boris.phone.rule(Rule::Answer);
    let before = floor.boris.phone.calls().len();
    let first = floor.dial("5001");
    let his = floor.boris.taken(before)?.id;
    floor.cluster.wait_for_agent("boris", "talking")?;
    reaches(&floor, &floor.anna)?;
    floor.customer.phone.hang_up(&first);
    floor.boris.left(&his)?;
    // He has gone home.
    floor.cluster.ask(&["agent", "logout", "boris"])?;
    floor.cluster.wait_for_agent("boris", "logged-out")?;
    reaches(&floor, &floor.clara)
}

#[test]
fn targets_are_tried_one_after_another() -> anyhow::Result<()> {
    let outside = Outside::new()?;
    let floor = outside.open(
        "  - when: always\n    to: [{ agent: anna, for: 2s }, { number: \"+4930111\", for: 2s }, { agent: clara, for: 20s }]\n",
    )?;
    floor.anna.phone.rule(Rule::Ring);
    outside.carrier.phone.rule(Rule::Refuse(486));
    reaches(&floor, &floor.clara)?;
    let rang = floor.anna.phone.calls();
    ensure!(rang.len() == 1 && rang[0].state == State::Ended(End::Cancelled), "{rang:#?}");
    let refused = outside.carrier.phone.calls();
    ensure!(refused.len() == 1 && refused[0].order == 1, "{refused:#?}");
    Ok(())
}

#[test]
fn a_group_rings_at_once_and_stops_when_one_has_answered() -> anyhow::Result<()> {
    let outside = Outside::new()?;
    let floor = outside.open(
        "  - when: always\n    group: true\n    to: [{ agent: anna }, { agent: clara }, { number: \"+4930111\" }]\n",
    )?;
    for person in [&floor.anna, &floor.clara, &outside.carrier] {
        person.phone.rule(Rule::Ring);
    }
    let call = floor.dial("5001");
    let mut ringing = Vec::new();
    for person in [&floor.anna, &floor.clara, &outside.carrier] {
        ringing.push(person.phone.wait_any("it rings here", |call| call.state == State::Ringing)?.id);
    }
    floor.clara.phone.answer(&ringing[1]);
    for (person, id) in [(&floor.anna, &ringing[0]), (&outside.carrier, &ringing[2])] {
        person.phone.wait(id, "CANCEL", |call| call.state == State::Ended(End::Cancelled))?;
    }
    floor.joined(&call, &floor.clara, &ringing[1])?;
    floor.goodbye(&call, &floor.clara, &ringing[1])
}

#[test]
fn a_phone_that_says_302_is_followed() -> anyhow::Result<()> {
    let outside = Outside::new()?;
    let floor = outside.open("  - { when: busy, to: { agent: anna } }\n")?;
    for (place, taker) in [
        (Place::User("5002", floor.sip()), &floor.clara),
        (Place::User("clara", floor.sip()), &floor.clara),
        (Place::User("desk", outside.carrier.phone.address), &outside.carrier),
        (Place::Number("+493012345"), &outside.carrier),
    ] {
        floor.boris.phone.rule(Rule::Moved(place));
        reaches(&floor, taker)?;
        let sent = floor.boris.phone.calls().pop().map(|call| call.state);
        ensure!(sent == Some(State::Ended(End::Refused(302))), "{place:?}: {sent:?}");
        // A refusal leaves him alone for a moment.
        floor.cluster.ask(&["agent", "ready", "boris"])?;
        floor.cluster.wait_for_agent("boris", "ready")?;
    }
    Ok(())
}

#[test]
fn phones_that_send_each_other_a_call_in_a_circle_do_not_do_so_for_ever() -> anyhow::Result<()> {
    let outside = Outside::new()?;
    let floor = outside.open("  - { when: busy, to: { agent: anna } }\n")?;
    floor.boris.phone.rule(Rule::Moved(Place::User("clara", floor.sip())));
    floor.clara.phone.rule(Rule::Moved(Place::User("boris", floor.sip())));
    let call = floor.dial("5001");
    floor.clara.phone.wait_any("the circle goes round", |call| call.state == State::Ended(End::Refused(302)))?;
    floor.customer.phone.wait(&call, "the customer waits", |call| call.state == State::Up)?;
    let rung = || floor.boris.phone.calls().len() + floor.clara.phone.calls().len();
    // Five hops at most, and one offer by the queue in which the call waits then, each second at most.
    hold_for("nobody's phone is driven mad", Duration::from_secs(4), || rung() <= 5 + 8)?;
    // Who takes calls again is rung, and the customer was not lost.
    floor.boris.phone.rule(Rule::Answer);
    let his = floor.boris.taken(0)?.id;
    floor.joined(&call, &floor.boris, &his)?;
    floor.goodbye(&call, &floor.boris, &his)
}

#[test]
fn a_circle_of_documents_is_refused_and_a_call_to_ourselves_is_a_loop() -> anyhow::Result<()> {
    let outside = Outside::new()?;
    let floor = outside.open("  - { when: no-answer, after: 2s, to: { agent: anna } }\n")?;
    let file = floor.cluster.dir().join("circle.yaml");
    let circle = "kind: Forwarding\nname: a\nagent: clara\nrules: [{ when: always, to: { agent: boris } }]\n---\n\
                  kind: Forwarding\nname: away\nagent: boris\nrules: [{ when: always, to: { agent: clara } }]\n";
    std::fs::write(&file, circle)?;
    let said = floor.cluster.cordctl(&["apply", "-f", &file.display().to_string()])?;
    ensure!(said.status.code() == Some(1), "{}", String::from_utf8_lossy(&said.stderr));
    ensure!(String::from_utf8_lossy(&said.stderr).contains("circle"), "{}", String::from_utf8_lossy(&said.stderr));
    // A SIP address that is ours: what comes back is 482, and the call waits in the queue where it was.
    let ours = format!(
        "kind: Forwarding\nname: away\nagent: boris\nrules: [{{ when: always, to: {{ sip: \"sip:5001@{}\" }} }}]\n",
        floor.sip()
    );
    std::fs::write(&file, ours)?;
    let said = floor.cluster.cordctl(&["apply", "-f", &file.display().to_string()])?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let call = floor.dial("5001");
    floor.customer.phone.wait(&call, "the customer waits", |call| call.state == State::Up)?;
    floor
        .cluster
        .ask_until(&["queue", "show", "back"], |queue| queue["calls_waiting"] == 1 || queue["calls_talking"] == 1)?;
    ensure!(
        floor.cluster.ask(&["call", "list"])?.as_array().map(Vec::len) == Some(1),
        "one call, not one inside of another"
    );
    floor.customer.phone.hang_up(&call);
    floor.cluster.ask_until(&["call", "list"], |list| list.as_array().is_some_and(Vec::is_empty))?;
    Ok(())
}
