//! The short form of the fault suite: real processes in network namespaces, SIPp's load, one fault after the other, and a
//! checker over everything that was seen. The long form is `make faults`.

use tests::faults::{
    scenarios,
    site::Binaries,
    story::{Load, Story},
};

#[test]
fn faults_under_load_hurt_nobody() -> anyhow::Result<()> {
    let mut story = Story::open(Binaries::own()?, Load::default())?;
    story.play("leader killed", scenarios::leader_killed)?;
    story.play("leader stopped", scenarios::leader_stopped)?;
    story.play("leader in the minority", scenarios::leader_in_minority)?;
    story.play("leader deaf", scenarios::leader_deaf)?;
    story.play("disk full", scenarios::disk_full)?;
    story.play("node wiped", scenarios::node_wiped)?;
    story.play("all nodes killed", scenarios::all_nodes_killed)?;
    story.close().map(drop)
}
