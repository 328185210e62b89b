//! A gateway's line to its tenant's shard, as the real one keeps it: finds the leader, resends with the same ids until the
//! outcome is known, starts over when it hears nothing. Pure: what it wants is in [`Link::take`].

use std::collections::{BTreeMap, VecDeque};

use proto::v1::{
    Command, CommandId, Outcome, RejectionCode, Submission, WatchReply, WatchRequest, command::Kind,
    outcome::Result as Answer, watch_reply::Kind as Told,
};

use crate::{
    mutant::Mutant,
    people::LegKey,
    scenario::{MILLI, SECOND, Us},
};

/// A leader that says nothing for so long is looked for elsewhere.
const SILENCE_US: Us = SECOND;
/// An unavailable shard is asked again after this.
const AGAIN_US: Us = 50 * MILLI;
/// How often a command goes out anew after the shard did not know this gateway.
const REATTACH_MAX: u8 = 3;
/// The tenant of every run, as gateways name it wherever it lives; it is born on the shard of this number.
pub(crate) const TENANT: u32 = 1;

/// What a command is called when its outcome comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ticket {
    Offer(LegKey, u32),
    Answer(LegKey, u32),
    End(LegKey, u32),
    Lost(LegKey, u32),
    Say(String, u64),
    Nothing,
}

/// What a link wants from the network.
#[derive(Debug)]
pub(crate) enum Want {
    Open { node: usize, session: u64, request: WatchRequest },
    Submit { session: u64, submissions: Vec<Submission> },
    Close { session: u64 },
}

/// What a link has learned.
#[derive(Debug)]
pub(crate) enum News {
    /// A leader begins to tell its orders.
    Watching,
    Orders(Vec<proto::v1::Order>),
    InSync,
    Outcome {
        id: (u64, u64),
        ticket: Ticket,
        verdict: Result<(), RejectionCode>,
    },
}

#[derive(Debug, Clone)]
struct Entry {
    command: Command,
    ticket: Ticket,
    reattached: u8,
}

#[derive(Debug)]
enum State {
    Idle { until_us: Us },
    Session { session: u64, node: usize, in_sync: bool, heard_by_us: Us },
}

#[derive(Debug)]
pub(crate) struct Link {
    request: WatchRequest,
    nodes: usize,
    sender: u64,
    next_number: u64,
    pending: BTreeMap<u64, Entry>,
    unsent: VecDeque<u64>,
    unavailable: Vec<u64>,
    again_us: Option<Us>,
    parked: Vec<Entry>,
    state: State,
    next_session: u64,
    next_node: usize,
    hint: Option<usize>,
    tries: u32,
    dropped: u64,
    mutant: Option<Mutant>,
    wants: Vec<Want>,
    news: Vec<News>,
}

impl Link {
    pub(crate) fn new(
        request: WatchRequest,
        nodes: usize,
        sender: u64,
        first_session: u64,
        mutant: Option<Mutant>,
    ) -> Self {
        Self {
            request,
            nodes,
            sender,
            next_number: 1,
            pending: BTreeMap::new(),
            unsent: VecDeque::new(),
            unavailable: Vec::new(),
            again_us: None,
            parked: Vec::new(),
            state: State::Idle { until_us: 0 },
            next_session: first_session,
            next_node: sender as usize,
            hint: None,
            tries: 0,
            dropped: 0,
            mutant,
            wants: Vec::new(),
            news: Vec::new(),
        }
    }

    /// What is wanted and what is new since the last time.
    pub(crate) fn take(&mut self) -> (Vec<Want>, Vec<News>) {
        (std::mem::take(&mut self.wants), std::mem::take(&mut self.news))
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.len() + self.parked.len()
    }

    /// Whether a leader has told all of its orders, as far as is known here.
    pub(crate) const fn is_in_sync(&self) -> bool {
        matches!(self.state, State::Session { in_sync: true, .. })
    }

    pub(crate) fn next_us(&self) -> Option<Us> {
        let state = match self.state {
            State::Idle { until_us } => until_us,
            State::Session { heard_by_us, .. } => heard_by_us,
        };
        Some(self.again_us.map_or(state, |again| again.min(state)))
    }

    pub(crate) fn ask(&mut self, kind: Kind, ticket: Ticket) {
        self.enqueue(Entry { command: Command { kind: Some(kind) }, ticket, reattached: 0 });
        self.flush();
    }

    fn enqueue(&mut self, entry: Entry) {
        self.pending.insert(self.next_number, entry);
        self.unsent.push_back(self.next_number);
        self.next_number += 1;
    }

    pub(crate) fn wake(&mut self, now_us: Us) {
        match self.state {
            State::Idle { until_us } if until_us <= now_us => self.open(now_us),
            State::Session { heard_by_us, .. } if heard_by_us <= now_us => self.over(now_us, None),
            State::Idle { .. } | State::Session { .. } => {}
        }
        if self.again_us.is_some_and(|again| again <= now_us) {
            self.again_us = None;
            self.unsent.extend(self.unavailable.drain(..).filter(|number| self.pending.contains_key(number)));
            self.flush();
        }
    }

