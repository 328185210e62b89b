//! What is said to those who hold a stream, as it stands on the wire.

use proto::v1::{
    CommandId, NotLeader, Order, Orders, Outcome, Rejection, RejectionCode, WatchReply, outcome, watch_reply::Kind,
};

/// Orders in one message to a gateway; more go into the next.
const ORDERS_PER_MESSAGE: usize = 1_000;

pub(super) fn outcome_of(id: Option<CommandId>, shard: u32, result: outcome::Result) -> Outcome {
    Outcome { id, shard, result: Some(result) }
}

pub(super) fn rejected(id: Option<CommandId>, shard: u32, code: RejectionCode, detail: &str) -> Outcome {
    let rejection = Rejection { code: code.into(), detail: detail.to_owned() };
    outcome_of(id, shard, outcome::Result::Rejection(rejection))
}

pub(super) const fn watch_reply(kind: Kind) -> WatchReply {
    WatchReply { kind: Some(kind) }
}

/// To a watcher that must look for the leader.
pub(super) const fn not_led_here(next: NotLeader) -> WatchReply {
    watch_reply(Kind::NotLeader(next))
}

pub(super) fn in_messages(orders: Vec<Order>) -> impl Iterator<Item = WatchReply> {
    let mut orders = orders.into_iter().peekable();
    std::iter::from_fn(move || {
        orders.peek()?;
        let orders = orders.by_ref().take(ORDERS_PER_MESSAGE).collect();
        Some(watch_reply(Kind::Orders(Orders { orders })))
    })
}
