//! `people`: callers and agents who behave by seeded dice in virtual time; never does IO, reads a clock or asks the
//! system for randomness.
//!
//! A [`Plan`] says what people there are; [`People`] acts it out. What they do comes out as [`Deed`]s, what happens to
//! them goes in as [`Sense`]s. Neither names a wire or a node, so the same people stand before a bare [`acd::Shard`]
//! ([`whatif`]) and before a whole simulated cluster.
//!
//! # How to drive them
//! ```text
//! loop {
//!     now = the earlier of people.next() and whatever the world has next
//!     people.act(now, &mut deeds)           // carry the deeds out, in order
//!     people.sense(now, &sense)             // for each thing that happened to a leg
//! }
//! ```
//! A sense never brings a deed at once: it makes `next()` earlier. Legs are numbered by the world, the caller is leg 1.
//! A person who hung up or refused a leg is done with it: no `Gone` need be told, a later sense of it is ignored.
//!
//! # Why two runs are equal
//! Every caller and every agent has dice of their own, seeded by the seed and who they are. A caller's patience and
//! talk time are thrown before they dial, so the same seed under another policy meets the same callers: a comparison
//! sees the policy, not the dice. Numbers are `f64` with `+ - * /` and `sqrt` only, which IEEE 754 defines to the last
//! bit; `ln` and `exp` are series of our own ([`maths`]).

mod agenda;
mod agents;
mod arrivals;
mod callers;
pub mod maths;
mod people;
mod plan;
mod spread;
mod talks;
pub mod whatif;
mod words;

pub use people::People;
pub use plan::{Arrival, Arrivals, Break, Curve, Habits, Line, Manners, Outside, Plan, Press, Repeat, Shift, Worker};
pub use spread::{Spread, Survival};
pub use words::{Act, Deed, Sense, Target};

/// Unix milliseconds.
pub type Timestamp = u64;
