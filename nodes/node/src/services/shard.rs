//! Service Shard: gateways (and nodes on behalf of admins) hand commands in and watch orders.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use actix::Addr;
use futures::{Stream, StreamExt as _};
use proto::v1::{
    Command, DirectoryView, FollowRequest, LocateReply, LocateRequest, NotLeader, Outcome, Rejection, RejectionCode,
    Submission, SubmitReply, SubmitRequest, WatchReply, WatchRequest, command, outcome, shard_server, watch_reply,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tonic::{Request, Response, Status, Streaming};
use trust::Role;

use crate::{
    actor::{ForgetClient, Look, STREAM_QUEUE_MAX, ShardActor, Submit, Unwatch, Watch},
    core::NOT_FOR_CLIENTS,
    limits::{self, Limit},
    owners::Owners,
    roles::{in_own_name, is_of_a_node},
    shards::FROM_NODE,
};

fn overloaded() -> Status {
    limits::reached(Limit::Mailbox);
    Status::unavailable("this node is overloaded; ask again")
}

/// Commands in one message; a larger one is refused whole.
pub const SUBMISSIONS_PER_MESSAGE_MAX: usize = 4_096;

/// The service.
#[derive(Clone)]
pub struct ShardService {
    owners: Owners,
    directory: watch::Receiver<Option<Arc<DirectoryView>>>,
    keys: Arc<AtomicU64>,
}

impl ShardService {
    /// A door to these actors.
    #[must_use]
    pub fn new(owners: Owners, directory: watch::Receiver<Option<Arc<DirectoryView>>>) -> Self {
        Self { owners, directory, keys: Arc::default() }
    }

    fn next_key(&self) -> u64 {
        self.keys.fetch_add(1, Ordering::Relaxed)
    }
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl shard_server::Shard for ShardService {
    type SubmitStream = Replies<SubmitReply>;
    type WatchStream = Replies<WatchReply>;
    type FollowStream = Replies<DirectoryView>;

    async fn submit(&self, request: Request<Streaming<SubmitRequest>>) -> Result<Response<Self::SubmitStream>, Status> {
        let of_a_node = is_of_a_node(&request, request.metadata().contains_key(FROM_NODE));
        let mut requests = request.into_inner();
        let (replies, receiver) = mpsc::channel(STREAM_QUEUE_MAX);
        let (client, owners) = (self.next_key(), self.owners.clone());
        // Once the actors have it, it is theirs: a stream that they let go of, because it was too slow, must end.
        let (theirs, mut first) = (replies.downgrade(), Some(replies));
        tokio::spawn(async move {
            let mut submitted: Vec<Addr<ShardActor>> = Vec::new();
            'stream: while let Some(Ok(request)) = requests.next().await {
                let Some(replies) = first.take().or_else(|| theirs.upgrade()) else { break };
                if request.submissions.len() > SUBMISSIONS_PER_MESSAGE_MAX {
                    break;
                }
                let (ours, theirs): (Vec<_>, Vec<_>) =
                    request.submissions.into_iter().partition(|submission| of_a_node || is_for_clients(submission));
                let outcomes: Vec<_> = theirs.iter().map(not_for_clients).collect();
                if !outcomes.is_empty() && replies.try_send(SubmitReply { outcomes }).is_err() {
                    break;
                }
                for (owner, submissions) in owners.split_by_tenant(ours, |submission| submission.shard) {
                    let submit = Submit { client, replies: replies.clone(), submissions };
                    // A full mailbox: the stream ends, and the gateway asks again, which is the back-pressure.
                    if owner.try_send(submit).is_err() {
                        limits::reached(Limit::Mailbox);
                        tracing::warn!("a mailbox is full; a Submit stream is closed");
                        break 'stream;
                    }
                    if !submitted.contains(&owner) {
                        submitted.push(owner);
                    }
                }
            }
            // Past the mailbox's limit, for it must come: one by stream that said something, of which the mailbox took as
            // many messages before.
            for owner in submitted {
                owner.do_send(ForgetClient { client });
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver).map(Ok))))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        in_own_name(&request, Role::Gateway, &request.get_ref().gateway)?;
        let request = request.into_inner();
        let (replies, receiver) = mpsc::channel(STREAM_QUEUE_MAX);
        let Some(owner) = self.owners.of_tenant(request.shard) else {
            let not_leader = WatchReply { kind: Some(watch_reply::Kind::NotLeader(NotLeader::default())) };
            return Ok(Response::new(Box::pin(tokio_stream::once(Ok(not_leader)))));
        };
        let key = self.next_key();
        owner.try_send(Watch { key, request, replies }).map_err(|_| overloaded())?;
        let watched = Watched { stream: ReceiverStream::new(receiver), key, owner };
        Ok(Response::new(Box::pin(watched)))
    }

    async fn locate(&self, request: Request<LocateRequest>) -> Result<Response<LocateReply>, Status> {
        let LocateRequest { shard, call } = request.into_inner();
        let nobody = || LocateReply { not_leader: Some(NotLeader::default()), ..LocateReply::default() };
        let Some(owner) = self.owners.of_tenant(shard) else { return Ok(Response::new(nobody())) };
        let (answer, answered) = oneshot::channel();
        let at = Box::new(move |core: &crate::core::Core| {
            let _ = answer.send(if core.leads_tenant(shard) {
                let holder = core.tenant(shard).and_then(|tenant| tenant.holder(call));
                let (gateway, sip) = holder.unwrap_or_default();
                LocateReply { gateway, sip, not_leader: None }
            } else {
                LocateReply { not_leader: Some(core.leader_of_tenant(shard)), ..LocateReply::default() }
            });
        });
        owner.try_send(Look { at }).map_err(|_| overloaded())?;
        Ok(Response::new(answered.await.unwrap_or_else(|_| nobody())))
    }

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        in_own_name(&request, Role::Gateway, &request.get_ref().gateway)?;
        let views = WatchStream::new(self.directory.clone());
        Ok(Response::new(Box::pin(views.filter_map(async |view| view.map(|view| Ok((*view).clone()))))))
    }
}

/// Its configuration, its rules and its choosers' answers a shard gets from the cluster's own nodes, and that a gateway is to be
/// emptied too, unless it says so itself: then it names its life. What only a shard's leader may say is refused by the
/// leader, whoever asks.
fn is_for_clients(submission: &Submission) -> bool {
    use command::Kind;
    match &submission.command {
        Some(Command { kind: Some(Kind::Configure(_) | Kind::ChooseAgents(_) | Kind::SetRules(_)) }) => false,
        Some(Command { kind: Some(Kind::DrainGateway(drain)) }) => drain.incarnation != 0,
        Some(_) | None => true,
    }
}

fn not_for_clients(submission: &Submission) -> Outcome {
    let rejection = Rejection { code: RejectionCode::Invalid.into(), detail: NOT_FOR_CLIENTS.into() };
    Outcome { id: submission.id, shard: submission.shard, result: Some(outcome::Result::Rejection(rejection)) }
}

/// Tells the actor when the stream is dropped, however that happens: a lease runs from there.
struct Watched {
    stream: ReceiverStream<WatchReply>,
    key: u64,
    owner: Addr<ShardActor>,
}

impl Stream for Watched {
    type Item = Result<WatchReply, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        Pin::new(&mut self.stream).poll_next(context).map(|reply| reply.map(Ok))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Past the mailbox's limit, for it must come: one by stream, whose `Watch` the mailbox took.
        self.owner.do_send(Unwatch { key: self.key });
    }
}
