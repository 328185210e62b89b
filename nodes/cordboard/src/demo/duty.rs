//! The demo agents' buttons: logs them in and makes them ready again when the cluster has set them aside (a gateway or
//! this process was gone when they were rung). Never overrules a person who made one not ready.

use std::time::Duration;

use proto::v1::{AgentChange, AgentInfo, ChangeAgentRequest, ListAgentsRequest, admin_client::AdminClient};
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};
use trust::{Far, Trust};

use super::AGENTS;

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A node that does not answer for so long is left for the next.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Said by people only; what the cluster says itself is looked up here.
const SET_ASIDE: [&str; 2] = ["rona", "unreachable"];

/// Looks after the agents for ever, through whichever node answers.
pub(crate) async fn keep(trust: &Trust, nodes: &[String]) {
    // What an earlier run left behind is nobody's wish: everybody starts the day ready.
    let mut start = true;
    for node in nodes.iter().cycle() {
        while look(trust, node, start).await.is_ok() {
            start = false;
            sleep(LOOK_EVERY).await;
        }
        sleep(LOOK_EVERY / 4).await;
    }
}

async fn look(trust: &Trust, node: &str, start: bool) -> anyhow::Result<()> {
    let mut admin = connect(trust, node).await?;
    for agent in demo_agents(&mut admin).await? {
        let wanted = match agent.state.as_str() {
            "logged-out" if start => Some(AgentChange::LogIn),
            "not-ready" if start || SET_ASIDE.contains(&agent.reason.as_str()) => Some(AgentChange::Ready),
            _ => None,
        };
        if let Some(change) = wanted {
            press(&mut admin, &agent.name, change).await?;
        }
        if wanted == Some(AgentChange::LogIn) {
            press(&mut admin, &agent.name, AgentChange::Ready).await?;
        }
    }
    Ok(())
}

/// Nobody plays the demo agents: they must not be rung.
pub(crate) async fn log_out(trust: &Trust, node: &str) -> anyhow::Result<()> {
    let mut admin = connect(trust, node).await?;
    for agent in demo_agents(&mut admin).await?.iter().filter(|agent| agent.state != "logged-out") {
        press(&mut admin, &agent.name, AgentChange::LogOut).await?;
    }
    Ok(())
}

async fn connect(trust: &Trust, node: &str) -> anyhow::Result<AdminClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("http://{node}"))?.connect_timeout(ANSWER_MAX).timeout(ANSWER_MAX);
    Ok(AdminClient::new(trust.connect(&endpoint, Far::AnyNode).await?))
}

async fn demo_agents(admin: &mut AdminClient<Channel>) -> anyhow::Result<Vec<AgentInfo>> {
    let agents = admin.list_agents(ListAgentsRequest::default()).await?.into_inner().agents;
    Ok(agents.into_iter().filter(|agent| AGENTS.contains(&agent.name.as_str())).collect())
}

async fn press(admin: &mut AdminClient<Channel>, name: &str, change: AgentChange) -> anyhow::Result<()> {
    let request =
        ChangeAgentRequest { name: name.to_owned(), change: change.into(), reason: String::new(), seconds: 0 };
    admin.change_agent(request).await?;
    Ok(())
}
