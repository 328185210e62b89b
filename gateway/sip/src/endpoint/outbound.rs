//! Answers to requests of ours, and requests that cannot be delivered.
//! Never reads a body.

use super::core::Core;
use super::{Endpoint, calling, offered, refer};
use crate::leg::{Ending, Fate, LegState};
use crate::message::{Method, Response};
use crate::timers::Due;
use crate::transaction::{ClientState, ClientTx, Purpose, Woken};
use crate::types::{EndCause, Flow, LegId, Millis, UnknownLeg};

impl Endpoint {
    pub(super) fn on_response(&mut self, now: Millis, flow: Flow, response: &Response) {
        let key = self.core.client_key(&response.branch, response.method);
        let Some(tx) = self.core.clients.remove(&key) else { return self.on_stray_answer(flow, response) };
        let Some(tx) = self.again(now, key, tx, response) else { return };
        match tx.purpose {
            Purpose::Invite => self.on_invite_response(now, flow, key, tx, response),
            Purpose::Reinvite => self.on_reinvite_response(now, flow, key, tx, response),
            Purpose::Update
            | Purpose::Bye
            | Purpose::Cancel
            | Purpose::Notify
            | Purpose::Prack
            | Purpose::Register(_)
            | Purpose::Options(_) => self.on_short_response(now, flow, key, tx, response),
        }
    }

    fn on_short_response(&mut self, now: Millis, flow: Flow, key: u64, mut tx: ClientTx, response: &Response) {
        if response.status < 200 {
            // RFC 3261 17.1.2.2: it is sent on, at T2.
            if let ClientState::Trying { until, .. } = tx.state {
                tx.state = ClientState::Proceeding { until };
            }
            self.core.clients.insert(key, tx);
        } else if tx.purpose == Purpose::Update {
            self.on_update_response(now, flow, key, &tx, response);
        } else {
            self.on_answer_outside(now, key, &tx, response);
        }
    }

    /// The leg must go: a final refusal with `status`, CANCEL or BYE, whatever is right.
    pub fn end(&mut self, now: Millis, leg: LegId, status: u16, reason: &str) -> Result<(), UnknownLeg> {
        let it = self.legs.get_mut(&leg).ok_or(UnknownLeg(leg))?;
        let ending = Ending { status, reason: reason.to_owned() };
        let core = &mut self.core;
        let fate = match &mut it.state {
            LegState::Offered(_) => offered::end(core, now, it, &ending),
            LegState::Calling(_) => calling::end(core, now, it, &ending),
            // RFC 3261 15: the callee says no BYE before the ACK; it goes out with it.
            LegState::Up(up) if !up.confirmed => {
                up.ending.get_or_insert(ending);
                Fate::Lives
            }
            LegState::Up(_) => {
                refer::conclude(core, now, it, status);
                core.hang_up(now, leg, &mut it.dialog, status, reason);
                Fate::Ended(EndCause::Ordered, 200)
            }
        };
        self.settle(leg, fate);
        Ok(())
    }

