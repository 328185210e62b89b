//! What the next step of a move is, from what the directory and the two shards say of it: pure, so the mover and the
//! simulator take the same steps. Nothing is done here, and nothing is kept that the next one who tries would need.

use std::collections::BTreeMap;

use proto::v1::{
    DropTenant, InstallTenant, MoveStep, MoveTenant, Rejection, SealTenant, TenancyReply, TenantPiece, TenantRow,
    TenantStanding, tenancy_request::Change,
};

use super::name_in_records;
use crate::{
    directory::decide,
    tenancy::{INSTALLED_FROM, STATE_BYTES_MAX},
};

/// One thing to be done about a move.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A shard is asked how the tenant stands there.
    Look(u32),
    /// A shard changes that.
    Change(u32, Change),
    /// From this byte on, its state goes from the shard where it lives to the one where it moves.
    Copy(u64),
    /// The directory decides.
    Decide(MoveStep),
    /// The directory decides that the move has failed, and why.
    Fail(&'static str),
    /// Nothing can be done now, and why: all of it is looked at again later.
    Wait(&'static str),
}

/// One go at a move, from the directory's row and what the shards have said since it began.
#[derive(Debug)]
pub struct Attempt {
    row: TenantRow,
    seen: BTreeMap<u32, TenancyReply>,
    last: Option<Step>,
}

impl Attempt {
    /// A go at the move of this row, which knows nothing else yet.
    #[must_use]
    pub const fn new(row: TenantRow) -> Self {
        Self { row, seen: BTreeMap::new(), last: None }
    }

    /// The move as it is known.
    #[must_use]
    pub const fn row(&self) -> &TenantRow {
        &self.row
    }

    /// Whether the tenant does not move any more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.row.moving_to == 0 && self.row.moving_from == 0
    }

    /// What is to be done next. `late`: the time is up in which it had to arrive.
    pub fn next(&mut self, late: bool) -> Step {
        let step = next(&self.row, &self.seen, late);
        if self.last.as_ref() == Some(&step) {
            return Step::Wait("what was asked for is not so yet");
        }
        self.last = Some(step.clone());
        step
    }

    /// How the tenant stands on a shard.
    pub fn told(&mut self, shard: u32, standing: TenancyReply) {
        self.seen.insert(shard, standing);
    }

    /// The directory has decided.
    ///
    /// # Errors
    /// It cannot have: the row is another one.
    pub fn decided(&mut self, step: MoveStep) -> Result<(), Rejection> {
        let step = self.entry(step);
        decide(&mut self.row, &step).map(drop)
    }

    /// What the directory is asked for.
    #[must_use]
    pub fn entry(&self, step: MoveStep) -> MoveTenant {
        MoveTenant { tenant: self.row.number, r#move: self.row.r#move, step: step.into(), ..MoveTenant::default() }
    }

    /// The change that brings a piece of the state to where it moves; none when the state is larger than can be moved.
    #[must_use]
    pub fn piece(&self, piece: TenantPiece) -> Option<Change> {
        let TenantPiece { bytes_total, offset, data, crc, .. } = piece;
        let (moved, name) = (self.row.r#move, name_in_records(&self.row));
        let install = InstallTenant { r#move: moved, offset, bytes_total, data, crc, name };
        (bytes_total <= STATE_BYTES_MAX).then_some(Change::Install(install))
    }
}

fn next(row: &TenantRow, seen: &BTreeMap<u32, TenancyReply>, late: bool) -> Step {
    if row.failing {
        undo(row, seen)
    } else if row.moving_from != 0 {
        finish(row, seen)
    } else if row.moving_to != 0 {
        bring(row, seen, late)
    } else {
        Step::Wait("it does not move")
    }
}

/// Sealed, copied, decided.
fn bring(row: &TenantRow, seen: &BTreeMap<u32, TenancyReply>, late: bool) -> Step {
    let (from, to, moved) = (row.shard, row.moving_to, row.r#move);
    let there = seen.get(&to);
    if late && there.is_none_or(|there| !stands(there, TenantStanding::Arrived, moved)) {
        return Step::Fail("it did not arrive in time");
    }
    // Nothing is sealed for a shard that nobody leads.
    let Some(there) = there else { return Step::Look(to) };
    let Some(here) = seen.get(&from) else { return Step::Look(from) };
    match here.standing() {
        TenantStanding::Sealed if here.r#move == moved => {}
        TenantStanding::Lives => return Step::Change(from, Change::Seal(SealTenant { r#move: moved })),
        TenantStanding::Unspecified if row.number >= INSTALLED_FROM => return Step::Change(from, begins(row)),
        _ => return Step::Wait("where it lives it cannot be sealed"),
    }
    match there.standing() {
        TenantStanding::Arrived if there.r#move == moved => Step::Decide(MoveStep::Arrived),
        TenantStanding::Arriving if there.r#move == moved => Step::Copy(there.arrived),
        TenantStanding::Gone if there.r#move == moved => Step::Fail("what came there cannot be read"),
        TenantStanding::Lives | TenantStanding::Sealed => Step::Wait("it lives where it goes"),
        _ if there.r#move > moved => Step::Wait("another move is known where it goes"),
        _ => Step::Copy(0),
    }
}

/// It has arrived: it lives there, and nowhere else.
fn finish(row: &TenantRow, seen: &BTreeMap<u32, TenancyReply>) -> Step {
    let Some(here) = seen.get(&row.shard) else { return Step::Look(row.shard) };
    match here.standing() {
        TenantStanding::Lives => dropped(row, seen, row.moving_from),
        TenantStanding::Arrived => {
            let total = here.arrived;
            let last = InstallTenant { offset: total, bytes_total: total, r#move: row.r#move, ..empty(row) };
            Step::Change(row.shard, Change::Install(last))
        }
        _ => Step::Wait("it is not whole where it has arrived"),
    }
}

/// It has failed: it lives where it was, and what has come of it is dropped.
fn undo(row: &TenantRow, seen: &BTreeMap<u32, TenancyReply>) -> Step {
    let lives = |here: &TenancyReply| here.standing() == TenantStanding::Lives && here.r#move >= row.r#move;
    if seen.get(&row.shard).is_some_and(lives) {
        return dropped(row, seen, row.moving_to);
    }
    // Asked for even when it was never sealed: a seal that is late must find that this move is over.
    Step::Change(row.shard, Change::Drop(DropTenant { r#move: row.r#move, undo: true }))
}

/// Nothing is left on this shard, and that was all.
fn dropped(row: &TenantRow, seen: &BTreeMap<u32, TenancyReply>, shard: u32) -> Step {
    let gone = |there: &TenancyReply| there.standing() == TenantStanding::Gone && there.r#move >= row.r#move;
    if seen.get(&shard).is_some_and(gone) {
        return Step::Decide(MoveStep::Done);
    }
    Step::Change(shard, Change::Drop(DropTenant { r#move: row.r#move, undo: false }))
}

fn stands(reply: &TenancyReply, standing: TenantStanding, moved: u64) -> bool {
    reply.standing() == standing && reply.r#move == moved
}

/// A tenant begins.
pub(crate) fn begins(row: &TenantRow) -> Change {
    Change::Install(empty(row))
}

fn empty(row: &TenantRow) -> InstallTenant {
    InstallTenant { name: name_in_records(row), ..InstallTenant::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: u32 = 1;
    const THERE: u32 = 2;

    fn moving() -> TenantRow {
        TenantRow { number: 1, shard: HERE, moving_to: THERE, r#move: 4, ..TenantRow::default() }
    }

    fn says(standing: TenantStanding, moved: u64, arrived: u64) -> TenancyReply {
        TenancyReply { standing: standing.into(), r#move: moved, arrived }
    }

    fn drop_of(undo: bool) -> Change {
        Change::Drop(DropTenant { r#move: 4, undo })
    }

    #[test]
    fn a_move_goes_from_look_to_done() {
        let mut go = Attempt::new(moving());
        assert_eq!(go.next(false), Step::Look(THERE));
        go.told(THERE, says(TenantStanding::Unspecified, 0, 0));
        assert_eq!(go.next(false), Step::Look(HERE));
        go.told(HERE, says(TenantStanding::Lives, 3, 0));
        assert_eq!(go.next(false), Step::Change(HERE, Change::Seal(SealTenant { r#move: 4 })));
        go.told(HERE, says(TenantStanding::Sealed, 4, 0));
        assert_eq!(go.next(false), Step::Copy(0));
        go.told(THERE, says(TenantStanding::Arriving, 4, 70));
        assert_eq!(go.next(false), Step::Copy(70));
        go.told(THERE, says(TenantStanding::Arrived, 4, 90));
        assert_eq!(go.next(true), Step::Decide(MoveStep::Arrived), "late, and it has come nevertheless");
        go.decided(MoveStep::Arrived).expect("decided");
        let Step::Change(THERE, Change::Install(last)) = go.next(true) else { panic!("the last piece") };
        assert_eq!((last.offset, last.bytes_total, last.data.len(), last.r#move), (90, 90, 0, 4));
        go.told(THERE, says(TenantStanding::Lives, 4, 0));
        assert_eq!(go.next(false), Step::Change(HERE, drop_of(false)));
        go.told(HERE, says(TenantStanding::Gone, 4, 0));
        assert_eq!(go.next(false), Step::Decide(MoveStep::Done));
        go.decided(MoveStep::Done).expect("decided");
        assert!(go.is_over());
    }

    #[test]
    fn a_move_that_is_late_is_undone_even_where_nothing_was_sealed() {
        let mut go = Attempt::new(moving());
        assert!(matches!(go.next(true), Step::Fail(_)));
        go.decided(MoveStep::Failed).expect("decided");
        assert_eq!(go.next(false), Step::Change(HERE, drop_of(true)));
        go.told(HERE, says(TenantStanding::Lives, 4, 0));
        assert_eq!(go.next(false), Step::Change(THERE, drop_of(false)));
        go.told(THERE, says(TenantStanding::Gone, 4, 0));
        assert_eq!(go.next(false), Step::Decide(MoveStep::Done));
    }

    #[test]
    fn what_is_not_so_yet_is_not_asked_for_twice_in_one_go() {
        let mut go = Attempt::new(moving());
        go.told(THERE, says(TenantStanding::Unspecified, 0, 0));
        go.told(HERE, says(TenantStanding::Lives, 3, 0));
        assert!(matches!(go.next(false), Step::Change(HERE, Change::Seal(_))));
        go.told(HERE, says(TenantStanding::Lives, 3, 0));
        assert!(matches!(go.next(false), Step::Wait(_)));
    }

    #[test]
    fn what_another_move_left_is_nothing_of_this_one() {
        let sealed = says(TenantStanding::Sealed, 4, 0);
        let step = |there| {
            let mut go = Attempt::new(moving());
            go.told(THERE, there);
            go.told(HERE, sealed);
            go.next(false)
        };
        assert_eq!(step(says(TenantStanding::Gone, 3, 0)), Step::Copy(0));
        assert_eq!(step(says(TenantStanding::Arrived, 3, 90)), Step::Copy(0));
        assert!(matches!(step(says(TenantStanding::Gone, 4, 0)), Step::Fail(_)));
        for standing in [TenantStanding::Arriving, TenantStanding::Gone] {
            assert!(matches!(step(says(standing, 5, 0)), Step::Wait(_)));
        }
        assert!(matches!(step(says(TenantStanding::Lives, 1, 0)), Step::Wait(_)));
    }
}
