//! Callers and phones: what people do at the far ends, and what must not happen to their dialogs.

use sip::{Effect, Invite, LegId, Millis};

use super::{CALLERS, Event, GATEWAYS, PHONES, World, media};

/// Callers' legs are no shard's.
const FAR_SHARD: u32 = 9;

impl World {
    /// Somebody calls, by a gateway that runs.
    pub(super) fn dial(&mut self) {
        if !self.busy {
            return;
        }
        let pause = self.dice.u64(500..4_000);
        self.schedule(pause, Event::Dial);
        let first = self.dice.usize(0..GATEWAYS);
        let Some(at) = (0..GATEWAYS).map(|step| (first + step) % GATEWAYS).find(|at| self.gateways[*at].runs()) else {
            return;
        };
        self.dialled += 1;
        let leg = LegId { shard: FAR_SHARD, call: self.dialled, leg: 1 };
        let target = format!("sip:5000@127.0.0.1:{}", 5060 + at);
        self.say(&format!("c{} dials g{}", self.dialled, at + 1));
        self.invite(
            CALLERS,
            leg,
            Invite { caller: format!("c{}", self.dialled), ..Invite::to(&target, media(CALLERS)) },
        );
    }

    pub(super) fn at_far_end(&mut self, end: usize, effect: Effect, call: &str) {
        match effect {
            Effect::Offered { leg, .. } => {
                self.pairs.entry(call.to_owned()).or_default().theirs = Some((end, leg));
                let _ = self.ends[end].alert(Millis(self.now), leg);
                match self.dice.u32(0..10) {
                    0 => {}
                    1 => {
                        let after = self.dice.u64(300..2_500);
                        self.schedule(after, Event::HangUp { end, leg });
                    }
                    _ => {
                        let after = self.dice.u64(300..2_500);
                        self.schedule(after, Event::Answer { end, leg });
                    }
                }
            }
            Effect::Answered { leg, .. } | Effect::Confirmed { leg, .. } => self.up(end, leg),
            Effect::Ended { leg, cause, status } => self.over(end, leg, &format!("{cause:?} {status}")),
            Effect::Stray { flow, bytes, .. } => {
                self.ends[end].answer_stray(Millis(self.now), flow, &bytes);
                while let Some(Effect::Send { flow, bytes }) = self.ends[end].poll() {
                    self.send(end, flow, &bytes);
                }
            }
            _ => {}
        }
    }

    /// The dialog is established.
    fn up(&mut self, end: usize, leg: LegId) {
        let Some(pair) = self.pair_of(|pair| pair.theirs == Some((end, leg))) else { return };
        if std::mem::replace(&mut pair.established, true) {
            return;
        }
        self.played.established += 1;
        // Some talk on until everything is over.
        if self.dice.u32(0..4) > 0 {
            let after = self.dice.u64(2_000..40_000);
            self.schedule(after, Event::HangUp { end, leg });
        }
    }

    fn over(&mut self, end: usize, leg: LegId, why: &str) {
        let Some(pair) = self.pair_of(|pair| pair.theirs == Some((end, leg))).copied() else { return };
        self.say(&format!("far end {end} {leg:?} is over: {why}"));
        let Some(ours) = pair.ours.filter(|_| pair.established && !pair.left) else { return };
        let wanted = self.gone.contains(&ours) || self.shard.call(ours.call).is_none();
        if !wanted {
            self.problem.get_or_insert(format!("{ours:?} was lost at the far end {end}: {why}"));
        }
    }

    pub(super) fn lift(&mut self, end: usize, leg: LegId) {
        if self.ends[end].legs().any(|known| known == leg) {
            let _ = self.ends[end].answer(Millis(self.now), leg, media(PHONES));
            self.drain(end, "");
        }
    }

    /// Also refuses, and gives up.
    pub(super) fn hang_up(&mut self, end: usize, leg: LegId) {
        if !self.ends[end].legs().any(|known| known == leg) {
            return;
        }
        if let Some(pair) = self.pair_of(|pair| pair.theirs == Some((end, leg))) {
            pair.left = true;
        }
        self.say(&format!("far end {end} {leg:?} hangs up"));
        let _ = self.ends[end].end(Millis(self.now), leg, 486, "enough");
        self.drain(end, "");
    }
}
