//! Asks the programs that choose agents, for the shards that this node leads, and hands their answers in as commands. What
//! goes wrong here is no error: the shard has a deadline of its own, and a rule for who is chosen then.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proto::v1::{Ask, ChooseAgents, agent_chooser_client::AgentChooserClient, command};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};
use tonic::transport::{Channel, Endpoint};

use crate::shards::Shards;

/// Questions that may wait to be asked; more are left to the shard's deadline.
pub const ASKS_WAITING_MAX: usize = 1_024;
/// Questions asked at the same time; the same.
const ASKS_OPEN_MAX: usize = 256;
/// Programs that connections are kept to.
const ENDPOINTS_MAX: usize = 64;
/// A program that takes longer to be reached is not there.
const CONNECT_MAX: Duration = Duration::from_millis(300);
/// Bytes of an answer.
const CHOICE_BYTES_MAX: usize = 64 << 10;
/// Agents that are handed on of an answer: the shard named fewer.
const AGENTS_MAX: usize = 100;
/// How long the answer is tried to be handed in; the shard refuses a late one.
const HAND_IN_MAX: Duration = Duration::from_secs(2);

/// Everybody who is asked.
pub struct Choosers {
    shards: Shards,
    asks: mpsc::Receiver<(u32, Ask)>,
    channels: BTreeMap<String, Channel>,
}

impl Choosers {
    /// Asks what comes through `asks`, and answers through `shards`.
    #[must_use]
    pub const fn new(shards: Shards, asks: mpsc::Receiver<(u32, Ask)>) -> Self {
        Self { shards, asks, channels: BTreeMap::new() }
    }

    /// Runs for the life of the node.
    pub async fn run(mut self) {
        let places = Arc::new(Semaphore::new(ASKS_OPEN_MAX));
        // Dropped with this one: nobody is asked by a node that has stopped.
        let mut open = JoinSet::new();
        while let Some((shard, ask)) = self.asks.recv().await {
            while open.try_join_next().is_some() {}
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::debug!(shard, ask = ask.ask, "a chooser is not asked: {ASKS_OPEN_MAX} are asked already");
                continue;
            };
            let Some(channel) = self.channel(&ask.endpoint) else {
                tracing::debug!(shard, ask = ask.ask, endpoint = ask.endpoint, "this is no chooser's endpoint");
                continue;
            };
            let shards = self.shards.clone();
            open.spawn(async move {
                let _place = place;
                choose(&shards, shard, ask, channel).await;
            });
        }
    }

    fn channel(&mut self, endpoint: &str) -> Option<Channel> {
        if let Some(channel) = self.channels.get(endpoint) {
            return Some(channel.clone());
        }
        let channel = Endpoint::from_shared(endpoint.to_owned())
            .ok()?
            .connect_timeout(CONNECT_MAX)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .connect_lazy();
        if self.channels.len() >= ENDPOINTS_MAX {
            // More programs than that are none that one centre runs: whichever goes is connected to again.
            self.channels.pop_first();
        }
        self.channels.insert(endpoint.to_owned(), channel.clone());
        Some(channel)
    }
}

async fn choose(shards: &Shards, shard: u32, question: Ask, channel: Channel) {
    let (call, ask) = (question.call, question.ask);
    let patience = Duration::from_millis(u64::from(question.deadline_ms));
    let mut client = AgentChooserClient::new(channel).max_decoding_message_size(CHOICE_BYTES_MAX);
    let agents = match timeout(patience, client.choose(question)).await {
        Ok(Ok(choice)) => choice.into_inner().agents,
        Ok(Err(error)) => {
            tracing::debug!(shard, ask, error = error.message(), "a chooser fails");
            return;
        }
        Err(_) => {
            tracing::debug!(shard, ask, "a chooser is silent");
            return;
        }
    };
    let agents = agents.into_iter().take(AGENTS_MAX).collect();
    let answer = command::Kind::ChooseAgents(ChooseAgents { call, ask, agents });
    match shards.submit(shard, answer, HAND_IN_MAX).await {
        Ok(Ok(())) => {}
        // The caller is gone, or the deadline was earlier.
        Ok(Err(rejection)) => tracing::debug!(shard, ask, detail = rejection.detail, "a choice is refused"),
        Err(error) => tracing::debug!(%error, "a choice is not handed in"),
    }
}
