//! The child processes of `cordboard dev`: how each is called, started, watched and stopped. Knows no call.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Serialize;
use tokio::process::{Child as Process, Command};
use trust::Role;

use super::certificates::Certificates;
use crate::args::DevArgs;

/// Ports for gRPC and HTTP are looked for here: below the kernel's range for outgoing connections, so that a
/// connection of somebody else cannot take one while its child is down.
const PORTS: std::ops::Range<u16> = 30_100..32_700;
/// The id of the demo phones, for their log and for a restart.
const DEMO: &str = "demo";
/// Within `STOP_MAX`, so that a gateway that is stopped by itself hangs nobody up.
const GATEWAY_DRAIN_MS: &str = "6000";
/// A child that has not ended so long after SIGTERM is killed.
const STOP_MAX: Duration = Duration::from_secs(8);

/// One child: its command line stays the same over all its lives.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) id: String,
    pub(crate) role: &'static str,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) sip: Option<SocketAddr>,
    pub(crate) pid: u32,
    arguments: Vec<String>,
    process: Option<Process>,
}

/// All children, nodes first.
#[derive(Debug)]
pub(crate) struct Children {
    all: Vec<Child>,
    demo: Option<Demo>,
    dir: PathBuf,
    /// Where the certificates are, when there are some.
    tls: Option<PathBuf>,
}

/// The child that plays callers and agents: no part of the cluster, so not in `dev.json`.
#[derive(Debug)]
struct Demo {
    arguments: Vec<String>,
    process: Option<Process>,
}

/// One row of `dev.json`, a contract with whoever measures from outside.
#[derive(Debug, Serialize)]
struct DevRow<'a> {
    role: &'a str,
    id: &'a str,
    pid: u32,
    grpc: String,
    sip: Option<String>,
    http: String,
    /// The folder of the certificates that the cluster asks for; none with `--open`.
    tls: Option<&'a Path>,
}

