//! One link's task: finds the leader, watches its orders, submits commands, and starts over when it goes silent.
//! All of its waiting is bounded by the constants here and in `search.rs`.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use proto::v1::{SubmitReply, SubmitRequest, WatchReply, WatchRequest, shard_client::ShardClient, watch_reply::Kind};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

use super::{
    Ask, LinkConfig, State, Verdict,
    pending::{Pending, Settled},
    search::Search,
    telling::Telling,
};
use crate::doors::{Mail, Told};

/// A leader that says nothing for this long (it sends a KeepAlive each 300 ms) is looked for elsewhere.
const SILENCE_MS_MAX: u64 = 1_000;
/// The lease that a leader of an earlier release gives.
const LEASE_MS: u32 = 3_000;
/// Messages handed to the stream and not yet taken by it.
const MESSAGES_MAX: usize = 64;
/// How long to wait when the stream takes no more.
const FULL_PAUSE_MS: u64 = 2;
/// Why a session ends that a lane of ours cannot follow.
const BEHIND: &str = "a lane of this gateway is behind";
/// Asks taken from the lanes in one go.
const ASKS_MAX: usize = 512;
/// The whole set of orders may come as one message.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

type Replies = Pin<Box<dyn Stream<Item = Result<SubmitReply, Status>> + Send>>;

/// Why a session is over.
enum Ended {
    /// The node says that another one leads (empty when it does not know).
    NotLeader(String),
    /// No word, no connection, or the stream broke.
    Failed(String),
    /// The shard has forgotten this gateway: watch again.
    Unattached,
    /// Nobody can ask any more.
    Closed,
}

/// Serves one shard until every `Link` is dropped.
pub(super) async fn serve(
    config: LinkConfig,
    sender: u64,
    asked: mpsc::UnboundedReceiver<Ask>,
    mut places: watch::Receiver<Vec<String>>,
    state: Arc<State>,
) {
    let pending = Pending::new(config.shard, sender);
    let mut search = Search::default();
    let telling = Telling::new(config.shard, config.doors.clone());
    let taken = Vec::with_capacity(ASKS_MAX);
    let mut line = Line { config, pending, telling, asked, state, taken, draining: false };
    loop {
        search.set_endpoints(places.borrow_and_update().clone());
        let pause = Duration::from_millis(search.pause_ms());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let Some(endpoint) = search.next() else {
            if places.changed().await.is_err() {
                return;
            }
            continue;
        };
        let ended = line.session(&endpoint, &mut search).await;
        line.state.in_sync.store(false, Ordering::Relaxed);
        line.state.leader.store(None);
        let shard = line.config.shard;
        match ended {
            Ended::NotLeader(hint) => {
                tracing::debug!(shard, endpoint, hint, "not the leader");
                search.not_leader(&hint);
            }
            Ended::Failed(why) => {
                tracing::debug!(shard, endpoint, why, "no answer");
                search.failed(&endpoint);
            }
            Ended::Unattached => search.not_leader(&endpoint),
            Ended::Closed => return,
        }
    }
}

/// What outlives a session.
struct Line {
    config: LinkConfig,
    pending: Pending,
    telling: Telling,
    asked: mpsc::UnboundedReceiver<Ask>,
    state: Arc<State>,
    taken: Vec<Ask>,
    draining: bool,
}

/// The Submit stream of one session.
struct Submitting {
    requests: mpsc::Sender<SubmitRequest>,
    replies: Replies,
    /// The stream took no more: not before then.
    full_until: Option<Instant>,
}

