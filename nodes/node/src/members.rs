//! Who the nodes of the cluster are and where their gRPC is: from the command line at first, then from the directory. All
//! clones share it.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use proto::v1::{NodeRow, NodeWish};

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// In text: `n1`.
    pub id: String,
    /// gRPC, host:port.
    pub endpoint: String,
    /// Of the disk that the directory knows; 0 = none yet.
    pub seal: u64,
}

/// All nodes by number.
#[derive(Debug, Clone, Default)]
pub struct Members(Arc<RwLock<BTreeMap<u64, Entry>>>);

#[derive(Debug, Clone)]
struct Entry {
    member: Member,
    /// Its endpoint was given at our start. The directory on our disk may be older than that: until the node has said where
    /// it is anew, the command line is believed.
    given: Option<Given>,
    /// Where it was said to be at our start: tried too, for as long as we run.
    at_start: Option<String>,
}

/// What the directory on our disk said of the node at our start: seal and life, once it was looked at.
#[derive(Debug, Clone, Default)]
struct Given(Option<(u64, u64)>);

/// A node id or peer list that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MembersError {
    /// Not `n` and a number from 1.
    #[error("{0:?} is no node id: it is n1, n2, ...")]
    Id(String),
    /// Not `id=host:port`.
    #[error("{0:?} is no peer: it is id=host:port, such as n1=127.0.0.1:7001")]
    Peer(String),
    /// Named twice.
    #[error("node {0} is named twice")]
    Twice(String),
    /// The own id is missing.
    #[error("this node, {0}, is not in the list of peers")]
    Missing(String),
}

impl Members {
    /// From the command line, `id=host:port` each.
    ///
    /// # Errors
    /// What is wrong with which entry.
    pub fn parse(peers: &[String]) -> Result<Self, MembersError> {
        let mut members = BTreeMap::new();
        for peer in peers {
            let (id, endpoint) = peer.split_once('=').ok_or_else(|| MembersError::Peer(peer.clone()))?;
            if !endpoint.contains(':') {
                return Err(MembersError::Peer(peer.clone()));
            }
            let member = Member { id: id.to_owned(), endpoint: endpoint.to_owned(), seal: 0 };
            let at_start = Some(member.endpoint.clone());
            let entry = Entry { member, given: Some(Given::default()), at_start };
            if members.insert(known_number(id)?, entry).is_some() {
                return Err(MembersError::Twice(id.to_owned()));
            }
        }
        Ok(Self(Arc::new(RwLock::new(members))))
    }

    /// The number of a node that must be in the list.
    ///
    /// # Errors
    /// It is not.
    pub fn number(&self, id: &str) -> Result<u64, MembersError> {
        let number = known_number(id)?;
        if self.get(number).is_some() { Ok(number) } else { Err(MembersError::Missing(id.to_owned())) }
    }

    /// What this node's replica of the directory says of nodes. Nodes it does not know stay.
    pub fn learn<'a>(&self, rows: impl IntoIterator<Item = &'a NodeRow>) {
        self.take(rows, false);
    }

    /// What the directory's leader says of nodes just now: nobody knows better.
    pub fn trust<'a>(&self, rows: impl IntoIterator<Item = &'a NodeRow>) {
        self.take(rows, true);
    }

    fn take<'a>(&self, rows: impl IntoIterator<Item = &'a NodeRow>, current: bool) {
        let mut members = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            if row.wish() == NodeWish::Removed {
                members.remove(&row.number);
                continue;
            }
            let said = (row.seal, row.life);
            if let Some(Entry { member, given: Some(given), .. }) = members.get_mut(&row.number)
                && !current
                && *given.0.get_or_insert(said) == said
            {
                member.seal = row.seal;
            } else if !row.endpoint.is_empty() {
                let member = Member { id: row.id.clone(), endpoint: row.endpoint.clone(), seal: row.seal };
                let at_start = members.remove(&row.number).and_then(|entry| entry.at_start);
                members.insert(row.number, Entry { member, given: None, at_start });
            }
        }
    }

    /// The one that this node is, wherever others reach it.
    pub fn set_own(&self, number: u64, endpoint: &str) {
        let member = Member { id: id_of(number), endpoint: endpoint.to_owned(), seal: 0 };
        let mut members = self.0.write().unwrap_or_else(PoisonError::into_inner);
        members.insert(number, Entry { member, given: Some(Given::default()), at_start: None });
    }

    /// Where each node may be, likeliest first. A log that is read again at our start tells of former lives, and when all
    /// nodes have moved at once, only what we were started with leads to the others.
    #[must_use]
    pub fn places(&self) -> BTreeMap<u64, Vec<String>> {
        let places = |entry: &Entry| {
            let mut places = vec![entry.member.endpoint.clone()];
            places.extend(entry.at_start.clone().filter(|endpoint| *endpoint != entry.member.endpoint));
            places
        };
        self.read(|members| members.iter().map(|(number, entry)| (*number, places(entry))).collect())
    }

    /// A node by number.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<Member> {
        self.read(|members| members.get(&number).map(|entry| entry.member.clone()))
    }

    /// All, by number.
    #[must_use]
    pub fn all(&self) -> Vec<(u64, Member)> {
        self.read(|members| members.iter().map(|(number, entry)| (*number, entry.member.clone())).collect())
    }

    /// All numbers.
    #[must_use]
    pub fn numbers(&self) -> Vec<u64> {
        self.read(|members| members.keys().copied().collect())
    }

    /// All gRPC endpoints.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.read(|members| members.values().map(|entry| entry.member.endpoint.clone()).collect())
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<u64, Entry>) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The text of a node number.
#[must_use]
pub fn id_of(number: u64) -> String {
    format!("n{number}")
}

