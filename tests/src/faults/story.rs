//! One run of the suite: a site under load from its first fault to its verdict. The scenarios break things; this keeps
//! the load going, collects what everybody saw, and hands it to the checker.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{
    history::{Seen, judge},
    load::{Fate, Sipp},
    net::Net,
    registers::{Clients, REGISTERS},
    site::{Binaries, Site},
};
use crate::{
    patience::{PATIENCE, wait_long},
    tone::Law,
    ua::{Phone, Rule, State},
};

/// Agents of the busy queue: fewer than an outage leaves callers, so that there is a line whose order can be wrong.
const AGENTS: u16 = 8;
/// Ports on the outside.
const AGENTS_PORT: u16 = 6_000;
const CALLERS_PORT: u16 = 6_100;
/// How long SIPp's callers talk.
const TALK: Duration = Duration::from_millis(400);
/// After a fault, so many calls must go well over each gateway before the next one.
const FLOW: u64 = 12;

/// How much is going on.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// SIPp's calls a second over each gateway.
    pub rate: u32,
    /// Callers who wait in line from the beginning to the end.
    pub waiting: usize,
}

impl Default for Load {
    fn default() -> Self {
        Self { rate: 5, waiting: 20 }
    }
}

/// What a scenario gives back: that the fault really happened, in words and figures.
#[derive(Clone, Debug)]
pub struct Proof(pub String);

/// A site under load. Fields end in their order: those who call before those who answer.
#[derive(Debug)]
pub struct Story {
    callers: BTreeMap<String, Sipp>,
    agents: Sipp,
    clients: Option<Clients>,
    line: Phone,
    line_agent: Phone,
    /// Where everybody's sound goes.
    _sound: UdpSocket,
    /// Everything that is broken.
    pub site: Site,
    load: Load,
    /// Callers in line in the order in which they came.
    waiting: Vec<String>,
    /// Of SIPp runs that are over.
    fates: BTreeMap<String, Fate>,
    ports: u16,
    began: Instant,
    proofs: Vec<(String, Proof)>,
}

impl Story {
    /// Three nodes, two gateways, everybody at work.
    ///
    /// # Errors
    /// Something does not start, or calls do not go well before anything was broken.
    pub fn open(binaries: Binaries, load: Load) -> anyhow::Result<Self> {
        let site = Site::start(binaries, 3, 2, documents)?;
        let outside = site.net.outside();
        let agents = Sipp::agents(site.dir(), "agents", (outside, AGENTS_PORT))?;
        let at = |port| SocketAddr::from((outside, port));
        let sound = UdpSocket::bind(at(AGENTS_PORT + 3))?;
        let phone = |port, rule| Phone::on(UdpSocket::bind(at(port))?, at(AGENTS_PORT + 3), &[Law::Mu], rule);
        let line_agent = phone(AGENTS_PORT + 1, Rule::Answer)?;
        let line = phone(AGENTS_PORT + 2, Rule::Refuse(603))?;
        let clients = Some(Clients::start(&site.endpoints(), &site.papers)?);
        let mut story = Self {
            callers: BTreeMap::new(),
            agents,
            clients,
            line,
            line_agent,
            _sound: sound,
            site,
            load,
            waiting: Vec::new(),
            fates: BTreeMap::new(),
            ports: CALLERS_PORT,
            began: Instant::now(),
            proofs: Vec::new(),
        };
        let begun = story.begin();
        begun.with_context(|| story.site.said())?;
        Ok(story)
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        for number in 0..self.load.waiting {
            let gateway = if number % 2 == 0 { "g1" } else { "g2" };
            let (caller, sip) = (format!("line-{number:03}"), self.site.machine(gateway)?.sip());
            let call = self.line.call(sip, "6000", &caller);
            self.line.wait(&call, "the caller in line is answered", |call| call.state == State::Up)?;
            self.waiting.push(caller);
        }
        self.check_line()?;
        for gateway in ["g1", "g2"] {
            self.loud(gateway)?;
        }
        self.flows()
    }

    /// SIPp's callers call over this gateway from now on.
    ///
    /// # Errors
    /// SIPp cannot be started.
    pub fn loud(&mut self, gateway: &str) -> anyhow::Result<()> {
        self.ports += 1;
        let (name, to) = (format!("{gateway}p{}", self.ports), self.site.machine(gateway)?.sip());
        let from = (self.site.net.outside(), self.ports);
        let sipp = Sipp::callers(self.site.dir(), &name, from, to, "5000", self.load.rate, TALK)?;
        self.callers.insert(gateway.to_owned(), sipp);
        Ok(())
    }

    /// Nobody new calls over this gateway; those who do talk to their end.
    ///
    /// # Errors
    /// Some do not end.
    pub fn quiet(&mut self, gateway: &str) -> anyhow::Result<()> {
        let mut sipp = self.callers.remove(gateway).with_context(|| format!("nobody calls over {gateway}"))?;
        let finished = sipp.finish();
        self.fates.extend(sipp.fates());
        finished
    }

    /// Calls go well over every gateway that is called over, from now on.
    ///
    /// # Errors
    /// They do not.
    pub fn flows(&mut self) -> anyhow::Result<()> {
        self.flow(FLOW)
    }

    /// The same with so many calls.
    ///
    /// # Errors
    /// They do not.
    pub fn flow(&mut self, calls: u64) -> anyhow::Result<()> {
        let goals: Vec<(&Sipp, u64)> = self.callers.values().map(|sipp| (sipp, sipp.good() + calls)).collect();
        goals.into_iter().try_for_each(|(sipp, goal)| sipp.flows(goal))
    }

