//! What was counted in a shard over a time: intervals that were written down, and the present one. Answered where the
//! shard is led; an interval belongs to the time in which it began.

use std::collections::BTreeMap;

use acd::{limits::INTERVAL_MS, view::STATES};
use proto::v1::{Counts, IntervalRecord, NotLeader, StatsReply, StatsRequest};

use super::Answers;
use crate::{clock::now_us, records::counts, translate};

/// The longest time that is added up.
pub const STATS_DAYS_MAX: u64 = 400;
/// Rows in one answer.
pub const STATS_ROWS_MAX: usize = 50_000;

const DAY_MS: u64 = 24 * 3_600_000;

/// Why there are no figures.
#[derive(Debug)]
pub enum NoStats {
    /// Who leads instead.
    NotLeader(NotLeader),
    /// The question has more than [`STATS_ROWS_MAX`] rows.
    TooMany,
    /// The outbox cannot be read.
    Unreadable,
}

/// What the machine says of the present interval.
struct Present {
    home: u32,
    name: String,
    applied: u64,
    now_ms: u64,
    rows: Vec<(String, u64, Counts)>,
}

impl Answers {
    /// Counts of one tenant's `subject` in all intervals that began within `from_ms..until_ms`, both given.
    ///
    /// # Errors
    /// See [`NoStats`].
    pub async fn stats(&self, tenant: u32, request: StatsRequest) -> Result<StatsReply, NoStats> {
        let subject = request.subject.clone();
        let nobody = || NoStats::NotLeader(NotLeader::default());
        let home = self.owners.homes().of(tenant).ok_or_else(nobody)?;
        let seen = self.at_core(home, move |core| {
            let tenants = core.tenants(home)?;
            let (state, name) = (tenants.living(tenant)?, tenants.name(tenant).to_owned());
            let applied = core.host().status(home)?.applied;
            let rows = present(state, &subject, now_us() / 1_000);
            Some(Present { home, name, applied, now_ms: state.now(), rows })
        });
        let present = seen.await.map_err(NoStats::NotLeader)?.ok_or_else(nobody)?;
        let records = self.records.clone();
        // Intervals of the time before a move are with the records of the shard where the tenant was.
        let shards = self.shards_of(tenant).await.map_err(NoStats::NotLeader)?;
        // Disk: not on an async thread.
        let read = tokio::task::spawn_blocking(move || {
            records.settle();
            let lacks = |shard: &u32| {
                let gaps = records.gaps(*shard);
                gaps.iter().any(|gap| gap.from_ms < request.until_ms && gap.until_ms > request.from_ms)
            };
            // Looked at before and after: gaps close and are made.
            let lacked = shards.iter().any(lacks);
            let mut rows = Rows::new(&request);
            // Each one's first millisecond finds an interval; the first may have begun before the time.
            let first = request.from_ms - request.from_ms % INTERVAL_MS;
            let last = request.until_ms.min(present.now_ms.saturating_add(1));
            for from_ms in (first..last).step_by(INTERVAL_MS as usize) {
                for &shard in &shards {
                    let applied = if shard == present.home { present.applied } else { u64::MAX };
                    let found = records.intervals(shard, &present.name, from_ms, applied).map_err(|error| {
                        tracing::error!(%error, "the outbox cannot be read");
                        NoStats::Unreadable
                    })?;
                    found.into_iter().for_each(|interval| rows.add(interval));
                    rows.check()?;
                }
            }
            for (name, from_ms, counts) in present.rows {
                let (subject, until_ms) = (request.subject.clone(), present.now_ms);
                rows.add(IntervalRecord {
                    subject,
                    name,
                    from_ms,
                    until_ms,
                    counts: Some(counts),
                    ..IntervalRecord::default()
                });
            }
            rows.check()?;
            let complete = !lacked && !shards.iter().any(lacks);
            Ok(StatsReply { rows: rows.all(), at_ms: present.now_ms, complete })
        });
        read.await.unwrap_or(Err(NoStats::Unreadable))
    }
}

/// The present interval; the time that agents spend in their present state goes on although a quiet shard's clock
/// stands still.
fn present(shard: &acd::Shard, subject: &str, now_ms: u64) -> Vec<(String, u64, Counts)> {
    let late_ms = now_ms.saturating_sub(shard.now());
    let states: BTreeMap<String, String> = match subject {
        "agent" => shard.agents(None).into_iter().map(|agent| (agent.name, agent.state)).collect(),
        _ => BTreeMap::new(),
    };
    let rows = shard.counts(subject).into_iter().map(|(name, from_ms, mut counts)| {
        let state = states.get(&name).and_then(|state| STATES.iter().position(|known| known == state));
        if let Some(spent_ms) = state.and_then(|state| counts.state_ms.get_mut(state)) {
            *spent_ms = spent_ms.saturating_add(late_ms);
        }
        (name, from_ms, translate::counts(&counts))
    });
    rows.collect()
}

