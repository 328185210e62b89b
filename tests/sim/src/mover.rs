//! One life of the tenant's mover: asks shards through the world's network, node after node, as the real one does. What
//! comes next is decided by the real steps (`node::moves`); here is only who is asked when. It keeps nothing that its
//! successor would need.

use node::moves::steps::{Attempt, Step};
use proto::v1::{
    DropTenant, FetchTenantRequest, MoveStep, MoveTenant, TenancyReply, TenancyRequest, TenantPiece, TenantRow,
    tenancy_request::Change,
};

use crate::{
    mutant::Mutant,
    scenario::{MILLI, SECOND, Us},
};

/// How long one question or change may take, all tries together; as the real one has it.
const WAIT_US: Us = 3 * SECOND;
/// How long one node may take.
const TRY_US: Us = 700 * MILLI;
/// Before another node is tried.
const PAUSE_US: Us = 40 * MILLI;
/// A mutant's: in less than that a move is hardly ever done.
const PATIENCE_US: Us = 100 * MILLI;
/// Between two goes.
const AGAIN_US: Us = 100 * MILLI;

/// What a node is asked.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Tenancy(TenancyRequest),
    /// One piece of a sealed state.
    Fetch(FetchTenantRequest),
}

impl Ask {
    pub(crate) const fn shard(&self) -> u32 {
        match self {
            Self::Tenancy(request) => request.shard,
            Self::Fetch(request) => request.shard,
        }
    }
}

/// What a node answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Standing(TenancyReply),
    /// Nothing when the tenant is not sealed there by this move, or nothing is left to be fetched.
    Piece(Option<Box<TenantPiece>>),
    /// Who leads, if it is known.
    NotLeader(Option<usize>),
}

/// What the mover wants from the world. The number comes back with the answer.
#[derive(Debug, Clone)]
pub(crate) enum Want {
    Ask { number: u64, to: usize, ask: Ask },
    Propose { number: u64, step: MoveTenant },
}

#[derive(Debug)]
enum Open {
    Asked { ask: Ask, to: usize, again_us: Us, until_us: Us },
    Proposed { step: MoveStep, until_us: Us },
}

/// One life.
#[derive(Debug)]
pub(crate) struct Mover {
    /// The node it runs on, and that node's life.
    pub(crate) at: usize,
    pub(crate) node_life: u64,
    nodes: usize,
    begun_us: Us,
    late_us: Us,
    attempt: Option<Attempt>,
    open: Option<Open>,
    number: u64,
    next_us: Us,
    mutant: Option<Mutant>,
}

impl Mover {
    /// `late_us`: when it is too late to arrive.
    pub(crate) const fn new(
        at: usize,
        node_life: u64,
        nodes: usize,
        now_us: Us,
        late_us: Us,
        mutant: Option<Mutant>,
    ) -> Self {
        let (begun_us, next_us) = (now_us, now_us);
        Self { at, node_life, nodes, begun_us, late_us, attempt: None, open: None, number: 0, next_us, mutant }
    }

    /// When it wants to go on although nothing was heard.
    pub(crate) const fn next_us(&self) -> Us {
        match self.open {
            Some(Open::Asked { again_us, .. }) => again_us,
            Some(Open::Proposed { until_us, .. }) => until_us,
            None => self.next_us,
        }
    }

    /// Whether it looks at the directory next.
    pub(crate) const fn begins(&self) -> bool {
        self.attempt.is_none()
    }

