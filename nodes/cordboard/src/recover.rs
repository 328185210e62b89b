//! `cordboard recover`: a cluster that has lost most of its voters for good goes on with those that are left. Says what it
//! would do, and does it with `--yes`. What it does to the disk is `cluster`'s.

// What it says to its user is what it is there for.
#![allow(clippy::print_stdout)]

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use node::{Identity, RecoveredShard, members::number_of};

use crate::args::RecoverArgs;

/// Does it, or says what it would do and fails, so that no script takes that for done.
pub(crate) fn run(args: &RecoverArgs) -> anyhow::Result<()> {
    let number = |id: &String| number_of(id).with_context(|| format!("{id:?} is no node id: it is n1, n2, ..."));
    let node = number(&args.id)?;
    let only = args.only.iter().map(number).collect::<anyhow::Result<BTreeSet<u64>>>()?;
    if !only.contains(&node) {
        bail!("{} is not in --only: a node that is not to be left needs no recovery, its data is moved away", args.id);
    }
    let identity = Identity { cluster: args.cluster.clone(), node };
    let shards = node::recover(&args.dir, &identity, &only, args.yes)
        .context("nothing was recovered (the node must not run meanwhile)")?;
    if shards.is_empty() {
        bail!("{}: no replica is here that could be recovered", args.dir.display());
    }
    shards.iter().for_each(|shard| println!("{}", line(shard)));
    let left = args.only.join(", ");
    println!(
        "Lost: whatever only other nodes had acknowledged, and shards that none of {left} has a replica of.\n\
         Do the same on each of {left}, with the same --only, before any of them starts.\n\
         Every other node must start with an empty folder, or never again: with its old disk it would go on as if this \
         had not been."
    );
    if !args.yes {
        bail!("nothing was changed; with --yes {left} become the only voters of these shards");
    }
    println!("Done: {left} are the only voters of {} shards on this disk.", shards.len());
    Ok(())
}

fn line(found: &RecoveredShard) -> String {
    let RecoveredShard { shard, last, unsure, changes, .. } = found;
    let voters: Vec<_> = found.voters.iter().map(|node| format!("n{node}")).collect();
    let mut line = format!("shard {shard}: voters were {}, last entry {last}", voters.join(" "));
    if *unsure > 0 {
        line += &format!(", {unsure} entries become valid that nobody may have been told of");
    }
    if *changes > 0 {
        line += &format!(", {changes} changes of members are dropped");
    }
    if found.behind {
        line += ", this replica did not vote: it may lack more than others do";
    }
    line
}
