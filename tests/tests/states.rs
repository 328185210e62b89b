//! A gateway goes in each state that a call can be in, by `kill -9` and by SIGSTOP: who survives, and how long the sound is gone.
//! What is asserted here is the table of docs/reliability.md; run with `--nocapture` it prints what it measured.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tests::{
    cluster::{Cluster, Plan},
    patience::{PATIENCE, wait_long},
    ports::Ports,
    rtp::Rtp,
    tone::{Law, second_of},
    ua::{Call, End, Phone, Rule, State},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Trying,
    Ringing,
    Waiting,
    Talking,
    Reinvite,
    Refer,
    Bye,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Killed,
    Frozen,
}

struct Stage {
    cluster: Cluster,
    caller: Phone,
    agent: Phone,
    caller_ear: Rtp,
    agent_ear: Rtp,
    calls: u32,
}

fn documents(agent_port: u16) -> String {
    format!(
        "kind: Number\nname: \"5000\"\nroute: {{ queue: support }}\n---\n\
         kind: Number\nname: \"6000\"\nroute: {{ queue: late }}\n---\n\
         kind: Queue\nname: support\nanswer: on-entry\nring_seconds: 60\nwrap_up_seconds: 0\n---\n\
         kind: Queue\nname: late\nanswer: on-agent\nring_seconds: 60\nwrap_up_seconds: 0\n---\n\
         kind: Agent\nname: anna\ncontact: sip:anna@127.0.0.1:{agent_port}\nstart: ready\n\
         queues: [{{ name: support }}, {{ name: late }}]\n"
    )
}

impl Stage {
    fn open() -> anyhow::Result<Self> {
        let ports = Arc::new(Ports::take()?);
        let (caller_ear, agent_ear) = (Rtp::on(ports.socket()?)?, Rtp::on(ports.socket()?)?);
        let agent = Phone::on(ports.socket()?, agent_ear.address, &[Law::Mu], Rule::Ring)?;
        let caller = Phone::on(ports.socket()?, caller_ear.address, &[Law::Mu], Rule::Refuse(603))?;
        let plan = Plan { gateways: 2, rtp_ports: 100, ..Plan::of(&documents(agent.address.port())) };
        let cluster = Cluster::start_on(ports, plan)?;
        Ok(Self { cluster, caller, agent, caller_ear, agent_ear, calls: 0 })
    }

    /// A call over the first gateway, at this moment of its life; the caller's and the agent's Call-ID.
    fn call(&mut self, moment: Moment) -> anyhow::Result<(String, Option<String>)> {
        self.calls += 1;
        let number = if moment == Moment::Ringing { "6000" } else { "5000" };
        let rule = if matches!(moment, Moment::Ringing) { Rule::Ring } else { Rule::Answer };
        self.agent.rule(rule);
        if moment == Moment::Waiting {
            let said = self.cluster.cordctl(&["agent", "not-ready", "anna"])?;
            ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        }
        let name = format!("{}", 100 + self.calls);
        let call = self.caller.call(self.cluster.sip(1), number, &name);
        if moment == Moment::Ringing {
            self.caller.wait(&call, "the caller hears ringing", |call| {
                call.answers.iter().any(|(method, status)| method == "INVITE" && *status == 180)
            })?;
        } else {
            self.caller.wait(&call, "the caller is answered", |call| call.state == State::Up)?;
        }
        if moment == Moment::Waiting {
            return Ok((call, None));
        }
        let wanted = if moment == Moment::Ringing { State::Ringing } else { State::Up };
        let rung = self.agent.wait_any("the agent is rung", |call| call.peer == name && call.state == wanted)?;
        Ok((call, Some(rung.id)))
    }