    /// Goes on; `row` is the directory's as this node has it.
    pub(crate) fn act(&mut self, now_us: Us, row: &TenantRow) -> Option<Want> {
        if now_us < self.next_us() {
            return None;
        }
        match &mut self.open {
            Some(Open::Asked { ask, to, again_us, until_us }) if now_us < *until_us => {
                *to = (*to + 1) % self.nodes;
                *again_us = (now_us + TRY_US).min(*until_us);
                self.number += 1;
                return Some(Want::Ask { number: self.number, to: *to, ask: ask.clone() });
            }
            Some(_) => {
                self.begin_again(now_us);
                return None;
            }
            None => {}
        }
        let mutant = self.mutant;
        let late = now_us > self.late_us;
        let attempt = self.attempt.get_or_insert_with(|| Attempt::new(row.clone()));
        if attempt.is_over() {
            self.begin_again(now_us);
            return None;
        }
        let (tenant, from, moved) = (attempt.row().number, attempt.row().shard, attempt.row().r#move);
        let mut step = attempt.next(late);
        if mutant == Some(Mutant::EarlyDrop) && matches!(step, Step::Copy(_)) {
            step = Step::Change(from, Change::Drop(DropTenant { r#move: moved, undo: false }));
        }
        let impatient = now_us > self.begun_us + PATIENCE_US;
        if mutant == Some(Mutant::DoubleLife) && impatient && attempt.row().moving_from != 0 {
            step = Step::Fail("late");
        }
        match step {
            Step::Look(shard) => self.ask(now_us, Ask::Tenancy(TenancyRequest { shard, tenant, change: None })),
            Step::Change(shard, change) => {
                self.ask(now_us, Ask::Tenancy(TenancyRequest { shard, tenant, change: Some(change) }))
            }
            Step::Copy(offset) => {
                let fetch = FetchTenantRequest { shard: from, tenant, r#move: moved, offset, living: false };
                self.ask(now_us, Ask::Fetch(fetch))
            }
            Step::Decide(step) => self.propose(now_us, step),
            Step::Fail(_) => self.propose(now_us, MoveStep::Failed),
            Step::Wait(_) => {
                self.begin_again(now_us);
                None
            }
        }
    }

    fn ask(&mut self, now_us: Us, ask: Ask) -> Option<Want> {
        self.number += 1;
        // This node first, then whoever is said to lead, then everybody in turn.
        let to = self.at;
        self.open = Some(Open::Asked { ask: ask.clone(), to, again_us: now_us + TRY_US, until_us: now_us + WAIT_US });
        Some(Want::Ask { number: self.number, to, ask })
    }

    fn propose(&mut self, now_us: Us, step: MoveStep) -> Option<Want> {
        let entry = self.attempt.as_ref()?.entry(step);
        self.number += 1;
        self.open = Some(Open::Proposed { step, until_us: now_us + TRY_US });
        Some(Want::Propose { number: self.number, step: entry })
    }

    fn begin_again(&mut self, now_us: Us) {
        (self.attempt, self.open, self.next_us) = (None, None, now_us + AGAIN_US);
    }

    /// A node has answered; what belongs to an earlier question is of no use.
    pub(crate) fn answered(&mut self, now_us: Us, number: u64, answer: Answer) -> Option<Want> {
        let (Some(attempt), Some(Open::Asked { ask, to, again_us, .. })) = (&mut self.attempt, &mut self.open) else {
            return None;
        };
        if number != self.number {
            return None;
        }
        match answer {
            Answer::NotLeader(hint) => {
                // The next try is at the one after `to`.
                *to = hint.map_or(*to, |hint| hint + self.nodes - 1);
                *again_us = now_us + PAUSE_US;
                None
            }
            Answer::Standing(standing) => {
                attempt.told(ask.shard(), standing);
                (self.open, self.next_us) = (None, now_us);
                None
            }
            Answer::Piece(None) => {
                self.begin_again(now_us);
                None
            }
            Answer::Piece(Some(piece)) => {
                let (shard, tenant) = (attempt.row().moving_to, attempt.row().number);
                match attempt.piece(*piece) {
                    Some(change) => {
                        self.ask(now_us, Ask::Tenancy(TenancyRequest { shard, tenant, change: Some(change) }))
                    }
                    None => self.propose(now_us, MoveStep::Failed),
                }
            }
        }
    }

    /// The directory has decided, or refused.
    pub(crate) fn decided(&mut self, now_us: Us, number: u64, taken: bool) {
        let (Some(attempt), Some(Open::Proposed { step, .. })) = (&mut self.attempt, &self.open) else { return };
        if number != self.number {
            return;
        }
        if taken && attempt.decided(*step).is_ok() {
            (self.open, self.next_us) = (None, now_us);
        } else {
            self.begin_again(now_us);
        }
    }
}
