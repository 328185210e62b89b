//! One trace per call through gateway, link, commit, apply and back, received by a real OTLP receiver; without an
//! endpoint nothing is sent anywhere.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use tests::{
    cluster::{Cluster, Plan},
    otlp::{Receiver, Seen},
    patience::{PATIENCE, hold_for, wait_long},
    ports::Ports,
    tone::Law,
    ua::{Phone, Rule, State},
};

const CALLER: &str = "0041441234567";

fn documents(agent: u16) -> String {
    format!(
        "kind: Number\nname: \"5000\"\nroute: {{ queue: support }}\n---\nkind: Queue\nname: support\n---\n\
         kind: Agent\nname: anna\ncontact: sip:anna@127.0.0.1:{agent}\nqueues: [{{ name: support }}]\nstart: ready\n"
    )
}

/// One call from beginning to end.
fn one_call(cluster: &Cluster, caller: &Phone, agent: &Phone) -> anyhow::Result<()> {
    let call = caller.call(cluster.sip(1), "5000", CALLER);
    agent.wait_any("the agent talks", |call| call.state == State::Up)?;
    caller.wait(&call, "the caller is answered", |call| call.state == State::Up)?;
    caller.hang_up(&call);
    caller.wait(&call, "BYE is answered", |call| call.answer_to("BYE") == Some(200))?;
    cluster.ask_until(&["call", "list", "--ended"], |list| list.as_array().is_some_and(|list| list.len() == 1))?;
    Ok(())
}

fn phones(ports: &Ports) -> anyhow::Result<(Phone, Phone)> {
    let media = ports.socket()?.local_addr()?;
    let agent = Phone::on(ports.socket()?, media, &[Law::Mu], Rule::Answer)?;
    Ok((Phone::on(ports.socket()?, media, &[Law::Mu], Rule::Refuse(603))?, agent))
}

#[test]
fn one_call_is_one_trace_without_personal_data() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let receiver = Receiver::start(ports.one()?)?;
    let (caller, agent) = phones(&ports)?;
    let plan = Plan { otlp: Some(receiver.endpoint.clone()), ..Plan::of(&documents(agent.address.port())) };
    let mut cluster = Cluster::start_on(ports, plan)?;
    one_call(&cluster, &caller, &agent)?;
    let ended = cluster.ask(&["call", "list", "--ended"])?;
    let id = ended[0]["call"].as_str().context("an id")?.to_owned();

    // The exporters send in batches, the rest when they stop.
    let whole =
        |spans: &[Seen]| ["call", "submit", "commit", "apply"].iter().all(|name| spans.iter().any(|s| s.name == *name));
    let waited = wait_long("spans of gateway and node", PATIENCE, || whole(&receiver.spans()).then_some(()));
    waited.with_context(|| format!("{:#?}", receiver.spans()))?;
    cluster.stop()?;
    let spans = receiver.spans();

    let calls: Vec<&Seen> = spans.iter().filter(|span| span.name == "call").collect();
    ensure!(calls.len() == 1, "one call, {} roots", calls.len());
    let root = calls[0];
    ensure!(root.parent.is_empty() && root.service == "cordboard-gateway" && root.instance == "g1", "{root:#?}");
    ensure!(root.attributes.iter().any(|(_, value)| *value == id), "the root names the call {id}: {root:#?}");
    let traces: BTreeSet<&str> = spans.iter().map(|span| span.trace.as_str()).collect();
    ensure!(traces.len() == 1, "one call, {} traces: {spans:#?}", traces.len());

    let by_id = |id: &str| spans.iter().find(|span| span.span == id);
    for span in spans.iter().filter(|span| !span.parent.is_empty()) {
        let parent = by_id(&span.parent).with_context(|| format!("nobody is the parent of {span:#?}"))?;
        let fits = match span.name.as_str() {
            // Commands follow from the call itself or from an order that was carried out.
            "submit" => parent.service == "cordboard-gateway" || parent.name == "submit",
            "commit" => parent.name == "submit",
            "apply" => ["commit", "submit"].contains(&parent.name.as_str()),
            _ => true,
        };
        ensure!(fits, "{} is a child of {}", span.name, parent.name);
        ensure!(span.from_to.0 <= span.from_to.1, "{} ends before it begins", span.name);
    }
    let nodes = spans.iter().filter(|span| ["commit", "apply"].contains(&span.name.as_str()));
    ensure!(nodes.clone().all(|span| span.service == "cordboard-node"), "commit and apply are a node's");
    ensure!(nodes.count() >= 4, "offer, answer and end are committed: {spans:#?}");

    for span in &spans {
        for (key, value) in &span.attributes {
            let personal = [CALLER, "anna", "127.0.0.1"].iter().any(|secret| value.contains(secret)) || value == "5000";
            ensure!(!personal, "{}: {key} = {value}", span.name);
        }
    }
    Ok(())
}

#[test]
fn without_an_endpoint_nothing_is_traced() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    // The port where collectors listen by custom, when nobody else has it.
    let receiver = Receiver::start(4317).or_else(|_| Receiver::start(ports.one()?))?;
    let (caller, agent) = phones(&ports)?;
    let mut cluster = Cluster::start_on(ports, Plan::of(&documents(agent.address.port())))?;
    one_call(&cluster, &caller, &agent)?;
    let call = agent.wait_any("the agent's call", |_| true)?;
    ensure!(!call.text.to_ascii_lowercase().contains("traceparent"), "{}", call.text);
    cluster.stop()?;
    hold_for("nothing is exported", Duration::from_millis(500), || receiver.spans().is_empty())
}
