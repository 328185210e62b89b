//! What is to happen in the seeded world, and when: in the order of its moments, and at one moment in the order in which it
//! was put down.

use std::collections::BTreeMap;

use cluster::PeerMessage;

pub(crate) enum Event {
    Deliver {
        from: usize,
        to: usize,
        message: PeerMessage,
    },
    /// A client asks.
    Ask {
        at: usize,
    },
    /// The transport tells the sender what became of a snapshot.
    Snapshot {
        from: usize,
        life: u64,
        to: usize,
        ok: bool,
    },
    Synced {
        node: usize,
        life: u64,
    },
}

#[derive(Default)]
pub(crate) struct Agenda {
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
}

impl Agenda {
    pub(crate) fn put(&mut self, at_ms: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((at_ms, self.sequence), event);
    }

    /// The next one that is due.
    pub(crate) fn take(&mut self, now_ms: u64) -> Option<Event> {
        let first = self.events.first_entry()?;
        (first.key().0 <= now_ms).then(|| first.remove())
    }

    /// What a node has sent never arrives.
    pub(crate) fn forget_messages_of(&mut self, node: usize) {
        self.events.retain(|_, event| !matches!(event, Event::Deliver { from, .. } if *from == node));
    }
}
