//! Three servers of one kind on loopback, durable, in folders of their own; ended when dropped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::{load::proc::Watched, patience::wait_long, ports::Ports};

pub(super) const NODES: usize = 3;
const READY_MAX: Duration = Duration::from_secs(60);

/// One server.
pub(super) struct Server {
    name: String,
    command: Vec<String>,
    child: Option<Child>,
    pub(super) dir: PathBuf,
    /// gRPC.
    pub(super) endpoint: String,
}

impl Server {
    pub(super) fn start(&mut self, folder: &Path) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "{} runs", self.name);
        let said = fs::File::options().create(true).append(true).open(folder.join(format!("{}.log", self.name)))?;
        let (program, arguments) = self.command.split_first().context("a program")?;
        let child = Command::new(program)
            .args(arguments)
            .env_remove("CORDBOARD_OTLP")
            // Ours end with us, however we end.
            .env("CORDBOARD_WITH_PARENT", "1")
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        self.child = Some(child);
        Ok(())
    }

    /// `kill -9`; returns when it is gone.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().with_context(|| format!("{} does not run", self.name))?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    fn watched(&self) -> Option<Watched> {
        Some(Watched { name: self.name.clone(), pid: self.child.as_ref()?.id() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Three of them.
pub(super) struct Servers {
    pub(super) servers: Vec<Server>,
    dir: TempDir,
    _ports: Ports,
}

impl Servers {
    /// etcd with its own defaults: every put is synced on a majority before it is answered.
    pub(super) fn etcd() -> anyhow::Result<Self> {
        let (ports, dir) = (Ports::take()?, folder()?);
        let (clients, peers) = (ports.run(NODES as u16)?, ports.run(NODES as u16)?);
        let url = |port: u16, place: usize| format!("http://127.0.0.1:{}", usize::from(port) + place);
        let cluster: Vec<String> = (0..NODES).map(|place| format!("e{place}={}", url(peers, place))).collect();
        let servers = (0..NODES).map(|place| {
            let name = format!("e{place}");
            let own = dir.path().join(&name);
            let mut command = vec!["etcd".to_owned()];
            for (flag, value) in [
                ("name", name.clone()),
                ("data-dir", own.display().to_string()),
                ("listen-client-urls", url(clients, place)),
                ("advertise-client-urls", url(clients, place)),
                ("listen-peer-urls", url(peers, place)),
                ("initial-advertise-peer-urls", url(peers, place)),
                ("initial-cluster", cluster.join(",")),
                ("logger", "zap".to_owned()),
                ("log-level", "error".to_owned()),
            ] {
                command.extend([format!("--{flag}"), value]);
            }
            let endpoint = format!("127.0.0.1:{}", usize::from(clients) + place);
            Server { name, command, child: None, dir: own, endpoint }
        });
        Self { servers: servers.collect(), dir, _ports: ports }.started()
    }

    /// Ours, founded with so many tenant shards.
    pub(super) fn cordboard(binary: &Path, tenant_shards: u32) -> anyhow::Result<Self> {
        let (ports, dir) = (Ports::take()?, folder()?);
        let grpc = ports.run(NODES as u16)?;
        let at = |place: usize| format!("127.0.0.1:{}", usize::from(grpc) + place);
        let peers: Vec<String> = (0..NODES).map(|place| format!("n{}={}", place + 1, at(place))).collect();
        let servers = (0..NODES).map(|place| {
            let name = format!("n{}", place + 1);
            let own = dir.path().join(&name);
            let mut command = vec![binary.display().to_string(), "node".to_owned()];
            for (flag, value) in [
                ("id", name.clone()),
                ("dir", own.display().to_string()),
                ("peers", peers.join(",")),
                ("tenant-shards", tenant_shards.to_string()),
            ] {
                command.extend([format!("--{flag}"), value]);
            }
            Server { name, command, child: None, dir: own, endpoint: at(place) }
        });
        Self { servers: servers.collect(), dir, _ports: ports }.started()
    }

    fn started(mut self) -> anyhow::Result<Self> {
        let folder = self.dir.path().to_owned();
        self.servers.iter_mut().try_for_each(|server| server.start(&folder))?;
        for server in &self.servers {
            let address = server.endpoint.parse()?;
            wait_long(&format!("{} listens", server.name), READY_MAX, || {
                std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()
            })?;
        }
        Ok(self)
    }

    /// Starts one again.
    pub(super) fn restart(&mut self, place: usize) -> anyhow::Result<()> {
        let folder = self.dir.path().to_owned();
        self.servers.get_mut(place).context("there is such a server")?.start(&folder)
    }

    pub(super) fn endpoints(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.endpoint.clone()).collect()
    }

    /// For their CPU.
    pub(super) fn watched(&self) -> Vec<Watched> {
        self.servers.iter().filter_map(Server::watched).collect()
    }
}

fn folder() -> anyhow::Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("cb-load-").tempdir_in("/tmp")?)
}
