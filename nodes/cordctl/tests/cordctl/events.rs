//! The stream of records: nothing lost, nothing twice, wherever it is cut.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
};

use proto::v1::{AgentRecord, Record, record};
use serde_json::Value;

use super::{Centre, Fake, centre_of, cordctl, err, out};

/// So many changes of an agent, each at its own second.
fn records(count: u64) -> Vec<Record> {
    let change =
        |at| AgentRecord { agent: format!("a{at}"), from: "ready".into(), to: "reserved".into(), ..Default::default() };
    (0..count)
        .map(|at| Record { at_ms: at * 1000, kind: Some(record::Kind::Agent(change(at))), ..Record::default() })
        .collect()
}

fn centre(count: u64) -> Centre {
    centre_of(Fake { records: records(count), ..Fake::default() })
}

fn agents(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("one JSON document a line"));
    lines.map(|line| line["agent"].as_str().expect("a name").to_owned()).collect()
}

fn names(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|at| format!("a{at}")).collect()
}

#[test]
fn each_record_is_a_line_and_a_batch_ends_with_its_cursor() {
    let centre = centre(3);
    let text = centre.text("events -o json");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        lines.iter().map(|line| line["cursor"].clone()).collect::<Vec<_>>(),
        [Value::Null, "2".into(), "3".into()]
    );
    assert_eq!((&lines[0]["type"], &lines[0]["at_ms"], &lines[1]["agent"]), (&"agent".into(), &0.into(), &"a1".into()));
    assert_eq!(agents(&centre.text("events -o json --cursor 2")), ["a2"]);
    assert!(centre.text("events --kind agent,call").contains("a1: ready -> reserved"));
    let streams = &centre.asked.blocking_lock().streams;
    assert_eq!(streams.last().expect("asked").kinds, ["agent", "call"]);
}

#[test]
fn who_starts_again_with_the_cursor_file_goes_on_where_the_lines_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let line = format!("events -o json --cursor-file {}", dir.path().join("cursor").display());
    assert_eq!(agents(&centre(5).text(&line)), names(0..5));
    let later = centre(9);
    assert_eq!(agents(&later.text(&line)), names(5..9));
    assert_eq!(later.text(&line), "", "nothing has come since");
    let left: Vec<_> =
        fs::read_dir(dir.path()).expect("a directory").map(|file| file.expect("a file").file_name()).collect();
    assert_eq!(left, ["cursor"], "nothing else is left behind");
}

#[test]
fn a_node_that_goes_in_the_middle_costs_nothing() {
    let centre = centre_of(Fake { records: records(9), breaks_after: Some(2), ..Fake::default() });
    let output = centre.run("events -o json");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(agents(&out(&output)), names(0..9));
    assert!(err(&output).contains("this node is going; going on from the last cursor"), "{}", err(&output));
}

#[test]
fn a_stream_that_never_gets_anywhere_ends_as_unreachable() {
    let centre = centre_of(Fake { records: records(9), breaks_after: Some(0), ..Fake::default() });
    let output = centre.run("events -o json");
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(3), ""), "{}", err(&output));
}

/// Follows until some of the lines have come, then goes away as `kill` would have it.
fn follow_and_stop(centre: &Centre, cursor: &Path, lines: usize) -> String {
    let mut child = cordctl()
        .args(["events", "--follow", "-o", "json", "--endpoint", &centre.endpoint, "--cursor-file"])
        .arg(cursor)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("cordctl runs");
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut text = String::new();
    for _ in 0..lines {
        reader.read_line(&mut text).expect("a line");
    }
    let killed = std::process::Command::new("kill").arg(child.id().to_string()).status().expect("kill runs");
    assert!(killed.success());
    std::io::Read::read_to_string(&mut reader, &mut text).expect("the rest");
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "it ends between two batches");
    text
}

#[test]
fn who_follows_can_be_stopped_at_any_time_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let cursor = dir.path().join("cursor");
    let first = follow_and_stop(&centre(3), &cursor, 3);
    assert_eq!(agents(&first), names(0..3));
    let second = follow_and_stop(&centre(8), &cursor, 1);
    assert_eq!(agents(&second), names(3..8)[..agents(&second).len()].to_vec(), "in order, none twice");
    let rest = centre(8).text(&format!("events -o json --cursor-file {}", cursor.display()));
    let all: Vec<String> = [agents(&second), agents(&rest)].concat();
    assert_eq!(all, names(3..8));
}

#[test]
fn what_is_no_cursor_is_refused() {
    let centre = centre(1);
    let output = centre.run("events --cursor nonsense");
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(err(&output).contains("that is no cursor of ours"));
    let output = centre.run("events --cursor 1 --cursor-file x");
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    let output = centre.run("events -o yaml");
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("cursor");
    fs::write(&path, "x".repeat(1_100_000)).expect("written");
    let output = centre.run(&format!("events --cursor-file {}", path.display()));
    assert!(output.status.code() == Some(2) && err(&output).contains("is no cursor"), "{}", err(&output));
}
