//! The doors of the lanes: which lane a call belongs to, and how to hand it something from another thread.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use media::MediaEvent;
use proto::v1::Order;
use tokio::sync::mpsc;

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
    /// A leader begins to tell the whole set of orders.
    Watching { shard: u32 },
    /// Orders for legs of this lane's calls.
    Orders { shard: u32, orders: Vec<Order> },
    /// The whole set has been told.
    InSync { shard: u32 },
    /// Something was heard, or no longer, on a leg.
    Media(MediaEvent),
    /// There is a directory view to look at.
    DirectoryChanged,
    /// Where the call of a stray message is.
    Located { stray: Stray, holder: Whereabouts },
    /// A shard wants this gateway empty, or no longer.
    Draining { shard: u32, draining: bool },
    /// No new calls.
    Drain,
    /// End all legs.
    EndAll,
    /// Return.
    Stop,
}

/// All doors, in the order of the lanes.
#[derive(Clone)]
pub(crate) struct Doors {
    lanes: Arc<[Door]>,
}

/// Into one lane.
#[derive(Clone)]
pub(crate) struct Door {
    /// Bounded by what exists: legs, commands, connections.
    mail: mpsc::UnboundedSender<Mail>,
    /// Bounded by a number: the network may send any amount.
    datagrams: mpsc::Sender<Mail>,
}

/// A lane's own side of its door.
pub(crate) struct Letterbox {
    pub(crate) mail: mpsc::UnboundedReceiver<Mail>,
    pub(crate) datagrams: mpsc::Receiver<Mail>,
}

impl Doors {
    /// As many doors as lanes.
    pub(crate) fn new(lanes: usize, datagrams_max: usize) -> (Self, Vec<Letterbox>) {
        let (doors, boxes): (Vec<_>, Vec<_>) = (0..lanes.max(1))
            .map(|_| {
                let (mail, mail_in) = mpsc::unbounded_channel();
                let (datagrams, datagrams_in) = mpsc::channel(datagrams_max.max(1));
                (Door { mail, datagrams }, Letterbox { mail: mail_in, datagrams: datagrams_in })
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

    /// From the network: false when the lane is too busy, and the message is lost as on the wire.
    pub(crate) fn hand_message(&self, lane: usize, flow: sip::Flow, bytes: Bytes, arrived: Instant) -> bool {
        self.lanes.get(lane).is_some_and(|door| door.datagrams.try_send(Mail::Message { flow, bytes, arrived }).is_ok())
    }

    /// From a TCP connection: waits for room, so that the far end is slowed down.
    pub(crate) async fn deliver(&self, lane: usize, flow: sip::Flow, bytes: Bytes) {
        if let Some(door) = self.lanes.get(lane) {
            let arrived = Instant::now();
            let _ = door.datagrams.send(Mail::Message { flow, bytes, arrived }).await;
        }
    }
}