    /// ICMP unreachable, TCP refused or closed. Only requests without any answer yet are touched: an established call
    /// outlives its connection.
    pub fn flow_failed(&mut self, now: Millis, flow: Flow) {
        let hit = |tx: &ClientTx| {
            let same = tx.flow.transport == flow.transport && tx.flow.remote == flow.remote;
            let connection = tx.flow.connection == 0 || flow.connection == 0 || tx.flow.connection == flow.connection;
            same && connection && matches!(tx.state, ClientState::Trying { .. })
        };
        self.bindings_failed(now, |other| other.transport == flow.transport && other.remote == flow.remote);
        let keys: Vec<u64> = self.core.clients.iter().filter(|(_, tx)| hit(tx)).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(tx) = self.core.clients.remove(&key) {
                self.undelivered(now, key, &tx, 503);
            }
        }
    }

    /// A transaction of ours is due.
    pub(super) fn wake_client(&mut self, now: Millis, key: u64, at: Millis) {
        let timers = self.core.config.timers;
        let Some(tx) = self.core.clients.get_mut(&key).filter(|tx| tx.due == at) else { return };
        let woken = tx.wake(now, &timers);
        let due = tx.due;
        match woken {
            Woken::Nothing => self.core.timers.arm(due, Due::Client(key)),
            Woken::Send(flow, bytes) => {
                self.core.timers.arm(due, Due::Client(key));
                self.core.send(flow, bytes);
            }
            Woken::Remove => {
                self.core.clients.remove(&key);
            }
            Woken::TimedOut if self.core.patient(now, key) => {}
            Woken::TimedOut => {
                if let Some(tx) = self.core.clients.remove(&key) {
                    self.timed_out(now, key, tx);
                }
            }
        }
    }

    fn timed_out(&mut self, now: Millis, key: u64, mut tx: ClientTx) {
        let abandoned = tx.seed.as_ref().is_some_and(|seed| seed.abandoned);
        if tx.purpose != Purpose::Invite || abandoned {
            return self.undelivered(now, key, &tx, 408);
        }
        // Nobody answered: the leg goes, the transaction stays a while to take a late answer back.
        let rang = matches!(tx.state, ClientState::Proceeding { .. });
        if rang {
            calling::cancel(&mut self.core, now, &mut tx, &Ending { status: 408, reason: "no answer".to_owned() });
        }
        let id = tx.leg;
        self.core.clients.insert(key, tx);
        self.core.abandon(now, key);
        let cause = if rang { EndCause::NoAnswer } else { EndCause::Unreachable };
        let fate = self.calling_fate(id, key, cause, 408);
        self.settle(id, fate);
    }

    /// A request that got no answer at all.
    fn undelivered(&mut self, now: Millis, key: u64, tx: &ClientTx, status: u16) {
        let fate = match tx.purpose {
            Purpose::Invite => self.calling_fate(tx.leg, key, EndCause::Unreachable, status),
            Purpose::Reinvite | Purpose::Update => self.broken(now, tx.leg, key, status),
            Purpose::Bye | Purpose::Cancel | Purpose::Notify | Purpose::Prack => Fate::Lives,
            Purpose::Register(id) => {
                self.register_lost(now, key, id, status);
                Fate::Lives
            }
            Purpose::Options(id) => {
                self.pinged(id, 0);
                Fate::Lives
            }
        };
        self.settle(tx.leg, fate);
    }

    fn calling_fate(&self, id: LegId, key: u64, cause: EndCause, status: u16) -> Fate {
        match self.legs.get(&id).map(|leg| &leg.state) {
            Some(LegState::Calling(calling)) if calling.key == key => {
                Fate::Ended(if calling.ending.is_some() { EndCause::Ordered } else { cause }, status)
            }
            _ => Fate::Lives,
        }
    }
}

impl Core {
    /// An INVITE of ours was refused: timer D.
    pub(super) fn complete(&mut self, now: Millis, key: u64, mut tx: ClientTx) {
        if tx.flow.transport.is_reliable() {
            return;
        }
        tx.state = ClientState::Completed;
        tx.due = now.plus(self.config.timers.patience_ms());
        self.timers.arm(tx.due, Due::Client(key));
        self.clients.insert(key, tx);
    }

    /// The first word about an INVITE of ours (RFC 3261 17.1.1.2): it is not sent again, and is waited for until then.
    pub(super) fn proceed(&mut self, key: u64, tx: &mut ClientTx, until: Millis) {
        if let ClientState::Trying { .. } = tx.state {
            tx.state = ClientState::Proceeding { until };
            tx.due = until;
            self.timers.arm(until, Due::Client(key));
        }
    }

    /// An INVITE of ours was accepted: timer M.
    pub(super) fn accept(&mut self, now: Millis, key: u64, mut tx: ClientTx) {
        tx.state = ClientState::Accepted;
        tx.due = now.plus(self.config.timers.patience_ms());
        self.timers.arm(tx.due, Due::Client(key));
        self.clients.insert(key, tx);
    }

    /// Nobody waits for this INVITE any more: it is not sent again, and what comes late is cancelled or hung up.
    pub(super) fn abandon(&mut self, now: Millis, key: u64) {
        let until = now.plus(self.config.timers.patience_ms());
        let Some(tx) = self.clients.get_mut(&key) else { return };
        if let Some(seed) = tx.seed.as_mut() {
            seed.abandoned = true;
        }
        if matches!(tx.state, ClientState::Trying { .. } | ClientState::Proceeding { .. }) {
            tx.state = ClientState::Proceeding { until };
            tx.due = until;
            self.timers.arm(until, Due::Client(key));
        }
    }

    pub(super) fn method_key(&self, branch: &str, method: Method) -> u64 {
        self.client_key(branch.as_bytes(), method)
    }
}
