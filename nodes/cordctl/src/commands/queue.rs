//! `cordctl queue list|show`.

use proto::v1::{GetQueueRequest, ListQueuesRequest, QueueInfo, WaitingCall};
use serde::Serialize;

use super::agent;
use crate::{
    args::Queue,
    cluster::{Admin, Cluster},
    failure::Failure,
    output::{Cell, Output, figure, lasting, plain},
};

#[derive(Serialize)]
struct View {
    name: String,
    strategy: String,
    calls_waiting: u32,
    calls_reserved: u32,
    calls_talking: u32,
    agents_ready: u32,
    agents_logged_in: u32,
    agents_total: u32,
    longest_wait_ms: u64,
    calls_offered: u64,
    calls_answered: u64,
    calls_abandoned: u64,
}

#[derive(Serialize)]
struct Detail {
    #[serde(flatten)]
    info: View,
    /// In the order they will be served.
    waiting: Vec<Waiting>,
    agents: Vec<agent::View>,
}

#[derive(Serialize)]
struct Waiting {
    call: String,
    caller: String,
    waited_ms: u64,
    position: u32,
    offered: bool,
}

pub(super) async fn run(command: Queue, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    match command {
        Queue::List => list(cluster, output).await,
        Queue::Show { name, limit } => show(name, limit, cluster, output).await,
    }
}

pub(super) async fn fetch(cluster: &mut Cluster) -> Result<Vec<QueueInfo>, Failure> {
    let rpc = async |admin: &mut Admin, request| admin.list_queues(request).await;
    Ok(cluster.ask("queue list", ListQueuesRequest {}, rpc).await?.queues)
}

async fn list(cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let queues: Vec<View> = fetch(cluster).await?.into_iter().map(View::from).collect();
    output.show(&queues, |page| page.table(HEADS, queues.iter().map(row)))
}

async fn show(name: String, limit: u32, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let what = format!("queue show {name}");
    let rpc = async |admin: &mut Admin, request| admin.get_queue(request).await;
    let answer = cluster.ask(&what, GetQueueRequest { name, limit }, rpc).await?;
    let detail = Detail {
        info: answer.info.unwrap_or_default().into(),
        waiting: answer.waiting.into_iter().map(Waiting::from).collect(),
        agents: answer.agents.into_iter().map(agent::View::from).collect(),
    };
    output.show(&detail, |page| {
        page.table(HEADS, [row(&detail.info)]);
        page.line("");
        page.table(
            ["POSITION", "CALL", "CALLER", "WAITED", "OFFERED"],
            detail.waiting.iter().map(|call| {
                [
                    figure(call.position),
                    plain(&call.call),
                    plain(&call.caller),
                    figure(lasting(call.waited_ms)),
                    plain(if call.offered { "ringing" } else { "" }),
                ]
            }),
        );
        page.line("");
        agent::table(page, &detail.agents);
    })
}

const HEADS: [&str; 12] = [
    "NAME",
    "WAITING",
    "RINGING",
    "TALKING",
    "READY",
    "LOGGED IN",
    "AGENTS",
    "LONGEST",
    "OFFERED",
    "ANSWERED",
    "ABANDONED",
    "STRATEGY",
];

fn row(queue: &View) -> [Cell; 12] {
    [
        plain(&queue.name),
        figure(queue.calls_waiting),
        figure(queue.calls_reserved),
        figure(queue.calls_talking),
        figure(queue.agents_ready),
        figure(queue.agents_logged_in),
        figure(queue.agents_total),
        figure(lasting(queue.longest_wait_ms)),
        figure(queue.calls_offered),
        figure(queue.calls_answered),
        figure(queue.calls_abandoned),
        plain(&queue.strategy),
    ]
}

impl From<QueueInfo> for View {
    fn from(queue: QueueInfo) -> Self {
        Self {
            name: queue.name,
            strategy: queue.strategy,
            calls_waiting: queue.waiting,
            calls_reserved: queue.offered,
            calls_talking: queue.talking,
            agents_ready: queue.agents_ready,
            agents_logged_in: queue.agents_logged_in,
            agents_total: queue.agents_total,
            longest_wait_ms: queue.longest_wait_ms,
            calls_offered: queue.calls_offered,
            calls_answered: queue.calls_answered,
            calls_abandoned: queue.calls_abandoned,
        }
    }
}

impl From<WaitingCall> for Waiting {
    fn from(waiting: WaitingCall) -> Self {
        let WaitingCall { call, caller, waited_ms, position, offered, .. } = waiting;
        Self { call, caller, waited_ms, position, offered }
    }
}
