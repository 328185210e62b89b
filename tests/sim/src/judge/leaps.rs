//! Invariant 20: the tenant's time does not leap, but where a `TakeLead` begins the entry and gives all who ring what is leapt
//! over.

use proto::v1::{Batch, command::Kind};

use crate::{
    scenario::{MILLI, SECOND, Us},
    verdict::{Check, hold},
};

/// So much faster than the world's a node's clock may run, in parts of a hundred.
const FASTER: Us = 10;
/// The longest way of an entry from its leader's clock to whom it is applied by, and the largest step that a clock takes at
/// once beside it.
const LEAP_US: Us = 30 * SECOND;

/// When the tenant's last entry was applied.
#[derive(Debug, Default)]
pub(super) struct Leaps {
    last_us: Option<Us>,
}

impl Leaps {
    /// An entry is about to be applied to the tenant, whose time is `shard_ms`.
    pub(super) fn entry(&mut self, now_us: Us, shard_ms: u64, batch: &Batch) -> Check {
        let Some(last_us) = self.last_us.replace(now_us) else { return Ok(()) };
        let first =
            batch.commands.first().and_then(|logged| logged.command.as_ref()).and_then(|first| first.kind.as_ref());
        let passed_us = now_us - last_us;
        let moved_us = batch.at_ms.saturating_sub(shard_ms) * MILLI;
        hold!(
            matches!(first, Some(Kind::TakeLead(_))) || moved_us <= passed_us + passed_us * FASTER / 100 + LEAP_US,
            Time,
            "the tenant's time goes {} ms ahead within {} ms, and whoever rings gets none of it",
            moved_us / MILLI,
            passed_us / MILLI
        );
        Ok(())
    }
}