impl Children {
    /// Chooses ids, ports and command lines; starts nothing.
    pub(crate) fn plan(dir: &Path, args: &DevArgs, certificates: &Certificates) -> anyhow::Result<Self> {
        let mut ports = FreePorts::default();
        let nodes = (1..=args.nodes)
            .map(|number| Ok((format!("n{number}"), ports.next()?, ports.next()?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let peers = nodes.iter().map(|(id, grpc, _)| format!("{id}={grpc}")).collect::<Vec<_>>().join(",");
        let endpoints = nodes.iter().map(|(_, grpc, _)| grpc.to_string()).collect::<Vec<_>>().join(",");
        let mut all = Vec::new();
        for (id, grpc, http) in nodes {
            let mut arguments = strings(&["node", "--id", &id, "--peers", &peers, "--http", &http.to_string()]);
            arguments.extend(strings(&["--dir", &dir.join(&id).display().to_string()]));
            arguments.extend(certificates.arguments(&id, Role::Node)?);
            all.push(Child::new(id, "node", grpc, http, None, arguments, args));
        }
        for number in 0..args.gateways {
            let id = format!("g{}", number + 1);
            let (grpc, http) = (ports.next()?, ports.next()?);
            let sip = SocketAddr::from((Ipv4Addr::LOCALHOST, port(args.sip_port, number)?));
            let first = port(args.rtp_port, number.checked_mul(args.rtp_ports).context("too many RTP ports")?)?;
            let last = port(first, args.rtp_ports.saturating_sub(1))?;
            let mut arguments = strings(&["gateway", "--id", &id, "--nodes", &endpoints, "--sip", &sip.to_string()]);
            arguments.extend(strings(&["--grpc", &grpc.to_string(), "--http", &http.to_string()]));
            arguments.extend(strings(&["--drain-ms", GATEWAY_DRAIN_MS]));
            arguments.extend(certificates.arguments(&id, Role::Gateway)?);
            arguments.extend(strings(&["--rtp-first", &first.to_string(), "--rtp-last", &last.to_string()]));
            all.push(Child::new(id, "gateway", grpc, http, Some(sip), arguments, args));
        }
        let mut demo = args.demo.then(|| Demo::new(&all, super::centre::demo_agents_port(args.sip_port)));
        if let Some(demo) = &mut demo {
            demo.arguments.extend(certificates.own_arguments()?);
        }
        Ok(Self { all, demo, dir: dir.to_owned(), tls: certificates.folder().map(Path::to_owned) })
    }

    /// Starts every child.
    pub(crate) fn start_all(&mut self) -> anyhow::Result<()> {
        self.all.iter_mut().try_for_each(|child| child.start(&self.dir))
    }

    /// Starts a dead child again.
    pub(crate) fn restart(&mut self, id: &str) -> anyhow::Result<()> {
        if id == DEMO
            && let Some(demo) = &mut self.demo
        {
            return demo.start(&self.dir);
        }
        let known = self.all.iter().map(|child| child.id.clone()).collect::<Vec<_>>().join(", ");
        let Some(child) = self.all.iter_mut().find(|child| child.id == id) else {
            bail!("there is no child {id:?}; there are {known}");
        };
        if let Some(process) = &mut child.process
            && process.try_wait()?.is_none()
        {
            bail!("{id} is running (pid {}); kill it first", child.pid);
        }
        child.start(&self.dir)
    }

    /// The next child that ends, however that happens. Pending for ever while all live.
    pub(crate) async fn next_exit(&mut self) -> (String, ExitStatus) {
        loop {
            for child in &mut self.all {
                if let Some(process) = &mut child.process
                    && let Ok(Some(status)) = process.try_wait()
                {
                    child.process = None;
                    return (child.id.clone(), status);
                }
            }
            if let Some(demo) = &mut self.demo
                && let Some(process) = &mut demo.process
                && let Ok(Some(status)) = process.try_wait()
            {
                demo.process = None;
                return (DEMO.to_owned(), status);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Polite first: gateways end their calls while nodes still write them down.
    pub(crate) async fn stop(&mut self) {
        if let Some(mut demo) = self.demo.take().and_then(|demo| demo.process) {
            let _ = demo.kill().await;
        }
        for role in ["gateway", "node"] {
            for child in self.all.iter().filter(|child| child.role == role && child.process.is_some()) {
                let _ = kill(Pid::from_raw(child.pid.cast_signed()), Signal::SIGTERM);
            }
            for child in self.all.iter_mut().filter(|child| child.role == role) {
                if let Some(mut process) = child.process.take()
                    && tokio::time::timeout(STOP_MAX, process.wait()).await.is_err()
                {
                    eprintln!("{} did not stop in time and was killed", child.id);
                    let _ = process.kill().await;
                }
            }
        }
    }

    /// Starts the built-in callers and agents, if they are wanted.
    pub(crate) fn start_demo(&mut self) -> anyhow::Result<()> {
        self.demo.as_mut().map_or(Ok(()), |demo| demo.start(&self.dir))
    }

    /// Writes `dev.json` so that a reader sees the old or the new one, whole.
    pub(crate) fn write_dev_json(&self, dir: &Path) -> anyhow::Result<()> {
        let rows: Vec<_> = self.all.iter().map(|child| child.row(self.tls.as_deref())).collect();
        let temporary = dir.join("dev.json.new");
        fs::write(&temporary, serde_json::to_vec_pretty(&rows)?)?;
        fs::rename(temporary, dir.join("dev.json")).context("cannot write dev.json")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Child> {
        self.all.iter()
    }

    pub(crate) fn node_endpoints(&self) -> Vec<String> {
        self.endpoints("node")
    }

    pub(crate) fn gateway_endpoints(&self) -> Vec<String> {
        self.endpoints("gateway")
    }

    fn endpoints(&self, role: &str) -> Vec<String> {
        self.all.iter().filter(|child| child.role == role).map(|child| child.grpc.to_string()).collect()
    }
}

impl Demo {
    fn new(cluster: &[Child], port: u16) -> Self {
        let nodes: Vec<_> = cluster.iter().filter(|child| child.role == "node").map(|c| c.grpc.to_string()).collect();
        let gateways: Vec<_> = cluster.iter().filter_map(|child| child.sip).map(|sip| sip.to_string()).collect();
        let words = ["demo", "--gateway", &gateways.join(","), "--nodes", &nodes.join(","), "--agents-port"];
        let mut arguments = strings(&words);
        arguments.push(port.to_string());
        Self { arguments, process: None }
    }

    fn start(&mut self, dir: &Path) -> anyhow::Result<()> {
        if let Some(process) = &mut self.process
            && process.try_wait()?.is_none()
        {
            bail!("the demo phones are running");
        }
        self.process = Some(spawn(dir, DEMO, &self.arguments)?);
        Ok(())
    }
}

impl Child {
    fn new(
        id: String,
        role: &'static str,
        grpc: SocketAddr,
        http: SocketAddr,
        sip: Option<SocketAddr>,
        mut arguments: Vec<String>,
        args: &DevArgs,
    ) -> Self {
        if let Some(otlp) = &args.otlp {
            arguments.extend(strings(&["--otlp", otlp]));
        }
        Self { id, role, grpc, http, sip, pid: 0, arguments, process: None }
    }

    fn start(&mut self, dir: &Path) -> anyhow::Result<()> {
        let process = spawn(dir, &self.id, &self.arguments)?;
        self.pid = process.id().context("a child that has just started has a pid")?;
        self.process = Some(process);
        Ok(())
    }

    fn row<'a>(&'a self, tls: Option<&'a Path>) -> DevRow<'a> {
        DevRow {
            role: self.role,
            id: &self.id,
            pid: self.pid,
            grpc: self.grpc.to_string(),
            sip: self.sip.map(|sip| sip.to_string()),
            http: self.http.to_string(),
            tls,
        }
    }
}

/// In a process group of its own, so that Ctrl-C reaches the parent only, which then stops the children in order.
fn spawn<'a>(dir: &Path, id: &str, arguments: impl IntoIterator<Item = &'a String>) -> anyhow::Result<Process> {
    let path = dir.join(format!("{id}.log"));
    let log = fs::File::options().create(true).append(true).open(&path)?;
    Command::new(std::env::current_exe()?)
        .args(arguments)
        .env(crate::WITH_PARENT, "1")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {id}"))
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn port(base: u16, offset: u16) -> anyhow::Result<u16> {
    base.checked_add(offset).with_context(|| format!("port {base} + {offset} is beyond 65535"))
}

/// Ports that nobody listens on, each given once.
#[derive(Debug, Default)]
struct FreePorts {
    tried: u16,
    start: Option<u16>,
}

impl FreePorts {
    fn next(&mut self) -> anyhow::Result<SocketAddr> {
        let span = PORTS.end - PORTS.start;
        let start = *self.start.get_or_insert_with(|| {
            let mut dice = [0; 2];
            // Without dice every `cordboard dev` begins at the same port, which is slower and no worse.
            let _ = getrandom::fill(&mut dice);
            u16::from_le_bytes(dice) % span
        });
        while self.tried < span {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + (start + self.tried) % span));
            self.tried += 1;
            if TcpListener::bind(address).is_ok() {
                return Ok(address);
            }
        }
        bail!("no free port between {} and {}", PORTS.start, PORTS.end)
    }
}
