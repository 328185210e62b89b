//! Hands the directory's documents to the tenants: runs on the node that leads shard 0, until each tenant has the version at
//! which its documents last changed. It may be interrupted at any time; the next leader of shard 0 begins again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use actix::dev::SendError;
use futures::future::join_all;
use proto::v1::{
    AskRequest, CommandId, Configure, DirectoryDocuments, DirectoryEntry, DirectoryView, Document, Found,
    GetDocumentsRequest, RejectionCode, SetRules, TenantRow, Totals, TotalsRequest, ask_reply, ask_request, command,
    directory_entry, document,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    actor::{Look, ProposeDirectory},
    core::Core,
    directory::RULES_OF_NODES,
    directory::document_tenant,
    limits::{self, Limit},
    moves,
    owners::Owners,
    shards::{Shards, Unreached},
    tenancy::{MAIN, MAIN_NAME},
};

/// How long one question or command of the pump may take before it begins again.
const WAIT: Duration = Duration::from_secs(3);
/// Between looks while something is behind.
const AGAIN: Duration = Duration::from_millis(200);
/// Tenants that are configured at the same time.
const TENANTS_AT_ONCE: usize = 16;

/// What the pump needs.
pub(crate) struct Pump {
    /// Way to every shard.
    pub shards: Shards,
    /// This node's actors.
    pub owners: Owners,
    /// Changes of the directory, as this node has applied them.
    pub directory: watch::Receiver<Option<Arc<DirectoryView>>>,
    /// Shards this node has begun to lead.
    pub gained: mpsc::UnboundedReceiver<u32>,
    /// Tenant shards of a cluster that is founded here,
    pub tenant_shards: u32,
    /// and its rules.
    pub rules: u32,
    /// What this leader has delivered: by tenant the version, and the rules. Begins empty.
    pub delivered: BTreeMap<u32, (u64, u32)>,
}

