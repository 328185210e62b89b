//! What earlier releases wrote down is still read: a snapshot in the middle of a day, and the log of that day.
//!
//! `WRITE_FIXTURES=1 cargo test -p acd fixtures` writes those of the present rules; those of earlier rules are never written.

use std::fs;
use std::path::{Path, PathBuf};

use super::script::Script;
use crate::Shard;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The commands of a log, each with what followed when it was written.
fn commands(log: &str) -> Vec<(&str, Vec<&str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in log.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            Some(followed) => commands.last_mut().expect("something was asked first").1.push(followed),
            None => commands.push((line, Vec::new())),
        }
    }
    commands
}

/// What has to stay the same from release to release: orders, ends of calls, who is chosen, refusals. How a decision is
/// explained may grow.
fn kept<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["?", call, "to", agent, ..] => kept.push(format!("{call} to {agent}")),
            ["counted", ..] => {} // the first rules counted nothing
            [agent, _, "->", to, ..] => kept.push(format!("{agent} is {to}")),
            _ => kept.push(line.to_owned()),
        }
    }
    kept.sort();
    kept
}

/// Tells a script all from here on; what follows is what followed then.
fn go_on(script: &mut Script, log: &str, commands: &[(&str, Vec<&str>)]) {
    for (command, followed) in commands.iter().filter(|(command, _)| *command != "save") {
        let now = script.line(command);
        assert_eq!(kept(now.iter().map(String::as_str)), kept(followed.iter().copied()), "{log}: {command}");
    }
}

fn replay(rules: u32) {
    let (log, snapshot) = (format!("rules{rules}.log"), format!("rules{rules}.snapshot"));
    let text = fs::read_to_string(fixture(&log)).expect("the log is there");
    let commands = commands(&text);
    let at = commands.iter().position(|(command, _)| *command == "save").expect("a snapshot was taken");
    let mut script = Script::new();
    go_on(&mut script, &log, &commands);

    let mut script = Script::new();
    go_on(&mut script, &log, &commands[..at]);
    let bytes = fs::read(fixture(&snapshot)).expect("the snapshot is there");
    let shard = Shard::restore_with_limits(&bytes, script.limits()).expect("is read");
    shard.audit().expect("holds together");
    script.put_shard(shard);
    let shown = commands[..at].iter().rposition(|(command, _)| !command.starts_with("show ")).expect("a command") + 1;
    go_on(&mut script, &snapshot, &commands[shown..]);
}

#[test]
fn what_the_first_release_wrote_is_read_and_gone_on_with() {
    replay(1);
}

#[test]
fn what_the_second_rules_wrote_is_read_and_gone_on_with() {
    if std::env::var_os("WRITE_FIXTURES").is_some() {
        write(2);
    }
    replay(2);
}

/// Writes the log again with what follows now, and the snapshot at its `save`.
fn write(rules: u32) {
    let path = fixture(&format!("rules{rules}.log"));
    let text = fs::read_to_string(&path).expect("the log is there");
    let mut script = Script::new();
    let mut told = String::new();
    for line in text.lines().filter(|line| !line.starts_with("  ")) {
        told += &format!("{line}\n");
        match line {
            "save" => fs::write(fixture(&format!("rules{rules}.snapshot")), script.save()).expect("writable"),
            _ if line.is_empty() || line.starts_with('#') => {}
            _ => script.line(line).iter().for_each(|followed| told += &format!("  {followed}\n")),
        }
    }
    fs::write(path, told).expect("writable");
}
