//! Whether nodes, gateways and admins of the release before understand this one, and the logs and snapshots that they have
//! written: nothing that `baseline.txt` names may be gone, or mean something else. New words are free.
//!
//! The baseline is what the last release spoke. `UPDATE_BASELINE=1` writes it anew when one has gone out, and refuses what
//! this test refuses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.txt");

/// What is on the wire, and what it is: `cordboard.v1.Batch 2` -> `commands: repeated message cordboard.v1.Logged`.
type Words = BTreeMap<String, String>;

fn words(descriptors: &[u8]) -> Words {
    let set = FileDescriptorSet::decode(descriptors).expect("descriptors of this build");
    let mut words = Words::new();
    for file in set.file.iter().filter(|file| file.package().starts_with("cordboard")) {
        for message in &file.message_type {
            add_message(&mut words, file.package(), message);
        }
        for choice in &file.enum_type {
            add_enum(&mut words, file.package(), choice);
        }
        for service in &file.service {
            for method in &service.method {
                let stream = |is: bool| if is { "stream " } else { "" };
                let (from, to) = (stream(method.client_streaming()), stream(method.server_streaming()));
                let what = format!("{from}{} -> {to}{}", short(method.input_type()), short(method.output_type()));
                words.insert(format!("{}.{}/{}", file.package(), service.name(), method.name()), what);
            }
        }
    }
    words
}

fn add_message(words: &mut Words, scope: &str, message: &DescriptorProto) {
    let name = format!("{scope}.{}", message.name());
    words.insert(name.clone(), "message".into());
    for field in &message.field {
        let choice = field.oneof_index.filter(|_| !field.proto3_optional());
        let choice = choice.and_then(|index| message.oneof_decl.get(index as usize)).map(|choice| choice.name());
        words.insert(format!("{name} {}", field.number()), describe(field, choice));
    }
    message.nested_type.iter().for_each(|nested| add_message(words, &name, nested));
    message.enum_type.iter().for_each(|nested| add_enum(words, &name, nested));
}

fn describe(field: &FieldDescriptorProto, choice: Option<&str>) -> String {
    let mut what = format!("{}: ", field.name());
    match field.label() {
        Label::Repeated => what.push_str("repeated "),
        _ if field.proto3_optional() => what.push_str("optional "),
        _ => {}
    }
    let kind = format!("{:?}", field.r#type()).to_lowercase();
    what.push_str(&kind);
    if matches!(field.r#type(), Type::Message | Type::Enum) {
        let _ = write!(what, " {}", short(field.type_name()));
    }
    if let Some(choice) = choice {
        let _ = write!(what, " in {choice}");
    }
    what
}

fn add_enum(words: &mut Words, scope: &str, choice: &EnumDescriptorProto) {
    let name = format!("{scope}.{}", choice.name());
    words.insert(name.clone(), "enum".into());
    for value in &choice.value {
        words.insert(format!("{name} {}", value.number()), value.name().to_owned());
    }
}

fn short(name: &str) -> &str {
    name.trim_start_matches('.')
}

/// What the release before would not understand, in words.
fn broken(before: &Words, now: &Words) -> Vec<String> {
    let differs = |(name, was): (&String, &String)| match now.get(name) {
        None => Some(format!("{name} ({was}) is gone: reserve nothing, keep it and leave it empty")),
        Some(is) if is != was => Some(format!("{name} was `{was}` and is `{is}`: a new meaning needs a new number")),
        Some(_) => None,
    };
    before.iter().filter_map(differs).collect()
}

fn parse(text: &str) -> Words {
    text.lines().filter_map(|line| line.split_once(" = ")).map(|(name, what)| (name.into(), what.into())).collect()
}

#[test]
fn the_release_before_understands_this_one() {
    let before = parse(&fs::read_to_string(BASELINE).unwrap_or_default());
    let now = words(proto::DESCRIPTORS);
    let broken = broken(&before, &now);
    assert!(broken.is_empty(), "the protocol of the release before is broken:\n{}", broken.join("\n"));
    if std::env::var_os("UPDATE_BASELINE").is_some() {
        let lines: Vec<_> = now.iter().map(|(name, what)| format!("{name} = {what}\n")).collect();
        fs::write(BASELINE, lines.concat()).expect("the baseline is written");
        return;
    }
    assert!(before.len() > 300, "the baseline is whole: {} words", before.len());
}

#[test]
fn whatever_breaks_is_named() {
    let now = words(proto::DESCRIPTORS);
    let first_field =
        |kind: &str| now.iter().find(|(name, what)| name.contains(' ') && what.contains(kind)).expect(kind).0;
    let change = |name: &str, what: Option<&str>| {
        let mut later = now.clone();
        match what {
            Some(what) => later.insert(name.to_owned(), what.to_owned()),
            None => later.remove(name),
        };
        broken(&now, &later)
    };
    for name in [first_field("uint64"), first_field("repeated"), first_field("message"), "cordboard.v1.Shard/Submit"] {
        for what in [None, Some("something: else")] {
            let broken = change(name, what);
            assert!(broken.len() == 1 && broken[0].starts_with(name), "{name}: {broken:?}");
        }
    }
    assert_eq!(change("cordboard.v1.New 1", Some("field: uint64")), Vec::<String>::new(), "new words are free");
}