impl Pump {
    /// Runs for the life of the node.
    pub(crate) async fn run(mut self) {
        loop {
            let due = tokio::select! {
                gained = self.gained.recv() => match gained {
                    Some(0) => {
                        // What another leader delivered meanwhile is not known here.
                        self.delivered.clear();
                        true
                    }
                    Some(_) => self.leads_directory().await,
                    None => return,
                },
                changed = self.directory.changed() => match changed {
                    Ok(()) => self.leads_directory().await,
                    Err(_) => return,
                },
            };
            while due && self.leads_directory().await {
                match self.deliver().await {
                    Ok(true) => break,
                    Ok(false) => tokio::time::sleep(AGAIN).await,
                    Err(error) => {
                        tracing::debug!(%error, "the configuration is not delivered yet");
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
        }
    }

    async fn leads_directory(&self) -> bool {
        let Some(owner) = self.owners.of(0) else { return false };
        loop {
            let (answer, answered) = oneshot::channel();
            let look = move |core: &Core| {
                let _ = answer.send(core.leads(0));
            };
            match owner.try_send(Look { at: Box::new(look) }) {
                Ok(()) => return answered.await.unwrap_or(false),
                Err(SendError::Full(_)) => {
                    limits::reached(Limit::Mailbox);
                    tokio::time::sleep(AGAIN).await;
                }
                Err(SendError::Closed(_)) => return false,
            }
        }
    }

    /// True when every shard has the present version.
    async fn deliver(&mut self) -> Result<bool, Unreached> {
        let Some(present) = present(&self.shards, WAIT).await? else { return Ok(false) };
        if present.cluster.is_empty() {
            self.found().await;
            return Ok(false);
        }
        let due: Vec<TenantRow> = present.tenants.iter().filter(|row| !self.has(row, present.rules)).cloned().collect();
        let mut all = true;
        for some in due.chunks(TENANTS_AT_ONCE) {
            let configured = join_all(some.iter().map(|row| configure(&self.shards, &present, row))).await;
            for (row, configured) in some.iter().zip(configured) {
                match configured {
                    Ok(true) => drop(self.delivered.insert(row.number, (row.documents, present.rules))),
                    Ok(false) => all = false,
                    Err(error) => {
                        tracing::debug!(tenant = row.name, %error, "the configuration is not delivered yet");
                        all = false;
                    }
                }
            }
        }
        Ok(all)
    }

    fn has(&self, row: &TenantRow, rules: u32) -> bool {
        let delivered = self.delivered.get(&row.number);
        delivered.is_some_and(|(version, of_rules)| *version >= row.documents && *of_rules >= rules)
    }

    async fn found(&self) {
        let (mut name, mut secret) = ([0; 8], vec![0; 32]);
        if let Err(error) = getrandom::fill(&mut name).and_then(|()| getrandom::fill(&mut secret)) {
            tracing::error!(%error, "the system gives no random bytes; the cluster cannot be founded");
            return;
        }
        let found = Found {
            cluster: name.iter().map(|byte| format!("{byte:02x}")).collect(),
            secret,
            realm: documents::REALM.into(),
            shards: (1..=self.tenant_shards).collect(),
            rules: self.rules,
        };
        match propose(&self.owners, directory_entry::Kind::Found(found)).await {
            Some(Ok(())) => tracing::info!("the cluster is founded"),
            outcome => tracing::debug!(?outcome, "somebody else founds the cluster"),
        }
    }
}

/// True when the tenant has its documents, and follows the cluster's rules.
///
/// # Errors
/// No leader answered in time.
pub(crate) async fn configure(
    shards: &Shards,
    present: &DirectoryDocuments,
    row: &TenantRow,
) -> Result<bool, Unreached> {
    let (tenant, version) = (row.number, row.documents);
    moves::begin(shards, row).await?;
    let known = totals(shards, tenant, WAIT).await?;
    // The cluster's rules are raised when every node can follow them, and then they hold for every tenant.
    if present.rules >= RULES_OF_NODES && known.rules < present.rules {
        let set = SetRules { version: present.rules };
        match shards.submit(tenant, command::Kind::SetRules(set), WAIT).await? {
            Ok(()) => tracing::info!(tenant = row.name, rules = present.rules, "follows later rules"),
            Err(rejection) => {
                tracing::error!(tenant = row.name, detail = rejection.detail, "the tenant refuses its rules");
                return Ok(false);
            }
        }
    }
    if known.config_version >= version {
        return Ok(true);
    }
    // Zones are everybody's, and so are trunks, of which a tenant knows the names.
    let own = |document: &&Document| match document.kind {
        Some(document::Kind::Zone(_) | document::Kind::Trunk(_)) => true,
        _ => document_tenant(document) == row.name,
    };
    let documents = present.documents.iter().filter(own).cloned().collect();
    let configure = Configure { version, documents };
    match shards.submit(tenant, command::Kind::Configure(configure), WAIT).await? {
        Ok(()) => tracing::info!(tenant = row.name, version, "configured"),
        Err(rejection) if rejection.code() == RejectionCode::Stale => return Ok(false),
        Err(rejection) => {
            // The documents were validated; a tenant that still refuses says why, and the others go on.
            tracing::error!(tenant = row.name, detail = rejection.detail, "the tenant refuses its configuration");
        }
    }
    Ok(true)
}

/// Proposes a change of the directory on this node; None when it does not lead shard 0 (any more).
pub(crate) async fn propose(owners: &Owners, kind: directory_entry::Kind) -> Option<Result<(), proto::v1::Rejection>> {
    let mut number = [0; 8];
    getrandom::fill(&mut number).ok()?;
    let id = Some(CommandId { sender: 0, number: u64::from_le_bytes(number) });
    let (done, decided) = oneshot::channel();
    let entry = DirectoryEntry { at_ms: 0, id, kind: Some(kind) };
    owners.of(0)?.try_send(ProposeDirectory { entry, done }).ok()?;
    // A leader that loses its place never decides.
    tokio::time::timeout(WAIT, decided).await.ok()?.ok()?.ok()
}

/// The directory as its leader has it.
///
/// # Errors
/// No leader answered in time.
pub(crate) async fn present(shards: &Shards, wait: Duration) -> Result<Option<DirectoryDocuments>, Unreached> {
    let about = ask_request::About::Documents(GetDocumentsRequest::default());
    let reply = shards.ask(AskRequest { shard: 0, about: Some(about) }, wait).await?;
    Ok(match reply.about {
        Some(ask_reply::About::Documents(mut documents)) => {
            if documents.tenants.is_empty() && !documents.cluster.is_empty() {
                // Of a release that knew the main one only.
                let (name, version) = (MAIN_NAME.into(), documents.version);
                documents.tenants =
                    vec![TenantRow { number: MAIN, name, shard: MAIN, documents: version, ..TenantRow::default() }];
            }
            Some(documents)
        }
        _ => None,
    })
}

/// The version of the configuration that a tenant has.
///
/// # Errors
/// No leader answered in time.
pub(crate) async fn config_version(shards: &Shards, tenant: u32, wait: Duration) -> Result<u64, Unreached> {
    totals(shards, tenant, wait).await.map(|totals| totals.config_version)
}

async fn totals(shards: &Shards, tenant: u32, wait: Duration) -> Result<Totals, Unreached> {
    let about = ask_request::About::Totals(TotalsRequest {});
    let reply = shards.ask(AskRequest { shard: tenant, about: Some(about) }, wait).await?;
    Ok(match reply.about {
        Some(ask_reply::About::Totals(totals)) => totals,
        _ => Totals::default(),
    })
}
