//! Whether a message may cost anything, decided on its bytes before it is parsed. What belongs to a dialog always passes, and so
//! do emergency calls; a new request needs a token of its source and one of the lane, and neither a queue before the lane nor
//! one before the shard. One of these for each lane. Pure: time comes in.

mod peek;
mod pressure;
mod recent;
mod sources;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc};

use crate::{directory::View, tokens::Bucket};

use peek::{Kind, peek};
use pressure::Pressure;
use recent::{Recent, Seen};
use sources::{Key, Sources};

/// Bounds of one lane's admission, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// New requests a second that are let in when nothing says less.
    pub rate_max: u32,
    /// And however bad it is.
    pub rate_min: u32,
    /// The wait between arrival and handling that is never to be passed; half of it is aimed at.
    pub delay_us_max: u64,
    /// Commands without an outcome above which nothing new is let in, however fast they are.
    pub pending_max: usize,
    /// And below which nobody minds, however slow.
    pub pending_min: usize,
    /// New requests a second from one source that is no trunk.
    pub source_rate: u32,
    /// So many at once.
    pub source_burst: u32,
    /// Refusals a second that one source is worth; beyond, it hears nothing.
    pub source_refusals: u32,
    /// Sources that are remembered.
    pub sources_max: usize,
    /// Emergency calls a second.
    pub emergency_rate: u32,
    /// Call-IDs that are remembered.
    pub recent_max: usize,
    /// Lanes of the gateway: each has its share of a trunk's rate.
    pub(crate) lanes: u32,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            rate_max: 20_000,
            rate_min: 10,
            delay_us_max: 100_000,
            pending_max: 2_048,
            pending_min: 256,
            source_rate: 100,
            source_burst: 400,
            source_refusals: 500,
            sources_max: 16_384,
            emergency_rate: 50,
            recent_max: 65_536,
            lanes: 1,
        }
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// 503 with Retry-After, which costs next to nothing.
    Refuse {
        retry_after_seconds: u32,
    },
    /// Not a word.
    Drop,
}

/// How often what was decided. Only ever counted up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AdmissionCounts {
    /// Responses, ACK, CANCEL and what belongs to a dialog.
    pub(crate) passed_standing: u64,
    pub(crate) passed_new: u64,
    pub(crate) passed_again: u64,
    pub(crate) passed_emergency: u64,
    /// Its source, or its trunk, had too many.
    pub(crate) refused_source: u64,
    /// The lane's rate was spent.
    pub(crate) refused_rate: u64,
    /// It had waited too long already.
    pub(crate) refused_delay: u64,
    /// The shard has too many commands to answer.
    pub(crate) refused_pending: u64,
    /// A request that was refused a moment ago.
    pub(crate) refused_again: u64,
    /// No SIP, or a source that hears nothing any more.
    pub(crate) dropped: u64,
}

impl AdmissionCounts {
    /// What metrics call them.
    pub(crate) const NAMES: [&str; 10] = [
        "passed_standing",
        "passed_new",
        "passed_again",
        "passed_emergency",
        "refused_source",
        "refused_rate",
        "refused_delay",
        "refused_pending",
        "refused_again",
        "dropped",
    ];

    /// In the order of their names.
    pub(crate) fn all(&self) -> [u64; Self::NAMES.len()] {
        [
            self.passed_standing,
            self.passed_new,
            self.passed_again,
            self.passed_emergency,
            self.refused_source,
            self.refused_rate,
            self.refused_delay,
            self.refused_pending,
            self.refused_again,
            self.dropped,
        ]
    }
}

/// What lets in.
pub(crate) struct Admission {
    limits: AdmissionLimits,
    view: Option<Arc<View>>,
    pressure: Pressure,
    global: Bucket,
    emergency: Bucket,
    sources: Sources,
    recent: Recent,
    counts: AdmissionCounts,
}

/// Why something new is not let in.
enum Why {
    Source,
    Rate,
    Delay,
    Pending,
}

impl Admission {
    /// `seed` keys its hashes, so that nobody outside can make two of them alike.
    pub(crate) fn new(limits: AdmissionLimits, seed: u64, now_us: u64) -> Self {
        Self {
            view: None,
            pressure: Pressure::new(&limits, now_us),
            global: Bucket::full(now_us, burst(limits.rate_max)),
            emergency: Bucket::full(now_us, limits.emergency_rate),
            sources: Sources::new(limits.sources_max),
            recent: Recent::new(seed, limits.recent_max),
            counts: AdmissionCounts::default(),
            limits,
        }
    }

    /// Whose sources are trunks, and which numbers are emergencies.
    pub(crate) fn set_view(&mut self, view: &Arc<View>) {
        self.view = Some(Arc::clone(view));
    }

