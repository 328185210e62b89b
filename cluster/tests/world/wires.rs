//! The wires between the hosts of the seeded world: which are cut, what is lost, late, told twice or damaged on the way. Says
//! what becomes of a message; delivers nothing.

use cluster::PeerMessage;

/// The latest that a message arrives, but for those whose receiver stands still.
const LATE_MS: u64 = 400;
/// No longer message is damaged: the ledger itself does not survive the damaged state of another.
const GARBLED_BYTES_MAX: usize = 150;

#[derive(Default)]
pub(crate) struct Wires {
    /// cut[from][to]
    cut: Vec<Vec<bool>>,
    pub(crate) loss_percent: u64,
    /// All snapshots travel so long.
    pub(crate) snapshot_ms: Option<u64>,
    /// A third of the messages are damaged.
    pub(crate) garble: bool,
}

/// What becomes of a message, or of a copy of it.
pub(crate) enum Fate {
    Arrives {
        delay_ms: u64,
        message: PeerMessage,
    },
    Lost,
    /// It was a snapshot, and the transport tells so.
    LostAndTold {
        delay_ms: u64,
    },
}

impl Wires {
    /// All of them whole.
    pub(crate) fn between(hosts: usize) -> Self {
        Self { cut: vec![vec![false; hosts]; hosts], ..Self::default() }
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize, both: bool) {
        self.cut[from][to] = true;
        self.cut[to][from] |= both;
    }

    pub(crate) fn heal(&mut self) {
        self.cut.iter_mut().flatten().for_each(|cut| *cut = false);
    }

    /// Asked when a message arrives: one that is under way when its wire is cut is lost.
    pub(crate) fn is_whole(&self, from: usize, to: usize) -> bool {
        !self.cut[from][to]
    }

    /// How often it arrives, if ever.
    pub(crate) fn copies(&self, dice: &mut fastrand::Rng) -> u64 {
        if self.loss_percent > 0 { 1 + u64::from(chance(dice, 5)) } else { 1 }
    }

    pub(crate) fn carry(&self, dice: &mut fastrand::Rng, message: &PeerMessage) -> Fate {
        let is_snapshot = !message.snapshot.is_empty();
        if chance(dice, self.loss_percent + if is_snapshot { self.loss_percent } else { 0 }) {
            // The transport tells, unless it does not know itself.
            let told = is_snapshot && chance(dice, 70);
            return if told { Fate::LostAndTold { delay_ms: dice.u64(1..400) } } else { Fate::Lost };
        }
        let is_late = self.loss_percent > 0 && chance(dice, 5);
        let delay_ms = if is_snapshot {
            // On a way of its own: everything else overtakes it.
            self.snapshot_ms.unwrap_or_else(|| dice.u64(3..150))
        } else if is_late {
            dice.u64(10..LATE_MS)
        } else {
            dice.u64(1..6)
        };
        let damaged = self.garble && message.raft.len() < GARBLED_BYTES_MAX && chance(dice, 30);
        Fate::Arrives { delay_ms, message: if damaged { garbled(dice, message) } else { message.clone() } }
    }
}

fn chance(dice: &mut fastrand::Rng, percent: u64) -> bool {
    dice.u64(0..100) < percent
}

/// Damaged as no checksum would let it.
fn garbled(dice: &mut fastrand::Rng, message: &PeerMessage) -> PeerMessage {
    let mut raft = message.raft.to_vec();
    for _ in 0..dice.usize(1..4) {
        match dice.u8(0..4) {
            0 if !raft.is_empty() => raft.truncate(dice.usize(0..raft.len())),
            1 => raft.push(dice.u8(..)),
            _ if !raft.is_empty() => {
                let at = dice.usize(0..raft.len());
                raft[at] = dice.u8(..);
            }
            _ => {}
        }
    }
    PeerMessage { raft: raft.into(), ..message.clone() }
}
