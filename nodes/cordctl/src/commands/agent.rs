//! `cordctl agent list|show|ready|not-ready|login|logout`.

use proto::v1::{AgentChange, AgentInfo, ChangeAgentRequest, GetAgentRequest, ListAgentsRequest};
use serde::Serialize;

use crate::{
    args::Agent,
    cluster::{Admin, Cluster},
    failure::Failure,
    output::{Output, Page, figure, given, lasting, plain, word},
};

#[derive(Serialize)]
pub(super) struct View {
    name: String,
    state: String,
    reason: Option<String>,
    in_state_ms: u64,
    call: Option<String>,
    queues: Vec<String>,
    contacts: Vec<String>,
    calls_answered: u64,
}

pub(super) async fn run(command: Agent, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    match command {
        Agent::List { queue } => list(queue.unwrap_or_default(), cluster, output).await,
        Agent::Show { name } => show(name, cluster, output).await,
        Agent::Ready { name } => change(name, AgentChange::Ready, String::new(), cluster, output).await,
        Agent::NotReady { name, reason } => change(name, AgentChange::NotReady, reason, cluster, output).await,
        Agent::Login { name } => change(name, AgentChange::LogIn, String::new(), cluster, output).await,
        Agent::Logout { name } => change(name, AgentChange::LogOut, String::new(), cluster, output).await,
    }
}

async fn list(queue: String, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let rpc = async |admin: &mut Admin, request| admin.list_agents(request).await;
    let answer = cluster.ask("agent list", ListAgentsRequest { queue }, rpc).await?;
    let agents: Vec<View> = answer.agents.into_iter().map(View::from).collect();
    output.show(&agents, |page| table(page, &agents))
}

async fn show(name: String, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let what = format!("agent show {name}");
    let rpc = async |admin: &mut Admin, request| admin.get_agent(request).await;
    let agent: View = cluster.ask(&what, GetAgentRequest { name }, rpc).await?.into();
    output.show(&agent, |page| pairs(page, &agent))
}

async fn change(
    name: String,
    change: AgentChange,
    reason: String,
    cluster: &mut Cluster,
    output: Output,
) -> Result<String, Failure> {
    let verb = match change {
        AgentChange::LogIn => "login",
        AgentChange::LogOut => "logout",
        AgentChange::Ready => "ready",
        AgentChange::NotReady => "not-ready",
        AgentChange::ExtendWrapUp => "extend-wrap-up",
        AgentChange::Unspecified => "change",
    };
    let what = format!("agent {verb} {name}");
    let rpc = async |admin: &mut Admin, request| admin.change_agent(request).await;
    let request = ChangeAgentRequest { name, change: change.into(), reason, seconds: 0 };
    let agent: View = cluster.ask(&what, request, rpc).await?.into();
    output.show(&agent, |page| pairs(page, &agent))
}

pub(super) fn table(page: &mut Page, agents: &[View]) {
    page.table(
        ["NAME", "STATE", "REASON", "FOR", "CALL", "ANSWERED", "QUEUES", "CONTACTS"],
        agents.iter().map(|agent| {
            [
                plain(&agent.name),
                word(&agent.state),
                plain(agent.reason.as_deref().unwrap_or_default()),
                figure(lasting(agent.in_state_ms)),
                plain(agent.call.as_deref().unwrap_or_default()),
                figure(agent.calls_answered),
                plain(agent.queues.join(",")),
                plain(agent.contacts.join(",")),
            ]
        }),
    );
}

fn pairs(page: &mut Page, agent: &View) {
    page.pairs([
        ("name", plain(&agent.name)),
        ("state", word(&agent.state)),
        ("reason", plain(agent.reason.as_deref().unwrap_or_default())),
        ("for", plain(lasting(agent.in_state_ms))),
        ("call", plain(agent.call.as_deref().unwrap_or_default())),
        ("answered", plain(agent.calls_answered)),
        ("queues", plain(agent.queues.join(", "))),
        ("contacts", plain(agent.contacts.join(", "))),
    ]);
}

impl From<AgentInfo> for View {
    fn from(agent: AgentInfo) -> Self {
        let AgentInfo { name, state, reason, in_state_ms, call, queues, contacts, calls_answered, .. } = agent;
        let (reason, call) = (given(reason), given(call));
        Self { name, state, reason, in_state_ms, call, queues, contacts, calls_answered }
    }
}
