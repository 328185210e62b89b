//! Three nodes and two gateways, each on a machine of its own, and what is asked of them from outside.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;
use trust::Role;

use super::{machine::Machine, net::Net, papers::Papers};
use crate::patience::{PATIENCE, wait_long};

/// A start or a return includes elections and what was missed.
const READY_MAX: Duration = Duration::from_secs(90);
/// A machine that is cut off does not answer, and is not waited for longer.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Megabytes of the small disk of the last node: enough for every scenario until somebody fills it.
const SMALL_DISK: u32 = 512;

/// What is started.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `cordboard`.
    pub cordboard: PathBuf,
    /// `cordctl`.
    pub cordctl: PathBuf,
    /// Whether they know of certificates.
    pub know_papers: bool,
}

impl Binaries {
    /// Those that were built with this test.
    ///
    /// # Errors
    /// They were not.
    pub fn own() -> anyhow::Result<Self> {
        let (cordboard, cordctl) = (crate::cluster::binary("cordboard")?, crate::cluster::binary("cordctl")?);
        Ok(Self { cordboard, cordctl, know_papers: true })
    }
}

/// A running cluster on machines of its own.
#[derive(Debug)]
pub struct Site {
    /// Nodes, then gateways. Before `net`: processes end before their network does.
    pub machines: Vec<Machine>,
    /// The switch.
    pub net: Net,
    /// What is started.
    pub binaries: Binaries,
    /// Who everybody is.
    pub papers: Papers,
    /// What `cordctl` says who it is with.
    operator: Vec<String>,
    dir: TempDir,
    /// Nodes of the beginning, and those that joined since: an id is never used again.
    founders: usize,
    joined: usize,
}

impl Site {
    /// Starts so many nodes and gateways and waits until all serve. `documents` is given the address of the outside.
    ///
    /// # Errors
    /// They do not serve; with what they said.
    pub fn start(
        binaries: Binaries,
        nodes: usize,
        gateways: usize,
        documents: impl FnOnce(&Net) -> String,
    ) -> anyhow::Result<Self> {
        let mut net = Net::new()?;
        let dir = tempfile::Builder::new().prefix("cb-faults-").tempdir_in("/tmp")?;
        let papers = if binaries.know_papers { Papers::in_folder(dir.path().join("tls"))? } else { Papers::none() };
        let mut machines = Vec::new();
        for number in 1..=nodes {
            machines.push(Machine::new(&mut net, dir.path(), &format!("n{number}"), &binaries.cordboard)?);
        }
        if let Some(last) = machines.last_mut() {
            last.small_disk(SMALL_DISK)?;
        }
        let peers: Vec<String> = machines.iter().map(|node| format!("{}={}", node.id, node.grpc())).collect();
        let grpc: Vec<String> = machines.iter().map(Machine::grpc).collect();
        for node in &mut machines {
            let http = node.http().to_string();
            let dir = node.dir.join("data").display().to_string();
            node.arguments =
                words(&["node", "--id", &node.id, "--dir", &dir, "--peers", &peers.join(","), "--http", &http]);
            node.arguments.extend(papers.arguments(&node.id, Role::Node)?);
        }
        for number in 1..=gateways {
            let mut gateway = Machine::new(&mut net, dir.path(), &format!("g{number}"), &binaries.cordboard)?;
            let (sip, own, http) = (gateway.sip().to_string(), gateway.grpc(), gateway.http().to_string());
            gateway.arguments = words(&[
                "gateway",
                "--id",
                &gateway.id,
                "--sip",
                &sip,
                "--grpc",
                &own,
                "--http",
                &http,
                "--nodes",
                &grpc.join(","),
            ]);
            gateway.arguments.extend(papers.arguments(&gateway.id, Role::Gateway)?);
            machines.push(gateway);
        }
        let documents = documents(&net);
        let operator = papers.arguments("olga", Role::Admin)?;
        let mut site = Self { machines, net, binaries, papers, operator, dir, founders: nodes, joined: 0 };
        site.open(&documents).with_context(|| site.said())?;
        Ok(site)
    }

