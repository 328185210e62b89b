//! Limits hold by name, snapshots refuse what is none, a waiting call stays small.

use crate::*;

fn configured(limits: Limits, agents: usize) -> Shard {
    let mut documents = vec![
        Document::Queue(Box::new(Queue { name: "support".to_owned(), ..Queue::default() })),
        Document::Number(Number { name: "5000".to_owned(), queue: "support".to_owned(), ..Number::default() }),
    ];
    documents.extend((0..agents).map(|number| {
        Document::Agent(Agent {
            name: format!("agent{number:05}"),
            contact: format!("sip:agent{number:05}@127.0.0.1:15080"),
            queues: vec![Membership { queue: "support".to_owned(), ..Membership::default() }],
            start: StartState::Ready,
            ..Agent::default()
        })
    }));
    let mut shard = Shard::with_limits(limits);
    let mut desk = Desk::default();
    desk.ask(&mut shard, Command::Configure { version: 1, documents }).expect("is whole");
    let (gateway, sip) = ("g1".to_owned(), String::new());
    desk.ask(&mut shard, Command::AttachGateway { gateway, incarnation: 1, sip }).expect("attaches");
    shard
}

#[derive(Default)]
struct Desk {
    number: u64,
    sender: u64,
}

impl Desk {
    fn ask(&mut self, shard: &mut Shard, command: Command) -> Result<Accepted, Rejection> {
        self.number += 1;
        let id = CommandId { sender: 77 + self.sender, number: self.number };
        let entry = Entry { at: 1_000, id, settled_below: self.number, trace: None, command };
        shard.apply(entry, &mut Output::default())
    }
}

fn offer(call: CallId) -> Command {
    Command::OfferCall {
        call,
        gateway: "g1".to_owned(),
        incarnation: 1,
        number: "5000".to_owned(),
        caller: format!("+4930{call:07}"),
        caller_name: "A caller of usual length".to_owned(),
        passport: Vec::new(),
    }
}

#[test]
fn a_shard_that_is_full_refuses_and_changes_nothing() {
    let mut shard = configured(Limits { calls_max: 2, ..Limits::default() }, 0);
    let mut desk = Desk { sender: 1, ..Desk::default() };
    desk.ask(&mut shard, offer(1)).expect("fits");
    desk.ask(&mut shard, offer(2)).expect("fits");
    let refused = desk.ask(&mut shard, offer(3)).expect_err("is one too many");
    assert_eq!(refused, Rejection { code: RejectionCode::LimitReached, detail: "calls_max".to_owned() });
    assert_eq!(shard.totals().calls_waiting, 2);
}

#[test]
fn bytes_that_are_no_snapshot_are_refused() {
    assert!(matches!(Shard::restore(b"\xff\xff\xff"), Err(RestoreError::Decode(_))));
    let shard = configured(Limits::default(), 3);
    let saved = shard.save();
    let mut dice = fastrand::Rng::with_seed(1);
    for _ in 0..5_000 {
        let mut broken = saved.clone();
        for _ in 0..dice.usize(1..4) {
            let at = dice.usize(..broken.len());
            broken[at] = dice.u8(..);
        }
        broken.truncate(dice.usize(1..=saved.len()));
        // Either refused, or a shard that holds together; never a panic.
        if let Ok(shard) = Shard::restore(&broken) {
            shard.audit().expect("what was restored holds together");
        }
    }
}

#[test]
fn time_at_its_end_does_not_overflow() {
    let mut shard = configured(Limits::default(), 2);
    let id = CommandId { sender: 5, number: 1 };
    let entry = Entry { at: u64::MAX, id, settled_below: 0, trace: None, command: offer(1) };
    shard.apply(entry, &mut Output::default()).expect("is accepted");
    shard.audit().expect("holds together");
}

#[test]
fn a_waiting_call_costs_less_than_two_kilobytes() {
    let mut shard = configured(Limits::default(), 0);
    let mut desk = Desk { sender: 1, ..Desk::default() };
    for call in 0..1_000 {
        desk.ask(&mut shard, offer(call)).expect("fits");
        let passport = vec![7; 700];
        desk.ask(&mut shard, Command::ConfirmLeg { call, leg: 1, passport, tenure: 0 }).expect("is there");
    }
    let call = shard.calls.iter().next().expect("one of them").1;
    let strings = call.number.len() + call.caller.len() + call.caller_name.len() + 3 * 16 + 64;
    let line = size_of::<crate::rows::InLine>();
    let legs: usize = call.legs.capacity() * size_of::<crate::rows::Leg>() + call.legs[0].passport.len();
    // Four ordered entries (id, line, gateway, free deadline) at up to 32 bytes, twice for half-full nodes.
    let indices = 4 * 32 * 2;
    let bytes = size_of::<Option<crate::rows::Call>>() + strings + line + legs + indices;
    assert!(bytes <= 2048, "{bytes} bytes");
}
