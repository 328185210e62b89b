//! The checker: compares what callers, agents and clients saw with what the cluster wrote down. Each rule says whom it
//! hurts; a run without a broken rule says how much was looked at.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{bail, ensure};
use serde_json::Value;

use super::{
    linear::contradictions,
    load::Fate,
    registers::{Operation, What},
    story::text,
};

/// Violations that are shown; one bug makes many.
const SHOWN_MAX: usize = 30;

/// Everything that was seen in a run.
#[derive(Debug, Default)]
pub struct Seen {
    /// SIPp's callers.
    pub fates: BTreeMap<String, Fate>,
    /// How often each of them was talked to by an agent.
    pub talked_to: BTreeMap<String, u32>,
    /// Callers who waited in line and were served at the end.
    pub line: Vec<String>,
    /// What each node has written down.
    pub records: BTreeMap<String, Vec<Value>>,
    /// What the clients of registers saw.
    pub operations: Vec<Operation>,
}

/// Judges; a line of figures when all rules hold.
///
/// # Errors
/// Which rules do not hold, and for whom.
pub fn judge(seen: &Seen) -> anyhow::Result<String> {
    let mut broken = Vec::new();
    let records = same_everywhere(seen, &mut broken)?;
    let calls: Vec<&Value> = records.iter().filter(|record| record["type"] == "call").collect();
    one_end(&calls, &mut broken);
    fates(seen, &calls, &mut broken);
    one_talk_at_a_time(&calls, &mut broken);
    chained(records, &mut broken);
    in_order(records, &calls, &mut broken);
    broken.extend(contradictions(&seen.operations));
    if !broken.is_empty() {
        let shown: Vec<_> = broken.iter().take(SHOWN_MAX).map(String::as_str).collect();
        bail!("{} violations:\n{}", broken.len(), shown.join("\n"));
    }
    let count = |fate: fn(&Fate) -> bool| seen.fates.values().filter(|seen| fate(seen)).count();
    Ok(format!(
        "held: {} callers ({} served, {} refused), {} in line, {} records of {} nodes, {} operations on registers ({} with unknown outcome)",
        seen.fates.len(),
        count(|fate| *fate == Fate::Done),
        count(|fate| matches!(fate, Fate::Refused(_))),
        seen.line.len(),
        records.len(),
        seen.records.len(),
        seen.operations.len(),
        seen.operations.iter().filter(|done| matches!(done.what, What::Write { known: false, .. })).count(),
    ))
}

/// The log of a shard is the same on every node, so what was written down of it is too, also where a disk was emptied: the
/// others give it what it had. How two shards are put together is not promised.
fn same_everywhere<'a>(seen: &'a Seen, broken: &mut Vec<String>) -> anyhow::Result<&'a [Value]> {
    let longest = seen.records.values().max_by_key(|records| records.len());
    let Some(longest) = longest.filter(|records| !records.is_empty()) else { bail!("nothing was written down") };
    for of_directory in [true, false] {
        let theirs = |records: &[Value]| {
            let of_shard = records.iter().filter(|record| (record["type"] == "audit") == of_directory);
            of_shard.map(bare).collect::<Vec<_>>()
        };
        let all = theirs(longest);
        for (id, records) in &seen.records {
            let records = theirs(records);
            if records.len() != all.len() {
                broken.push(format!("{id} has written {} records down, others {}", records.len(), all.len()));
            }
            let differs = (0..records.len()).find(|&place| Some(&records[place]) != all.get(place));
            if let Some(place) = differs {
                broken.push(format!("record {place} of {id} differs: {} and {:?}", records[place], all.get(place)));
            }
        }
    }
    ensure!(longest.len() > 10, "hardly anything was written down: {}", longest.len());
    Ok(longest)
}

/// Where a batch ends, and whether earlier ones are gone, is each node's own.
fn bare(record: &Value) -> Value {
    let mut record = record.clone();
    if let Some(fields) = record.as_object_mut() {
        fields.remove("cursor");
        fields.remove("after_gap");
    }
    record
}

