//! Who the nodes of the cluster are and where their gRPC is. Fixed at start in this release.

use std::collections::BTreeMap;

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// In text: `n1`.
    pub id: String,
    /// gRPC, host:port.
    pub endpoint: String,
}

/// All nodes by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members(BTreeMap<u64, Member>);

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
            let member = Member { id: id.to_owned(), endpoint: endpoint.to_owned() };
            if members.insert(known_number(id)?, member).is_some() {
                return Err(MembersError::Twice(id.to_owned()));
            }
        }
        Ok(Self(members))
    }

    /// The number of a node that must be in the list.
    ///
    /// # Errors
    /// It is not.
    pub fn number(&self, id: &str) -> Result<u64, MembersError> {
        let number = known_number(id)?;
        if self.0.contains_key(&number) { Ok(number) } else { Err(MembersError::Missing(id.to_owned())) }
    }

    /// A node by number.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Member> {
        self.0.get(&number)
    }

    /// All, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Member)> {
        self.0.iter().map(|(&number, member)| (number, member))
    }

    /// All numbers.
    #[must_use]
    pub fn numbers(&self) -> Vec<u64> {
        self.0.keys().copied().collect()
    }

    /// All gRPC endpoints.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.0.values().map(|member| member.endpoint.clone()).collect()
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
        assert_eq!(Members::parse(&["x=a:1".into()]), Err(MembersError::Id("x".into())));
        assert_eq!(Members::parse(&["n1".into()]), Err(MembersError::Peer("n1".into())));
        assert_eq!(Members::parse(&["n1=a:1".into(), "n1=b:2".into()]), Err(MembersError::Twice("n1".into())));
    }
}
