//! The actix actor that owns a core's shards: translate, call the core, carry out. It decides nothing.

mod messages;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle};
use cluster::{HostCounters, LogHandle, peers::PeerClient};
use proto::v1::{CommandId, DirectoryView, Record, SubmitReply, WatchReply};
use tokio::sync::{mpsc, oneshot, watch};

pub use messages::{
    Ask, ChangeMembers, CloseReplica, Decided, Drain, Durable, ForgetClient, HandOver, Look, OpenReplica,
    ProposeDirectory, ProposeTenancy, Proposed, Question, SnapshotDone, Step, Submit, TransferLead, Unreachable,
    Unwatch, Wake, Watch,
};

use crate::{
    clock::now_us,
    core::{AskToken, ClientKey, Core, Effects, WatcherKey},
    directory::RULES_OF_NODES,
    homes::Homes,
    limits::{self, Limit},
    machine::ShardMachine,
    members::Members,
    metrics::Metrics,
    records::Records,
    roster::Roster,
    telemetry::Telemetry,
};

/// Messages that may wait for an actor; the edge (`try_send`) is refused beyond it.
pub const MAILBOX_MAX: usize = 16_384;
/// Replies that may wait for one stream; a stream that is slower is closed and its client comes back.
pub const STREAM_QUEUE_MAX: usize = 1_024;

/// What the actor reaches outside.
pub struct Shell {
    /// This actor's number among the node's.
    pub host: usize,
    /// One log thread for all actors of the node.
    pub writer: LogHandle,
    /// Streams to other nodes.
    pub peers: Arc<PeerClient>,
    /// All nodes.
    pub members: Members,
    /// What was written down.
    pub records: Records,
    /// Where tenants live.
    pub homes: Homes,
    /// Nodes and shards as the directory has them.
    pub roster: watch::Sender<Arc<Roster>>,
    /// Followers of the directory.
    pub directory: watch::Sender<Option<Arc<DirectoryView>>>,
    /// Told each time this node gains a shard's leadership.
    pub gained: mpsc::UnboundedSender<u32>,
    /// Questions to choosers, with their shard.
    pub asks: mpsc::Sender<(u32, proto::v1::Ask)>,
    /// Whether idle shards may sleep: every node of the cluster knows it.
    pub may_sleep: watch::Sender<bool>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Spans.
    pub telemetry: Telemetry,
    /// Length of a Raft tick.
    pub tick: Duration,
}

/// Owns shards. Lives on its own arbiter thread.
pub struct ShardActor {
    core: Core,
    shell: Shell,
    clients: BTreeMap<ClientKey, mpsc::Sender<SubmitReply>>,
    watchers: BTreeMap<WatcherKey, mpsc::Sender<WatchReply>>,
    /// With the shard that each is about.
    questions: BTreeMap<AskToken, (u32, Question)>,
    decisions: BTreeMap<u64, oneshot::Sender<Decided>>,
    /// By shard and tenant: who waits for an entry about where it lives.
    tenancies: Vec<(u32, u32, Proposed)>,
    next_token: AskToken,
    drain_due: bool,
    wake: Option<(u64, SpawnHandle)>,
    /// As they were told last.
    counted: HostCounters,
}

impl ShardActor {
    /// An actor over a core; it starts to tick once it runs.
    #[must_use]
    pub fn new(core: Core, shell: Shell) -> Self {
        let counted = HostCounters::default();
        Self {
            core,
            shell,
            clients: BTreeMap::new(),
            watchers: BTreeMap::new(),
            questions: BTreeMap::new(),
            decisions: BTreeMap::new(),
            tenancies: Vec::new(),
            next_token: 0,
            drain_due: false,
            wake: None,
            counted,
        }
    }

    /// Every input ends here: the drain comes after whatever else is in the mailbox already, so that a burst is one
    /// proposal and one flush.
    fn drain_soon(&mut self, context: &mut Context<Self>) {
        if !self.drain_due {
            self.drain_due = true;
            context.notify(Drain {});
        }
    }

