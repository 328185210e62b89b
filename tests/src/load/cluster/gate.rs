//! A client that speaks to shards as a gateway does: commands with ids over Submit, again and again until the outcome is
//! known, and a Watch stream that says that it lives. What it writes are passports of calls (`ConfirmLeg`): bytes that the
//! shard keeps, as a gateway sends them in every call.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use proto::v1::{
    ApplyRequest, Command, CommandId, ConfirmLeg, ListShardsRequest, OfferCall, SourceFile, Submission, SubmitRequest,
    WatchRequest, admin_client::AdminClient, command, outcome, shard_client::ShardClient,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use super::drive::{VALUE_BYTES, Writer};

/// Calls of each tenant whose passports are written.
const CALLS: u64 = 1_000;
/// Between two attempts to find a leader.
const PAUSE: Duration = Duration::from_millis(10);
/// A node that does not answer for so long is not the one.
const ATTEMPT_MAX: Duration = Duration::from_millis(300);
const READY_MAX: Duration = Duration::from_secs(90);
/// Submissions of one message.
const MESSAGE_MAX: usize = 1_024;
/// Connections to each node that lines share, as many as etcd's clients have to its leader.
const CONNECTIONS: usize = 8;

type Answer = oneshot::Sender<Result<(), String>>;

/// Everything that this client holds.
pub(super) struct Gate {
    lines: Vec<Line>,
    tenants: Vec<u32>,
    _tasks: JoinSet<()>,
    random: u64,
}

/// One stream to one tenant's leader, wherever it is.
struct Line {
    asks: mpsc::UnboundedSender<(command::Kind, Answer)>,
}

impl Gate {
    /// Applies the documents, attaches to these tenants, offers their calls. Without lines it only attaches.
    pub(super) async fn open(endpoints: &[String], tenants: u32, lines_each: usize) -> anyhow::Result<Self> {
        let tenants: Vec<u32> = (1..=tenants).collect();
        apply(endpoints, &tenants).await?;
        let random = u64::from(std::process::id()) << 24 | u64::from(std::time::UNIX_EPOCH.elapsed()?.subsec_millis());
        let (mut lines, mut tasks) = (Vec::new(), JoinSet::new());
        let nodes = Nodes::new(endpoints)?;
        for _ in 0..lines_each {
            for &tenant in &tenants {
                let (asks, asked) = mpsc::unbounded_channel();
                let sender = random.wrapping_mul(0x9e37_79b9).wrapping_add(lines.len() as u64 + 1);
                let link = Link {
                    tenant,
                    sender,
                    nodes: nodes.clone(),
                    connection: lines.len() % CONNECTIONS,
                    place: 0,
                    pending: BTreeMap::new(),
                };
                tasks.spawn(link.run(asked));
                lines.push(Line { asks });
            }
        }
        let attached = Arc::<AtomicU64>::default();
        for &tenant in &tenants {
            tasks.spawn(watch(tenant, random, nodes.clone(), Arc::clone(&attached)));
        }
        let all = tenants.len() as u64;
        timeout(READY_MAX, async {
            while attached.load(Ordering::Relaxed) < all {
                sleep(PAUSE).await;
            }
        })
        .await
        .context("not every tenant's shard takes a gateway")?;
        let gate = Self { lines, tenants, _tasks: tasks, random };
        for line in 0..gate.tenants.len().min(gate.lines.len()) {
            gate.offer(line, 0..CALLS).await?;
        }
        Ok(gate)
    }

    /// Calls of these numbers begin, over this line.
    pub(super) async fn offer(&self, line: usize, calls: std::ops::Range<u64>) -> anyhow::Result<()> {
        let tenant = self.tenants[line % self.tenants.len()];
        let mut answers = Vec::new();
        for call in calls {
            let offer = OfferCall {
                call: call_id(tenant, call),
                gateway: "load".into(),
                incarnation: self.random,
                number: number(tenant),
                caller: format!("c{call}"),
                caller_name: String::new(),
                passport: vec![b'p'; VALUE_BYTES],
            };
            answers.push(self.ask(line, command::Kind::OfferCall(offer)));
        }
        for answer in answers {
            answer.await?;
        }
        Ok(())
    }

    fn ask(&self, line: usize, kind: command::Kind) -> impl Future<Output = anyhow::Result<()>> + use<> {
        let (answer, answered) = oneshot::channel();
        let sent = self.lines[line % self.lines.len()].asks.send((kind, answer));
        async move {
            ensure!(sent.is_ok(), "the line is gone");
            answered.await?.map_err(anyhow::Error::msg)
        }
    }
}