    /// One fault: breaks something, proves it, mends it; then all must be whole and calls go well.
    ///
    /// # Errors
    /// The fault could not be made, or something does not come back.
    pub fn play(
        &mut self,
        name: &str,
        scenario: impl FnOnce(&mut Self) -> anyhow::Result<Proof>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        let played = scenario(self).and_then(|proof| {
            self.site.whole()?;
            self.flows()?;
            self.check_line()?;
            Ok(proof)
        });
        let proof = match played {
            Ok(proof) => proof,
            Err(error) => {
                self.site.keep();
                return Err(error.context(format!(
                    "{name}; the folder stays: {}{}",
                    self.site.dir().display(),
                    self.site.said()
                )));
            }
        };
        self.say(&format!("{name}: {} ({:.1} s)", proof.0, began.elapsed().as_secs_f64()));
        self.proofs.push((name.to_owned(), proof));
        Ok(())
    }

    /// Says a line to whoever runs the suite.
    pub fn say(&self, line: &str) {
        let _ = writeln!(std::io::stderr(), "{:7.1} s  {line}", self.began.elapsed().as_secs_f64());
    }

    /// Nobody has left the line, nobody has lost the place.
    ///
    /// # Errors
    /// Somebody has.
    pub fn check_line(&self) -> anyhow::Result<()> {
        let up = self.line.count(|call| call.state == State::Up);
        ensure!(up == self.waiting.len(), "{up} of {} callers in line are still on the phone", self.waiting.len());
        let mut last = Vec::new();
        wait_long("the line is what it was", PATIENCE, || {
            let shown = self.site.ask(&["queue", "show", "line"]).ok()?;
            let callers = shown["waiting"].as_array()?.iter().filter_map(|call| call["caller"].as_str());
            last = callers.map(ToOwned::to_owned).collect();
            (last == self.waiting).then_some(())
        })
        .with_context(|| format!("it was {:?}\nit is {last:?}", self.waiting))
    }

    /// Ends the load, serves the line, and judges everything that was seen.
    ///
    /// # Errors
    /// An invariant does not hold: which, and who was hurt.
    pub fn close(mut self) -> anyhow::Result<Vec<(String, Proof)>> {
        let judged = self.end();
        if judged.is_err() {
            self.site.keep();
        }
        judged.with_context(|| format!("the folder stays: {}{}", self.site.dir().display(), self.site.said()))?;
        Ok(self.proofs)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        for gateway in self.callers.keys().cloned().collect::<Vec<_>>() {
            self.quiet(&gateway)?;
        }
        let operations = self.clients.take().map(Clients::finish).unwrap_or_default();
        self.serve_line()?;
        self.site.whole()?;
        let nodes = self.site.nodes();
        let mut records = BTreeMap::new();
        wait_long("all nodes have written the same down", PATIENCE, || {
            for id in &nodes {
                records.insert(id.clone(), self.site.records_of(id).ok()?);
            }
            let lengths: BTreeSet<usize> = records.values().map(Vec::len).collect();
            (lengths.len() == 1).then_some(())
        })?;
        let seen = Seen {
            fates: self.fates.clone(),
            talked_to: self.agents.talked_to(),
            line: self.waiting.clone(),
            records,
            operations,
        };
        let counted = judge(&seen)?;
        self.say(&counted);
        Ok(())
    }

    /// The line's agent comes; callers must be served in their order.
    fn serve_line(&mut self) -> anyhow::Result<()> {
        self.check_line()?;
        self.site.ask_until(&["agent", "ready", "lina"], |_| true)?;
        for (place, caller) in self.waiting.clone().into_iter().enumerate() {
            let call = wait_long("the next in line is rung through", PATIENCE, || {
                self.line_agent.calls().into_iter().nth(place)
            })?;
            ensure!(call.peer == caller, "{} was served and {caller} was next in line", call.peer);
            self.line_agent.wait(&call.id, "the agent talks", |call| call.state == State::Up)?;
            self.line_agent.hang_up(&call.id);
        }
        wait_long("everybody in line was served and hung up", PATIENCE, || {
            (self.line.count(|call| call.state == State::Up) == 0).then_some(())
        })
    }
}

fn documents(net: &Net) -> String {
    let outside = net.outside();
    let mut text = format!(
        "kind: Trunk\nname: outside\naddresses: [{outside}/32]\n---\n\
         kind: Number\nname: \"5000\"\nroute: {{ queue: talk }}\n---\n\
         kind: Number\nname: \"6000\"\nroute: {{ queue: line }}\n---\n\
         kind: Queue\nname: talk\nanswer: on-agent\nring_seconds: 30\nwrap_up_seconds: 0\nbusy_delay_seconds: 1\n\
         unreachable_delay_seconds: 1\nrona: stay-ready\nrona_delay_seconds: 1\n---\n\
         kind: Queue\nname: line\nanswer: on-entry\nring_seconds: 30\nwrap_up_seconds: 0\n---\n\
         kind: Queue\nname: registers\n---\n\
         kind: Agent\nname: lina\ncontact: sip:lina@{outside}:{}\nqueues: [line]\nstart: not-ready\n",
        AGENTS_PORT + 1
    );
    for agent in 1..=AGENTS {
        text += &format!(
            "---\nkind: Agent\nname: talk{agent}\ncontact: sip:talk{agent}@{outside}:{AGENTS_PORT}\nqueues: [talk]\n\
             start: ready\n"
        );
    }
    for register in 1..=REGISTERS {
        text += &format!(
            "---\nkind: Agent\nname: reg{register}\ncontact: sip:reg@{outside}:9\nqueues: [registers]\nstart: not-ready\n"
        );
    }
    text
}

/// A record's field as text.
pub(super) fn text<'a>(record: &'a Value, field: &str) -> &'a str {
    record[field].as_str().unwrap_or_default()
}
