//! The state of shard 0: the cluster's identity, its documents and where tenants live. Pure: it never does IO, never
//! reads a clock and never parses what a person wrote (that is `documents`).

use std::collections::BTreeMap;

use prost::Message as _;
use proto::v1::{
    Credential, DirectoryEntry, DirectorySnapshot, DirectoryView, Document, DocumentKey, Found, NumberRoute,
    PutDocuments, Rejection, RejectionCode, ShardPlace, TrunkAccess, TrunkRoute, directory_entry, document,
};

use crate::tenancy::MAIN;

/// The tenant shard that new documents belong to. One tenant lives in this release; a `Tenant` document will name more.
pub const DEFAULT_SHARD: u32 = 1;

/// Shard 0's whole state.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Directory {
    version: u64,
    identity: Option<Identity>,
    documents: BTreeMap<Key, Document>,
    at_ms: u64,
}

/// What a cluster is born with and keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Random name of the cluster.
    pub cluster: String,
    /// 32 bytes that key tags, nonces and call ids.
    pub secret: Vec<u8>,
    /// Digest realm.
    pub realm: String,
    /// Tenant shards.
    pub shards: Vec<u32>,
}

/// Orders documents as people read them: numbers, queues, agents, trunks and the rest, each by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u8, String);

impl Directory {
    /// Applies one entry. The only place where the directory changes.
    ///
    /// # Errors
    /// The refusal that every replica decides alike; nothing has changed then.
    pub fn apply(&mut self, entry: DirectoryEntry) -> Result<(), Rejection> {
        self.at_ms = self.at_ms.max(entry.at_ms);
        match entry.kind {
            Some(directory_entry::Kind::Found(found)) => self.found(found),
            Some(directory_entry::Kind::PutDocuments(put)) => self.put(put),
            _ => Err(refuse(RejectionCode::Invalid, "an entry without a command")),
        }
    }

    fn found(&mut self, found: Found) -> Result<(), Rejection> {
        if self.identity.is_some() {
            return Err(refuse(RejectionCode::WrongState, "the cluster has been founded already"));
        }
        self.version += 1;
        self.identity =
            Some(Identity { cluster: found.cluster, secret: found.secret, realm: found.realm, shards: found.shards });
        Ok(())
    }

    fn put(&mut self, put: PutDocuments) -> Result<(), Rejection> {
        if put.base_version != self.version {
            return Err(refuse(RejectionCode::Stale, "somebody else changed the documents meanwhile"));
        }
        if put.upserts.iter().any(|document| document.kind.is_none()) {
            return Err(refuse(RejectionCode::Invalid, "a document of no kind"));
        }
        for DocumentKey { kind, name } in put.removals {
            self.documents.retain(|key, document| !(key.1 == name && kind_of(document) == kind));
        }
        for document in put.upserts {
            let key = key_of(&document).expect("kinds were looked at above");
            self.documents.insert(key, document);
        }
        self.version += 1;
        Ok(())
    }