impl Writer for Gate {
    async fn write(&self, client: usize, turn: u64) -> anyhow::Result<()> {
        let tenant = self.tenants[client % self.lines.len() % self.tenants.len()];
        let call = (client as u64).wrapping_mul(7_919).wrapping_add(turn) % CALLS;
        let passport = vec![b'v'; VALUE_BYTES];
        let confirm = ConfirmLeg { call: call_id(tenant, call), leg: 1, passport, tenure: 0 };
        self.ask(client, command::Kind::ConfirmLeg(confirm)).await
    }
}

const fn call_id(tenant: u32, call: u64) -> u64 {
    ((tenant as u64) << 40) | (call + 1)
}

fn number(tenant: u32) -> String {
    format!("{}", 500_000 + tenant)
}

/// Connections to all nodes; those that break are made again when they are used.
#[derive(Clone)]
struct Nodes {
    endpoints: Vec<String>,
    channels: Vec<Vec<Channel>>,
}

impl Nodes {
    fn new(endpoints: &[String]) -> anyhow::Result<Self> {
        let lazily = |endpoint: &String| {
            let endpoint = Endpoint::from_shared(format!("http://{endpoint}"))?.tcp_nodelay(true);
            anyhow::Ok((0..CONNECTIONS).map(|_| endpoint.connect_lazy()).collect())
        };
        let channels = endpoints.iter().map(lazily).collect::<Result<_, _>>()?;
        Ok(Self { endpoints: endpoints.to_vec(), channels })
    }

    fn client(&self, place: usize, connection: usize) -> ShardClient<Channel> {
        let channels = &self.channels[place % self.channels.len()];
        ShardClient::new(channels[connection % channels.len()].clone())
    }
}

/// A stream and what is not answered yet.
struct Link {
    tenant: u32,
    sender: u64,
    nodes: Nodes,
    connection: usize,
    place: usize,
    pending: BTreeMap<u64, (command::Kind, Answer)>,
}

impl Link {
    async fn run(mut self, mut asks: mpsc::UnboundedReceiver<(command::Kind, Answer)>) {
        let mut next = 1;
        while !asks.is_closed() {
            if self.session(&mut asks, &mut next).await.is_err() {
                sleep(PAUSE).await;
            }
        }
    }

    /// Until the stream ends; the hint or the next node is asked then.
    async fn session(
        &mut self,
        asks: &mut mpsc::UnboundedReceiver<(command::Kind, Answer)>,
        next: &mut u64,
    ) -> anyhow::Result<()> {
        let mut client = self.nodes.client(self.place, self.connection);
        self.place += 1;
        let (requests, receiver) = mpsc::channel(64);
        let mut replies = timeout(ATTEMPT_MAX, client.submit(ReceiverStream::new(receiver))).await??.into_inner();
        let numbers: Vec<u64> = self.pending.keys().copied().collect();
        for part in numbers.chunks(MESSAGE_MAX) {
            requests.send(self.message(part)).await?;
        }
        loop {
            tokio::select! {
                ask = asks.recv() => {
                    let Some(ask) = ask else { return Ok(()) };
                    let mut fresh = Vec::new();
                    let mut more = Some(ask);
                    while let Some(ask) = more {
                        self.pending.insert(*next, ask);
                        fresh.push(*next);
                        *next += 1;
                        more = if fresh.len() < MESSAGE_MAX { asks.try_recv().ok() } else { None };
                    }
                    requests.send(self.message(&fresh)).await?;
                }
                reply = replies.message() => {
                    let reply = reply?.context("the stream has ended")?;
                    for outcome in reply.outcomes {
                        self.hear(outcome)?;
                    }
                }
            }
        }
    }

    fn message(&self, numbers: &[u64]) -> SubmitRequest {
        let settled_below = self.pending.keys().next().copied().unwrap_or(0);
        let submissions = numbers.iter().filter_map(|number| {
            let (kind, _) = self.pending.get(number)?;
            Some(Submission {
                shard: self.tenant,
                id: Some(CommandId { sender: self.sender, number: *number }),
                settled_below,
                command: Some(Command { kind: Some(kind.clone()) }),
                trace: None,
            })
        });
        SubmitRequest { submissions: submissions.collect() }
    }

