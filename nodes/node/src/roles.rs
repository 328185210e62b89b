//! Who may call what: one row for every method that is served here. What has no row, nobody may call. It decides by role
//! alone; whether a node or gateway speaks in its own name is looked at where the name is read.

use trust::{
    Caller,
    Role::{self, Admin, Auditor, Gateway, Node, Operator, Supervisor, Viewer},
    Roles,
};

/// Everybody, also without a certificate.
const ALL: Roles = Roles::of(&Role::ALL);
/// Every person.
const USERS: Roles = Roles::of(&Role::OF_USERS);
/// How the cluster stands: no caller is named. Nodes pass on what they were asked.
const STATE: Roles = USERS.and(NODES);
/// Calls and agents, with the numbers of callers.
const CALLS: Roles = Roles::of(&[Viewer, Supervisor, Operator, Admin, Node]);
/// Changes of agents and calls.
const LEAD: Roles = Roles::of(&[Supervisor, Admin, Node]);
/// Everything that is written down of calls and people.
const RECORDS: Roles = Roles::of(&[Supervisor, Auditor, Admin, Node]);
/// Configuration, with digests of secrets in it, and the cluster itself.
const OPERATE: Roles = Roles::of(&[Operator, Admin, Node]);
/// The whole state in one file.
const BACKUP: Roles = Roles::of(&[Admin, Node]);
/// Who changed what.
const AUDIT: Roles = Roles::of(&[Auditor, Admin, Node]);
/// Between nodes.
const NODES: Roles = Roles::of(&[Node]);
/// What gateways do.
const GATEWAYS: Roles = Roles::of(&[Gateway]);
/// What gateways do, and nodes on behalf of admins.
const COMMANDS: Roles = Roles::of(&[Gateway, Node]);

/// Services of ours, in the package of our protos.
const OURS: &str = "/cordboard.v1.";

/// Every method with the roles that may call it.
pub const TABLE: &[(&str, Roles)] = &[
    ("Admin/GetStatus", STATE),
    ("Admin/ListNodes", STATE),
    ("Admin/ListShards", STATE),
    ("Admin/ListGateways", STATE),
    ("Admin/ListQueues", CALLS),
    ("Admin/GetQueue", CALLS),
    ("Admin/ListAgents", CALLS),
    ("Admin/GetAgent", CALLS),
    ("Admin/ChangeAgent", LEAD),
    ("Admin/ListCalls", CALLS),
    ("Admin/GetCall", CALLS),
    ("Admin/ExplainCall", CALLS),
    ("Admin/HangUpCall", LEAD),
    ("Admin/Apply", OPERATE),
    ("Admin/GetDocuments", OPERATE),
    ("Admin/ActOnCall", LEAD),
    ("Admin/GetStats", CALLS),
    ("Admin/StreamRecords", RECORDS),
    ("Admin/DrainGateway", OPERATE),
    ("AuditTrail/List", AUDIT),
    ("AuditTrail/Write", NODES),
    ("Backup/Save", BACKUP),
    ("Backup/Restore", BACKUP),
    ("Cluster/GetCluster", STATE),
    ("Cluster/ChangeNode", OPERATE),
    ("Cluster/AddShards", OPERATE),
    ("Cluster/MoveLead", OPERATE),
    ("Cluster/RaiseRules", OPERATE),
    ("Cluster/MoveTenant", OPERATE),
    ("Peer/Exchange", NODES),
    ("Peer/SendSnapshot", NODES),
    ("Query/Ask", NODES),
    ("Query/Describe", NODES),
    ("Query/ReadRecords", NODES),
    ("Shard/Submit", COMMANDS),
    ("Shard/Watch", GATEWAYS),
    ("Shard/Follow", GATEWAYS),
    ("Shard/Locate", GATEWAYS),
    ("Steward/Join", NODES),
    ("Steward/Propose", NODES),
    ("Steward/Steer", NODES),
    ("Tenancy/Change", NODES),
    ("Tenancy/Fetch", NODES),
    // Served by the centre's own program, never here.
    ("AgentChooser/Choose", Roles::NONE),
    ("/grpc.health.v1.Health/Check", ALL),
    ("/grpc.health.v1.Health/Watch", ALL),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", USERS),
];

/// The roles of a method by its path, as a guard asks for them.
#[must_use]
pub fn of(path: &str) -> Option<Roles> {
    let name = path.strip_prefix(OURS).unwrap_or(path);
    TABLE.iter().find(|(method, _)| *method == name).map(|(_, roles)| *roles)
}

/// Refuses a caller whose certificate is of this role and names another than it says it is.
///
/// # Errors
/// In whose name it speaks, and whose certificate it is.
pub fn in_own_name<T>(request: &tonic::Request<T>, role: Role, name: &str) -> Result<(), tonic::Status> {
    let caller = request.extensions().get::<Caller>();
    let Some(identity) = caller.and_then(|caller| caller.identity.as_ref()) else { return Ok(()) };
    if identity.role != role || identity.name == name {
        return Ok(());
    }
    let text = format!("the certificate is of {}, and it speaks as {name}", identity.name);
    Err(tonic::Status::permission_denied(text))
}

/// Who wants something: the person whom the certificate names; else who they say they are, which is all there is without
/// certificates, and which a node that passes it on says of whoever asked it.
#[must_use]
pub fn who<T>(request: &tonic::Request<T>, said: &str) -> String {
    let identity = request.extensions().get::<Caller>().and_then(|caller| caller.identity.as_ref());
    let person = identity.filter(|identity| identity.role.is_user());
    person.map_or_else(|| said.to_owned(), |identity| identity.name.clone())
}

/// Whether a node asks, or somebody who says so where nobody has to prove it.
#[must_use]
pub fn is_of_a_node<T>(request: &tonic::Request<T>, says_so: bool) -> bool {
    match request.extensions().get::<Caller>().filter(|caller| caller.asked) {
        Some(caller) => says_so && caller.role() == Node,
        None => says_so,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_method_has_one_row() {
        let names: BTreeSet<&str> = TABLE.iter().map(|(method, _)| *method).collect();
        assert_eq!(names.len(), TABLE.len());
    }

    #[test]
    fn a_path_is_found_only_whole() {
        assert!(of("/cordboard.v1.Admin/Apply").is_some_and(|roles| roles.has(Admin) && !roles.has(Viewer)));
        for path in
            ["", "/", "Admin", "/cordboard.v1.Admin/Appl", "/cordboard.v2.Admin/Apply", "//cordboard.v1.Admin/Apply"]
        {
            assert!(of(path).is_none(), "{path}");
        }
    }
}
