//! PRACK (RFC 3262) and session timers (RFC 4028) with SIPp on the other side.

use std::sync::Arc;

use tests::{
    floor::{Floor, Person},
    ports::Ports,
    sipp::Scenario,
    ua::{Rule, State},
};

#[test]
fn a_caller_who_demands_reliable_ringing_gets_it() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let dora = Person::on(&ports, 1_500, Rule::Ring)?;
    let documents = format!(
        "---\nkind: Number\nname: \"6000\"\nroute: {{ queue: late }}\n---\nkind: Queue\nname: late\nanswer: on-agent\n---\n\
         kind: Agent\nname: dora\ncontact: sip:dora@127.0.0.1:{}\nqueues: [late]\nstart: ready\n",
        dora.port()
    );
    let floor = Floor::open_on(ports, &documents)?;
    let caller = Scenario::of("caller_pracks", floor.sip()).number("6000").start(&floor.ports)?;
    caller.wait_for("CSeq: 2 PRACK")?;
    let ringing = dora.phone.wait_any("dora is rung", |call| call.state == State::Ringing)?.id;
    dora.phone.answer(&ringing);
    caller.finish()?;
    dora.left(&ringing).map(drop)
}

#[test]
fn somebody_who_rings_reliably_is_pracked() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let port = ports.one()?;
    let away = format!(
        "---\nkind: Forwarding\nname: away\nagent: boris\nrules: [{{ when: always, to: {{ sip: \"sip:x@127.0.0.1:{port}\" }} }}]\n"
    );
    let agent = Scenario::agent("agent_rings_reliably", port).start(&ports)?;
    let floor = Floor::open_on(ports, &away)?;
    let call = floor.dial("5001");
    agent.wait_for("ACK")?;
    floor.customer.phone.wait(&call, "the customer talks", |call| call.state == State::Up)?;
    floor.customer.phone.hang_up(&call);
    agent.finish()
}

#[test]
fn a_session_is_agreed_refreshed_by_both_sides_and_not_too_short() -> anyhow::Result<()> {
    let floor = Floor::open("")?;
    Scenario::of("caller_has_sessions", floor.sip()).run(&floor.ports)
}
