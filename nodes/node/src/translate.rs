//! The one translation between the words on the wire (`proto`) and those of the shard machine (`acd`), each name to the
//! same name. It decides nothing.

mod inward;
mod outward;
mod views;

pub use inward::{Unspeakable, command, entry};
pub use outward::{ask, counts, order, record, rejection};
pub use views::{agent, call, call_info, gateway, hex, id_from_hex, queue, queue_detail, totals};
