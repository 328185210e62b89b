//! Wires: who is cut from whom, what is lost, late or doubled between nodes, and streams that deliver in order or
//! break as a whole. Decides by dice and faults only.

use std::collections::BTreeMap;

use fastrand::Rng;
use proto::v1::{Outcome, Submission, WatchReply, WatchRequest};

use crate::scenario::{MILLI, Us};

/// From a gateway.
#[derive(Debug, Clone)]
pub(crate) enum Up {
    Watch(WatchRequest),
    Submit(Vec<Submission>),
}

/// To a gateway.
#[derive(Debug, Clone)]
pub(crate) enum Down {
    Reply(WatchReply),
    Outcomes(Vec<Outcome>),
    /// The node ends the Watch stream.
    Closed,
}

/// A gateway's streams to one node: each direction in order, whole or broken.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) gateway: usize,
    pub(crate) node: usize,
    pub(crate) node_life: u64,
    pub(crate) gateway_life: u64,
    last_up_us: Us,
    last_down_us: Us,
    /// Something was lost on it, so nothing later arrives.
    pub(crate) broken: bool,
}

/// All wires.
#[derive(Debug)]
pub(crate) struct Network {
    dice: Rng,
    nodes: usize,
    /// From, to; nodes first, then gateways. The numbers say which faults cut here.
    cuts: BTreeMap<(usize, usize), Vec<usize>>,
    pub(crate) noise_percent: u32,
    pub(crate) connections: BTreeMap<u64, Connection>,
}

impl Network {
    pub(crate) fn new(seed: u64, nodes: usize) -> Self {
        let dice = Rng::with_seed(seed ^ 0x0e77_0000);
        Self { dice, nodes, cuts: BTreeMap::new(), noise_percent: 0, connections: BTreeMap::new() }
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize, fault: usize) {
        self.cuts.entry((from, to)).or_default().push(fault);
    }

    pub(crate) fn heal(&mut self, fault: usize) {
        self.cuts.values_mut().for_each(|faults| faults.retain(|held| *held != fault));
        self.cuts.retain(|_, faults| !faults.is_empty());
    }

    /// The faults that keep a message from getting there.
    pub(crate) fn cut_by(&self, from: usize, to: usize) -> &[usize] {
        self.cuts.get(&(from, to)).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.cuts.is_empty() && self.noise_percent == 0
    }

    pub(crate) const fn gateway(&self, at: usize) -> usize {
        self.nodes + at
    }

    /// When each copy of a message between nodes arrives. None: it is lost in noise.
    pub(crate) fn copies(&mut self) -> Vec<Us> {
        let noise = self.noise_percent;
        let copies = 1 + usize::from(self.dice.u32(0..100) < noise / 4);
        (0..copies)
            .filter_map(|_| {
                if self.dice.u32(0..100) < noise {
                    return None;
                }
                let late = self.dice.u32(0..100) < noise / 2;
                Some(if late { self.dice.u64(10 * MILLI..400 * MILLI) } else { self.delay() })
            })
            .collect()
    }

    pub(crate) fn delay(&mut self) -> Us {
        self.dice.u64(200..4 * MILLI)
    }

    /// When the next message of a stream arrives: never before the one before it.
    pub(crate) fn in_order(&mut self, connection: u64, now_us: Us, up: bool) -> Us {
        let at_us = now_us + self.delay();
        let Some(connection) = self.connections.get_mut(&connection) else { return at_us };
        let last = if up { &mut connection.last_up_us } else { &mut connection.last_down_us };
        *last = (*last + 1).max(at_us);
        *last
    }

    pub(crate) fn open(&mut self, session: u64, gateway: usize, gateway_life: u64, node: usize, node_life: u64) {
        let connection =
            Connection { gateway, node, node_life, gateway_life, last_up_us: 0, last_down_us: 0, broken: false };
        self.connections.insert(session, connection);
    }
}
