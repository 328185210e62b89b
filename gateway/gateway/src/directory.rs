//! The directory as this gateway knows it: one immutable view that lanes read, replaced whole.
//! Nothing here waits for the network; `follow.rs` brings the views.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use arc_swap::ArcSwapOption;
use proto::v1;
use thiserror::Error;

use crate::{
    cidr::{Block, BlockMap},
    trunks::Trunk,
};

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
    /// By name.
    pub(crate) trunks: Vec<Arc<Trunk>>,
    sources: BlockMap<Arc<Trunk>>,
    credentials: HashMap<String, sip::Ha1>,
    /// Blocks that no message and no sound is sent to.
    pub(crate) egress_deny: Vec<Block>,
    /// Goes before it; with one of these, everything else is denied.
    pub(crate) egress_allow: Vec<Block>,
    emergency: HashSet<String>,
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
        let trunks = trunks(&view);
        let sources = trunks.iter().flat_map(|trunk| trunk.blocks.iter().map(|block| (*block, Arc::clone(trunk))));
        Ok(Self {
            sources: BlockMap::of(sources),
            egress_deny: blocks("egress_deny", &view.egress_deny),
            egress_allow: blocks("egress_allow", &view.egress_allow),
            emergency: view.emergency.into_iter().collect(),
            version: view.version,
            secret,
            keys: sip::tag::Keys::new(&secret),
            realm: view.realm,
            shards: view.shards.into_iter().map(|p| Place { shard: p.shard, endpoints: p.endpoints }).collect(),
            numbers: view.numbers.into_iter().map(|route| (route.number, route.shard)).collect(),
            trunks,
            credentials: view.credentials.into_iter().filter_map(credential).collect(),
        })
    }
}

impl View {
    /// Whose source an address is: of the trunk that names it most specifically.
    pub(crate) fn trunk_of(&self, source: IpAddr) -> Option<&Arc<Trunk>> {
        self.sources.get(source)
    }

    /// What else than our host means us, as somebody may write it in Refer-To: the realm, and as whom trunks know us.
    pub(crate) fn names(&self) -> Vec<String> {
        let domains = self.trunks.iter().map(|trunk| &trunk.domain).filter(|domain| !domain.is_empty());
        std::iter::once(&self.realm).chain(domains).cloned().collect()
    }

    /// Whether overload does not refuse calls to this number.
    pub(crate) fn is_emergency(&self, number: &str) -> bool {
        self.emergency.contains(number)
    }
}

/// All trunks by name. A node of an earlier release tells only who may bring calls in.
fn trunks(view: &v1::DirectoryView) -> Vec<Arc<Trunk>> {
    let routes = view.routes.iter().filter_map(|route| route.trunk.as_ref());
    let mut trunks: BTreeMap<&str, Trunk> = routes.map(|trunk| (trunk.name.as_str(), Trunk::of(trunk))).collect();
    for access in &view.trunks {
        trunks.entry(&access.name).or_insert_with(|| {
            let (name, addresses) = (access.name.clone(), access.addresses.clone());
            Trunk::of(&v1::Trunk { name, addresses, ..v1::Trunk::default() })
        });
    }
    trunks.into_values().map(Arc::new).collect()
}

/// Blocks as they were told. The directory takes only what parses: what does not is a later release's, and is left out.
fn blocks(what: &str, texts: &[String]) -> Vec<Block> {
    let block = |text: &String| text.parse().inspect_err(|error| tracing::warn!(what, %error, "block ignored")).ok();
    texts.iter().filter_map(block).collect()
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
        self.sources.get(ip).is_some()
    }

    fn trusts_identity(&self, ip: IpAddr) -> bool {
        self.trunk_of(ip).is_some_and(|trunk| trunk.assert_identity)
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
            emergency: vec!["112".into()],
            egress_deny: vec!["10.0.0.0/8".into(), "nonsense".into()],
            routes: vec![v1::TrunkRoute {
                trunk: Some(v1::Trunk { name: "u".into(), addresses: vec!["192.0.2.7".into()], ..Default::default() }),
            }],
            ..Default::default()
        })
        .unwrap();
        assert_eq!(view.trunk_of("192.0.2.7".parse().unwrap()).unwrap().name, "u");
        assert_eq!(view.trunk_of("192.0.2.8".parse().unwrap()).unwrap().name, "t");
        assert!(view.trunk_of("198.51.100.1".parse().unwrap()).is_none());
        assert!(view.is_emergency("112") && !view.is_emergency("1"));
        assert_eq!((view.egress_deny.len(), view.egress_allow.len()), (1, 0));
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