/// A call ends once.
fn one_end(calls: &[&Value], broken: &mut Vec<String>) {
    let mut ended = BTreeSet::new();
    for call in calls {
        if !ended.insert(text(call, "call")) {
            broken.push(format!("call {} of {} has ended twice", text(call, "call"), text(call, "caller")));
        }
        let times = ["offered_at_ms", "answered_at_ms", "ended_at_ms"].map(|field| call[field].as_u64());
        let known: Vec<u64> = times.into_iter().flatten().collect();
        if !known.is_sorted() {
            broken.push(format!("times run backwards: {call}"));
        }
    }
}

/// What the callers heard is what was written down.
fn fates(seen: &Seen, calls: &[&Value], broken: &mut Vec<String>) {
    let mut by_caller: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for call in calls {
        by_caller.entry(text(call, "caller")).or_default().push(call);
    }
    let line = seen.line.iter().map(|caller| (caller, Fate::Done));
    for (caller, fate) in seen.fates.iter().map(|(caller, fate)| (caller, *fate)).chain(line) {
        let ends = by_caller.get(caller.as_str()).map_or(&[][..], Vec::as_slice);
        let outcomes: Vec<&str> = ends.iter().map(|end| text(end, "outcome")).collect();
        let fits = match fate {
            // Accepted, talked, hung up: exactly one record, and it says so.
            Fate::Done => outcomes == ["completed"] && ends[0]["agent"].is_string(),
            // Refused before anything was promised.
            Fate::Refused(_) => outcomes.is_empty() || outcomes == ["refused"] || outcomes == ["failed"],
            // Nobody may be left hanging.
            Fate::Called | Fate::Answered => false,
        };
        if !fits {
            broken.push(format!("{caller}: the caller saw {fate:?}, written down is {outcomes:?}"));
        }
    }
    for (caller, fate) in &seen.fates {
        let talks = seen.talked_to.get(caller).copied().unwrap_or_default();
        if talks > 1 || (talks == 0 && *fate == Fate::Done) {
            broken.push(format!("{caller}: {talks} agents have answered this caller, who saw {fate:?}"));
        }
    }
}

/// No agent has two calls at once.
fn one_talk_at_a_time(calls: &[&Value], broken: &mut Vec<String>) {
    let mut talks: BTreeMap<&str, Vec<(u64, u64, &str)>> = BTreeMap::new();
    for call in calls {
        for part in call["parts"].as_array().into_iter().flatten() {
            let times = [&part["from_ms"], &part["until_ms"]].map(|time| time.as_u64().unwrap_or_default());
            talks.entry(text(part, "agent")).or_default().push((times[0], times[1], text(call, "call")));
        }
    }
    for (agent, mut talks) in talks {
        talks.sort_unstable();
        for pair in talks.windows(2) {
            if pair[1].0 < pair[0].1 {
                broken.push(format!("{agent} talks to {} and {} at once", pair[0].2, pair[1].2));
            }
        }
    }
}

/// An agent's next change begins where the last one ended.
fn chained(records: &[Value], broken: &mut Vec<String>) {
    let mut states: BTreeMap<&str, &str> = BTreeMap::new();
    for record in records.iter().filter(|record| record["type"] == "agent") {
        let (agent, from) = (text(record, "agent"), text(record, "from"));
        if let Some(state) = states.insert(agent, text(record, "to"))
            && state != from
        {
            broken.push(format!("{agent} was {state} and changed from {from}: {record}"));
        }
    }
}

