//! Ready agents in the order in which their queues' strategies take them; never picks one.
//!
//! A queue has a pool for each demand that was asked of it, the first for the demand for nothing. A ready agent whom no call
//! waits for has a seat in every pool of whose demand the skills are met. What a standing's key is:
//!
//! | strategy | key, lower first |
//! |---|---|
//! | longest-idle | nothing: idle since decides |
//! | round-robin, linear | place in the list of members |
//! | fewest-calls, least-talk | calls, talk milliseconds in the window |
//! | least-occupied | occupancy in permille, taken anew for each choice |
//! | most-skilled | 25,500,000 less the sum of levels |
//! | random, weighted-random | a throw of the dice, see `dice.rs` |
//!
//! Equal keys are decided by who is idle longer, then by who became ready first.

use std::collections::BTreeMap;

use crate::demand::sum_of_levels;
use crate::dice::Dice;
use crate::document::{IdleSince, Strategy, Window};
use crate::rows::{Agent, Class, Member, Pool, Presence, Queue, Seat, Standing, Tally};
use crate::shard::Shard;
use crate::table::{AgentKey, QueueKey};
use crate::{Timestamp, policy::Asked};

/// More than the sum of levels can be.
const LEVELS_MAX: u64 = 25_500_000;

impl Shard {
    /// After anything that may have changed an agent's class: counts, and a place among the available.
    pub(crate) fn relist(&mut self, key: AgentKey, former: Class) {
        let class = self.agents[key].class();
        if class == former {
            return;
        }
        self.count_staff(key, former, false);
        self.count_staff(key, class, true);
        if former == Class::Ready {
            self.leave_pools(key);
        }
        if class == Class::Ready {
            self.fresh.agents.push(key);
        }
    }

    /// Counts an agent among the members of each queue, or no more.
    pub(crate) fn count_staff(&mut self, key: AgentKey, class: Class, there: bool) {
        let log_in_matters = class == Class::LoggedOut;
        for index in 0..self.agents[key].members.len() {
            let Member { queue, tier, .. } = self.agents[key].members[index];
            let row = &mut self.queues[queue];
            let count = &mut row.staff[usize::from(tier)][class as usize];
            *count = if there { *count + 1 } else { *count - 1 };
            // Who logs out may leave a tier empty, so that the next one opens.
            if log_in_matters && there && !row.classes.is_empty() {
                self.fresh.queues.insert(queue);
            }
            if row.policy.document.leave.is_some() && !row.classes.is_empty() {
                self.fresh.queues.insert(queue);
            }
        }
    }

    pub(crate) fn leave_pools(&mut self, key: AgentKey) {
        let agent = &mut self.agents[key];
        for Seat { queue, pool, standing } in agent.seats.drain(..) {
            self.queues[queue].pools[usize::from(pool)].ready.remove(&standing);
        }
    }

    /// Gives an available agent whom no call waits for a seat in each pool.
    pub(crate) fn join_pools(&mut self, key: AgentKey) {
        self.leave_pools(key);
        for index in 0..self.agents[key].members.len() {
            let member = self.agents[key].members[index];
            for pool in 0..self.queues[member.queue].pools.len() {
                self.take_seat(key, member, pool);
            }
        }
    }

    fn take_seat(&mut self, key: AgentKey, member: Member, pool: usize) {
        let queue = &mut self.queues[member.queue];
        let agent = &mut self.agents[key];
        let (demand, luck) = (queue.pools[pool].demand, queue.pools[pool].luck);
        if !agent.is_able(demand) {
            return;
        }
        let asked = &self.demands.get(demand).asked;
        let standing = standing(queue, agent, &member, asked, luck, &mut self.dice, self.now);
        queue.pools[pool].ready.insert(standing, key);
        agent.seats.push(Seat { queue: member.queue, pool: pool as u16, standing });
    }

    /// The queue's pool for a demand, made when it is asked for the first time.
    pub(crate) fn pool(&mut self, queue: QueueKey, demand: u32) -> usize {
        let pools = &self.queues[queue].pools;
        if let Some(index) = pools.iter().position(|pool| pool.demand == demand) {
            return index;
        }
        let seated: Vec<AgentKey> = pools[0].ready.values().copied().collect();
        let index = pools.len();
        self.queues[queue].pools.push(Pool { demand, luck: 0, ready: BTreeMap::new() });
        for key in seated {
            let member = *self.agents[key].member(queue).expect("who has a seat is a member");
            self.take_seat(key, member, index);
        }
        index
    }

