//! The directory as this gateway knows it: one immutable view that lanes read, replaced whole.
//! Nothing here waits for the network; `follow.rs` brings the views.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use arc_swap::ArcSwapOption;
use proto::v1;
use thiserror::Error;

use crate::cidr::Block;

/// Where the newest view stands; empty until the first one came.
pub(crate) type Directory = Arc<ArcSwapOption<View>>;

/// One version of the directory, in the shapes that lanes ask for.
pub(crate) struct View {
    pub(crate) version: u64,
    pub(crate) secret: [u8; 32],
    /// Made of the secret: which lane a message belongs to.
    pub(crate) keys: sip::tag::Keys,
    pub(crate) realm: String,
    pub(crate) shards: Vec<Place>,
    numbers: HashMap<String, u32>,
    trunks: Vec<Block>,
    credentials: HashMap<String, sip::Ha1>,
}

/// Where a shard's replicas are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) shard: u32,
    pub(crate) endpoints: Vec<String>,
}

/// A view that no directory of ours would send.
#[derive(Debug, Error)]
pub(crate) enum ViewError {
    #[error("the secret has {0} bytes, not 32")]
    Secret(usize),
}

impl TryFrom<v1::DirectoryView> for View {
    type Error = ViewError;

    fn try_from(view: v1::DirectoryView) -> Result<Self, ViewError> {
        let secret = <[u8; 32]>::try_from(view.secret.as_slice()).map_err(|_| ViewError::Secret(view.secret.len()))?;
        Ok(Self {
            version: view.version,
            secret,
            keys: sip::tag::Keys::new(&secret),
            realm: view.realm,
            shards: view.shards.into_iter().map(|p| Place { shard: p.shard, endpoints: p.endpoints }).collect(),
            numbers: view.numbers.into_iter().map(|route| (route.number, route.shard)).collect(),
            trunks: view.trunks.iter().flat_map(blocks).collect(),
            credentials: view.credentials.into_iter().filter_map(credential).collect(),
        })
    }
}

/// The blocks of a trunk; one that does not parse is left out, so it can only allow less.
fn blocks(trunk: &v1::TrunkAccess) -> impl Iterator<Item = Block> {
    trunk.addresses.iter().filter_map(|address| {
        address.parse().inspect_err(|error| tracing::warn!(trunk = trunk.name, %error, "address ignored")).ok()
    })
}

fn credential(credential: v1::Credential) -> Option<(String, sip::Ha1)> {
    let (Ok(md5), Ok(sha256)) =
        (<[u8; 16]>::try_from(credential.ha1_md5.as_slice()), <[u8; 32]>::try_from(credential.ha1_sha256.as_slice()))
    else {
        tracing::warn!(agent = credential.agent, "credential of a wrong length ignored");
        return None;
    };
    Some((credential.agent, sip::Ha1 { md5, sha256, shard: credential.shard }))
}

impl sip::Access for View {
    fn shard_of_number(&self, number: &str) -> Option<u32> {
        self.numbers.get(number).copied()
    }

    fn trunk_allows(&self, ip: IpAddr) -> bool {
        self.trunks.iter().any(|block| block.contains(ip))
    }

    fn credential(&self, agent: &str) -> Option<sip::Ha1> {
        self.credentials.get(agent).cloned()
    }
}

#[cfg(test)]
mod tests {
    use sip::Access as _;

    use super::*;

    #[test]
    fn a_view_answers_numbers_trunks_and_agents() {
        let view = View::try_from(v1::DirectoryView {
            version: 3,
            secret: vec![7; 32],
            realm: "cordboard".into(),
            numbers: vec![v1::NumberRoute { number: "5000".into(), shard: 1 }],
            trunks: vec![v1::TrunkAccess {
                name: "t".into(),
                addresses: vec!["192.0.2.0/24".into(), "nonsense".into()],
            }],
            credentials: vec![
                v1::Credential { agent: "a1".into(), shard: 1, ha1_md5: vec![1; 16], ha1_sha256: vec![2; 32] },
                v1::Credential { agent: "broken".into(), shard: 1, ha1_md5: vec![1; 3], ha1_sha256: vec![] },
            ],
            shards: vec![v1::ShardPlace { shard: 1, endpoints: vec!["127.0.0.1:7000".into()] }],
            ..Default::default()
        })
        .unwrap();
        assert_eq!(view.shard_of_number("5000"), Some(1));
        assert_eq!(view.shard_of_number("50000"), None);
        assert!(view.trunk_allows("192.0.2.9".parse().unwrap()));
        assert!(view.trunk_allows("::ffff:192.0.2.9".parse().unwrap()));
        assert!(!view.trunk_allows("198.51.100.1".parse().unwrap()));
        assert!(view.credential("a1").is_some());
        assert!(view.credential("broken").is_none());
    }

    #[test]
    fn a_view_with_a_short_secret_is_refused() {
        assert!(View::try_from(v1::DirectoryView { secret: vec![1; 31], ..Default::default() }).is_err());
    }
}
