//! The line: thousands of callers wait. How soon a freed agent rings again, whether the order holds, what a waiting
//! caller costs in memory; without music and with it.

use std::{
    collections::BTreeMap,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Plan,
    figures::{percentile, round},
    phones::{AgentsAtWork, Callers, CallersAtWork},
    proc::{cpu, resident, since},
    site::{Answer, Site},
};

const AGENTS: u32 = 50;
/// 50 agents with 5 s of talk serve so many a second.
const SERVED_PER_S: u32 = 10;
const ARRIVALS_PER_S: u32 = 200;
const MUSIC_ARRIVALS_PER_S: u32 = 100;
/// After the last arrival, before memory is looked at.
const SETTLE: Duration = Duration::from_secs(3);
const MUSIC_LOOK: Duration = Duration::from_secs(5);

pub(super) fn queue(plan: &Plan) -> anyhow::Result<Value> {
    let (site, agents_port) = Site::start(plan, Answer::OnAgent, AGENTS)?;
    let agents = AgentsAtWork::start(UdpSocket::bind(("127.0.0.1", agents_port))?, site.sip)?;
    let before = memory(&site)?;
    let served_meanwhile = (plan.waiting / ARRIVALS_PER_S) * SERVED_PER_S + AGENTS;
    let count = plan.waiting + served_meanwhile;
    let callers = Callers { to: site.sip, count, rate: ARRIVALS_PER_S, talk: None, rtp_port: 9 };
    let callers = CallersAtWork::start(site.ports.socket()?, callers)?;
    wait_for_line(&callers, count)?;
    std::thread::sleep(SETTLE);
    let seen = callers.seen();
    let in_line = seen.in_line - seen.answered;
    let per_call = per_call(&before, &memory(&site)?, seen.in_line - seen.ended);

    agents.forget_times();
    let (began, used) = (Instant::now(), cpu(&site.processes)?);
    let limit = Duration::from_secs(u64::from(plan.served / SERVED_PER_S) * 2 + 20);
    while agents.seen().freed_us.len() < plan.served as usize && began.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(50));
    }
    let used: f64 = since(&used, &cpu(&site.processes)?).values().sum();
    let (served, seen) = (agents.seen(), callers.seen());
    let times = |us: &[u64]| {
        json!({
            "p50": round(percentile(us, 50.0) / 1_000.0),
            "p99": round(percentile(us, 99.0) / 1_000.0),
            "max": round(percentile(us, 100.0) / 1_000.0),
        })
    };
    Ok(json!({
        "in_line": in_line,
        "failed": seen.failed,
        "repeated_requests": seen.repeated + served.repeated,
        "served": served.freed_us.len(),
        "freed_to_invite_ms": times(&served.freed_us),
        "bye_to_invite_ms": times(&served.bye_us),
        "out_of_order": served.order.windows(2).filter(|pair| pair[0] >= pair[1]).count(),
        "cpu_percent": round(used * 100.0 / began.elapsed().as_secs_f64()),
        "bytes_per_call": per_call,
    }))
}

pub(super) fn music(plan: &Plan) -> anyhow::Result<Value> {
    let (site, _) = Site::start(plan, Answer::OnEntry, 0)?;
    let before = memory(&site)?;
    let (heard, done) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    let sink = site.ports.socket()?;
    let rtp_port = sink.local_addr()?.port();
    let (count, end) = (Arc::clone(&heard), Arc::clone(&done));
    sink.set_read_timeout(Some(Duration::from_millis(20)))?;
    let ear = std::thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while !end.load(Ordering::Relaxed) {
            count.fetch_add(u64::from(sink.recv_from(&mut buffer).is_ok()), Ordering::Relaxed);
        }
    });
    let callers = Callers { to: site.sip, count: plan.waiting, rate: MUSIC_ARRIVALS_PER_S, talk: None, rtp_port };
    let callers = CallersAtWork::start(site.ports.socket()?, callers)?;
    wait_for_line(&callers, plan.waiting)?;
    std::thread::sleep(SETTLE);
    let (began, used, packets) = (Instant::now(), cpu(&site.processes)?, heard.load(Ordering::Relaxed));
    std::thread::sleep(MUSIC_LOOK);
    let seconds = began.elapsed().as_secs_f64();
    let used: f64 = since(&used, &cpu(&site.processes)?).values().sum();
    let packets = (heard.load(Ordering::Relaxed) - packets) as f64 / seconds;
    let seen = callers.seen();
    let per_call = per_call(&before, &memory(&site)?, seen.answered - seen.ended);
    done.store(true, Ordering::Relaxed);
    let _ = ear.join();
    Ok(json!({
        "in_line": seen.answered - seen.ended,
        "failed": seen.failed,
        "repeated_requests": seen.repeated,
        "bytes_per_call": per_call,
        "cpu_percent": round(used * 100.0 / seconds),
        "rtp_heard_per_s": round(packets),
        "rtp_expected_per_s": seen.answered * 50,
    }))
}

fn wait_for_line(callers: &CallersAtWork, count: u32) -> anyhow::Result<()> {
    let (began, limit) = (Instant::now(), Duration::from_secs(180));
    loop {
        let seen = callers.seen();
        if seen.in_line + seen.failed >= count {
            return Ok(());
        }
        anyhow::ensure!(began.elapsed() < limit, "only {} of {count} callers are in line", seen.in_line);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn memory(site: &Site) -> anyhow::Result<BTreeMap<String, u64>> {
    let ours = site.processes.iter().filter(|watched| watched.name != "dev");
    ours.map(|watched| Ok((watched.name.clone(), resident(watched.pid)?))).collect()
}

fn per_call(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>, calls: u32) -> Value {
    let more = |name: &str| (after[name] as f64 - before[name] as f64) / f64::from(calls.max(1));
    let mut each: BTreeMap<String, f64> = after.keys().map(|name| (name.clone(), more(name).round())).collect();
    let together = each.values().sum::<f64>();
    each.insert("together".into(), together);
    each.insert("nodes".into(), each.iter().filter(|(name, _)| name.starts_with('n')).map(|(_, more)| more).sum());
    json!(each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_out_over_the_calls_that_are_there() {
        let before = BTreeMap::from([("g1".to_owned(), 1_000), ("n1".to_owned(), 500)]);
        let after = BTreeMap::from([("g1".to_owned(), 3_000), ("n1".to_owned(), 1_500)]);
        let shared = per_call(&before, &after, 10);
        assert_eq!(
            (shared["g1"].as_f64(), shared["nodes"].as_f64(), shared["together"].as_f64()),
            (Some(200.0), Some(100.0), Some(300.0))
        );
    }
}