impl Line {
    async fn session(&mut self, endpoint: &str, search: &mut Search) -> Ended {
        let patience = Duration::from_millis(search.patience_ms());
        let channel = self.config.nodes.to(endpoint);
        // Told before the leader looks at its orders: what is accepted from here on may be missing in the set.
        if !self.telling.all(|| Told::Watching) {
            return Ended::Failed(BEHIND.to_owned());
        }
        let mut orders = match timeout(patience, self.watch(channel.clone())).await {
            Ok(Ok(orders)) => orders,
            Ok(Err(status)) => return Ended::Failed(status.to_string()),
            Err(_) => return Ended::Failed("silent".to_owned()),
        };
        let mut submitting: Option<Submitting> = None;
        // It lives, as its headers say; to attach us it needs a commit, and it keeps us alive meanwhile.
        let mut heard_by = Instant::now() + Duration::from_millis(SILENCE_MS_MAX);
        loop {
            let wake = self.flush(submitting.as_mut()).map_or(heard_by, |due| due.min(heard_by));
            // In this order: silence is only what it is when nothing is there to be read.
            let ended = tokio::select! {
                biased;
                told = orders.message() => {
                    // What this process was asleep for may be told by a leader that has given our legs away since.
                    if Instant::now() >= heard_by && self.state.in_sync.load(Ordering::Relaxed) {
                        return Ended::Failed("this process was asleep".to_owned());
                    }
                    heard_by = Instant::now() + Duration::from_millis(SILENCE_MS_MAX);
                    self.told(told, &channel, &mut submitting, search)
                }
                () = sleep_until(wake) => (Instant::now() >= heard_by).then(|| Ended::Failed("silent".to_owned())),
                reply = next_reply(submitting.as_mut()) => self.answered(reply),
                count = self.asked.recv_many(&mut self.taken, ASKS_MAX) => self.take(count),
            };
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    async fn watch(&self, channel: Channel) -> Result<Streaming<WatchReply>, Status> {
        let identity = &self.config.identity;
        let request = WatchRequest {
            shard: self.config.shard,
            gateway: identity.gateway.clone(),
            incarnation: identity.incarnation,
            sip: identity.sip.clone(),
        };
        let mut client = ShardClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(client.watch(request).await?.into_inner())
    }

    fn told(
        &mut self,
        told: Result<Option<WatchReply>, Status>,
        channel: &Channel,
        submitting: &mut Option<Submitting>,
        search: &mut Search,
    ) -> Option<Ended> {
        let reply = match told {
            Ok(Some(reply)) => reply,
            Ok(None) => return Some(Ended::NotLeader(String::new())),
            Err(status) => return Some(Ended::Failed(status.to_string())),
        };
        let heard = match reply.kind {
            Some(Kind::Orders(orders)) => {
                self.heard();
                self.telling.orders(orders.orders)
            }
            Some(Kind::InSync(told)) => {
                search.found();
                let lease_ms = if told.lease_ms == 0 { LEASE_MS } else { told.lease_ms };
                self.state.lease_ms.store(u64::from(lease_ms), Ordering::Relaxed);
                self.state.leader.store(Some(Arc::new(channel.clone())));
                submitting.get_or_insert_with(|| submit(channel.clone()));
                self.told_draining(told.draining) && self.in_sync()
            }
            Some(Kind::NotLeader(not_leader)) => return Some(Ended::NotLeader(not_leader.endpoint)),
            Some(Kind::KeepAlive(told)) => {
                self.heard();
                self.state.takers.store(told.takers, Ordering::Relaxed);
                self.told_draining(told.draining)
            }
            None => true,
        };
        // As a node does with a gateway that does not read: the next session begins with the whole set.
        (!heard).then(|| Ended::Failed(BEHIND.to_owned()))
    }

    /// The leader has spoken, and knows us.
    fn heard(&self) {
        if self.state.in_sync.load(Ordering::Relaxed) {
            self.state.heard_ms.store(self.config.clock.now_ms(), Ordering::Relaxed);
        }
    }

    /// Whether the shard wants this gateway empty; said with every sign of life, handed on when it changes.
    fn told_draining(&mut self, draining: bool) -> bool {
        if self.draining == draining {
            return true;
        }
        self.state.draining.store(draining, Ordering::Relaxed);
        tracing::info!(shard = self.config.shard, draining, "what the shard wants of this gateway has changed");
        let heard = self.telling.all(|| Told::Draining(draining));
        if heard {
            self.draining = draining;
        }
        heard
    }

    fn in_sync(&mut self) -> bool {
        let now_ms = self.config.clock.now_ms();
        tracing::info!(shard = self.config.shard, "in sync with the leader");
        self.pending.resend_all(now_ms);
        self.pending.reattached(now_ms);
        self.state.in_sync.store(true, Ordering::Relaxed);
        self.state.heard_ms.store(now_ms, Ordering::Relaxed);
        self.config.metrics.link_sessions.inc();
        self.telling.all(|| Told::InSync)
    }

    fn answered(&mut self, reply: Option<Result<SubmitReply, Status>>) -> Option<Ended> {
        let reply = match reply {
            Some(Ok(reply)) => reply,
            Some(Err(status)) => return Some(Ended::Failed(status.to_string())),
            None => return Some(Ended::Failed("the submit stream ended".to_owned())),
        };
        let now_ms = self.config.clock.now_ms();
        let mut ended = None;
        for outcome in reply.outcomes {
            match self.pending.settle(now_ms, outcome) {
                Settled::Final(ask, verdict) => self.tell(&ask, verdict),
                Settled::Again => self.config.metrics.outcome("unavailable"),
                Settled::NotLeader(not_leader) => ended = Some(Ended::NotLeader(not_leader.endpoint)),
                Settled::Unattached => ended = Some(Ended::Unattached),
                Settled::Unknown => {}
            }
        }
        ended
    }

    fn tell(&self, ask: &Ask, verdict: Verdict) {
        self.state.pending.fetch_sub(1, Ordering::Relaxed);
        self.config.metrics.outcome(match verdict {
            Verdict::Accepted => "accepted",
            Verdict::Rejected(_) => "rejected",
        });
        if let Some(ticket) = ask.ticket {
            self.config.doors.hand(ask.lane, Mail::Outcome { ticket, verdict });
        }
    }

    fn take(&mut self, count: usize) -> Option<Ended> {
        if count == 0 {
            return Some(Ended::Closed);
        }
        let now_ms = self.config.clock.now_ms();
        for ask in self.taken.drain(..) {
            self.pending.ask(now_ms, ask);
        }
        None
    }

    /// Sends what is due; says when something will be.
    fn flush(&mut self, submitting: Option<&mut Submitting>) -> Option<Instant> {
        let submitting = submitting?;
        loop {
            let now_ms = self.config.clock.now_ms();
            let due_ms = self.pending.due_ms(now_ms)?;
            if due_ms > now_ms {
                return Some(self.config.clock.instant_of(due_ms));
            }
            let now = Instant::now();
            if let Some(full_until) = submitting.full_until.filter(|until| *until > now) {
                return Some(full_until);
            }
            let Ok(permit) = submitting.requests.try_reserve() else {
                submitting.full_until = Some(now + Duration::from_millis(FULL_PAUSE_MS));
                return submitting.full_until;
            };
            match self.pending.batch(now_ms) {
                Some(batch) => permit.send(batch),
                None => return None,
            }
        }
    }
}

fn submit(channel: Channel) -> Submitting {
    let (requests, outgoing) = mpsc::channel(MESSAGES_MAX);
    let replies = stream::once(async move {
        let mut client = ShardClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        client.submit(ReceiverStream::new(outgoing)).await.map(tonic::Response::into_inner)
    });
    Submitting { requests, replies: Box::pin(replies.try_flatten()), full_until: None }
}

async fn next_reply(submitting: Option<&mut Submitting>) -> Option<Result<SubmitReply, Status>> {
    match submitting {
        Some(submitting) => submitting.replies.next().await,
        None => std::future::pending().await,
    }
}
