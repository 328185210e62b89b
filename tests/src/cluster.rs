//! A whole cluster as real processes: `cordboard dev` in a directory of its own, its children killed and restarted by
//! their ids, and `cordctl` to ask it. Ends only processes that it started itself.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    patience::{PATIENCE, wait_for, wait_long},
    ports::Ports,
};

/// A start includes elections and, for large documents, reading them.
const START_MAX: Duration = Duration::from_secs(90);
/// Children get 8 s each role to stop politely.
const STOP_MAX: Duration = Duration::from_secs(25);
/// Bytes of each log that a failed test shows.
const LOG_TAIL: usize = 4_000;

/// How a cluster is started.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many nodes.
    pub nodes: u64,
    /// How many gateways.
    pub gateways: u16,
    /// RTP ports of each gateway.
    pub rtp_ports: u16,
    /// The documents.
    pub config: String,
    /// Where traces go.
    pub otlp: Option<String>,
}

impl Plan {
    /// Three nodes and one gateway with these documents.
    #[must_use]
    pub fn of(config: &str) -> Self {
        Self { nodes: 3, gateways: 1, rtp_ports: 200, config: config.to_owned(), otlp: None }
    }
}

/// One row of `dev.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    /// `node` or `gateway`.
    pub role: String,
    /// `n1`, `g1`, ...
    pub id: String,
    /// Of its present or last life.
    pub pid: i32,
    /// gRPC.
    pub grpc: SocketAddr,
    /// Gateways only.
    pub sip: Option<SocketAddr>,
    /// Metrics and health.
    pub http: SocketAddr,
}

/// A gateway that was started by hand; killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    /// Where it hears SIP.
    pub sip: SocketAddr,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running cluster; ends when dropped.
#[derive(Debug)]
pub struct Cluster {
    dir: TempDir,
    plan: Plan,
    sip_port: u16,
    rtp_port: u16,
    parent: Option<Child>,
    /// Every child that was ever seen in `dev.json`.
    seen: Vec<i32>,
    /// The ports of this test; the cluster's own are taken from them too.
    pub ports: Arc<Ports>,
}

impl Cluster {
    /// Starts a cluster and waits for its line `ready`.
    ///
    /// # Errors
    /// It did not become ready; what it said is in the error.
    pub fn start(plan: Plan) -> anyhow::Result<Self> {
        Self::start_on(Arc::new(Ports::take()?), plan)
    }

    /// The same on ports that were taken before, because the documents name some of them.
    ///
    /// # Errors
    /// As for [`Cluster::start`].
    pub fn start_on(ports: Arc<Ports>, plan: Plan) -> anyhow::Result<Self> {
        // A short path: a Unix socket lies in it.
        let dir = tempfile::Builder::new().prefix("cb-").tempdir_in("/tmp")?;
        let sip_port = ports.run(plan.gateways)?;
        let rtp_port = ports.run(plan.rtp_ports * plan.gateways)?;
        let mut cluster = Self { dir, plan, sip_port, rtp_port, parent: None, seen: Vec::new(), ports };
        cluster.run()?;
        Ok(cluster)
    }

