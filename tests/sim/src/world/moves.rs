//! Moves of the tenant: the directory that decides once and remembers, movers that come, die and are succeeded, and what
//! is on its way between them and the nodes. The steps are the real ones, through the real cores. What stands for
//! shard 0 is one row that nothing is lost of; who leads it is whoever moves now.

use std::collections::BTreeMap;

use fastrand::Rng;
use node::directory;
use proto::v1::{MoveStep, MoveTenant, TenantRow, tenancy_request::Change};

use super::{Event, World};
use crate::{
    link::TENANT,
    machine::SHARDS,
    mover::{Answer, Ask, Mover, Want},
    mutant::Mutant,
    scenario::{MILLI, SECOND, Us},
};

/// As long as the real mover waits for a tenant to arrive.
pub(super) const ARRIVAL_US: Us = 15 * SECOND;
/// What was sent twice comes so late at most.
const LATE_US: Us = 3 * SECOND;
/// Movers that die during one move.
const DEATHS_MAX: u32 = 3;
/// A node that was cut off is told so much later where the tenant lives.
const TOLD_US: Us = 500 * MILLI;

/// A mover's life, by its number.
pub(super) type MoverKey = u64;

/// The directory, and who moves.
#[derive(Debug)]
pub(super) struct Moves {
    row: TenantRow,
    movers: BTreeMap<MoverKey, Mover>,
    /// Whose word the directory takes: the others were deposed and may not know it yet.
    present: Option<MoverKey>,
    lives: u64,
    /// The fault that asked for the move that is under way, and its dice.
    fault: Option<(usize, Rng)>,
    /// The time in which it has to arrive.
    arrival_us: Us,
    deaths: u32,
    /// Moves that arrived, and that were undone.
    pub(super) arrived: u64,
    pub(super) undone: u64,
}

impl Moves {
    pub(super) fn new() -> Self {
        Self {
            row: TenantRow {
                number: TENANT,
                name: node::tenancy::MAIN_NAME.into(),
                shard: TENANT,
                ..TenantRow::default()
            },
            movers: BTreeMap::new(),
            present: None,
            lives: 0,
            fault: None,
            arrival_us: 0,
            deaths: 0,
            arrived: 0,
            undone: 0,
        }
    }

    pub(super) const fn row(&self) -> &TenantRow {
        &self.row
    }

    pub(super) const fn is_moving(&self) -> bool {
        self.row.moving_to != 0 || self.row.moving_from != 0
    }

    /// Movers that ever were.
    pub(super) const fn lives(&self) -> u64 {
        self.lives
    }

    fn decide(&mut self, step: &MoveTenant, mutant: Option<Mutant>) -> bool {
        let row = &mut self.row;
        let failed = step.step() == MoveStep::Failed && step.r#move == row.r#move;
        if mutant == Some(Mutant::DoubleLife) && failed && row.moving_from != 0 {
            (row.moving_to, row.shard, row.moving_from) = (row.shard, row.moving_from, 0);
        }
        let before = (self.row.failing, self.is_moving());
        let taken = directory::decide(&mut self.row, step).is_ok();
        if before.1 && !self.is_moving() {
            self.undone += u64::from(before.0);
            self.arrived += u64::from(!before.0);
        }
        taken
    }
}

impl World {
    /// The tenant is to move; false while it does already.
    pub(super) fn begin_move(&mut self, number: usize, drawn: u64) -> bool {
        if self.moves.is_moving() {
            return false;
        }
        let mut dice = Rng::with_seed(drawn);
        // Some are to arrive in less time than a move takes.
        self.moves.arrival_us = if dice.u8(0..3) == 0 { dice.u64(20 * MILLI..600 * MILLI) } else { ARRIVAL_US };
        // Whoever moved before has nothing to do with it.
        (self.moves.fault, self.moves.present, self.moves.deaths) = (Some((number, dice)), None, 0);
        let to = SHARDS.into_iter().find(|shard| *shard != self.moves.row.shard).unwrap_or(TENANT);
        let begin = MoveTenant { tenant: TENANT, step: MoveStep::Begin.into(), to, ..MoveTenant::default() };
        self.moves.decide(&begin, self.mutant);
        self.look_for_a_mover();
        true
    }

