//! What happens to nodes: ticks, messages, flushes, and what their cores want done.

use cluster::PeerMessage;
use proto::v1::{Outcome, outcome::Result as Answer};

use super::{Event, World};
use crate::{
    link::TENANT,
    mutant::Mutant,
    network::{Down, Up},
    node_process::TICK_US,
    scenario::{MILLI, Us},
    verdict::{Check, Invariant, hold},
};

impl World {
    pub(super) fn start_node(&mut self, at: usize) -> Check {
        let nodes = self.nodes.len();
        self.nodes[at].start(self.now_us, nodes).map_err(|error| (Invariant::Panic, error))?;
        self.watch.started(at, self.now_us);
        let life = self.nodes[at].life;
        let phase_us = self.dice.u64(0..TICK_US);
        self.schedule(phase_us, Event::Tick { node: at, life });
        self.say(|| format!("n{} starts", at + 1));
        self.drain(at);
        Ok(())
    }

    /// Whether an input reaches the process now; one that stands still gets it when it goes on.
    pub(super) fn reaches(&mut self, at: usize, event: impl FnOnce() -> Event) -> bool {
        if let Some(until_us) = self.nodes[at].paused_until_us {
            self.schedule_at(until_us.max(self.now_us) + 1, event());
            return false;
        }
        self.nodes[at].core.is_some()
    }

    pub(super) fn tick(&mut self, at: usize, life: u64) {
        if self.nodes[at].life != life || !self.reaches(at, || Event::Tick { node: at, life }) {
            return;
        }
        for (shard, asleep) in self.nodes[at].tick(self.now_us) {
            let home = self.judge.home() == Some(shard);
            self.figures.naps[usize::from(!home)].count(asleep);
        }
        self.schedule(TICK_US, Event::Tick { node: at, life });
        self.drain(at);
    }

    pub(super) fn peer(&mut self, from: usize, to: usize, message: PeerMessage) {
        if self.lost_in_cut(from, to) {
            return;
        }
        if self.nodes[to].paused_until_us.is_some() {
            self.reaches(to, || Event::Peer { from, to, message });
            return;
        }
        if let Some(core) = self.nodes[to].core(self.now_us) {
            core.step(from as u64 + 1, vec![message]);
            self.drain(to);
        }
    }

    /// Whether there is no way now; the faults that are to blame have happened.
    pub(super) fn lost_in_cut(&mut self, from: usize, to: usize) -> bool {
        let blame = self.network.cut_by(from, to).to_vec();
        blame.iter().for_each(|fault| self.faults.happened(*fault));
        !blame.is_empty()
    }

    pub(super) fn synced(&mut self, at: usize, life: u64, fault: Option<usize>) -> Check {
        if self.nodes[at].life != life || !self.reaches(at, || Event::Synced { node: at, life, fault }) {
            return Ok(());
        }
        if let Some(fault) = fault {
            self.faults.happened(fault);
        }
        self.nodes[at].synced().map_err(|error| (Invariant::Panic, error))?;
        self.drain(at);
        Ok(())
    }

    pub(super) fn wake_node(&mut self, at: usize, life: u64) {
        if self.nodes[at].life == life && self.nodes[at].runs() && self.nodes[at].wake_us == Some(self.now_us) {
            self.drain(at);
        }
    }

    /// Carries out what a core wants, until it wants nothing more at this moment.
    pub(super) fn drain(&mut self, at: usize) {
        loop {
            let Some((effects, writes)) = self.nodes[at].drain(self.now_us) else { return };
            if writes {
                self.flush(at);
            }
            for (to, message) in effects.messages {
                self.send_peer(at, to, &message);
            }
            if !effects.outcomes.is_empty() {
                self.worst_moment();
            }
            for (client, outcomes) in effects.outcomes {
                self.watch.answered(at, &outcomes);
                self.send_down(client, Down::Outcomes(outcomes));
            }
            for (key, reply) in effects.watch {
                self.send_down(key, Down::Reply(reply));
            }
            for key in effects.unwatch {
                self.send_down(key, Down::Closed);
            }
            for (shard, token) in effects.answerable {
                self.readable(at, shard, token);
            }
            for (_, token) in effects.unanswerable {
                self.watch.unread(at, token);
                self.read_for_mover(at, token, false);
            }
            for (shard, _) in effects.tenancies {
                self.tenancy_applied(at, shard);
            }
            for shard in effects.gained {
                self.figures.leaders += u64::from(self.judge.home() == Some(shard));
                self.watch.gained(at, self.now_us);
                self.say(|| format!("n{} leads shard {shard}", at + 1));
            }
            if !effects.again {
                break;
            }
        }
        if let Some(at_us) = self.nodes[at].wake_us {
            let life = self.nodes[at].life;
            self.nodes[at].wake_us = Some(at_us.max(self.now_us + 1));
            self.schedule_at(at_us.max(self.now_us + 1), Event::NodeWake { node: at, life });
        }
    }

    fn flush(&mut self, at: usize) {
        let slow = self.nodes[at].slow_until_us > self.now_us;
        let delay_us = match self.dice.u8(0..40) {
            _ if slow => self.dice.u64(60 * MILLI..700 * MILLI),
            0 => self.dice.u64(15 * MILLI..80 * MILLI),
            _ => self.dice.u64(300..9 * MILLI),
        };
        let fault = slow.then(|| self.faults.slow(at)).flatten();
        let life = self.nodes[at].life;
        self.schedule(delay_us, Event::Synced { node: at, life, fault });
    }