    /// Starts `cordboard dev` again after [`Cluster::stop`], on the same directory and ports.
    ///
    /// # Errors
    /// It did not become ready.
    pub fn run(&mut self) -> anyhow::Result<()> {
        ensure!(self.parent.is_none(), "it runs");
        let config = self.dir.path().join("config.yaml");
        fs::write(&config, &self.plan.config)?;
        let said = self.dir.path().join("dev.out");
        let out = fs::File::create(&said)?;
        let mut command = Command::new(binary("cordboard")?);
        command.arg("dev").arg("--dir").arg(self.dir.path()).arg("--config").arg(&config);
        // It ends with us, however we end.
        command.env("CORDBOARD_WITH_PARENT", "1");
        for (name, value) in [
            ("--nodes", self.plan.nodes),
            ("--gateways", self.plan.gateways.into()),
            ("--sip-port", self.sip_port.into()),
            ("--rtp-port", self.rtp_port.into()),
            ("--rtp-ports", self.plan.rtp_ports.into()),
        ] {
            command.arg(name).arg(value.to_string());
        }
        if let Some(otlp) = &self.plan.otlp {
            command.arg("--otlp").arg(otlp);
        }
        command.env_remove("CORDBOARD_OTLP").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let parent = self.parent.insert(command.spawn().context("cannot start cordboard dev")?);
        let deadline = Instant::now() + START_MAX;
        loop {
            let text = fs::read_to_string(&said).unwrap_or_default();
            if text.lines().any(|line| line == "ready") {
                break;
            }
            if let Some(status) = parent.try_wait()? {
                self.parent = None;
                bail!("cordboard dev ended ({status}) before it was ready:\n{text}{}", self.logs());
            }
            if Instant::now() > deadline {
                bail!("cordboard dev is not ready after {} s:\n{text}{}", START_MAX.as_secs(), self.logs());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.rows().map(drop)
    }

    /// Ends `cordboard dev` as Ctrl-C does, and waits; the data stays.
    ///
    /// # Errors
    /// It did not end in time.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut parent) = self.parent.take() else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(parent.id())?), Signal::SIGINT)?;
        let ended = wait_long("cordboard dev ends after SIGINT", STOP_MAX, || parent.try_wait().ok().flatten());
        if ended.is_err() {
            let _ = parent.kill();
            let _ = parent.wait();
        }
        self.end_children();
        ended.map(drop)
    }

    /// What `dev.json` says at this moment.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn rows(&mut self) -> anyhow::Result<Vec<Row>> {
        let text = fs::read_to_string(self.dir.path().join("dev.json")).context("cannot read dev.json")?;
        let rows: Vec<Row> = serde_json::from_str(&text).context("dev.json is not what was promised")?;
        self.seen.extend(rows.iter().map(|row| row.pid));
        Ok(rows)
    }

    /// One row by id.
    ///
    /// # Errors
    /// There is none.
    pub fn row(&mut self, id: &str) -> anyhow::Result<Row> {
        self.rows()?.into_iter().find(|row| row.id == id).with_context(|| format!("dev.json has no {id}"))
    }