    fn carry_out(&mut self, effects: Effects, context: &mut Context<Self>) {
        // Before the log: a snapshot in it waits for what was written down until then, and for the gap that one of a leader
        // leaves. Before questions: whoever is answered finds it.
        self.write_down(effects.records, &effects.restored);
        if let Some(batch) = effects.write {
            // A writer that has stopped has said why, and is about to end the process.
            let _ = self.shell.writer.submit(self.shell.host, batch);
        }
        for shard in effects.followed {
            self.shell.peers.abort_snapshots(shard);
        }
        if !effects.messages.is_empty() {
            self.shell.peers.send(effects.messages);
        }
        for (client, outcomes) in effects.outcomes {
            if let Some(stream) = self.clients.get(&client)
                && stream.try_send(SubmitReply { outcomes }).is_err()
            {
                // What it was not told it must ask again: without this sender the stream ends.
                limits::reached(Limit::SubmitReplies);
                self.clients.remove(&client);
                self.core.forget_client(client);
            }
        }
        for (key, reply) in effects.watch {
            if let Some(stream) = self.watchers.get(&key)
                && stream.try_send(reply).is_err()
            {
                limits::reached(Limit::WatchOrders);
                self.watchers.remove(&key);
                self.core.unwatch(key);
            }
        }
        for key in effects.unwatch {
            self.watchers.remove(&key);
        }
        for (shard, token) in effects.answerable {
            if let Some((_, question)) = self.questions.remove(&token)
                && self.core.machine(shard).is_some()
            {
                question(Ok(&self.core));
            }
        }
        for (shard, token) in effects.unanswerable {
            if let Some((_, question)) = self.questions.remove(&token) {
                question(Err(self.core.leader_of(shard)));
            }
        }
        for (id, result) in effects.decided {
            if let Some(waiting) = self.decisions.remove(&id) {
                let _ = waiting.send(Ok(result));
            }
        }
        for changed in effects.tenancies {
            for (.., done) in self.tenancies.extract_if(.., |(shard, tenant, _)| (*shard, *tenant) == changed) {
                let _ = done.send(Ok(()));
            }
        }
        for shard in effects.gained {
            tracing::info!(shard, "leads");
            let _ = self.shell.gained.send(shard);
        }
        for ask in effects.asks {
            // More of them than can be asked are left to the shard's own deadline.
            if self.shell.asks.try_send(ask).is_err() {
                limits::reached(Limit::AsksWaiting);
                tracing::debug!("a chooser is not asked: too many wait");
            }
        }
        if effects.directory_changed {
            self.publish_directory();
        }
        self.shell.metrics.commands_applied.inc_by(effects.commands_applied);
        self.shell.telemetry.tell(effects.spans, now_us());
        if effects.again {
            self.drain_soon(context);
        }
        self.wake_later(context);
    }

    /// Records of entries before a snapshot came before it, the others after.
    fn write_down(&self, records: Vec<(u32, u64, Vec<Record>)>, restored: &[(u32, u64)]) {
        let snapshot = |shard: u32| restored.iter().find(|(restored, _)| *restored == shard).map(|(_, index)| *index);
        let (before, after): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|(shard, index, _)| snapshot(*shard).is_some_and(|taken| *index <= taken));
        for (shard, index, records) in before {
            self.shell.records.put(shard, index, records);
        }
        for (shard, index) in restored {
            if let Some(machine) = self.core.machine(*shard) {
                self.shell.records.restored(*shard, *index, machine.now_ms());
            }
        }
        for (shard, index, records) in after {
            self.shell.records.put(shard, index, records);
        }
    }

    fn publish_directory(&self) {
        let directory = self.core.machine(0).and_then(ShardMachine::directory);
        if let Some(directory) = directory {
            let shards = directory.identity().map(|identity| identity.shards.iter().copied().collect());
            self.shell.homes.set(directory.homes(), shards.unwrap_or_default());
            self.shell.may_sleep.send_replace(directory.rules() >= RULES_OF_NODES);
            let roster = Roster::of(directory);
            self.shell.members.learn(&roster.nodes);
            self.shell.roster.send_if_modified(|known| {
                let changed = **known != roster;
                if changed {
                    *known = Arc::new(roster);
                }
                changed
            });
        }
        if let Some(view) = directory.and_then(|directory| directory.view(&self.shell.members.endpoints())) {
            self.shell.directory.send_replace(Some(Arc::new(view)));
        }
    }

    /// A batch whose window is still open is proposed when the window closes, not at the next tick.
    fn wake_later(&mut self, context: &mut Context<Self>) {
        let wanted = self.core.next_wake();
        match (&self.wake, wanted) {
            (Some((at, _)), Some(wanted)) if *at <= wanted => {}
            (_, Some(wanted)) => {
                if let Some((_, handle)) = self.wake.take() {
                    context.cancel_future(handle);
                }
                let delay = Duration::from_micros(wanted.saturating_sub(now_us()));
                self.wake = Some((wanted, context.notify_later(Wake {}, delay)));
            }
            (_, None) => {}
        }
    }
}

impl Actor for ShardActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MAX);
        // A restored directory is known before anything is applied.
        self.publish_directory();
        context.run_interval(self.shell.tick, |actor, context| {
            actor.core.set_now(now_us());
            actor.core.set_sleep(*actor.shell.may_sleep.borrow());
            actor.core.tick();
            let counted = actor.core.host().counters();
            actor.shell.metrics.cluster.add_host(&mut actor.counted, counted);
            actor.drain_soon(context);
        });
    }
}