    fn hear(&mut self, outcome: proto::v1::Outcome) -> anyhow::Result<()> {
        let number = outcome.id.map_or(0, |id| id.number);
        match outcome.result {
            Some(outcome::Result::Accepted(_)) => self.answer(number, Ok(())),
            Some(outcome::Result::Rejection(refusal)) => {
                self.answer(number, Err(format!("{:?}: {}", refusal.code(), refusal.detail)));
            }
            Some(outcome::Result::NotLeader(hint)) => {
                if let Some(place) = self.nodes.endpoints.iter().position(|known| *known == hint.endpoint) {
                    self.place = place;
                }
                bail!("another node leads");
            }
            Some(outcome::Result::Unavailable(why)) => bail!("unknown: {}", why.detail),
            None => {}
        }
        Ok(())
    }

    fn answer(&mut self, number: u64, result: Result<(), String>) {
        if let Some((_, answer)) = self.pending.remove(&number) {
            let _ = answer.send(result);
        }
    }
}

/// Holds the lease of a gateway for ever.
async fn watch(tenant: u32, incarnation: u64, nodes: Nodes, attached: Arc<AtomicU64>) {
    let mut was = false;
    for place in 0.. {
        let watched = async {
            let mut client = nodes.client(place, tenant as usize).max_decoding_message_size(usize::MAX);
            let request =
                WatchRequest { shard: tenant, gateway: "load".into(), incarnation, sip: "127.0.0.1:9".into() };
            let mut orders = timeout(ATTEMPT_MAX, client.watch(request)).await??.into_inner();
            while let Some(reply) = orders.message().await? {
                use proto::v1::watch_reply::Kind;
                if matches!(reply.kind, Some(Kind::InSync(_))) && !std::mem::replace(&mut was, true) {
                    attached.fetch_add(1, Ordering::Relaxed);
                }
                if matches!(reply.kind, Some(Kind::NotLeader(_))) {
                    break;
                }
            }
            anyhow::Ok(())
        };
        let _ = watched.await;
        sleep(PAUSE).await;
    }
}

async fn connect(endpoint: &str) -> anyhow::Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://{endpoint}"))?.tcp_nodelay(true).connect().await?)
}

/// The node that leads a shard, as its place among the endpoints.
pub(super) async fn leader_of(endpoints: &[String], shard: u32) -> anyhow::Result<usize> {
    let found = async {
        for endpoint in endpoints.iter().cycle() {
            let asked = async {
                let mut admin = AdminClient::new(connect(endpoint).await?);
                let list = admin.list_shards(ListShardsRequest {}).await?.into_inner().shards;
                let row = list.into_iter().find(|row| row.id == shard).context("no such shard")?;
                let number: usize = row.leader.trim_start_matches('n').parse()?;
                anyhow::Ok(number - 1)
            };
            if let Ok(Ok(place)) = timeout(ATTEMPT_MAX * 3, asked).await {
                return place;
            }
            sleep(PAUSE).await;
        }
        0
    };
    timeout(READY_MAX, found).await.with_context(|| format!("shard {shard} has no leader"))
}

async fn apply(endpoints: &[String], tenants: &[u32]) -> anyhow::Result<()> {
    let mut text = String::new();
    for &tenant in tenants {
        let of = if tenant == 1 { String::new() } else { format!("tenant: t{tenant}\n") };
        if tenant > 1 {
            text += &format!("kind: Tenant\nname: t{tenant}\n---\n");
        }
        text += &format!(
            "kind: Number\nname: \"{}\"\nroute: {{ queue: line }}\n{of}---\n\
             kind: Queue\nname: line\nanswer: on-agent\nring_seconds: 30\n{of}---\n",
            number(tenant)
        );
    }
    let text = text.trim_end_matches("---\n").to_owned();
    let mut last = String::new();
    let applied = async {
        for endpoint in endpoints.iter().cycle() {
            let asked = async {
                let mut admin = AdminClient::new(connect(endpoint).await?);
                let files = vec![SourceFile { name: "load.yaml".into(), text: text.clone() }];
                anyhow::Ok(admin.apply(ApplyRequest { files, dry_run: false, by: "load".into() }).await?.into_inner())
            };
            match asked.await {
                Ok(reply) => return reply,
                Err(error) => last = format!("{error:#}"),
            }
            sleep(PAUSE * 10).await;
        }
        unreachable!("the circle of endpoints has no end")
    };
    let reply =
        timeout(READY_MAX, applied).await.map_err(|_| anyhow::anyhow!("the documents were not taken: {last}"))?;
    ensure!(reply.errors.is_empty(), "{:?}", reply.errors.first());
    Ok(())
}
