//! Clients that write and read agents' break reasons through gRPC and keep what they saw with its times: a history that a
//! linearizability checker judges. An agent is a register; `MakeAgentNotReady` writes it, `GetAgent` reads it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use proto::v1::{
    AgentChange, ChangeAgentRequest, Command, CommandId, GetAgentRequest, MakeAgentNotReady, Submission, SubmitRequest,
    admin_client::AdminClient, command, outcome, shard_client::ShardClient,
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use trust::{Far, Role, Trust};

use super::papers::Papers;

/// Agents who are registers: `reg1` and so on.
pub const REGISTERS: u64 = 4;
/// The tenant whose agents they are.
const TENANT: u32 = 1;
/// Between two operations of a client.
const PAUSE: Duration = Duration::from_millis(15);
/// An answer that has not come by then will not be waited for.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// A command with an id is asked again for so long.
const RESOLVE_MAX: Duration = Duration::from_secs(40);
/// Between two attempts of it.
const AGAIN: Duration = Duration::from_millis(50);

/// What was asked of a register, and what is known of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// This was written, if `known`; otherwise perhaps, and at any time from its beginning on.
    Write {
        /// Never written twice.
        value: String,
        /// It was confirmed.
        known: bool,
    },
    /// This was read.
    Read(String),
}

/// One operation with its times in microseconds since the beginning.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Which register.
    pub register: u64,
    /// What was done.
    pub what: What,
    /// When it was asked.
    pub begun: u64,
    /// When the answer was there.
    pub ended: u64,
    /// Through which node.
    pub through: String,
}

/// Clients at work; end when dropped.
#[derive(Debug)]
pub struct Clients {
    operations: Arc<Mutex<Vec<Operation>>>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What all clients share.
#[derive(Clone)]
struct Shared {
    operations: Arc<Mutex<Vec<Operation>>>,
    done: Arc<AtomicBool>,
    values: Arc<AtomicU64>,
    began: Instant,
    endpoints: Vec<String>,
    operator: Trust,
    gateway: Trust,
}

impl Clients {
    /// Two clients for each node: one that asks admins' questions of that node alone, one that submits commands with ids
    /// until their outcome is known.
    ///
    /// # Errors
    /// No thread could be started, or they have no certificates.
    pub fn start(endpoints: &[String], papers: &Papers) -> anyhow::Result<Self> {
        let (operations, done) = (Arc::<Mutex<Vec<Operation>>>::default(), Arc::<AtomicBool>::default());
        let shared = Shared {
            operations: Arc::clone(&operations),
            done: Arc::clone(&done),
            values: Arc::default(),
            began: Instant::now(),
            endpoints: endpoints.to_vec(),
            operator: papers.trust("registers", Role::Admin)?,
            gateway: papers.trust("registers", Role::Gateway)?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("registers".into()).spawn(move || {
            runtime.block_on(async {
                let mut clients = tokio::task::JoinSet::new();
                for (place, endpoint) in shared.endpoints.iter().enumerate() {
                    clients.spawn(shared.clone().admin(place as u64, endpoint.clone()));
                    clients.spawn(shared.clone().sender(place as u64));
                }
                while clients.join_next().await.is_some() {}
            });
        })?;
        Ok(Self { operations, done, thread: Some(thread) })
    }

    /// How many operations were confirmed until now.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.operations).len()
    }

    /// The whole history; no more is done.
    pub fn finish(mut self) -> Vec<Operation> {
        self.end();
        std::mem::take(&mut *lock(&self.operations))
    }

