//! Certificates between real processes: who is let in, what is renewed without a restart, and what is written down.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::ensure;
use serde_json::Value;
use tests::{
    cluster::{Cluster, Plan, binary},
    patience::wait_for,
};

const DOCUMENTS: &str = "
kind: Number
name: '5000'
route: { queue: support }
---
kind: Queue
name: support
answer: on-entry
---
kind: Agent
name: anna
contact: sip:anna@127.0.0.1:15080
queues: [{ name: support }]
";

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(binary(program)?);
    for variable in ["CORDCTL_ENDPOINT", "CORDCTL_CLUSTER_CA", "CORDCTL_CLUSTER_CERTIFICATE", "CORDCTL_CLUSTER_KEY"] {
        command.env_remove(variable);
    }
    Ok(command.args(arguments).env("NO_COLOR", "1").stdin(Stdio::null()).output()?)
}

fn made(tls: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let out = run("cordboard", &[&["certs"], arguments, &["--dir", &tls.display().to_string()]].concat())?;
    ensure!(out.status.success(), "{arguments:?}: {}", said(&out));
    Ok(())
}

fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// `cordctl` with the certificate `name` of the folder `tls`.
fn ask_as(name: &str, tls: &Path, endpoint: &str, arguments: &[&str]) -> anyhow::Result<Output> {
    let file = |name: &str| tls.join(name).display().to_string();
    let (ca, certificate, key) = (file("ca.pem"), file(&format!("{name}.pem")), file(&format!("{name}.key")));
    let who =
        ["--endpoint", endpoint, "--cluster-ca", &ca, "--cluster-certificate", &certificate, "--cluster-key", &key];
    run("cordctl", &[&who, arguments].concat())
}

#[test]
fn who_may_is_let_in_and_what_they_change_is_written_down() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Plan::of(DOCUMENTS))?;
    let tls = cluster.dir().join("tls");
    let endpoint = cluster.row("n1")?.grpc.to_string();

    made(&tls, &["user", "vera", "--role", "viewer"])?;
    made(&tls, &["user", "carla", "--role", "supervisor"])?;
    let login = ["agent", "login", "anna"];
    let looked = ask_as("user-vera", &tls, &endpoint, &["agent", "list"])?;
    ensure!(looked.status.success() && said(&looked).contains("anna"), "{}", said(&looked));
    let refused = ask_as("user-vera", &tls, &endpoint, &login)?;
    ensure!(refused.status.code() == Some(1) && said(&refused).contains("vera is viewer"), "{}", said(&refused));
    let done = ask_as("user-carla", &tls, &endpoint, &login)?;
    ensure!(done.status.success(), "{}", said(&done));

    // Of another cluster, and of nobody: the nodes do not so much as listen.
    let elsewhere = cluster.dir().join("elsewhere");
    made(&elsewhere, &["ca", "--cluster", "elsewhere"])?;
    made(&elsewhere, &["user", "eve", "--role", "admin"])?;
    let stranger = ask_as("user-eve", &elsewhere, &endpoint, &["status"])?;
    ensure!(stranger.status.code() == Some(3), "{}", said(&stranger));
    // While the cluster runs, its own user needs no more than the endpoint.
    let found = run("cordctl", &["--endpoint", &endpoint, "status"])?;
    ensure!(found.status.success(), "{}", said(&found));

    let audit = cluster.ask(&["audit"])?;
    let rows: Vec<(&str, &str, &str)> = audit
        .as_array()
        .into_iter()
        .flatten()
        .filter(|row| row["method"] == "Admin.ChangeAgent")
        .filter_map(|row| Some((row["who"].as_str()?, row["role"].as_str()?, row["outcome"].as_str().unwrap_or("-"))))
        .collect();
    ensure!(rows == [("carla", "supervisor", "-"), ("carla", "supervisor", "done")], "{audit}");
    let verified = cluster.ask(&["audit", "--verify"])?;
    ensure!(verified["whole"] == true && verified["records"] == audit.as_array().map_or(0, Vec::len), "{verified}");
    let events =
        run("cordctl", &["--dev", &cluster.dir().display().to_string(), "-o", "json", "events", "--kind", "audit"])?;
    let last = verified["hash"].as_str().unwrap_or("none").to_owned();
    ensure!(events.status.success() && said(&events).contains(&last), "{}", said(&events));

    // The chain goes on under another leader, over a restart.
    let leader = cluster.leader(0)?;
    cluster.kill(&leader)?;
    cluster.restart(&leader)?;
    cluster.ask_until(&["agent", "logout", "anna"], |agent| agent["state"] == "logged-out")?;
    let later = cluster
        .ask_until(&["audit", "--verify"], |verified| verified["records"] != audit.as_array().map_or(0, Vec::len))?;
    ensure!(later["whole"] == true && later["first"] == 1, "{later}");
    Ok(())
}