    /// Whoever leads the directory moves. When that cannot be who moves now, a successor begins.
    pub(super) fn look_for_a_mover(&mut self) {
        if !self.moves.is_moving() {
            return;
        }
        let able = |world: &Self, at: usize| world.nodes[at].runs() && !world.watch.is_alone(at);
        let lives =
            |world: &Self, mover: &Mover| able(world, mover.at) && world.nodes[mover.at].life == mover.node_life;
        if self.moves.present.and_then(|key| self.moves.movers.get(&key)).is_some_and(|mover| lives(self, mover)) {
            return;
        }
        let able: Vec<usize> = (0..self.nodes.len()).filter(|at| able(self, *at)).collect();
        // Without a majority nobody leads.
        if able.len() * 2 <= self.nodes.len() {
            return;
        }
        self.moves.lives += 1;
        let (life, at) = (self.moves.lives, able[self.dice.usize(0..able.len())]);
        let (node_life, late_us) = (self.nodes[at].life, self.now_us + self.moves.arrival_us);
        let mover = Mover::new(at, node_life, self.nodes.len(), self.now_us, late_us, self.mutant);
        self.moves.movers.insert(life, mover);
        self.moves.present = Some(life);
        self.say(|| format!("mover {life} begins on n{}", at + 1));
        self.schedule(1, Event::Mover { life });
    }

    /// A mover goes on, or not any more.
    pub(super) fn mover_acts(&mut self, life: MoverKey) {
        let Some(mover) = self.moves.movers.get(&life) else { return };
        let (at, node_life, next_us) = (mover.at, mover.node_life, mover.next_us());
        let deposed = self.moves.present != Some(life);
        // One that was deposed learns it when it looks at the directory.
        if self.nodes[at].life != node_life || (deposed && mover.begins()) || !self.moves.is_moving() {
            self.moves.movers.remove(&life);
            return;
        }
        if !self.reaches(at, || Event::Mover { life }) {
            return;
        }
        if next_us > self.now_us || self.mover_dies(life) {
            return;
        }
        let Some(mover) = self.moves.movers.get_mut(&life) else { return };
        let want = mover.act(self.now_us, &self.moves.row);
        self.mover_wants(life, want);
    }

    /// In the middle of it: as a process, or as the leader of the directory, which goes on until it notices.
    fn mover_dies(&mut self, life: MoverKey) -> bool {
        let present = self.moves.present == Some(life) && self.moves.deaths < DEATHS_MAX;
        let Some((_, dice)) = self.moves.fault.as_mut().filter(|_| present) else { return false };
        let (dies, notices) = (dice.u8(0..15) == 0, dice.bool());
        if !dies {
            return false;
        }
        self.moves.deaths += 1;
        self.moves.present = None;
        self.say(|| format!("-- mover {life} is deposed{}", if notices { "" } else { " and does not know it" }));
        if notices {
            self.moves.movers.remove(&life);
        }
        notices
    }

    fn mover_wants(&mut self, life: MoverKey, want: Option<Want>) {
        let Some(mover) = self.moves.movers.get(&life) else { return };
        let at = mover.at;
        self.schedule_at(mover.next_us().max(self.now_us + 1), Event::Mover { life });
        match want {
            Some(Want::Ask { number, to, ask }) => {
                self.say(|| format!("mover {life} asks n{}: {}", to + 1, in_words(&ask)));
                for delay_us in self.mail() {
                    self.schedule(delay_us, Event::MoverAsks { from: at, to, life, number, ask: ask.clone() });
                }
            }
            // What a leader of the directory that was deposed proposes is never decided, what it proposed before may be.
            Some(Want::Propose { number, step }) if self.moves.present == Some(life) && !self.watch.is_alone(at) => {
                for delay_us in self.mail() {
                    self.schedule(delay_us, Event::Decides { life, number, step: step.clone() });
                }
            }
            Some(Want::Propose { .. }) | None => {}
        }
    }

