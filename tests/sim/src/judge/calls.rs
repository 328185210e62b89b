//! Invariants 1, 8 and 9 as the log shows them: one record for each call, an end when it is asked for, one call for
//! each INVITE.

use std::collections::{BTreeMap, btree_map::Entry};

use proto::v1::{CallOutcome, EndCause, command::Kind, record};

use super::Step;
use crate::verdict::{Check, hold};

/// A call that no gateway has had for so long has failed.
const HOMELESS_MS: u64 = 60_000; // as in `acd::Limits`

#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Records by call, 0 for one that lives.
    records: BTreeMap<u64, u32>,
    /// The call of each INVITE, by the name that each try of each caller has.
    invites: BTreeMap<String, u64>,
    /// Calls without a gateway: since when, by the shard's clock.
    homeless: BTreeMap<u64, u64>,
    /// How many calls ever were without one, and how many of these failed by it.
    pub(super) homeless_sums: (u64, u64),
}

impl Calls {
    pub(super) fn step(&mut self, step: &Step<'_>) -> Check {
        if let (Some(Kind::OfferCall(offer)), true) = (step.kind, step.done) {
            let count = self.records.entry(offer.call).or_insert(0);
            // The same INVITE after the call was over, as when its gateway was lost meanwhile, begins another life of it.
            // It may be refused in the same step: then it has the record of this step.
            let recorded = step
                .output
                .records
                .iter()
                .any(|record| matches!(&record.kind, Some(record::Kind::Call(call)) if call.call == offer.call));
            if *count == 1 && step.shard.call(offer.call).is_some_and(|call| recorded || call.record.is_none()) {
                *count = 0;
            }
            let call = *self.invites.entry(offer.caller_name.clone()).or_insert(offer.call);
            let caller = &offer.caller_name;
            hold!(
                call == offer.call,
                Retransmission,
                "the INVITE of {caller} became calls {call:x} and {:x}",
                offer.call
            );
        }
        for record in &step.output.records {
            let Some(record::Kind::Call(call)) = &record.kind else { continue };
            let count = self.records.entry(call.call).or_insert(0);
            *count += 1;
            hold!(*count == 1, OneRecord, "call {:x} has {count} records", call.call);
            // Only the gateway that has a leg can say that it broke, and in these runs nothing breaks.
            let left = step.gone.contains(&(call.call, 1));
            let homeless_ms = self.homeless.remove(&call.call).map_or(0, |since_ms| step.shard.now() - since_ms);
            self.homeless_sums.1 += u64::from(homeless_ms >= HOMELESS_MS);
            hold!(
                left || homeless_ms >= HOMELESS_MS || call.outcome() != CallOutcome::Failed,
                TakeOver,
                "call {:x} failed by {:?}",
                call.call,
                step.kind
            );
            if let Some(Kind::EndLeg(end)) = step.kind.filter(|_| step.done) {
                let lost = end.call == call.call && end.cause() == EndCause::Lost;
                hold!(left || !lost, TakeOver, "call {:x} ends because leg {} is not known", call.call, end.leg);
            }
        }
        for (call, count) in &self.records {
            if *count == 0 && step.shard.call(*call).is_none() {
                hold!(false, OneRecord, "call {call:x} is forgotten without a record");
            }
        }
        self.look_for_homeless(step);
        if let (Some(Kind::ClearCall(clear)), true) = (step.kind, step.done) {
            let ended = self.records.get(&clear.call).is_none_or(|count| *count == 1);
            hold!(ended, Control, "call {:x} was cleared and lives", clear.call);
        }
        Ok(())
    }

    fn look_for_homeless(&mut self, step: &Step<'_>) {
        for call in self.records.iter().filter(|(_, count)| **count == 0).map(|(call, _)| *call) {
            if step.shard.holder(call).is_some() {
                self.homeless.remove(&call);
            } else if let Entry::Vacant(vacant) = self.homeless.entry(call) {
                vacant.insert(step.shard.now());
                self.homeless_sums.0 += 1;
            }
        }
    }

    pub(super) fn finish(&self) -> Check {
        for (call, count) in &self.records {
            hold!(*count == 1, OneRecord, "call {call:x} was offered and has {count} records in the end");
        }
        Ok(())
    }

    pub(super) fn count(&self) -> usize {
        self.records.len()
    }
}
