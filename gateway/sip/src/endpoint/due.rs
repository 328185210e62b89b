//! What time does: everything that is due is done, in order of its moment.
//! Never scans: what is not armed does not happen.

use super::core::Core;
use super::{Endpoint, calling, offered, offering, refer};
use crate::leg::{Fate, Leg, LegState};
use crate::timers::{Due, LegTimer};
use crate::transaction::Woken;
use crate::types::{BindingId, EndCause, LegId, Millis};

impl Endpoint {
    /// Does whatever is due.
    pub fn timeout(&mut self, now: Millis) {
        while let Some((at, due)) = self.core.timers.pop(now) {
            match due {
                Due::Server(key) => self.wake_server(now, key, at),
                Due::Client(key) => self.wake_client(now, key, at),
                Due::Leg(id, timer) => self.wake_leg(now, id, timer, at),
                Due::Binding(number) => self.binding_due(now, BindingId(number), at),
                Due::Register(number) => self.register_due(now, number),
            }
        }
    }

    fn wake_server(&mut self, now: Millis, key: u64, at: Millis) {
        let timers = self.core.config.timers;
        let Some(tx) = self.core.servers.get_mut(&key).filter(|tx| tx.due == at) else { return };
        match tx.wake(now, &timers) {
            Woken::Send(flow, bytes) => {
                self.core.rearm_server(key);
                self.core.send(flow, bytes);
            }
            Woken::Nothing => self.core.rearm_server(key),
            Woken::Remove | Woken::TimedOut => self.core.forget_server(key),
        }
    }

    fn wake_leg(&mut self, now: Millis, id: LegId, timer: LegTimer, at: Millis) {
        let Some(leg) = self.legs.get_mut(&id).filter(|leg| leg.wakes[timer as usize] == at) else { return };
        leg.wakes[timer as usize] = Millis(0);
        if self.postponed(now, id, timer) {
            return;
        }
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let core = &mut self.core;
        let fate = match timer {
            LegTimer::Setup => setup(core, now, leg),
            LegTimer::Alert => {
                offered::alert(core, now, leg);
                Fate::Lives
            }
            LegTimer::Refer => {
                refer::overdue(core, now, leg);
                Fate::Lives
            }
            LegTimer::Ok => ok_again(core, now, leg),
            LegTimer::Refresh | LegTimer::Retry => {
                offering::begin(core, now, leg);
                Fate::Lives
            }
            LegTimer::Expiry => {
                core.hang_up(now, id, &mut leg.dialog, 408, "session expired");
                Fate::Ended(EndCause::Failed, 408)
            }
        };
        self.settle(id, fate);
    }
}

fn setup(core: &mut Core, now: Millis, leg: &mut Leg) -> Fate {
    match &leg.state {
        // Nobody decided in time: there is no leader, or too much to do.
        LegState::Offered(_) => {
            offered::refuse(core, now, leg, 503, "");
            Fate::Ended(EndCause::Failed, 503)
        }
        LegState::Calling(_) => calling::give_up(core, now, leg),
        LegState::Up(_) => Fate::Lives,
    }
}

/// RFC 3261 13.3.1.4: the 2xx again, at doubling intervals up to T2, for 64*T1; then BYE.
fn ok_again(core: &mut Core, now: Millis, leg: &mut Leg) -> Fate {
    let LegState::Up(up) = &mut leg.state else { return Fate::Lives };
    let Some(unacked) = up.unacked.as_mut() else { return Fate::Lives };
    if now >= unacked.until {
        let (status, reason, cause) = match up.ending.take() {
            Some(ending) => (ending.status, ending.reason, EndCause::Ordered),
            None => (408, "no ACK".to_owned(), EndCause::Failed),
        };
        core.hang_up(now, leg.id, &mut leg.dialog, status, &reason);
        return Fate::Ended(cause, if cause == EndCause::Ordered { 200 } else { 408 });
    }
    unacked.interval_ms = unacked.interval_ms.saturating_mul(2).min(core.config.timers.t2_ms);
    let (flow, ok) = (unacked.flow, unacked.ok.clone());
    let next = now.plus(unacked.interval_ms).min(unacked.until);
    core.send(flow, ok);
    core.wake_leg(leg, LegTimer::Ok, next);
    Fate::Lives
}
