//! Pull a gateway: callers talk and wait over two gateways, and the gateways are killed, frozen, drained and told to stop. Nobody
//! is hurt, the line stays what it was, nobody rings twice, and every call can be ended through the gateway that is left.

use std::{net::UdpSocket, sync::Arc};

use anyhow::{Context as _, ensure};
use tests::{
    cluster::{Cluster, Plan},
    patience::{PATIENCE, wait_for, wait_long},
    ports::Ports,
    tone::Law,
    ua::{Call, End, Phone, Rule, State},
};

const AGENTS: usize = 12;
const WAITING: usize = 40;
const QUEUE: &str = "support";

struct Centre {
    cluster: Cluster,
    callers: Phone,
    agents: Phone,
    /// Where everybody's sound goes.
    _sound: UdpSocket,
    line: Vec<String>,
}

fn documents(agents_port: u16) -> String {
    let mut text = "kind: Number\nname: \"5000\"\nroute: { queue: support }\n---\nkind: Queue\nname: support\n\
                    answer: on-entry\nring_seconds: 30\nwrap_up_seconds: 0\n"
        .to_owned();
    for agent in 1..=AGENTS {
        text += &format!(
            "---\nkind: Agent\nname: agent{agent:02}\ncontact: sip:agent{agent:02}@127.0.0.1:{agents_port}\n\
             queues: [{{ name: support }}]\nstart: ready\n"
        );
    }
    text
}

impl Centre {
    /// All agents talk, everybody else waits; every other call came over the second gateway.
    fn open(gateways: u16) -> anyhow::Result<Self> {
        let ports = Arc::new(Ports::take()?);
        let sound = ports.socket()?;
        let media = sound.local_addr()?;
        let agents = Phone::on(ports.socket()?, media, &[Law::Mu], Rule::Answer)?;
        let callers = Phone::on(ports.socket()?, media, &[Law::Mu], Rule::Refuse(603))?;
        let plan = Plan { gateways, rtp_ports: 300, ..Plan::of(&documents(agents.address.port())) };
        let cluster = Cluster::start_on(ports, plan)?;
        let mut centre = Self { cluster, callers, agents, _sound: sound, line: Vec::new() };
        for number in 0..AGENTS + WAITING {
            let gateway = centre.cluster.sip(u16::try_from(number % usize::from(gateways))? + 1);
            let call = centre.callers.call(gateway, "5000", &format!("{}", 1_000 + number));
            centre.callers.wait(&call, "the caller is answered", |call| call.state == State::Up)?;
        }
        wait_for("all agents talk", || (centre.talking() == AGENTS).then_some(()))?;
        centre.line = wait_for("everybody else waits", || {
            centre.cluster.waiting(QUEUE).ok().filter(|line| line.len() == WAITING)
        })?;
        Ok(centre)
    }

    fn talking(&self) -> usize {
        self.agents.count(|call| call.state == State::Up)
    }

    /// Everybody is still there, in the same order, and every dialog is at one of these gateways.
    fn check(&self, at: &[u16]) -> anyhow::Result<()> {
        let places: Vec<_> = at.iter().map(|number| self.cluster.sip(*number)).collect();
        let astray = |call: &Call| call.state == State::Up && !places.contains(&call.target);
        let moved = wait_long("all calls have moved", PATIENCE * 2, || {
            (self.callers.count(astray) + self.agents.count(astray) == 0).then_some(())
        });
        moved.with_context(|| {
            let hurt = |phone: &Phone| phone.calls().into_iter().filter(astray).collect::<Vec<_>>();
            format!("astray are {:#?} and {:#?}", hurt(&self.callers), hurt(&self.agents))
        })?;
        let hurt = |call: &Call| call.state == State::Ended(End::ByThem);
        let hung_up: Vec<Call> = self.callers.calls().into_iter().filter(hurt).collect();
        ensure!(hung_up.is_empty(), "callers were hung up: {hung_up:#?}");
        let mut last = Vec::new();
        let same = wait_long("the line is what it was", PATIENCE * 2, || {
            last = self.cluster.waiting(QUEUE).ok()?;
            (last == self.line).then_some(())
        });
        same.with_context(|| format!("expected {:?}\nthe line is {last:?}", self.line))
    }

