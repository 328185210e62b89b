use proto::v1::{
    Announce, Centre, CommandId, CreateShard, MoveStep, MoveTenant, NodeRow, NodeWish, Number, Queue, SetNode,
    TenantRow, Trunk, TrunkHost,
};

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
        removals: vec![DocumentKey { kind: "Number".into(), name: "5000".into(), ..DocumentKey::default() }],
        ..PutDocuments::default()
    };
    let kind = Some(directory_entry::Kind::PutDocuments(removal));
    directory.apply(DirectoryEntry { at_ms: 3, id: None, kind }).expect("removed");
    assert_eq!(directory.documents().map(kind_of).collect::<Vec<_>>(), ["Queue"]);
}

fn apply(directory: &mut Directory, kind: directory_entry::Kind) -> Result<(), Rejection> {
    directory.apply(DirectoryEntry { at_ms: 5, id: None, kind: Some(kind) })
}

fn of_rules(rules: u32) -> Directory {
    let mut directory = Directory::default();
    let mut entry = found();
    if let Some(directory_entry::Kind::Found(found)) = &mut entry.kind {
        found.rules = rules;
    }
    directory.apply(entry).expect("founded");
    directory
}

fn announce(number: u64, seal: u64, life: u64, empty: bool) -> directory_entry::Kind {
    let (id, endpoint) = (format!("n{number}"), "h:1".into());
    let node = Some(NodeRow { number, id, endpoint, seal, life, ..NodeRow::default() });
    directory_entry::Kind::Announce(Announce { node, empty })
}

fn wish(number: u64, wish: NodeWish) -> directory_entry::Kind {
    directory_entry::Kind::SetNode(SetNode { id: format!("n{number}"), wish: wish.into(), ..SetNode::default() })
}

#[test]
fn nodes_are_known_only_under_rules_that_every_replica_knows() {
    let mut directory = of_rules(0);
    let refused = apply(&mut directory, announce(1, 7, 1, true)).expect_err("too early");
    assert_eq!(refused.code(), RejectionCode::WrongState);
    assert_eq!(directory.nodes().count(), 0);
}

#[test]
fn a_disk_is_known_by_its_seal_and_its_lives() {
    let mut directory = of_rules(4);
    apply(&mut directory, announce(1, 7, 3, true)).expect("new");
    apply(&mut directory, announce(1, 7, 3, false)).expect("the same start again");
    apply(&mut directory, announce(1, 7, 4, false)).expect("the next start");
    let stale = apply(&mut directory, announce(1, 7, 3, false)).expect_err("an old copy");
    assert!(stale.detail.contains("old copy"), "{stale:?}");
    let other = apply(&mut directory, announce(1, 8, 9, false)).expect_err("another disk with something on it");
    assert!(other.detail.contains("not empty"), "{other:?}");
    apply(&mut directory, announce(1, 8, 1, true)).expect("a wiped disk");
    apply(&mut directory, wish(1, NodeWish::Removed)).expect("removed");
    let gone = apply(&mut directory, announce(1, 9, 1, true)).expect_err("never again");
    assert!(gone.detail.contains("another id"), "{gone:?}");
    apply(&mut directory, wish(1, NodeWish::Unspecified)).expect_err("for good");
    assert_eq!(Directory::restore(&directory.save()).expect("restored"), directory);
}

#[test]
fn what_people_want_outlives_a_restart_of_the_node() {
    let mut directory = of_rules(4);
    apply(&mut directory, wish(4, NodeWish::Added)).expect("expected");
    apply(&mut directory, announce(4, 7, 1, true)).expect("there");
    let row = |directory: &Directory| directory.nodes().next().expect("a row").clone();
    assert_eq!(row(&directory).wish(), NodeWish::Unspecified);
    apply(&mut directory, wish(4, NodeWish::Drained)).expect("drained");
    apply(&mut directory, announce(4, 7, 2, false)).expect("restarted");
    assert_eq!(row(&directory).wish(), NodeWish::Drained);
    apply(&mut directory, wish(4, NodeWish::Unspecified)).expect("undone");
    assert_eq!((row(&directory).wish(), row(&directory).life), (NodeWish::Unspecified, 2));
}

