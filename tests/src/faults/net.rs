//! A network of its own for each process: a namespace with one cable to a switch, and what can be wrong with the cable.
//! Wants root. Takes down only what it put up.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::Ipv4Addr,
    process::{Command, Output},
};

use anyhow::{Context as _, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

/// Networks that may be up at once on one machine: 10.201.0.0/24 and so on.
const NETWORKS: u8 = 16;
/// The end of the switch on this side; SIPp, telephones and admins are here.
const OUTSIDE: u8 = 254;

/// A switch and the machines on it; taken down when dropped.
#[derive(Debug)]
pub struct Net {
    number: u8,
    hosts: BTreeMap<String, Ipv4Addr>,
    _lock: Flock<File>,
}

impl Net {
    /// A switch with nobody on it.
    ///
    /// # Errors
    /// This machine or this user cannot make namespaces: what it said.
    pub fn new() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join("cordboard-tests-ports");
        fs::create_dir_all(&folder)?;
        for number in 0..NETWORKS {
            let file = File::create(folder.join(format!("net{number}")))?;
            let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { continue };
            let net = Self { number, hosts: BTreeMap::new(), _lock: lock };
            // Of a run that was killed: the lock says that nobody uses it.
            net.take_down();
            net.put_up()
                .context("network namespaces cannot be made here: is this root, with iproute2 and nftables?")?;
            return Ok(net);
        }
        bail!("all {NETWORKS} test networks are in use")
    }

    fn put_up(&self) -> anyhow::Result<()> {
        let (hub, here) = (self.name("hub"), self.cable("x"));
        run(&["ip", "netns", "add", &hub])?;
        run(&["ip", "-n", &hub, "link", "add", "switch", "type", "bridge"])?;
        run(&["ip", "-n", &hub, "link", "set", "switch", "up"])?;
        run(&["ip", "link", "add", &here, "type", "veth", "peer", "name", "outside", "netns", &hub])?;
        run(&["ip", "-n", &hub, "link", "set", "outside", "master", "switch", "up"])?;
        run(&["ip", "address", "add", &format!("{}/24", self.outside()), "dev", &here])?;
        run(&["ip", "link", "set", &here, "up"])
    }

    /// Another machine on the switch; its address.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn plug_in(&mut self, id: &str) -> anyhow::Result<Ipv4Addr> {
        let place = u8::try_from(self.hosts.len() + 1)?;
        ensure!(place < OUTSIDE, "the switch has no place left");
        let (address, hub, space) = (self.address(place), self.name("hub"), self.name(id));
        run(&["ip", "netns", "add", &space])?;
        run(&["ip", "-n", &space, "link", "set", "lo", "up"])?;
        run(&["ip", "-n", &hub, "link", "add", id, "type", "veth", "peer", "name", "eth0", "netns", &space])?;
        run(&["ip", "-n", &hub, "link", "set", id, "master", "switch", "up"])?;
        run(&["ip", "-n", &space, "address", "add", &format!("{address}/24"), "dev", "eth0"])?;
        run(&["ip", "-n", &space, "link", "set", "eth0", "up"])?;
        run(&["ip", "netns", "exec", &space, "nft", "add", "table", "inet", "faults"])?;
        for (chain, hook) in [("in", "input"), ("out", "output")] {
            let kind = format!("{{ type filter hook {hook} priority 0; }}");
            run(&["ip", "netns", "exec", &space, "nft", "add", "chain", "inet", "faults", chain, &kind])?;
        }
        self.hosts.insert(id.to_owned(), address);
        Ok(address)
    }

    /// Another address that only the machine itself knows.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn own_address(&self, id: &str, address: &str) -> anyhow::Result<()> {
        run(&["ip", "-n", &self.name(id), "address", "add", &format!("{address}/32"), "dev", "lo"])
    }

    /// A program on one of the machines.
    #[must_use]
    pub fn command(&self, id: &str, program: &std::ffi::OsStr) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(id)]).arg(program);
        command
    }

    /// Where telephones and admins are.
    #[must_use]
    pub fn outside(&self) -> Ipv4Addr {
        self.address(OUTSIDE)
    }

    /// A machine's address.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn of(&self, id: &str) -> anyhow::Result<Ipv4Addr> {
        self.hosts.get(id).copied().with_context(|| format!("no machine {id}"))
    }

    /// From now on nothing that `from` sends reaches `to`; the other way stays open.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn cut(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let from = self.of(from)?.to_string();
        self.nft(to, &["add", "rule", "inet", "faults", "in", "ip", "saddr", &from, "counter", "drop"])
    }

    /// From now on this share of all packets that come to a machine is lost, by the kernel's dice.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn lose(&self, id: &str, percent: u8) -> anyhow::Result<()> {
        let limit = percent.to_string();
        let rule = ["add", "rule", "inet", "faults", "in", "iif", "eth0", "numgen", "random", "mod", "100", "<"];
        self.nft(id, &[&rule[..], &[&limit, "counter", "drop"]].concat())
    }

    /// Everything that was wrong with a machine's cable is mended.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn mend(&self, id: &str) -> anyhow::Result<()> {
        self.nft(id, &["flush", "table", "inet", "faults"])
    }

    /// Packets that were dropped at a machine since it was last mended: the proof that its cable was bad.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn dropped(&self, id: &str) -> anyhow::Result<u64> {
        let out = output(&["ip", "netns", "exec", &self.name(id), "nft", "-j", "list", "table", "inet", "faults"])?;
        let list: Value = serde_json::from_slice(&out.stdout)?;
        let rules = list["nftables"].as_array().into_iter().flatten();
        let counters = rules.flat_map(|row| row["rule"]["expr"].as_array().into_iter().flatten());
        Ok(counters.filter_map(|part| part["counter"]["packets"].as_u64()).sum())
    }

    fn nft(&self, id: &str, words: &[&str]) -> anyhow::Result<()> {
        run(&[&["ip", "netns", "exec", &self.name(id), "nft"], words].concat())
    }

    /// The name of a machine's namespace.
    #[must_use]
    pub fn space(&self, id: &str) -> String {
        self.name(id)
    }

    fn address(&self, place: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 201, self.number, place)
    }

    fn name(&self, id: &str) -> String {
        format!("cb{}-{id}", self.number)
    }

    /// Names of interfaces have at most 15 characters.
    fn cable(&self, id: &str) -> String {
        format!("cb{}{id}", self.number)
    }

    /// What is not there cannot be taken down, and that is no error.
    fn take_down(&self) {
        let prefix = self.name("");
        let known = output(&["ip", "netns", "list"]).map(|out| out.stdout).unwrap_or_default();
        for line in String::from_utf8_lossy(&known).lines() {
            if let Some(space) = line.split(' ').next().filter(|space| space.starts_with(&prefix)) {
                let _ = run(&["ip", "netns", "delete", space]);
            }
        }
        let _ = run(&["ip", "link", "delete", &self.cable("x")]);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.take_down();
    }
}

/// Runs a program of the system that must succeed.
///
/// # Errors
/// It does not; with what it said.
pub fn run(words: &[&str]) -> anyhow::Result<()> {
    output(words).map(drop)
}

/// The same, with what it said.
///
/// # Errors
/// As for [`run`].
pub fn output(words: &[&str]) -> anyhow::Result<Output> {
    let (program, arguments) = words.split_first().context("a program")?;
    let out = Command::new(program).args(arguments).output().with_context(|| format!("cannot start {program}"))?;
    ensure!(out.status.success(), "{}: {}", words.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    Ok(out)
}
