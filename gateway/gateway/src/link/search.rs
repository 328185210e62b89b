//! Which node to ask next for the leader of a shard. Pure; decides no waiting time but names it.

/// Waits grow from this to `PAUSE_MS_MAX` with each round over all nodes that found no leader.
const PAUSE_MS: u64 = 20;
const PAUSE_MS_MAX: u64 = 250;
/// The first sign of life that a node must give, likewise growing by the round.
const PATIENCE_MS: u64 = 200;
const PATIENCE_MS_MAX: u64 = 1_000;
/// Hints followed in a row without a pause: two nodes that name each other must not spin us.
const HINTS_IN_A_ROW_MAX: u32 = 3;

/// Walks over the endpoints of one shard: hint first, then round robin.
#[derive(Debug, Default)]
pub(super) struct Search {
    endpoints: Vec<String>,
    position: usize,
    hint: Option<String>,
    /// Did not answer when it was last tried; a hint to it is not believed until another round has passed.
    dead: Option<String>,
    tried: u32,
    hints_in_a_row: u32,
}

impl Search {
    pub(super) fn set_endpoints(&mut self, endpoints: Vec<String>) {
        self.endpoints = endpoints;
    }

    /// Whom to ask now.
    pub(super) fn next(&mut self) -> Option<String> {
        if let Some(hint) = self.hint.take() {
            return Some(hint);
        }
        let endpoint = self.endpoints.get(self.position % self.endpoints.len().max(1)).cloned();
        self.position = self.position.wrapping_add(1);
        endpoint
    }

    /// It does not lead, and says who does (empty when it does not know).
    pub(super) fn not_leader(&mut self, hint: &str) {
        self.tried += 1;
        let believed = !hint.is_empty() && self.dead.as_deref() != Some(hint);
        if believed {
            self.hints_in_a_row += 1;
            self.hint = Some(hint.to_owned());
        } else {
            self.hints_in_a_row = 0;
        }
    }

    /// It did not answer, or went silent.
    pub(super) fn failed(&mut self, endpoint: &str) {
        self.tried += 1;
        self.hints_in_a_row = 0;
        self.dead = Some(endpoint.to_owned());
    }

    /// It leads.
    pub(super) fn found(&mut self) {
        self.tried = 0;
        self.hints_in_a_row = 0;
        self.dead = None;
    }

    /// How long to wait before `next`.
    pub(super) fn pause_ms(&mut self) -> u64 {
        if self.hint.is_some() && self.hints_in_a_row <= HINTS_IN_A_ROW_MAX {
            return 0;
        }
        let rounds = self.rounds();
        if rounds > 0 && (self.tried as usize).is_multiple_of(self.endpoints.len().max(1)) {
            self.dead = None;
        }
        if rounds == 0 && self.tried <= 1 { 0 } else { (PAUSE_MS << rounds.min(4)).min(PAUSE_MS_MAX) }
    }

    /// How long the next node may take to its first word.
    pub(super) fn patience_ms(&self) -> u64 {
        (PATIENCE_MS << self.rounds().min(4)).min(PATIENCE_MS_MAX)
    }

    fn rounds(&self) -> u32 {
        self.tried / u32::try_from(self.endpoints.len().max(1)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search() -> Search {
        let mut search = Search::default();
        search.set_endpoints(vec!["n1".into(), "n2".into(), "n3".into()]);
        search
    }

    #[test]
    fn a_hint_is_asked_before_the_round_goes_on() {
        let mut search = search();
        assert_eq!(search.next().as_deref(), Some("n1"));
        search.not_leader("n3");
        assert_eq!(search.pause_ms(), 0);
        assert_eq!(search.next().as_deref(), Some("n3"));
        search.not_leader("");
        assert_eq!(search.next().as_deref(), Some("n2"));
    }

    #[test]
    fn a_hint_to_a_node_that_just_failed_is_not_believed() {
        let mut search = search();
        assert_eq!(search.next().as_deref(), Some("n1"));
        search.failed("n1");
        assert_eq!(search.next().as_deref(), Some("n2"));
        search.not_leader("n1");
        assert_eq!(search.next().as_deref(), Some("n3"));
    }

    #[test]
    fn two_nodes_that_name_each_other_do_not_spin_us() {
        let mut search = search();
        let mut pauses = 0;
        for turn in 0..20 {
            let _ = search.next();
            search.not_leader(if turn % 2 == 0 { "n2" } else { "n1" });
            pauses += u32::from(search.pause_ms() > 0);
        }
        assert!(pauses >= 15, "{pauses}");
    }

    #[test]
    fn pauses_stay_short_for_ever() {
        let mut search = search();
        for _ in 0..100 {
            let _ = search.next();
            search.failed("n9");
            assert!(search.pause_ms() <= PAUSE_MS_MAX);
            assert!(search.patience_ms() <= PATIENCE_MS_MAX);
        }
    }
}