#[test]
fn a_proposal_that_comes_again_gets_the_first_answer() {
    let mut directory = of_rules(4);
    let id = |number| Some(CommandId { sender: 3, number });
    let entry = |number, kind| DirectoryEntry { at_ms: 6, id: id(number), kind: Some(kind) };
    let put = PutDocuments { base_version: 1, upserts: vec![number("5000")], ..PutDocuments::default() };
    let put = directory_entry::Kind::PutDocuments(put);
    directory.apply(entry(1, put.clone())).expect("put");
    let before = directory.clone();
    directory.apply(entry(1, put.clone())).expect("it was done already");
    assert_eq!(directory, before);
    directory.apply(entry(2, put.clone())).expect_err("another proposal on an old version");
    let mut restored = Directory::restore(&directory.save()).expect("restored");
    restored.apply(entry(1, put)).expect("remembered in a snapshot, too");
    // An earlier release remembers nothing, so nobody may.
    let mut early = of_rules(0);
    early.apply(entry(1, found().kind.expect("founding"))).expect_err("founded already");
    assert_eq!(early.decided, decided::Decided::default());
}

#[test]
fn a_shard_begins_once_and_its_first_voters_become_history() {
    let mut directory = of_rules(4);
    let create = |shard, born_with: &[u64]| {
        directory_entry::Kind::CreateShard(CreateShard { shard, born_with: born_with.to_vec() })
    };
    apply(&mut directory, create(1, &[1])).expect_err("founded with it");
    apply(&mut directory, create(2, &[])).expect_err("there is none");
    apply(&mut directory, create(2, &[1, 2, 3])).expect("begins");
    apply(&mut directory, create(2, &[1, 2, 3])).expect("said again");
    apply(&mut directory, create(2, &[1, 2])).expect_err("another one of that number");
    apply(&mut directory, create(2, &[])).expect("begun");
    apply(&mut directory, create(2, &[1, 2, 3])).expect_err("never again");
    assert_eq!(directory.identity().expect("founded").shards, [1, 2]);
    assert_eq!(Directory::restore(&directory.save()).expect("restored"), directory);
}

#[test]
fn a_shard_is_not_born_with_the_number_of_a_tenant_that_lives_elsewhere() {
    // As no release of ours leaves it, but a restored or repaired directory may have it.
    let row = |number, name: &str, shard| TenantRow { number, name: name.into(), shard, ..TenantRow::default() };
    let saved = proto::v1::DirectorySnapshot {
        cluster: "c".into(),
        shards: vec![1],
        rules: 4,
        tenants: vec![row(1, "main", 1), row(2, "acme", 1), row(3, "globex", 3)],
        ..Default::default()
    };
    let mut directory = Directory::restore(&saved.encode_to_vec()).expect("restored");
    let create = |shard, born_with: &[u64]| {
        directory_entry::Kind::CreateShard(CreateShard { shard, born_with: born_with.to_vec() })
    };
    let before = directory.clone();
    for (shard, why) in [(2, "tenant acme has number 2 and lives on shard 1"), (1 << 16, "below 65536")] {
        let refused = apply(&mut directory, create(shard, &[1, 2, 3])).expect_err("the number is taken");
        assert_eq!(refused.code(), RejectionCode::Invalid, "asking again for the same one does not help");
        assert!(refused.detail.contains(why), "{}", refused.detail);
        assert_eq!(directory.identity(), before.identity());
    }
    assert_eq!(crate::steward::next_shard(&crate::roster::Roster::of(&directory)), 3, "2 is passed over");
    apply(&mut directory, create(3, &[1, 2, 3])).expect("it lives there: it is this shard's");
    apply(&mut directory, create(3, &[])).expect("begun");
    apply(&mut directory, create(4, &[1, 2, 3])).expect("nobody has it");
}

fn tenant(name: &str, placement: &str) -> Document {
    let tenant = proto::v1::Tenant { name: name.into(), placement: placement.into() };
    Document { kind: Some(document::Kind::TenantItself(tenant)), ..Document::default() }
}

fn of(tenant: &str, document: Document) -> Document {
    Document { tenant: tenant.into(), ..document }
}

/// Founded with so many shards, under rules that know tenants.
fn with_shards(shards: u32) -> Directory {
    let mut directory = Directory::default();
    let found = Found { cluster: "c".into(), shards: (1..=shards).collect(), rules: 4, ..Found::default() };
    let kind = Some(directory_entry::Kind::Found(found));
    directory.apply(DirectoryEntry { at_ms: 1, id: None, kind }).expect("founded");
    directory
}

