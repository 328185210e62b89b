//! How many calls a trunk has, and how fast new ones come. A place is given back by dropping it, so none is ever lost.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::trunk::Trunk;
use crate::tokens::Bucket;

/// What one trunk has under way on this gateway.
#[derive(Debug)]
pub(super) struct Caps {
    calls: Arc<AtomicU32>,
    bucket: Option<Bucket>,
}

/// A call's place on its trunk; dropping it ends the call there.
#[derive(Debug)]
#[must_use = "the call counts only as long as its place is kept"]
pub(crate) struct Slot {
    calls: Arc<AtomicU32>,
}

/// Why a trunk takes no call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("the trunk has all the calls it may have")]
    Calls,
    #[error("the trunk has had all the new calls it may have in this second")]
    Rate,
    #[error("there is no such trunk any more")]
    Gone,
}

impl Caps {
    pub(super) fn new() -> Self {
        Self { calls: Arc::new(AtomicU32::new(0)), bucket: None }
    }

    pub(super) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// One more call, when the trunk may have one.
    pub(super) fn begin(&mut self, now_us: u64, trunk: &Trunk) -> Result<Slot, Full> {
        if trunk.calls_max.is_some_and(|most| self.calls() >= most) {
            return Err(Full::Calls);
        }
        if let Some(most) = trunk.calls_per_second_max {
            let bucket = self.bucket.get_or_insert_with(|| Bucket::full(now_us, most));
            if !bucket.take(now_us, most, most) {
                return Err(Full::Rate);
            }
        }
        Ok(self.count())
    }

    /// One more call whatever the limits: it stands already.
    pub(super) fn count(&self) -> Slot {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Slot { calls: Arc::clone(&self.calls) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }
}
