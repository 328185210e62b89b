//! Metrics, health and readiness of every process, as Prometheus, Kubernetes and gRPC clients ask for them.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tests::{
    cluster::{Cluster, Plan},
    patience::wait_for,
    sipp::Scenario,
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

const DOCUMENTS: &str = "kind: Number\nname: \"5000\"\nroute: { queue: support }\n---\nkind: Queue\nname: support\n";

/// A plain HTTP/1.0 question: head and body.
fn get(address: SocketAddr, path: &str) -> anyhow::Result<(String, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an HTTP answer")?;
    Ok((head.to_owned(), body.to_owned()))
}

/// `promtool check metrics` reads the text format; OpenMetrics differs from it by its last line and by what belongs to a
/// counter's name, which is said here and nowhere else.
fn promtool(text: &str) -> anyhow::Result<()> {
    let mut plain = String::new();
    for line in text.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT")) {
        let mut words: Vec<String> = line.splitn(4, ' ').map(ToOwned::to_owned).collect();
        let counter = words.len() > 2 && text.contains(&format!("# TYPE {} counter", words[2]));
        if words[0] == "#" && counter {
            words[2] += "_total";
        }
        let line = words.join(" ");
        // Exemplars are OpenMetrics' own.
        let line = if line.starts_with('#') { line.as_str() } else { line.split(" # ").next().unwrap_or_default() };
        plain += line;
        plain.push('\n');
    }
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("is promtool installed?")?;
    child.stdin.take().context("stdin")?.write_all(plain.as_bytes())?;
    let out = child.wait_with_output()?;
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    ensure!(out.status.success(), "promtool: {}\n{said}\n{plain}", out.status);
    Ok(())
}

fn health(address: SocketAddr) -> anyhow::Result<ServingStatus> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
        let request = HealthCheckRequest { service: String::new() };
        Ok(HealthClient::new(channel).check(request).await?.into_inner().status())
    })
}

#[test]
fn every_process_tells_its_metrics_and_its_health() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Plan { gateways: 2, ..Plan::of(DOCUMENTS) })?;
    Scenario::of("caller_talks", cluster.sip(1)).word("talk_ms", "300").run(&cluster.ports)?;
    Scenario::of("caller_refused", cluster.sip(1)).number("4711").word("status", "404").run(&cluster.ports)?;
    let rows = cluster.rows()?;
    ensure!(rows.len() == 5);
    for row in &rows {
        let (head, text) = get(row.http, "/metrics")?;
        ensure!(head.starts_with("HTTP/1.") && head.contains(" 200 "), "{}: {head}", row.id);
        ensure!(text.ends_with("# EOF\n"), "{}: OpenMetrics ends with # EOF", row.id);
        ensure!(text.contains("cordboard_"), "{}: {text}", row.id);
        // No personal data: neither numbers nor callers.
        ensure!(!text.contains("4711") && !text.contains("5000") && !text.contains("SIPp"), "{}: {text}", row.id);
        promtool(&text).with_context(|| row.id.clone())?;
        let (health_head, _) = get(row.http, "/health")?;
        let (ready_head, _) = get(row.http, "/ready")?;
        ensure!(health_head.contains(" 200 ") && ready_head.contains(" 200 "), "{}: {ready_head}", row.id);
        ensure!(health(row.grpc)? == ServingStatus::Serving, "{} does not say that it serves", row.id);
    }
    let gateway = rows.iter().find(|row| row.id == "g1").context("g1")?;
    let (_, text) = get(gateway.http, "/metrics")?;
    let offered = text.lines().find(|line| line.contains("calls_offered_total ")).context("calls are counted")?;
    ensure!(offered.split(' ').nth(1).is_some_and(|count| count == "1"), "{offered}");
    Ok(())
}

#[test]
fn who_cannot_serve_says_so_and_stays_healthy() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Plan::of(DOCUMENTS))?;
    for id in ["n1", "n2"] {
        cluster.kill(id)?;
    }
    for id in ["n3", "g1"] {
        let row = cluster.row(id)?;
        wait_for(&format!("{id} is not ready"), || {
            get(row.http, "/ready").ok().filter(|(head, why)| head.contains(" 503 ") && !why.is_empty())
        })?;
        let (head, _) = get(row.http, "/health")?;
        ensure!(head.contains(" 200 "), "{id} lives and says: {head}");
    }
    for id in ["n1", "n2"] {
        cluster.restart(id)?;
    }
    for id in ["n1", "n2", "n3", "g1"] {
        let row = cluster.row(id)?;
        wait_for(&format!("{id} is ready again"), || {
            get(row.http, "/ready").ok().filter(|(head, _)| head.contains(" 200 "))
        })?;
    }
    Ok(())
}