    /// An agent or a caller hangs up; the freed agent gets the first in line, and only one agent rings for it.
    fn serve_next(&mut self, by_agent: bool) -> anyhow::Result<()> {
        let known = self.agents.count(|_| true);
        let talking = self.agents.calls().into_iter().find(|call| call.state == State::Up).context("nobody talks")?;
        let caller = self.callers.wait_any("the caller of this call", |call| call.own == talking.peer)?;
        let (asks, hears) = if by_agent {
            self.agents.hang_up(&talking.id);
            ((&self.agents, &talking.id), (&self.callers, &caller.id))
        } else {
            self.callers.hang_up(&caller.id);
            ((&self.callers, &caller.id), (&self.agents, &talking.id))
        };
        asks.0.wait(asks.1, "BYE is answered with 200", |call| call.answer_to("BYE") == Some(200))?;
        hears.0.wait(hears.1, "the other side is hung up", |call| call.state == State::Ended(End::ByThem))?;
        if by_agent {
            self.callers.forget(&caller.id);
        }
        let next = self.line.remove(0);
        let served = wait_long("the freed agent is rung", PATIENCE * 2, || self.agents.calls().into_iter().nth(known))?;
        ensure!(served.peer == next, "{} was served and {next} was first in line", served.peer);
        self.agents.wait(&served.id, "the agent talks", |call| call.state == State::Up)?;
        let rung = self.agents.count(|call| call.peer == next);
        ensure!(rung == 1, "{rung} agents were rung for one caller");
        Ok(())
    }

    fn gateways_up(&self, wanted: u64) -> anyhow::Result<()> {
        self.cluster.ask_until(&["status"], |status| status["gateways_up"] == wanted).map(drop)
    }
}

#[test]
fn a_gateway_that_is_killed_takes_no_call_with_it() -> anyhow::Result<()> {
    let mut centre = Centre::open(2)?;
    centre.cluster.kill("g1")?;
    centre.check(&[2])?;
    centre.serve_next(true)?;
    centre.serve_next(false)?;
    // It comes back, and the other one goes.
    centre.cluster.restart("g1")?;
    centre.gateways_up(2)?;
    centre.cluster.kill("g2")?;
    centre.check(&[1])?;
    centre.serve_next(true)?;
    centre.serve_next(false)?;
    centre.check(&[1])
}

#[test]
fn the_only_gateway_is_killed_and_goes_on_when_it_is_back() -> anyhow::Result<()> {
    let mut centre = Centre::open(1)?;
    centre.cluster.kill("g1")?;
    centre.gateways_up(0)?;
    centre.cluster.restart("g1")?;
    centre.callers.wait_reinvited(AGENTS + WAITING)?;
    centre.check(&[1])?;
    centre.serve_next(true)?;
    centre.serve_next(false)
}

#[test]
fn a_gateway_that_sleeps_loses_its_calls_and_touches_nothing_when_it_wakes() -> anyhow::Result<()> {
    let mut centre = Centre::open(2)?;
    centre.cluster.freeze("g1")?;
    centre.check(&[2])?;
    centre.serve_next(true)?;
    centre.cluster.thaw("g1")?;
    centre.gateways_up(2)?;
    centre.serve_next(false)?;
    centre.check(&[1, 2])?;
    let taken = centre.cluster.metric("g1", "cordboard_gateway_legs_yielded_total")?;
    ensure!(taken > 0.0, "it woke up with legs that are another gateway's");
    Ok(())
}

#[test]
fn a_drained_gateway_hands_its_calls_over_and_takes_no_more() -> anyhow::Result<()> {
    let mut centre = Centre::open(2)?;
    let said = centre.cluster.cordctl(&["gateway", "drain", "g1", "--deadline", "20s"])?;
    ensure!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    centre.check(&[2])?;
    wait_for("g1 knows that it is drained", || (!centre.cluster.is_ready("g1").ok()?).then_some(()))?;
    let late = centre.callers.call(centre.cluster.sip(1), "5000", "1999");
    centre.callers.wait(&late, "a drained gateway sends callers elsewhere", |call| {
        call.state == State::Ended(End::Refused(503))
    })?;
    centre.serve_next(true)?;
    centre.serve_next(false)?;
    // And the other one is told to stop: the calls come back.
    let said = centre.cluster.cordctl(&["gateway", "drain", "g1", "--undo"])?;
    ensure!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    wait_for("g1 serves again", || centre.cluster.is_ready("g1").ok()?.then_some(()))?;
    centre.cluster.terminate("g2")?;
    centre.check(&[1])?;
    centre.serve_next(true)?;
    centre.serve_next(false)
}

#[test]
fn a_gateway_and_the_leader_die_in_the_same_moment() -> anyhow::Result<()> {
    let mut centre = Centre::open(2)?;
    let leader = centre.cluster.leader(1)?;
    centre.cluster.kill(&leader)?;
    centre.cluster.kill("g2")?;
    centre.check(&[1])?;
    centre.serve_next(true)?;
    centre.serve_next(false)?;
    Ok(())
}