    fn open(&mut self, now_us: Us) {
        let node = self.hint.take().unwrap_or(self.next_node % self.nodes);
        self.next_node = node + 1;
        self.next_session += 1;
        let session = self.next_session;
        self.state = State::Session { session, node, in_sync: false, heard_by_us: now_us + SILENCE_US };
        self.news.push(News::Watching);
        self.wants.push(Want::Open { node, session, request: self.request.clone() });
    }

    fn over(&mut self, now_us: Us, hint: Option<usize>) {
        if let State::Session { session, .. } = self.state {
            self.wants.push(Want::Close { session });
        }
        self.tries += 1;
        self.hint = hint.filter(|_| !self.tries.is_multiple_of(4));
        let pause_us = if self.tries <= 1 || self.hint.is_some() { 0 } else { (20 * MILLI) << self.tries.min(5) };
        self.state = State::Idle { until_us: now_us + pause_us.min(250 * MILLI) };
    }

    /// The stream of a session broke or ended.
    pub(crate) fn closed(&mut self, now_us: Us, session: u64) {
        if matches!(self.state, State::Session { session: present, .. } if present == session) {
            self.over(now_us, None);
        }
    }

    pub(crate) fn told(&mut self, now_us: Us, session: u64, reply: WatchReply) {
        let State::Session { session: present, in_sync, heard_by_us, .. } = &mut self.state else { return };
        if *present != session {
            return;
        }
        *heard_by_us = now_us + SILENCE_US;
        match reply.kind {
            Some(Told::Orders(orders)) => {
                self.dropped += 1;
                if self.mutant == Some(Mutant::LostOrders) && self.dropped.is_multiple_of(7) {
                    return;
                }
                self.news.push(News::Orders(orders.orders));
            }
            Some(Told::InSync(_)) => {
                *in_sync = true;
                self.tries = 0;
                self.news.push(News::InSync);
                for entry in std::mem::take(&mut self.parked) {
                    self.enqueue(entry);
                }
                self.resend_all();
            }
            Some(Told::NotLeader(not_leader)) => self.over(now_us, node_of(&not_leader.leader)),
            Some(Told::KeepAlive(_)) | None => {}
        }
    }

    fn resend_all(&mut self) {
        if self.mutant == Some(Mutant::LostCommands) {
            self.pending.retain(|number, _| self.unsent.contains(number));
        }
        self.unsent = self.pending.keys().copied().collect();
        self.unavailable.clear();
        self.flush();
    }

    pub(crate) fn answered(&mut self, now_us: Us, session: u64, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            if !matches!(self.state, State::Session { session: present, .. } if present == session) {
                return;
            }
            let Some(number) = outcome.id.filter(|id| id.sender == self.sender).map(|id| id.number) else { continue };
            match outcome.result {
                Some(Answer::NotLeader(not_leader)) => self.over(now_us, node_of(&not_leader.leader)),
                Some(Answer::Unavailable(_)) => {
                    self.unavailable.push(number);
                    self.again_us.get_or_insert(now_us + AGAIN_US);
                }
                Some(Answer::Accepted(_)) => self.finish(number, Ok(())),
                Some(Answer::Rejection(rejection)) if rejection.code() == RejectionCode::UnknownGateway => {
                    self.park(now_us, number);
                }
                Some(Answer::Rejection(rejection)) => self.finish(number, Err(rejection.code())),
                None => {}
            }
        }
    }

    fn finish(&mut self, number: u64, verdict: Result<(), RejectionCode>) {
        if let Some(entry) = self.pending.remove(&number) {
            self.news.push(News::Outcome { id: (self.sender, number), ticket: entry.ticket, verdict });
        }
    }

    fn park(&mut self, now_us: Us, number: u64) {
        let Some(entry) = self.pending.get(&number) else { return };
        if entry.reattached >= REATTACH_MAX {
            return self.finish(number, Err(RejectionCode::UnknownGateway));
        }
        if let Some(entry) = self.pending.remove(&number) {
            self.parked.push(Entry { reattached: entry.reattached + 1, ..entry });
        }
        let here = match self.state {
            State::Session { node, .. } => Some(node),
            State::Idle { .. } => None,
        };
        self.over(now_us, here);
    }

    fn flush(&mut self) {
        let State::Session { session, in_sync: true, .. } = self.state else { return };
        let settled_below = self.pending.keys().next().copied().unwrap_or(self.next_number);
        let unsent = std::mem::take(&mut self.unsent);
        let submissions: Vec<_> = unsent
            .into_iter()
            .filter_map(|number| self.pending.get(&number).map(|entry| (number, entry)))
            .map(|(number, entry)| Submission {
                shard: TENANT,
                id: Some(CommandId { sender: self.sender, number }),
                settled_below,
                command: Some(entry.command.clone()),
                trace: None,
            })
            .collect();
        if !submissions.is_empty() {
            self.wants.push(Want::Submit { session, submissions });
        }
    }
}

/// Its place among the nodes.
pub(crate) fn node_of(leader: &str) -> Option<usize> {
    leader.strip_prefix('n').and_then(|number| number.parse::<usize>().ok()).and_then(|number| number.checked_sub(1))
}