/// Rows by name, and by interval when those are asked for.
struct Rows<'a> {
    request: &'a StatsRequest,
    rows: BTreeMap<(String, u64), IntervalRecord>,
}

impl<'a> Rows<'a> {
    fn new(request: &'a StatsRequest) -> Self {
        Self { request, rows: BTreeMap::new() }
    }

    fn add(&mut self, interval: IntervalRecord) {
        let StatsRequest { subject, name, from_ms, until_ms, intervals } = self.request;
        let asked = interval.subject == *subject && (name.is_empty() || interval.name == *name);
        if !asked || !(*from_ms..*until_ms).contains(&interval.from_ms) {
            return;
        }
        let counts = interval.counts.unwrap_or_default();
        if *intervals && counts == Counts::default() {
            return;
        }
        let (from_ms, until_ms) =
            if *intervals { (interval.from_ms, interval.until_ms) } else { (*from_ms, *until_ms) };
        let row = self.rows.entry((interval.name.clone(), from_ms)).or_insert_with(|| IntervalRecord {
            subject: interval.subject,
            name: interval.name,
            from_ms,
            until_ms,
            ..IntervalRecord::default()
        });
        row.until_ms = row.until_ms.max(until_ms);
        counts::add(row.counts.get_or_insert_default(), &counts);
    }

    fn check(&self) -> Result<(), NoStats> {
        if self.rows.len() > STATS_ROWS_MAX { Err(NoStats::TooMany) } else { Ok(()) }
    }

    fn all(self) -> Vec<IntervalRecord> {
        self.rows.into_values().collect()
    }
}

/// Fills in what the asker left out, and refuses what makes no sense.
///
/// # Errors
/// What is wrong, with the field.
pub fn checked(mut request: StatsRequest, now_ms: u64) -> Result<StatsRequest, String> {
    if !["queue", "agent", "number"].contains(&request.subject.as_str()) {
        return Err(format!("subject: {:?} is none; it is queue, agent or number", request.subject));
    }
    if request.from_ms == 0 {
        request.from_ms = now_ms - now_ms % DAY_MS;
    }
    if request.until_ms == 0 {
        // The present interval may have begun this very millisecond.
        request.until_ms = now_ms.saturating_add(1);
    }
    if request.until_ms <= request.from_ms {
        return Err("until_ms: the end is not after the beginning, from_ms".into());
    }
    if request.until_ms - request.from_ms > STATS_DAYS_MAX * DAY_MS {
        return Err(format!("until_ms: at most {STATS_DAYS_MAX} days are added up at once"));
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(from_ms: u64, until_ms: u64, intervals: bool) -> StatsRequest {
        StatsRequest { subject: "queue".into(), name: String::new(), from_ms, until_ms, intervals }
    }

    fn interval(name: &str, from_ms: u64, offered: u64) -> IntervalRecord {
        let counts = Some(Counts { offered, ..Counts::default() });
        IntervalRecord {
            subject: "queue".into(),
            name: name.into(),
            from_ms,
            until_ms: from_ms + 5,
            counts,
            ..IntervalRecord::default()
        }
    }

    fn told(rows: Rows<'_>) -> Vec<(String, u64, u64, u64)> {
        let row = |row: IntervalRecord| (row.name, row.from_ms, row.until_ms, row.counts.unwrap_or_default().offered);
        rows.all().into_iter().map(row).collect()
    }

    #[test]
    fn intervals_are_added_up_by_name_where_they_began() {
        for (intervals, expected) in [
            (false, vec![("a".to_owned(), 10, 30, 6), ("b".to_owned(), 10, 30, 0)]),
            (true, vec![("a".to_owned(), 10, 15, 3), ("a".to_owned(), 29, 34, 3)]),
        ] {
            let request = request(10, 30, intervals);
            let mut rows = Rows::new(&request);
            for (name, from_ms, offered) in
                [("a", 9, 1), ("a", 10, 2), ("a", 10, 1), ("a", 29, 3), ("a", 30, 5), ("b", 20, 0)]
            {
                rows.add(interval(name, from_ms, offered));
            }
            rows.add(IntervalRecord { subject: "agent".into(), ..interval("a", 20, 100) });
            assert_eq!(told(rows), expected);
        }
    }

    #[test]
    fn what_is_left_out_is_today_until_now_and_nonsense_is_refused_with_its_field() {
        let now = 20 * DAY_MS + 5;
        let today = checked(request(0, 0, false), now).expect("today");
        assert_eq!((today.from_ms, today.until_ms), (20 * DAY_MS, now + 1));
        let field = |request| checked(request, now).expect_err("refused").split(':').next().map(str::to_owned);
        assert_eq!(field(StatsRequest::default()).as_deref(), Some("subject"));
        assert_eq!(field(request(5, 5, false)).as_deref(), Some("until_ms"));
        assert_eq!(field(request(1, u64::MAX, false)).as_deref(), Some("until_ms"));
    }
}
