//! The line to one shard: commands go out once and for ever, outcomes and orders come back to their lanes.
//! Never concludes anything about a call.

mod pending;
mod search;
mod session;
mod telling;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use proto::v1::{self, shard_client::ShardClient};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tonic::transport::Channel;
use trust::Channels;

use crate::{
    clock::Clock,
    doors::Doors,
    telemetry::{metrics::Metrics, trace::Parent},
};

/// Commands of a link that have no outcome, those about what ends or goes on included. A leg has one or two at a time, so only a
/// far end that changes something again and again while nobody leads comes so far; what it then does is not told.
const HELD_MAX: usize = 262_144;
/// A leader that does not say so soon where a call is says it to the next repetition of the message.
const LOCATE_MS_MAX: u64 = 400;

/// Whether a command may wait a little for company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Leaves as soon as the line is idle, within a few milliseconds when it is busy.
    Urgent,
    /// Rides along with the next urgent one, or leaves after 50 ms.
    Lazy,
}

/// What a lane wants to hear an outcome about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ticket {
    /// An `OfferCall`.
    Offer { call: u64, birth: u32 },
    /// An `AnswerLeg`.
    Answer { call: u64, leg: u32, birth: u32 },
    /// An `EndLeg`.
    End { call: u64, leg: u32, birth: u32 },
    /// An `EndLeg` about a leg that the shard should have spoken of.
    Lost { call: u64, leg: u32, birth: u32 },
    /// A `ReferLeg`.
    Refer { call: u64, leg: u32, birth: u32 },
    /// A `RegisterContact`.
    Register(sip::RegisterId),
}

/// Where a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// This gateway holds it, at this SIP address.
    Held { gateway: String, sip: String },
    /// The leader knows of no such call.
    Nobody,
    /// No leader could be asked: nothing may be concluded.
    Unknown,
}

impl Whereabouts {
    fn of(reply: v1::LocateReply) -> Self {
        match reply {
            v1::LocateReply { not_leader: Some(_), .. } => Self::Unknown,
            v1::LocateReply { gateway, .. } if gateway.is_empty() => Self::Nobody,
            v1::LocateReply { gateway, sip, .. } => Self::Held { gateway, sip },
        }
    }

    /// Of two shards' answers the one that says more.
    pub(crate) fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Held { .. }, _) | (Self::Unknown, Self::Nobody | Self::Unknown) => self,
            _ => other,
        }
    }
}

/// One command asked of the shard.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) command: v1::Command,
    pub(crate) urgency: Urgency,
    /// The lane that asked.
    pub(crate) lane: usize,
    /// What to call it when the outcome comes; `None` when nobody waits for it.
    pub(crate) ticket: Option<Ticket>,
    pub(crate) trace: Option<Parent>,
}

/// The shard's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Rejected(v1::RejectionCode),
}

/// Who this process is to every shard.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) gateway: String,
    pub(crate) incarnation: u64,
    pub(crate) sip: String,
}

/// A lane's end of a link. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Link {
    shard: u32,
    asks: mpsc::UnboundedSender<Ask>,
    endpoints: watch::Sender<Vec<String>>,
    state: Arc<State>,
    pending_max: usize,
}

/// What others may know of a link.
#[derive(Debug, Default)]
struct State {
    pending: AtomicUsize,
    in_sync: AtomicBool,
    /// When the leader was last heard while in sync; 0 before it ever was.
    heard_ms: AtomicU64,
    /// After so long without us the shard gives our legs away.
    lease_ms: AtomicU64,
    /// The shard wants this gateway empty.
    draining: AtomicBool,
    /// Gateways that would take our calls.
    takers: AtomicU32,
    /// To the leader, while there is one.
    leader: ArcSwapOption<Channel>,
}

/// What a link's task is born with.
pub(crate) struct LinkConfig {
    pub(crate) shard: u32,
    pub(crate) identity: Identity,
    pub(crate) endpoints: Vec<String>,
    /// Shared with other links of the same thread.
    pub(crate) nodes: Channels,
    pub(crate) pending_max: usize,
    pub(crate) doors: Doors,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
}

