//! What a manager asks before changing a policy, on one recorded hour with too many callers for one agent.

use std::{fs, path::PathBuf};

use proto::v1::{CallOutcome, CallRecord, Record, record};
use serde_json::Value;

use super::{Fake, centre, centre_of, cordctl, err, out};

const PRESENT: &str = "\
kind: Number
name: \"5000\"
route: { queue: support }
---
kind: Queue
name: support
wrap_up_seconds: 5
---
kind: Agent
name: anna
password: one
queues: [support]
";
const ONE_MORE: &str = "\
kind: Agent
name: ben
password: two
queues: [support]
";
const NOBODY_SPEAKS_IT: &str = "\
kind: Skill
name: klingon
---
kind: Number
name: \"5000\"
route: { queue: support }
skills: { klingon: 50 }
";

struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn with(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            fs::write(dir.path().join(name), text).expect("written");
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn run(&self, line: &str) -> std::process::Output {
        let words = line.split(' ').map(|word| match word.strip_prefix('@') {
            Some(name) => self.path(name),
            None => word.to_owned(),
        });
        cordctl().arg("simulate").args(words).output().expect("cordctl runs")
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let output = self.run(&format!("{line} -o json"));
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        serde_json::from_str(&out(&output)).expect("one JSON document")
    }
}

fn morning() -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/morning.jsonl").display().to_string()
}

fn desk() -> Desk {
    let recorded = fs::read_to_string(morning()).expect("the recorded hour");
    Desk::with(&[
        ("old.yaml", PRESENT),
        ("more.yaml", ONE_MORE),
        ("klingon.yaml", NOBODY_SPEAKS_IT),
        ("hour", &recorded),
    ])
}

fn of(run: &Value, figure: &str) -> u64 {
    run["whole"][figure].as_u64().unwrap_or_else(|| panic!("{figure} in {run}"))
}

#[test]
fn one_more_agent_serves_those_who_had_given_up() {
    let told = desk().json("--base @old.yaml --policy @more.yaml --from @hour");
    let (before, after) = (&told["before"], &told["after"]);
    assert_eq!(of(before, "offered"), of(after, "offered"), "the same callers come");
    assert!(of(after, "service_level_permille") > of(before, "service_level_permille") + 200, "{told:#}");
    assert!(of(after, "abandoned") * 3 < of(before, "abandoned"), "{told:#}");
    assert!(of(after, "asa_ms") < of(before, "asa_ms"), "{told:#}");
    assert!(after["occupancy_permille"].as_u64() < before["occupancy_permille"].as_u64());
    assert_eq!(after["agents"].as_array().map(Vec::len), Some(2));
    let queue = &after["queues"][0];
    assert_eq!((&queue["name"], &queue["occupancy_permille"]), (&"support".into(), &after["occupancy_permille"]));
}

#[test]
fn the_present_policy_replayed_is_like_the_hour_it_was() {
    let told = desk().json("--base @old.yaml --policy @old.yaml --from @hour");
    assert_eq!(told["before"], told["after"]);
    let recorded = fs::read_to_string(morning()).expect("the recorded hour");
    let was = recorded.lines().filter(|line| line.contains("\"abandoned\"")).count() as u64;
    let is = of(&told["before"], "abandoned");
    assert!(is.abs_diff(was) <= was / 4, "{is} abandoned, were {was}");
}

#[test]
fn a_skill_that_nobody_has_serves_nobody() {
    let told = desk().json("--base @old.yaml --policy @klingon.yaml --from @hour");
    assert!(of(&told["before"], "answered") > 20);
    assert_eq!(of(&told["after"], "answered"), 0, "{told:#}");
    assert_eq!(told["after"]["whole"]["asa_ms"], Value::Null, "no answer, no average");
}

#[test]
fn the_agents_of_a_file_are_the_whole_staff() {
    let told = desk().json("--base @old.yaml --agents-from @more.yaml --from @hour");
    let names: Vec<&Value> =
        told["after"]["agents"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["ben"]);
    assert_eq!(told["before"]["agents"][0]["name"], "anna");
    assert!(
        told["assumed"].to_string().contains("are in the records but not in its documents, and so do not work: anna")
    );
}

#[test]
fn the_same_input_and_seed_print_the_same_bytes() {
    let desk = desk();
    for form in ["table", "json"] {
        let line = format!("--base @old.yaml --policy @more.yaml --from @hour --seed 7 -o {form}");
        let (first, second) = (desk.run(&line), desk.run(&line));
        assert_eq!(first.status.code(), Some(0), "{}", err(&first));
        assert_eq!(first.stdout, second.stdout);
    }
    let seeded = |seed: &str| desk.json(&format!("--base @old.yaml --policy @more.yaml --from @hour --seed {seed}"));
    assert_ne!(seeded("7")["after"], seeded("8")["after"], "the seed is what the dice throw");
}

