//! Transactions (RFC 3261 section 17, RFC 6026), small: a state, a due time and the bytes to send again.
//! Never knows what a call is. Why not `sipx-sip`'s: docs/adr/0010.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use bytes::Bytes;

use crate::config::Timers;
use crate::types::{BindingId, Flow, LegId, Login, Millis, PingId};

/// Keys are keyed hashes already.
#[derive(Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(b);
        }
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// A map by keyed hash. Never iterated.
pub(crate) type ByHash<T> = HashMap<u64, T, BuildHasherDefault<AsIs>>;

/// A request somebody sent us.
#[derive(Debug)]
pub(crate) struct ServerTx {
    pub(crate) state: ServerState,
    pub(crate) flow: Flow,
    /// The last response; empty when none needs repeating.
    pub(crate) response: Bytes,
    pub(crate) due: Millis,
    /// For INVITE: (Call-ID, From-tag, CSeq) hashed, to find merged requests.
    pub(crate) merge: u64,
    pub(crate) leg: Option<LegId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerState {
    /// No final response yet; repeats get the last provisional one.
    Proceeding,
    /// INVITE refused: the refusal is sent again (timer G) until ACK or timer H.
    Completed { interval_ms: u64, until: Millis },
    /// ACK came: absorbs repeats until timer I.
    Confirmed,
    /// RFC 6026: INVITE accepted; repeats are absorbed until timer L, the leg repeats the 2xx.
    Accepted,
    /// Not an INVITE and answered: repeats get the answer until timer J.
    Answered,
}

/// What woken transactions want done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    Nothing,
    Send(Flow, Bytes),
    Remove,
    /// Nobody answered.
    TimedOut,
}

impl ServerTx {
    pub(crate) fn retransmission(&self) -> Option<(Flow, Bytes)> {
        match self.state {
            ServerState::Proceeding | ServerState::Completed { .. } | ServerState::Answered
                if !self.response.is_empty() =>
            {
                Some((self.flow, self.response.clone()))
            }
            _ => None,
        }
    }

    /// The INVITE is refused with these bytes.
    pub(crate) fn refuse(&mut self, now: Millis, timers: &Timers, response: Bytes) {
        let until = now.plus(timers.patience_ms());
        self.response = response;
        self.state = ServerState::Completed { interval_ms: timers.t1_ms, until };
        self.due = if self.flow.transport.is_reliable() { until } else { now.plus(timers.t1_ms) };
    }

    pub(crate) fn accept(&mut self, now: Millis, timers: &Timers) {
        self.response = Bytes::new();
        self.state = ServerState::Accepted;
        self.due = now.plus(timers.patience_ms());
    }

    pub(crate) fn acknowledge(&mut self, now: Millis, timers: &Timers) -> bool {
        if !matches!(self.state, ServerState::Completed { .. }) {
            return false;
        }
        self.response = Bytes::new();
        self.state = ServerState::Confirmed;
        self.due = if self.flow.transport.is_reliable() { now } else { now.plus(timers.t4_ms) };
        true
    }

    pub(crate) fn wake(&mut self, now: Millis, timers: &Timers) -> Woken {
        match &mut self.state {
            ServerState::Completed { interval_ms, until } if now < *until => {
                *interval_ms = interval_ms.saturating_mul(2).min(timers.t2_ms);
                self.due = now.plus(*interval_ms).min(*until);
                Woken::Send(self.flow, self.response.clone())
            }
            ServerState::Completed { .. }
            | ServerState::Proceeding
            | ServerState::Confirmed
            | ServerState::Accepted
            | ServerState::Answered => Woken::Remove,
        }
    }
}

/// What a request of ours is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Invite,
    Reinvite,
    Update,
    Bye,
    Cancel,
    Notify,
    Prack,
    Register(BindingId),
    Options(PingId),
}

/// A request of ours.
#[derive(Debug)]
pub(crate) struct ClientTx {
    pub(crate) purpose: Purpose,
    pub(crate) leg: LegId,
    pub(crate) flow: Flow,
    pub(crate) state: ClientState,
    /// The request; later the ACK that repeats of the final response get.
    pub(crate) bytes: Bytes,
    pub(crate) due: Millis,
    /// INVITE only: what CANCEL, ACK and BYE of strays are written from.
    pub(crate) seed: Option<Box<Seed>>,
    /// Answers challenges; a leg may be gone before its BYE is challenged.
    pub(crate) login: Option<Arc<Login>>,
    /// How often it was asked again already: after a challenge, after 422.
    pub(crate) tries: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientState {
    /// Sent again (timers A, E) until any response or `until` (timers B, F).
    Trying { interval_ms: u64, until: Millis },
    /// A provisional response came. INVITE: waits for as long as it rings (`until` is ours, the RFC has none);
    /// others go on to be sent, at T2.
    Proceeding { until: Millis },
    /// Refused: repeats of the refusal get the ACK again (timers D, K).
    Completed,
    /// RFC 6026: accepted; repeats of the 2xx get the ACK again, other forks are hung up (timer M).
    Accepted,
}

/// The parts of an INVITE of ours.
#[derive(Debug, Clone)]
pub(crate) struct Seed {
    pub(crate) uri: Bytes,
    pub(crate) local: Bytes,
    pub(crate) remote: Bytes,
    pub(crate) call_id: Bytes,
    pub(crate) cseq: u32,
    /// The tag of the 2xx that made the dialog.
    pub(crate) tag: Bytes,
    /// Nobody wants an answer any more: CANCEL at the first provisional response, BYE to a 2xx.
    pub(crate) abandoned: bool,
    pub(crate) cancelled: bool,
}

impl ClientTx {
    pub(crate) fn wake(&mut self, now: Millis, timers: &Timers) -> Woken {
        let reliable = self.flow.transport.is_reliable();
        let invite = self.seed.is_some();
        match &mut self.state {
            ClientState::Trying { until, .. } | ClientState::Proceeding { until } if now >= *until => Woken::TimedOut,
            ClientState::Trying { until, .. } if reliable => {
                self.due = *until;
                Woken::Nothing
            }
            ClientState::Trying { interval_ms, until } => {
                // RFC 3261 17.1.1.2 and 17.1.2.2: INVITE doubles without a cap, others up to T2.
                *interval_ms = interval_ms.saturating_mul(2);
                if !invite {
                    *interval_ms = (*interval_ms).min(timers.t2_ms);
                }
                self.due = now.plus(*interval_ms).min(*until);
                Woken::Send(self.flow, self.bytes.clone())
            }
            ClientState::Proceeding { until } if invite || reliable => {
                self.due = *until;
                Woken::Nothing
            }
            ClientState::Proceeding { until } => {
                self.due = now.plus(timers.t2_ms).min(*until);
                Woken::Send(self.flow, self.bytes.clone())
            }
            ClientState::Completed | ClientState::Accepted => Woken::Remove,
        }
    }
}
