//! `make load`: the figures of docs/performance.md, side by side in one run, against the binaries beside this one.
//! Bounded in count and time, loopback only. Judges nothing: it prints a table, and one JSON document as its last line.

use std::{io::Write as _, path::PathBuf};

use anyhow::{Context as _, bail};
use tests::load::{self, Plan};

const USAGE: &str = "load [--only direct|idle|setup|queue|music|killed|drained|setting_up]... [--calls N] [--rate N] [--waiting N] [--served N] [--talking N]
     [--cordboard FILE]
  direct  SIPp calls SIPp: what the load itself costs on this machine
  idle    the cluster without a call
  setup   500 agents, SIPp callers and agents: CPU per call, set-up time
  queue   callers in line, 50 agents: freed -> next INVITE, order, memory per waiting call without music
  music   callers in line with music and RTP: memory per waiting call
  killed  two gateways, N talking and N waiting calls on one, kill -9 of it
  drained the same, `cordctl gateway drain`
  setting_up  100 calls that ring at the kill
  --cordboard FILE  measure this binary instead of the one beside this program";

fn main() -> anyhow::Result<()> {
    let mut plan = Plan::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} wants a value\n{USAGE}"));
        match argument.as_str() {
            "--only" => plan.only.push(value()?),
            "--calls" => plan.calls = value()?.parse()?,
            "--rate" => plan.rate = value()?.parse()?,
            "--waiting" => plan.waiting = value()?.parse()?,
            "--talking" => plan.talking = value()?.parse()?,
            "--served" => plan.served = value()?.parse()?,
            "--cordboard" => plan.cordboard = PathBuf::from(value()?),
            _ => bail!("unknown argument {argument}\n{USAGE}"),
        }
    }
    plan.cordboard = tests::load::binary_to_measure(&plan.cordboard)?;
    let report = load::run(&plan, &mut |line| {
        let _ = writeln!(std::io::stderr(), "{line}");
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n{}", load::table(&report), report)?;
    Ok(())
}