/// The number in a node id: `n` and a number from 1, written as [`id_of`] writes it.
#[must_use]
pub fn number_of(id: &str) -> Option<u64> {
    let number = id.strip_prefix('n')?.parse().ok().filter(|&number| number > 0)?;
    (id_of(number) == id).then_some(number)
}

fn known_number(id: &str) -> Result<u64, MembersError> {
    number_of(id).ok_or_else(|| MembersError::Id(id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read_and_wrong_ones_named() {
        let members = Members::parse(&["n1=a:1".into(), "n2=b:2".into()]).expect("two peers");
        assert_eq!(members.number("n2"), Ok(2));
        assert_eq!(members.number("n3"), Err(MembersError::Missing("n3".into())));
        let wrong = |peers: &[&str]| Members::parse(&peers.iter().map(ToString::to_string).collect::<Vec<_>>()).err();
        assert_eq!(wrong(&["x=a:1"]), Some(MembersError::Id("x".into())));
        assert_eq!(wrong(&["n01=a:1"]), Some(MembersError::Id("n01".into())));
        assert_eq!(wrong(&["n1"]), Some(MembersError::Peer("n1".into())));
        assert_eq!(wrong(&["n1=a:1", "n1=b:2"]), Some(MembersError::Twice("n1".into())));
    }

    #[test]
    fn where_a_node_was_said_to_be_at_our_start_is_tried_for_ever() {
        let members = Members::parse(&["n2=new:2".into()]).expect("a peer");
        let row = |life, endpoint: &str| NodeRow {
            number: 2,
            id: id_of(2),
            endpoint: endpoint.into(),
            seal: 7,
            life,
            ..NodeRow::default()
        };
        // Two lives of before our start, as the log tells of them when it is read again.
        members.learn(&[row(1, "older:2")]);
        members.learn(&[row(2, "old:2")]);
        assert_eq!(members.places()[&2], ["old:2", "new:2"]);
        members.learn(&[row(3, "new:2")]);
        assert_eq!(members.places()[&2], ["new:2"]);
    }

    #[test]
    fn the_directory_knows_better_than_the_command_line() {
        let members = Members::parse(&["n1=a:1".into(), "n2=b:2".into(), "n3=c:3".into()]).expect("three peers");
        let row = |number: u64, endpoint: &str, wish: NodeWish| NodeRow {
            number,
            id: id_of(number),
            endpoint: endpoint.into(),
            wish: wish.into(),
            ..NodeRow::default()
        };
        let rows = [
            row(2, "elsewhere:2", NodeWish::Unspecified),
            row(3, "c:3", NodeWish::Removed),
            row(4, "", NodeWish::Added),
            row(5, "e:5", NodeWish::Drained),
        ];
        members.trust(&rows);
        assert_eq!(members.endpoints(), ["a:1", "elsewhere:2", "e:5"]);
    }

    #[test]
    fn the_disk_knows_no_better_than_the_command_line_until_something_new_is_heard() {
        let members = Members::parse(&["n1=a:1".into(), "n2=b:2".into()]).expect("two peers");
        let row = |endpoint: &str, life| NodeRow {
            number: 2,
            id: "n2".into(),
            endpoint: endpoint.into(),
            seal: 7,
            life,
            ..NodeRow::default()
        };
        members.learn(&[row("old:2", 4)]);
        members.learn(&[row("old:2", 4)]);
        assert_eq!(members.endpoints(), ["a:1", "b:2"]);
        assert_eq!(members.get(2).expect("there").seal, 7, "which disk it has is known all the same");
        members.learn(&[row("new:2", 5)]);
        assert_eq!(members.endpoints(), ["a:1", "new:2"]);
    }
}
