use proto::v1::{Centre, Number, Queue, Trunk, TrunkHost};

use super::*;

fn found() -> DirectoryEntry {
    DirectoryEntry {
        at_ms: 1,
        id: None,
        kind: Some(directory_entry::Kind::Found(Found {
            cluster: "c".into(),
            secret: vec![7; 32],
            realm: "cordboard".into(),
            shards: vec![1],
            rules: 0,
        })),
    }
}

fn put(base_version: u64, upserts: Vec<Document>) -> DirectoryEntry {
    let put = PutDocuments { base_version, upserts, ..PutDocuments::default() };
    DirectoryEntry { at_ms: 2, id: None, kind: Some(directory_entry::Kind::PutDocuments(put)) }
}

fn number(name: &str) -> Document {
    let number = Number { name: name.into(), queue: "support".into(), ..Number::default() };
    Document { kind: Some(document::Kind::Number(number)), ..Document::default() }
}

#[test]
fn a_cluster_is_founded_once() {
    let mut directory = Directory::default();
    assert!(directory.view(&[]).is_none());
    directory.apply(found()).expect("first");
    let again = directory.apply(found()).expect_err("second");
    assert_eq!(again.code(), RejectionCode::WrongState);
}

#[test]
fn a_stale_base_changes_nothing() {
    let mut directory = Directory::default();
    directory.apply(found()).expect("founded");
    directory.apply(put(1, vec![number("5000")])).expect("on the present version");
    let before = directory.clone();
    let refused = directory.apply(put(1, vec![number("5001")])).expect_err("on an older version");
    assert_eq!(refused.code(), RejectionCode::Stale);
    assert_eq!(directory, before);
}

#[test]
fn gateways_are_told_of_trunks_and_of_what_the_centre_says_about_the_outside() {
    let mut directory = Directory::default();
    directory.apply(found()).expect("founded");
    let host = TrunkHost { host: "sip.example.net".into(), ..TrunkHost::default() };
    let outward = Trunk { name: "out".into(), hosts: vec![host], calls_max: 7, ..Trunk::default() };
    let inward = Trunk { name: "in".into(), addresses: vec!["192.0.2.1".into()], ..Trunk::default() };
    let centre = Centre {
        name: "main".into(),
        egress_deny: vec!["10.0.0.0/8".into()],
        egress_allow: vec!["10.1.0.0/16".into()],
        emergency: vec!["112".into()],
        ..Centre::default()
    };
    let kinds = [document::Kind::Trunk(outward), document::Kind::Trunk(inward), document::Kind::Centre(centre)];
    let documents = kinds.map(|kind| Document { kind: Some(kind), ..Document::default() }).to_vec();
    directory.apply(put(1, documents)).expect("put");
    let view = directory.view(&[]).expect("founded");
    let access: Vec<_> = view.trunks.iter().map(|trunk| (trunk.name.as_str(), trunk.addresses.len())).collect();
    assert_eq!(access, [("in", 1), ("out", 0)]);
    let routes: Vec<_> = view.routes.iter().flat_map(|route| &route.trunk).collect();
    // One without hosts only takes calls in, but its caps count for those.
    assert_eq!(routes.iter().map(|trunk| (trunk.hosts.len(), trunk.calls_max)).collect::<Vec<_>>(), [(0, 0), (1, 7)]);
    assert_eq!((view.egress_deny, view.egress_allow), (vec!["10.0.0.0/8".into()], vec!["10.1.0.0/16".into()]));
    assert_eq!(view.emergency, ["112"]);
}

#[test]
fn a_snapshot_restores_the_whole_directory() {
    let mut directory = Directory::default();
    directory.apply(found()).expect("founded");
    let queue = Document {
        kind: Some(document::Kind::Queue(Queue { name: "5000".into(), ..Queue::default() })),
        ..Document::default()
    };
    directory.apply(put(1, vec![number("5000"), queue])).expect("put");
    assert_eq!(Directory::restore(&directory.save()).expect("restored"), directory);
    let removal = PutDocuments {
        base_version: 2,
        removals: vec![DocumentKey { kind: "Number".into(), name: "5000".into() }],
        ..PutDocuments::default()
    };
    let kind = Some(directory_entry::Kind::PutDocuments(removal));
    directory.apply(DirectoryEntry { at_ms: 3, id: None, kind }).expect("removed");
    assert_eq!(directory.documents().map(kind_of).collect::<Vec<_>>(), ["Queue"]);
}
