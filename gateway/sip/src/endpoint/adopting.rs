//! A leg of another gateway goes on here, from its passport.
//! Never speaks to the far end by itself: `reoffer` does, when the gateway has media for it.

use super::{ASLEEP, Endpoint, session};
use crate::leg::{Leg, LegState, Up};
use crate::passport::{self, PassportError};
use crate::tag;
use crate::types::{LegId, Millis};

/// Our next CSeq in an adopted dialog is so much higher than the passport's: the other gateway may have used some since
/// it was written. RFC 3261 12.2.1.1 only asks that it grows.
const CSEQ_LEAP: u32 = 10_000;

impl Endpoint {
    /// Takes a leg over. The token in the passport must be the one that our secret gives this leg.
    pub fn adopt(&mut self, now: Millis, leg: LegId, passport: &[u8]) -> Result<(), PassportError> {
        let opened = passport::open(passport)?;
        if opened.token != tag::encode(&self.core.keys, leg) {
            return Err(PassportError::Foreign);
        }
        if self.legs.contains_key(&leg) || !self.has_room_for_leg() {
            return Err(PassportError::NoPlace);
        }
        let mut dialog = opened.dialog;
        dialog.local_cseq = dialog.local_cseq.saturating_add(CSEQ_LEAP) & 0x7fff_ffff;
        let state = LegState::Up(Up { confirmed: true, ..Up::default() });
        let (token, audio, session) = (opened.token, opened.audio, opened.session);
        let mut it = Box::new(Leg { id: leg, token, state, dialog, audio, session, wakes: ASLEEP });
        session::start(&mut self.core, now, &mut it);
        self.legs.insert(leg, it);
        Ok(())
    }
}
