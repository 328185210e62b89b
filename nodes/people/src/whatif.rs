//! What-if: one bare shard in virtual time, served by people; never a network.
