use proto::v1::{
    Agent, AnswerLeg, AttachGateway, Command, CommandId, Configure, Document, LogInAgent, Logged, MakeAgentReady,
    Membership, Number, OfferCall, Queue, Tenant, command::Kind, document,
};

use super::*;

const HOME: u32 = 1;
const AWAY: u32 = 2;
const TENANT: u32 = INSTALLED_FROM;

fn batch(tenant: u32, at_ms: u64, number: u64, kind: Kind) -> Batch {
    let id = Some(CommandId { sender: 3, number });
    let logged = Logged { id, command: Some(Command { kind: Some(kind) }), ..Logged::default() };
    Batch { at_ms, commands: vec![logged], tenant, ..Batch::default() }
}

fn tenancy(tenant: u32, tenancy: batch::Tenancy) -> Batch {
    Batch { at_ms: 1, tenant, tenancy: Some(tenancy), ..Batch::default() }
}

fn seal(moved: u64) -> Batch {
    tenancy(TENANT, batch::Tenancy::Seal(SealTenant { r#move: moved }))
}

fn drop_it(moved: u64, undo: bool) -> Batch {
    tenancy(TENANT, batch::Tenancy::Drop(DropTenant { r#move: moved, undo }))
}

/// The entries that bring a state: pieces, and the last one.
fn pieces(moved: u64, bytes: &[u8], piece: usize) -> Vec<Batch> {
    let (total, crc) = (bytes.len() as u64, crc32fast::hash(bytes));
    let install = |offset: usize, data: &[u8]| {
        let data = data.to_vec();
        let offset = offset as u64;
        let piece = InstallTenant { r#move: moved, offset, bytes_total: total, data, crc, name: "acme".into() };
        tenancy(TENANT, batch::Tenancy::Install(piece))
    };
    let mut all: Vec<_> = bytes.chunks(piece).enumerate().map(|(at, data)| install(at * piece, data)).collect();
    all.push(install(bytes.len(), &[]));
    all
}

fn document(kind: document::Kind) -> Document {
    Document { kind: Some(kind), tenant: "acme".into() }
}

/// A queue, an agent who talks, and callers who wait; from `at`, one entry a millisecond.
fn story() -> Vec<Kind> {
    let queue = Queue { name: "support".into(), ring_seconds: 20, ..Queue::default() };
    let membership = Membership { queue: "support".into(), tier: 1, weight: 1 };
    let agent = Agent { name: "a1".into(), contact: "sip:a1@x".into(), queues: vec![membership], ..Agent::default() };
    let number = Number { name: "5000".into(), queue: "support".into(), ..Number::default() };
    let documents = vec![
        document(document::Kind::TenantItself(Tenant { name: "acme".into(), ..Tenant::default() })),
        document(document::Kind::Queue(queue)),
        document(document::Kind::Agent(agent)),
        document(document::Kind::Number(number)),
    ];
    let offer = |call| {
        Kind::OfferCall(OfferCall {
            call,
            gateway: "g1".into(),
            incarnation: 7,
            number: "5000".into(),
            caller: "100".into(),
            ..OfferCall::default()
        })
    };
    let answer = |call, leg| Kind::AnswerLeg(AnswerLeg { call, leg, ..AnswerLeg::default() });
    vec![
        Kind::Configure(Configure { version: 1, documents }),
        Kind::AttachGateway(AttachGateway { gateway: "g1".into(), incarnation: 7, sip: "127.0.0.1:5060".into() }),
        offer(0xc1),
        answer(0xc1, 1),
        Kind::LogInAgent(LogInAgent { agent: "a1".into() }),
        Kind::MakeAgentReady(MakeAgentReady { agent: "a1".into() }),
        answer(0xc1, 2),
        offer(0xc2),
        answer(0xc2, 1),
        offer(0xc3),
        answer(0xc3, 1),
    ]
}

/// A new tenant on a shard.
fn with_tenant(shard: u32) -> Tenants {
    let mut tenants = Tenants::new(shard);
    let begun: Vec<_> = pieces(0, &[], 1).into_iter().map(|batch| tenants.apply(batch).stay).collect();
    assert_eq!(begun, [Some(Stay::Begins)]);
    tenants
}

fn play(tenants: &mut Tenants, from: usize, until: usize) -> Vec<TenantOutput> {
    let entries = story().into_iter().zip(1..).skip(from).take(until - from);
    entries.map(|(kind, number)| tenants.apply(batch(TENANT, 1_000 + number, number, kind))).collect()
}

fn hash(tenants: &Tenants) -> u64 {
    tenants.living(TENANT).expect("it lives here").hash()
}

fn save(tenants: &mut Tenants) -> Vec<u8> {
    tenants.begin_save();
    std::iter::from_fn(|| Some(tenants.save_slice())).take(1_000).flatten().next().expect("saved")
}

/// Seals at home, brings it to `away`.
fn move_to(home: &mut Tenants, away: &mut Tenants, moved: u64, piece: usize) {
    assert_eq!(home.apply(seal(moved)).stay, Some(Stay::Ends));
    let bytes = home.sealed(TENANT).expect("sealed").save();
    let last = pieces(moved, &bytes, piece).into_iter().map(|piece| away.apply(piece).stay).last().flatten();
    assert_eq!(last, Some(Stay::Begins));
    home.apply(drop_it(moved, false));
}

#[test]
fn a_move_at_any_moment_changes_nothing_of_a_tenant() {
    let length = story().len();
    let mut stayed = with_tenant(HOME);
    let there = play(&mut stayed, 0, length);
    for at in 0..=length {
        let (mut home, mut away) = (with_tenant(HOME), Tenants::new(AWAY));
        let mut outputs = play(&mut home, 0, at);
        move_to(&mut home, &mut away, 1, 100);
        assert!(home.living(TENANT).is_none());
        outputs.extend(play(&mut away, at, length));
        assert_eq!(hash(&away), hash(&stayed), "moved after {at} entries");
        for (moved, stayed) in outputs.iter().zip(&there) {
            assert_eq!(
                (&moved.outcomes, &moved.orders, &moved.records),
                (&stayed.outcomes, &stayed.orders, &stayed.records)
            );
        }
    }
    let calls = stayed.living(TENANT).expect("it lives here");
    assert_eq!(calls.calls(&acd::view::CallFilter { queue: None, ended: false, limit: 9 }).len(), 3);
}

#[test]
fn a_command_that_is_sent_again_after_the_move_gets_its_first_answer() {
    let (mut home, mut away) = (with_tenant(HOME), Tenants::new(AWAY));
    let first = play(&mut home, 0, 3);
    move_to(&mut home, &mut away, 1, 1 << 20);
    let before = hash(&away);
    let again = play(&mut away, 2, 3);
    assert_eq!(again[0].outcomes, first[2].outcomes);
    assert!(again[0].orders.is_empty() && again[0].records.is_empty());
    assert_eq!(hash(&away), before);
}

#[test]
fn what_is_proposed_for_a_tenant_that_has_gone_does_nothing() {
    let mut home = with_tenant(HOME);
    play(&mut home, 0, 7);
    home.apply(seal(1));
    let sealed = home.sealed(TENANT).expect("sealed").hash();
    assert!(play(&mut home, 7, 9).iter().all(|output| output.outcomes.is_empty() && output.orders.is_empty()));
    assert_eq!(home.sealed(TENANT).expect("sealed").hash(), sealed);
    home.apply(drop_it(1, false));
    assert!(play(&mut home, 7, 9).iter().all(|output| output.outcomes.is_empty()));
    assert_eq!(home.standing(TENANT), (Standing::Gone, 1));
}

#[test]
fn each_entry_of_a_move_may_come_again_at_any_later_time() {
    let (mut home, mut away) = (with_tenant(HOME), Tenants::new(AWAY));
    play(&mut home, 0, 9);
    let begin = pieces(0, &[], 1);
    home.apply(seal(1));
    let bytes = home.sealed(TENANT).expect("sealed").save();
    let came = pieces(1, &bytes, 300);
    let mut stand = Vec::new();
    for at in 0..came.len() {
        // All that came before comes again.
        for earlier in &came[..=at] {
            stand.push(away.apply(earlier.clone()).stay);
        }
        assert_eq!(home.apply(seal(1)).stay, Some(Stay::Same));
    }
    assert_eq!(stand.iter().filter(|stay| **stay == Some(Stay::Begins)).count(), 1);
    let arrived = hash(&away);
    home.apply(drop_it(1, false));
    for late in came.iter().chain(&begin).chain([&seal(1), &drop_it(1, false), &drop_it(1, true)]) {
        home.apply(late.clone());
        away.apply(late.clone());
        assert_eq!((home.standing(TENANT).0, away.standing(TENANT).0), (Standing::Gone, Standing::Lives));
    }
    assert_eq!(hash(&away), arrived);
    // And back again, over what was left there.
    move_to(&mut away, &mut home, 2, 300);
    assert_eq!(hash(&home), arrived);
}

#[test]
fn a_move_that_failed_is_undone_and_what_is_late_of_it_begins_nothing() {
    let (mut home, mut away) = (with_tenant(HOME), Tenants::new(AWAY));
    play(&mut home, 0, 9);
    let before = hash(&home);
    home.apply(seal(1));
    let bytes = home.sealed(TENANT).expect("sealed").save();
    let came = pieces(1, &bytes, 300);
    away.apply(came[0].clone());
    assert_eq!(home.apply(drop_it(1, true)).stay, Some(Stay::Begins));
    away.apply(drop_it(1, false));
    came.iter().for_each(|late| drop(away.apply(late.clone())));
    assert_eq!((away.standing(TENANT), home.standing(TENANT)), ((Standing::Gone, 1), (Standing::Lives, 1)));
    assert_eq!(hash(&home), before);
    // Nor do all of them, on a shard that heard of the failure first.
    let mut aside = Tenants::new(AWAY);
    aside.apply(drop_it(1, false));
    came.iter().for_each(|late| drop(aside.apply(late.clone())));
    assert_eq!(aside.standing(TENANT), (Standing::Gone, 1));
    // Of the next one it may be a part.
    move_to(&mut home, &mut away, 2, 300);
    assert_eq!(hash(&away), before);
}

#[test]
fn a_seal_that_comes_after_its_move_has_failed_seals_nothing() {
    let mut home = with_tenant(HOME);
    play(&mut home, 0, 9);
    assert_eq!(home.apply(drop_it(1, true)).stay, Some(Stay::Same), "it was not sealed yet");
    assert_eq!(home.apply(seal(1)).stay, Some(Stay::Same));
    assert_eq!(home.standing(TENANT), (Standing::Lives, 1), "nobody would undo it again");
    let mut restored = Tenants::new(HOME);
    restored.restore(&save(&mut home)).expect("restored");
    restored.apply(seal(1));
    assert_eq!(restored.standing(TENANT), (Standing::Lives, 1));
    assert_eq!(home.apply(seal(2)).stay, Some(Stay::Ends), "the next one may");
    home.apply(drop_it(1, true));
    assert_eq!(home.standing(TENANT), (Standing::Sealed, 2), "and is not undone by the one before");
}

#[test]
fn a_state_that_is_damaged_on_its_way_never_lives() {
    let mut home = with_tenant(HOME);
    play(&mut home, 0, 9);
    home.apply(seal(1));
    let bytes = home.sealed(TENANT).expect("sealed").save();
    let whole = pieces(1, &bytes, 300);
    let mut away = Tenants::new(AWAY);
    for mut piece in whole.clone() {
        if let Some(batch::Tenancy::Install(piece)) = &mut piece.tenancy
            && piece.offset == 300
        {
            piece.data[7] ^= 1;
        }
        assert_ne!(away.apply(piece).stay, Some(Stay::Begins));
    }
    assert_eq!(away.standing(TENANT), (Standing::Gone, 1));
    // Without one of its pieces it waits.
    let mut away = Tenants::new(AWAY);
    for piece in [&whole[..1], &whole[2..]].concat() {
        assert_eq!(away.apply(piece).stay, Some(Stay::Same));
    }
    assert_eq!(away.standing(TENANT), (Standing::Arriving(300), 1));
    // A number of bytes that nobody has is no reason to keep room for them.
    let mut away = Tenants::new(AWAY);
    let huge = InstallTenant { r#move: 1, bytes_total: STATE_BYTES_MAX + 1, ..InstallTenant::default() };
    away.apply(tenancy(TENANT, batch::Tenancy::Install(huge)));
    assert_eq!(away.standing(TENANT).0, Standing::Unknown);
}

#[test]
fn whoever_lives_here_is_not_overwritten() {
    let mut home = with_tenant(HOME);
    play(&mut home, 0, 9);
    let before = hash(&home);
    for piece in pieces(9, &acd::Shard::new().save(), 300) {
        assert_eq!(home.apply(piece).stay, Some(Stay::Same));
    }
    home.apply(drop_it(9, false));
    assert_eq!((hash(&home), home.standing(TENANT)), (before, (Standing::Lives, 0)));
    // Nor who is sealed: the move may fail yet, and then this is the only one there is.
    home.apply(seal(1));
    for piece in pieces(9, &acd::Shard::new().save(), 300) {
        assert_eq!(home.apply(piece).stay, Some(Stay::Same));
    }
    assert_eq!(home.standing(TENANT), (Standing::Sealed, 1));
    assert_eq!(home.apply(drop_it(1, true)).stay, Some(Stay::Begins));
    assert_eq!(hash(&home), before);
}

#[test]
fn a_snapshot_holds_every_standing() {
    let mut from = with_tenant(HOME);
    play(&mut from, 0, 9);
    let bytes = from.living(TENANT).expect("it lives here").save();
    let mut snapshots = Vec::new();
    let mut tenants = with_tenant(HOME);
    play(&mut tenants, 0, 5);
    let steps = [vec![seal(1), drop_it(1, false)], pieces(2, &bytes, 300), vec![seal(3), drop_it(3, true), seal(4)]];
    for step in steps.concat() {
        tenants.apply(step);
        snapshots.push(save(&mut tenants));
        let mut restored = Tenants::new(HOME);
        restored.restore(snapshots.last().expect("one")).expect("restored");
        assert_eq!(restored.standing(TENANT), tenants.standing(TENANT));
        assert_eq!(restored.name(TENANT), tenants.name(TENANT));
        assert_eq!(save(&mut restored), *snapshots.last().expect("one"));
        // And it goes on as the other does.
        let (mut one, mut two) = (Tenants::new(AWAY), Tenants::new(AWAY));
        one.restore(snapshots.last().expect("one")).expect("restored");
        two.restore(snapshots.last().expect("one")).expect("restored");
        assert_eq!(save(&mut one), save(&mut two));
    }
}

#[test]
fn a_shard_with_its_own_tenant_alone_is_written_as_every_release_wrote_it() {
    let mut tenants = Tenants::new(HOME);
    let login = Kind::LogInAgent(LogInAgent { agent: "nobody".into() });
    tenants.apply(batch(0, 1_000, 1, login));
    let own = tenants.living(HOME).expect("it lives here").save();
    assert_eq!(save(&mut tenants), own);
    let mut restored = Tenants::new(HOME);
    restored.restore(&own).expect("restored");
    assert_eq!(restored.living(HOME).map(acd::Shard::hash), tenants.living(HOME).map(acd::Shard::hash));
}

#[test]
fn a_snapshot_is_of_the_moment_it_began_although_a_tenant_goes_or_comes_meanwhile() {
    let plain = || Tenants::new(HOME);
    for several in [false, true] {
        let mut tenants = if several { with_tenant(HOME) } else { plain() };
        let subject = if several { TENANT } else { HOME };
        (1..=50).for_each(|at| {
            let login = Kind::LogInAgent(LogInAgent { agent: "nobody".into() });
            tenants.apply(batch(subject, 1_000 + at, at, login));
        });
        let then = tenants.living(subject).expect("it lives here").save();
        tenants.begin_save();
        assert_eq!(tenants.save_slice().is_some(), several, "small ones are written at once");
        if several {
            tenants.begin_save();
        }
        tenants.apply(tenancy(subject, batch::Tenancy::Seal(SealTenant { r#move: 1 })));
        let new = InstallTenant::default();
        tenants.apply(tenancy(INSTALLED_FROM + 9, batch::Tenancy::Install(new)));
        let saved = std::iter::from_fn(|| Some(tenants.save_slice())).take(100).flatten().next().expect("saved");
        let mut restored = Tenants::new(HOME);
        restored.restore(&saved).expect("restored");
        assert_eq!(restored.living(subject).expect("it lived there").save(), then);
        assert!(!restored.knows(INSTALLED_FROM + 9));
    }
}

#[test]
fn two_tenants_of_one_shard_know_nothing_of_each_other() {
    let mut alone = with_tenant(HOME);
    let there = play(&mut alone, 0, story().len());
    let mut tenants = with_tenant(HOME);
    let mut outputs = Vec::new();
    for (kind, number) in story().into_iter().zip(1..) {
        // The same command ids, names and calls.
        tenants.apply(batch(0, 1_000 + number, number, kind.clone()));
        outputs.push(tenants.apply(batch(TENANT, 1_000 + number, number, kind)));
    }
    assert_eq!(hash(&tenants), hash(&alone));
    for (both, alone) in outputs.iter().zip(&there) {
        assert_eq!((&both.outcomes, &both.records), (&alone.outcomes, &alone.records));
    }
    let named = outputs.iter().flat_map(|output| &output.records).all(|record| record.tenant == "acme");
    assert!(named && outputs.iter().any(|output| !output.records.is_empty()));
}

#[test]
fn a_seal_that_comes_after_its_move_was_undone_stops_nobody() {
    let mut home = with_tenant(HOME);
    play(&mut home, 0, 5);
    let before = hash(&home);
    // The one who moved it gave up before the seal had arrived; an undo is all that comes before it.
    assert_eq!(home.apply(drop_it(1, true)).stay, Some(Stay::Same));
    assert_eq!(home.standing(TENANT), (Standing::Lives, 1));
    assert_eq!(home.apply(seal(1)).stay, Some(Stay::Same));
    assert_eq!((home.standing(TENANT).0, hash(&home)), (Standing::Lives, before));
    assert_eq!(home.apply(seal(2)).stay, Some(Stay::Ends), "the next move seals it");
    assert_eq!(home.apply(drop_it(1, true)).stay, Some(Stay::Same), "and no word of the one before wakes it");
    assert_eq!(home.standing(TENANT), (Standing::Sealed, 2));
}
