//! The load that `make load` puts on a real cluster, and what it measures there. One scenario a file, each against a
//! fresh cluster. Never looks into a package of ours: figures come from the wire and from /proc.

pub mod cluster;
mod direct;
mod figures;
mod gateways;
mod line;
mod phones;
mod proc;
mod setup;
mod sipp;
mod site;
mod words;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

pub use figures::table;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The binary under load.
    pub cordboard: PathBuf,
    /// These scenarios; all of them when empty.
    pub only: Vec<String>,
    /// Calls of the set-up scenario.
    pub calls: u32,
    /// Calls per second of it.
    pub rate: u32,
    /// Callers in line.
    pub waiting: u32,
    /// Talking calls, and as many waiting ones, of the gateway that goes.
    pub talking: u32,
    /// Callers served while others wait.
    pub served: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            cordboard: PathBuf::new(),
            only: Vec::new(),
            calls: 6_000,
            rate: 100,
            waiting: 4_000,
            talking: 1_000,
            served: 600,
        }
    }
}

/// The `cordboard` to measure: the one that was named, or else the one beside this program.
///
/// # Errors
/// It is not there.
pub fn binary_to_measure(named: &Path) -> anyhow::Result<PathBuf> {
    let binary = match named.as_os_str().is_empty() {
        true => std::env::current_exe()?.with_file_name("cordboard"),
        false => named.to_owned(),
    };
    anyhow::ensure!(binary.is_file(), "{} is not built: run `make build`", binary.display());
    Ok(binary)
}

/// Runs the scenarios one after the other.
///
/// # Errors
/// A cluster did not start, or a scenario could not be carried out.
pub fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> anyhow::Result<Value> {
    let mut report = Map::new();
    report.insert("machine".into(), figures::machine());
    let mut scenario = |name: &str, run: &dyn Fn(&Plan) -> anyhow::Result<Value>| -> anyhow::Result<()> {
        if plan.only.is_empty() || plan.only.iter().any(|only| only == name) {
            say(&format!("{name} ..."));
            report.insert(name.into(), run(plan)?);
        }
        Ok(())
    };
    scenario("direct", &direct::run)?;
    scenario("idle", &setup::idle)?;
    scenario("setup", &setup::run)?;
    scenario("queue", &line::queue)?;
    scenario("music", &line::music)?;
    scenario("killed", &gateways::killed)?;
    scenario("drained", &gateways::drained)?;
    scenario("setting_up", &gateways::setting_up)?;
    Ok(json!(report))
}