    /// An agent's figure in a window has changed by the mere passing of time.
    pub(crate) fn refresh_figures(&mut self, key: AgentKey) {
        let now = self.now;
        let windows = self.longest_window(&self.agents[key]);
        let agent = &mut self.agents[key];
        while agent.recent.front().is_some_and(|(ended, _)| ended + windows <= now) {
            agent.recent.pop_front();
        }
        if !self.agents[key].seats.is_empty() {
            self.join_pools(key);
        }
    }

    /// Occupancy falls while nothing happens, and not evenly: it is taken when it is asked for.
    pub(crate) fn refresh_occupancy(&mut self, queue: QueueKey, pool: usize) {
        let window = self.queues[queue].policy.document.window;
        let ready = self.queues[queue].pools[pool].ready.iter();
        let fresh = ready.map(|(standing, agent)| {
            (*standing, Standing { key: occupancy(&self.agents[*agent], window, self.now), ..*standing }, *agent)
        });
        let changed: Vec<_> = fresh.filter(|(old, new, _)| old != new).collect();
        for (old, new, agent) in changed {
            let ready = &mut self.queues[queue].pools[pool].ready;
            ready.remove(&old);
            ready.insert(new, agent);
            let mut seats = self.agents[agent].seats.iter_mut();
            if let Some(seat) = seats.find(|seat| seat.queue == queue && usize::from(seat.pool) == pool) {
                seat.standing = new;
            }
        }
    }

    /// When the oldest call leaves a window by minutes: only while the agent has a seat does it matter.
    pub(crate) fn figures_change_at(&self, agent: &Agent) -> Option<Timestamp> {
        let windows = self.longest_window(agent);
        let entry = agent.shift.from + windows;
        let entered = agent.members.iter().any(|member| member.entry != (0, 0)) && entry > self.now;
        let oldest = agent.recent.front().map(|(ended, _)| ended + windows);
        let first = oldest.into_iter().chain(entered.then_some(entry)).min()?;
        // Each window of each queue has its own end; looking once a minute is enough for counts over minutes.
        Some(first.min(self.now / 60_000 * 60_000 + 60_000)).filter(|_| windows > 0)
    }

    /// Of the agent's queues that count by minutes, in milliseconds; 0 when none does.
    pub(crate) fn longest_window(&self, agent: &Agent) -> u64 {
        let windows = agent.members.iter().map(|member| match self.queues[member.queue].policy.document.window {
            Window::Minutes(minutes) => u64::from(minutes) * 60_000,
            Window::Shift | Window::Day => 0,
        });
        windows.max().unwrap_or(0)
    }

    /// The least (calls, talk time) that a logged-in one of these members of the queue counts.
    pub(crate) fn least_figures(&self, queue: QueueKey, these: impl Fn(AgentKey) -> bool) -> (u32, u64) {
        let row = &self.queues[queue];
        if !matches!(row.policy.single(), Strategy::FewestCalls | Strategy::LeastTalk) {
            return (0, 0);
        }
        let these = row.members.iter().filter(|key| these(**key)).map(|key| &self.agents[*key]);
        let figures = these.filter(|agent| agent.class() != Class::LoggedOut).filter_map(|agent| {
            let member = agent.member(queue)?;
            Some(done(agent, member, row.policy.document.window, self.now))
        });
        figures.reduce(|(calls, talk), other| (calls.min(other.0), talk.min(other.1))).unwrap_or_default()
    }
}

/// (calls, talk milliseconds) of an agent in a queue's window, as counted for that queue.
pub(crate) fn done(agent: &Agent, member: &Member, window: Window, now: Timestamp) -> (u32, u64) {
    let Tally { calls, talk_ms, .. } = tally(agent, window, now);
    if let Window::Minutes(minutes) = window
        && agent.shift.from + u64::from(minutes) * 60_000 <= now
    {
        return (calls, talk_ms); // who came before the window is no newcomer any more
    }
    (calls.saturating_add(member.entry.0), talk_ms.saturating_add(member.entry.1))
}