    /// Counts up with every change.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// None until the first leader has founded the cluster.
    #[must_use]
    pub const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// All documents, by kind and name.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.documents.values()
    }

    /// The shard of each tenant.
    #[must_use]
    pub fn homes(&self) -> BTreeMap<u32, u32> {
        BTreeMap::from([(MAIN, DEFAULT_SHARD)])
    }

    /// What gateways need to know, or None before the cluster is founded.
    #[must_use]
    pub fn view(&self, endpoints: &[String]) -> Option<DirectoryView> {
        let identity = self.identity.as_ref()?;
        let mut view = DirectoryView {
            version: self.version,
            secret: identity.secret.clone(),
            realm: identity.realm.clone(),
            shards: identity.shards.iter().map(|&shard| ShardPlace { shard, endpoints: endpoints.to_vec() }).collect(),
            ..DirectoryView::default()
        };
        for document in self.documents.values() {
            match &document.kind {
                Some(document::Kind::Number(number)) => {
                    view.numbers.push(NumberRoute { number: number.name.clone(), shard: DEFAULT_SHARD });
                }
                Some(document::Kind::Trunk(trunk)) => {
                    view.trunks.push(TrunkAccess { name: trunk.name.clone(), addresses: trunk.addresses.clone() });
                    view.routes.push(TrunkRoute { trunk: Some(trunk.clone()) });
                }
                Some(document::Kind::Centre(centre)) => {
                    view.egress_deny.extend_from_slice(&centre.egress_deny);
                    view.egress_allow.extend_from_slice(&centre.egress_allow);
                    view.emergency.extend_from_slice(&centre.emergency);
                }
                Some(document::Kind::Agent(agent)) if !agent.ha1_md5.is_empty() => view.credentials.push(Credential {
                    agent: agent.name.clone(),
                    shard: DEFAULT_SHARD,
                    ha1_md5: agent.ha1_md5.clone(),
                    ha1_sha256: agent.ha1_sha256.clone(),
                }),
                Some(
                    document::Kind::Agent(_)
                    | document::Kind::Queue(_)
                    | document::Kind::Skill(_)
                    | document::Kind::Schedule(_)
                    | document::Kind::Zone(_)
                    | document::Kind::Caller(_)
                    | document::Kind::Forwarding(_)
                    | document::Kind::TenantItself(_),
                )
                | None => {}
            }
        }
        Some(view)
    }

    /// The state as bytes.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let mut snapshot = DirectorySnapshot {
            version: self.version,
            documents: self.documents.values().cloned().collect(),
            at_ms: self.at_ms,
            ..DirectorySnapshot::default()
        };
        if let Some(identity) = self.identity.clone() {
            snapshot.cluster = identity.cluster;
            snapshot.secret = identity.secret;
            snapshot.realm = identity.realm;
            snapshot.shards = identity.shards;
        }
        snapshot.encode_to_vec()
    }

    /// The state from what `save` gave.
    ///
    /// # Errors
    /// Bytes that no release of ours wrote.
    pub fn restore(bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        let snapshot = DirectorySnapshot::decode(bytes)?;
        let identity = (!snapshot.cluster.is_empty()).then_some(Identity {
            cluster: snapshot.cluster,
            secret: snapshot.secret,
            realm: snapshot.realm,
            shards: snapshot.shards,
        });
        let documents =
            snapshot.documents.into_iter().filter_map(|document| Some((key_of(&document)?, document))).collect();
        Ok(Self { version: snapshot.version, identity, documents, at_ms: snapshot.at_ms })
    }
}

/// The kind of a document as its YAML says it.
#[must_use]
pub fn kind_of(document: &Document) -> &'static str {
    match document.kind {
        Some(document::Kind::Number(_)) => "Number",
        Some(document::Kind::Queue(_)) => "Queue",
        Some(document::Kind::Agent(_)) => "Agent",
        Some(document::Kind::Trunk(_)) => "Trunk",
        Some(document::Kind::Skill(_)) => "Skill",
        Some(document::Kind::Schedule(_)) => "Schedule",
        Some(document::Kind::Zone(_)) => "Zone",
        Some(document::Kind::Caller(_)) => "Caller",
        Some(document::Kind::Forwarding(_)) => "Forwarding",
        Some(document::Kind::Centre(_)) => "Centre",
        Some(document::Kind::TenantItself(_)) => "Tenant",
        None => "",
    }
}

/// The name of a document, unique within its kind.
#[must_use]
pub fn name_of(document: &Document) -> &str {
    match &document.kind {
        Some(document::Kind::Number(number)) => &number.name,
        Some(document::Kind::Queue(queue)) => &queue.name,
        Some(document::Kind::Agent(agent)) => &agent.name,
        Some(document::Kind::Trunk(trunk)) => &trunk.name,
        Some(document::Kind::Skill(skill)) => &skill.name,
        Some(document::Kind::Schedule(schedule)) => &schedule.name,
        Some(document::Kind::Zone(zone)) => &zone.name,
        Some(document::Kind::Caller(caller)) => &caller.name,
        Some(document::Kind::Forwarding(forwarding)) => &forwarding.name,
        Some(document::Kind::Centre(centre)) => &centre.name,
        Some(document::Kind::TenantItself(tenant)) => &tenant.name,
        None => "",
    }
}

fn key_of(document: &Document) -> Option<Key> {
    let order = match document.kind.as_ref()? {
        document::Kind::Number(_) => 0,
        document::Kind::Queue(_) => 1,
        document::Kind::Agent(_) => 2,
        document::Kind::Trunk(_) => 3,
        document::Kind::Skill(_) => 4,
        document::Kind::Schedule(_) => 5,
        document::Kind::Zone(_) => 6,
        document::Kind::Caller(_) => 7,
        document::Kind::Forwarding(_) => 8,
        document::Kind::Centre(_) => 9,
        document::Kind::TenantItself(_) => 10,
    };
    Some(Key(order, name_of(document).to_owned()))
}

