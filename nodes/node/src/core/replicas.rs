//! Replicas that come and go while the node runs, and steps of membership. Who should hold what is not decided here.

use cluster::{Failure, Membership, ProposeError, Recovered};

use super::Core;
use crate::machine::Replica;

impl<M: Replica> Core<M> {
    /// A replica begins, from what the disk has of it.
    ///
    /// # Errors
    /// When the machine cannot read its own snapshot.
    pub fn open(&mut self, shard: u32, machine: M, recovered: Recovered) -> Result<(), Failure> {
        self.host.add(shard, machine, recovered)
    }

    /// Forgets a replica: whoever waited for it is told to look elsewhere. False when there was none.
    pub fn close(&mut self, shard: u32) -> bool {
        self.lose(shard);
        if shard == 0 {
            self.effects.directory_changed = true;
        }
        self.host.remove(shard)
    }

    /// Has the members of a shard that is led here change.
    ///
    /// # Errors
    /// When it was not taken; nothing happens then.
    pub fn change_members(&mut self, shard: u32, steps: &[Membership]) -> Result<(), ProposeError> {
        self.host.change_members(shard, steps)
    }

    /// Hands a shard that is led here to another voter.
    pub fn transfer(&mut self, shard: u32, to: u64) {
        self.host.transfer_leadership(shard, Some(to));
    }
}
