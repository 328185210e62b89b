//! A node's way to any shard, wherever its leader is: for admins, and for the directory that configures tenants.
//! It retries with the same command id until the outcome is known or the time is up.

mod audit;
mod tenancies;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use proto::v1::{
    AskReply, AskRequest, Command, CommandId, DirectoryEntry, NotLeader, ProposeRequest, Rejection, StatsReply,
    StatsRequest, Submission, SubmitRequest, admin_client::AdminClient, command, directory_entry, outcome,
    query_client::QueryClient, shard_client::ShardClient, steward_client::StewardClient,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_stream::StreamExt as _;
use tonic::{Code, metadata::MetadataValue};
use trust::{Channels, Far, Trust};

use crate::{
    actor::{ForgetClient, ProposeDirectory, Submit},
    answers::{Answers, NoStats},
    members::Members,
    owners::Owners,
    services::no_stats,
};

pub(crate) use audit::too_long;

/// How long one attempt at one node may take before the next is tried.
const ATTEMPT_MAX: Duration = Duration::from_millis(700);
/// Between attempts, so that an election is not hurried by questions.
const PAUSE: Duration = Duration::from_millis(40);
/// Keys of in-process clients, apart from those of streams.
const LOCAL_CLIENTS: u64 = 1 << 63;

/// The shard could not be reached in time; a command may or may not be done.
#[derive(Debug, Clone, thiserror::Error)]
#[error("shard {shard} gave no answer within {waited_ms} ms: {detail}")]
pub struct Unreached {
    /// The shard.
    pub shard: u32,
    /// How long was tried.
    pub waited_ms: u64,
    /// The last obstacle.
    pub detail: String,
}

/// The way to every shard.
#[derive(Clone)]
pub struct Shards {
    owners: Owners,
    answers: Answers,
    members: Members,
    own: u64,
    sender: u64,
    numbers: Numbers,
    channels: Channels,
}

impl Shards {
    /// `sender` is drawn at random at the process's start.
    #[must_use]
    pub fn new(owners: Owners, answers: Answers, members: Members, own: u64, sender: u64, channels: Channels) -> Self {
        Self { owners, answers, members, own, sender, numbers: Numbers::default(), channels }
    }

    /// What this node can say itself.
    #[must_use]
    pub const fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Channels to other nodes.
    #[must_use]
    pub const fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Has a command committed and applied, once.
    ///
    /// # Errors
    /// The time was up before the outcome was known.
    pub async fn submit(
        &self,
        shard: u32,
        kind: command::Kind,
        wait: Duration,
    ) -> Result<Result<(), Rejection>, Unreached> {
        let numbered = self.numbers.next();
        let (number, settled_below) = (numbered.number, numbered.settled_below);
        let submission = Submission {
            shard,
            id: Some(CommandId { sender: self.sender, number }),
            settled_below,
            command: Some(Command { kind: Some(kind) }),
            trace: None,
        };
        let attempt = |endpoint: Option<String>| {
            let submission = submission.clone();
            async move {
                let result = match endpoint {
                    None => self.submit_here(number, submission).await?,
                    Some(endpoint) => self.submit_there(&endpoint, submission).await?,
                };
                match result {
                    outcome::Result::Accepted(_) => Ok(Ok(())),
                    outcome::Result::Rejection(rejection) => Ok(Err(rejection)),
                    outcome::Result::NotLeader(not_leader) => Err(Obstacle::NotLeader(not_leader)),
                    outcome::Result::Unavailable(unavailable) => Err(Obstacle::Other(unavailable.detail)),
                }
            }
        };
        self.persist(shard, wait, attempt).await
    }

    /// Has a change of the directory decided, once: it is asked with the same id until the outcome is known. (A cluster of
    /// earlier rules does not remember ids: there a change that comes twice is refused the second time.)
    ///
    /// # Errors
    /// The time was up before the outcome was known.
    pub async fn propose(
        &self,
        kind: directory_entry::Kind,
        wait: Duration,
    ) -> Result<Result<(), Rejection>, Unreached> {
        let mut number = [0; 8];
        // The leader tells waiting proposals apart by this alone.
        getrandom::fill(&mut number).map_err(|error| Unreached {
            shard: 0,
            waited_ms: 0,
            detail: error.to_string(),
        })?;
        let id = Some(CommandId { sender: self.sender, number: u64::from_le_bytes(number) });
        let entry = DirectoryEntry { at_ms: 0, id, kind: Some(kind) };
        let attempt = |endpoint: Option<String>| {
            let entry = entry.clone();
            async move {
                match endpoint {
                    None => self.propose_here(entry).await.map_err(Obstacle::NotLeader),
                    Some(endpoint) => {
                        let mut client = StewardClient::new(self.channels.to(&endpoint))
                            .max_encoding_message_size(usize::MAX)
                            .max_decoding_message_size(usize::MAX);
                        let reply = client.propose(ProposeRequest { entry: Some(entry) }).await;
                        let decided = reply.map_err(|status| Obstacle::from(&status))?.into_inner();
                        Ok(decided.rejection.map_or(Ok(()), Err))
                    }
                }
            }
        };
        self.persist(0, wait, attempt).await
    }