    /// When each copy of a message of a mover arrives: most once and soon, some never, some again and late.
    fn mail(&mut self) -> Vec<Us> {
        let mut copies = self.network.copies();
        if copies.len() != 1 {
            self.faults.noise_happened();
        }
        match self.dice.u8(0..40) {
            0 | 1 => copies.clear(),
            2..=5 => copies.push(self.dice.u64(5 * MILLI..LATE_US)),
            6 => copies.iter_mut().for_each(|delay_us| *delay_us += LATE_US / 2),
            _ => {}
        }
        copies
    }

    /// The directory decides, whoever is left to hear it.
    pub(super) fn decides(&mut self, life: MoverKey, number: u64, step: &MoveTenant) {
        let home = self.moves.row.shard;
        let taken = self.moves.decide(step, self.mutant);
        self.say(|| format!("the directory {} {:?}", if taken { "decides" } else { "refuses" }, step.step()));
        if self.moves.row.shard != home {
            for node in 0..self.nodes.len() {
                let delay_us = self.network.delay() + self.dice.u64(0..100 * MILLI);
                self.schedule(delay_us, Event::Homes { node });
            }
        }
        if !self.moves.is_moving()
            && let Some((fault, _)) = self.moves.fault.take()
        {
            self.faults.over(fault);
        }
        let delay_us = self.network.delay();
        self.schedule(delay_us, Event::Decided { life, number, taken });
    }

    pub(super) fn decided(&mut self, life: MoverKey, number: u64, taken: bool) {
        let Some(at) = self.moves.movers.get(&life).map(|mover| mover.at) else { return };
        if !self.reaches(at, || Event::Decided { life, number, taken }) {
            return;
        }
        if let Some(mover) = self.moves.movers.get_mut(&life) {
            mover.decided(self.now_us, number, taken);
            self.mover_wants(life, None);
        }
    }

    /// A node's replica of the directory hears where the tenant lives.
    pub(super) fn told_home(&mut self, at: usize) {
        if self.nodes[at].runs() && !self.watch.is_alone(at) {
            self.nodes[at].set_home(self.moves.row.shard);
        } else {
            self.schedule(TOLD_US, Event::Homes { node: at });
        }
    }

    pub(super) fn mover_hears(&mut self, from: usize, life: MoverKey, number: u64, answer: Answer) {
        let Some(at) = self.moves.movers.get(&life).map(|mover| mover.at) else { return };
        if (from != at && self.lost_in_cut(from, at)) || self.nodes[at].core.is_none() {
            return;
        }
        if self.nodes[at].paused_until_us.is_some() {
            self.reaches(at, || Event::MoverHears { from, life, number, answer });
            return;
        }
        if let Some(mover) = self.moves.movers.get_mut(&life) {
            let want = mover.answered(self.now_us, number, answer);
            self.mover_wants(life, want);
        }
    }

    /// A node's answer is on its way.
    pub(super) fn tell_mover(&mut self, from: usize, life: MoverKey, number: u64, answer: &Answer) {
        for delay_us in self.mail() {
            self.schedule(delay_us, Event::MoverHears { from, life, number, answer: answer.clone() });
        }
    }
}

fn in_words(ask: &Ask) -> String {
    let shard = ask.shard();
    match ask {
        Ask::Fetch(fetch) => format!("shard {shard}, the state from {}", fetch.offset),
        Ask::Tenancy(request) => match &request.change {
            None => format!("shard {shard}, how it stands"),
            Some(Change::Seal(_)) => format!("shard {shard}, to seal it"),
            Some(Change::Drop(drop)) if drop.undo => format!("shard {shard}, to have it live again"),
            Some(Change::Drop(_)) => format!("shard {shard}, to drop it"),
            Some(Change::Install(install)) if install.data.is_empty() => format!("shard {shard}, to have it live"),
            Some(Change::Install(install)) => {
                let (from, to) = (install.offset, install.offset + install.data.len() as u64);
                format!("shard {shard}, to take bytes {from} to {to} of {}", install.bytes_total)
            }
        },
    }
}
