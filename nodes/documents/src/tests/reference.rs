//! `docs/documents.md` says what is true.

use super::*;

const PAGE: &str = include_str!("../../../../docs/documents.md");
const DISTRIBUTION: &str = include_str!("../../../../docs/distribution.md");

pub(super) fn blocks() -> Vec<(u32, String)> {
    blocks_of(PAGE)
}

fn blocks_of(page: &str) -> Vec<(u32, String)> {
    let mut blocks: Vec<(u32, String)> = Vec::new();
    let mut inside = false;
    for (line, text) in (1..).zip(page.lines()) {
        match text {
            "```yaml" => {
                inside = true;
                blocks.push((line, String::new()));
            }
            "```" => inside = false,
            _ if inside => {
                let (_, block) = blocks.last_mut().expect("one was begun");
                block.push_str(text);
                block.push('\n');
            }
            _ => {}
        }
    }
    blocks
}

#[test]
fn all_examples_of_the_reference_are_one_valid_centre() {
    let blocks = blocks();
    let files: Vec<_> = blocks.iter().map(|(line, text)| file(&format!("block at line {line}"), text)).collect();
    let plan = check(&[], &files)
        .map_err(|errors| errors.iter().map(line).collect::<Vec<_>>().join("\n"))
        .unwrap_or_else(|errors| panic!("{errors}"));
    for kind in KINDS {
        assert!(plan.changes.iter().any(|change| change.kind == kind), "{kind} has no example");
    }
    let yaml = to_yaml(&plan.upserts);
    let again = checked(&plan.upserts, &yaml).unwrap_or_else(|errors| panic!("{errors}\n{yaml}"));
    assert_eq!(again.upserts, [], "{yaml}");
}

/// The examples for operations managers stand beside those of the reference: together they are one centre too.
#[test]
fn all_examples_of_the_distribution_are_valid_beside_the_reference() {
    let pages = [("documents.md", blocks()), ("distribution.md", blocks_of(DISTRIBUTION))];
    assert!(pages.iter().all(|(_, blocks)| blocks.len() > 10));
    let files: Vec<_> = pages
        .iter()
        .flat_map(|(page, blocks)| blocks.iter().map(move |(line, text)| file(&format!("{page} line {line}"), text)))
        .collect();
    let plan = check(&[], &files).map_err(|errors| errors.iter().map(line).collect::<Vec<_>>().join("\n"));
    plan.unwrap_or_else(|errors| panic!("{errors}"));
}

#[test]
fn every_word_of_the_documents_is_in_the_reference() {
    let text = "kind: Queue\nname: q\nx: 1\n---\nkind: Number\nname: n\nx: 1\nroute: { x: 1 }\n---\nkind: Agent\nname: a\n\
                x: 1\nqueues: [{ x: 1 }]\n---\nkind: Caller\nname: c\nx: 1\n---\nkind: Schedule\nname: s\nx: 1\n---\n\
                kind: Centre\nname: c\nx: 1\n---\nkind: Forwarding\nname: f\nx: 1\nrules: [{ x: 1, to: { x: 1 } }]\n---\n\
                kind: Queue\nname: r\nleave: { x: 1, when: { x: 1 }, do: x }\nkeys: { 1: x }\noverflow: [{ x: 1, do: x }]\n\
                announcements: [{ x: 1 }]\ncallback: { x: 1 }\nsticky: { x: 1 }\n---\nkind: Trunk\nname: t\nx: 1\n\
                hosts: [{ x: 1 }]\nlogin: { x: 1 }\nregistration: { x: 1 }\n";
    let errors = check(&[], &[file("f", text)]).expect_err("x is no field");
    let unknown = errors.iter().filter(|error| error.message.starts_with("unknown"));
    let words: BTreeSet<&str> = unknown.flat_map(|error| error.allowed.split(", ")).collect();
    assert!(words.len() > 100, "{words:?}");
    let missing: Vec<_> = words.into_iter().filter(|word| !PAGE.contains(*word)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
