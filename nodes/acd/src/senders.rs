//! Memory of replies, so that a command is applied once; never decides what a reply is.

use std::collections::{BTreeMap, VecDeque};

use crate::Timestamp;
use crate::command::{Accepted, CommandId, Rejection, RejectionCode};
use crate::limits::{Limits, SENDER_IDLE_MS, SENDER_IDLE_MS_MIN};

pub(crate) type Reply = Result<Accepted, Rejection>;

/// Whether a command is to be done.
pub(crate) enum Recall {
    /// Never seen: do it.
    First,
    /// Answer this, do nothing.
    Again(Reply),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Senders {
    pub(crate) rows: BTreeMap<u64, Sender>,
}

#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) last_seen: Timestamp,
    /// When its alarm looks whether it has been idle.
    pub(crate) check_at: Timestamp,
    pub(crate) settled_below: u64,
    /// By number, rising. Commands mostly come in order, so the end is where one is looked up and added.
    pub(crate) replies: VecDeque<(u64, Reply)>,
}

impl Sender {
    fn reply(&self, number: u64) -> Option<&Reply> {
        let (last, _) = self.replies.back()?;
        if number > *last {
            return None;
        }
        let at = self.replies.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.replies[at].1)
    }
}

impl Senders {
    /// Looks a command up. A sender may have to give way to one that is not known yet.
    pub(crate) fn recall(&mut self, id: CommandId, settled_below: u64, at: Timestamp, limits: &Limits) -> Recall {
        let refuse = |code, detail: &str| Recall::Again(Err(Rejection::new(code, detail)));
        if id.number == 0 {
            return refuse(RejectionCode::Invalid, "id.number is 0");
        }
        let Some(sender) = self.rows.get(&id.sender) else {
            if id.number < settled_below {
                return refuse(RejectionCode::Stale, "settled before");
            }
            if self.rows.len() < limits.senders_max {
                return Recall::First;
            }
            let idle = self.rows.iter().min_by_key(|(_, row)| row.last_seen).map(|(id, row)| (*id, row.last_seen));
            return match idle {
                Some((idle, seen)) if at.saturating_sub(seen) >= SENDER_IDLE_MS_MIN => {
                    self.rows.remove(&idle);
                    Recall::First
                }
                Some(_) | None => refuse(RejectionCode::LimitReached, "senders_max"),
            };
        };
        if let Some(reply) = sender.reply(id.number) {
            return Recall::Again(reply.clone());
        }
        if id.number < settled_below.max(sender.settled_below) {
            return refuse(RejectionCode::Stale, "settled before");
        }
        let settles = sender.replies.front().is_some_and(|(number, _)| *number < settled_below);
        if sender.replies.len() >= limits.replies_per_sender_max && !settles {
            return refuse(RejectionCode::LimitReached, "replies_per_sender_max");
        }
        Recall::First
    }

    /// Keeps a reply. Gives the time of the alarm to set when the sender is seen for the first time.
    pub(crate) fn remember(
        &mut self,
        id: CommandId,
        settled_below: u64,
        now: Timestamp,
        reply: &Reply,
    ) -> Option<Timestamp> {
        let mut first_check = None;
        let sender = self.rows.entry(id.sender).or_insert_with(|| {
            first_check = Some(now + SENDER_IDLE_MS);
            Sender { last_seen: now, check_at: now + SENDER_IDLE_MS, settled_below: 0, replies: VecDeque::new() }
        });
        sender.last_seen = now;
        sender.settled_below = sender.settled_below.max(settled_below);
        while sender.replies.front().is_some_and(|(number, _)| *number < sender.settled_below) {
            sender.replies.pop_front();
        }
        let at = match sender.replies.back() {
            Some((last, _)) if *last > id.number => sender.replies.partition_point(|(number, _)| *number < id.number),
            Some(_) | None => sender.replies.len(),
        };
        sender.replies.insert(at, (id.number, reply.clone()));
        first_check
    }

    /// Forgets a sender that has been idle, or says when to look again.
    pub(crate) fn check(&mut self, id: u64, now: Timestamp) -> Option<Timestamp> {
        let sender = self.rows.get_mut(&id)?;
        let idle_at = sender.last_seen + SENDER_IDLE_MS;
        if idle_at <= now {
            self.rows.remove(&id);
            return None;
        }
        sender.check_at = idle_at;
        Some(idle_at)
    }
}
