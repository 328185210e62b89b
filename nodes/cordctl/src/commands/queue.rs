//! `cordctl queue list|show`.

use proto::v1::{GetQueueRequest, ListQueuesRequest, QueueInfo, WaitingCall};
use serde::Serialize;

use super::agent;
use crate::{
    args::Queue,
    cluster::{Admin, Cluster},
    counts::Counted,
    failure::Failure,
    output::{Asked, Cell, Output, Page, between, figure, given, lasting, or_dash, percent, plain, tenant},
};

/// The wait of a caller who would join now, or of one in line; the estimate of the shard.
#[derive(Clone, Copy, Serialize)]
struct Estimate {
    low_ms: u64,
    high_ms: u64,
}

#[derive(Serialize)]
struct View {
    tenant: String,
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
    /// By its schedule.
    open: bool,
    /// In line without being on the phone.
    callbacks: u32,
    /// None: unknown.
    estimate: Option<Estimate>,
    /// The present interval.
    now: Counted,
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
    priority: u32,
    /// Asked now.
    skills: Option<String>,
    /// Open to it.
    tier: u32,
    /// The agent it waits for alone.
    waits_for: Option<String>,
    callback: bool,
    /// None: unknown.
    estimate: Option<Estimate>,
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
    let asked = cluster.asked();
    output.show(&queues, |page| table(page, asked, &queues))
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
    let asked = cluster.asked();
    output.show(&detail, |page| {
        table(page, asked, std::slice::from_ref(&detail.info));
        page.line("");
        now(page, &detail.info);
        page.line("");
        page.table(LINE, detail.waiting.iter().map(place));
        page.line("");
        // They are of the tenant whose the queue is.
        agent::table(page, Asked::One, &detail.agents);
    })
}

fn table(page: &mut Page, asked: Asked, queues: &[View]) {
    page.list_of_tenants(asked, &HEADS, queues.iter().map(|queue| (queue.tenant.as_str(), row(queue).into())));
}

const HEADS: [&str; 15] = [
    "NAME",
    "OPEN",
    "WAITING",
    "RINGING",
    "CALLBACKS",
    "TALKING",
    "READY",
    "LOGGED IN",
    "AGENTS",
    "LONGEST",
    "ESTIMATE",
    "SL",
    "ASA",
    "ABANDONMENT",
    "STRATEGY",
];

fn row(queue: &View) -> [Cell; 15] {
    let derived = &queue.now.derived;
    [
        plain(&queue.name),
        plain(if queue.open { "yes" } else { "no" }),
        figure(queue.calls_waiting),
        figure(queue.calls_reserved),
        figure(queue.callbacks),
        figure(queue.calls_talking),
        figure(queue.agents_ready),
        figure(queue.agents_logged_in),
        figure(queue.agents_total),
        figure(lasting(queue.longest_wait_ms)),
        plain(estimated(queue.estimate)),
        figure(or_dash(derived.service_level_permille.map(percent))),
        figure(or_dash(derived.asa_ms.map(lasting))),
        figure(or_dash(derived.abandonment_permille.map(percent))),
        plain(&queue.strategy),
    ]
}

/// The present interval, and everything since the beginning.
fn now(page: &mut Page, queue: &View) {
    let (now, derived) = (&queue.now, &queue.now.derived);
    let View { calls_offered, calls_answered, calls_abandoned, .. } = queue;
    let level = or_dash(derived.service_level_permille.map(percent));
    page.pairs([
        ("this interval", plain(now.words())),
        ("service level", plain(format!("{level} answered within the threshold"))),
        ("ASA", plain(or_dash(derived.asa_ms.map(lasting)))),
        ("AHT", plain(or_dash(derived.aht_ms.map(lasting)))),
        ("abandonment", plain(or_dash(derived.abandonment_permille.map(percent)))),
        ("callbacks", plain(format!("{} asked, {} done", now.callbacks_asked, now.callbacks_done))),
        (
            "since the beginning",
            plain(format!("offered {calls_offered}, answered {calls_answered}, abandoned {calls_abandoned}")),
        ),
    ]);
}

const LINE: [&str; 11] = [
    "POSITION",
    "CALL",
    "CALLER",
    "WAITED",
    "PRIORITY",
    "SKILLS",
    "TIER",
    "WAITS FOR",
    "CALLBACK",
    "ESTIMATE",
    "OFFERED",
];

fn place(call: &Waiting) -> [Cell; 11] {
    [
        figure(call.position),
        plain(&call.call),
        plain(&call.caller),
        figure(lasting(call.waited_ms)),
        figure(or_dash(Some(call.priority).filter(|priority| *priority > 0))),
        plain(call.skills.as_deref().unwrap_or_default()),
        figure(or_dash(Some(call.tier).filter(|tier| *tier > 0))),
        plain(call.waits_for.as_deref().unwrap_or_default()),
        plain(if call.callback { "yes" } else { "" }),
        plain(estimated(call.estimate)),
        plain(if call.offered { "ringing" } else { "" }),
    ]
}

/// An interval, or that nobody knows: one figure would be a lie.
fn estimated(estimate: Option<Estimate>) -> String {
    estimate.map_or_else(|| "unknown".to_owned(), |Estimate { low_ms, high_ms }| between(low_ms, Some(high_ms)))
}

fn estimate(low_ms: u64, high_ms: u64) -> Option<Estimate> {
    // Both 0 is unknown.
    (low_ms > 0 || high_ms > 0).then_some(Estimate { low_ms, high_ms })
}

impl From<QueueInfo> for View {
    fn from(queue: QueueInfo) -> Self {
        Self {
            tenant: tenant(queue.tenant),
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
            open: queue.open,
            callbacks: queue.callbacks,
            estimate: estimate(queue.estimate_low_ms, queue.estimate_high_ms),
            now: queue.now.unwrap_or_default().into(),
        }
    }
}

impl From<WaitingCall> for Waiting {
    fn from(waiting: WaitingCall) -> Self {
        Self {
            call: waiting.call,
            caller: waiting.caller,
            waited_ms: waiting.waited_ms,
            position: waiting.position,
            offered: waiting.offered,
            priority: waiting.priority,
            skills: given(waiting.skills),
            tier: waiting.tier,
            waits_for: given(waiting.waits_for),
            callback: waiting.callback,
            estimate: estimate(waiting.estimate_low_ms, waiting.estimate_high_ms),
        }
    }
}
