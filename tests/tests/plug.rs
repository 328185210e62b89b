//! Pull any plug: 50 agents talk, 300 callers wait, and nodes are killed one by one and all at once. Nobody may lose the
//! place in the line, nobody the call. The order before is compared with the order after, each time.

use std::{net::UdpSocket, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use tests::{
    cluster::{Cluster, Plan},
    patience::{PATIENCE, wait_for, wait_long},
    ports::Ports,
    tone::Law,
    ua::{Call, End, Phone, Rule, State},
};

const AGENTS: usize = 50;
const WAITING: usize = 300;
const QUEUE: &str = "support";

/// Everybody in the story, and who is still expected in the line.
struct Centre {
    cluster: Cluster,
    callers: Phone,
    agents: Phone,
    /// Where everybody's sound goes.
    _sound: UdpSocket,
    /// Callers in the order in which they must be served.
    line: Vec<String>,
    /// Callers whose call was ended on purpose.
    gone: usize,
}

fn documents(agents_port: u16) -> String {
    let mut text = "kind: Number\nname: \"5000\"\nroute: { queue: support }\n---\nkind: Queue\nname: support\n\
                    answer: on-entry\nring_seconds: 15\nwrap_up_seconds: 0\n"
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
    fn open() -> anyhow::Result<Self> {
        let ports = Arc::new(Ports::take()?);
        let sound = ports.socket()?;
        let media = sound.local_addr()?;
        let agents = Phone::on(ports.socket()?, media, &[Law::Mu], Rule::Answer)?;
        let callers = Phone::on(ports.socket()?, media, &[Law::Mu], Rule::Refuse(603))?;
        let plan = Plan { gateways: 2, rtp_ports: 500, ..Plan::of(&documents(agents.address.port())) };
        let cluster = Cluster::start_on(ports, plan)?;
        let mut centre = Self { cluster, callers, agents, _sound: sound, line: Vec::new(), gone: 0 };
        centre.fill()?;
        Ok(centre)
    }

    /// Callers come over both gateways until all agents talk and everybody else waits.
    fn fill(&mut self) -> anyhow::Result<()> {
        for number in 0..AGENTS + WAITING {
            let gateway = self.cluster.sip(u16::try_from(number % 2)? + 1);
            let call = self.callers.call(gateway, "5000", &format!("{}", 1_000 + number));
            // One after the other, as far as a caller can tell.
            self.callers.wait(&call, "the caller is answered", |call| call.state == State::Up)?;
        }
        wait_for("all agents talk", || (self.talking().len() == AGENTS).then_some(()))?;
        self.line =
            wait_for("everybody else waits", || self.cluster.waiting(QUEUE).ok().filter(|line| line.len() == WAITING))?;
        Ok(())
    }

    /// Established calls at the agents.
    fn talking(&self) -> Vec<Call> {
        self.agents.calls().into_iter().filter(|call| call.state == State::Up).collect()
    }

    /// Nobody was refused, hung up or forgotten, and the line is what it was.
    fn check(&self) -> anyhow::Result<()> {
        let ended = self.callers.count(|call| matches!(call.state, State::Ended(_)));
        ensure!(ended == self.gone, "{ended} callers are gone and {} wanted to go", self.gone);
        let hurt: Vec<Call> = self
            .callers
            .calls()
            .into_iter()
            .filter(|call| {
                call.state == State::Ended(End::ByThem) || call.answers.iter().any(|(_, status)| *status >= 300)
            })
            .collect();
        ensure!(hurt.iter().all(|call| self.ended_by_agent(&call.own)), "callers were hurt: {hurt:#?}");
        let mut last = Vec::new();
        let same = wait_long("the line is what it was", PATIENCE * 2, || {
            last = self.cluster.waiting(QUEUE).ok()?;
            (last == self.line).then_some(())
        });
        same.with_context(|| format!("expected {:?}\nthe line is {last:?}", self.line))
    }

    /// An agent hung up on this caller because the story wanted it.
    fn ended_by_agent(&self, caller: &str) -> bool {
        self.agents.count(|call| call.peer == caller && call.state == State::Ended(End::ByUs)) > 0
    }

    /// One established call is hung up; the freed agent must get the next caller in line.
    fn serve_next(&mut self, by_agent: bool) -> anyhow::Result<()> {
        let call = self.hang_up_one(by_agent)?;
        let next = self.line.remove(0);
        self.expect(&next)?;
        ensure!(self.confirmed(&call, by_agent)?, "BYE was not answered with 200");
        Ok(())
    }

    /// Ends the oldest established call; returns the Call-ID at the side that hung up.
    fn hang_up_one(&mut self, by_agent: bool) -> anyhow::Result<String> {
        let oldest = self.talking().into_iter().next().context("somebody talks")?;
        self.gone += 1;
        if by_agent {
            self.agents.hang_up(&oldest.id);
            return Ok(oldest.id);
        }
        let caller = self.callers.wait_any("the caller of this call", |call| call.own == oldest.peer)?;
        self.callers.hang_up(&caller.id);
        Ok(caller.id)
    }

    fn confirmed(&self, call: &str, by_agent: bool) -> anyhow::Result<bool> {
        let side = if by_agent { &self.agents } else { &self.callers };
        Ok(side.wait(call, "BYE is answered", |call| call.answer_to("BYE").is_some())?.answer_to("BYE") == Some(200))
    }

    /// This caller is the next one that rings at an agent.
    fn expect(&self, next: &str) -> anyhow::Result<()> {
        let known = AGENTS + WAITING - self.line.len() - 1;
        let served = wait_long("the freed agent is rung", PATIENCE * 2, || self.agents.calls().into_iter().nth(known));
        let served = served.with_context(|| format!("next is {next}; the line: {:?}", self.cluster.waiting(QUEUE)))?;
        ensure!(served.peer == next, "{} was served and {next} was first in line", served.peer);
        self.agents.wait(&served.id, "the agent talks", |call| call.state == State::Up).map(drop)
    }

    fn restart(&mut self, id: &str) -> anyhow::Result<()> {
        self.cluster.restart(id)?;
        self.cluster.ask_until(&["status"], |status| {
            status["nodes_up"] == 3 && status["shards_led"] == status["shards_total"]
        })?;
        Ok(())
    }
}

#[test]
fn pull_any_plug_and_nobody_loses_their_place() -> anyhow::Result<()> {
    let mut centre = Centre::open()?;
    centre.check()?;

    // The leader of the queue's shard.
    let leader = centre.cluster.leader(1)?;
    centre.cluster.kill(&leader)?;
    centre.serve_next(false)?;
    centre.serve_next(true)?;
    centre.check()?;
    let next = centre.cluster.leader(1)?;
    ensure!(next != leader, "a dead node leads");
    centre.restart(&leader)?;
    centre.check()?;

    // Each node in turn.
    for id in ["n1", "n2", "n3"] {
        centre.cluster.kill(id)?;
        centre.serve_next(false)?;
        centre.check()?;
        centre.restart(id)?;
        centre.serve_next(true)?;
        centre.check()?;
    }

    // A power cut: all three at once. One caller goes while nobody is there to be told.
    for id in ["n1", "n2", "n3"] {
        centre.cluster.kill(id)?;
    }
    let gone = centre.hang_up_one(false)?;
    ensure!(centre.confirmed(&gone, false)?, "a call could not be hung up without nodes");
    for id in ["n1", "n2", "n3"] {
        centre.cluster.restart(id)?;
    }
    centre.cluster.leader(1)?;
    let next = centre.line.remove(0);
    centre.expect(&next)?;
    centre.check()?;
    for turn in 0..10 {
        centre.serve_next(turn % 2 == 0)?;
    }
    centre.check()?;

    // Many at once: the same callers are served, and the rest keeps its order.
    let talking = centre.talking();
    for call in talking.iter().take(20) {
        centre.agents.hang_up(&call.id);
    }
    centre.gone += 20;
    let served: Vec<String> = centre.line.drain(..20).collect();
    let so_far = AGENTS + WAITING - centre.line.len();
    wait_long("twenty more are served", Duration::from_secs(60), || {
        (centre.agents.count(|_| true) == so_far).then_some(())
    })?;
    let mut rung: Vec<String> = centre.agents.calls().into_iter().skip(so_far - 20).map(|call| call.peer).collect();
    rung.sort_by_key(|caller| served.iter().position(|known| known == caller));
    ensure!(rung == served, "served were {rung:?} and not {served:?}");
    centre.check()
}
