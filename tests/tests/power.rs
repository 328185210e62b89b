//! The power goes in the whole building: three real nodes under command load are cut off at once, and each goes on with
//! what its disk would have left, which is what was synced, and of the rest whatever the dice say. Nothing that a client
//! was told may be gone; the history of all clients is judged as one.

// Its other user needs more of it.
#[allow(dead_code)]
#[path = "../../cluster/tests/power/journal.rs"]
mod journal;

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use fastrand::Rng;
use tempfile::TempDir;
use tests::{
    cluster::binary,
    faults::{
        linear::contradictions,
        papers::Papers,
        registers::{Clients, REGISTERS, What},
    },
    patience::wait_long,
    ports::Ports,
};

const NODES: u16 = 3;
const CUTS: usize = 3;
/// Operations of clients between two cuts.
const OPERATIONS: usize = 150;
const START_MAX: Duration = Duration::from_secs(90);

struct Building {
    folder: TempDir,
    shim: PathBuf,
    endpoints: Vec<String>,
    running: Vec<Child>,
    _ports: Ports,
}

impl Drop for Building {
    fn drop(&mut self) {
        let _ = self.cut_off();
    }
}

impl Building {
    fn new() -> anyhow::Result<Self> {
        let (ports, folder) = (Ports::take()?, tempfile::Builder::new().prefix("cb-power-").tempdir_in("/tmp")?);
        let first = ports.run(NODES)?;
        let endpoints = (0..NODES).map(|place| format!("127.0.0.1:{}", first + place)).collect();
        let shim = journal::build_shim(folder.path());
        Ok(Self { folder, shim, endpoints, running: Vec::new(), _ports: ports })
    }

    fn disk(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("n{node}"))
    }

    fn journal(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("n{node}.journal"))
    }

    fn said(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("n{node}.log"))
    }

    fn switch_on(&mut self) -> anyhow::Result<()> {
        (1..=self.endpoints.len()).try_for_each(|node| self.start(node))
    }

    fn start(&mut self, node: usize) -> anyhow::Result<()> {
        let named = |(place, endpoint): (usize, &String)| format!("n{}={endpoint}", place + 1);
        let peers: Vec<String> = self.endpoints.iter().enumerate().map(named).collect();
        let said = fs::File::options().create(true).append(true).open(self.said(node))?;
        let _ = fs::remove_file(self.journal(node));
        let mut command = Command::new(binary("cordboard")?);
        command.args(["node", "--id", &format!("n{node}"), "--peers", &peers.join(","), "--dir"]);
        command.arg(self.disk(node)).env("CORDBOARD_WITH_PARENT", "1").env_remove("CORDBOARD_OTLP");
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        journal::watch(&mut command, &self.shim, &self.disk(node), &self.journal(node));
        self.running.push(command.spawn().context("a node starts")?);
        Ok(())
    }

    /// All at once, as far as signals allow: none of them lives on to see that another one is gone and says so.
    fn cut_off(&mut self) -> anyhow::Result<()> {
        self.running.iter_mut().try_for_each(Child::kill)?;
        for mut child in self.running.drain(..) {
            child.wait()?;
        }
        Ok(())
    }

    /// Puts in the place of each disk what the cut has left; how much of what was on the way was not synced.
    fn leave(&mut self, before: &mut [journal::Disk], mercy: f64, dice: &mut Rng) -> anyhow::Result<usize> {
        let mut unsynced = 0;
        for (place, disk) in before.iter_mut().enumerate() {
            let (node, left) = (place + 1, self.folder.path().join("left"));
            journal::read(&self.journal(node))?.iter().for_each(|step| disk.take(step));
            unsynced += disk.unsynced();
            disk.cut(&left, mercy, dice)?;
            fs::remove_dir_all(self.disk(node))?;
            fs::rename(&left, self.disk(node))?;
            *disk = journal::Disk::of(&self.disk(node))?;
        }
        Ok(unsynced)
    }

    fn logs(&self) -> String {
        let log = |node| fs::read_to_string(self.said(node)).unwrap_or_default();
        (1..=self.endpoints.len()).map(|node| format!("--- n{node}\n{}", log(node))).collect()
    }

    /// Registers for the clients.
    fn configure(&self) -> anyhow::Result<()> {
        let mut text = "kind: Queue\nname: registers\n".to_owned();
        for register in 1..=REGISTERS {
            text += &format!(
                "---\nkind: Agent\nname: reg{register}\ncontact: sip:reg@127.0.0.1:9\nqueues: [registers]\n\
                 start: not-ready\n"
            );
        }
        let file = self.folder.path().join("documents.yaml");
        fs::write(&file, text)?;
        let cordctl = binary("cordctl")?;
        wait_long("the documents are applied", START_MAX, || {
            let mut apply = Command::new(&cordctl);
            apply.args(["--endpoint", &self.endpoints.join(","), "apply", "-f"]).arg(&file);
            apply.output().ok().filter(|out| out.status.success())
        })
        .map(drop)
        .with_context(|| self.logs())
    }
}

