//! Whose agents, queues and calls a question is about: one tenant's, by the metadata that names it, or everybody's.

use proto::v1::{AgentList, CallList, QueueList, TenantRow, ask_reply::About};
use tonic::{Request, Status};

use super::{admin::AdminService, refusals::missing};
use crate::moves::name_in_records;

/// Metadata of an admin's question: the name of the tenant that it is about.
pub const TENANT: &str = "cordboard-tenant";

/// One tenant or all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scope(Option<String>);

impl Scope {
    /// What the asker wants.
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let Some(name) = request.metadata().get(TENANT) else { return Ok(Self(None)) };
        let name = name.to_str().map_err(|_| Status::invalid_argument(format!("{TENANT} is a tenant's name")))?;
        Ok(Self((!name.is_empty()).then(|| name.to_owned())))
    }

    /// The one tenant, as its records call it.
    pub(super) fn in_records(&self) -> Option<&str> {
        self.0.as_deref().map(|name| if name == documents::MAIN { "" } else { name })
    }

    /// Says the same to another node.
    pub(super) fn pass_on<T>(&self, request: &mut Request<T>) {
        // It was read from metadata, so it is some.
        if let Some(name) = self.0.as_deref().and_then(|name| name.parse().ok()) {
            request.metadata_mut().insert(TENANT, name);
        }
    }

    fn holds(&self, row: &TenantRow) -> bool {
        self.0.as_ref().is_none_or(|name| *name == row.name)
    }
}

impl AdminService {
    /// The tenants that a question is about: asked of the directory, so that it meets all of them.
    pub(super) async fn tenants(&self, scope: &Scope) -> Result<Vec<TenantRow>, Status> {
        let mut tenants = self.directory().await?.tenants;
        tenants.retain(|row| scope.holds(row));
        match &scope.0 {
            Some(name) if tenants.is_empty() => Err(missing("tenant", name, "tenant list")),
            _ => Ok(tenants),
        }
    }
}

/// Says whose the rows of an answer are.
pub(super) fn named(row: &TenantRow, mut about: About) -> About {
    let name = name_in_records(row);
    if name.is_empty() {
        return about;
    }
    match &mut about {
        About::Queues(QueueList { queues }) => queues.iter_mut().for_each(|queue| queue.tenant.clone_from(&name)),
        About::Queue(queue) => queue.info.iter_mut().for_each(|info| info.tenant.clone_from(&name)),
        About::Agents(AgentList { agents }) => agents.iter_mut().for_each(|agent| agent.tenant.clone_from(&name)),
        About::Agent(agent) => agent.tenant = name,
        About::Calls(CallList { calls }) => calls.iter_mut().for_each(|call| call.tenant.clone_from(&name)),
        About::Call(call) => call.info.iter_mut().for_each(|info| info.tenant.clone_from(&name)),
        _ => {}
    }
    about
}
