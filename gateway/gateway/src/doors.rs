//! The doors of the lanes: which lane a call belongs to, and how to hand it something from another thread.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use media::MediaEvent;
use proto::v1::Order;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::{
    board::Stray,
    link::{Ticket, Verdict, Whereabouts},
};

/// What a lane is handed.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A whole SIP message, and since when it has been here.
    Message { flow: sip::Flow, bytes: Bytes, arrived: Instant },
    /// Nothing gets through to the far end of this flow.
    FlowFailed(sip::Flow),
    /// The shard's answer to a command of this lane.
    Outcome { ticket: Ticket, verdict: Verdict },
    /// A shard's leader speaks; what it said keeps its place until the lane has heard it.
    Told { shard: u32, told: Told, place: OwnedSemaphorePermit },
    /// Something was heard, or no longer, on a leg.
    Media(MediaEvent),
    /// There is a directory view to look at.
    DirectoryChanged,
    /// Where the call of a stray message is.
    Located { stray: Stray, holder: Whereabouts },
    /// No new calls.
    Drain,
    /// End all legs.
    EndAll,
    /// Return.
    Stop,
}

/// What a leader tells a lane.
#[derive(Debug)]
pub(crate) enum Told {
    /// It begins to tell the whole set of orders.
    Watching,
    /// Orders for legs of this lane's calls.
    Orders(Vec<Order>),
    /// The whole set has been told.
    InSync,
    /// It wants this gateway empty, or no longer.
    Draining(bool),
}

/// All doors, in the order of the lanes.
#[derive(Clone)]
pub(crate) struct Doors {
    lanes: Arc<[Door]>,
}

/// Into one lane.
#[derive(Clone)]
pub(crate) struct Door {
    /// Bounded by those who send: a link has so many commands without an outcome and so many words of its leader under way, a
    /// lane looks for so many calls; the rest is said once in a process's life or by people.
    mail: mpsc::UnboundedSender<Mail>,
    /// Bounded by a number: the network may send any amount.
    network: mpsc::Sender<Mail>,
}

/// A lane's own side of its door.
pub(crate) struct Letterbox {
    pub(crate) mail: mpsc::UnboundedReceiver<Mail>,
    pub(crate) network: mpsc::Receiver<Mail>,
}

impl Doors {
    /// As many doors as lanes.
    pub(crate) fn new(lanes: usize, network_max: usize) -> (Self, Vec<Letterbox>) {
        let (doors, boxes): (Vec<_>, Vec<_>) = (0..lanes.max(1))
            .map(|_| {
                let (mail, mail_in) = mpsc::unbounded_channel();
                let (network, network_in) = mpsc::channel(network_max.max(1));
                (Door { mail, network }, Letterbox { mail: mail_in, network: network_in })
            })
            .unzip();
        (Self { lanes: doors.into() }, boxes)
    }

    pub(crate) fn count(&self) -> usize {
        self.lanes.len()
    }

    /// The lane of a call: all its legs live there.
    pub(crate) fn lane_of(&self, call: u64) -> usize {
        let lanes = self.lanes.len() as u64;
        usize::try_from(call % lanes).unwrap_or(0)
    }

    pub(crate) fn hand(&self, lane: usize, mail: Mail) {
        if let Some(door) = self.lanes.get(lane) {
            // A lane that has returned needs nothing any more.
            let _ = door.mail.send(mail);
        }
    }

    pub(crate) fn hand_all(&self, mail: impl Fn() -> Mail) {
        for lane in 0..self.lanes.len() {
            self.hand(lane, mail());
        }
    }

    /// From the network: false when the lane is too busy, and it is lost as on the wire.
    pub(crate) fn bring(&self, lane: usize, mail: Mail) -> bool {
        self.lanes.get(lane).is_some_and(|door| door.network.try_send(mail).is_ok())
    }

    /// The same to every lane; says how many were too busy.
    pub(crate) fn bring_all(&self, mail: impl Fn() -> Mail) -> u64 {
        self.lanes.iter().map(|door| u64::from(door.network.try_send(mail()).is_err())).sum()
    }

    /// From a TCP connection: waits for room, so that the far end is slowed down.
    pub(crate) async fn deliver(&self, lane: usize, flow: sip::Flow, bytes: Bytes) {
        if let Some(door) = self.lanes.get(lane) {
            let arrived = Instant::now();
            let _ = door.network.send(Mail::Message { flow, bytes, arrived }).await;
        }
    }
}
