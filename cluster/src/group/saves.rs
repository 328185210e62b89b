//! Whose turn it is to save: of all groups of a host one at a time, a slice per tick, so that no burst waits for more
//! than one slice. Knows no machine.

/// The turns of one host.
#[derive(Debug, Default)]
pub(crate) struct Saves {
    /// The shard whose machine is at a snapshot.
    under_way: Option<u32>,
    /// It may do a slice.
    due: bool,
    /// A slice was done in this drain; nobody begins before the next one.
    worked: bool,
}

impl Saves {
    /// A tick has passed. The shard that has a slice to do.
    pub(crate) fn tick(&mut self) -> Option<u32> {
        self.due = self.under_way.is_some();
        self.under_way
    }

    /// A burst is over.
    pub(crate) fn drain(&mut self) {
        self.worked = false;
    }

    /// A shard wants to begin. It has a slice at once.
    pub(crate) fn begin(&mut self, shard: u32) -> bool {
        let may = self.under_way.is_none() && !self.worked;
        if may {
            (self.under_way, self.due) = (Some(shard), true);
        }
        may
    }

    /// Whether this shard may do a slice; once per tick.
    pub(crate) fn take_slice(&mut self, shard: u32) -> bool {
        let may = self.under_way == Some(shard) && self.due;
        if may {
            (self.due, self.worked) = (false, true);
        }
        may
    }

    /// The shard is not at a snapshot, whatever became of it.
    pub(crate) fn end(&mut self, shard: u32) {
        if self.under_way == Some(shard) {
            (self.under_way, self.due) = (None, false);
        }
    }
}
