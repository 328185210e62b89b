//! What nodes do for movers, as the real service does it: a change is proposed and waited for, a question is answered after a
//! read index. Who moves what where is not decided here.

use node::moves::words;
use proto::v1::{FetchTenantRequest, TenancyReply, TenancyRequest, TenantPiece, TenantStanding};

use super::{Event, World, moves::MoverKey};
use crate::{
    link::{TENANT, node_of},
    mover::{Answer, Ask},
    mutant::Mutant,
    scenario::{MILLI, Us},
};

/// How long a change may take to be applied before it is said how the tenant stands.
const APPLY_US: Us = 500 * MILLI;
/// Bytes of a piece: few, so that a small state has several.
const PIECE_BYTES: usize = 2 << 10;
/// Questions of movers have numbers from here on.
const ASKED_FROM: u64 = 1 << 32;

/// A mover waits for a node.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    life: MoverKey,
    number: u64,
    ask: Ask,
}

/// Who waits for one node.
#[derive(Debug, Default)]
pub(super) struct Tenancies {
    next: u64,
    /// For a change to be applied.
    changes: Vec<(u64, Waiting)>,
    /// For a read index, by its token.
    reads: Vec<(u64, Waiting)>,
    /// What a mutant copies: the tenant as it was when it was first looked at.
    early: Option<Vec<u8>>,
}

impl World {
    /// A mover's question has come to a node.
    pub(super) fn mover_asks(&mut self, from: usize, to: usize, life: MoverKey, number: u64, ask: Ask) {
        if from != to && self.lost_in_cut(from, to) {
            return;
        }
        if self.nodes[to].core.is_none() {
            // Refused: nobody listens there.
            return self.tell_mover(to, life, number, &Answer::NotLeader(None));
        }
        if self.nodes[to].paused_until_us.is_some() {
            self.reaches(to, || Event::MoverAsks { from, to, life, number, ask });
            return;
        }
        let waiting = Waiting { life, number, ask };
        let Ask::Tenancy(TenancyRequest { shard, tenant, change: Some(change) }) = &waiting.ask else {
            return self.read_for(to, waiting);
        };
        let Some(core) = self.nodes[to].core(self.now_us) else { return };
        match core.propose_tenancy(*shard, words::entry(*tenant, change.clone())) {
            Ok(()) => {
                let tenancies = &mut self.tenancies[to];
                tenancies.next += 1;
                tenancies.changes.push((tenancies.next, waiting));
                let (change, node_life) = (tenancies.next, self.nodes[to].life);
                self.schedule(APPLY_US, Event::Applied { node: to, life: node_life, change });
            }
            Err(leader) => self.tell_mover(to, life, number, &Answer::NotLeader(node_of(&leader.leader))),
        }
        self.drain(to);
    }

    /// An entry about where a tenant lives was applied: whoever waits for one is told how it stands.
    pub(super) fn tenancy_applied(&mut self, at: usize, shard: u32) {
        let life = self.nodes[at].life;
        let theirs = self.tenancies[at].changes.iter().filter(|(_, waiting)| waiting.ask.shard() == shard);
        for change in theirs.map(|(change, _)| *change).collect::<Vec<_>>() {
            self.schedule(0, Event::Applied { node: at, life, change });
        }
    }

    /// A change was applied, or that took too long.
    pub(super) fn applied(&mut self, at: usize, life: u64, change: u64) {
        if self.nodes[at].life != life || !self.reaches(at, || Event::Applied { node: at, life, change }) {
            return;
        }
        let place = self.tenancies[at].changes.iter().position(|(known, _)| *known == change);
        if let Some(place) = place {
            let (_, waiting) = self.tenancies[at].changes.remove(place);
            self.read_for(at, waiting);
        }
    }

    fn read_for(&mut self, at: usize, waiting: Waiting) {
        let shard = waiting.ask.shard();
        let tenancies = &mut self.tenancies[at];
        tenancies.next += 1;
        let token = ASKED_FROM + tenancies.next;
        tenancies.reads.push((token, waiting));
        self.ask(at, shard, token);
    }

    /// A read index is there, or not to be had; false when no mover has asked for it.
    pub(super) fn read_for_mover(&mut self, at: usize, token: u64, ready: bool) {
        let Some(place) = self.tenancies[at].reads.iter().position(|(known, _)| *known == token) else { return };
        let (_, Waiting { life, number, ask }) = self.tenancies[at].reads.remove(place);
        let Some(core) = self.nodes[at].core.as_ref() else { return };
        let answer = if !ready {
            Answer::NotLeader(node_of(&core.leader_of(ask.shard()).leader))
        } else {
            match &ask {
                Ask::Tenancy(request) => Answer::Standing(self.standing(at, request.shard)),
                Ask::Fetch(fetch) => Answer::Piece(self.piece(at, fetch).map(Box::new)),
            }
        };
        self.tell_mover(at, life, number, &answer);
    }

    fn standing(&mut self, at: usize, shard: u32) -> TenancyReply {
        let Some(tenants) = self.nodes[at].core.as_ref().and_then(|core| core.tenants(shard)) else {
            return TenancyReply::default();
        };
        let reply = words::reply(tenants.standing(TENANT));
        if self.mutant == Some(Mutant::EarlyCopy)
            && let Some(living) = tenants.living(TENANT)
        {
            self.tenancies[at].early = Some(living.save());
        }
        let row = self.moves.row();
        let goes =
            row.moving_to != 0 && !row.failing && shard == row.shard && reply.standing() == TenantStanding::Lives;
        if self.mutant == Some(Mutant::LeakySeal) && goes {
            return TenancyReply { standing: TenantStanding::Sealed.into(), r#move: row.r#move, arrived: 0 };
        }
        reply
    }

    fn piece(&self, at: usize, fetch: &FetchTenantRequest) -> Option<TenantPiece> {
        let tenants = self.nodes[at].core.as_ref()?.tenants(fetch.shard)?;
        let sealed = tenants.sealed(TENANT).filter(|_| tenants.standing(TENANT).1 == fetch.r#move);
        let bytes = match self.mutant {
            Some(Mutant::LeakySeal) => tenants.living(TENANT)?.save(),
            Some(Mutant::EarlyCopy) => self.tenancies[at].early.clone().or(Some(sealed?.save()))?,
            _ => sealed?.save(),
        };
        words::pieces(bytes, 0, fetch.offset, PIECE_BYTES).next()
    }

    /// The node is dead: nobody is answered.
    pub(super) fn forget_movers(&mut self, at: usize) {
        self.tenancies[at] = Tenancies { next: self.tenancies[at].next, ..Tenancies::default() };
    }
}
