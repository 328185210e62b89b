//! A softphone that is not ours (baresip) registers as an agent with its password, takes a call and hangs it up. Both
//! sides hear the other: baresip's own tone at the caller, the caller's in baresip's recording.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tests::{
    cluster::{Cluster, Plan},
    patience::wait_for,
    ports::Ports,
    rtp::Rtp,
    softphone::{Softphone, TONE_HZ},
    tone::{self, Law},
    ua::{End, Phone, Rule, State},
};

const DOCUMENTS: &str = "kind: Number\nname: \"5000\"\nroute: { queue: support }\n---\nkind: Queue\nname: support\n---\n\
                         kind: Agent\nname: erik\npassword: erik-secret\nqueues: [{ name: support }]\n";

#[test]
fn a_softphone_registers_takes_a_call_and_both_sides_hear() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let cluster = Cluster::start_on(ports.clone(), Plan::of(DOCUMENTS))?;
    let mut phone = Softphone::start(&ports, cluster.sip(1), "erik", "erik-secret")?;
    phone.take_calls_of("erik", &cluster)?;

    let sound = Rtp::on(ports.socket()?)?;
    let caller = Phone::on(ports.socket()?, sound.address, &[Law::Mu], Rule::Refuse(603))?;
    let call = caller.call(cluster.sip(1), "5000", "1234");
    phone.wait_for("CALL_INCOMING")?;
    phone.press("accept")?;
    phone.wait_for("CALL_ESTABLISHED")?;
    let up = caller.wait(&call, "the caller is answered", |call| call.state == State::Up)?;
    sound.say(up.media.context("media")?, Law::Mu, tone::second_of(700, 8_000.0, Law::Mu));

    let heard = wait_for("the softphone's tone is heard", || {
        let samples = sound.samples(Law::Mu, 4_000)?;
        let tone = tone::amplitude(&samples, f64::from(TONE_HZ));
        (tone > 1_000.0 && tone::amplitude(&samples, 262.0) < tone / 10.0).then_some(())
    });
    heard.with_context(|| phone.said())?;
    let recorded = wait_for("the softphone hears the caller", || {
        let samples = phone.heard();
        let last = samples.get(samples.len().checked_sub(4_000)?..)?;
        (tone::amplitude(last, 700.0) > 3_000.0 && tone::amplitude(last, 900.0) < 300.0).then_some(())
    });
    recorded.with_context(|| phone.said())?;

    phone.press("hangup")?;
    let ended = caller.wait(&call, "BYE", |call| matches!(call.state, State::Ended(_)))?;
    ensure!(ended.state == State::Ended(End::ByThem), "{:?}", ended.state);
    let list =
        cluster.ask_until(&["call", "list", "--ended"], |list| list.as_array().is_some_and(|list| list.len() == 1))?;
    ensure!(list[0]["agent"] == "erik" && list[0]["outcome"] == "completed", "{list}");
    Ok(())
}

#[test]
fn a_softphone_with_a_wrong_password_is_not_registered() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let cluster = Cluster::start_on(ports.clone(), Plan::of(DOCUMENTS))?;
    let mut phone = Softphone::start(&ports, cluster.sip(1), "erik", "guessed")?;
    // It tries again at each 401, until it is not looked at any more.
    phone.wait_for("403 Forbidden (Cordboard)")?;
    let agent = cluster.ask(&["agent", "show", "erik"])?;
    ensure!(agent["contacts"].as_array().is_some_and(Vec::is_empty), "{agent}");
    Ok(())
}

#[test]
fn a_softphone_talks_on_when_its_gateway_is_killed() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let mut cluster = Cluster::start_on(ports.clone(), Plan { gateways: 2, ..Plan::of(DOCUMENTS) })?;
    let mut phone = Softphone::start(&ports, cluster.sip(1), "erik", "erik-secret")?;
    phone.take_calls_of("erik", &cluster)?;
    let sound = Rtp::on(ports.socket()?)?;
    let caller = Phone::on(ports.socket()?, sound.address, &[Law::Mu], Rule::Refuse(603))?;
    let call = caller.call(cluster.sip(1), "5000", "1234");
    phone.wait_for("CALL_INCOMING")?;
    phone.press("accept")?;
    phone.wait_for("CALL_ESTABLISHED")?;
    caller.wait(&call, "the caller is answered", |call| call.state == State::Up)?;

    cluster.kill("g1")?;
    let here = cluster.sip(2);
    let moved = caller.wait(&call, "the other gateway has the call", |call| call.target == here)?;
    sound.say(moved.media.context("media")?, Law::Mu, tone::second_of(700, 8_000.0, Law::Mu));
    sound.forget();
    let heard = wait_for("the softphone's tone is heard through the other gateway", || {
        let samples = sound.samples(Law::Mu, 4_000)?;
        (tone::amplitude(&samples, f64::from(TONE_HZ)) > 1_000.0).then_some(())
    });
    heard.with_context(|| phone.said())?;
    let recorded = wait_for("the softphone hears the caller through the other gateway", || {
        let samples = phone.heard();
        let last = samples.get(samples.len().checked_sub(4_000)?..)?;
        (tone::amplitude(last, 700.0) > 3_000.0).then_some(())
    });
    recorded.with_context(|| phone.said())?;
    phone.press("hangup")?;
    let ended = caller.wait(&call, "BYE", |call| matches!(call.state, State::Ended(_)))?;
    ensure!(ended.state == State::Ended(End::ByThem), "{:?}", ended.state);
    Ok(())
}
