//! `cordctl stats`: what was counted and what follows from it. The definitions are in `counts`.

use std::time::{SystemTime, UNIX_EPOCH};

use proto::v1::{IntervalRecord, StatsRequest};
use serde::Serialize;

use crate::{
    args::{Stats, Subject},
    cluster::{Admin, Cluster},
    counts::Between,
    failure::Failure,
    output::{Cell, Output, between, figure, lasting, or_dash, percent, plain, tenant},
    records::Interval,
    times::in_utc,
};

#[derive(Serialize)]
struct Reply {
    subject: &'static str,
    at_ms: u64,
    /// False: older records were pruned, so that the first rows are not whole.
    complete: bool,
    rows: Vec<Counted>,
}

#[derive(Serialize)]
struct Counted {
    tenant: String,
    #[serde(flatten)]
    interval: Interval,
}

pub(super) async fn run(asked: Stats, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let Stats { subject, name, from, until, intervals } = asked;
    let now_ms = now_ms();
    let (from_ms, until_ms) = (from.map(|from| from.resolve(now_ms)), until.map(|until| until.resolve(now_ms)));
    if from_ms.is_some_and(|from_ms| from_ms >= until_ms.unwrap_or(now_ms)) {
        return Err(Failure::Usage("stats: --from is not before --until (or now)".to_owned()));
    }
    let word = match subject {
        Subject::Queue => "queue",
        Subject::Agent => "agent",
        Subject::Number => "number",
    };
    let request = StatsRequest {
        subject: word.to_owned(),
        name: name.unwrap_or_default(),
        from_ms: from_ms.unwrap_or(0),
        until_ms: until_ms.unwrap_or(0),
        intervals,
    };
    let what = format!("stats {word} {}", request.name).trim_end().to_owned();
    let rpc = async |admin: &mut Admin, request| admin.get_stats(request).await;
    let answer = cluster.ask(&what, request, rpc).await?;
    if !answer.complete {
        eprintln!("cordctl: {what}: older records are gone, so not all of that time is counted");
    }
    let counted = |row: IntervalRecord| Counted { tenant: tenant(row.tenant.clone()), interval: row.into() };
    let rows = answer.rows.into_iter().map(counted).collect();
    let asked = cluster.asked();
    let reply = Reply { subject: word, at_ms: answer.at_ms, complete: answer.complete, rows };
    output.show(&reply, |page| {
        let columns = columns(subject);
        let mut heads = vec!["NAME", "FROM", "UNTIL"];
        heads.extend(columns.iter().map(|(head, _)| *head));
        let rows = reply.rows.iter().map(|counted| {
            let row = &counted.interval;
            let mut cells = vec![plain(&row.name), plain(in_utc(row.from_ms)), plain(in_utc(row.until_ms))];
            cells.extend(columns.iter().map(|(_, cell)| cell(row)));
            (counted.tenant.as_str(), cells)
        });
        page.list_of_tenants(asked, &heads, rows);
    })
}

/// The present in Unix milliseconds, by the clock of this machine.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

type Column = (&'static str, fn(&Interval) -> Cell);

const OFFERED: Column = ("OFFERED", |row| figure(row.counts.offered));
const ANSWERED: Column = ("ANSWERED", |row| figure(row.counts.answered));
const ABANDONED: Column = ("ABANDONED", |row| figure(row.counts.abandoned));
const SHORT: Column = ("SHORT", |row| figure(row.counts.abandoned_short));
const SERVICE_LEVEL: Column =
    ("SERVICE LEVEL", |row| figure(or_dash(row.counts.derived.service_level_permille.map(percent))));
const ASA: Column = ("ASA", |row| figure(or_dash(row.counts.derived.asa_ms.map(lasting))));
const AHT: Column = ("AHT", |row| figure(or_dash(row.counts.derived.aht_ms.map(lasting))));
const ABANDONMENT: Column =
    ("ABANDONMENT", |row| figure(or_dash(row.counts.derived.abandonment_permille.map(percent))));
const OCCUPANCY: Column = ("OCCUPANCY", |row| figure(or_dash(row.counts.derived.occupancy_permille.map(percent))));
const P50: Column = ("P50 WAIT", |row| figure(or_dash(row.counts.derived.wait_p50.map(span))));
const P95: Column = ("P95 WAIT", |row| figure(or_dash(row.counts.derived.wait_p95.map(span))));
const RONA: Column = ("RONA", |row| figure(row.counts.rona));
const TRANSFERS: Column = ("TRANSFERS IN/OUT", |row| {
    let counts = &row.counts;
    figure(format!("{}/{}", counts.transferred_in, counts.transferred_out))
});
const CALLBACKS: Column = ("CALLBACKS DONE/ASKED", |row| {
    let counts = &row.counts;
    figure(format!("{}/{}", counts.callbacks_done, counts.callbacks_asked))
});
const OVERFLOWED: Column = ("OVERFLOWED", |row| figure(row.counts.overflowed));
const REFUSED: Column = ("REFUSED", |row| figure(row.counts.refused));
const REPEATED: Column = ("REPEATED", |row| figure(row.counts.repeated_callers));
const TALK: Column = ("TALK", |row| figure(lasting(row.counts.talk_ms)));
const HOLD: Column = ("HOLD", |row| figure(lasting(row.counts.hold_ms)));
const WRAP_UP: Column = ("WRAP-UP", |row| figure(lasting(row.counts.wrap_up_ms)));

fn columns(subject: Subject) -> &'static [Column] {
    match subject {
        Subject::Queue => &[
            OFFERED,
            ANSWERED,
            ABANDONED,
            SHORT,
            SERVICE_LEVEL,
            ASA,
            AHT,
            ABANDONMENT,
            P50,
            P95,
            RONA,
            TRANSFERS,
            CALLBACKS,
            OVERFLOWED,
            REFUSED,
        ],
        Subject::Agent => &[OFFERED, ANSWERED, RONA, AHT, TALK, HOLD, WRAP_UP, OCCUPANCY, TRANSFERS],
        Subject::Number => &[
            OFFERED,
            ANSWERED,
            ABANDONED,
            SHORT,
            SERVICE_LEVEL,
            ASA,
            AHT,
            ABANDONMENT,
            P50,
            P95,
            REPEATED,
            OVERFLOWED,
            REFUSED,
        ],
    }
}

fn span(between_both: Between) -> String {
    between(between_both.at_least_ms, between_both.below_ms)
}
