//! Documents: a bad one changes nothing and says where it is bad, many are taken at once, and all of it survives a
//! restart.

use std::fs;

use anyhow::{Context as _, ensure};
use tests::cluster::{Cluster, Plan};

const DOCUMENTS: &str = "kind: Number\nname: \"5000\"\nroute: { queue: support }\n---\nkind: Queue\nname: support\n";

#[test]
fn a_bad_document_says_where_and_changes_nothing() -> anyhow::Result<()> {
    let cluster = Cluster::start(Plan::of(DOCUMENTS))?;
    let before = cluster.ask(&["get"])?;
    let version = cluster.ask(&["status"])?["config_version"].clone();
    let file = cluster.dir().join("centre.yaml");
    let text = "kind: Queue\nname: sales\nring_seconds: 20\n---\nkind: Queue\nname: support\nstrategy: fastest\n---\n\
                kind: Agent\nname: anna\nqueues: [{ name: salez }]\n";
    fs::write(&file, text)?;
    let path = file.display().to_string();
    let out = cluster.cordctl(&["-o", "json", "apply", "-f", &path])?;
    ensure!(out.status.code() == Some(1), "{out:?}");
    let said: serde_json::Value = serde_json::from_slice(&out.stdout)?;
    let errors = said["errors"].as_array().context("errors")?;
    ensure!(errors.len() == 2, "{said}");
    let (strategy, queue) = (&errors[0], &errors[1]);
    ensure!(strategy["file"].as_str().is_some_and(|name| name.ends_with("centre.yaml")), "{strategy}");
    ensure!(strategy["line"] == 7 && strategy["field"] == "strategy", "{strategy}");
    ensure!(strategy["allowed"].as_str().is_some_and(|allowed| allowed.contains("longest-idle")), "{strategy}");
    ensure!(queue["line"] == 11 && queue["field"] == "queues[0].name", "{queue}");
    ensure!(queue["allowed"].as_str().is_some_and(|allowed| allowed.contains("sales")), "{queue}");
    let table = cluster.cordctl(&["apply", "-f", &path])?;
    let told = format!("{}{}", String::from_utf8_lossy(&table.stdout), String::from_utf8_lossy(&table.stderr));
    ensure!(told.contains("centre.yaml:7") && told.contains("strategy") && told.contains("longest-idle"), "{told}");
    ensure!(cluster.ask(&["get"])? == before, "something of it was applied");
    ensure!(cluster.ask(&["status"])?["config_version"] == version);
    let gone = cluster.cordctl(&["queue", "show", "sales"])?;
    ensure!(gone.status.code() == Some(4), "{gone:?}");

    fs::write(&file, text.replace("fastest", "longest-idle").replace("salez", "sales"))?;
    cluster.ask(&["apply", "-f", &path, "--dry-run"])?;
    ensure!(cluster.ask(&["get"])? == before, "a dry run changed something");
    cluster.ask(&["apply", "-f", &path])?;
    cluster.ask_until(&["queue", "show", "sales"], |queue| queue["agents_total"] == 1)?;
    Ok(())
}

#[test]
fn two_thousand_agents_load_and_survive_a_restart() -> anyhow::Result<()> {
    let mut text = DOCUMENTS.to_owned();
    for agent in 1..=2_000 {
        text += &format!(
            "---\nkind: Agent\nname: agent{agent:04}\ncontact: sip:agent{agent:04}@127.0.0.1:15080\n\
             queues: [{{ name: support }}]\nstart: ready\n"
        );
    }
    let mut cluster = Cluster::start(Plan::of(&text))?;
    let all = |shown: &serde_json::Value| shown["agents_total"] == 2_000 && shown["agents_ready"] == 2_000;
    cluster.ask_until(&["queue", "show", "support"], all)?;
    cluster.ask(&["agent", "not-ready", "agent0007", "--reason", "lunch"])?;
    cluster.stop()?;
    cluster.run()?;
    let shown = cluster.ask_until(&["queue", "show", "support"], |shown| shown["agents_total"] == 2_000)?;
    ensure!(shown["agents_ready"] == 1_999, "{}", shown["agents_ready"]);
    let resting = cluster.ask(&["agent", "show", "agent0007"])?;
    ensure!(resting["state"] == "not-ready" && resting["reason"] == "lunch", "{resting}");
    Ok(())
}

#[test]
fn a_bad_file_starts_nothing() -> anyhow::Result<()> {
    let error = match Cluster::start(Plan::of("kind: Queue\nname: support\nring_seconds: 900\n")) {
        Ok(_) => anyhow::bail!("it started"),
        Err(error) => format!("{error:#}"),
    };
    ensure!(error.contains("config.yaml:3") && error.contains("ring_seconds") && error.contains("300"), "{error}");
    Ok(())
}
