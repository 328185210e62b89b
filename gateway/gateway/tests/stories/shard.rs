//! A scripted cluster: nodes that speak the Shard service on loopback, of which one leads. It concludes nothing; a
//! story says what it answers and orders.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures::{Stream, StreamExt as _};
use proto::v1::{
    self, Accepted, Command, CommandId, DirectoryView, FollowRequest, KeepAlive, NotLeader, Order, Orders, Outcome,
    Rejection, RejectionCode, Submission, SubmitReply, SubmitRequest, WatchReply, WatchRequest,
    command::Kind,
    order::Want,
    outcome::Result as Answer,
    shard_server::{Shard, ShardServer},
    watch_reply::Kind as Told,
};
use tokio::{net::TcpListener, sync::mpsc, task::AbortHandle, time::sleep};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use crate::until;

const SHARD: u32 = 1;
const KEEP_ALIVE_MS: u64 = 300;

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// All nodes, and what they agree on.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    nodes: Vec<Node>,
    leader: Option<usize>,
    view: DirectoryView,
    /// Commands are taken and not answered.
    mute: bool,
    /// The next answers to offers, before they are accepted again.
    rejections: Vec<RejectionCode>,
    /// Every agent answers too late.
    late: bool,
    standing: BTreeMap<(u64, u32), Order>,
    /// Calls that one gateway holds, and which tenure of the call that is; other calls are everybody's.
    homes: BTreeMap<u64, (String, u32)>,
    /// Whether the gateways ought to be empty.
    draining: bool,
    revision: u64,
    answered: HashMap<(u64, u64), Answer>,
    heard: Vec<(usize, Submission)>,
    watchers: Vec<Watcher>,
    watches: Vec<(usize, WatchRequest)>,
}

struct Node {
    address: SocketAddr,
    server: Option<AbortHandle>,
    silent: bool,
}

struct Watcher {
    node: usize,
    gateway: String,
    out: mpsc::UnboundedSender<Result<WatchReply, Status>>,
}

/// What one node serves.
struct Service {
    node: usize,
    cluster: Cluster,
}

impl Cluster {
    /// As many nodes; the first leads.
    pub async fn start(nodes: usize) -> Self {
        let cluster = Self { inner: Arc::default() };
        for _ in 0..nodes {
            cluster.add_node().await;
        }
        let endpoints = cluster.endpoints();
        let mut inner = cluster.lock();
        inner.leader = Some(0);
        inner.view = DirectoryView {
            version: 1,
            secret: vec![9; 32],
            realm: "cordboard".into(),
            numbers: vec![v1::NumberRoute { number: "5000".into(), shard: SHARD }],
            trunks: vec![v1::TrunkAccess { name: "loopback".into(), addresses: vec!["127.0.0.0/8".into()] }],
            credentials: vec![],
            shards: vec![
                v1::ShardPlace { shard: 0, endpoints: endpoints.clone() },
                v1::ShardPlace { shard: SHARD, endpoints },
            ],
            ..DirectoryView::default()
        };
        drop(inner);
        cluster
    }

    async fn add_node(&self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = Service { node: self.lock().nodes.len(), cluster: self.clone() };
        let server = tonic::transport::Server::builder()
            .add_service(ShardServer::new(service))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(server).abort_handle();
        self.lock().nodes.push(Node { address, server: Some(server), silent: false });
    }

