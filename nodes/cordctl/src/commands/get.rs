//! `cordctl get`: configuration documents. As YAML they are printed as the cluster wrote them.

use proto::v1::{Agent, Document, GetDocumentsRequest, Number, Queue, Trunk, document};
use serde_json::Value;

use crate::{
    args::Kind,
    cluster::{Admin, Cluster},
    failure::Failure,
    output::{Format, Output, clean_lines, plain},
};

pub(super) async fn run(
    kind: Option<Kind>,
    name: Option<String>,
    cluster: &mut Cluster,
    output: Output,
) -> Result<String, Failure> {
    let one = name.is_some();
    let kind = kind.map(|kind| kind.word().to_owned()).unwrap_or_default();
    let name = name.unwrap_or_default();
    let what = format!("get {kind} {name}").trim_end().to_owned();
    let rpc = async |admin: &mut Admin, request| admin.get_documents(request).await;
    let answer = cluster.ask(&what, GetDocumentsRequest { kind, name }, rpc).await?;
    if one && answer.documents.is_empty() {
        return Err(Failure::NotFound { what, why: "there is no such document; `cordctl get` lists them".to_owned() });
    }
    if output.format == Format::Yaml {
        return Ok(clean_lines(&answer.yaml));
    }
    let mut documents = match output.format {
        Format::Json => values(&answer.yaml)
            .map_err(|error| Failure::Local(format!("{what}: the server's YAML cannot be read: {error}")))?,
        Format::Table | Format::Yaml => Vec::new(),
    };
    let value = match (one, documents.len()) {
        (true, 1) => documents.remove(0),
        _ => Value::Array(documents),
    };
    output.show(&value, |page| {
        let rows = answer.documents.iter().filter_map(|document| Some(row(document)?.map(plain)));
        page.table(["KIND", "NAME", "WHAT"], rows);
    })
}

fn values(yaml: &str) -> Result<Vec<Value>, serde_saphyr::Error> {
    let mut options = serde_saphyr::Options::default();
    // The answer is already bounded by its size, and a large centre has more documents than the default allows.
    options.budget = None;
    serde_saphyr::from_multiple_with_options(yaml, options)
}

fn row(document: &Document) -> Option<[String; 3]> {
    let (kind, name, what) = match document.kind.as_ref()? {
        document::Kind::Number(Number { name, queue, .. }) => ("Number", name, format!("to queue {queue}")),
        document::Kind::Queue(queue) => ("Queue", &queue.name, what_of(queue)),
        document::Kind::Agent(Agent { name, contact, queues, .. }) => {
            let queues: Vec<_> = queues.iter().map(|membership| membership.queue.as_str()).collect();
            let contact = if contact.is_empty() { "registers" } else { contact };
            ("Agent", name, format!("{contact}, queues {}", queues.join(",")))
        }
        document::Kind::Trunk(trunk) => ("Trunk", &trunk.name, trunk_of(trunk)),
        document::Kind::Skill(skill) => ("Skill", &skill.name, String::new()),
        document::Kind::Schedule(schedule) => ("Schedule", &schedule.name, format!("in {}", schedule.zone)),
        document::Kind::Caller(caller) => ("Caller", &caller.name, format!("{} numbers", caller.numbers.len())),
        document::Kind::Forwarding(forwarding) => {
            ("Forwarding", &forwarding.name, format!("of {}, {} rules", forwarding.agent, forwarding.rules.len()))
        }
        document::Kind::Centre(centre) => ("Centre", &centre.name, format!("zone {}", centre.zone)),
        document::Kind::TenantItself(tenant) => ("Tenant", &tenant.name, tenant.placement.clone()),
        // Made by the directory, not by people.
        document::Kind::Zone(_) => return None,
    };
    Some([kind.to_owned(), name.clone(), what])
}

fn what_of(queue: &Queue) -> String {
    format!("rings {}s, wrap-up {}s", queue.ring_seconds, queue.wrap_up_seconds)
}

/// Where calls come from and go to.
fn trunk_of(trunk: &Trunk) -> String {
    let hosts: Vec<_> = trunk.hosts.iter().map(|host| host.host.as_str()).collect();
    let mut parts = Vec::new();
    if !trunk.addresses.is_empty() {
        parts.push(format!("from {}", trunk.addresses.join(",")));
    }
    if !hosts.is_empty() {
        parts.push(format!("to {}", hosts.join(",")));
        parts.push(if trunk.prefixes.is_empty() { "all numbers".to_owned() } else { trunk.prefixes.join(",") });
    }
    if let Some(registration) = &trunk.registration {
        parts.push(format!("registers {}", registration.aor));
    }
    parts.join("; ")
}
