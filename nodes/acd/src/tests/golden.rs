//! Golden scripts: each file in `scripts/` is a story whose first line is its moral.
//!
//! `UPDATE_GOLDEN=1 cargo test -p acd golden` rewrites what follows each command; read the difference before it is kept.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::script::Script;

/// A script with what really follows each command.
fn told(text: &str) -> String {
    let mut script = Script::new();
    let mut told = String::new();
    for line in text.lines() {
        if line.starts_with("  ") {
            continue; // what followed when it was written down
        }
        writeln!(told, "{line}").expect("a string takes it");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        for followed in script.line(line) {
            writeln!(told, "  {followed}").expect("a string takes it");
        }
    }
    told
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).expect("the scripts are there").map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_golden_script_ends_as_it_is_written() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for path in scripts() {
        let text = fs::read_to_string(&path).expect("readable");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(text.starts_with("# "), "{name}: the first line is the moral");
        let told = told(&text);
        if told == text {
            continue;
        }
        if update {
            fs::write(&path, told).expect("writable");
            continue;
        }
        let at = told.lines().zip(text.lines()).position(|(now, then)| now != then).unwrap_or_default();
        let (now, then) = (told.lines().nth(at), text.lines().nth(at));
        wrong.push(format!("{name}:{}\n  written: {then:?}\n  now:     {now:?}", at + 1));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_rule_book_does_not_shrink() {
    assert!(scripts().len() >= 201);
}