    fn fault(&mut self, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Killed => self.cluster.kill("g1"),
            Fault::Frozen => self.cluster.freeze("g1"),
        }
    }

    /// As it was before the fault: two gateways, nobody calls.
    fn mend(&mut self, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Killed => self.cluster.restart("g1")?,
            Fault::Frozen => self.cluster.thaw("g1")?,
        }
        for phone in [&self.caller, &self.agent] {
            for call in phone.calls().into_iter().filter(|call| call.state == State::Up) {
                phone.hang_up(&call.id);
            }
        }
        self.cluster.ask_until(&["status"], |status| {
            status["gateways_up"] == 2 && status["calls_waiting"] == 0 && status["calls_talking"] == 0
        })?;
        let said = self.cluster.cordctl(&["agent", "ready", "anna"])?;
        ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        self.cluster.wait_for_agent("anna", "ready").map(drop)
    }

    /// Both speak and hear, or the caller hears music; how long that was not so after the fault.
    fn sound_gap(&mut self, call: &str, agent: Option<&String>, fault: Fault) -> anyhow::Result<Duration> {
        self.caller_ear.forget();
        let before = self.caller_ear.heard().len();
        wait_long("the caller hears something", PATIENCE, || (self.caller_ear.heard().len() > before).then_some(()))?;
        let began = Instant::now();
        self.fault(fault)?;
        self.caller.wait_long(call, "the call has moved", PATIENCE * 2, |call| call.target == self.cluster.sip(2))?;
        if let Some(agent) = agent {
            self.agent.wait_long(agent, "the agent's leg has moved", PATIENCE * 2, |call| {
                call.target == self.cluster.sip(2)
            })?;
        }
        self.speak(call, agent)?;
        self.caller_ear.forget();
        wait_long("the caller hears again", PATIENCE, || (self.caller_ear.heard().len() > 3).then_some(()))?;
        let gap = began.elapsed();
        if agent.is_some() {
            self.agent_ear.forget();
            wait_long("the agent hears again", PATIENCE, || (self.agent_ear.heard().len() > 3).then_some(()))?;
        }
        Ok(gap)
    }

    fn speak(&self, call: &str, agent: Option<&String>) -> anyhow::Result<()> {
        let of = |phone: &Phone, id: &str| phone.look(id).and_then(|call| call.media).context("no media");
        self.caller_ear.say(of(&self.caller, call)?, Law::Mu, second_of(500, 8_000.0, Law::Mu));
        if let Some(agent) = agent {
            self.agent_ear.say(of(&self.agent, agent)?, Law::Mu, second_of(900, 8_000.0, Law::Mu));
        }
        Ok(())
    }

    /// Only the gateway knows of the call: no node could be told. What is left is that the caller tries elsewhere.
    fn play_trying(&mut self) -> anyhow::Result<String> {
        self.agent.rule(Rule::Answer);
        for node in ["n1", "n2", "n3"] {
            self.cluster.freeze(node)?;
        }
        let call = self.caller.call(self.cluster.sip(1), "5000", "99");
        self.caller.wait(&call, "the caller hears 100", |call| !call.answers.is_empty())?;
        self.cluster.kill("g1")?;
        for node in ["n1", "n2", "n3"] {
            self.cluster.thaw(node)?;
        }
        self.cluster.leader(1)?;
        let again = self.caller.call(self.cluster.sip(2), "5000", "98");
        self.caller.wait(&again, "the other gateway answers", |call| call.state == State::Up)?;
        let first = self.caller.look(&call).context("the first call")?;
        ensure!(first.state == State::Calling, "nobody knew of this call: {first:#?}");
        self.caller.forget(&call);
        self.mend(Fault::Killed)?;
        Ok("lost; the caller is served when it tries the other gateway".to_owned())
    }

    fn play(&mut self, moment: Moment, fault: Fault) -> anyhow::Result<String> {
        if moment == Moment::Trying {
            return self.play_trying();
        }
        let (call, agent) = self.call(moment)?;
        let here = self.cluster.sip(2);
        let told = match moment {
            Moment::Waiting | Moment::Talking => {
                self.speak(&call, agent.as_ref())?;
                let gap = self.sound_gap(&call, agent.as_ref(), fault)?;
                format!("goes on; the sound was back after {gap:.1?}")
            }
            Moment::Ringing => {
                self.fault(fault)?;
                let first = agent.context("an agent rings")?;
                let again = self.agent.wait_any("the agent is rung by the other gateway", |call| {
                    call.state == State::Ringing && call.id != first
                })?;
                let old = self.agent.look(&first).context("the first ringing")?;
                ensure!(old.state == State::Ended(End::Cancelled), "the phone rings twice: {old:#?}");
                self.agent.answer(&again.id);
                self.caller.wait(&call, "the caller is answered by the other gateway", |call| {
                    call.state == State::Up && call.target == here
                })?;
                self.agent.wait(&again.id, "the agent talks", |call| call.state == State::Up)?;
                "rings again at once, the first ringing is cancelled".to_owned()
            }
            Moment::Trying => unreachable!("played by itself"),
            Moment::Reinvite | Moment::Refer | Moment::Bye => {
                // The gateway hears it no more: what is asked is lost with it.
                self.cluster.freeze("g1")?;
                let agent = agent.context("an agent talks")?;
                match moment {
                    Moment::Reinvite => self.caller.offer_again(&call, "sendonly", self.caller_ear.address),
                    Moment::Refer => self.agent.ask(&agent, "REFER", "", ""),
                    _ => self.caller.hang_up(&call),
                }
                if fault == Fault::Killed {
                    self.fault(fault)?;
                }
                if moment == Moment::Bye {
                    self.agent.wait_long(&agent, "the other side is hung up", PATIENCE * 2, |call| {
                        call.state == State::Ended(End::ByThem)
                    })?;
                    "ends: the other gateway finds the caller gone and hangs the agent up".to_owned()
                } else {
                    for (phone, id) in [(&self.caller, &call), (&self.agent, &agent)] {
                        phone.wait_long(id, "the call has moved", PATIENCE * 2, |call: &Call| {
                            call.state == State::Up && call.target == here
                        })?;
                    }
                    "goes on; what was asked of the dead gateway is lost".to_owned()
                }
            }
        };
        self.mend(fault)?;
        Ok(told)
    }
}

fn all(fault: Fault) -> anyhow::Result<()> {
    let mut stage = Stage::open()?;
    let first = (fault == Fault::Killed).then_some(Moment::Trying);
    let rest = [Moment::Ringing, Moment::Waiting, Moment::Talking, Moment::Reinvite, Moment::Refer, Moment::Bye];
    for moment in first.into_iter().chain(rest) {
        let told = stage.play(moment, fault).with_context(|| format!("{moment:?}, {fault:?}"))?;
        eprintln!("| {moment:?} | {fault:?} | {told} |");
    }
    Ok(())
}

#[test]
fn a_gateway_is_killed_in_every_state_of_a_call() -> anyhow::Result<()> {
    all(Fault::Killed)
}

#[test]
fn a_gateway_is_stopped_in_every_state_of_a_call() -> anyhow::Result<()> {
    all(Fault::Frozen)
}
