//! What a leader says, on its way to the lanes, in the order it was said. A lane that is too far behind is not told: what it
//! misses it must hear again from the beginning.

use std::sync::Arc;

use proto::v1::Order;
use tokio::sync::Semaphore;

use crate::doors::{Doors, Mail, Told};

/// What one leader has said that one lane has not heard yet.
const UNHEARD_MAX: usize = 1_024;

pub(super) struct Telling {
    shard: u32,
    doors: Doors,
    /// By lane: places for what is not heard yet.
    rooms: Vec<Arc<Semaphore>>,
}

impl Telling {
    pub(super) fn new(shard: u32, doors: Doors) -> Self {
        let rooms = (0..doors.count()).map(|_| Arc::new(Semaphore::new(UNHEARD_MAX))).collect();
        Self { shard, doors, rooms }
    }

    /// To every lane; false when one of them is too far behind.
    pub(super) fn all(&self, told: impl Fn() -> Told) -> bool {
        (0..self.rooms.len()).all(|lane| self.one(lane, told()))
    }

    /// To each lane the orders of its calls, in the order they were told; false when one of them is too far behind.
    pub(super) fn orders(&self, orders: Vec<Order>) -> bool {
        if self.rooms.len() == 1 {
            return orders.is_empty() || self.one(0, Told::Orders(orders));
        }
        let mut dealt: Vec<Vec<Order>> = vec![Vec::new(); self.rooms.len()];
        for order in orders {
            dealt[self.doors.lane_of(order.call)].push(order);
        }
        let mut dealt = dealt.into_iter().enumerate().filter(|(_, orders)| !orders.is_empty());
        dealt.all(|(lane, orders)| self.one(lane, Told::Orders(orders)))
    }

    fn one(&self, lane: usize, told: Told) -> bool {
        let Ok(place) = Arc::clone(&self.rooms[lane]).try_acquire_owned() else { return false };
        self.doors.hand(lane, Mail::Told { shard: self.shard, told, place });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(calls: std::ops::Range<u64>) -> Vec<Order> {
        calls.map(|call| Order { call, leg: 1, ..Order::default() }).collect()
    }

    #[test]
    fn each_lane_hears_of_its_own_calls_in_order() {
        let (doors, mut boxes) = Doors::new(2, 1);
        let telling = Telling::new(7, doors);
        assert!(telling.all(|| Told::Watching) && telling.orders(orders(1..5)));
        for (lane, calls) in [(0, [2, 4]), (1, [1, 3])] {
            let first = boxes[lane].mail.try_recv();
            assert!(matches!(first, Ok(Mail::Told { shard: 7, told: Told::Watching, .. })), "{first:?}");
            match boxes[lane].mail.try_recv() {
                Ok(Mail::Told { told: Told::Orders(orders), .. }) => {
                    assert_eq!(orders.iter().map(|order| order.call).collect::<Vec<_>>(), calls);
                }
                other => panic!("{other:?}"),
            }
            assert!(boxes[lane].mail.try_recv().is_err(), "and nothing else");
        }
    }

    #[test]
    fn a_lane_that_is_behind_is_told_no_more_until_it_has_heard_something() {
        let (doors, mut boxes) = Doors::new(2, 1);
        let telling = Telling::new(7, doors);
        let told = (0..2 * UNHEARD_MAX).filter(|_| telling.orders(orders(2..3))).count();
        assert_eq!(told, UNHEARD_MAX);
        assert!(!telling.all(|| Told::InSync));
        assert!(telling.orders(orders(1..2)), "the other lane is not behind");
        let waiting = |lane: &mut crate::doors::Letterbox| lane.mail.len();
        assert_eq!(waiting(&mut boxes[0]), UNHEARD_MAX);
        drop(boxes[0].mail.try_recv().expect("something was told"));
        assert!(telling.orders(orders(2..3)) && !telling.orders(orders(2..3)), "room for one");
        assert_eq!(waiting(&mut boxes[0]), UNHEARD_MAX);
    }
}