    fn send_peer(&mut self, from: usize, to: u64, message: &PeerMessage) {
        let Some(to) = (to as usize).checked_sub(1).filter(|to| *to < self.nodes.len()) else { return };
        let copies = self.network.copies();
        if copies.len() != 1 {
            self.faults.noise_happened();
        }
        for delay_us in copies {
            self.schedule(delay_us, Event::Peer { from, to, message: message.clone() });
        }
    }

    // Streams, seen from the node.

    pub(super) fn arrived_up(&mut self, session: u64, message: Up) {
        let Some(connection) = self.network.connections.get(&session) else { return };
        let (node, life, gateway) = (connection.node, connection.node_life, connection.gateway);
        let from = self.network.gateway(gateway);
        if connection.broken {
            return;
        }
        if self.nodes[node].life != life || self.lost_in_cut(from, node) {
            return self.break_soon(session);
        }
        if self.nodes[node].paused_until_us.is_some() {
            // The next message must not overtake it: what is paused is handed over in the order of arrival.
            self.reaches(node, || Event::Up { session, message });
            return;
        }
        if let Up::Submit(submissions) = &message {
            self.watch.submitted(node, submissions, self.now_us);
        }
        if let (Some(Mutant::EarlyAnswer), Up::Submit(submissions), true) =
            (self.mutant, &message, self.nodes[node].leads())
        {
            let accepted = Some(Answer::Accepted(proto::v1::Accepted {}));
            let outcomes: Vec<_> = submissions
                .iter()
                .map(|submission| Outcome { id: submission.id, shard: TENANT, result: accepted.clone() })
                .collect();
            self.watch.answered(node, &outcomes);
            self.send_down(session, Down::Outcomes(outcomes));
        }
        let Some(core) = self.nodes[node].core(self.now_us) else { return };
        match message {
            Up::Watch(request) => core.watch(session, request),
            Up::Submit(submissions) => core.submit(session, submissions),
        }
        self.nodes[node].connections.insert(session, ());
        self.drain(node);
    }

    /// The gateway has closed the streams, or the node has found them broken.
    pub(super) fn hung_up(&mut self, session: u64) {
        let Some(connection) = self.network.connections.get(&session) else { return };
        let (node, life) = (connection.node, connection.node_life);
        if self.nodes[node].paused_until_us.is_some() {
            self.reaches(node, || Event::HungUp { session });
            return;
        }
        self.network.connections.remove(&session);
        if self.nodes[node].life == life
            && let Some(core) = self.nodes[node].core(self.now_us)
        {
            core.unwatch(session);
            core.forget_client(session);
            self.drain(node);
        }
    }

    pub(super) fn send_down(&mut self, session: u64, message: Down) {
        let Some(connection) = self.network.connections.get(&session).filter(|connection| !connection.broken) else {
            return;
        };
        let (node, to) = (connection.node, self.network.gateway(connection.gateway));
        if self.lost_in_cut(node, to) {
            return self.break_soon(session);
        }
        let at_us = self.network.in_order(session, self.now_us, false);
        self.schedule_at(at_us, Event::Down { session, message });
    }

    /// A stream that lost something delivers nothing more; both ends find out in their own time.
    pub(super) fn break_soon(&mut self, session: u64) {
        let Some(connection) = self.network.connections.get_mut(&session).filter(|connection| !connection.broken)
        else {
            return;
        };
        connection.broken = true;
        let delay_us: Us = self.dice.u64(500 * MILLI..4_000 * MILLI);
        self.schedule(delay_us, Event::Broken { session });
    }

    /// Asks a question about a shard of a node, as `cordctl` does.
    pub(super) fn ask(&mut self, at: usize, shard: u32, token: u64) {
        if !self.nodes[at].runs() {
            return;
        }
        self.watch.asked(at, token, self.now_us, self.judge.last(shard));
        let guesses = match self.mutant {
            Some(Mutant::StaleRead) => true,
            Some(Mutant::SleepyRead) => self.nodes[at].is_asleep(shard),
            _ => false,
        };
        if guesses && self.nodes[at].leads_shard(shard) {
            return self.readable(at, shard, token);
        }
        if let Some(core) = self.nodes[at].core(self.now_us) {
            core.ask(shard, token);
            self.drain(at);
        }
    }

    /// A question may be answered from what the node has of the shard now.
    fn readable(&mut self, at: usize, shard: u32, token: u64) {
        let status = self.nodes[at].core.as_ref().and_then(|core| core.host().status(shard));
        self.watch.read(at, token, shard, status.map_or(0, |status| status.applied));
        self.read_for_mover(at, token, true);
    }

    pub(super) fn crash_node(&mut self, at: usize) -> Check {
        let survivors = if self.dice.bool() { 0 } else { self.dice.usize(0..=self.nodes[at].staged()) };
        let torn = self.dice.bool();
        hold!(self.nodes[at].core.is_some(), Asked, "n{} should crash and is dead already", at + 1);
        self.forget_movers(at);
        self.nodes[at].crash(survivors, torn).map_err(|error| (Invariant::Panic, error))?;
        let theirs: Vec<u64> = self
            .network
            .connections
            .iter()
            .filter(|(_, connection)| connection.node == at)
            .map(|(key, _)| *key)
            .collect();
        // The system closes the sockets of a dead process; after a power cut nobody does.
        let polite = self.dice.bool();
        for session in theirs {
            if polite {
                self.schedule(MILLI, Event::Broken { session });
            } else {
                self.break_soon(session);
            }
        }
        Ok(())
    }
}
