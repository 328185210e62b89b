//! Counts per interval: what is counted when, and the end of an interval; ratios are derived by who reads.

use crate::alarms::Alarm;
use crate::document::Window;
use crate::limits::INTERVAL_MS;
use crate::output::{CallOutcome, IntervalRecord, Output, RecordKind};
use crate::rows::{Presence, Release, Tally};
use crate::schedule::midnight_after;
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey, QueueKey};

impl Shard {
    /// A call came to a queue.
    pub(crate) fn count_offered(&mut self, key: CallKey, queue: QueueKey) {
        let row = &mut self.queues[queue];
        row.totals.offered += 1;
        row.counts.offered += 1;
        if !self.calls[key].parts.is_empty() {
            self.queues[queue].counts.transferred_in += 1;
        }
        let caller = &self.calls[key].caller;
        if self.memory.served.contains_key(caller) && self.calls[key].parts.is_empty() {
            self.queues[queue].counts.repeated_callers += 1;
        }
    }

    /// An agent of this queue has answered a call in line.
    pub(crate) fn count_answer(&mut self, key: CallKey, queue: QueueKey) {
        let line = self.calls[key].line.as_deref().expect("an answered call was in line");
        let waited = self.now - line.joined;
        let primary = line.queue;
        let row = &mut self.queues[primary];
        row.totals.answered += 1;
        row.totals.wait_ms += waited;
        let counts = &mut row.counts;
        counts.answered += 1;
        counts.wait_ms += waited;
        counts.waits.add(waited);
        let within = waited <= row.policy.service_level_ms();
        row.counts.within_threshold += u64::from(within);
        if queue != primary {
            row.counts.overflowed += 1;
        }
        let call = &mut self.calls[key];
        call.waited_ms += waited;
        let number = call.number.clone();
        if let Some(row) = self.numbers.get_mut(&number) {
            row.counts.answered += 1;
            row.counts.wait_ms += waited;
            row.counts.waits.add(waited);
            row.counts.within_threshold += u64::from(within);
        }
    }

    /// A call in line ended there.
    pub(crate) fn count_wait_over(&mut self, key: CallKey, outcome: CallOutcome, release: Release) {
        let Some(line) = self.calls[key].line.as_deref() else { return };
        let (queue, waited) = (line.queue, self.now - line.joined);
        self.calls[key].waited_ms += waited;
        let row = &mut self.queues[queue];
        let (short_ms, within_ms) = (row.policy.short_abandon_ms(), row.policy.service_level_ms());
        let number = self.calls[key].number.clone();
        let number = self.numbers.get_mut(&number).map(|row| &mut row.counts);
        for counts in [Some(&mut row.counts), number].into_iter().flatten() {
            match (outcome, release) {
                (CallOutcome::Abandoned, _) => {
                    counts.abandoned += 1;
                    counts.abandon_ms += waited;
                    counts.abandoned_short += u64::from(waited <= short_ms);
                    counts.abandoned_within_threshold += u64::from(waited <= within_ms);
                }
                (CallOutcome::Refused, _) => counts.refused += 1,
                (CallOutcome::Completed | CallOutcome::Failed, _) => {}
            }
        }
        if outcome == CallOutcome::Abandoned {
            row.totals.abandoned += 1;
        }
    }

    /// A rule took the call out of its queue.
    pub(crate) fn count_overflow(&mut self, key: CallKey) {
        let queue = self.line_mut(key).queue;
        self.queues[queue].counts.overflowed += 1;
        let joined = self.line_mut(key).joined;
        self.calls[key].waited_ms += self.now - joined;
    }

    /// The agent is not bound by the last talk any more, unless in wrap-up still.
    pub(crate) fn count_handle(&mut self, key: AgentKey) {
        let Some(agent) = self.agents.get_mut(key) else { return };
        if matches!(agent.presence, Presence::WrapUp { .. }) && agent.work.is_empty() {
            return;
        }
        let Some((queue, bound_ms)) = agent.closing.take() else { return };
        agent.counts.handles.add(bound_ms);
        if let Some(row) = self.queues.get_mut(queue) {
            row.counts.handles.add(bound_ms);
            row.handled += 1;
            // A running mean that follows the last hundred or so.
            let weight = row.handled.min(100);
            row.handle_ms = (row.handle_ms * (weight - 1) + bound_ms) / weight;
        }
    }

    /// A wrap-up is over: it belongs to the talk before it.
    pub(crate) fn count_wrap_up(&mut self, key: AgentKey, spent_ms: u64) {
        let agent = &mut self.agents[key];
        let Some((queue, bound_ms)) = agent.closing.as_mut() else { return };
        *bound_ms += spent_ms;
        let queue = *queue;
        if let Some(row) = self.queues.get_mut(queue) {
            row.counts.wrap_up_ms += spent_ms;
        }
        self.count_handle(key);
    }

    /// Sets the first ends of interval and day.
    pub(crate) fn begin_interval(&mut self) {
        if self.interval_ends == 0 && self.now > 0 {
            self.interval_ends = self.now - self.now % INTERVAL_MS + INTERVAL_MS;
            self.alarms.set(self.interval_ends, Alarm::Interval);
            self.begin_day();
        }
    }

    pub(crate) fn begin_day(&mut self) {
        self.day_ends = midnight_after(self.zone.as_ref(), self.now);
        self.alarms.set(self.day_ends, Alarm::Interval);
    }

    /// Writes the counts of the interval down and begins anew; the same for what strategies count by day.
    pub(crate) fn end_interval(&mut self, out: &mut Output) {
        let now = self.now;
        if self.day_ends <= now {
            self.begin_day();
            for key in self.agents.keys() {
                let agent = &mut self.agents[key];
                agent.count_time(now);
                agent.day = Tally { from: now, ..Tally::default() };
                for member in &mut agent.members {
                    if self.queues[member.queue].policy.document.window == Window::Day {
                        member.entry = (0, 0);
                    }
                }
                if !agent.seats.is_empty() {
                    self.join_pools(key);
                }
            }
        }
        if self.interval_ends > now {
            return;
        }
        for key in self.queues.keys() {
            let counts = std::mem::take(&mut *self.queues[key].counts);
            let name = self.queues[key].name.clone();
            self.write_interval("queue", name, counts, out);
        }
        for key in self.agents.keys() {
            self.agents[key].count_time(now);
            self.write_agent_interval(key, out);
        }
        for name in self.numbers_in_order() {
            let Some(row) = self.numbers.get_mut(&name) else { continue };
            let counts = std::mem::take(&mut *row.counts);
            self.write_interval("number", name, counts, out);
        }
        self.numbers.retain(|_, row| !row.removed);
        self.interval_ends = now - now % INTERVAL_MS + INTERVAL_MS;
        self.alarms.set(self.interval_ends, Alarm::Interval);
    }

    pub(crate) fn write_agent_interval(&mut self, key: AgentKey, out: &mut Output) {
        let counts = std::mem::take(&mut *self.agents[key].counts);
        let name = self.agents[key].name.clone();
        self.write_interval("agent", name, counts, out);
    }

    pub(crate) fn write_interval(
        &self,
        subject: &'static str,
        name: crate::Name,
        counts: crate::counts::Counts,
        out: &mut Output,
    ) {
        if counts.is_empty() {
            return;
        }
        let (from_ms, until_ms) = (self.interval_ends.saturating_sub(INTERVAL_MS), self.now);
        let record = IntervalRecord { subject, name, from_ms, until_ms, counts };
        self.write(RecordKind::Interval(Box::new(record)), out);
    }
}