fn tally(agent: &Agent, window: Window, now: Timestamp) -> Tally {
    match window {
        Window::Shift => agent.shift,
        Window::Day => agent.day,
        Window::Minutes(minutes) => {
            let from = now.saturating_sub(u64::from(minutes) * 60_000);
            let recent = agent.recent.iter().filter(|(ended, _)| *ended > from);
            recent.fold(Tally { from, ..Tally::default() }, |tally, (_, talk_ms)| Tally {
                calls: tally.calls + 1,
                talk_ms: tally.talk_ms + talk_ms,
                ..tally
            })
        }
    }
}

/// (talk + hold + wrap-up) / signed-in time in permille, now.
pub(crate) fn occupancy(agent: &Agent, window: Window, now: Timestamp) -> u64 {
    let tally = match window {
        Window::Day => agent.day,
        // Minutes are kept of calls, not of states.
        Window::Shift | Window::Minutes(_) => agent.shift,
    };
    let from = tally.from.max(agent.shift.from);
    (tally.busy_ms.saturating_mul(1000) / now.saturating_sub(from).max(1)).min(1000)
}

fn standing(
    queue: &Queue,
    agent: &Agent,
    member: &Member,
    asked: &[Asked],
    luck: u64,
    dice: &mut Dice,
    now: Timestamp,
) -> Standing {
    let document = &queue.policy.document;
    let key = match queue.policy.single() {
        Strategy::LongestIdle => 0,
        Strategy::RoundRobin | Strategy::Linear => u64::from(member.order),
        Strategy::FewestCalls => u64::from(done(agent, member, document.window, now).0),
        Strategy::LeastTalk => done(agent, member, document.window, now).1,
        Strategy::LeastOccupied => occupancy(agent, document.window, now),
        Strategy::MostSkilled => LEVELS_MAX - sum_of_levels(agent, asked),
        Strategy::Random => luck.saturating_add(dice.exponential(1)),
        Strategy::WeightedRandom => luck.saturating_add(dice.exponential(member.weight)),
        Strategy::RingAll | Strategy::Progressive | Strategy::External => 0,
    };
    Standing { tier: member.tier, key, since: idle_since(queue, agent), sequence: agent.rank.sequence }
}

fn idle_since(queue: &Queue, agent: &Agent) -> Timestamp {
    match queue.policy.document.idle_since {
        IdleSince::LastCall if agent.last_call_end > 0 && agent.last_call_end >= agent.shift.from => {
            agent.last_call_end
        }
        IdleSince::LastCall | IdleSince::Ready => agent.rank.since,
    }
}

/// What a decision record says of a candidate.
pub(crate) fn figure(strategy: Strategy, standing: &Standing, now: Timestamp) -> u64 {
    match strategy {
        Strategy::RoundRobin
        | Strategy::Linear
        | Strategy::FewestCalls
        | Strategy::LeastTalk
        | Strategy::LeastOccupied => standing.key,
        Strategy::MostSkilled => LEVELS_MAX - standing.key,
        Strategy::LongestIdle
        | Strategy::Random
        | Strategy::WeightedRandom
        | Strategy::RingAll
        | Strategy::Progressive
        | Strategy::External => now.saturating_sub(standing.since),
    }
}

/// The standing that an agent without a seat would have, for a decision record.
pub(crate) fn imagined(
    queue: &Queue,
    agent: &Agent,
    member: Option<&Member>,
    asked: &[Asked],
    now: Timestamp,
) -> Standing {
    let key = match (queue.policy.single(), member) {
        (Strategy::RoundRobin | Strategy::Linear, Some(member)) => u64::from(member.order),
        (Strategy::FewestCalls, Some(member)) => u64::from(done(agent, member, queue.policy.document.window, now).0),
        (Strategy::LeastTalk, Some(member)) => done(agent, member, queue.policy.document.window, now).1,
        (Strategy::MostSkilled, _) => LEVELS_MAX - sum_of_levels(agent, asked),
        (Strategy::LeastOccupied, Some(_)) => occupancy(agent, queue.policy.document.window, now),
        _ => 0,
    };
    Standing {
        tier: member.map_or(1, |member| member.tier),
        key,
        // Who is asked out of turn, and is not ready, is not idle.
        since: if agent.presence == Presence::Ready { idle_since(queue, agent) } else { now },
        sequence: agent.rank.sequence,
    }
}