    /// Where gateway `number` (from 1) hears SIP.
    #[must_use]
    pub fn sip(&self, number: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.sip_port + number - 1))
    }

    /// The directory of this cluster.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `kill -9` of one child; returns when it is gone.
    ///
    /// # Errors
    /// There is no such child, or it does not go.
    pub fn kill(&mut self, id: &str) -> anyhow::Result<()> {
        let pid = self.row(id)?.pid;
        ensure!(self.is_ours(pid), "{id} (pid {pid}) does not run");
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        wait_for(&format!("{id} is gone"), || (!self.is_ours(pid)).then_some(()))
    }

    /// SIGSTOP: it lives and does nothing, as a machine that swaps or was suspended.
    ///
    /// # Errors
    /// There is no such child.
    pub fn freeze(&mut self, id: &str) -> anyhow::Result<()> {
        self.signal(id, Signal::SIGSTOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// There is no such child.
    pub fn thaw(&mut self, id: &str) -> anyhow::Result<()> {
        self.signal(id, Signal::SIGCONT)
    }

    /// SIGTERM, as Kubernetes says it; returns when the child is gone.
    ///
    /// # Errors
    /// There is no such child, or it does not go.
    pub fn terminate(&mut self, id: &str) -> anyhow::Result<()> {
        let pid = self.row(id)?.pid;
        self.signal(id, Signal::SIGTERM)?;
        wait_long(&format!("{id} ends after SIGTERM"), STOP_MAX, || (!self.is_ours(pid)).then_some(()))
    }

    /// One more gateway beside those of `dev`, with these arguments besides; returns when it serves.
    ///
    /// # Errors
    /// It does not.
    pub fn gateway(&mut self, id: &str, more: &[String]) -> anyhow::Result<Gateway> {
        let nodes: Vec<String> =
            self.rows()?.iter().filter(|row| row.role == "node").map(|row| row.grpc.to_string()).collect();
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let (sip, grpc, rtp) = (at(self.ports.one()?), at(self.ports.one()?), self.ports.run(40)?);
        let said = fs::File::create(self.dir.path().join(format!("{id}.log")))?;
        let tls = self.dir.path().join("tls");
        let made = Command::new(binary("cordboard")?).args(["certs", "gateway", id, "--dir"]).arg(&tls).output()?;
        ensure!(made.status.success(), "no certificate for {id}: {}", words(&made));
        let mut command = Command::new(binary("cordboard")?);
        command.args(["gateway", "--id", id, "--nodes", &nodes.join(",")]).args(more);
        command.arg("--cluster-ca").arg(tls.join("ca.pem"));
        command.arg("--cluster-certificate").arg(tls.join(format!("{id}.pem")));
        command.arg("--cluster-key").arg(tls.join(format!("{id}.key")));
        command.args(["--sip", &sip.to_string(), "--grpc", &grpc.to_string()]);
        command.args(["--rtp-first", &rtp.to_string(), "--rtp-last", &(rtp + 39).to_string()]);
        command.env_remove("CORDBOARD_OTLP").env("NO_COLOR", "1").stdin(Stdio::null());
        command.stdout(said.try_clone()?).stderr(said);
        let gateway = Gateway { child: command.spawn()?, sip };
        let up = |list: &Value| {
            list.as_array().is_some_and(|list| list.iter().any(|row| row["id"] == id && row["up"] == true))
        };
        self.ask_until(&["gateway", "list"], up).with_context(|| self.logs())?;
        Ok(gateway)
    }

    fn signal(&mut self, id: &str, signal: Signal) -> anyhow::Result<()> {
        let pid = self.row(id)?.pid;
        ensure!(self.is_ours(pid), "{id} (pid {pid}) does not run");
        Ok(kill(Pid::from_raw(pid), signal)?)
    }

    /// `cordboard dev restart ID`.
    ///
    /// # Errors
    /// It was refused.
    pub fn restart(&mut self, id: &str) -> anyhow::Result<()> {
        // The parent looks every tenth of a second who has ended, so a very quick restart may come too early.
        let mut last = String::new();
        let done = wait_for(&format!("restart of {id}"), || {
            let out = Command::new(binary("cordboard").ok()?)
                .args(["dev", "restart", id, "--dir"])
                .arg(self.dir.path())
                .output()
                .ok()?;
            last = words(&out);
            out.status.success().then_some(())
        });
        done.context(last)?;
        self.rows().map(drop)
    }

    /// `cordctl` with these arguments.
    ///
    /// # Errors
    /// It could not be started.
    pub fn cordctl(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(binary("cordctl")?);
        command.arg("--dev").arg(self.dir.path()).args(arguments);
        command.env_remove("CORDCTL_ENDPOINT").env("NO_COLOR", "1").stdin(Stdio::null());
        Ok(command.output()?)
    }

    /// `cordctl -o json` with these arguments.
    ///
    /// # Errors
    /// It failed, or what it printed is not one JSON document.
    pub fn ask(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let out = self.cordctl(&[&["-o", "json"], arguments].concat())?;
        ensure!(out.status.success(), "cordctl {arguments:?}: {}\n{}", out.status, words(&out));
        serde_json::from_slice(&out.stdout).with_context(|| format!("cordctl {arguments:?} printed no JSON"))
    }

    /// `ask` until it succeeds: for moments without a leader.
    ///
    /// # Errors
    /// It never did.
    pub fn ask_until(&self, arguments: &[&str], fits: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let mut last = String::new();
        let found = wait_long(&format!("cordctl {arguments:?}"), PATIENCE * 2, || match self.ask(arguments) {
            Ok(value) if fits(&value) => Some(value),
            Ok(value) => {
                last = value.to_string();
                None
            }
            Err(error) => {
                last = format!("{error:#}");
                None
            }
        });
        found.with_context(|| format!("the last answer: {last}"))
    }

    /// The node that leads this shard, once there is one.
    ///
    /// # Errors
    /// There is none.
    pub fn leader(&self, shard: u32) -> anyhow::Result<String> {
        let find = |list: &Value| {
            let row = list.as_array()?.iter().find(|row| row["id"] == shard)?;
            row["leader"].as_str().map(ToOwned::to_owned)
        };
        let list = self.ask_until(&["shard", "list"], |list| find(list).is_some())?;
        find(&list).context("a leader was seen")
    }

    /// Callers of this queue in the order they will be served.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn waiting(&self, queue: &str) -> anyhow::Result<Vec<String>> {
        let shown = self.ask_until(&["queue", "show", queue], |_| true)?;
        let waiting = shown["waiting"].as_array().context("`queue show` has `waiting`")?;
        Ok(waiting.iter().filter_map(|call| call["caller"].as_str().map(ToOwned::to_owned)).collect())
    }

    /// Whether `/ready` of a child says so.
    ///
    /// # Errors
    /// It does not answer.
    pub fn is_ready(&mut self, id: &str) -> anyhow::Result<bool> {
        Ok(self.get(id, "/ready")?.starts_with("HTTP/1.1 200"))
    }

    /// The sum of a counter or gauge of one child.
    ///
    /// # Errors
    /// It does not answer.
    pub fn metric(&mut self, id: &str, name: &str) -> anyhow::Result<f64> {
        let text = self.get(id, "/metrics")?;
        let values = text.lines().filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            (key.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok()).flatten()
        });
        Ok(values.sum())
    }

    fn get(&mut self, id: &str, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.row(id)?.http, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: tests\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Until an agent is in this state.
    ///
    /// # Errors
    /// It never is.
    pub fn wait_for_agent(&self, agent: &str, state: &str) -> anyhow::Result<Value> {
        self.ask_until(&["agent", "show", agent], |shown| shown["state"] == state)
    }

    /// Whether every child lives.
    ///
    /// # Errors
    /// `dev.json` cannot be read.
    pub fn all_alive(&mut self) -> anyhow::Result<bool> {
        Ok(self.rows()?.iter().all(|row| self.is_ours(row.pid)))
    }

    /// The ends of what all processes said.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut files: Vec<PathBuf> = fs::read_dir(self.dir.path())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "log" || end == "out"))
            .collect();
        files.sort();
        let mut text = String::new();
        for path in files {
            let log = fs::read(&path).unwrap_or_default();
            let tail = &log[log.len().saturating_sub(LOG_TAIL)..];
            text += &format!("\n--- {}\n{}", path.display(), String::from_utf8_lossy(tail));
        }
        text
    }

    /// A live process of this directory's cluster. The directory is in its command line or that of no one else, so a
    /// number that the kernel has given away again is never taken for ours.
    fn is_ours(&self, pid: i32) -> bool {
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
        let line = String::from_utf8_lossy(&line);
        let ours = self.dir.path().display().to_string();
        let sip = (0..self.plan.gateways).any(|k| line.contains(&format!("127.0.0.1:{}\0", self.sip_port + k)));
        line.contains("cordboard") && (line.contains(&ours) || sip)
    }

    fn end_children(&mut self) {
        let _ = self.rows();
        for pid in std::mem::take(&mut self.seen) {
            if self.is_ours(pid) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Shown by the test runner when the test has failed, which nobody knows here.
        if let Err(error) = self.stop() {
            eprintln!("{error:#}");
        }
        eprintln!("{}", self.logs());
        if std::env::var_os("CORDBOARD_TESTS_KEEP").is_some() {
            self.dir.disable_cleanup(true);
        }
    }
}

/// A binary of this workspace, beside the test that runs.
///
/// # Errors
/// It was not built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let found = test.ancestors().skip(1).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| {
        format!("{name} is not built beside {}: run `cargo build --workspace --bins` first", test.display())
    })
}

fn words(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}
