//! What must hold of a seeded world as a whole: nobody leads in an old term for long, and once nothing goes wrong any more all
//! agree. What must hold of each step is the oracle's.

use cluster::Role;

use super::{Node, World};

/// How long a leader may go on after another one leads: two elections' time and what the slowest clock adds;
const STALE_MS: u64 = 800;
/// and two looks more when it sleeps.
const STALE_ASLEEP_MS: u64 = 2_000;
/// Within so long all agree, when nothing goes wrong.
const SETTLED_MS: u64 = 20_000;

impl World {
    /// Whoever runs and leads no more knows it soon, whoever may be cut off from whom: gateways rely on it.
    pub(super) fn nobody_is_stale_for_long(&mut self) {
        let leads = |node: &Node| {
            let status = node.status()?;
            (status.role == Role::Leader).then_some((status.term, status.established))
        };
        let latest = self.nodes.iter().filter_map(leads).filter(|(_, established)| *established).map(|(term, _)| term);
        let latest = latest.max().unwrap_or(0);
        let limit = if self.may_sleep { STALE_ASLEEP_MS } else { STALE_MS };
        for node in &mut self.nodes {
            let stale = leads(node).is_some_and(|(term, _)| term < latest) && node.runs(self.now);
            node.stale_since = if stale { node.stale_since.or(Some(self.now)) } else { None };
            let since = self.now - node.stale_since.unwrap_or(self.now);
            assert!(since <= limit, "seed {}: n{} has led in an old term for {since} ms", self.seed, node.number);
        }
    }

    /// Everybody up, every wire whole: a leader is found and all have the same state within some seconds.
    pub(crate) fn settle(&mut self) {
        self.heal();
        self.wires.loss_percent = 0;
        for at in 0..self.size() {
            self.nodes[at].paused_until = 0;
            if !self.is_up(at) {
                self.start(at);
            }
        }
        let goal = self.next_id;
        for round in 0..SETTLED_MS {
            self.step();
            if let Some(leader) = self.leader() {
                let is_done = self.oracle.last_acknowledged() > goal && self.oracle.reads_since(goal);
                if !is_done && round % 50 == 0 {
                    self.propose(leader);
                    self.read(leader);
                }
                if is_done && self.agree() {
                    let (members, _) = self.members().expect("a leader");
                    self.oracle.finish(members.iter().filter_map(|at| self.nodes[*at].machine()));
                    (0..self.size()).for_each(|at| self.count_silences(at));
                    let seed = self.seed;
                    self.clients.check().unwrap_or_else(|what| panic!("seed {seed}: {what}"));
                    return;
                }
            }
        }
        let status: Vec<_> = self.nodes.iter().map(Node::status).collect();
        panic!("seed {}: no agreement after {SETTLED_MS} ms: {status:#?}", self.seed);
    }

    /// All members have the same state, and no change of them is under way.
    fn agree(&self) -> bool {
        let Some((members, is_joint)) = self.members() else { return false };
        let mut states = members.into_iter().map(|at| {
            let status = self.nodes[at].status().expect("all are up");
            (status.applied, self.nodes[at].machine().map(|machine| machine.hash), status.seeded)
        });
        let first = states.next();
        !is_joint && first.is_some_and(|first| first.2 && states.all(|state| state == first))
    }
}