fn step(directory: &mut Directory, number: u32, moved: u64, step: MoveStep, to: u32) -> Result<(), RejectionCode> {
    let step = MoveTenant { tenant: number, to, r#move: moved, step: step.into(), ..MoveTenant::default() };
    let kind = Some(directory_entry::Kind::MoveTenant(step));
    directory.apply(DirectoryEntry { at_ms: 3, id: None, kind }).map_err(|rejection| rejection.code())
}

fn home(directory: &Directory, name: &str) -> (u32, u32) {
    let row = directory.tenants().find(|row| row.name == name).expect("it is known");
    (row.number, row.shard)
}

#[test]
fn tenants_are_placed_on_the_emptiest_shards_and_their_numbers_stay() {
    let mut directory = with_shards(3);
    assert_eq!(home(&directory, "main"), (1, 1));
    let version = directory.version();
    directory.apply(put(version, vec![tenant("a", ""), tenant("solo", "own"), tenant("b", "")])).expect("put");
    // The first two are born with their shards; with solo nobody lives, so b goes beside the others.
    assert_eq!((home(&directory, "a"), home(&directory, "solo")), ((2, 2), (3, 3)));
    assert_eq!(home(&directory, "b"), (1 << 16, 1));
    let documents = vec![of("a", number("5000")), of("b", number("6000")), number("7000")];
    directory.apply(put(version + 1, documents)).expect("put");
    let view = directory.view(&[]).expect("founded");
    let routes: Vec<_> = view.numbers.iter().map(|route| (route.number.as_str(), route.shard)).collect();
    assert_eq!(routes, [("5000", 2), ("6000", 1 << 16), ("7000", 1)]);
    let places: Vec<_> = view.shards.iter().map(|place| place.shard).collect();
    assert_eq!(places, [1, 2, 3, 1 << 16], "a gateway watches tenants, wherever they live");
    let touched: Vec<_> = directory.tenants().map(|row| row.documents).collect();
    assert_eq!(touched, [version + 2, version + 2, version + 1, version + 2], "solo is not configured again");
    assert_eq!(Directory::restore(&directory.save()).expect("restored"), directory);
}

#[test]
fn of_a_move_either_its_arrival_or_its_failure_is_decided() {
    use MoveStep::{Arrived, Begin, Done, Failed};
    let mut directory = with_shards(3);
    assert_eq!(step(&mut directory, 1, 0, Begin, 9), Err(RejectionCode::WrongState), "there is no such shard");
    assert_eq!(step(&mut directory, 1, 0, Begin, 1), Err(RejectionCode::WrongState), "it lives there");
    step(&mut directory, 1, 0, Begin, 2).expect("begun");
    assert_eq!(step(&mut directory, 1, 0, Begin, 3), Err(RejectionCode::WrongState), "it moves already");
    assert_eq!(home(&directory, "main"), (1, 1), "until it has arrived it lives where it was");
    step(&mut directory, 1, 1, Arrived, 0).expect("arrived");
    step(&mut directory, 1, 1, Arrived, 0).expect("said again");
    assert_eq!(step(&mut directory, 1, 1, Failed, 0), Err(RejectionCode::WrongState), "too late to fail");
    assert_eq!(home(&directory, "main"), (1, 2));
    assert_eq!(step(&mut directory, 1, 0, Begin, 3), Err(RejectionCode::WrongState), "not before the last one is done");
    step(&mut directory, 1, 1, Done, 0).expect("done");
    step(&mut directory, 1, 0, Begin, 3).expect("begun");
    assert_eq!(step(&mut directory, 1, 1, Arrived, 0), Err(RejectionCode::Stale), "that was the first one");
    step(&mut directory, 1, 2, Failed, 0).expect("failed");
    assert_eq!(step(&mut directory, 1, 2, Arrived, 0), Err(RejectionCode::WrongState), "it has failed");
    step(&mut directory, 1, 2, Done, 0).expect("done");
    assert_eq!(home(&directory, "main"), (1, 2));
    assert_eq!(Directory::restore(&directory.save()).expect("restored"), directory);
}

#[test]
fn nobody_moves_beside_one_who_wants_to_be_alone() {
    let mut directory = with_shards(3);
    let version = directory.version();
    directory.apply(put(version, vec![tenant("solo", "own")])).expect("put");
    let (_, alone) = home(&directory, "solo");
    assert_eq!(step(&mut directory, 1, 0, MoveStep::Begin, alone), Err(RejectionCode::WrongState));
}
