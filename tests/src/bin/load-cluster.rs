//! `make load-cluster`: the replication's figures beside etcd's, in one run. Loopback only, bounded in count and time. Judges
//! nothing: its last line is one JSON document.

use std::{io::Write as _, path::PathBuf};

use anyhow::{Context as _, bail};
use tests::load::cluster::{self, PIECES, Plan};

const USAGE: &str =
    "load-cluster [--only NAME]... [--seconds N] [--rounds N] [--kills N] [--shards N] [--idle-shards N] [--calls N]
     [--cordboard FILE]
  commits   writes a second and per CPU-second at 1, 64 and 256 clients: etcd, one shard, many shards
  failover  leaders killed: until the next commit
  handover  leads handed over on purpose: the longest time without a commit
  idle      CPU of shards that do nothing
  rejoin    a node of many calls comes back with an empty disk";

fn main() -> anyhow::Result<()> {
    let mut plan = Plan::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} wants a value\n{USAGE}"));
        match argument.as_str() {
            "--only" => plan.only.push(value()?),
            "--seconds" => plan.seconds = value()?.parse()?,
            "--rounds" => plan.rounds = value()?.parse()?,
            "--kills" => plan.kills = value()?.parse()?,
            "--shards" => plan.shards = value()?.parse()?,
            "--idle-shards" => plan.idle_shards = value()?.parse()?,
            "--calls" => plan.calls = value()?.parse()?,
            "--cordboard" => plan.cordboard = PathBuf::from(value()?),
            _ => bail!("unknown argument {argument}\n{USAGE}"),
        }
    }
    if let Some(unknown) = plan.only.iter().find(|name| !PIECES.contains(&name.as_str())) {
        bail!("there is no piece {unknown}\n{USAGE}");
    }
    plan.cordboard = tests::load::binary_to_measure(&plan.cordboard)?;
    let report = cluster::run(&plan, &mut |line| {
        let _ = writeln!(std::io::stderr(), "{line}");
    });
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}
