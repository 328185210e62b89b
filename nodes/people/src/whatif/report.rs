//! What a run was like, in counts, and the ratios they give; every ratio says what it is.

/// How a run went. Equal runs have equal reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Unix milliseconds.
    pub from_ms: u64,
    /// Unix milliseconds.
    pub until_ms: u64,
    /// Everything together.
    pub whole: Figures,
    /// Queues by name, those without a call included. A call counts in the queue it was in last.
    pub queues: Vec<(String, Figures)>,
    /// Agents who were signed in, by name.
    pub agents: Vec<AgentFigures>,
    /// Members of each queue, both by name, whether they were signed in or not.
    pub teams: Vec<(String, Vec<String>)>,
    /// Callers seen, once a minute, behind more others than a minute before, without having changed queues.
    pub places_lost: u64,
    /// Applied to the shard.
    pub commands: u64,
    /// Deeds that the shard refused; some always cross on the way.
    pub refusals: u64,
}

/// Counts of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Calls that reached the centre and were concluded.
    pub offered: u64,
    /// Talked to an agent.
    pub answered: u64,
    /// Of these, within the queue's service level time of having been offered.
    pub within: u64,
    /// Left before an answer, short ones included.
    pub abandoned: u64,
    /// Of these, within the queue's short abandon time.
    pub abandoned_short: u64,
    /// Refused by rule.
    pub refused: u64,
    /// Something broke.
    pub failed: u64,
    /// Not concluded at the end; in no other figure.
    pub unfinished: u64,
    /// From offered to answered, of the answered.
    pub wait_ms: u64,
    /// From offered to the end, of the abandoned.
    pub abandon_ms: u64,
    /// From answered to the end, of the answered.
    pub talk_ms: u64,
    /// Of anybody, to the answer or the end.
    pub longest_wait_ms: u64,
}

/// One agent's time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFigures {
    /// The name.
    pub name: String,
    /// Calls answered.
    pub calls: u64,
    /// In a state that is not logged out.
    pub signed_in_ms: u64,
    /// Talking, holding, consulting.
    pub talk_ms: u64,
    /// Wrap-up.
    pub wrap_up_ms: u64,
    /// Reserved: the phone rings.
    pub ring_ms: u64,
    /// Ready.
    pub ready_ms: u64,
    /// Not ready.
    pub not_ready_ms: u64,
}

impl Figures {
    /// Answered within the threshold / (offered - short abandons), in 1/1000. `None` without a call.
    pub fn service_level_permille(&self) -> Option<u64> {
        permille(self.within, self.offered - self.abandoned_short)
    }

    /// Average speed of answer: wait of the answered / answered, milliseconds.
    pub fn asa_ms(&self) -> Option<u64> {
        self.wait_ms.checked_div(self.answered)
    }

    /// Average talk: talk of the answered / answered, milliseconds.
    pub fn average_talk_ms(&self) -> Option<u64> {
        self.talk_ms.checked_div(self.answered)
    }

    /// (Abandoned - short abandons) / (offered - short abandons), in 1/1000.
    pub fn abandonment_permille(&self) -> Option<u64> {
        permille(self.abandoned - self.abandoned_short, self.offered - self.abandoned_short)
    }
}

impl AgentFigures {
    /// (Talk + hold + wrap-up) / signed-in, in 1/1000.
    pub fn occupancy_permille(&self) -> Option<u64> {
        permille(self.talk_ms + self.wrap_up_ms, self.signed_in_ms)
    }
}

impl Report {
    /// (Talk + hold + wrap-up) / signed-in over all agents, in 1/1000.
    pub fn occupancy_permille(&self) -> Option<u64> {
        occupancy(&mut self.agents.iter())
    }

    /// The same over the members of one queue, whose time is not only that queue's.
    pub fn occupancy_of_permille(&self, queue: &str) -> Option<u64> {
        occupancy(&mut self.team(queue))
    }

    /// Calls answered per agent who was signed in, in 1/1000.
    pub fn calls_per_agent_permille(&self) -> Option<u64> {
        permille(self.agents.iter().map(|agent| agent.calls).sum(), self.agents.len() as u64)
    }

    /// Fairness: the Gini coefficient of the agents' occupancies, in 1/1000. 0: all equally busy; near 1000: one does
    /// all the work. Over agents who were signed in; `None` when nobody was or nobody did anything.
    ///
    /// With occupancies x sorted rising and i from 1: sum of (2i - n - 1) x / (n * sum of x).
    pub fn gini_permille(&self) -> Option<u64> {
        gini(&mut self.agents.iter())
    }

    /// The same over the members of one queue.
    pub fn gini_of_permille(&self, queue: &str) -> Option<u64> {
        gini(&mut self.team(queue))
    }

    /// Members of a queue who were signed in.
    fn team(&self, queue: &str) -> impl Iterator<Item = &AgentFigures> {
        let team = self.teams.iter().find(|(name, _)| name == queue).map_or(&[][..], |(_, team)| team);
        self.agents.iter().filter(|agent| team.binary_search(&agent.name).is_ok())
    }
}

fn occupancy(agents: &mut dyn Iterator<Item = &AgentFigures>) -> Option<u64> {
    let (busy, signed_in) = agents.fold((0, 0), |(busy, signed_in), agent| {
        (busy + agent.talk_ms + agent.wrap_up_ms, signed_in + agent.signed_in_ms)
    });
    permille(busy, signed_in)
}

fn gini(agents: &mut dyn Iterator<Item = &AgentFigures>) -> Option<u64> {
    let mut shares: Vec<u64> = agents.filter_map(AgentFigures::occupancy_permille).collect();
    shares.sort_unstable();
    let count = shares.len() as i64;
    let total: u64 = shares.iter().sum();
    let skew: i64 = shares.iter().zip(1..).map(|(share, rank)| (2 * rank - count - 1) * *share as i64).sum();
    permille(skew.max(0) as u64, count as u64 * total)
}

/// Rounded to the nearest.
fn permille(part: u64, whole: u64) -> Option<u64> {
    let scaled = u128::from(part) * 1000 + u128::from(whole) / 2;
    scaled.checked_div(u128::from(whole)).map(|share| share as u64)
}

#[cfg(test)]
mod tests {
    use super::Figures;

    #[test]
    fn short_abandons_were_never_there() {
        let figures = Figures {
            offered: 100,
            answered: 80,
            within: 57,
            abandoned: 15,
            abandoned_short: 5,
            refused: 5,
            wait_ms: 800_000,
            talk_ms: 8_000_000,
            ..Figures::default()
        };
        assert_eq!(figures.service_level_permille(), Some(600), "57 of 95");
        assert_eq!(figures.abandonment_permille(), Some(105), "10 of 95");
        assert_eq!(figures.asa_ms(), Some(10_000));
        assert_eq!(figures.average_talk_ms(), Some(100_000));
    }

    #[test]
    fn ratios_of_nothing_are_none() {
        let figures = Figures { offered: 3, abandoned: 3, abandoned_short: 3, ..Figures::default() };
        assert_eq!(figures.service_level_permille(), None);
        assert_eq!(figures.abandonment_permille(), None);
        assert_eq!(figures.asa_ms(), None);
    }
}