/// Who came first is offered first, per queue.
fn in_order(records: &[Value], calls: &[&Value], broken: &mut Vec<String>) {
    let came: BTreeMap<&str, u64> =
        calls.iter().filter_map(|call| Some((text(call, "call"), call["offered_at_ms"].as_u64()?))).collect();
    // The latest arrival that was offered so far, by queue: nobody who came before it may be offered for the first time.
    let mut latest: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    let mut offered = BTreeSet::new();
    for record in records.iter().filter(|record| record["type"] == "decision") {
        let (queue, call) = (text(record, "queue"), text(record, "call"));
        let Some(&at) = came.get(call) else { continue };
        if !offered.insert(call) {
            continue;
        }
        let newest = latest.entry(queue).or_insert((at, call));
        if at < newest.0 {
            broken.push(format!(
                "{call} came to {queue} {} ms before {} and was offered after it",
                newest.0 - at,
                newest.1
            ));
        } else {
            *newest = (at, call);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(id: &str, caller: &str, came: u64) -> Value {
        json!({"type": "call", "call": id, "caller": caller, "agent": "talk1", "outcome": "completed",
            "offered_at_ms": came, "answered_at_ms": came + 10, "ended_at_ms": came + 50,
            "parts": [{"agent": "talk1", "from_ms": came + 10, "until_ms": came + 50}]})
    }

    fn decision(id: &str) -> Value {
        json!({"type": "decision", "call": id, "queue": "talk"})
    }

    fn good() -> Seen {
        let mut records = Vec::new();
        for number in 0..10 {
            let id = format!("c{number}");
            records.push(decision(&id));
            records.push(call(&id, &format!("x-{number}"), 1_000 + number * 100));
        }
        let fates = (0..10).map(|number| (format!("x-{number}"), Fate::Done)).collect();
        let talked_to = (0..10).map(|number| (format!("x-{number}"), 1)).collect();
        let records = [("n1".to_owned(), records.clone()), ("n2".to_owned(), records)].into();
        Seen { fates, talked_to, records, ..Seen::default() }
    }

    fn broken_by(change: impl Fn(&mut Seen)) -> String {
        let mut seen = good();
        change(&mut seen);
        judge(&seen).err().map(|error| error.to_string()).unwrap_or_default()
    }

    fn both(seen: &mut Seen, change: impl Fn(&mut Vec<Value>)) {
        seen.records.values_mut().for_each(change);
    }

    #[test]
    fn a_good_history_holds() {
        assert!(judge(&good()).is_ok());
    }

    /// A checker that finds nothing proves nothing: each of these lies must be found.
    #[test]
    fn every_rule_finds_its_lie() {
        let lost = broken_by(|seen| both(seen, |records| drop(records.remove(3))));
        assert!(lost.contains("x-1: the caller saw Done, written down is []"), "{lost}");
        let twice = broken_by(|seen| both(seen, |records| records.push(call("c1", "x-1", 9_000))));
        assert!(twice.contains("has ended twice"), "{twice}");
        let hanging = broken_by(|seen| {
            seen.fates.insert("x-1".into(), Fate::Answered);
        });
        assert!(hanging.contains("x-1: the caller saw Answered"), "{hanging}");
        let two = broken_by(|seen| {
            seen.talked_to.insert("x-1".into(), 2);
        });
        assert!(two.contains("2 agents have answered"), "{two}");
        let split =
            broken_by(|seen| seen.records.get_mut("n2").into_iter().for_each(|records| records[0] = decision("other")));
        assert!(split.contains("differs"), "{split}");
        let shorter = broken_by(|seen| drop(seen.records.get_mut("n2").map(|records| records.remove(0))));
        assert!(shorter.contains("others 20"), "{shorter}");
        let overtaken = broken_by(|seen| both(seen, |records| records.swap(2, 4)));
        assert!(overtaken.contains("was offered after it"), "{overtaken}");
        let at_once = broken_by(|seen| both(seen, |records| records[3]["parts"][0]["until_ms"] = json!(1_250)));
        assert!(at_once.contains("at once"), "{at_once}");
        let unchained = broken_by(|seen| {
            both(seen, |records| {
                for (from, to) in [("ready", "reserved"), ("ready", "talking")] {
                    records.push(json!({"type": "agent", "agent": "talk1", "from": from, "to": to}));
                }
            });
        });
        assert!(unchained.contains("was reserved and changed from ready"), "{unchained}");
        let backwards = broken_by(|seen| both(seen, |records| records[1]["answered_at_ms"] = json!(1)));
        assert!(backwards.contains("backwards"), "{backwards}");
    }
}
