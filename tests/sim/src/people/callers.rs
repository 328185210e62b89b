//! One caller: dials, waits as long as patience lasts, talks, and tries again when it came to nothing.

use super::Deed;
use crate::scenario::{Caller, MILLI, SECOND, Us};

/// A phone that heard nothing says the same again after this.
const RETRANSMIT_US: Us = 500 * MILLI;
/// Without any sign of life a phone gives up: timer B of RFC 3261 is 32 s, people are faster.
const SILENCE_US: Us = 10 * SECOND;

#[derive(Debug)]
enum State {
    Away { until_us: Us },
    Dialling { call: u64, since_us: Us, again_us: Us },
    Waiting { call: u64, until_us: Us },
    Talking { call: u64, until_us: Us },
    Leaving { call: u64 },
    Done,
}

#[derive(Debug)]
pub(super) struct Dialler {
    plan: Caller,
    tries: u32,
    state: State,
    talked: bool,
}

impl Dialler {
    pub(super) fn new(plan: Caller) -> Self {
        let until_us = plan.arrives_us;
        Self { plan, tries: 0, state: State::Away { until_us }, talked: false }
    }

    pub(super) fn next_us(&self) -> Option<Us> {
        match self.state {
            State::Away { until_us } | State::Waiting { until_us, .. } | State::Talking { until_us, .. } => {
                Some(until_us)
            }
            State::Dialling { again_us, .. } => Some(again_us),
            State::Leaving { .. } | State::Done => None,
        }
    }

    pub(super) fn call(&self) -> Option<u64> {
        match self.state {
            State::Dialling { call, .. }
            | State::Waiting { call, .. }
            | State::Talking { call, .. }
            | State::Leaving { call } => Some(call),
            State::Away { .. } | State::Done => None,
        }
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    pub(super) fn act(&mut self, now_us: Us, deeds: &mut Vec<Deed>) {
        match self.state {
            State::Away { until_us } if until_us <= now_us => {
                self.tries += 1;
                let call = id(&self.plan.name, self.tries);
                let (caller, number) = (format!("{}.{}", self.plan.name, self.tries), self.plan.number.clone());
                deeds.push(Deed::Dial { call, caller, number });
                let patience_us = self.plan.patience_us.min(RETRANSMIT_US);
                self.state = State::Dialling { call, since_us: now_us, again_us: now_us + patience_us };
            }
            State::Dialling { call, since_us, again_us } if again_us <= now_us => {
                if now_us >= since_us + self.plan.patience_us.min(SILENCE_US) {
                    self.leave(call, deeds);
                } else {
                    deeds.push(Deed::Retransmit(call));
                    self.state = State::Dialling { call, since_us, again_us: now_us + RETRANSMIT_US };
                }
            }
            State::Waiting { call, until_us } | State::Talking { call, until_us } if until_us <= now_us => {
                self.leave(call, deeds);
            }
            State::Away { .. }
            | State::Dialling { .. }
            | State::Waiting { .. }
            | State::Talking { .. }
            | State::Leaving { .. }
            | State::Done => {}
        }
    }

    fn leave(&mut self, call: u64, deeds: &mut Vec<Deed>) {
        self.state = State::Leaving { call };
        deeds.push(Deed::HangUp((call, 1)));
    }

    pub(super) fn waits(&mut self) {
        if let State::Dialling { call, since_us, .. } = self.state {
            self.state = State::Waiting { call, until_us: since_us + self.plan.patience_us };
        }
    }

    pub(super) fn talks(&mut self, now_us: Us) {
        if let State::Dialling { call, .. } | State::Waiting { call, .. } = self.state {
            self.talked = true;
            self.state = State::Talking { call, until_us: now_us + self.plan.talk_us };
        }
    }

    pub(super) fn over(&mut self, now_us: Us) {
        let again = !self.talked && self.tries <= self.plan.redials;
        self.state = if again { State::Away { until_us: now_us + self.plan.redial_us } } else { State::Done };
    }
}

/// What a gateway would derive from the INVITE: the same for the same one, another for each new try.
fn id(name: &str, tries: u32) -> u64 {
    let number: u64 = name.trim_start_matches('c').parse().unwrap_or(0);
    0xc000_0000 + number * 0x100 + u64::from(tries)
}
