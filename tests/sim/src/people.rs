//! Callers who dial, wait, leave and try again; agents who log in, answer, let ring and take breaks. They see what a
//! phone shows, never the shard.

mod agents;
mod callers;

use agents::Worker;
use callers::Dialler;

use crate::scenario::{Scenario, Us};

/// A leg as phones name it: call, leg.
pub(crate) type LegKey = (u64, u32);

/// What somebody does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Dials. The call id is what a gateway would derive from the INVITE.
    Dial {
        /// New in each try.
        call: u64,
        /// Who, unique in the run.
        caller: String,
        /// Whom.
        number: String,
    },
    /// The far end of a leg hangs up, or gives up.
    HangUp(LegKey),
    /// The same INVITE once more, as a phone does that heard nothing.
    Retransmit(u64),
    /// Lifts the receiver.
    Answer(LegKey),
    /// Refuses with this SIP status.
    Refuse(LegKey, u32),
    /// Says at the desk what is wanted of the own state.
    Say {
        /// The agent.
        agent: String,
        /// Counts the sayings of this agent.
        number: u64,
        /// What.
        wish: Wish,
    },
}

/// What an agent wants to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// At work.
    LogIn,
    /// Gone home.
    LogOut,
    /// Ready for calls.
    Ready,
    /// On a break.
    NotReady,
}

/// What somebody notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sense {
    /// The caller of this call hears ringing or music.
    Waits(u64),
    /// This leg talks to somebody.
    Talks(LegKey),
    /// The leg is over.
    Over(LegKey),
    /// Another gateway goes on with the leg; whoever is at its far end notices nothing.
    Adopted(LegKey),
    /// The agent's phone rings.
    Rings(String, LegKey),
    /// The desk says that a wish was done (or refused).
    Done {
        /// The agent.
        agent: String,
        /// Which saying.
        number: u64,
        /// Whether it was accepted.
        accepted: bool,
    },
}

/// All people of a run.
#[derive(Debug)]
pub(crate) struct People {
    callers: Vec<Dialler>,
    agents: Vec<Worker>,
}

impl People {
    /// The people of a scenario.
    #[must_use]
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            callers: scenario.callers.iter().map(|caller| Dialler::new(caller.clone())).collect(),
            agents: scenario.agents.iter().map(|agent| Worker::new(agent.clone(), scenario.seed)).collect(),
        }
    }

    /// When somebody wants to do something next.
    #[must_use]
    pub(crate) fn next_us(&self) -> Option<Us> {
        let callers = self.callers.iter().filter_map(Dialler::next_us);
        callers.chain(self.agents.iter().filter_map(Worker::next_us)).min()
    }

    /// What they do at this moment.
    pub(crate) fn act(&mut self, now_us: Us) -> Vec<Deed> {
        let mut deeds = Vec::new();
        for caller in &mut self.callers {
            caller.act(now_us, &mut deeds);
        }
        for agent in &mut self.agents {
            agent.act(now_us, &mut deeds);
        }
        deeds
    }

    /// Somebody notices something.
    pub(crate) fn sense(&mut self, now_us: Us, sense: &Sense) {
        match sense {
            Sense::Waits(call) => self.of_call(*call, |caller| caller.waits()),
            Sense::Talks((call, 1)) => self.of_call(*call, |caller| caller.talks(now_us)),
            Sense::Adopted(_) => {}
            Sense::Over((call, 1)) => self.of_call(*call, |caller| caller.over(now_us)),
            Sense::Talks(leg) => self.agents.iter_mut().for_each(|agent| agent.talks(now_us, *leg)),
            Sense::Over(leg) => self.agents.iter_mut().for_each(|agent| agent.over(*leg)),
            Sense::Rings(name, leg) => self.of_agent(name, |agent| agent.rings(now_us, *leg)),
            Sense::Done { agent, number, accepted } => {
                self.of_agent(agent, |agent| agent.done(now_us, *number, *accepted))
            }
        }
    }

    /// Whether every caller has been served or has given up for good.
    #[must_use]
    pub(crate) fn callers_are_done(&self) -> bool {
        self.callers.iter().all(Dialler::is_done)
    }

    fn of_call(&mut self, call: u64, told: impl FnOnce(&mut Dialler)) {
        if let Some(caller) = self.callers.iter_mut().find(|caller| caller.call() == Some(call)) {
            told(caller);
        }
    }

    fn of_agent(&mut self, name: &str, told: impl FnOnce(&mut Worker)) {
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.name() == name) {
            told(agent);
        }
    }
}
