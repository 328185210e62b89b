//! Invariant 4, its second half: a position in line grows only when somebody with a better claim came before it, or
//! when the rules changed.

use std::collections::BTreeMap;

use proto::v1::command::Kind;

use super::Step;
use crate::verdict::{Check, hold};

#[derive(Debug, Default)]
pub(super) struct Positions {
    lines: BTreeMap<String, Vec<u64>>,
}

impl Positions {
    pub(super) fn step(&mut self, step: &Step<'_>) -> Check {
        let mut lines = BTreeMap::new();
        for queue in step.shard.queues() {
            let Some(detail) = step.shard.queue(&queue.name, 0) else { continue };
            lines.insert(queue.name, detail.waiting.iter().map(|waiting| waiting.call).collect::<Vec<_>>());
        }
        let ruled = matches!(step.kind, Some(Kind::Configure(_) | Kind::ChangeCall(_)));
        for (name, line) in lines.iter().filter(|_| !ruled) {
            let Some(before) = self.lines.get(name) else { continue };
            let stayed: Vec<_> = before.iter().filter(|call| line.contains(call)).collect();
            let now: Vec<_> = line.iter().filter(|call| before.contains(call)).collect();
            hold!(stayed == now, Order, "the line of {name} was {before:x?} and is {line:x?}");
        }
        self.lines = lines;
        Ok(())
    }
}