#[test]
fn the_table_says_what_was_assumed_and_puts_both_side_by_side() {
    let output = desk().run("--base @old.yaml --policy @more.yaml --from @hour");
    let text = out(&output);
    for words in [
        "seed 1. Assumed:",
        "Kaplan-Meier",
        "talk times: as recorded",
        "newcomers, whom neither the present policy nor the records know, work all the time: ben",
        "QUEUE    FIGURE",
        "service level, %",
        "average speed of answer, s",
        "abandonment, %",
        "occupancy, %",
        "fairness among its agents",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
}

#[test]
fn errors_of_the_policy_are_told_as_apply_tells_them() {
    let desk = Desk::with(&[
        ("old.yaml", PRESENT),
        (
            "new.yaml",
            "kind: Queue\nname: support\nstrategy: fastest\n---\nkind: Number\nname: \"1\"\nroute: { queue: salez }\n",
        ),
    ]);
    let output = desk.run(&format!("--base @old.yaml --policy @new.yaml --from {}", morning()));
    let said = err(&output);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    let new = desk.path("new.yaml");
    assert!(lines[0].starts_with(&format!("{new}:3: Queue support: strategy: unknown value \"fastest\"")), "{said}");
    assert!(lines[1].starts_with(&format!("{new}:7: Number 1: route.queue: no queue \"salez\"")), "{said}");
    assert_eq!(lines[2], "cordctl: simulate: nothing was simulated (2 errors); correct what is listed above");
}

#[test]
fn broken_lines_are_named_and_nothing_is_simulated() {
    let good = fs::read_to_string(morning()).expect("the recorded hour");
    let broken = good + "{\"at_ms\":1,\"type\":\"call\"}\nnonsense\n";
    let count = broken.lines().count();
    let desk = Desk::with(&[("old.yaml", PRESENT), ("hour", &broken), ("empty", "")]);
    let output = desk.run("--base @old.yaml --policy @old.yaml --from @hour");
    let said = err(&output);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(2), ""), "{said}");
    let hour = desk.path("hour");
    assert!(said.contains(&format!("{hour}:{}: missing field", count - 1)), "{said}");
    assert!(said.contains(&format!("{hour}:{count}: expected")), "{said}");
    for (line, words) in [
        ("--base @old.yaml --policy @old.yaml --from @empty", "no call is among the records"),
        ("--base @old.yaml --policy @old.yaml --from @nowhere", "cannot read"),
        ("--base @old.yaml --policy @old.yaml", "--from"),
        ("--base @old.yaml --from @hour", "--policy"),
        ("--base - --policy - --from @hour", "only once"),
        ("--policy @old.yaml --from @hour", "which cluster?"),
    ] {
        let output = desk.run(line);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", err(&output));
        assert!(err(&output).contains(words), "{line}: {}", err(&output));
    }
}

#[test]
fn documents_and_records_may_come_from_the_cluster() {
    let parsed =
        documents::parse(&[proto::v1::SourceFile { name: "old".into(), text: PRESENT.into() }]).expect("sound");
    let offered_ms = 1_700_000_000_000;
    let call = |at: u64| CallRecord {
        call: at + 1,
        number: "5000".to_owned(),
        caller: format!("2{at}"),
        queue: "support".to_owned(),
        offered_ms: offered_ms + at * 1000,
        ended_ms: offered_ms + at * 1000 + 9_000,
        outcome: CallOutcome::Abandoned.into(),
        waited_ms: 9_000,
        ..CallRecord::default()
    };
    let records = (0..5).map(|at| Record {
        at_ms: call(at).ended_ms,
        kind: Some(record::Kind::Call(call(at))),
        ..Record::default()
    });
    let centre = centre_of(Fake {
        records: records.collect(),
        breaks_after: Some(1),
        documents: parsed.into_iter().map(|sourced| sourced.document).collect(),
        ..Fake::default()
    });
    let desk = desk();
    let line = format!("simulate --policy {} --live --since 2023-11-14T00:00:00Z", desk.path("more.yaml"));
    let told = centre.json(&line);
    assert_eq!((&told["recorded_calls"], of(&told["before"], "abandoned")), (&5.into(), 5), "{told:#}");
    assert_eq!((of(&told["before"], "answered"), of(&told["after"], "answered")), (0, 1), "ben is there all the time");
    assert!(told["assumed"].to_string().contains("3 minutes on average"), "{told:#}");
    let late = centre.run(&format!("simulate --policy {} --live", desk.path("more.yaml")));
    assert!(err(&late).contains("no call is among the records"), "{}", err(&late));
}

#[test]
fn what_events_writes_simulate_reads() {
    let centre = centre();
    let told = centre.json("call explain deadbeef");
    let lines: Vec<String> = told["records"].as_array().expect("a list").iter().map(Value::to_string).collect();
    let desk = Desk::with(&[("old.yaml", PRESENT), ("hour", &lines.join("\n"))]);
    let told = desk.json("--base @old.yaml --policy @old.yaml --from @hour");
    assert_eq!((&told["recorded_calls"], &told["recorded_changes"]), (&1.into(), &1.into()));
}
