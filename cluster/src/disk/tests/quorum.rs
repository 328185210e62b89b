//! Stories of nodes that have lost most of their voters for good.

use std::collections::BTreeSet;

use super::*;
use crate::recover;

fn path(folder: &Path, node: u64) -> std::path::PathBuf {
    folder.join(format!("n{node}"))
}

fn change(nodes: &mut Nodes, steps: &[Membership]) {
    let leads = leader(nodes);
    nodes.get_mut(&leads).expect("it is there").host.change_members(SHARD, steps).expect("it is taken");
    settle(nodes);
}

fn count(nodes: &Nodes, node: u64) -> u64 {
    nodes[&node].host.machine(SHARD).map_or(0, |sum| sum.count)
}

/// Whatever happened to the members before, with and without a snapshot since.
#[test]
fn the_one_that_is_left_goes_on_alone_and_others_rejoin() {
    for entries_since in [3, 120] {
        let folder = tempfile::tempdir().expect("a folder");
        let open_at = |node: u64, voters: &[u64]| open(&path(folder.path(), node), node, voters);
        let mut nodes: Nodes = (1..=3).map(|node| (node, open_at(node, &[1, 2, 3]))).collect();
        propose(&mut nodes, 30, 50);
        nodes.insert(4, open_at(4, &[]));
        change(&mut nodes, &[Membership::Learn(4)]);
        change(&mut nodes, &[Membership::Vote(4), Membership::Leave(2)]);
        nodes.remove(&2);
        propose(&mut nodes, entries_since, 50);
        settle(&mut nodes);
        drop(nodes);

        // Alone it never leads.
        let mut nodes = Nodes::from([(1, open_at(1, &[]))]);
        settle(&mut nodes);
        assert!(!nodes[&1].host.status(SHARD).is_some_and(|status| status.established));
        drop(nodes);
        let only = BTreeSet::from([1]);
        let plan = recover(&path(folder.path(), 1), &identity(1), &only, false).expect("readable");
        let done = recover(&path(folder.path(), 1), &identity(1), &only, true).expect("writable");
        assert_eq!((plan.len(), &plan), (1, &done));
        assert!(!done[0].behind && done[0].shard == SHARD, "{done:?}");
        if entries_since == 120 {
            assert_eq!(done[0].voters, [1, 3, 4]);
        }
        let again = recover(&path(folder.path(), 1), &identity(1), &only, true).expect("it may be repeated");
        assert_eq!((again[0].changes, again[0].voters.as_slice()), (0, [1].as_slice()));

        let mut nodes = Nodes::from([(1, open_at(1, &[]))]);
        assert_eq!(leader(&mut nodes), 1);
        assert_eq!(count(&nodes, 1), 30 + entries_since as u64);
        // A new disk in the place of a lost one, which then restarts twice.
        fs::remove_dir_all(path(folder.path(), 3)).expect("wiped");
        nodes.insert(3, open_at(3, &[]));
        change(&mut nodes, &[Membership::Learn(3)]);
        change(&mut nodes, &[Membership::Vote(3)]);
        for _ in 0..2 {
            for node in [1, 3] {
                nodes.remove(&node);
                nodes.insert(node, open_at(node, &[]));
            }
            propose(&mut nodes, 10, 50);
            settle(&mut nodes);
            assert_eq!(count(&nodes, 3), count(&nodes, 1));
            assert_eq!(nodes[&1].host.status(SHARD).map(|status| status.voters), Some(vec![1, 3]));
        }
    }
}

#[test]
fn of_two_that_are_left_the_one_that_knows_more_leads() {
    let folder = tempfile::tempdir().expect("a folder");
    let voters = [1, 2, 3, 4, 5];
    let open_at = |node: u64| open(&path(folder.path(), node), node, &voters);
    let mut nodes: Nodes = voters.into_iter().map(|node| (node, open_at(node))).collect();
    propose(&mut nodes, 40, 50);
    settle(&mut nodes);
    let leads = leader(&mut nodes);
    let rest: Vec<u64> = voters.into_iter().filter(|node| *node != leads).collect();
    // One of the two that will be left was away for the last entries.
    let (away, here) = (rest[0], rest[1]);
    nodes.remove(&away);
    propose(&mut nodes, 25, 50);
    settle(&mut nodes);
    drop(nodes);
    let only = BTreeSet::from([away, here]);
    for node in [away, here] {
        recover(&path(folder.path(), node), &identity(node), &only, true).expect("recovered");
    }
    let mut nodes: Nodes = [away, here].into_iter().map(|node| (node, open_at(node))).collect();
    propose(&mut nodes, 5, 50);
    settle(&mut nodes);
    assert_eq!((count(&nodes, away), count(&nodes, here)), (70, 70));
}

#[test]
fn a_folder_in_use_or_of_somebody_else_is_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Nodes::from([(1, open(&path(folder.path(), 1), 1, &[1]))]);
    propose(&mut nodes, 5, 50);
    let only = BTreeSet::from([1]);
    let refusal =
        |node: u64| recover(&path(folder.path(), 1), &identity(node), &only, true).err().map(|error| error.to_string());
    assert!(refusal(1).is_some_and(|said| said.contains("lock")), "{:?}", refusal(1));
    drop(nodes);
    assert!(refusal(2).is_some_and(|said| said.contains("belongs to node 1")), "{:?}", refusal(2));
    assert_eq!(refusal(1), None);
    let nowhere = recover(&path(folder.path(), 7), &identity(7), &only, true);
    assert!(nowhere.is_err() && !path(folder.path(), 7).exists(), "nothing begins where nothing was");
}
