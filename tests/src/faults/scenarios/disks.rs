//! Disks that are full, that fail, and that are new.

use std::{fs, io::Write as _};

use anyhow::{Context as _, ensure};

use super::others;
use crate::{
    faults::{
        net::run,
        story::{Proof, Story},
    },
    patience::wait_for,
};

/// How a node ends whose disk failed.
const DISK_FAILED: i32 = 74;
/// libfiu: what it puts before the program, as Debian installs it.
const FIU: &str = "/usr/lib/fiu/fiu_run_preload.so:/usr/lib/fiu/fiu_posix_preload.so";

/// The disk of the last node is full: it must stop with a clear word, and the others go on.
///
/// # Errors
/// As every scenario.
pub fn disk_full(story: &mut Story) -> anyhow::Result<Proof> {
    let id = story.site.nodes().pop().context("there are nodes")?;
    let ballast = story.site.machine(&id)?.dir.join("ballast");
    let mut file = fs::File::create(&ballast)?;
    let piece = vec![0x5a; 1 << 16];
    // Until the disk says no; then byte by byte what is left of a page.
    while file.write_all(&piece).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
    drop(file);
    let free = nix::sys::statvfs::statvfs(&story.site.machine(&id)?.dir)?.blocks_available();
    ensure!(free == 0, "{free} blocks are still free on {id}");
    let status = story.site.machine(&id)?.ended()?;
    ensure!(status.code() == Some(DISK_FAILED), "{id} ended with {status}");
    let said = story.site.machine(&id)?.said();
    ensure!(said.contains("the disk failed"), "{id} did not say why it stopped:\n{said}");
    story.flows()?;
    fs::remove_file(&ballast)?;
    story.site.start_machine(&id)?;
    Ok(Proof(format!("0 blocks free on {id}, which ended with {DISK_FAILED} and said why")))
}

/// A node's disk is replaced by an empty one while it is away.
///
/// # Errors
/// As every scenario.
pub fn node_wiped(story: &mut Story) -> anyhow::Result<Proof> {
    let leader = story.site.leader()?;
    let id = others(story, &leader).into_iter().next().context("there are followers")?;
    let before = story.site.shard_metric(&id, "shard_applied_index", 1)?;
    story.site.machine(&id)?.kill()?;
    story.site.machine(&id)?.wipe()?;
    ensure!(fs::read_dir(&story.site.machine(&id)?.dir)?.next().is_none(), "{id} still has data");
    story.flows()?;
    story.site.start_machine(&id)?;
    // Then restarted twice: what it was given must be on its disk.
    for _ in 0..2 {
        let caught_up = wait_for(&format!("{id} has what it had"), || {
            story.site.shard_metric(&id, "shard_applied_index", 1).ok().filter(|index| *index > before)
        });
        caught_up.with_context(|| story.site.said())?;
        story.site.machine(&id)?.kill()?;
        story.site.start_machine(&id)?;
    }
    Ok(Proof(format!("{id} emptied at index {before}, came back, and was killed twice more")))
}

/// From one moment on every fsync and fdatasync of the leader fails: it must stop, acknowledge nothing, and come back.
///
/// # Errors
/// As every scenario.
pub fn fsync_fails(story: &mut Story) -> anyhow::Result<Proof> {
    let id = story.site.leader()?;
    let fifo = story.site.dir().join("fiu").display().to_string();
    let machine = story.site.machine(&id)?;
    machine.terminate()?;
    machine.environment = vec![("LD_PRELOAD".into(), FIU.into()), ("FIU_CTRL_FIFO".into(), fifo.clone())];
    story.site.start_machine(&id)?;
    story.site.machine(&id)?.environment.clear();
    story.site.whole()?;
    let pid = story.site.machine(&id)?.pid()?.to_string();
    for point in ["fsync", "fdatasync"] {
        run(&["fiu-ctrl", "-f", &fifo, "-c", &format!("enable name=posix/io/sync/{point}"), &pid])
            .context("libfiu does not answer: is fiu-utils installed?")?;
    }
    let status = story.site.machine(&id)?.ended()?;
    ensure!(status.code() == Some(DISK_FAILED), "{id} ended with {status}");
    let said = story.site.machine(&id)?.said();
    ensure!(said.contains("the disk failed"), "{id} did not say why it stopped:\n{said}");
    story.flows()?;
    story.site.start_machine(&id)?;
    Ok(Proof(format!("fsync failed in pid {pid} of {id}, which ended with {DISK_FAILED} and said why")))
}
