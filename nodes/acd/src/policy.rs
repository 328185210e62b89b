//! Policy as the rules read it: documents with their defaults filled in; never state.

use crate::document::{self, Number, Strategy};
use crate::limits::{
    CALLBACK_ATTEMPTS_DEFAULT, CALLBACK_EXPIRY_SECONDS_DEFAULT, CALLBACK_RETRY_SECONDS_DEFAULT,
    CALLBACK_RING_SECONDS_DEFAULT, CHOOSER_MS_DEFAULT, CHOOSER_MS_MAX, DELAY_SECONDS_MIN, HOPS_DEFAULT,
    PRIORITY_DEFAULT, RING_ALL_DEFAULT, RING_SECONDS_DEFAULT, SERVICE_LEVEL_SECONDS_DEFAULT,
    SHORT_ABANDON_SECONDS_DEFAULT, STICKY_SECONDS_DEFAULT, TARGET_RING_SECONDS_DEFAULT, WRAP_UP_SECONDS_MAX_DEFAULT,
};
use crate::rows::Queue;
use crate::schedule::Calendar;

fn or(value: u32, default: u32) -> u32 {
    if value == 0 { default } else { value }
}

fn ms(seconds: u32) -> u64 {
    u64::from(seconds) * 1000
}

/// A skill asked at a level.
pub(crate) type Asked = (u16, u8);

/// What documents say about a queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct QueuePolicy {
    pub(crate) document: document::Queue,
    /// Rising by skill.
    pub(crate) skills: Vec<Asked>,
    /// By tier: when it opens, in milliseconds from joining. `None` opens with the tier before it.
    pub(crate) tiers: [Option<u64>; 10],
    pub(crate) calendar: Option<Calendar>,
}

impl QueuePolicy {
    pub(crate) fn new(document: &document::Queue, skills: Vec<Asked>, calendar: Option<Calendar>) -> Self {
        let mut tiers = [None; 10];
        for tier in &document.tiers {
            if let Some(opens) = tiers.get_mut(tier.tier as usize) {
                *opens = Some(ms(tier.after_seconds));
            }
        }
        QueuePolicy { document: document.clone(), skills, tiers, calendar }
    }

    pub(crate) fn opens_with_previous(&self, tier: u8) -> bool {
        self.tiers.get(usize::from(tier)).is_some_and(Option::is_none)
    }

    pub(crate) fn music(&self) -> &str {
        if self.document.music.is_empty() { "music" } else { &self.document.music }
    }

    pub(crate) fn ring_ms(&self) -> u64 {
        ms(or(self.document.ring_seconds, RING_SECONDS_DEFAULT))
    }

    pub(crate) fn busy_ms(&self) -> u64 {
        ms(self.document.busy_delay_seconds.max(DELAY_SECONDS_MIN))
    }

    pub(crate) fn unreachable_ms(&self) -> u64 {
        ms(self.document.unreachable_delay_seconds.max(DELAY_SECONDS_MIN))
    }

    pub(crate) fn rona_ms(&self) -> u64 {
        ms(self.document.rona_delay_seconds.max(DELAY_SECONDS_MIN))
    }

    /// When a caller who joined then is let go.
    pub(crate) fn wait_until(&self, joined: u64) -> Option<u64> {
        (self.document.wait_seconds_max > 0).then(|| joined + ms(self.document.wait_seconds_max))
    }

    /// How fast waiting counts, in permille.
    pub(crate) fn ageing(&self) -> u64 {
        u64::from(or(self.document.ageing_permille, 1000))
    }

    pub(crate) fn ring_max(&self) -> usize {
        or(self.document.ring_max, RING_ALL_DEFAULT) as usize
    }

    /// The strategy that ranks single agents.
    pub(crate) fn single(&self) -> Strategy {
        if self.document.strategy.is_single() { self.document.strategy } else { self.document.order }
    }

    pub(crate) fn chooser_ms(&self) -> u64 {
        let asked = self.document.chooser.as_ref().map_or(0, |chooser| chooser.deadline_ms);
        u64::from(or(asked, CHOOSER_MS_DEFAULT).min(CHOOSER_MS_MAX))
    }

    pub(crate) fn sticky_window_ms(&self) -> Option<u64> {
        self.document.sticky.map(|sticky| ms(or(sticky.window_seconds, STICKY_SECONDS_DEFAULT)))
    }

    pub(crate) fn short_abandon_ms(&self) -> u64 {
        ms(or(self.document.short_abandon_seconds, SHORT_ABANDON_SECONDS_DEFAULT))
    }

    pub(crate) fn service_level_ms(&self) -> u64 {
        ms(or(self.document.service_level_seconds, SERVICE_LEVEL_SECONDS_DEFAULT))
    }

    pub(crate) fn wrap_up_ms_max(&self) -> u64 {
        ms(or(self.document.wrap_up_max_seconds, WRAP_UP_SECONDS_MAX_DEFAULT))
    }

    pub(crate) fn callback(&self) -> Option<CallbackPolicy> {
        self.document.callback.map(|callback| CallbackPolicy {
            attempts: or(callback.attempts_max, CALLBACK_ATTEMPTS_DEFAULT),
            retry_ms: ms(or(callback.retry_seconds, CALLBACK_RETRY_SECONDS_DEFAULT)),
            expiry_ms: ms(or(callback.expiry_seconds, CALLBACK_EXPIRY_SECONDS_DEFAULT)),
            ring_ms: ms(or(callback.ring_seconds, CALLBACK_RING_SECONDS_DEFAULT)),
        })
    }
}

/// Calling back, with defaults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallbackPolicy {
    pub(crate) attempts: u32,
    pub(crate) retry_ms: u64,
    pub(crate) expiry_ms: u64,
    pub(crate) ring_ms: u64,
}

/// Milliseconds by which a boost makes a call look older within a queue.
pub(crate) fn boost_in_line(boost_ms: u64, queue: &Queue) -> u64 {
    boost_ms.saturating_mul(1000) / queue.policy.ageing().max(1)
}

/// The priority class of a number.
pub(crate) fn priority(number: &Number) -> u8 {
    or(number.priority, PRIORITY_DEFAULT).min(9) as u8
}

/// The tenant's own rules, with defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CentrePolicy {
    pub(crate) document: document::Centre,
}

impl CentrePolicy {
    pub(crate) fn hops_max(&self) -> u32 {
        or(self.document.hops_max, HOPS_DEFAULT)
    }

    pub(crate) fn target_ring_ms(&self) -> u64 {
        ms(or(self.document.target_ring_seconds, TARGET_RING_SECONDS_DEFAULT))
    }

    pub(crate) fn blind_code(&self) -> &str {
        if self.document.blind_code.is_empty() { "*8" } else { &self.document.blind_code }
    }

    pub(crate) fn consult_code(&self) -> &str {
        if self.document.consult_code.is_empty() { "*7" } else { &self.document.consult_code }
    }
}
