//! The state of shard 0: the cluster's identity, its documents, its nodes and shards, where tenants live, and who changed
//! what. Pure: it never does IO, never reads a clock and never parses what a person wrote (that is `documents`).

pub mod audit;
mod decided;
mod nodes;
mod tenants;

use std::collections::BTreeMap;

pub use nodes::disk_refusal;
use prost::Message as _;
use proto::v1::{
    Credential, DirectoryEntry, DirectorySnapshot, DirectoryView, Document, DocumentKey, Found, NumberRoute,
    PutDocuments, Rejection, RejectionCode, ShardPlace, TrunkAccess, TrunkRoute, directory_entry, document,
};
pub use tenants::{decide, document_tenant};

use crate::tenancy::MAIN;

/// From these rules on the directory knows nodes, shards and tenants; replicas of earlier releases refuse such entries.
pub const RULES_OF_NODES: u32 = 4;

/// Shard 0's whole state.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Directory {
    /// Counts changes of documents.
    version: u64,
    /// Counts changes of nodes, shards and tenants.
    changes: u64,
    rules: u32,
    identity: Option<Identity>,
    documents: BTreeMap<Key, Document>,
    nodes: nodes::Nodes,
    tenants: tenants::Tenants,
    audit: audit::Trail,
    decided: decided::Decided,
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

/// Orders documents as people read them: numbers, queues, agents, trunks and the rest, each by tenant and name. Of kinds whose
/// names are unique over all tenants the tenant is left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u8, String, String);

impl Directory {
    /// Applies one entry. The only place where the directory changes. An entry that comes again changes nothing and gets
    /// the first answer.
    ///
    /// # Errors
    /// The refusal that every replica decides alike; nothing has changed then.
    pub fn apply(&mut self, entry: DirectoryEntry) -> Result<(), Rejection> {
        self.at_ms = self.at_ms.max(entry.at_ms);
        if let Some(first) = self.decided.answer(entry.id.as_ref()) {
            return first;
        }
        // Earlier releases remember nothing: before these rules, nobody may.
        let remembers = self.rules >= RULES_OF_NODES;
        let outcome = self.decide(entry.kind);
        if remembers {
            self.decided.remember(entry.id, &outcome);
        }
        outcome
    }

    fn decide(&mut self, kind: Option<directory_entry::Kind>) -> Result<(), Rejection> {
        use directory_entry::Kind;
        let of_nodes = !matches!(kind, None | Some(Kind::Found(_) | Kind::PutDocuments(_) | Kind::RaiseRules(_)));
        if of_nodes && self.rules < RULES_OF_NODES {
            return Err(refuse(RejectionCode::WrongState, "the cluster's rules are too early for that"));
        }
        match kind {
            Some(Kind::Found(found)) => self.found(found),
            Some(Kind::PutDocuments(put)) => self.put(put),
            Some(Kind::RaiseRules(raise)) => self.raise_rules(&raise),
            Some(Kind::Announce(announce)) => self.announce(announce),
            Some(Kind::SetNode(set)) => self.set_node(set),
            Some(Kind::CreateShard(create)) => self.create_shard(create),
            Some(Kind::MoveTenant(step)) => self.move_tenant(&step),
            Some(Kind::Audit(audit)) => self.write_audit(audit),
            Some(Kind::Restore(restore)) => self.take_in(&restore),
            None => Err(refuse(RejectionCode::Invalid, "an entry without a command")),
        }
    }

    fn found(&mut self, found: Found) -> Result<(), Rejection> {
        if self.identity.is_some() {
            return Err(refuse(RejectionCode::WrongState, "the cluster has been founded already"));
        }
        assert!(found.rules <= acd::RULES, "the cluster has later rules: start a later release on this node");
        self.version += 1;
        self.rules = found.rules;
        self.identity =
            Some(Identity { cluster: found.cluster, secret: found.secret, realm: found.realm, shards: found.shards });
        self.begin_tenants();
        Ok(())
    }