#[test]
fn a_power_cut_of_all_nodes_loses_nothing_that_a_client_was_told() -> anyhow::Result<()> {
    let mut building = Building::new()?;
    let mut disks = Vec::new();
    for node in 1..=building.endpoints.len() {
        fs::create_dir_all(building.disk(node))?;
        disks.push(journal::Disk::of(&building.disk(node))?);
    }
    building.switch_on()?;
    building.configure()?;
    let clients = Clients::start(&building.endpoints, &Papers::none())?;
    let mut dice = Rng::with_seed(9);
    let (mut wanted, mut unsynced) = (0, 0);
    for cut in 0..=CUTS {
        wanted = clients.count().max(wanted) + OPERATIONS;
        wait_long("clients are served", START_MAX, || (clients.count() >= wanted).then_some(()))
            .with_context(|| format!("after {cut} cuts: {}", building.logs()))?;
        building.cut_off()?;
        unsynced += building.leave(&mut disks, [0.0, 0.5, 0.9][cut % 3], &mut dice)?;
        building.switch_on()?;
    }
    let wanted = clients.count() + OPERATIONS;
    wait_long("clients are served at last", START_MAX, || (clients.count() >= wanted).then_some(()))
        .with_context(|| building.logs())?;
    let operations = clients.finish();
    let written =
        operations.iter().filter(|operation| matches!(operation.what, What::Write { known: true, .. })).count();
    eprintln!(
        "{} operations, {written} writes were acknowledged; {unsynced} changes were not synced",
        operations.len()
    );
    ensure!(written > OPERATIONS && unsynced > 0, "the power went while something was on its way");
    let broken = contradictions(&operations);
    ensure!(broken.is_empty(), "{}\n{}", broken.join("\n"), building.logs());
    Ok(())
}

/// `cordboard recover` on a disk of the building.
fn recover(building: &Building, more: &[&str]) -> anyhow::Result<(bool, String)> {
    let mut command = Command::new(binary("cordboard")?);
    command.args(["recover", "--id", "n1", "--only", "n1", "--dir"]).arg(building.disk(1)).args(more);
    let out = command.output()?;
    let said = [out.stdout, out.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    Ok((out.status.success(), said))
}

#[test]
fn the_last_node_that_is_left_goes_on_when_somebody_wants_it() -> anyhow::Result<()> {
    let mut building = Building::new()?;
    building.switch_on()?;
    building.configure()?;
    let (done, said) = recover(&building, &["--yes"])?;
    ensure!(!done && said.contains("must not run"), "a node that runs is not recovered: {said}");
    building.cut_off()?;
    for node in [2, 3] {
        fs::remove_dir_all(building.disk(node))?;
    }
    let (done, said) = recover(&building, &[])?;
    ensure!(!done && said.contains("shard 1: voters were n1 n2 n3") && said.contains("nothing was changed"), "{said}");
    let (done, said) = recover(&building, &["--yes"])?;
    ensure!(done && said.contains("Done: n1"), "{said}");
    building.start(1)?;
    building.configure()
}