    fn end(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    /// Reads and writes through one node, whatever happens to it.
    async fn admin(self, own: u64, endpoint: String) {
        let Ok(channel) = channel(&endpoint, &self.operator) else { return };
        let mut admin = AdminClient::new(channel);
        let mut turn = own;
        while !self.done.load(Ordering::Relaxed) {
            turn += 1;
            let register = turn % REGISTERS + 1;
            let begun = self.now();
            if turn.is_multiple_of(3) {
                let value = self.value();
                let request = ChangeAgentRequest {
                    name: format!("reg{register}"),
                    change: AgentChange::NotReady.into(),
                    reason: value.clone(),
                    seconds: 0,
                };
                let known = matches!(timeout(ANSWER_MAX, admin.change_agent(request)).await, Ok(Ok(_)));
                self.keep(register, What::Write { value, known }, begun, &endpoint);
            } else {
                let request = GetAgentRequest { name: format!("reg{register}") };
                if let Ok(Ok(found)) = timeout(ANSWER_MAX, admin.get_agent(request)).await {
                    self.keep(register, What::Read(found.into_inner().reason), begun, &endpoint);
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Writes with command ids, each again and again at whoever answers until its outcome is known.
    async fn sender(self, own: u64) {
        let sender = self.began.elapsed().as_nanos() as u64 ^ (u64::from(std::process::id()) << 32) ^ (own << 20);
        let mut place = own as usize;
        let mut stream = None;
        for number in 1.. {
            if self.done.load(Ordering::Relaxed) {
                return;
            }
            let (register, value, begun) = (number % REGISTERS + 1, self.value(), self.now());
            let not_ready = MakeAgentNotReady { agent: format!("reg{register}"), reason: value.clone() };
            let submission = Submission {
                shard: TENANT,
                id: Some(CommandId { sender, number }),
                settled_below: number,
                command: Some(Command { kind: Some(command::Kind::MakeAgentNotReady(not_ready)) }),
                trace: None,
            };
            let mut known = false;
            let asked = Instant::now();
            while !known && asked.elapsed() < RESOLVE_MAX {
                match self.attempt(&mut stream, &mut place, &submission).await {
                    Some(outcome::Result::Accepted(_)) => known = true,
                    // Nobody refuses these: a refusal is a wrong answer, and the value will be missing.
                    Some(outcome::Result::Rejection(_)) => break,
                    Some(_) | None => sleep(AGAIN).await,
                }
            }
            let through = self.endpoints[place % self.endpoints.len()].clone();
            self.keep(register, What::Write { value, known }, begun, &through);
            sleep(PAUSE).await;
        }
    }

    /// One try; a stream that has failed is forgotten, and the next node is asked next.
    async fn attempt(
        &self,
        stream: &mut Option<Conversation>,
        place: &mut usize,
        submission: &Submission,
    ) -> Option<outcome::Result> {
        let endpoint = self.endpoints[*place % self.endpoints.len()].clone();
        let asked = async {
            if stream.is_none() {
                *stream = Some(Conversation::open(&endpoint, &self.gateway).await?);
            }
            stream.as_mut().context("it was just opened")?.ask(submission).await
        };
        let outcome = timeout(ANSWER_MAX / 3, asked).await.ok().and_then(Result::ok);
        match &outcome {
            Some(outcome::Result::Accepted(_) | outcome::Result::Rejection(_)) => {}
            Some(outcome::Result::NotLeader(hint)) => {
                *stream = None;
                *place = self.endpoints.iter().position(|known| *known == hint.endpoint).unwrap_or(*place + 1);
            }
            Some(outcome::Result::Unavailable(_)) | None => {
                *stream = None;
                *place += 1;
            }
        }
        outcome
    }

    fn value(&self) -> String {
        format!("v{}", self.values.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn keep(&self, register: u64, what: What, begun: u64, through: &str) {
        let through = through.to_owned();
        lock(&self.operations).push(Operation { register, what, begun, ended: self.now(), through });
    }
}

/// A Submit stream to one node.
struct Conversation {
    requests: mpsc::Sender<SubmitRequest>,
    replies: tonic::Streaming<proto::v1::SubmitReply>,
}

impl Conversation {
    async fn open(endpoint: &str, trust: &Trust) -> anyhow::Result<Self> {
        let (requests, receiver) = mpsc::channel(4);
        let mut client = ShardClient::new(channel(endpoint, trust)?);
        let replies = client.submit(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Self { requests, replies })
    }

    async fn ask(&mut self, submission: &Submission) -> anyhow::Result<outcome::Result> {
        self.requests.send(SubmitRequest { submissions: vec![submission.clone()] }).await?;
        loop {
            let reply = self.replies.message().await?.context("the stream has ended")?;
            let ours = reply.outcomes.into_iter().find(|outcome| outcome.id == submission.id);
            if let Some(result) = ours.and_then(|outcome| outcome.result) {
                return Ok(result);
            }
        }
    }
}

fn channel(endpoint: &str, trust: &Trust) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{endpoint}"))?;
    let endpoint = endpoint.connect_timeout(Duration::from_millis(500)).tcp_nodelay(true);
    Ok(trust.connect_lazily(&endpoint, Far::AnyNode))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
