//! A fresh cluster under load: `cordboard dev` in a directory of its own. Ends only what it started.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use super::{Plan, proc::Watched};
use crate::ports::Ports;

/// RTP ports: below those that tests take, so that thousands are free in a row.
const RTP_FIRST: u16 = 2_200;
const RTP_COUNT: u16 = 7_600;
const READY_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(30);

/// How calls are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    OnEntry,
    OnAgent,
}

/// A running cluster.
pub(super) struct Site {
    dir: TempDir,
    parent: Child,
    pub(super) ports: Ports,
    /// The gateway.
    pub(super) sip: SocketAddr,
    /// All processes of ours.
    pub(super) processes: Vec<Watched>,
    metrics: Vec<SocketAddr>,
    /// The binary under load.
    pub(super) cordboard: PathBuf,
}

impl Site {
    /// Three nodes, one gateway, one queue, so many agents at `127.0.0.1:agents_port`.
    pub(super) fn start(plan: &Plan, answer: Answer, agents: u32) -> anyhow::Result<(Self, u16)> {
        Self::with_gateways(plan, answer, agents, 1)
    }

    /// The same with more gateways; `sip` is the first one's.
    pub(super) fn with_gateways(
        plan: &Plan,
        answer: Answer,
        agents: u32,
        gateways: u16,
    ) -> anyhow::Result<(Self, u16)> {
        let ports = Ports::take()?;
        let (sip_port, agents_port) = (ports.run(gateways)?, ports.one()?);
        let dir = tempfile::Builder::new().prefix("cb-load-").tempdir_in("/tmp")?;
        let (config, said) = (dir.path().join("config.yaml"), dir.path().join("dev.out"));
        fs::write(&config, documents(answer, agents, agents_port))?;
        let out = fs::File::create(&said)?;
        let mut command = Command::new(&plan.cordboard);
        command.arg("dev").arg("--dir").arg(dir.path()).arg("--config").arg(&config);
        // It ends with us, however we end.
        command.env("CORDBOARD_WITH_PARENT", "1");
        for (name, value) in [
            ("--nodes", 3),
            ("--gateways", gateways),
            ("--sip-port", sip_port),
            ("--rtp-port", RTP_FIRST),
            ("--rtp-ports", RTP_COUNT / gateways),
        ] {
            command.arg(name).arg(value.to_string());
        }
        command.env_remove("CORDBOARD_OTLP").stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let parent = command.spawn().context("cannot start cordboard dev")?;
        let sip = SocketAddr::from(([127, 0, 0, 1], sip_port));
        let (processes, metrics, cordboard) = (Vec::new(), Vec::new(), plan.cordboard.clone());
        let mut site = Self { dir, parent, ports, sip, processes, metrics, cordboard };
        site.wait_until_ready()?;
        Ok((site, agents_port))
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let said = fs::read_to_string(self.dir.path().join("dev.out")).unwrap_or_default();
            if said.lines().any(|line| line == "ready") {
                break;
            }
            if self.parent.try_wait()?.is_some() || began.elapsed() > READY_MAX {
                bail!("cordboard dev is not ready:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let rows: Value = serde_json::from_slice(&fs::read(self.dir.path().join("dev.json"))?)?;
        for row in rows.as_array().context("dev.json is a list")? {
            let name = row["id"].as_str().context("a row has an id")?.to_owned();
            let pid = u32::try_from(row["pid"].as_u64().context("a row has a pid")?)?;
            self.processes.push(Watched { name, pid });
            self.metrics.extend(row["http"].as_str().and_then(|http| http.parse::<SocketAddr>().ok()));
        }
        self.processes.push(Watched { name: "dev".into(), pid: self.parent.id() });
        // The first second after an election is not what is measured.
        std::thread::sleep(Duration::from_secs(1));
        Ok(())
    }

    /// Where `cordctl` finds the cluster.
    pub(super) fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// A process by its id.
    pub(super) fn pid(&self, id: &str) -> anyhow::Result<u32> {
        let found = self.processes.iter().find(|watched| watched.name == id);
        found.map(|watched| watched.pid).with_context(|| format!("there is no {id}"))
    }

    /// The sum of a counter or gauge over all processes.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let read = |address: &SocketAddr| -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(address, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            write!(stream, "GET /metrics HTTP/1.1\r\nHost: load\r\nConnection: close\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        let texts: Vec<_> = self.metrics.iter().filter_map(|address| read(address).ok()).collect();
        let values = texts.iter().flat_map(|text| text.lines()).filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            (key.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok()).flatten()
        });
        values.sum()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let parent = Pid::from_raw(self.parent.id().cast_signed());
        let _ = kill(parent, Signal::SIGINT);
        let began = Instant::now();
        while began.elapsed() < STOP_MAX {
            if matches!(self.parent.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.parent.kill();
        let _ = self.parent.wait();
    }
}

fn documents(answer: Answer, agents: u32, agents_port: u16) -> String {
    let answer = match answer {
        Answer::OnEntry => "on-entry",
        Answer::OnAgent => "on-agent",
    };
    let mut text = format!(
        "kind: Number\nname: \"5000\"\nroute: {{ queue: load }}\n---\nkind: Queue\nname: load\n\
         strategy: longest-idle\nanswer: {answer}\nring_seconds: 20\nwrap_up_seconds: 0\n"
    );
    for agent in 1..=agents {
        text += &format!(
            "---\nkind: Agent\nname: agent{agent:04}\ncontact: sip:agent{agent:04}@127.0.0.1:{agents_port}\n\
             queues: [{{ name: load }}]\nstart: ready\n"
        );
    }
    text
}