macro_rules! on {
    ($message:ty, |$actor:ident, $taken:ident| $body:expr) => {
        impl Handler<$message> for ShardActor {
            type Result = ();
            fn handle(&mut self, $taken: $message, context: &mut Self::Context) {
                let $actor = self;
                $actor.core.set_now(now_us());
                $body;
                $actor.drain_soon(context);
            }
        }
    };
}

on!(Step, |actor, step| actor.core.step(step.from, step.messages));
on!(Durable, |actor, durable| actor.core.persisted(durable.done));
on!(Unreachable, |actor, unreachable| actor.core.unreachable(unreachable.node));
on!(SnapshotDone, |actor, done| actor.core.snapshot_done(done.shard, done.to, done.ok));
on!(Submit, |actor, submit| {
    actor.clients.entry(submit.client).or_insert(submit.replies);
    actor.core.submit(submit.client, submit.submissions);
});
on!(ForgetClient, |actor, forget| {
    actor.clients.remove(&forget.client);
    actor.core.forget_client(forget.client);
});
on!(Watch, |actor, watch| {
    actor.watchers.insert(watch.key, watch.replies);
    actor.core.watch(watch.key, watch.request);
});
on!(Unwatch, |actor, unwatch| {
    actor.watchers.remove(&unwatch.key);
    actor.core.unwatch(unwatch.key);
});
on!(Ask, |actor, ask| {
    actor.next_token += 1;
    actor.questions.insert(actor.next_token, (ask.shard, ask.question));
    actor.core.ask(ask.shard, actor.next_token);
});
on!(ProposeDirectory, |actor, propose| actor.propose_directory(propose));
on!(OpenReplica, |actor, open| {
    let opened = actor.core.open(open.shard, ShardMachine::new(open.shard), open.recovered);
    let _ = open.done.send(opened.map_err(|failure| failure.error.to_string()));
});
on!(ChangeMembers, |actor, change| {
    let taken = actor.core.change_members(change.shard, &change.steps);
    let _ = change.done.send(taken.map_err(|error| error.to_string()));
});
on!(TransferLead, |actor, transfer| actor.core.transfer(transfer.shard, transfer.to));
on!(CloseReplica, |actor, close| {
    actor.core.close(close.shard);
    let (about_it, others) =
        std::mem::take(&mut actor.questions).into_iter().partition(|(_, (shard, _))| *shard == close.shard);
    actor.questions = others;
    for (_, question) in BTreeMap::into_values(about_it) {
        question(Err(actor.core.leader_of(close.shard)));
    }
    let _ = close.done.send(());
});
on!(ProposeTenancy, |actor, propose| actor.propose_tenancy(propose));
on!(Wake, |actor, _wake| actor.wake = None);

impl ShardActor {
    fn propose_directory(&mut self, propose: ProposeDirectory) {
        let ProposeDirectory { mut entry, done } = propose;
        let id = entry.id.get_or_insert_with(CommandId::default).number;
        match self.core.propose_directory(entry) {
            Ok(()) => {
                // Whoever asked under a leader that is gone has stopped waiting.
                self.decisions.retain(|_, waiting| !waiting.is_closed());
                self.decisions.insert(id, done);
            }
            Err(not_leader) => drop(done.send(Err(not_leader))),
        }
    }

    fn propose_tenancy(&mut self, propose: ProposeTenancy) {
        let ProposeTenancy { shard, batch, done } = propose;
        let tenant = batch.tenant;
        match self.core.propose_tenancy(shard, batch) {
            Ok(()) => {
                self.tenancies.retain(|(.., waiting)| !waiting.is_closed());
                self.tenancies.push((shard, tenant, done));
            }
            Err(not_leader) => drop(done.send(Err(not_leader))),
        }
    }
}

impl Handler<Drain> for ShardActor {
    type Result = ();

    fn handle(&mut self, _: Drain, context: &mut Self::Context) {
        self.drain_due = false;
        self.core.set_now(now_us());
        let effects = self.core.drain();
        self.carry_out(effects, context);
    }
}

impl Handler<Look> for ShardActor {
    type Result = ();

    fn handle(&mut self, look: Look, _: &mut Self::Context) {
        (look.at)(&self.core);
    }
}

impl Handler<HandOver> for ShardActor {
    type Result = ();

    fn handle(&mut self, hand_over: HandOver, context: &mut Self::Context) {
        self.core.hand_over();
        self.drain_soon(context);
        let mut done = Some(hand_over.done);
        context.run_interval(self.shell.tick, move |actor, _| {
            if !actor.core.leads_any()
                && let Some(done) = done.take()
            {
                let _ = done.send(());
            }
        });
    }
}
