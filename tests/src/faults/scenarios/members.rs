//! Nodes that come and go on purpose while everybody calls.

use anyhow::ensure;
use serde_json::Value;

use super::{leader_and_term, others};
use crate::faults::story::{Proof, Story};

/// A fourth node joins and gets replicas, the leader is drained, killed in the middle of it, and comes back; then the
/// fourth goes for good.
///
/// # Errors
/// As every scenario.
pub fn members_change(story: &mut Story) -> anyhow::Result<Proof> {
    let fresh = story.site.join_node()?;
    story.site.ask_until(&["node", "list"], |list| place_of(list, &fresh) == "active")?;
    // As the fourth it learns the directory and has no vote in it.
    story.site.ask_until(&["node", "list"], |list| {
        row(list, &fresh).is_some_and(|row| row["replicas"].as_u64() >= Some(1))
    })?;
    story.flows()?;

    let (leader, _) = leader_and_term(story)?;
    story.site.ask(&["node", "drain", &leader])?;
    story.site.machine(&leader)?.kill()?;
    // It holds nothing any more although it is gone: the others took its place.
    story.site.ask_until(&["shard", "list"], |list| {
        let members = replicas(list, 1);
        members.contains(&fresh) && !members.contains(&leader)
    })?;
    story.flows()?;
    story.site.start_machine(&leader)?;
    story.site.ask_until(&["node", "list"], |list| place_of(list, &leader) == "drained")?;
    story.site.ask(&["node", "drain", &leader, "--undo"])?;

    // Refused until the cluster has seen the other one again.
    story.site.ask_until(&["node", "drain", &fresh], |_| true)?;
    story.site.ask_until(&["node", "list"], |list| place_of(list, &fresh) == "drained")?;
    story.site.ask_until(&["shard", "list"], |list| {
        let members = replicas(list, 1);
        members.contains(&leader) && !members.contains(&fresh)
    })?;
    story.site.ask(&["node", "remove", &fresh])?;
    story.site.ask_until(&["node", "list"], |list| {
        place_of(list, &fresh).is_empty() || place_of(list, &fresh) == "removed"
    })?;
    story.site.forget_node(&fresh)?;
    let left = others(story, &fresh);
    ensure!(left.len() == 3, "{left:?} are left");
    Ok(Proof(format!(
        "{fresh} joined and had replicas, {leader} was drained and killed meanwhile, {fresh} was removed"
    )))
}

fn row<'a>(list: &'a Value, id: &str) -> Option<&'a Value> {
    list.as_array()?.iter().find(|row| row["id"] == id)
}

/// What a node is in the cluster's eyes; empty when it is not there.
fn place_of(list: &Value, id: &str) -> String {
    row(list, id).and_then(|row| row["place"].as_str()).unwrap_or_default().to_owned()
}

fn replicas(list: &Value, shard: u32) -> Vec<String> {
    let row = list.as_array().into_iter().flatten().find(|row| row["id"] == shard);
    let ids = row.and_then(|row| row["replicas"].as_array()).into_iter().flatten();
    ids.filter_map(|id| id.as_str().map(ToOwned::to_owned)).collect()
}
