//! `cordctl agent list|show|ready|not-ready|extend-wrap-up|login|logout`.

use std::collections::BTreeMap;

use proto::v1::{AgentChange, AgentInfo, ChangeAgentRequest, GetAgentRequest, ListAgentsRequest};
use serde::Serialize;

use crate::{
    args::Agent,
    cluster::{Admin, Cluster},
    counts::{STATES, times_by_state},
    failure::Failure,
    output::{Asked, Output, Page, figure, given, lasting, plain, tenant, word},
};

#[derive(Serialize)]
pub(super) struct View {
    tenant: String,
    name: String,
    state: String,
    reason: Option<String>,
    in_state_ms: u64,
    call: Option<String>,
    queues: Vec<String>,
    contacts: Vec<String>,
    calls_answered: u64,
    /// Levels by skill.
    skills: BTreeMap<String, u32>,
    /// Since log-in, by state.
    state_ms: BTreeMap<&'static str, u64>,
    /// Calls at once.
    capacity: u32,
    /// In hand.
    calls: Vec<String>,
}

pub(super) async fn run(command: Agent, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    match command {
        Agent::List { queue } => list(queue.unwrap_or_default(), cluster, output).await,
        Agent::Show { name } => show(name, cluster, output).await,
        Agent::Ready { name } => change(asked(name, AgentChange::Ready), cluster, output).await,
        Agent::NotReady { name, reason } => {
            let request = ChangeAgentRequest { reason, ..asked(name, AgentChange::NotReady) };
            change(request, cluster, output).await
        }
        Agent::ExtendWrapUp { name, span } => {
            let request = ChangeAgentRequest { seconds: span, ..asked(name, AgentChange::ExtendWrapUp) };
            change(request, cluster, output).await
        }
        Agent::Login { name } => change(asked(name, AgentChange::LogIn), cluster, output).await,
        Agent::Logout { name } => change(asked(name, AgentChange::LogOut), cluster, output).await,
    }
}

async fn list(queue: String, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let rpc = async |admin: &mut Admin, request| admin.list_agents(request).await;
    let answer = cluster.ask("agent list", ListAgentsRequest { queue }, rpc).await?;
    let agents: Vec<View> = answer.agents.into_iter().map(View::from).collect();
    let asked = cluster.asked();
    output.show(&agents, |page| table(page, asked, &agents))
}

async fn show(name: String, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let what = format!("agent show {name}");
    let rpc = async |admin: &mut Admin, request| admin.get_agent(request).await;
    let agent: View = cluster.ask(&what, GetAgentRequest { name }, rpc).await?.into();
    output.show(&agent, |page| pairs(page, &agent))
}

fn asked(name: String, change: AgentChange) -> ChangeAgentRequest {
    ChangeAgentRequest { name, change: change.into(), ..ChangeAgentRequest::default() }
}

async fn change(request: ChangeAgentRequest, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let verb = match request.change() {
        AgentChange::LogIn => "login",
        AgentChange::LogOut => "logout",
        AgentChange::Ready => "ready",
        AgentChange::NotReady => "not-ready",
        AgentChange::ExtendWrapUp => "extend-wrap-up",
        AgentChange::Unspecified => "change",
    };
    let what = format!("agent {verb} {}", request.name);
    let rpc = async |admin: &mut Admin, request| admin.change_agent(request).await;
    let agent: View = cluster.ask(&what, request, rpc).await?.into();
    output.show(&agent, |page| pairs(page, &agent))
}

pub(super) fn table(page: &mut Page, asked: Asked, agents: &[View]) {
    let rows = agents.iter().map(|agent| {
        let cells = vec![
            plain(&agent.name),
            word(&agent.state),
            plain(agent.reason.as_deref().unwrap_or_default()),
            figure(lasting(agent.in_state_ms)),
            plain(agent.call.as_deref().unwrap_or_default()),
            figure(agent.calls_answered),
            plain(agent.queues.join(",")),
            plain(agent.contacts.join(",")),
        ];
        (agent.tenant.as_str(), cells)
    });
    let heads = ["NAME", "STATE", "REASON", "FOR", "CALL", "ANSWERED", "QUEUES", "CONTACTS"];
    page.list_of_tenants(asked, &heads, rows);
}

fn pairs(page: &mut Page, agent: &View) {
    let skills: Vec<String> = agent.skills.iter().map(|(skill, level)| format!("{skill}:{level}")).collect();
    let times = STATES.iter().filter_map(|state| Some((*state, *agent.state_ms.get(state)?)));
    let times: Vec<String> = times.map(|(state, ms)| format!("{state} {}", lasting(ms))).collect();
    page.pairs([
        ("name", plain(&agent.name)),
        ("state", word(&agent.state)),
        ("reason", plain(agent.reason.as_deref().unwrap_or_default())),
        ("for", plain(lasting(agent.in_state_ms))),
        ("call", plain(agent.call.as_deref().unwrap_or_default())),
        ("in hand", plain(format!("{} of {}", agent.calls.len(), agent.capacity.max(1)))),
        ("calls", plain(agent.calls.join(", "))),
        ("answered", plain(agent.calls_answered)),
        ("skills", plain(skills.join(", "))),
        ("queues", plain(agent.queues.join(", "))),
        ("contacts", plain(agent.contacts.join(", "))),
        ("since log-in", plain(times.join(", "))),
    ]);
}

impl From<AgentInfo> for View {
    fn from(agent: AgentInfo) -> Self {
        Self {
            tenant: tenant(agent.tenant),
            name: agent.name,
            state: agent.state,
            reason: given(agent.reason),
            in_state_ms: agent.in_state_ms,
            call: given(agent.call),
            queues: agent.queues,
            contacts: agent.contacts,
            calls_answered: agent.calls_answered,
            skills: agent.skills.into_iter().map(|skill| (skill.skill, skill.level)).collect(),
            state_ms: times_by_state(&agent.state_ms),
            capacity: agent.capacity,
            calls: agent.calls,
        }
    }
}