    /// What becomes of a message from `source`. `delay_us` is how long it waited since it arrived, `pending` how many commands of
    /// the lane's shards have no outcome.
    pub(crate) fn judge(
        &mut self,
        now_us: u64,
        source: IpAddr,
        bytes: &[u8],
        pending: usize,
        delay_us: u64,
    ) -> Verdict {
        self.pressure.felt(delay_us, pending);
        self.tick(now_us);
        let new = match peek(bytes) {
            Kind::Noise => {
                self.counts.dropped += 1;
                return Verdict::Drop;
            }
            Kind::Standing => {
                self.counts.passed_standing += 1;
                return Verdict::Pass;
            }
            Kind::New(new) => new,
        };
        let call = self.recent.hash(new.call_id);
        match self.recent.seen(now_us, call) {
            Seen::Admitted => {
                self.counts.passed_again += 1;
                return Verdict::Pass;
            }
            // RFC 3261 17.2.3: the same request gets the same answer.
            Seen::Refused => {
                self.counts.refused_again += 1;
                return self.refuse(now_us, source, call);
            }
            Seen::Never => {}
        }
        if new.invite
            && self.is_emergency(new.uri)
            && self.emergency.take(now_us, self.limits.emergency_rate, self.limits.emergency_rate)
        {
            self.counts.passed_emergency += 1;
            self.recent.admit(now_us, call);
            return Verdict::Pass;
        }
        let why = match self.admit(now_us, source, pending, delay_us) {
            Ok(()) => {
                self.counts.passed_new += 1;
                self.pressure.admitted();
                self.recent.admit(now_us, call);
                return Verdict::Pass;
            }
            Err(why) => why,
        };
        match why {
            Why::Source => self.counts.refused_source += 1,
            Why::Rate => self.counts.refused_rate += 1,
            Why::Delay => self.counts.refused_delay += 1,
            Why::Pending => self.counts.refused_pending += 1,
        }
        self.pressure.refused();
        self.recent.refuse(now_us, call);
        self.refuse(now_us, source, call)
    }

    /// Lets the rate follow what was felt. Also called by `judge`; a lane without messages may call it or not.
    pub(crate) fn tick(&mut self, now_us: u64) {
        self.pressure.tick(&self.limits, now_us);
    }

    /// New requests a second that are let in at present.
    pub(crate) fn rate(&self) -> u32 {
        self.pressure.rate()
    }

    pub(crate) fn counts(&self) -> AdmissionCounts {
        self.counts
    }

    /// Whether something new is let in; then it has its tokens.
    fn admit(&mut self, now_us: u64, source: IpAddr, pending: usize, delay_us: u64) -> Result<(), Why> {
        let (key, limit) = self.limit_of(source);
        let limits = &self.limits;
        if let Some((rate, burst)) = limit
            && !self.sources.admits(now_us, key, rate, burst)
        {
            return Err(Why::Source);
        }
        if delay_us >= limits.delay_us_max {
            return Err(Why::Delay);
        }
        if pending >= self.pressure.pending_max(limits) {
            return Err(Why::Pending);
        }
        let rate = self.pressure.rate();
        // Strangers have no part in the last half of what there is at once: they cannot keep trunks out.
        let kept = if matches!(key, Key::Trunk(_)) { 0 } else { burst(rate) / 2 };
        if self.global.take_above(now_us, rate, burst(rate), kept) { Ok(()) } else { Err(Why::Rate) }
    }

    /// Of a trunk its share of what its document says; of everybody else the same.
    fn limit_of(&self, source: IpAddr) -> (Key, Option<(u32, u32)>) {
        match self.view.as_ref().and_then(|view| view.trunk_of(source)) {
            Some(trunk) => {
                let share = trunk.calls_per_second_max.map(|most| most.div_ceil(self.limits.lanes.max(1)));
                // Twice the rate at once: REGISTER and OPTIONS come beside calls, and calls are not dealt evenly to lanes.
                (
                    Key::Trunk(self.recent.hash(trunk.name.as_bytes())),
                    share.map(|rate| (rate.saturating_mul(2), rate.saturating_mul(2))),
                )
            }
            None => (Key::of(source), Some((self.limits.source_rate, self.limits.source_burst))),
        }
    }

    fn refuse(&mut self, now_us: u64, source: IpAddr, call: u64) -> Verdict {
        if !self.sources.hears(now_us, Key::of(source), self.limits.source_refusals) {
            self.counts.dropped += 1;
            return Verdict::Drop;
        }
        Verdict::Refuse { retry_after_seconds: 1 + u32::try_from(call % RETRY_AFTER_SECONDS_MAX).unwrap_or(0) }
    }

    fn is_emergency(&self, uri: &[u8]) -> bool {
        // RFC 5031: a service, not a number.
        uri.get(..SOS.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(SOS))
            || peek::user(uri).is_some_and(|user| self.view.as_ref().is_some_and(|view| view.is_emergency(user)))
    }
}

/// Those who were refused come back one after the other.
const RETRY_AFTER_SECONDS_MAX: u64 = 5;
const SOS: &[u8] = b"urn:service:sos";

/// What may come at once: a tenth of a second's.
fn burst(rate: u32) -> u32 {
    (rate / 10).max(2)
}
