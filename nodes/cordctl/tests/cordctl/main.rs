//! The real binary against an admin service in this process: what it prints where, and how it ends.

mod acts;
mod cluster;
mod events;
mod fake;
mod simulate;

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use fake::{Asked, Fake};
use proto::v1::AgentChange;
use serde_json::Value;
use tokio::{runtime::Runtime, sync::Mutex};

/// A fake cluster and the binary that asks it.
struct Centre {
    runtime: Runtime,
    endpoint: String,
    asked: Arc<Mutex<Asked>>,
}

fn centre() -> Centre {
    centre_of(Fake::default())
}

fn centre_of(fake: Fake) -> Centre {
    let runtime = Runtime::new().expect("a runtime");
    let asked = fake.asked.clone();
    let endpoint = runtime.block_on(fake.serve()).to_string();
    Centre { runtime, endpoint, asked }
}

fn cordctl() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cordctl"));
    command.env_remove("CORDCTL_ENDPOINT").stdin(Stdio::null());
    command
}

impl Centre {
    fn run(&self, line: &str) -> Output {
        cordctl().args(["--endpoint", &self.endpoint]).args(line.split(' ')).output().expect("cordctl runs")
    }

    /// The stdout of a command that must succeed.
    #[track_caller]
    fn text(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(0), "{line}: {}", err(&output));
        out(&output)
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.text(&format!("{line} -o json"))).expect("one JSON document")
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// An endpoint on which nobody listens.
fn dead() -> String {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string()
}

const LOOKS: [&str; 17] = [
    "status",
    "node list",
    "shard list",
    "gateway list",
    "queue list",
    "queue show support",
    "agent list",
    "agent list --queue support",
    "agent show anna",
    "call list",
    "call list --queue support --ended --limit 5",
    "call show deadbeef",
    "call explain 00000000DEADBEEF",
    "get",
    "stats queue",
    "stats agent anna --from -2h",
    "stats number --intervals --from 2023-11-14T00:00:00Z --until 2023-11-15T00:00:00Z",
];

#[test]
fn every_look_prints_a_table_and_one_json_and_one_yaml_document_of_the_same() {
    let centre = centre();
    for look in LOOKS {
        let table = centre.text(look);
        assert!(!table.is_empty() && !table.contains('\u{1b}') && !table.contains('\u{9b}'), "{look}: {table:?}");
        let json = centre.json(look);
        let yaml = centre.text(&format!("{look} -o yaml"));
        assert!(!yaml.contains('\u{1b}') && !yaml.contains('\u{9b}'), "{look}: {yaml:?}");
        if look != "get" {
            let yaml: Value = serde_saphyr::from_str(&yaml).expect("one YAML document");
            let keys = |value: &Value| match value {
                Value::Array(items) => items.iter().map(|item| item.as_object().map(|item| item.len())).collect(),
                other => vec![other.as_object().map(serde_json::Map::len)],
            };
            assert_eq!(keys(&yaml), keys(&json), "{look}");
        }
    }
}

#[test]
fn json_has_the_shapes_of_the_contract() {
    let centre = centre();
    let queue = centre.json("queue show support");
    assert_eq!(queue["name"], "support");
    let calls: Vec<_> = queue["waiting"].as_array().expect("a list").iter().map(|w| w["call"].clone()).collect();
    assert_eq!(calls, ["00000000deadbeef", "00000000deadbef0"]);
    let first = &queue["waiting"][0];
    assert_eq!((&first["waited_ms"], &first["position"], &first["offered"]), (&65_000.into(), &1.into(), &true.into()));
    assert_eq!(first["caller"], "\u{1b}]0;owned\u{7}bob", "data is data");
    let shards = centre.json("shard list");
    assert_eq!((&shards[0]["id"], &shards[0]["leader"]), (&0.into(), &"n1".into()));
    assert_eq!(first["estimate"], Value::Null, "unknown, not 0");
    assert_eq!(queue["waiting"][1]["estimate"], serde_json::json!({"low_ms": 5_000, "high_ms": 9_000}));
    assert_eq!((&queue["waiting"][1]["waits_for"], &queue["waiting"][1]["callback"]), (&"ben".into(), &true.into()));
    assert_eq!((&queue["now"]["service_level_permille"], &queue["now"]["asa_ms"]), (&750.into(), &10_000.into()));
    let agent = centre.json("agent show anna");
    assert_eq!((&agent["skills"]["english"], &agent["state_ms"]["talking"]), (&50.into(), &600_000.into()));
    assert_eq!(shards[1]["leader"], Value::Null);
    assert_eq!(shards[0]["replicas"], serde_json::json!(["n1", "n2", "n3"]));
    assert_eq!(centre.json("node list")[1]["up"], false);
    assert_eq!(centre.json("agent list")[1]["name"], "ben");
    assert_eq!(centre.json("call list")[0]["call"], "00000000deadbeef");
    assert_eq!(centre.json("get number 5000")["route"]["queue"], "support");
    assert_eq!(centre.json("get")[0]["name"], "5000");
}

