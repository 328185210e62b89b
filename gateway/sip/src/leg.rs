//! A leg: one dialog with its audio and timers, and what it waits for.
//! Only data and small questions; what happens to a leg is in `endpoint/`.

use bytes::Bytes;

use crate::dialog::Dialog;
use crate::echo::Echo;
use crate::sdp::{Description, Origin};
use crate::timers::LEG_TIMERS;
use crate::types::{EndCause, Flow, LegId, LocalMedia, Millis, RemoteMedia};

/// One leg.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) id: LegId,
    /// Its local tag and the user part of its Contact.
    pub(crate) token: String,
    pub(crate) state: LegState,
    pub(crate) dialog: Dialog,
    pub(crate) audio: Audio,
    pub(crate) session: Option<Session>,
    /// When each of its timers wants to be woken; zero: not at all.
    pub(crate) wakes: [Millis; LEG_TIMERS],
}

/// What a leg waits for.
#[derive(Debug)]
// Legs are boxed, and nearly all of them are up: another box would only cost.
#[allow(clippy::large_enum_variant)]
pub(crate) enum LegState {
    /// A caller without a final answer.
    Offered(Box<Offered>),
    /// We invited; no final answer.
    Calling(Box<Calling>),
    /// A 2xx was sent or received.
    Up(Up),
}

/// A caller without a final answer.
#[derive(Debug)]
pub(crate) struct Offered {
    /// The INVITE's transaction.
    pub(crate) key: u64,
    pub(crate) cseq: u32,
    pub(crate) echo: Echo,
    /// Its SDP; none: we offer in the 200.
    pub(crate) offer: Option<Description>,
    pub(crate) alerted: bool,
    /// What the 200 says about the session timer.
    pub(crate) session_line: String,
    /// From another gateway, which may have answered already.
    pub(crate) adopted: bool,
    /// Its shard has the call, and may give it to another gateway.
    pub(crate) taken: bool,
    pub(crate) reliable: Reliable,
}

/// Our provisional responses to a caller that wants them reliable (RFC 3262).
#[derive(Debug, Default)]
pub(crate) struct Reliable {
    /// The caller requires it.
    pub(crate) wanted: bool,
    /// How many were said.
    pub(crate) said: u32,
    /// The one that no PRACK has come for.
    pub(crate) waits: Option<Unpracked>,
}

/// A provisional response that is said again until PRACK.
#[derive(Debug)]
pub(crate) struct Unpracked {
    pub(crate) response: Bytes,
    pub(crate) interval_ms: u64,
    pub(crate) until: Millis,
}

/// An early dialog of an INVITE of ours that answers reliably.
#[derive(Debug)]
pub(crate) struct Fork {
    pub(crate) tag: Bytes,
    /// The last RSeq in order.
    pub(crate) rseq: u32,
}

/// We invited; no final answer.
#[derive(Debug)]
pub(crate) struct Calling {
    /// The INVITE's transaction.
    pub(crate) key: u64,
    pub(crate) rang: bool,
    /// CANCEL is allowed (RFC 3261 9.1).
    pub(crate) provisional: bool,
    /// `end` was asked.
    pub(crate) ending: Option<Ending>,
    /// SDP of a provisional response, for far ends that leave it out of the 200.
    pub(crate) early: Option<RemoteMedia>,
    /// Early dialogs with reliable responses.
    pub(crate) forks: Vec<Fork>,
}

/// A 2xx was sent or received.
#[derive(Debug, Default)]
pub(crate) struct Up {
    /// The ACK of the first 2xx has come or gone.
    pub(crate) confirmed: bool,
    /// Our 2xx that no ACK has come for.
    pub(crate) unacked: Option<Box<Unacked>>,
    /// Our re-INVITE or UPDATE that is under way.
    pub(crate) asking: Option<Asking>,
    /// Media that the far end should be offered.
    pub(crate) wanted: Option<LocalMedia>,
    /// `end` was asked before the ACK came (RFC 3261 15: no BYE before it).
    pub(crate) ending: Option<Ending>,
    /// Adopted: the far end may know another gateway's media, until it has answered a re-INVITE of ours.
    pub(crate) stale: bool,
    /// Adopted: our CSeq as the passport has it.
    pub(crate) former_cseq: u32,
    /// The far end's REFER that is not over.
    pub(crate) refer: Option<Box<Refer>>,
}

/// A REFER (RFC 3515) that is not over.
#[derive(Debug, Clone)]
pub(crate) struct Refer {
    /// Its transaction, and what its answer repeats; none when it is accepted.
    pub(crate) asked: Option<(u64, Echo)>,
    /// Its CSeq number: the `id` of its event (RFC 3515 2.4.6).
    pub(crate) cseq: u32,
    /// `Refer-Sub: false` (RFC 4488): no NOTIFY.
    pub(crate) silent: bool,
    /// Referred-By (RFC 3892), checked; empty: none.
    pub(crate) by: String,
}

/// Why `end` was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) status: u16,
    pub(crate) reason: String,
}

/// A 2xx of ours that is sent again until its ACK comes.
#[derive(Debug)]
pub(crate) struct Unacked {
    pub(crate) flow: Flow,
    pub(crate) ok: Bytes,
    pub(crate) cseq: u32,
    pub(crate) interval_ms: u64,
    pub(crate) until: Millis,
    /// Our 2xx carried an offer: the ACK must carry the answer.
    pub(crate) offered: bool,
    /// The passport has changed.
    pub(crate) tell: bool,
}

/// A request of ours inside of the dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asking {
    pub(crate) key: u64,
    /// It carries an offer of this media.
    pub(crate) media: Option<LocalMedia>,
}

/// Both ends of the audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Audio {
    pub(crate) local: Option<LocalMedia>,
    pub(crate) remote: Option<RemoteMedia>,
    pub(crate) origin: Origin,
    /// What we last wrote.
    pub(crate) sdp: Bytes,
}

impl Audio {
    pub(crate) fn new(leg: LegId) -> Self {
        // The session id must be the same on every gateway; 62 bits keep it positive for everybody.
        let id = (leg.call ^ u64::from(leg.leg).rotate_left(40)) >> 2;
        Self { local: None, remote: None, origin: Origin { id, version: 1 }, sdp: Bytes::new() }
    }
}

/// A session timer (RFC 4028).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) seconds: u32,
    /// We refresh.
    pub(crate) ours: bool,
}

/// What has become of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Fate {
    Lives,
    Ended(EndCause, u16),
}