impl Link {
    /// Starts the link's task on `runtime`.
    pub(crate) fn start(config: LinkConfig, runtime: &tokio::runtime::Handle) -> anyhow::Result<Self> {
        let sender = getrandom::u64()?;
        let (asks, asked) = mpsc::unbounded_channel();
        let (endpoints, places) = watch::channel(config.endpoints.clone());
        let state = Arc::new(State::default());
        let link =
            Self { shard: config.shard, asks, endpoints, state: Arc::clone(&state), pending_max: config.pending_max };
        runtime.spawn(session::serve(config, sender, asked, places, state));
        Ok(link)
    }

    /// Whether new work (a call, a registration) may be asked. What ends or goes on is taken up to `HELD_MAX`.
    pub(crate) fn has_room(&self) -> bool {
        self.state.pending.load(Ordering::Relaxed) < self.pending_max
    }

    /// Commands without an outcome.
    pub(crate) fn pending(&self) -> usize {
        self.state.pending.load(Ordering::Relaxed)
    }

    /// Whether our legs may be another gateway's by now: the leader was not heard for half of our lease.
    pub(crate) fn in_doubt(&self, now_ms: u64) -> bool {
        let heard_ms = self.state.heard_ms.load(Ordering::Relaxed);
        let lease_ms = self.state.lease_ms.load(Ordering::Relaxed);
        heard_ms > 0 && now_ms.saturating_sub(heard_ms) > lease_ms / 2
    }

    /// Whether the shard wants this gateway empty.
    pub(crate) fn is_draining(&self) -> bool {
        self.state.draining.load(Ordering::Relaxed)
    }

    /// Whether some other gateway can take our calls over, as far as is known.
    pub(crate) fn has_takers(&self) -> bool {
        self.in_sync() && self.state.takers.load(Ordering::Relaxed) > 0
    }

    /// The gateway that holds a call, as the leader knows: its id and its SIP address.
    pub(crate) async fn locate(&self, call: u64) -> Whereabouts {
        let Some(leader) = self.state.leader.load_full() else { return Whereabouts::Unknown };
        let request = v1::LocateRequest { shard: self.shard, call };
        let asked = timeout(Duration::from_millis(LOCATE_MS_MAX), async move {
            ShardClient::new(Channel::clone(&leader)).locate(request).await
        });
        match asked.await {
            Ok(Ok(reply)) => Whereabouts::of(reply.into_inner()),
            Ok(Err(_)) | Err(_) => Whereabouts::Unknown,
        }
    }

    /// Whether the whole set of orders has been told by the present leader.
    pub(crate) fn in_sync(&self) -> bool {
        self.state.in_sync.load(Ordering::Relaxed)
    }

    /// False when it was not taken: too much is held already.
    pub(crate) fn ask(&self, ask: Ask) -> bool {
        if self.state.pending.fetch_add(1, Ordering::Relaxed) >= HELD_MAX {
            self.state.pending.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        if self.asks.send(ask).is_err() {
            tracing::debug!("command after the end of its link");
        }
        true
    }

    /// The directory says that the shard's replicas are here.
    pub(crate) fn set_endpoints(&self, endpoints: &[String]) {
        self.endpoints.send_if_modified(|known| {
            let changed = known != endpoints;
            if changed {
                *known = endpoints.to_vec();
            }
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_nobody_answers_is_held_up_to_a_limit() {
        let (doors, _boxes) = Doors::new(1, 1);
        let config = LinkConfig {
            shard: 1,
            identity: Identity { gateway: "g1".into(), incarnation: 1, sip: String::new() },
            // Nobody leads anywhere.
            endpoints: Vec::new(),
            nodes: crate::dial::nodes(trust::Trust::off()),
            pending_max: 2,
            doors,
            metrics: Arc::new(Metrics::new()),
            clock: Clock::start(),
        };
        let link = Link::start(config, &tokio::runtime::Handle::current()).expect("a link");
        let command = v1::Command { kind: None };
        let ask = Ask { command, urgency: Urgency::Lazy, lane: 0, ticket: None, trace: None };
        assert!(link.has_room() && link.ask(ask.clone()) && link.ask(ask.clone()));
        assert!(!link.has_room(), "no new work");
        let taken = (0..HELD_MAX).filter(|_| link.ask(ask.clone())).count();
        assert_eq!((taken + 2, link.pending()), (HELD_MAX, HELD_MAX), "but what ends and goes on, up to the limit");
    }
}