#[test]
fn tables_line_up() {
    let centre = centre();
    assert_eq!(
        centre.text("shard list"),
        "ID  ROLE       LEADER  REPLICAS  TERM  COMMITTED  APPLIED  CONFIG\n\
         \u{20}0  directory  n1      n1,n2,n3     2          0        0       0\n\
         \u{20}1  tenant     none    n1,n2,n3     2          0        0       0\n"
    );
}

#[test]
fn explain_says_in_words_why() {
    let text = centre().text("call explain deadbeef");
    let told = text.split("\n\n").nth(1).expect("a second paragraph");
    assert_eq!(
        told,
        "22:13:20.000  offered to anna, who served this caller before: sticky (position 1 of support, after 0.0s)\n\
         22:13:21.200  offered to anna by longest-idle (position 1 of support, after 1.2s)\n\
         \u{20}             rung at the same time: ben\n\
         \u{20}             asked for english:50, tier 2, rules 1\n\
         \u{20}             candidates, best first: anna (idle 12s), ben (idle 4.0s), and 3 more\n\
         \u{20}             equal figures were decided by: name\n\
         \u{20}             not considered: 2 not-ready, 1 talking\n\
         22:13:23.200  anna: reserved -> talking, after 2.0s\n\
         22:13:26.200  anna: blind transfer to ben: done\n\
         22:13:28.200  ended by caller: completed, offered once, talked to 2 agents, last to anna\n\
         \u{20}             waited 3.2s in line, priority 5, asked for english:50\n\
         \u{20}             anna of support: 22:13:23.200 to 22:13:26.200, 3.0s, rang 2.0s, on hold 1.0s\n\
         \u{20}             ben: 22:13:26.200 to 22:13:28.200, 2.0s\n"
    );
}

#[test]
fn agents_are_changed_and_the_new_state_is_printed() {
    let centre = centre();
    assert_eq!(centre.json("agent not-ready anna --reason lunch")["reason"], "lunch");
    assert_eq!(centre.json("agent ready anna")["state"], "ready");
    assert_eq!(centre.json("agent logout anna")["state"], "logged-out");
    assert!(centre.text("agent login anna").contains("anna"));
    let changes = &centre.asked.blocking_lock().changes;
    let asked: Vec<_> = changes.iter().map(|change| (change.change(), change.reason.as_str())).collect();
    assert_eq!(
        asked,
        [
            (AgentChange::NotReady, "lunch"),
            (AgentChange::Ready, ""),
            (AgentChange::LogOut, ""),
            (AgentChange::LogIn, "")
        ]
    );
    assert!(centre.text("call hangup deadbeef").contains("ended"));
}

#[test]
fn each_way_to_fail_has_its_exit_code_and_says_what_to_do() {
    let centre = centre();
    let ends = |line: &str, code: i32, words: &str| {
        let output = centre.run(line);
        assert_eq!(output.status.code(), Some(code), "{line}: {}", err(&output));
        assert_eq!(out(&output), "", "{line}");
        assert!(err(&output).contains(words), "{line}: {}", err(&output));
    };
    ends("agent ready ben", 1, "agent ready ben: ");
    ends("agent ready ben", 1, "refused: ben is logged out; log in first");
    ends("queue show sales", 4, "queue show sales: not found: there is no sales");
    ends("call show 1", 4, "not found");
    ends("get queue nowhere", 4, "there is no such document");
    ends("call show nonsense", 2, "16 hex digits");
    ends("queue dance", 2, "Usage");
    ends("apply -f /nowhere/at/all.yaml", 2, "cannot read /nowhere/at/all.yaml");
    ends("status --timeout 0", 2, "more than 0");
    ends("top", 2, "use `cordctl top --once`");
    ends("status --dev /nowhere", 2, "give one of them");
}

#[test]
fn nobody_there_is_exit_code_three_and_names_everyone_who_was_asked() {
    let (one, two) = (dead(), dead());
    let output = cordctl().args(["status", "--endpoint", &format!("{one},{two}")]).output().expect("cordctl runs");
    let said = err(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&one) && said.contains(&two) && said.contains("refused"), "{said}");
    let output = cordctl().args(["status", "--dev", "/nowhere"]).output().expect("cordctl runs");
    assert_eq!(output.status.code(), Some(3));
    assert!(err(&output).contains("cordboard dev --dir /nowhere"), "{}", err(&output));
    let output = cordctl().arg("status").output().expect("cordctl runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("CORDCTL_ENDPOINT"), "{}", err(&output));
}