    /// Proposes on this node, whatever becomes of it.
    ///
    /// # Errors
    /// Who leads instead; nobody when this node lost its place before it was decided.
    pub async fn propose_here(&self, entry: DirectoryEntry) -> Result<Result<(), Rejection>, NotLeader> {
        let (done, decided) = oneshot::channel();
        let owner = self.owners.of(0).ok_or_else(NotLeader::default)?;
        owner.try_send(ProposeDirectory { entry, done }).map_err(|_| NotLeader::default())?;
        // A leader that loses its place never decides.
        timeout(ATTEMPT_MAX, decided).await.ok().and_then(Result::ok).unwrap_or_else(|| Err(NotLeader::default()))
    }

    /// Asks a shard's leader.
    ///
    /// # Errors
    /// The time was up before a leader answered.
    pub async fn ask(&self, request: AskRequest, wait: Duration) -> Result<AskReply, Unreached> {
        let shard = request.shard;
        let attempt = |endpoint: Option<String>| {
            let request = request.clone();
            async move {
                match endpoint {
                    None => self.answers.answer(request).await.map_err(Obstacle::NotLeader),
                    Some(endpoint) => self.ask_there(&endpoint, request).await,
                }
            }
        };
        self.persist(shard, wait, attempt).await
    }

    /// Asks a shard's leader what was counted. The inner error is final: no other node would answer otherwise.
    ///
    /// # Errors
    /// The time was up before a leader answered.
    pub async fn stats(
        &self,
        shard: u32,
        request: &StatsRequest,
        wait: Duration,
    ) -> Result<Result<StatsReply, tonic::Status>, Unreached> {
        let attempt = |endpoint: Option<String>| {
            let request = request.clone();
            async move {
                match endpoint {
                    None => match self.answers.stats(shard, request).await {
                        Ok(reply) => Ok(Ok(reply)),
                        Err(NoStats::NotLeader(leader)) => Err(Obstacle::NotLeader(leader)),
                        Err(why) => Ok(Err(no_stats(&why))),
                    },
                    Some(endpoint) => self.stats_there(&endpoint, shard, request).await,
                }
            }
        };
        self.persist(shard, wait, attempt).await
    }

    /// Tries this node first, then whoever is said to lead, then everybody in turn.
    async fn persist<T, F: Future<Output = Result<T, Obstacle>> + Send>(
        &self,
        shard: u32,
        wait: Duration,
        attempt: impl Fn(Option<String>) -> F,
    ) -> Result<T, Unreached> {
        let deadline = Instant::now() + wait;
        let own = self.members.get(self.own).map(|member| member.endpoint).unwrap_or_default();
        let mut rotation = self.members.endpoints().into_iter().cycle();
        let mut endpoint = own.clone();
        let mut hinted = false;
        loop {
            let place = (endpoint != own).then(|| endpoint.clone());
            let attempted = timeout_at(deadline.min(Instant::now() + ATTEMPT_MAX), attempt(place)).await;
            let detail = match attempted {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(Obstacle::NotLeader(hint))) if !hint.endpoint.is_empty() && hint.endpoint != endpoint => {
                    endpoint = hint.endpoint;
                    // The first hint is most often right; two nodes that name each other are an election.
                    if std::mem::replace(&mut hinted, true) {
                        sleep(PAUSE).await;
                    }
                    "the leader is changing".to_owned()
                }
                Ok(Err(Obstacle::NotLeader(_))) => {
                    endpoint = rotation.next().unwrap_or_default();
                    sleep(PAUSE).await;
                    "no leader is known".to_owned()
                }
                Ok(Err(Obstacle::Other(detail))) => {
                    endpoint = rotation.next().unwrap_or_default();
                    sleep(PAUSE).await;
                    detail
                }
                Err(_) => {
                    let detail = format!("{endpoint} does not answer");
                    endpoint = rotation.next().unwrap_or_default();
                    detail
                }
            };
            if Instant::now() >= deadline {
                return Err(Unreached {
                    shard,
                    waited_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                    detail,
                });
            }
        }
    }

    async fn ask_there(&self, endpoint: &str, request: AskRequest) -> Result<AskReply, Obstacle> {
        let mut query = QueryClient::new(self.channels.to(endpoint)).max_decoding_message_size(usize::MAX);
        query.ask(request).await.map(tonic::Response::into_inner).map_err(|status| Obstacle::from(&status))
    }

    async fn stats_there(
        &self,
        endpoint: &str,
        shard: u32,
        request: StatsRequest,
    ) -> Result<Result<StatsReply, tonic::Status>, Obstacle> {
        let mut admin = AdminClient::new(self.channels.to(endpoint)).max_decoding_message_size(usize::MAX);
        let mut request = tonic::Request::new(request);
        request.metadata_mut().insert(STATS_OF, shard.into());
        match admin.get_stats(request).await {
            Ok(reply) => Ok(Ok(reply.into_inner())),
            Err(status) => match status.code() {
                Code::ResourceExhausted | Code::InvalidArgument | Code::Internal => Ok(Err(status)),
                _ => Err(Obstacle::from(&status)),
            },
        }
    }