    fn open(&mut self, documents: &str) -> anyhow::Result<()> {
        let Self { machines, net, .. } = self;
        machines.iter_mut().try_for_each(|machine| machine.start(net))?;
        self.whole()?;
        let file = self.dir.path().join("documents.yaml");
        std::fs::write(&file, documents)?;
        let applied = self.ask_until(&["apply", "-f", &file.display().to_string()], |_| true)?;
        ensure!(applied["errors"].as_array().is_none_or(Vec::is_empty), "{applied}");
        Ok(())
    }

    /// One machine.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn machine(&mut self, id: &str) -> anyhow::Result<&mut Machine> {
        self.machines.iter_mut().find(|machine| machine.id == id).with_context(|| format!("no machine {id}"))
    }

    /// Starts a machine's process.
    ///
    /// # Errors
    /// It runs, or cannot be started.
    pub fn start_machine(&mut self, id: &str) -> anyhow::Result<()> {
        let Self { machines, net, .. } = self;
        let machine = machines.iter_mut().find(|machine| machine.id == id).with_context(|| format!("no {id}"))?;
        machine.start(net)
    }

    /// One more node joins; its id.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn join_node(&mut self) -> anyhow::Result<String> {
        self.joined += 1;
        let (id, seeds) = (format!("n{}", self.founders + self.joined), self.endpoints().join(","));
        let mut node = Machine::new(&mut self.net, self.dir.path(), &id, &self.binaries.cordboard)?;
        let (dir, grpc, http) = (node.dir.join("data").display().to_string(), node.grpc(), node.http().to_string());
        node.arguments =
            words(&["node", "--id", &id, "--dir", &dir, "--join", &seeds, "--grpc", &grpc, "--http", &http]);
        node.arguments.extend(self.papers.arguments(&id, Role::Node)?);
        node.start(&self.net)?;
        let place = self.nodes().len();
        self.machines.insert(place, node);
        Ok(id)
    }

    /// A machine that is no part of the site any more.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn forget_node(&mut self, id: &str) -> anyhow::Result<()> {
        let place = self.machines.iter().position(|machine| machine.id == id);
        drop(self.machines.remove(place.with_context(|| format!("no machine {id}"))?));
        Ok(())
    }

    /// Ids of the nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.machines.iter().map(|machine| machine.id.clone()).filter(|id| id.starts_with('n')).collect()
    }

    /// gRPC of the nodes.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.machines.iter().filter(|machine| machine.id.starts_with('n')).map(Machine::grpc).collect()
    }

    /// Until every node is up, every shard is led and applied everywhere, no node misses records, and every gateway serves.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn whole(&mut self) -> anyhow::Result<()> {
        let (nodes, gateways) = (self.nodes().len() as u64, self.machines.len() - self.nodes().len());
        let whole = |status: &Value| {
            status["nodes_up"] == nodes
                && status["shards_total"].as_u64().is_some_and(|total| total >= 2)
                && status["shards_led"] == status["shards_total"]
                && status["gateways_up"] == gateways as u64
        };
        self.ask_until(&["status"], whole)?;
        let mut last = Vec::new();
        wait_long("every replica has applied what is committed", READY_MAX, || {
            last = self.applied().ok()?;
            let newest = last.iter().map(|(_, index)| *index).max()?;
            // Load goes on meanwhile, so they are never quite equal.
            (newest > 0 && last.iter().all(|(_, index)| index + 500 >= newest)).then_some(())
        })
        .with_context(|| format!("{last:?}"))?;
        let nodes = self.nodes();
        wait_long("every node has the records that it was not there for", READY_MAX, || {
            for id in &nodes {
                let text = self.http(id, "/metrics").ok()?;
                // A release before this one does not say.
                let gaps = text.lines().find_map(|line| line.strip_prefix("cordboard_node_record_gaps "));
                if gaps.is_some_and(|gaps| gaps.trim() != "0") {
                    return None;
                }
            }
            Some(())
        })
    }

    /// The applied index of shard 1 by node.
    fn applied(&mut self) -> anyhow::Result<Vec<(String, u64)>> {
        let nodes = self.nodes();
        nodes.into_iter().map(|id| Ok((id.clone(), self.shard_metric(&id, "shard_applied_index", 1)?))).collect()
    }

    /// `cordctl` with these arguments, asked of these nodes.
    ///
    /// # Errors
    /// It failed, or printed no JSON.
    pub fn ask_at(&self, endpoints: &str, arguments: &[&str]) -> anyhow::Result<Value> {
        let out = self.cordctl(endpoints).args(arguments).output()?;
        let said = || format!("cordctl {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        ensure!(out.status.success(), "{}", said());
        serde_json::from_slice(&out.stdout).with_context(said)
    }

    fn cordctl(&self, endpoints: &str) -> Command {
        let mut command = Command::new(&self.binaries.cordctl);
        command.args(["--endpoint", endpoints, "-o", "json"]).args(&self.operator).env("NO_COLOR", "1");
        command
    }

    /// The same, asked of any node.
    ///
    /// # Errors
    /// As for [`Site::ask_at`].
    pub fn ask(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        self.ask_at(&self.endpoints().join(","), arguments)
    }

    /// Asks until the answer fits: for moments without a leader.
    ///
    /// # Errors
    /// It never did.
    pub fn ask_until(&self, arguments: &[&str], fits: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let mut last = String::new();
        wait_long(&format!("cordctl {arguments:?}"), READY_MAX, || match self.ask(arguments) {
            Ok(value) if fits(&value) => Some(value),
            Ok(value) => {
                last = value.to_string();
                None
            }
            Err(error) => {
                last = format!("{error:#}");
                None
            }
        })
        .with_context(|| format!("the last answer: {last}"))
    }

    /// Lines of `cordctl events` as this node alone tells them.
    ///
    /// # Errors
    /// It does not answer.
    pub fn records_of(&mut self, id: &str) -> anyhow::Result<Vec<Value>> {
        let endpoint = self.machine(id)?.grpc();
        let out = self.cordctl(&endpoint).arg("events").output()?;
        ensure!(out.status.success(), "events of {id}: {}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout)?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// The node that leads shard 1, as the nodes of this list see it.
    ///
    /// # Errors
    /// There is none in time.
    pub fn leader_among(&self, ids: &[String]) -> anyhow::Result<String> {
        let endpoints: Vec<String> =
            self.machines.iter().filter(|machine| ids.contains(&machine.id)).map(Machine::grpc).collect();
        let endpoints = endpoints.join(",");
        wait_long("shard 1 has a leader", PATIENCE, || {
            let list = self.ask_at(&endpoints, &["shard", "list"]).ok()?;
            let row = list.as_array()?.iter().find(|row| row["id"] == 1)?;
            row["leader"].as_str().filter(|leader| ids.iter().any(|id| id == leader)).map(ToOwned::to_owned)
        })
    }

    /// The node that leads shard 1.
    ///
    /// # Errors
    /// There is none.
    pub fn leader(&self) -> anyhow::Result<String> {
        self.leader_among(&self.nodes())
    }

    /// A figure of one replica.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn shard_metric(&mut self, id: &str, name: &str, shard: u32) -> anyhow::Result<u64> {
        let text = self.http(id, "/metrics")?;
        let key = format!("cordboard_node_{name}{{shard=\"{shard}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&key));
        Ok(value.with_context(|| format!("{id} has no {name}"))?.trim().parse()?)
    }

    /// A figure without labels.
    ///
    /// # Errors
    /// The machine does not answer.
    pub fn metric(&mut self, id: &str, name: &str) -> anyhow::Result<f64> {
        let text = self.http(id, "/metrics")?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("{id} has no {name}"))?.trim().parse()?)
    }

    fn http(&mut self, id: &str, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.machine(id)?.http(), ANSWER_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: tests\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// The folder of everything.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The folder stays, for somebody to look.
    pub fn keep(&mut self) {
        self.dir.disable_cleanup(true);
    }

    /// What all machines said last.
    #[must_use]
    pub fn said(&self) -> String {
        self.machines.iter().map(|machine| format!("\n--- {}\n{}", machine.id, machine.said())).collect()
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}