#[test]
fn a_certificate_is_renewed_without_a_restart() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Plan::of(DOCUMENTS))?;
    let tls = cluster.dir().join("tls");
    let pids: Vec<i32> = cluster.rows()?.iter().map(|row| row.pid).collect();
    for (kind, name) in [("node", "n1"), ("node", "n2"), ("node", "n3"), ("gateway", "g1")] {
        made(&tls, &[kind, name, "--days", "7"])?;
        let log = cluster.dir().join(format!("{name}.log"));
        wait_for(&format!("{name} reads its certificate again"), || {
            std::fs::read_to_string(&log).ok()?.contains("have been read again").then_some(())
        })?;
    }
    // Whoever comes anew meets the new ones.
    cluster.kill("n3")?;
    cluster.restart("n3")?;
    cluster.ask_until(&["node", "list"], |nodes| {
        nodes.as_array().is_some_and(|nodes| nodes.len() == 3 && nodes.iter().all(|node| node["up"] == true))
    })?;
    cluster.ask_until(&["gateway", "list"], |gateways| gateways[0]["up"] == true)?;
    let same = cluster.rows()?.iter().zip(&pids).filter(|(row, pid)| row.pid == **pid).count();
    ensure!(same == 3, "nobody but n3 was started again");
    Ok(())
}

/// Killed when dropped.
struct Started(std::process::Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_node_joins_with_its_certificate_and_waits_without() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Plan::of(DOCUMENTS))?;
    let tls = cluster.dir().join("tls");
    made(&tls, &["node", "n4"])?;
    let seed = cluster.row("n1")?.grpc.to_string();
    let start = |id: &str, port: u16, with: &[String]| -> anyhow::Result<(Started, std::path::PathBuf)> {
        let log = cluster.dir().join(format!("{id}-{port}.log"));
        let said = std::fs::File::create(&log)?;
        let mut command = Command::new(binary("cordboard")?);
        command.args(["node", "--id", id, "--join", &seed, "--grpc", &format!("127.0.0.1:{port}"), "--dir"]);
        command.arg(cluster.dir().join(format!("{id}-{port}"))).args(with).env("CORDBOARD_WITH_PARENT", "1");
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        Ok((Started(command.spawn()?), log))
    };
    let (stranger, log) = start("n4", cluster.ports.one()?, &[])?;
    wait_for("the stranger hears why", || {
        std::fs::read_to_string(&log)
            .ok()?
            .contains("does not let it in: this cluster asks for a certificate")
            .then_some(())
    })?;
    drop(stranger);
    let file = |name: &str| tls.join(name).display().to_string();
    let with =
        ["--cluster-ca", &file("ca.pem"), "--cluster-certificate", &file("n4.pem"), "--cluster-key", &file("n4.key")];
    let (_node, _) = start("n4", cluster.ports.one()?, &with.map(ToOwned::to_owned))?;
    cluster.ask_until(&["node", "list"], |nodes| {
        let there = |nodes: &Vec<Value>| nodes.iter().any(|node| node["id"] == "n4" && node["up"] == true);
        nodes.as_array().or_else(|| nodes["nodes"].as_array()).is_some_and(there)
    })?;
    Ok(())
}

#[test]
fn a_process_with_the_certificate_of_another_says_so_and_ends() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let tls = dir.path().join("tls");
    made(&tls, &["ca"])?;
    made(&tls, &["node", "n2"])?;
    made(&tls, &["gateway", "g2"])?;
    let file = |name: &str| tls.join(name).display().to_string();
    let with = |name: &str| {
        let (certificate, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
        [
            "--cluster-ca".into(),
            file("ca.pem"),
            "--cluster-certificate".into(),
            certificate,
            "--cluster-key".into(),
            key,
        ]
    };
    let data = dir.path().join("n1").display().to_string();
    let node = ["node", "--id", "n1", "--dir", &data, "--peers", "n1=127.0.0.1:1"];
    let gateway = ["gateway", "--id", "g1", "--nodes", "127.0.0.1:1", "--sip", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    for (role, with, whose) in [(&node[..], with("n2"), "node/n2"), (&gateway[..], with("g2"), "gateway/g2")] {
        let with: Vec<&str> = with.iter().map(String::as_str).collect();
        let out = run("cordboard", &[role, &with].concat())?;
        ensure!(!out.status.success() && said(&out).contains(whose), "{}", said(&out));
    }
    // Half of what belongs together is no certificate.
    let out = run("cordboard", &[&node[..], &["--cluster-ca", &file("ca.pem")]].concat())?;
    ensure!(out.status.code() == Some(2), "{}", said(&out));
    Ok(())
}