    pub fn endpoints(&self) -> Vec<String> {
        self.lock().nodes.iter().map(|node| node.address.to_string()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Changes what the directory says, before anybody follows it.
    pub fn directory(&self, change: impl FnOnce(&mut DirectoryView)) {
        change(&mut self.lock().view);
    }

    /// Another node leads, or none does. The old leader's streams end.
    pub fn lead(&self, node: Option<usize>) {
        let mut inner = self.lock();
        inner.leader = node;
        let not_leader = inner.not_leader();
        for watcher in std::mem::take(&mut inner.watchers) {
            let told = Told::NotLeader(not_leader.clone());
            let _ = watcher.out.send(Ok(WatchReply { kind: Some(told) }));
        }
    }

    /// The node says nothing any more, but its connections stay open, as when it is stopped.
    pub fn hush(&self, node: usize) {
        self.lock().nodes[node].silent = true;
    }

    /// Commands are taken and never answered.
    pub fn mute(&self, mute: bool) {
        self.lock().mute = mute;
    }

    /// The next offers are refused like this.
    pub fn reject(&self, code: RejectionCode) {
        self.lock().rejections.push(code);
    }

    /// Orders something, with a higher revision than anything before.
    pub fn order(&self, call: u64, leg: u32, want: Want) {
        let mut inner = self.lock();
        inner.revision += 1;
        let tenure = inner.homes.get(&call).map_or(1, |(_, tenure)| *tenure);
        let takeover = inner.standing.get(&(call, leg)).and_then(|known| known.takeover.clone());
        let revision = inner.revision;
        let order = Order { call, leg, revision, want: Some(want), tenure, takeover, ..Order::default() };
        inner.standing.insert((call, leg), order.clone());
        inner.tell(&[order]);
    }

    /// The shard knows which gateway holds the call; nobody does when it is empty.
    pub fn keep(&self, call: u64, gateway: &str) {
        let mut inner = self.lock();
        let tenure = inner.homes.get(&call).map_or(1, |(_, tenure)| *tenure);
        inner.homes.insert(call, (gateway.to_owned(), tenure));
    }

    /// The call is this gateway's from now on: its legs are told there with these passports, and nowhere else.
    pub fn hand_over(&self, call: u64, gateway: &str, former_sip: &str, passports: &[(u32, Vec<u8>)]) {
        let mut inner = self.lock();
        let tenure = inner.homes.get(&call).map_or(1, |(_, tenure)| *tenure) + 1;
        inner.homes.insert(call, (gateway.to_owned(), tenure));
        for (leg, passport) in passports {
            inner.revision += 1;
            let revision = inner.revision;
            let Some(order) = inner.standing.get_mut(&(call, *leg)) else { continue };
            (order.revision, order.tenure) = (revision, tenure);
            let (passport, former_sip) = (passport.clone(), former_sip.to_owned());
            order.takeover = Some(v1::Takeover { passport, former_sip, rang: None });
        }
        let orders: Vec<Order> = inner.standing.values().filter(|order| order.call == call).cloned().collect();
        inner.tell(&orders);
    }

    /// The leg that a former gateway rang is to be taken back by the present one.
    pub fn take_back(&self, call: u64, leg: u32, former_sip: &str, ring: v1::Ring) {
        let mut inner = self.lock();
        inner.revision += 1;
        let tenure = inner.homes.get(&call).map_or(1, |(_, tenure)| *tenure);
        let rang = Some(v1::takeover::Rang::Ring(ring));
        let takeover = Some(v1::Takeover { passport: Vec::new(), former_sip: former_sip.to_owned(), rang });
        let want = Some(Want::Gone(v1::Gone { sip_status: 487, reason: "moved".to_owned() }));
        let order = Order { call, leg, revision: inner.revision, want, tenure, takeover, ..Order::default() };
        inner.standing.insert((call, leg), order.clone());
        inner.tell(&[order]);
    }

    /// To one gateway only, and once.
    pub fn whisper(&self, gateway: &str, call: u64, leg: u32, want: Want) {
        let mut inner = self.lock();
        inner.revision += 1;
        let order = Order { call, leg, revision: inner.revision, want: Some(want), ..Order::default() };
        for watcher in inner.watchers.iter().filter(|watcher| watcher.gateway == gateway) {
            let told = Told::Orders(Orders { orders: vec![order.clone()] });
            let _ = watcher.out.send(Ok(WatchReply { kind: Some(told) }));
        }
    }

    /// The gateways ought to be empty, or no longer.
    pub fn drain(&self, draining: bool) {
        self.lock().draining = draining;
    }

    /// Tells all standing orders once more.
    pub fn repeat(&self) {
        let inner = self.lock();
        inner.tell(&inner.standing.values().cloned().collect::<Vec<_>>());
    }

    /// Tells an order that is older than what is known.
    pub fn order_with_revision(&self, call: u64, leg: u32, revision: u64, want: Want) {
        self.lock().tell(&[Order { call, leg, revision, want: Some(want), ..Order::default() }]);
    }

    /// The shard does not know this leg any more, and says nothing about it.
    pub fn forget(&self, call: u64, leg: u32) {
        self.lock().standing.remove(&(call, leg));
    }

    /// Every agent's answer is refused.
    pub fn refuse_answers(&self) {
        self.lock().late = true;
    }

    pub fn watches(&self) -> Vec<(usize, WatchRequest)> {
        self.lock().watches.clone()
    }

    /// Every submission that was heard, with the node that heard it.
    pub fn heard(&self) -> Vec<(usize, Submission)> {
        self.lock().heard.clone()
    }

    /// The commands that were heard for which `pick` has an answer; each id once.
    pub fn picked<T>(&self, pick: impl Fn(&Kind) -> Option<T>) -> Vec<T> {
        let mut ids: Vec<CommandId> = Vec::new();
        let mut picked = Vec::new();
        for (_, submission) in &self.lock().heard {
            let (Some(id), Some(Command { kind: Some(kind) })) = (submission.id, &submission.command) else { continue };
            if !ids.contains(&id) {
                ids.push(id);
                picked.extend(pick(kind));
            }
        }
        picked
    }

    /// Waits for the first command for which `pick` has an answer.
    pub async fn wait<T>(&self, what: &str, pick: impl Fn(&Kind) -> Option<T>) -> T {
        until(what, || self.picked(&pick).into_iter().next()).await
    }

    /// Waits for an `OfferCall`.
    pub async fn offered(&self) -> v1::OfferCall {
        self.wait("an offer", |kind| match kind {
            Kind::OfferCall(offer) => Some(offer.clone()),
            _ => None,
        })
        .await
    }

    /// Waits for the `EndLeg` of a leg.
    pub async fn ended(&self, call: u64, leg: u32) -> v1::EndLeg {
        self.wait("the end of a leg", |kind| match kind {
            Kind::EndLeg(end) if end.call == call && end.leg == leg => Some(end.clone()),
            _ => None,
        })
        .await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }
}

impl Inner {
    fn not_leader(&self) -> NotLeader {
        let endpoint = self.leader.map(|leader| self.nodes[leader].address.to_string()).unwrap_or_default();
        NotLeader { leader: self.leader.map(|leader| format!("n{}", leader + 1)).unwrap_or_default(), endpoint }
    }

    /// Those of the orders that are this gateway's.
    fn of(&self, gateway: &str, orders: &[Order]) -> Vec<Order> {
        let home = |order: &&Order| self.homes.get(&order.call).is_none_or(|(home, _)| home == gateway);
        orders.iter().filter(home).cloned().collect()
    }

    /// Whether a command comes from a gateway that holds its call no longer.
    fn is_stale(&self, kind: &Kind) -> bool {
        let (call, tenure) = match kind {
            Kind::EndLeg(end) => (end.call, end.tenure),
            Kind::AnswerLeg(answer) => (answer.call, answer.tenure),
            Kind::ConfirmLeg(confirm) => (confirm.call, confirm.tenure),
            _ => return false,
        };
        self.homes.get(&call).is_some_and(|(_, home)| *home != tenure)
    }

    fn tell(&self, orders: &[Order]) {
        for watcher in &self.watchers {
            let told = Told::Orders(Orders { orders: self.of(&watcher.gateway, orders) });
            let _ = watcher.out.send(Ok(WatchReply { kind: Some(told) }));
        }
    }

    fn answer(&mut self, node: usize, submission: Submission) -> Option<Outcome> {
        let id = submission.id.unwrap();
        let kind = submission.command.clone().unwrap().kind.unwrap();
        self.heard.push((node, submission));
        if self.leader != Some(node) {
            let result = Some(Answer::NotLeader(self.not_leader()));
            return Some(Outcome { id: Some(id), shard: SHARD, result });
        }
        if self.mute || self.nodes[node].silent {
            return None;
        }
        let rejected = match kind {
            Kind::OfferCall(_) => self.rejections.pop(),
            ref kind if self.is_stale(kind) => Some(RejectionCode::Stale),
            Kind::AnswerLeg(_) => self.late.then_some(RejectionCode::WrongState),
            // It was not told of, so it is not there.
            Kind::EndLeg(ref end) if end.cause() == v1::EndCause::Lost => Some(RejectionCode::UnknownCall),
            _ => None,
        };
        let fresh = match rejected {
            Some(code) => Answer::Rejection(Rejection { code: code.into(), detail: String::new() }),
            None => Answer::Accepted(Accepted {}),
        };
        if let Kind::EndLeg(end) = kind
            && matches!(fresh, Answer::Accepted(_))
        {
            self.standing.remove(&(end.call, end.leg));
        }
        let result = self.answered.entry((id.sender, id.number)).or_insert(fresh).clone();
        Some(Outcome { id: Some(id), shard: SHARD, result: Some(result) })
    }
}

#[tonic::async_trait]
impl Shard for Service {
    type SubmitStream = Replies<SubmitReply>;
    type WatchStream = Replies<WatchReply>;
    type FollowStream = Replies<DirectoryView>;

    async fn submit(&self, request: Request<Streaming<SubmitRequest>>) -> Result<Response<Self::SubmitStream>, Status> {
        let (cluster, node) = (self.cluster.clone(), self.node);
        let replies = request.into_inner().map(move |batch| {
            let mut inner = cluster.lock();
            let outcomes = batch?.submissions.into_iter().filter_map(|s| inner.answer(node, s)).collect();
            Ok(SubmitReply { outcomes })
        });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (out, replies) = mpsc::unbounded_channel();
        let request = request.into_inner();
        let gateway = request.gateway.clone();
        let silent = {
            let mut inner = self.cluster.lock();
            inner.watches.push((self.node, request));
            inner.nodes[self.node].silent
        };
        if silent {
            std::future::pending::<()>().await;
        }
        {
            let mut inner = self.cluster.lock();
            if inner.leader == Some(self.node) {
                let orders = inner.of(&gateway, &inner.standing.values().cloned().collect::<Vec<_>>());
                for told in [Told::Orders(Orders { orders }), Told::InSync(v1::InSync::default())] {
                    let _ = out.send(Ok(WatchReply { kind: Some(told) }));
                }
                inner.watchers.push(Watcher { node: self.node, gateway, out: out.clone() });
            } else {
                let told = Told::NotLeader(inner.not_leader());
                let _ = out.send(Ok(WatchReply { kind: Some(told) }));
            }
        }
        let (cluster, node) = (self.cluster.clone(), self.node);
        tokio::spawn(async move {
            loop {
                sleep(Duration::from_millis(KEEP_ALIVE_MS)).await;
                let mut inner = cluster.lock();
                inner.watchers.retain(|watcher| !watcher.out.is_closed());
                if inner.leader != Some(node) || out.is_closed() {
                    return;
                }
                if !inner.nodes[node].silent && inner.watchers.iter().any(|watcher| watcher.node == node) {
                    let _ = out.send(Ok(WatchReply {
                        kind: Some(Told::KeepAlive(KeepAlive { draining: inner.draining, ..KeepAlive::default() })),
                    }));
                }
            }
        });
        // The last message of a stream that has lost its leadership is NotLeader.
        let mut over = false;
        let replies = UnboundedReceiverStream::new(replies).take_while(move |reply| {
            let go_on = !over;
            over = matches!(reply, Ok(WatchReply { kind: Some(Told::NotLeader(_)) }));
            std::future::ready(go_on)
        });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn locate(&self, request: Request<v1::LocateRequest>) -> Result<Response<v1::LocateReply>, Status> {
        let inner = self.cluster.lock();
        let holder =
            inner.homes.get(&request.into_inner().call).map(|(gateway, _)| gateway.clone()).unwrap_or_default();
        let sip = inner.watches.iter().rev().find(|(_, watch)| watch.gateway == holder);
        let sip = sip.map(|(_, watch)| watch.sip.clone()).unwrap_or_default();
        Ok(Response::new(v1::LocateReply { gateway: holder, sip, not_leader: None }))
    }

    async fn follow(&self, _request: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        let view = self.cluster.lock().view.clone();
        if view.version == 0 {
            return Err(Status::unavailable("no directory yet"));
        }
        let views = futures::stream::once(std::future::ready(Ok(view))).chain(futures::stream::pending());
        Ok(Response::new(Box::pin(views)))
    }
}