fn refuse(code: RejectionCode, detail: &str) -> Rejection {
    Rejection { code: code.into(), detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use proto::v1::{Centre, Number, Queue, Trunk, TrunkHost};

    use super::*;

    fn found() -> DirectoryEntry {
        DirectoryEntry {
            at_ms: 1,
            id: None,
            kind: Some(directory_entry::Kind::Found(Found {
                cluster: "c".into(),
                secret: vec![7; 32],
                realm: "cordboard".into(),
                shards: vec![1],
                rules: 0,
            })),
        }
    }

    fn put(base_version: u64, upserts: Vec<Document>) -> DirectoryEntry {
        let put = PutDocuments { base_version, upserts, ..PutDocuments::default() };
        DirectoryEntry { at_ms: 2, id: None, kind: Some(directory_entry::Kind::PutDocuments(put)) }
    }

    fn number(name: &str) -> Document {
        let number = Number { name: name.into(), queue: "support".into(), ..Number::default() };
        Document { kind: Some(document::Kind::Number(number)), ..Document::default() }
    }

    #[test]
    fn a_cluster_is_founded_once() {
        let mut directory = Directory::default();
        assert!(directory.view(&[]).is_none());
        directory.apply(found()).expect("first");
        let again = directory.apply(found()).expect_err("second");
        assert_eq!(again.code(), RejectionCode::WrongState);
    }

    #[test]
    fn a_stale_base_changes_nothing() {
        let mut directory = Directory::default();
        directory.apply(found()).expect("founded");
        directory.apply(put(1, vec![number("5000")])).expect("on the present version");
        let before = directory.clone();
        let refused = directory.apply(put(1, vec![number("5001")])).expect_err("on an older version");
        assert_eq!(refused.code(), RejectionCode::Stale);
        assert_eq!(directory, before);
    }

    #[test]
    fn gateways_are_told_of_trunks_and_of_what_the_centre_says_about_the_outside() {
        let mut directory = Directory::default();
        directory.apply(found()).expect("founded");
        let host = TrunkHost { host: "sip.example.net".into(), ..TrunkHost::default() };
        let outward = Trunk { name: "out".into(), hosts: vec![host], calls_max: 7, ..Trunk::default() };
        let inward = Trunk { name: "in".into(), addresses: vec!["192.0.2.1".into()], ..Trunk::default() };
        let centre = Centre {
            name: "main".into(),
            egress_deny: vec!["10.0.0.0/8".into()],
            egress_allow: vec!["10.1.0.0/16".into()],
            emergency: vec!["112".into()],
            ..Centre::default()
        };
        let kinds = [document::Kind::Trunk(outward), document::Kind::Trunk(inward), document::Kind::Centre(centre)];
        let documents = kinds.map(|kind| Document { kind: Some(kind), ..Document::default() }).to_vec();
        directory.apply(put(1, documents)).expect("put");
        let view = directory.view(&[]).expect("founded");
        let access: Vec<_> = view.trunks.iter().map(|trunk| (trunk.name.as_str(), trunk.addresses.len())).collect();
        assert_eq!(access, [("in", 1), ("out", 0)]);
        let routes: Vec<_> = view.routes.iter().flat_map(|route| &route.trunk).collect();
        // One without hosts only takes calls in, but its caps count for those.
        assert_eq!(
            routes.iter().map(|trunk| (trunk.hosts.len(), trunk.calls_max)).collect::<Vec<_>>(),
            [(0, 0), (1, 7)]
        );
        assert_eq!((view.egress_deny, view.egress_allow), (vec!["10.0.0.0/8".into()], vec!["10.1.0.0/16".into()]));
        assert_eq!(view.emergency, ["112"]);
    }

    #[test]
    fn a_snapshot_restores_the_whole_directory() {
        let mut directory = Directory::default();
        directory.apply(found()).expect("founded");
        let queue = Document {
            kind: Some(document::Kind::Queue(Queue { name: "5000".into(), ..Queue::default() })),
            ..Document::default()
        };
        directory.apply(put(1, vec![number("5000"), queue])).expect("put");
        assert_eq!(Directory::restore(&directory.save()).expect("restored"), directory);
        let removal = PutDocuments {
            base_version: 2,
            removals: vec![DocumentKey { kind: "Number".into(), name: "5000".into() }],
            ..PutDocuments::default()
        };
        let kind = Some(directory_entry::Kind::PutDocuments(removal));
        directory.apply(DirectoryEntry { at_ms: 3, id: None, kind }).expect("removed");
        assert_eq!(directory.documents().map(kind_of).collect::<Vec<_>>(), ["Queue"]);
    }
}