#[test]
fn a_dead_endpoint_costs_little() {
    let centre = centre();
    let started = Instant::now();
    let list = format!("{},{}", dead(), centre.endpoint);
    let output = cordctl().args(["node", "list"]).env("CORDCTL_ENDPOINT", list).output().expect("cordctl runs");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn a_node_that_hangs_leaves_time_for_the_next() {
    let centre = centre();
    let hangs = centre.runtime.block_on(Fake { hangs: true, ..Fake::default() }.serve());
    let list = format!("{hangs},{}", centre.endpoint);
    let output = cordctl().args(["status", "--timeout", "2", "--endpoint", &list]).output().expect("cordctl runs");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let output = cordctl()
        .args(["status", "--timeout", "0.3", "--endpoint", &hangs.to_string()])
        .output()
        .expect("cordctl runs");
    assert_eq!(output.status.code(), Some(3), "{}", err(&output));
    assert!(err(&output).contains("--timeout"), "{}", err(&output));
}

#[test]
fn the_development_cluster_is_found_by_its_directory() {
    let centre = centre();
    let dir = tempfile::tempdir().expect("a directory");
    let dev = serde_json::json!([
        {"role": "gateway", "id": "g1", "pid": 2, "grpc": dead(), "sip": "127.0.0.1:5060"},
        {"role": "node", "id": "n1", "pid": 1, "grpc": centre.endpoint, "sip": null},
    ]);
    fs::write(dir.path().join("dev.json"), dev.to_string()).expect("written");
    let output = cordctl()
        .args(["status", "-o", "json", "--dev"])
        .arg(dir.path())
        .env("CORDCTL_ENDPOINT", dead())
        .output()
        .expect("cordctl runs");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}

#[test]
fn apply_prints_the_errors_of_the_server_line_by_line() {
    let centre = centre();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("centre.yaml");
    fs::write(&path, "strategy: fastest\n").expect("written");
    let line = format!("apply -f {}", path.display());
    let output = centre.run(&line);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""));
    let expected = format!(
        "{}:12: Queue support: strategy: unknown value \"fastest\" (allowed: longest-idle)\n\
         cordctl: apply: nothing was applied (1 error); correct what is listed above and apply again\n",
        path.display()
    );
    assert_eq!(err(&output), expected);
    let output = centre.run(&format!("{line} -o json"));
    let reply: Value = serde_json::from_str(&out(&output)).expect("one JSON document");
    assert_eq!((output.status.code(), &reply["errors"][0]["line"]), (Some(1), &12.into()));
}

#[test]
fn apply_reads_files_directories_and_stdin() {
    let centre = centre();
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["b.yml", "a.yaml", "notes.txt"] {
        fs::write(dir.path().join(name), "kind: Queue\n").expect("written");
    }
    let mut child = cordctl()
        .args(["apply", "--dry-run", "--endpoint", &centre.endpoint, "-f", "-", "-f"])
        .arg(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cordctl runs");
    child.stdin.take().expect("a pipe").write_all(b"kind: Number\n").expect("written");
    let output = child.wait_with_output().expect("cordctl ends");
    assert_eq!(out(&output), "KIND   NAME     CHANGE\nQueue  support  created\n");
    assert!(err(&output).starts_with("dry run, nothing was changed: 1 created, 0 changed, 1 unchanged"));
    let applies = &centre.asked.blocking_lock().applies;
    let names: Vec<_> = applies[0].files.iter().map(|file| file.name.rsplit('/').next().unwrap_or("")).collect();
    assert_eq!((names, applies[0].dry_run), (vec!["stdin", "a.yaml", "b.yml"], true));
}

#[test]
fn get_yaml_is_what_the_cluster_wrote() {
    assert_eq!(centre().text("get -o yaml"), "kind: Number\nname: \"5000\"\nroute:\n  queue: support\n");
}

#[test]
fn top_prints_one_frame() {
    let frame = centre().text("top --once");
    for words in ["nodes 2/3", "calls: 2 waiting, 1 talking", "127.0.0.1:7001", "support", "1m05s"] {
        assert!(frame.contains(words), "{words} is not in\n{frame}");
    }
}

#[test]
fn completion_scripts_are_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        let output = cordctl().args(["completion", shell]).output().expect("cordctl runs");
        assert_eq!(output.status.code(), Some(0));
        assert!(out(&output).contains("not-ready"), "{shell}");
        if shell == "bash" {
            let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().expect("bash runs");
            bash.stdin.take().expect("a pipe").write_all(&output.stdout).expect("written");
            assert!(bash.wait().expect("bash ends").success());
        }
    }
}

#[test]
fn the_exit_codes_are_in_the_help() {
    let output = cordctl().arg("--help").output().expect("cordctl runs");
    assert!(out(&output).contains("no endpoint answered"), "{}", out(&output));
}