    async fn submit_here(&self, number: u64, submission: Submission) -> Result<outcome::Result, Obstacle> {
        let Some(owner) = self.owners.of_tenant(submission.shard) else {
            return Err(Obstacle::NotLeader(NotLeader::default()));
        };
        let (replies, mut receiver) = mpsc::channel(1);
        let client = LOCAL_CLIENTS | number;
        let submit = Submit { client, replies, submissions: vec![submission] };
        owner.try_send(submit).map_err(|_| Obstacle::Other("this node is overloaded".into()))?;
        let _forget = Forget { client, owner };
        let reply = receiver.recv().await.ok_or_else(|| Obstacle::Other("the shard was stopped".into()))?;
        only_result(reply.outcomes)
    }

    async fn submit_there(&self, endpoint: &str, submission: Submission) -> Result<outcome::Result, Obstacle> {
        let (requests, receiver) = mpsc::channel(1);
        let request = SubmitRequest { submissions: vec![submission] };
        requests.send(request).await.map_err(|error| Obstacle::Other(error.to_string()))?;
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let mut client = ShardClient::new(self.channels.to(endpoint)).max_encoding_message_size(usize::MAX);
        let other = |status: tonic::Status| Obstacle::Other(status.message().to_owned());
        let mut request = tonic::Request::new(stream);
        request.metadata_mut().insert(FROM_NODE, MetadataValue::from_static("1"));
        let mut replies = client.submit(request).await.map_err(other)?.into_inner();
        match replies.next().await {
            Some(Ok(reply)) => only_result(reply.outcomes),
            Some(Err(status)) => Err(other(status)),
            None => Err(Obstacle::Other(format!("{endpoint} closed the stream"))),
        }
    }
}

/// Metadata of a refused `Query.Ask` that says who leads.
pub const LEADER_TRAILER: &str = "cordboard-leader";

/// Metadata of a `GetStats` that asks the leader of this shard for its part, and not the cluster for all of it.
pub const STATS_OF: &str = "cordboard-stats-of-shard";
/// Marks a request of a person that another node has passed on, so that it is not passed on for ever.
pub const PASSED_ON: &str = "cordboard-passed-on";
/// Metadata of what another node asks: a Submit stream that hands in what the cluster itself decides, or a record stream
/// that is not to be filled up from yet another node. It keeps an erring client from that; it is no proof of who asks.
pub const FROM_NODE: &str = "cordboard-from-node";

enum Obstacle {
    NotLeader(NotLeader),
    Other(String),
}

impl From<&tonic::Status> for Obstacle {
    fn from(status: &tonic::Status) -> Self {
        match status.metadata().get(LEADER_TRAILER).and_then(|value| value.to_str().ok()) {
            Some(leader) => Self::NotLeader(NotLeader { endpoint: leader.into(), ..NotLeader::default() }),
            None => Self::Other(status.message().to_owned()),
        }
    }
}

/// Nobody waits any more, however the waiting ended.
struct Forget {
    client: u64,
    owner: actix::Addr<crate::actor::ShardActor>,
}

impl Drop for Forget {
    fn drop(&mut self) {
        // Past the mailbox's limit, for it must come: one by `Submit` that the mailbox took.
        self.owner.do_send(ForgetClient { client: self.client });
    }
}

fn only_result(outcomes: Vec<proto::v1::Outcome>) -> Result<outcome::Result, Obstacle> {
    let result = outcomes.into_iter().next().and_then(|outcome| outcome.result);
    result.ok_or_else(|| Obstacle::Other("an empty answer".into()))
}

/// Numbers of commands, and which of them are still asked about.
#[derive(Clone, Default)]
struct Numbers(Arc<Mutex<(u64, BTreeSet<u64>)>>);

impl Numbers {
    fn next(&self) -> Numbered {
        let mut numbers = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        numbers.0 += 1;
        let number = numbers.0;
        numbers.1.insert(number);
        let settled_below = numbers.1.first().copied().unwrap_or(number);
        Numbered { number, settled_below, numbers: self.clone() }
    }
}

/// A number in use; nobody asks again once it is dropped.
struct Numbered {
    number: u64,
    settled_below: u64,
    numbers: Numbers,
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.numbers.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1.remove(&self.number);
    }
}

/// Channels to nodes, for questions of nodes.
#[must_use]
pub fn channels(trust: Trust) -> Channels {
    Channels::new(trust, Far::AnyNode, |endpoint| {
        endpoint
            .connect_timeout(Duration::from_millis(300))
            .http2_keep_alive_interval(Duration::from_secs(1))
            .keep_alive_timeout(Duration::from_secs(1))
    })
}

/// One question to one node, not persisted: for looks at the whole cluster.
///
/// # Errors
/// It did not answer in time.
pub async fn within<T>(
    wait: Duration,
    question: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, tonic::Status> {
    timeout(wait, question)
        .await
        .map_err(|_| tonic::Status::deadline_exceeded("no answer in time"))?
        .map(tonic::Response::into_inner)
}