    fn put(&mut self, put: PutDocuments) -> Result<(), Rejection> {
        if put.base_version != self.version {
            return Err(refuse(RejectionCode::Stale, "somebody else changed the documents meanwhile"));
        }
        if put.upserts.iter().any(|document| document.kind.is_none()) {
            return Err(refuse(RejectionCode::Invalid, "a document of no kind"));
        }
        self.version += 1;
        let named = |key: &Key, document: &Document, wanted: &DocumentKey| {
            key.2 == wanted.name && kind_of(document) == wanted.kind && key.1 == wanted.tenant
        };
        for wanted in put.removals {
            let gone: Vec<Key> = self
                .documents
                .iter()
                .filter(|(key, document)| named(key, document, &wanted))
                .map(|(key, _)| key.clone())
                .collect();
            for key in gone {
                if let Some(document) = self.documents.remove(&key) {
                    self.touch_tenants(&document);
                }
            }
        }
        for document in put.upserts {
            self.touch_tenants(&document);
            let key = key_of(&document).expect("kinds were looked at above");
            self.documents.insert(key, document);
        }
        Ok(())
    }

    /// Counts up with every change of documents.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Counts up with every change that gateways are told of: of documents, nodes, shards and tenants.
    #[must_use]
    pub const fn view_version(&self) -> u64 {
        self.version + self.changes
    }

    /// When the last entry was proposed, Unix milliseconds.
    #[must_use]
    pub const fn now_ms(&self) -> u64 {
        self.at_ms
    }

    /// The rules in force; 0 in a cluster that was founded by a release without them.
    #[must_use]
    pub const fn rules(&self) -> u32 {
        self.rules
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

    /// What gateways need to know, or None before the cluster is founded.
    #[must_use]
    pub fn view(&self, endpoints: &[String]) -> Option<DirectoryView> {
        let identity = self.identity.as_ref()?;
        let mut view = DirectoryView {
            version: self.view_version(),
            secret: identity.secret.clone(),
            realm: identity.realm.clone(),
            shards: self
                .tenants()
                .map(|tenant| ShardPlace { shard: tenant.number, endpoints: endpoints.to_vec() })
                .collect(),
            ..DirectoryView::default()
        };
        let numbers = self.tenant_numbers();
        let number_of = |document: &Document| numbers.get(document.tenant.as_str()).copied().unwrap_or(MAIN);
        for document in self.documents.values() {
            match &document.kind {
                Some(document::Kind::Number(number)) => {
                    view.numbers.push(NumberRoute { number: number.name.clone(), shard: number_of(document) });
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
                    shard: number_of(document),
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
            changes: self.changes,
            rules: self.rules,
            decided: self.decided.save(),
            ..DirectorySnapshot::default()
        };
        self.nodes.save(&mut snapshot);
        if self.rules >= RULES_OF_NODES {
            self.tenants.save(&mut snapshot);
        }
        self.audit.save(&mut snapshot);
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
        let mut snapshot = DirectorySnapshot::decode(bytes)?;
        let nodes = nodes::Nodes::restore(&mut snapshot);
        let tenants = tenants::Tenants::restore(&mut snapshot);
        let audit = audit::Trail::restore(&mut snapshot);
        let decided = decided::Decided::restore(snapshot.decided);
        let identity = (!snapshot.cluster.is_empty()).then_some(Identity {
            cluster: snapshot.cluster,
            secret: snapshot.secret,
            realm: snapshot.realm,
            shards: snapshot.shards,
        });
        let documents =
            snapshot.documents.into_iter().filter_map(|document| Some((key_of(&document)?, document))).collect();
        let mut directory = Self {
            version: snapshot.version,
            changes: snapshot.changes,
            rules: snapshot.rules,
            identity,
            documents,
            nodes,
            tenants,
            audit,
            decided,
            at_ms: snapshot.at_ms,
        };
        directory.begin_tenants();
        Ok(directory)
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
    let shared = documents::SHARED_NAMES.contains(&kind_of(document));
    let tenant = if shared { String::new() } else { document.tenant.clone() };
    Some(Key(order, tenant, name_of(document).to_owned()))
}

fn refuse(code: RejectionCode, detail: &str) -> Rejection {
    Rejection { code: code.into(), detail: detail.to_owned() }
}

#[cfg(test)]
mod tests;
