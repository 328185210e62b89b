//! Who served whom: memory within a window, bounded; never a decision.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Name, Timestamp};

/// The last agent of each caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// By calling number: the agent's name and when the talk ended.
    pub(crate) served: BTreeMap<Name, (Name, Timestamp)>,
    by_time: BTreeSet<(Timestamp, Name)>,
    /// The longest window of any queue, in milliseconds; 0 keeps nothing.
    pub(crate) window_ms: u64,
}

impl Memory {
    /// Who served the caller within the window.
    pub(crate) fn agent_of(&self, caller: &str, window_ms: u64, now: Timestamp) -> Option<&Name> {
        let (agent, at) = self.served.get(caller)?;
        (at + window_ms > now).then_some(agent)
    }

    /// Remembers; forgets what is out of every window, or the oldest when there is no room.
    pub(crate) fn keep(&mut self, caller: &Name, agent: &Name, now: Timestamp, served_max: usize) {
        if self.window_ms == 0 || caller.is_empty() {
            return;
        }
        self.put(caller.clone(), agent.clone(), now);
        while let Some((at, oldest)) = self.by_time.first() {
            if at + self.window_ms > now && self.served.len() <= served_max {
                break;
            }
            self.served.remove(oldest);
            self.by_time.pop_first();
        }
    }

    pub(crate) fn put(&mut self, caller: Name, agent: Name, at: Timestamp) {
        if let Some((_, former)) = self.served.insert(caller.clone(), (agent, at)) {
            self.by_time.remove(&(former, caller.clone()));
        }
        self.by_time.insert((at, caller));
    }
}
